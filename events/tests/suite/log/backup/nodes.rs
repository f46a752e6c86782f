//! A node's copy of a log on an upstream: another node starts from its backup, and goes on from there.

use std::time::Duration;

use events::log::{
    LogOptions,
    backup::LogKind,
    simulated::{SimulatedBroker, SimulatedFaults},
};

use super::{Log, Places, while_written};
use crate::log::support::{JOBS, append, commit, history, job, wait_until_seen};

fn options(folder: &std::path::Path) -> LogOptions {
    LogOptions { republish_after: Duration::from_millis(5), ..LogOptions::embedded(folder) }
}

/// Waits until the copy holds all of a partition on which nothing more is published: a last commit by this very process.
/// What may stand behind it are repetitions.
fn catch_up(log: &Log) {
    let last = append(log, commit(job(), 1, 1)).unwrap();
    wait_until_seen(log, last.position);
}

#[test]
fn a_node_that_starts_from_a_backup_of_a_running_one_goes_on_from_there() {
    let broker = SimulatedBroker::new(3, 1, SimulatedFaults::default());
    let places = Places::new();
    let running = broker.open(&options(&places.data)).unwrap();
    let taken = while_written(&running, || places.take().unwrap());
    assert_eq!((taken.manifest.log, taken.manifest.kind), (running.id(), LogKind::NodeCopy));
    let jobs = taken.manifest.partitions.iter().find(|record| record.partition == JOBS).unwrap();
    assert!(jobs.end > 50 && jobs.judged >= jobs.end, "it holds what the running node had judged: {jobs:?}");
    let restored = places.restore(&places.keys).unwrap();
    assert_eq!(restored.log, running.id(), "the upstream has the history");
    let started = broker.open(&options(&places.restored)).unwrap();
    assert!(started.end(JOBS).unwrap() >= jobs.end, "it does not begin anew");
    catch_up(&started);
    catch_up(&running);
    let (mut one, two) = (history(&running, JOBS), history(&started, JOBS));
    one.truncate(two.len());
    assert_eq!(one, two, "positions, chains, bodies");
    // Both write from now on.
    append(&started, commit(job(), 1, 1)).unwrap();
    append(&running, commit(job(), 1, 1)).unwrap();
    started.verify().unwrap();
    // And the backup of either is the same log's.
    catch_up(&running);
    places.take().unwrap();
    places.check().unwrap();
}
