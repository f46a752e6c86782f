//! Several processes on one upstream: what their copies share, what stops a copy, what is in doubt.

use std::{sync::Arc, time::Duration};

use events::{
    Partition,
    log::{
        AppendError, EventLog, LogError, LogOptions,
        simulated::{SimulatedBroker, SimulatedFaults},
    },
};
use tempfile::TempDir;

use super::support::{JOBS, append, commit, history, job, wait, wait_until_seen};

fn options(folder: &TempDir) -> LogOptions {
    LogOptions { republish_after: Duration::from_millis(5), ..LogOptions::embedded(folder.path()) }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Waits until the copy has read all of the jobs of a broker on which nothing more is published.
fn catch_up(log: &Arc<dyn EventLog>, broker: &SimulatedBroker) {
    // A last commit by this very process: when it is judged, so is all that was before it. What may stand behind it are
    // repetitions.
    broker.land();
    let last = append(log, commit(job(), 1, 1)).unwrap();
    wait_until_seen(log, last.position);
}

#[test]
fn copies_of_one_upstream_are_equal_byte_for_byte() {
    const COMMITS: u64 = 40;
    let broker =
        SimulatedBroker::new(7, 1, SimulatedFaults { delayed: 300, lied: 200, ..Default::default() });
    let folders = [folder(), folder()];
    let logs: Vec<_> = folders.iter().map(|folder| broker.open(&options(folder)).unwrap()).collect();
    let streams = [job(), job()];
    std::thread::scope(|scope| {
        for log in &logs {
            for stream in streams {
                scope.spawn(move || {
                    let mut won = 0;
                    while won < COMMITS {
                        let next = log.head(stream).unwrap() + 1;
                        match append(log, commit(stream, next, 2)) {
                            Ok(_) => won += 1,
                            Err(AppendError::Conflict { head }) => assert!(head >= next),
                            Err(other) => panic!("{other}"),
                        }
                    }
                });
            }
        }
    });
    broker.set_faults(SimulatedFaults::default());
    for log in &logs {
        catch_up(log, &broker);
    }
    catch_up(&logs[0], &broker);
    let (mut one, two) = (history(&logs[0], JOBS), history(&logs[1], JOBS));
    one.truncate(two.len());
    assert_eq!(one, two, "positions, chains, bodies");
    for stream in streams {
        assert_eq!(logs[0].head(stream), Ok(4 * COMMITS));
        assert_eq!(logs[0].load(stream, 0, usize::MAX), logs[1].load(stream, 0, usize::MAX));
    }
    assert_eq!(logs[0].id(), logs[1].id());
    logs[0].verify().unwrap();
}

#[test]
fn an_append_waits_for_a_broker_that_is_away_while_reads_go_on() {
    let broker = SimulatedBroker::new(1, 1, SimulatedFaults::default());
    let folder = folder();
    let log = broker.open(&options(&folder)).unwrap();
    let stream = job();
    append(&log, commit(stream, 1, 1)).unwrap();
    broker.set_away(true);
    let waiting = log.append(commit(stream, 2, 1));
    assert_eq!(log.head(stream), Ok(1));
    assert_eq!(log.load(stream, 0, 10).unwrap().len(), 1);
    broker.set_away(false);
    wait(waiting).unwrap();
    assert_eq!(log.head(stream), Ok(2));
}

#[test]
fn what_is_under_way_when_a_log_is_closed_is_in_doubt_and_found_by_its_command_later() {
    let broker = SimulatedBroker::new(1, 1, SimulatedFaults::default());
    let folder = folder();
    let impatient = LogOptions { close_wait: Duration::ZERO, ..options(&folder) };
    let log = broker.open(&impatient).unwrap();
    let (stream, other) = (job(), job());
    append(&log, commit(stream, 1, 1)).unwrap();
    broker.set_away(true);
    let new = commit(stream, 2, 1);
    let command = new.commands[0].command_id;
    let verdict = log.append(new);
    log.close();
    assert!(matches!(wait(verdict), Err(AppendError::InDoubt(_))));
    broker.set_away(false);
    let log = broker.open(&impatient).unwrap();
    append(&log, commit(other, 1, 1)).unwrap();
    let known = log.find_command(stream, command).unwrap().unwrap();
    assert_eq!((known.first_version, known.count), (2, 1));
}

#[test]
fn a_commit_that_was_sent_twice_counts_once() {
    let broker = SimulatedBroker::new(3, 1, SimulatedFaults { duplicated: 1000, ..Default::default() });
    let folder = folder();
    let log = broker.open(&options(&folder)).unwrap();
    for _ in 0..10 {
        append(&log, commit(job(), 1, 1)).unwrap();
    }
    broker.set_faults(SimulatedFaults::default());
    catch_up(&log, &broker);
    assert_eq!(broker.records(JOBS).len(), 21);
    assert_eq!(history(&log, JOBS).len(), 11);
    assert_eq!(log.status().voids, 10);
    assert_eq!(log.status().conflicts, 0, "its writer was told that it is there");
}

#[test]
fn a_record_that_is_no_commit_is_void_and_halts_nobody() {
    let broker = SimulatedBroker::new(1, 2, SimulatedFaults::default());
    let folder = folder();
    let log = broker.open(&options(&folder)).unwrap();
    let stream = loop {
        let stream = job();
        if stream.uuid.as_u128().is_multiple_of(2) {
            break stream;
        }
    };
    let body = commit(stream, 1, 1).body;
    let format = broker.format();
    broker.inject(JOBS, "x", format, b"not json");
    broker.inject(JOBS, "x", format, b"[]");
    broker.inject(JOBS, "x", format, b"[{\"subject\":\"horse-00\"}]");
    broker.inject(JOBS, "another key", format, &body);
    broker.inject(JOBS, &stream.to_string(), 0, &body);
    broker.inject(Partition { number: 1, ..JOBS }, &stream.to_string(), format, &body);
    append(&log, commit(stream, 1, 1)).unwrap();
    append(&log, commit(job(), 1, 1)).unwrap();
    assert_eq!(log.head(stream), Ok(1));
    assert_eq!(log.status().stopped, None);
    assert!(log.status().voids >= 5);
}

/// Opens a log with one commit, lets something happen to its broker, and gives the reason why the copy stopped.
fn reason_of_stop(happens: impl FnOnce(&SimulatedBroker)) -> String {
    let broker = SimulatedBroker::new(1, 1, SimulatedFaults::default());
    let folder = folder();
    let (log, mut tail) = broker.open_stepped(&options(&folder)).unwrap();
    let first = log.append(commit(job(), 1, 1));
    tail.turn().unwrap();
    wait(first).unwrap();
    happens(&broker);
    let pending = log.append(commit(job(), 1, 1));
    let stopped = tail.turn().unwrap_err().to_string();
    assert!(matches!(wait(pending), Err(AppendError::InDoubt(_))));
    assert!(matches!(append(&log, commit(job(), 1, 1)), Err(AppendError::Unavailable(_))));
    tail.write().unwrap();
    assert_eq!(
        history(&log, JOBS).len(),
        1,
        "reads go on, and show nothing behind the place where it stopped"
    );
    let status = log.status().stopped.unwrap();
    assert!(status.contains(&stopped), "{status} {stopped}");
    // What is behind that place is not read after another start either.
    drop((log, tail));
    let (log, mut tail) = broker.open_stepped(&options(&folder)).unwrap();
    assert_eq!(tail.turn().unwrap_err().to_string(), stopped);
    tail.write().unwrap();
    assert_eq!(history(&log, JOBS).len(), 1);
    stopped
}

#[test]
fn a_gap_in_a_stream_stops_the_copy() {
    let reason = reason_of_stop(|broker| {
        let ahead = commit(job(), 2, 1);
        broker.inject(JOBS, &ahead.stream.to_string(), broker.format(), &ahead.body);
    });
    assert!(reason.contains("truncated"), "{reason}");
}

#[test]
fn what_a_newer_release_wrote_stops_the_copy_instead_of_being_judged_wrongly() {
    let reason = reason_of_stop(|broker| broker.inject(JOBS, "x", broker.format() + 1, b"whatever comes"));
    assert!(reason.contains("format"), "{reason}");
    let reason = reason_of_stop(|broker| {
        let body = String::from_utf8(commit(job(), 1, 1).body).unwrap().replace("\"job-", "\"yacht-");
        broker.inject(JOBS, "x", broker.format(), body.as_bytes());
    });
    assert!(reason.contains("yacht"), "{reason}");
}

#[test]
fn an_upstream_that_lost_history_or_is_another_log_is_refused() {
    let broker = SimulatedBroker::new(1, 1, SimulatedFaults::default());
    let folder = folder();
    let log = broker.open(&options(&folder)).unwrap();
    for _ in 0..5 {
        append(&log, commit(job(), 1, 1)).unwrap();
    }
    log.close();
    let refused = |broker: &Arc<SimulatedBroker>| match broker.open(&options(&folder)).map(drop) {
        Err(LogError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    };
    let other = SimulatedBroker::new(2, 1, SimulatedFaults::default());
    assert!(refused(&other).contains("copy of log"));
    broker.truncate(JOBS, 3);
    assert!(refused(&broker).contains("lost history"));
    for _ in 0..2 {
        let foreign = commit(job(), 1, 1);
        broker.inject(JOBS, &foreign.stream.to_string(), broker.format(), &foreign.body);
    }
    assert!(refused(&broker).contains("not the log it was"));
}
