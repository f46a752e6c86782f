//! A projector stops, and says why, when going on would make things worse.

use std::sync::Arc;

use events::{LogId, Partition, Service};
use projections::{Advance, Batch, Checkpoint, Projection};
use uuid::Uuid;
use workers::{RunState, WorkerSettings, Workers};

use crate::support::{
    House, faults::FaultyStore, projections::Trails, settings, stream, until_caught_up, until_status,
};

const JOBS: Partition = Partition { service: Service::Jobs, number: 0 };

async fn reason_of_stop(workers: &Workers) -> String {
    until_status(workers, "stopped", |status| matches!(status.runners[0].state, RunState::Stopped { .. }))
        .await;
    match workers.status().runners.remove(0).state {
        RunState::Stopped { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_parked_sequences_stop_the_projector_with_a_reason() {
    let house = House::new();
    let trails = Trails::partitioned();
    let few = WorkerSettings { parked_per_window_max: 3, parked_window_events: 100, ..settings() };
    for number in 0..10 {
        trails.poison(stream(number), 1);
        house.append(stream(number), 1).await;
    }
    let workers = house.workers_with(vec![trails.clone()], Arc::clone(&house.store), few);
    let reason = reason_of_stop(&workers).await;
    assert!(reason.contains("outage"), "{reason}");
    assert_eq!(workers.letters(None, None, 100).await.unwrap().items.len(), 3);
    assert_eq!(workers.status().runners[0].verdicts.stopped, 1);
    assert_eq!(workers.status().runners[0].verdicts.parked, 3);

    // Mended and told to go on, it takes up where it stopped.
    trails.mend();
    assert_eq!(workers.resume(trails.name()).await, Ok(1));
    until_caught_up(&workers, house.log.as_ref()).await;
    for number in 3..10 {
        assert_eq!(trails.trail(house.store.as_ref(), stream(number)).await, [1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_do_not_count_as_newly_parked() {
    let house = House::new();
    let trails = Trails::partitioned();
    trails.poison(stream(1), 1);
    let few = WorkerSettings { parked_per_window_max: 1, ..settings() };
    let workers = house.workers_with(vec![trails.clone()], Arc::clone(&house.store), few);
    for _ in 0..20 {
        house.append(stream(1), 2).await;
    }
    until_caught_up(&workers, house.log.as_ref()).await;
    assert_eq!(workers.status().runners[0].verdicts.parked, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_parked_again_after_a_failed_transaction_counts_once() {
    for seed in 0..4 {
        let house = House::new();
        let trails = Trails::partitioned();
        let few = WorkerSettings { parked_per_window_max: 3, batch_commits_max: 100, ..settings() };
        for number in 0..3 {
            trails.poison(stream(number), 1);
            house.append(stream(number), 1).await;
        }
        let faulty = FaultyStore::random(Arc::clone(&house.store), seed, 60);
        let workers = house.workers_with(vec![trails.clone()], faulty, few);
        until_caught_up(&workers, house.log.as_ref()).await;
        assert_eq!(workers.status().runners[0].sequences_blocked, 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_blocked_sequences_stop_the_projector_however_slowly_they_came() {
    let house = House::new();
    let trails = Trails::partitioned();
    let few = WorkerSettings { sequences_blocked_max: 2, parked_window_events: 1, ..settings() };
    for number in 0..4 {
        trails.poison(stream(number), 1);
        house.append(stream(number), 1).await;
    }
    let workers = house.workers_with(vec![trails.clone()], Arc::clone(&house.store), few);
    let reason = reason_of_stop(&workers).await;
    assert!(reason.contains("more than 2 sequences"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projection_that_halts_on_failure_stops_at_once_and_parks_nothing() {
    let house = House::new();
    let trails = Trails::halting();
    trails.poison(stream(2), 1);
    for number in 0..4 {
        house.append(stream(number), 1).await;
    }
    let workers = house.workers(vec![trails.clone()]);
    let reason = reason_of_stop(&workers).await;
    assert!(reason.contains("halts") && reason.contains("the test says so"), "{reason}");
    assert!(workers.letters(None, None, 10).await.unwrap().items.is_empty());
    assert!(!workers.status().is_healthy());
    // What stands before is applied, nothing behind it.
    for (number, applied) in [(0, vec![1]), (1, vec![1]), (2, vec![]), (3, vec![])] {
        assert_eq!(trails.trail(house.store.as_ref(), stream(number)).await, applied, "stream {number}");
    }
    assert_eq!(workers.resume(trails.name()).await, Ok(1));
    until_status(&workers, "stopped again", |status| status.runners[0].verdicts.stopped == 2).await;
    trails.mend();
    reason_of_stop(&workers).await;
    workers.resume(trails.name()).await.unwrap();
    until_caught_up(&workers, house.log.as_ref()).await;
    assert_eq!(trails.trail(house.store.as_ref(), stream(3)).await, [1]);
}

/// Sets the checkpoint of a projection by hand.
async fn set_checkpoint(house: &House, trails: &Trails, log: LogId, offset: i64) {
    let collections = workers::collections_with_ours(trails.collections());
    house.store.prepare(&trails.id(), &collections).await.unwrap();
    let from = house.store.checkpoint(&trails.id(), JOBS).await.unwrap();
    let advances = vec![Advance { partition: JOBS, from, to: Checkpoint { log, offset } }];
    let batch = Batch { projection: trails.id(), writes: vec![], advances, unchanged: vec![] };
    house.store.commit(batch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_of_another_log_is_refused() {
    let house = House::new();
    let trails = Trails::partitioned();
    house.append(stream(1), 1).await;
    set_checkpoint(&house, &trails, LogId(Uuid::from_u128(5)), 0).await;
    let workers = house.workers(vec![trails.clone()]);
    let reason = reason_of_stop(&workers).await;
    assert!(reason.contains("belongs to the log"), "{reason}");
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, [0_u64; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_beyond_the_end_of_the_log_says_that_history_was_lost() {
    let house = House::new();
    let trails = Trails::partitioned();
    house.append(stream(1), 1).await;
    let end = house.log.end(JOBS).unwrap();
    set_checkpoint(&house, &trails, house.log.id(), end + 7).await;
    let workers = house.workers(vec![trails.clone()]);
    let reason = reason_of_stop(&workers).await;
    assert!(reason.contains("the log lost history"), "{reason}");
}
