//! Logs in the Kafka of the stack.

use std::{path::Path, process::Command};

use events::log::{KafkaOptions, LogOptions};
use uuid::Uuid;

/// Says to a process of this suite at which brokers its houses have their logs; they are embedded where it says nothing.
const BROKERS: &str = "GUILDHALL_SUITE_KAFKA";

/// A log that no other house has; `None` where logs are embedded.
pub fn fresh_log(folder: &Path) -> Option<LogOptions> {
    let brokers = std::env::var(BROKERS).ok()?;
    let kafka = KafkaOptions {
        topic_prefix: format!("suite-{}", Uuid::now_v7().simple()),
        partitions: 3,
        ..KafkaOptions::default()
    };
    Some(LogOptions { kafka, ..LogOptions::kafka(&brokers, folder) })
}

/// Runs the tests of this suite whose names begin like one of these once more, with their logs in the stack's Kafka; how many
/// there were. All of them pass.
pub fn run_on_kafka(names: &[&str]) -> usize {
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
