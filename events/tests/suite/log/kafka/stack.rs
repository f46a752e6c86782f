//! A stack of a test's own, whose brokers it may stop.

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::support::prefix;

/// One at a time: a broker is a large process.
static ONE: Mutex<()> = Mutex::new(());

/// Brokers of one's own, gone with the value.
pub(crate) struct Stack {
    name: String,
    _one: MutexGuard<'static, ()>,
}

impl Stack {
    /// One broker, or three.
    pub(crate) fn start(brokers: u8) -> Self {
        // Asked for like that of every test that needs it, so that nobody starts servers without having wished for it.
        let _ = super::support::brokers();
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let stack = Self { name: prefix(), _one: one };
        stack.command(&["up", "--only", "kafka", "--brokers", &brokers.to_string()]);
        stack
    }

    /// Its brokers.
    pub(crate) fn brokers(&self) -> String {
        let output = self.command(&["env"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("export GUILDHALL_STACK_KAFKA="));
        line.expect("a stack says where its brokers are").trim_matches('\'').to_owned()
    }

    /// `kill`, `start`, `pause` or `resume` the broker with this number, from 1.
    pub(crate) fn broker(&self, command: &str, number: u8) {
        self.command(&[command, &format!("kafka-{number}")]);
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "compose/stack {arguments:?}: {said}");
        output
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../compose/stack");
        let mut command = Command::new(script);
        command.args(arguments).args(["--name", &self.name]);
        command.output().expect("compose/stack can be run")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let output = self.run(&["down"]);
        if !output.status.success() {
            eprintln!("the stack {} is still there: {}", self.name, String::from_utf8_lossy(&output.stderr));
        }
    }
}
