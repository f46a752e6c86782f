//! A copy is written behind the answers: what is seen before that, what a crash in between costs, how far it may lag.

use std::sync::Arc;

use events::log::{
    AppendError, Appended, EventLog, LogOptions,
    simulated::{SimulatedBroker, SimulatedFaults, SteppedTail},
};
use events::stream::BEFORE_FIRST;
use tempfile::TempDir;

use super::support::{JOBS, append, commit, history, job, wait};

struct House {
    folder: TempDir,
    broker: Arc<SimulatedBroker>,
}

impl House {
    fn new() -> Self {
        let broker = SimulatedBroker::new(5, 1, SimulatedFaults::default());
        Self { folder: tempfile::tempdir().unwrap(), broker }
    }

    fn options(&self) -> LogOptions {
        LogOptions::embedded(self.folder.path())
    }

    fn open(&self) -> (Arc<dyn EventLog>, SteppedTail) {
        self.broker.open_stepped(&self.options()).unwrap()
    }
}

/// Appends a first commit to a new stream and lets it be judged, not written.
fn judged(log: &Arc<dyn EventLog>, tail: &mut SteppedTail) -> (events::envelope::NewCommit, Appended) {
    let new = commit(job(), 1, 2);
    let verdict = log.append(new.clone());
    tail.turn().unwrap();
    (new, wait(verdict).unwrap())
}

#[test]
fn an_answered_commit_is_seen_by_deciders_at_once_and_by_subscribers_when_it_is_written() {
    let house = House::new();
    let (log, mut tail) = house.open();
    let (new, appended) = judged(&log, &mut tail);
    let command = new.commands[0].command_id;
    let decided_on = |log: &Arc<dyn EventLog>| {
        let known = log.find_command(new.stream, command).unwrap().unwrap();
        assert_eq!(known.position, appended.position);
        (log.head(new.stream), log.head_in_memory(new.stream), log.load(new.stream, 0, 10).unwrap())
    };
    let before = decided_on(&log);
    assert_eq!((before.0.clone(), before.1, before.2.len()), (Ok(2), Some(2), 1));
    assert_eq!((log.end(JOBS), history(&log, JOBS)), (Ok(BEFORE_FIRST), Vec::new()));
    assert!(!log.changes().has_changed().unwrap());
    let changes = log.changes();
    assert_eq!(tail.write(), Ok(1));
    assert!(changes.has_changed().unwrap());
    assert_eq!(log.end(JOBS), Ok(appended.position.offset));
    assert_eq!(history(&log, JOBS), before.2);
    assert_eq!(decided_on(&log), before, "nobody who decides can tell the difference");
}

#[test]
fn a_stream_is_loaded_across_the_border_of_what_is_written() {
    let house = House::new();
    let (log, mut tail) = house.open();
    let stream = job();
    for round in 0..6 {
        let verdict = log.append(commit(stream, 2 * round + 1, 2));
        tail.turn().unwrap();
        wait(verdict).unwrap();
        if round == 2 {
            assert_eq!(tail.write(), Ok(3));
        }
    }
    let firsts = |after, limit| -> Vec<u64> {
        log.load(stream, after, limit).unwrap().iter().map(|commit| commit.first_version).collect()
    };
    assert_eq!(firsts(0, usize::MAX), [1, 3, 5, 7, 9, 11]);
    assert_eq!(firsts(3, usize::MAX), [3, 5, 7, 9, 11]);
    assert_eq!(firsts(3, 3), [3, 5, 7]);
    assert_eq!(firsts(0, 2), [1, 3]);
    assert_eq!(firsts(7, 1), [7]);
    assert_eq!(firsts(8, usize::MAX), [9, 11]);
    assert!(firsts(12, usize::MAX).is_empty());
    let all = log.load(stream, 0, usize::MAX).unwrap();
    assert_eq!(tail.write(), Ok(3));
    assert_eq!(log.load(stream, 0, usize::MAX).unwrap(), all);
    log.verify().unwrap();
}

