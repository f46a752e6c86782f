//! What a log does about records and topics that change under it.

use std::sync::Arc;

use events::{
    Service,
    log::{AppendError, EventLog},
};

use super::{
    support::{brokers, options, prefix, wait_until, wait_until_written},
    topics::Operator,
};
use crate::log::support::{JOBS, append, commit, history, job};

#[test]
#[ignore = "needs the stack"]
fn a_record_that_names_another_log_or_none_is_void_in_every_copy_and_the_log_goes_on() {
    let (brokers, prefix) = (brokers(), prefix());
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let open = |at: usize| events::open(&options(&brokers, &prefix, folders[at].path())).unwrap();
    let log = open(0);
    let stream = job();
    append(&log, commit(stream, 1, 1)).unwrap();
    let next = commit(stream, 2, 1);
    let ours = log.id().to_string();
    let operator = Operator::of(&brokers);
    let topic = format!("{prefix}.{}.events", Service::Jobs);
    let key = stream.to_string();
    // What would be valid, if it were ours.
    for headers in [
        vec![("guildhall-format", "1"), ("guildhall-log", "0192f0c1a2b37c4d8e5f60718293a4b5")],
        vec![("guildhall-format", "1")],
        vec![("guildhall-log", ours.as_str())],
        vec![("guildhall-log", ours.as_str()), ("guildhall-format", "one")],
        vec![],
    ] {
        operator.write(&topic, &key, &headers, &next.body);
    }
    wait_until("all five were judged", || log.status().voids == 5);
    assert_eq!(log.head(stream), Ok(1));
    append(&log, next).unwrap();
    assert_eq!((log.head(stream), log.status().stopped), (Ok(2), None));
    let later = open(1);
    let logs: Vec<Arc<dyn EventLog>> = vec![log, later];
    wait_until_written(&logs, 2);
    assert_eq!(history(&logs[0], JOBS), history(&logs[1], JOBS));
    assert_eq!(logs[1].status().voids, 5);
}

#[test]
#[ignore = "needs the stack"]
fn a_log_whose_topic_is_made_anew_under_it_stops_and_says_so_and_reads_go_on() {
    let (brokers, prefix) = (brokers(), prefix());
    let folder = tempfile::tempdir().unwrap();
    let log = events::open(&options(&brokers, &prefix, folder.path())).unwrap();
    let stream = job();
    append(&log, commit(stream, 1, 1)).unwrap();
    append(&log, commit(job(), 1, 1)).unwrap();
    let operator = Operator::of(&brokers);
    let topic = format!("{prefix}.{}.events", Service::Jobs);
    operator.delete(&topic);
    operator.create(&topic, 1, &[]);
    wait_until("the log stopped", || log.status().stopped.is_some());
    let reason = log.status().stopped.unwrap();
    assert!(reason.contains(&topic), "{reason}");
    assert_eq!(log.head(stream), Ok(1));
    assert!(matches!(append(&log, commit(stream, 2, 1)), Err(AppendError::Unavailable(_))));
}
