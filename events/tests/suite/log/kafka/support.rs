//! The cluster of the tests, and logs on it under prefixes of their own.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    Id,
    ids::JobId,
    log::{EventLog, KafkaOptions, LogOptions},
};

use crate::log::support::history;

/// How long a test waits for what must come; generous, so that a slow machine fails no test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The cluster that the tests were started with.
pub(crate) fn brokers() -> String {
    std::env::var("GUILDHALL_STACK_KAFKA").unwrap_or_else(|_| {
        let missing = std::env::var("GUILDHALL_STACK_MISSING").unwrap_or_else(|_| "there is no stack".into());
        panic!("needs the stack: run this test as compose/stack run --only kafka -- cargo test … ({missing})")
    })
}

/// A prefix that no other test has.
pub(crate) fn prefix() -> String {
    format!("test-{}", JobId::fresh().uuid().simple())
}

/// A log with one partition a service, whatever the cluster.
pub(crate) fn options(brokers: &str, prefix: &str, folder: &Path) -> LogOptions {
    let kafka = KafkaOptions { topic_prefix: prefix.to_owned(), partitions: 1, ..KafkaOptions::default() };
    LogOptions { kafka, ..LogOptions::kafka(brokers, folder) }
}

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the file of every copy holds so many commits: it is written behind the answers.
pub(crate) fn wait_until_written(logs: &[Arc<dyn EventLog>], commits: usize) {
    let written = |log: &Arc<dyn EventLog>| -> usize {
        log.partitions().into_iter().map(|partition| history(log, partition).len()).sum()
    };
    wait_until("every copy is written", || logs.iter().all(|log| written(log) == commits));
}

/// Waits until every copy ends where every other ends. Without writers that is all there is; see also [`wait_until_written`].
pub(crate) fn wait_until_equal(logs: &[Arc<dyn EventLog>]) {
    wait_until("the copies are equal", || {
        let ends = |log: &Arc<dyn EventLog>| -> Vec<_> {
            log.partitions().into_iter().map(|partition| log.end(partition).unwrap()).collect()
        };
        let first = ends(&logs[0]);
        logs.iter().all(|log| log.status().behind == 0 && ends(log) == first)
    });
}
