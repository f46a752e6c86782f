//! Order is kept through dead letters and redrive, and nothing that arrives meanwhile is lost.

use std::sync::Arc;

use projections::Projection;
use workers::{RedriveError, WorkerSettings, Workers, dead_letters::LetterState};

use crate::support::{
    House, append, faults::FaultyStore, projections::Trails, settings, stream, until, until_caught_up,
};

async fn letter_of(workers: &Workers, sequence: &str) -> workers::Letter {
    let letters = workers.letters(None, None, 100).await.unwrap().items;
    letters.into_iter().find(|letter| letter.sequence == sequence).unwrap()
}

fn dense(up_to: u64) -> Vec<u64> {
    (1..=up_to).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mended_sequence_is_applied_in_order_and_unblocked() {
    for (run_events, followers_max) in [(1, 100), (3, 100), (3, 2), (100, 1), (2, 4)] {
        let house = House::new();
        let trails = Trails::partitioned();
        trails.poison(stream(1), 2);
        let settings = WorkerSettings { redrive_run_events_max: run_events, followers_max, ..settings() };
        let workers = house.workers_with(vec![trails.clone()], Arc::clone(&house.store), settings);
        for _ in 0..6 {
            house.append(stream(1), 3).await;
            house.append(stream(2), 1).await;
        }
        until_caught_up(&workers, house.log.as_ref()).await;
        let letter = letter_of(&workers, &stream(1).to_string()).await;
        trails.mend();
        let redriven = workers.retry(letter.id).await.unwrap();
        assert_eq!(
            (redriven.events, redriven.left),
            (17, None),
            "runs of {run_events}, {followers_max} listed"
        );
        assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, dense(18));
        assert_eq!(workers.letter(letter.id).await.unwrap(), None);
        assert_eq!(workers.retry(letter.id).await, Err(RedriveError::NotFound));
        house.append(stream(1), 1).await;
        until_caught_up(&workers, house.log.as_ref()).await;
        assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, dense(19));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_stops_at_the_first_event_that_fails_again() {
    let house = House::new();
    let trails = Trails::partitioned();
    trails.poison(stream(1), 2);
    trails.poison(stream(1), 5);
    let settings = WorkerSettings { redrive_run_events_max: 2, followers_max: 2, ..settings() };
    let workers = house.workers_with(vec![trails.clone()], Arc::clone(&house.store), settings);
    for _ in 0..8 {
        house.append(stream(1), 1).await;
    }
    until_caught_up(&workers, house.log.as_ref()).await;
    let parked = letter_of(&workers, &stream(1).to_string()).await;

    let failed = workers.retry(parked.id).await.unwrap().left.unwrap();
    assert_eq!((failed.head.entry.version, failed.head.attempts), (2, 2));
    assert_eq!(failed.state, LetterState::FailedAgain);
    assert_eq!(failed.head.first_failed_at, parked.head.first_failed_at);
    assert!(failed.head.last_failed_at >= parked.head.last_failed_at);

    trails.mend_one(stream(1), 2);
    let redriven = workers.retry(parked.id).await.unwrap();
    let failed = redriven.left.unwrap();
    assert_eq!(redriven.events, 3);
    assert_eq!((failed.id, failed.head.entry.version, failed.head.attempts), (parked.id, 5, 1));
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, dense(4));

    trails.mend();
    assert_eq!(workers.retry(parked.id).await.unwrap().left, None);
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, dense(8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_while_a_letter_is_emptied_is_not_lost() {
    for followers_max in [2, 1000] {
        let house = House::new();
        let trails = Trails::joined(2);
        trails.poison(stream(1), 1);
        let settings = WorkerSettings { redrive_run_events_max: 1, followers_max, ..settings() };
        let workers = house.workers_with(vec![trails.clone()], Arc::clone(&house.store), settings);
        for _ in 0..20 {
            house.append(stream(1), 1).await;
            house.append(stream(3), 1).await;
        }
        until_caught_up(&workers, house.log.as_ref()).await;
        let letter = letter_of(&workers, "document-1").await;
        trails.mend();
        let log = Arc::clone(&house.log);
        let arriving = tokio::spawn(async move {
            for _ in 0..40 {
                append(log.as_ref(), stream(1), 1).await;
                append(log.as_ref(), stream(3), 1).await;
            }
        });
        let redriven = workers.retry(letter.id).await.unwrap();
        arriving.await.unwrap();
        until_caught_up(&workers, house.log.as_ref()).await;
        assert_eq!(redriven.left, None);
        assert!(redriven.events >= 40);
        for number in [1, 3] {
            assert_eq!(trails.trail(house.store.as_ref(), stream(number)).await, dense(60));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_that_dies_at_any_operation_loses_nothing_and_doubles_nothing() {
    let mut crashes = 0;
    for at in 0.. {
        let mut came_to_an_end = false;
        for done_first in [false, true] {
            let house = House::new();
            let trails = Trails::partitioned();
            trails.poison(stream(1), 1);
            let few = WorkerSettings { redrive_run_events_max: 2, followers_max: 2, ..settings() };
            let start = |store| house.workers_with(vec![trails.clone()], store, few.clone());
            house.append(stream(1), 7).await;
            let workers = start(Arc::clone(&house.store));
            until_caught_up(&workers, house.log.as_ref()).await;
            workers.shutdown().await;
            drop(workers);

            trails.mend();
            let dying = FaultyStore::crash(Arc::clone(&house.store), at, done_first);
            let workers = start(Arc::clone(&dying) as _);
            let redrive = async {
                let letters = workers.letters(None, None, 10).await;
                let Some(letter) = letters.ok().and_then(|page| page.items.into_iter().next()) else {
                    return;
                };
                let _ = workers.retry(letter.id).await;
            };
            tokio::select! {
                // Others go on beside the one operation that hangs: when all is read by now, it has died all the same.
                biased;
                () = dying.crashed.notified() => crashes += 1,
                () = async { redrive.await; until_caught_up(&workers, house.log.as_ref()).await } => {
                    came_to_an_end = true;
                }
            }
            drop(workers);
            let workers = start(Arc::clone(&house.store));
            until_caught_up(&workers, house.log.as_ref()).await;
            if let Some(letter) = workers.letters(None, None, 10).await.unwrap().items.first() {
                assert_eq!(workers.retry(letter.id).await.unwrap().left, None);
            }
            let trail = trails.trail(house.store.as_ref(), stream(1)).await;
            assert_eq!(trail, dense(7), "died at {at}, done first: {done_first}");
        }
        if came_to_an_end {
            break;
        }
    }
    assert!(crashes > 10, "only {crashes} crashes: this test has gone blind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_runner_does_not_overwrite_what_a_redrive_wrote() {
    let house = House::new();
    let trails = Trails::joined(1);
    let small = WorkerSettings { batch_commits_max: 1, redrive_run_events_max: 1, ..settings() };
    let start = || house.workers_with(vec![trails.clone()], Arc::clone(&house.store), small.clone());
    let (one, other) = (start(), start());
    // Unreadable for this projection's stream 1 only: the other streams write to the same document meanwhile.
    for round in 0..3 {
        let head = house.log.head(stream(1)).unwrap();
        trails.poison(stream(1), head + 1);
        house.append(stream(1), 3).await;
        let parked = || async { one.letters(None, None, 1).await.is_ok_and(|page| !page.items.is_empty()) };
        until("parked", parked).await;
        trails.mend();
        let log = Arc::clone(&house.log);
        let arriving = tokio::spawn(async move {
            for number in 2..12 {
                append(log.as_ref(), stream(number), 1).await;
            }
        });
        // Both may be asked; whoever is fenced says so.
        loop {
            let Some(letter) = one.letters(None, None, 1).await.unwrap().items.pop() else { break };
            let (_, _) = tokio::join!(one.retry(letter.id), other.retry(letter.id));
        }
        arriving.await.unwrap();
        until_caught_up(&one, house.log.as_ref()).await;
        until_caught_up(&other, house.log.as_ref()).await;
        while let Some(letter) = one.letters(None, None, 1).await.unwrap().items.pop() {
            let _ = one.retry(letter.id).await;
        }
        for number in 1..12 {
            let head = house.log.head(stream(number)).unwrap();
            let trail = trails.trail(house.store.as_ref(), stream(number)).await;
            assert_eq!(trail, dense(head), "stream {number}, round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_prepared_before_anothers_redrive_is_fenced() {
    let house = House::new();
    let trails = Trails::joined_by_stream();
    trails.poison(stream(1), 1);
    house.append(stream(1), 1).await;
    let slow_store = FaultyStore::holding(Arc::clone(&house.store));
    let slow = house.workers_with(vec![trails.clone()], Arc::clone(&slow_store) as _, settings());
    until_caught_up(&slow, house.log.as_ref()).await;

    let letter = letter_of(&slow, &stream(1).to_string()).await;

    // The slow runner has read the document, which the next event is to change, and halts before it writes.
    slow_store.hold_transaction(0);
    house.append(stream(2), 1).await;
    slow_store.crashed.notified().await;

    // A quick one is asked to redrive the letter before it does anything else: that changes the same document and
    // moves no checkpoint. Then it dies.
    trails.mend();
    let quick_store = FaultyStore::holding(Arc::clone(&house.store));
    quick_store.hold_prepare();
    quick_store.hold_transaction(1);
    let quick = Arc::new(house.workers_with(vec![trails.clone()], Arc::clone(&quick_store) as _, settings()));
    quick_store.crashed.notified().await;
    let retry = tokio::spawn({
        let quick = Arc::clone(&quick);
        async move { quick.retry(letter.id).await }
    });
    until("the letter was looked up", || async { quick_store.found() == 1 }).await;
    quick_store.let_go();
    assert_eq!(retry.await.unwrap().unwrap().left, None);
    quick_store.crashed.notified().await;
    drop(quick);

    slow_store.let_go();
    until("fenced", || async { slow.status().runners[0].fenced == 1 }).await;
    until_caught_up(&slow, house.log.as_ref()).await;
    for number in [1, 2] {
        assert_eq!(trails.trail(house.store.as_ref(), stream(number)).await, [1], "stream {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_of_a_projection_that_does_not_run_here_is_not_retried() {
    let house = House::new();
    let trails = Trails::partitioned();
    trails.poison(stream(1), 1);
    house.append(stream(1), 1).await;
    let workers = house.workers(vec![trails.clone()]);
    until_caught_up(&workers, house.log.as_ref()).await;
    let letter = letter_of(&workers, &stream(1).to_string()).await;
    assert_eq!(letter.projection, trails.id());
    workers.shutdown().await;
    assert!(matches!(workers.retry(letter.id).await, Err(RedriveError::Busy | RedriveError::Unavailable(_))));
}
