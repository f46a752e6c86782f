//! Several processes on one log: each with a copy of its own, all with one history.

use std::sync::Arc;

use events::{
    StreamId, Version,
    log::{AppendError, EventLog, KafkaOptions, LogOptions},
};

use super::support::{brokers, options, prefix, wait_until_written};
use crate::log::support::{append, commit, history, job};

/// Appends to a stream until it has won so often, as a writer does: conflicts show the head, what is in doubt is looked up.
fn win(log: &Arc<dyn EventLog>, stream: StreamId, wins: usize) -> Vec<Version> {
    let mut head = log.head(stream).unwrap();
    let mut won = Vec::new();
    while won.len() < wins {
        match append(log, commit(stream, head + 1, 1)) {
            Ok(_) => {
                head += 1;
                won.push(head);
            }
            Err(AppendError::Conflict { head: stands }) => head = stands,
            Err(other) => panic!("{other}"),
        }
    }
    won
}

#[test]
#[ignore = "needs the stack"]
fn two_processes_that_write_the_same_streams_end_in_equal_copies_and_no_version_is_won_twice() {
    const STREAMS: usize = 4;
    const WINS: usize = 25;
    let (brokers, prefix) = (brokers(), prefix());
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let logs: Vec<Arc<dyn EventLog>> = folders
        .iter()
        .map(|folder| {
            let mut options = options(&brokers, &prefix, folder.path());
            options.kafka.partitions = 3;
            events::open(&options).unwrap()
        })
        .collect();
    assert_eq!(logs[0].id(), logs[1].id());
    let streams: Vec<StreamId> = (0..STREAMS).map(|_| job()).collect();
    let writers: Vec<_> = logs
        .iter()
        .flat_map(|log| streams.iter().map(|stream| (Arc::clone(log), *stream)))
        .map(|(log, stream)| std::thread::spawn(move || (stream, win(&log, stream, WINS))))
        .collect();
    let mut won: Vec<(StreamId, Version)> = Vec::new();
    for writer in writers {
        let (stream, versions) = writer.join().unwrap();
        won.extend(versions.into_iter().map(|version| (stream, version)));
    }
    let count = won.len();
    won.sort();
    won.dedup();
    assert_eq!((won.len(), count), (count, 2 * STREAMS * WINS), "no version was won twice");
    wait_until_written(&logs, 2 * STREAMS * WINS);
    for partition in logs[0].partitions() {
        // Not `assert_eq`: it would print both.
        assert!(
            history(&logs[0], partition) == history(&logs[1], partition),
            "{partition} is the same in both"
        );
    }
    for stream in streams {
        assert_eq!(logs[0].head(stream), Ok(2 * WINS as Version));
    }
    for log in &logs {
        log.verify().unwrap();
    }
}

#[test]
#[ignore = "needs the stack"]
fn nodes_that_make_a_log_at_the_same_time_end_with_one_identity_and_a_later_one_takes_it() {
    const NODES: usize = 3;
    let (brokers, prefix) = (brokers(), prefix());
    let open = |partitions: u16| {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&brokers, &prefix, folder.path());
        let kafka = KafkaOptions { partitions, ..options.kafka.clone() };
        (events::open(&LogOptions { kafka, ..options }).unwrap(), folder)
    };
    let nodes: Vec<_> = std::thread::scope(|scope| {
        let nodes: Vec<_> = (1..=NODES).map(|node| scope.spawn(move || open(node as u16))).collect();
        nodes.into_iter().map(|node| node.join().unwrap()).collect()
    });
    let (first, _) = &nodes[0];
    for (node, _) in &nodes {
        assert_eq!((node.id(), node.partitions()), (first.id(), first.partitions()));
    }
    let stream = job();
    append(first, commit(stream, 1, 1)).unwrap();
    let (later, _folder) = open(7);
    assert_eq!((later.id(), later.partitions()), (first.id(), first.partitions()));
    assert!(matches!(append(&later, commit(stream, 1, 1)), Err(AppendError::Conflict { .. })));
}
