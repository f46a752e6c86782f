//! The same tests with the log in the Kafka of the stack.

use std::{path::Path, process::Command};

/// Says to a process of this suite at which brokers its servers have their logs; they are embedded where it says nothing.
const BROKERS: &str = "GUILDHALL_SUITE_KAFKA";

/// The brokers, and a first word of topics that belongs to this folder alone; `None` where logs are embedded.
pub(super) fn log_of(folder: &Path) -> Option<(String, String)> {
    let brokers = std::env::var(BROKERS).ok()?;
    let name = folder.file_name().unwrap().to_string_lossy();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    Some((format!("kafka://{brokers}"), format!("suite-{}-{name}", std::process::id())))
}

/// Runs the tests of this suite whose names begin like one of these once more, with their logs in the stack's Kafka; how many
/// there were. All of them pass.
pub(crate) fn run_on_kafka(names: &[&str]) -> usize {
    let brokers = std::env::var("GUILDHALL_STACK_KAFKA").unwrap_or_else(|_| {
        let missing = std::env::var("GUILDHALL_STACK_MISSING").unwrap_or_else(|_| "there is no stack".into());
        panic!("needs the stack: run the tests under `compose/stack run --only kafka` ({missing})")
    });
    let mut suite = Command::new(std::env::current_exe().unwrap());
    let output = suite.args(names).args(["--test-threads", "4"]).env(BROKERS, brokers).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    let passed = told.lines().find_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next());
    passed.and_then(|count| count.parse().ok()).expect("it says how many passed")
}
