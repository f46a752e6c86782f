//! Kafka away: commits wait, reads go on, and everything recovers by itself.

use std::{sync::Arc, thread::JoinHandle};

use events::{
    StreamId,
    log::{AppendError, Appended, EventLog, LogOptions},
};
use tempfile::TempDir;

use super::{
    stack::Stack,
    support::{options, prefix, wait_until, wait_until_written},
};
use crate::log::support::{JOBS, append, commit, history, job, wait};

/// A log on a broker that may be stopped.
struct Place {
    stack: Stack,
    folder: TempDir,
    options: LogOptions,
}

impl Place {
    fn new() -> Self {
        let stack = Stack::start(1);
        let folder = tempfile::tempdir().unwrap();
        let options = options(&stack.brokers(), &prefix(), folder.path());
        Self { stack, folder, options }
    }

    fn open(&self) -> Arc<dyn EventLog> {
        assert_eq!(self.options.folder, self.folder.path());
        events::open(&self.options).unwrap()
    }

    /// A node with an empty folder comes to the same commits, so many of them.
    fn assert_equal_elsewhere(&self, log: &Arc<dyn EventLog>, commits: usize) {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere =
            events::open(&LogOptions { folder: folder.path().to_owned(), ..self.options.clone() }).unwrap();
        wait_until_written(&[Arc::clone(log), Arc::clone(&elsewhere)], commits);
        assert!(history(log, JOBS) == history(&elsewhere, JOBS), "both copies are the same");
    }
}

fn append_later(
    log: &Arc<dyn EventLog>,
    stream: StreamId,
    first_version: u64,
) -> JoinHandle<Result<Appended, AppendError>> {
    let verdict = log.append(commit(stream, first_version, 1));
    std::thread::spawn(move || wait(verdict))
}

fn is_away(log: &Arc<dyn EventLog>) -> bool {
    log.status().away.is_some()
}

#[test]
#[ignore = "needs the stack"]
fn what_is_appended_on_kafka_while_its_broker_is_gone_or_frozen_is_settled_when_it_is_back() {
    let place = Place::new();
    let log = place.open();
    let streams = [job(), job(), job()];
    for stream in streams {
        append(&log, commit(stream, 1, 1)).unwrap();
    }
    for (head, (gone, back)) in (1..).zip([("kill", "start"), ("pause", "resume"), ("kill", "start")]) {
        place.stack.broker(gone, 1);
        let waiting: Vec<_> = streams.iter().map(|stream| append_later(&log, *stream, head + 1)).collect();
        wait_until("it is noticed", || is_away(&log));
        for stream in streams {
            assert_eq!(log.head(stream), Ok(head), "reads go on, and nothing is guessed");
        }
        place.stack.broker(back, 1);
        for append in waiting {
            append.join().unwrap().unwrap();
        }
        wait_until("its return is noticed", || !is_away(&log));
        assert_eq!(log.status().stopped, None);
    }
    place.assert_equal_elsewhere(&log, 4 * streams.len());
}

#[test]
#[ignore = "needs the stack"]
fn a_copy_is_opened_and_read_while_kafka_is_away_and_its_commits_are_sent_when_it_is_back() {
    let place = Place::new();
    let stream = job();
    let log = place.open();
    append(&log, commit(stream, 1, 1)).unwrap();
    log.close();
    drop(log);
    place.stack.broker("kill", 1);
    let log = place.open();
    assert_eq!((log.head(stream), log.status().stopped), (Ok(1), None));
    wait_until("it says that Kafka is away", || is_away(&log));
    let waiting = append_later(&log, stream, 2);
    place.stack.broker("start", 1);
    waiting.join().unwrap().unwrap();
    assert_eq!((log.head(stream), log.status().stopped), (Ok(2), None));
    wait_until("its return is noticed", || !is_away(&log));
    place.assert_equal_elsewhere(&log, 2);
}
