//! No event changes a read model twice, and none is missed, whatever dies or fails, and wherever.

use std::{sync::Arc, time::Duration};

use events::log::{
    LogOptions,
    simulated::{SimulatedBroker, SimulatedFaults},
};
use projections::{Projection, ReadStore};
use workers::WorkerSettings;

use crate::support::{
    House, append, faults::FaultyStore, projections::Trails, settings, stream, until_caught_up,
};

const STREAMS: u128 = 5;
const EVENTS: u64 = 6;

async fn write_history(house: &House) {
    for round in 0..EVENTS / 2 {
        for number in 0..STREAMS {
            // Commits of one and of three events.
            let events = if (round + number as u64).is_multiple_of(2) { 1 } else { 3 };
            house.append(stream(number), events).await;
        }
    }
}

async fn assert_exactly_once(house: &House, trails: &Trails, store: &dyn ReadStore, when: &str) {
    for number in 0..STREAMS {
        let head = house.log.head(stream(number)).unwrap();
        let expected: Vec<u64> = (1..=head).collect();
        assert_eq!(trails.trail(store, stream(number)).await, expected, "stream {number}, {when}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_dies_at_any_operation_leaves_every_event_applied_once() {
    let house = House::new();
    write_history(&house).await;
    for projection in [Trails::partitioned(), Trails::joined(2)] {
        let mut crashes = 0;
        for at in 0.. {
            let mut came_to_an_end = false;
            for done_first in [false, true] {
                let name = format!("{}-{at}-{done_first}", projection.name());
                let store = house.another_store(&name);
                let dying = FaultyStore::crash(Arc::clone(&store), at, done_first);
                let projections = || vec![Arc::clone(&projection) as Arc<dyn Projection>];
                let workers = house.workers_with(projections(), Arc::clone(&dying) as _, settings());
                tokio::select! {
                    // Others go on beside the one operation that hangs: when all is read by now, it has died all the same.
                    biased;
                    () = dying.crashed.notified() => crashes += 1,
                    () = until_caught_up(&workers, house.log.as_ref()) => came_to_an_end = true,
                }
                drop(workers);
                let workers = house.workers_with(projections(), Arc::clone(&store), settings());
                until_caught_up(&workers, house.log.as_ref()).await;
                assert_exactly_once(&house, &projection, store.as_ref(), &name).await;
            }
            if came_to_an_end {
                break;
            }
        }
        assert!(crashes > 10, "only {crashes} crashes: this test has gone blind");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_by_seed_only_makes_it_slower() {
    for seed in 0..6 {
        let house = House::new();
        let projection = if seed % 2 == 0 { Trails::partitioned() } else { Trails::joined(2) };
        let faulty = FaultyStore::random(Arc::clone(&house.store), seed, 30);
        let workers = house.workers_with(vec![projection.clone()], faulty, settings());
        // While it writes, so that batches of all sizes come about.
        write_history(&house).await;
        until_caught_up(&workers, house.log.as_ref()).await;
        assert_exactly_once(&house, &projection, house.store.as_ref(), &format!("seed {seed}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runners_on_one_projection_fence_each_other_and_the_documents_are_right() {
    let house = House::new();
    for projection in [Trails::partitioned(), Trails::joined(2)] {
        let small = WorkerSettings { batch_commits_max: 1, ..settings() };
        let start = || house.workers_with(vec![projection.clone()], Arc::clone(&house.store), small.clone());
        let (one, other) = (start(), start());
        for _ in 0..4 {
            write_history(&house).await;
        }
        until_caught_up(&one, house.log.as_ref()).await;
        assert_exactly_once(&house, &projection, house.store.as_ref(), "two runners").await;
        let applied: u64 =
            [&one, &other].iter().flat_map(|w| w.status().runners).map(|r| r.verdicts.applied).sum();
        let all: u64 = (0..STREAMS).map(|number| house.log.head(stream(number)).unwrap()).sum();
        assert_eq!(applied, all, "every event has one verdict, in one of the two");
        one.shutdown().await;
        other.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_upstream_delivers_twice_or_late_is_applied_once_in_order() {
    for seed in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let broker = SimulatedBroker::new(seed, 2, SimulatedFaults::wild());
        let republish_after = Duration::from_millis(20);
        let log = broker
            .open(&LogOptions { republish_after, ..LogOptions::embedded(folder.path().join("copy")) })
            .unwrap();
        let house = House { log: Arc::clone(&log), ..House::new() };
        let projection = if seed % 2 == 0 { Trails::partitioned() } else { Trails::joined(2) };
        let workers = house.workers(vec![projection.clone()]);
        let mut writers = tokio::task::JoinSet::new();
        for number in 0..STREAMS {
            let log = Arc::clone(&log);
            writers.spawn(async move {
                for _ in 0..EVENTS {
                    append(log.as_ref(), stream(number), 1).await;
                }
            });
        }
        while let Some(written) = writers.join_next().await {
            written.unwrap();
        }
        until_caught_up(&workers, log.as_ref()).await;
        assert_exactly_once(&house, &projection, house.store.as_ref(), &format!("seed {seed}")).await;
        workers.shutdown().await;
    }
}
