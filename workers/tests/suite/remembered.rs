//! What a runner remembers of its documents saves reading them, and is never older than what it writes over.

use std::sync::Arc;

use projections::Projection;
use workers::{RunState, WorkerSettings};

use crate::support::{
    House, faults::FaultyStore, projections::Trails, settings, stream, until, until_caught_up,
};

fn dense(up_to: u64) -> Vec<u64> {
    (1..=up_to).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_read_once_however_many_batches_change_it() {
    let house = House::new();
    let trails = Trails::partitioned();
    let counting = FaultyStore::holding(Arc::clone(&house.store));
    let workers = house.workers_with(vec![trails.clone()], Arc::clone(&counting) as _, settings());
    for _ in 0..20 {
        house.append(stream(1), 1).await;
        house.append(stream(2), 1).await;
        until_caught_up(&workers, house.log.as_ref()).await;
    }
    assert_eq!(counting.trails_read(), 2);
    for number in [1, 2] {
        assert_eq!(trails.trail(house.store.as_ref(), stream(number)).await, dense(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_remembered_is_bounded_and_what_was_forgotten_is_read_again() {
    let house = House::new();
    let trails = Trails::partitioned();
    let counting = FaultyStore::holding(Arc::clone(&house.store));
    let nothing = WorkerSettings { documents_remembered_bytes_max: 0, ..settings() };
    let workers = house.workers_with(vec![trails.clone()], Arc::clone(&counting) as _, nothing);
    for _ in 0..5 {
        house.append(stream(1), 1).await;
        until_caught_up(&workers, house.log.as_ref()).await;
    }
    assert_eq!(counting.trails_read(), 5);
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, dense(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_was_overtaken_builds_on_what_the_other_wrote() {
    for trails in [Trails::partitioned(), Trails::joined(1)] {
        let house = House::new();
        let slow_store = FaultyStore::holding(Arc::clone(&house.store));
        let slow = house.workers_with(vec![trails.clone()], Arc::clone(&slow_store) as _, settings());
        house.append(stream(1), 1).await;
        until_caught_up(&slow, house.log.as_ref()).await;

        // The slow one remembers the document as its first event left it, and halts before it writes the second one.
        slow_store.hold_transaction(0);
        house.append(stream(1), 1).await;
        slow_store.crashed.notified().await;
        let quick = house.workers(vec![trails.clone()]);
        until_caught_up(&quick, house.log.as_ref()).await;
        quick.shutdown().await;
        slow_store.let_go();
        until("fenced", || async { slow.status().runners[0].fenced == 1 }).await;

        house.append(stream(1), 1).await;
        until_caught_up(&slow, house.log.as_ref()).await;
        assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, dense(3));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_slept_while_another_wrote_is_fenced_and_builds_on_that() {
    let house = House::new();
    let trails = Trails::joined_by_stream();
    trails.poison(stream(1), 1);
    house.append(stream(1), 1).await;
    house.append(stream(2), 1).await;
    let sleeper = house.workers(vec![trails.clone()]);
    until_caught_up(&sleeper, house.log.as_ref()).await;

    // Another one empties the letter: that changes the document that the sleeper remembers, and moves no checkpoint.
    trails.mend();
    let other = house.workers(vec![trails.clone()]);
    until_caught_up(&other, house.log.as_ref()).await;
    let letter = other.letters(None, None, 1).await.unwrap().items.pop().unwrap();
    assert_eq!(other.retry(letter.id).await.unwrap().left, None);
    other.shutdown().await;
    drop(other);

    house.append(stream(2), 1).await;
    until("fenced", || async { sleeper.status().runners[0].fenced == 1 }).await;
    until_caught_up(&sleeper, house.log.as_ref()).await;
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, [1]);
    assert_eq!(trails.trail(house.store.as_ref(), stream(2)).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_redrive_or_a_parked_event_leaves_is_what_the_next_batch_builds_on() {
    let house = House::new();
    let trails = Trails::joined_by_stream();
    let workers = house.workers(vec![trails.clone()]);
    for round in 1..=5_u64 {
        trails.poison(stream(1), 2 * round);
        house.append(stream(1), 2).await;
        house.append(stream(2), 1).await;
        until_caught_up(&workers, house.log.as_ref()).await;
        let letter = workers.letters(None, None, 1).await.unwrap().items.pop().unwrap();
        assert!(workers.retry(letter.id).await.unwrap().left.is_some(), "nothing was mended");
        house.append(stream(3), 1).await;
        until_caught_up(&workers, house.log.as_ref()).await;
        assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, dense(2 * round - 1));
        trails.mend();
        assert_eq!(workers.retry(letter.id).await.unwrap().left, None);
        for (number, head) in [(1, 2 * round), (2, round), (3, round)] {
            assert_eq!(trails.trail(house.store.as_ref(), stream(number)).await, dense(head));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_whose_read_model_was_dropped_and_built_again_by_another_reads_it_anew() {
    let house = House::new();
    let trails = Trails::partitioned();
    house.append(stream(1), 1).await;
    let sleeper = house.workers(vec![trails.clone()]);
    until_caught_up(&sleeper, house.log.as_ref()).await;

    // As many transactions, up to the same checkpoint; but the document is not the one that the sleeper remembers.
    house.store.drop_projection(&trails.id()).await.unwrap();
    trails.poison(stream(1), 1);
    let other = house.workers(vec![trails.clone()]);
    until_caught_up(&other, house.log.as_ref()).await;
    other.shutdown().await;
    drop(other);

    house.append(stream(1), 1).await;
    until_caught_up(&sleeper, house.log.as_ref()).await;
    assert_eq!(sleeper.status().runners[0].fenced, 1);
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, [0_u64; 0]);
    trails.mend();
    let letter = sleeper.letters(None, None, 1).await.unwrap().items.pop().unwrap();
    assert_eq!(sleeper.retry(letter.id).await.unwrap().left, None);
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_was_overtaken_does_not_stop_for_what_it_read_too_late() {
    let house = House::new();
    let trails = Trails::halting_when_out_of_turn();
    let slow_store = FaultyStore::holding(Arc::clone(&house.store));
    let slow = house.workers_with(vec![trails.clone()], Arc::clone(&slow_store) as _, settings());
    until_caught_up(&slow, house.log.as_ref()).await;

    // The slow one is about to read the document; when it does, the event is folded in already, which is out of turn.
    slow_store.hold_read();
    house.append(stream(1), 1).await;
    slow_store.crashed.notified().await;
    let quick = house.workers(vec![trails.clone()]);
    until_caught_up(&quick, house.log.as_ref()).await;
    quick.shutdown().await;
    slow_store.let_go();

    until("fenced", || async { slow.status().runners[0].fenced == 1 }).await;
    house.append(stream(1), 1).await;
    until_caught_up(&slow, house.log.as_ref()).await;
    let status = slow.status().runners.remove(0);
    assert_eq!((status.state, status.verdicts.stopped), (RunState::Waiting, 0));
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, [1, 2]);
}