#[test]
fn what_was_answered_and_not_written_when_the_process_died_is_judged_again() {
    let house = House::new();
    let (log, mut tail) = house.open();
    let (written, _) = judged(&log, &mut tail);
    tail.write().unwrap();
    let (new, appended) = judged(&log, &mut tail);
    let before = log.load(new.stream, 0, 10).unwrap();
    drop((log, tail));
    let (log, mut tail) = house.open();
    assert_eq!((log.head(written.stream), log.head(new.stream)), (Ok(2), Ok(0)));
    assert_eq!(log.status().behind, 1);
    assert!(log.stale().is_some_and(|reason| reason.contains("caught up")), "no decision may rest on it");
    assert_eq!(tail.turn(), Ok(1));
    assert_eq!((log.stale(), log.status().behind), (None, 0));
    assert_eq!(log.load(new.stream, 0, 10).unwrap(), before);
    let known = log.find_command(new.stream, new.commands[0].command_id).unwrap().unwrap();
    assert_eq!(known.position, appended.position);
    tail.write().unwrap();
    log.verify().unwrap();
}

#[test]
fn a_copy_that_was_closed_in_order_is_not_stale_when_it_is_opened() {
    let house = House::new();
    let log = house.broker.open(&house.options()).unwrap();
    assert_eq!(log.stale(), None, "an empty log");
    append(&log, commit(job(), 1, 1)).unwrap();
    log.close();
    let log = house.broker.open(&house.options()).unwrap();
    assert_eq!((log.stale(), log.status().behind), (None, 0));
}

#[test]
fn a_copy_that_cannot_ask_its_upstream_is_stale_and_readable() {
    let house = House::new();
    let (log, mut tail) = house.open();
    let (new, _) = judged(&log, &mut tail);
    tail.write().unwrap();
    drop((log, tail));
    house.broker.set_away(true);
    let (log, mut tail) = house.open();
    tail.turn().unwrap();
    assert!(log.stale().is_some() && log.status().away.is_some());
    assert_eq!((log.head(new.stream), history(&log, JOBS).len()), (Ok(2), 1));
    house.broker.set_away(false);
    tail.turn().unwrap();
    assert_eq!((log.stale(), log.status().away), (None, None));
}

#[test]
fn the_upstream_is_not_polled_while_too_much_waits_to_be_written() {
    let house = House::new();
    let bounded = LogOptions { unwritten_commits_max: 3, ..house.options() };
    let (log, mut tail) = house.broker.open_stepped(&bounded).unwrap();
    let mut verdicts = Vec::new();
    for round in 0..4 {
        verdicts.push(log.append(commit(job(), 1, 1)));
        assert_eq!(tail.turn(), Ok(usize::from(round < 3)));
    }
    assert_eq!(log.status().commits, 3);
    assert_eq!(tail.write(), Ok(3));
    assert_eq!(tail.turn(), Ok(1));
    assert!(verdicts.into_iter().all(|verdict| wait(verdict).is_ok()));
}

#[test]
fn a_full_disk_stops_the_copy_and_nothing_that_was_answered_is_lost() {
    let house = House::new();
    let full = LogOptions { pages_max: Some(150), ..house.options() };
    let log = house.broker.open(&full).unwrap();
    let mut acknowledged = Vec::new();
    let refused = loop {
        let new = commit(job(), 1, 3);
        let stream = new.stream;
        match append(&log, new) {
            Ok(_) => acknowledged.push(stream),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, AppendError::InDoubt(_) | AppendError::Unavailable(_)), "{refused}");
    assert!(log.status().stopped.is_some_and(|reason| reason.contains("full")));
    assert!(acknowledged.len() > 10);
    for stream in &acknowledged {
        assert_eq!(log.head(*stream), Ok(3), "reads go on, of what is not written too");
    }
    log.close();
    let log = house.broker.open(&house.options()).unwrap();
    append(&log, commit(job(), 1, 1)).unwrap();
    for stream in &acknowledged {
        assert_eq!(log.head(*stream), Ok(3));
    }
    log.verify().unwrap();
}
