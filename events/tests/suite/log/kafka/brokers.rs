//! Three brokers: one may be lost at any moment, and topics that could not bear it are refused.

use events::log::LogError;

use super::{
    stack::Stack,
    support::{options, prefix, wait_until_written},
    topics::Operator,
};
use crate::log::support::{append, commit, job};

#[test]
#[ignore = "needs the stack"]
fn each_broker_of_three_may_be_lost_on_kafka_and_a_topic_that_could_not_bear_it_is_refused() {
    let stack = Stack::start(3);
    let (brokers, prefix) = (stack.brokers(), prefix());
    let folder = tempfile::tempdir().unwrap();
    let options = options(&brokers, &prefix, folder.path());
    let log = events::open(&options).unwrap();
    let streams = [job(), job()];
    for stream in streams {
        append(&log, commit(stream, 1, 1)).unwrap();
    }
    let mut versions = 2..;
    for number in 1..=3 {
        stack.broker("kill", number);
        // With two brokers left the topics still take commits, whichever of them led.
        for version in versions.by_ref().take(3) {
            for stream in streams {
                append(&log, commit(stream, version, 1)).unwrap();
            }
        }
        stack.broker("start", number);
    }
    wait_until_written(&[std::sync::Arc::clone(&log)], 20);
    assert_eq!(log.status().stopped, None);
    log.close();
    drop(log);
    let jobs = format!("{prefix}.jobs.events");
    Operator::of(&brokers).alter(&jobs, "min.insync.replicas", "1");
    match events::open(&options).map(drop) {
        Err(LogError::Refused(sentence)) => assert!(
            [jobs.as_str(), "3 replicas", "min.insync.replicas 1"].iter().all(|word| sentence.contains(word)),
            "{sentence}"
        ),
        other => panic!("it was not refused: {other:?}"),
    }
}
