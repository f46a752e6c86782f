//! A poison event stops its own sequence and nothing else.

use std::sync::Arc;

use events::{
    StreamId,
    log::{EventLog, StoredCommit},
};
use projections::Projection;
use workers::{WorkerSettings, Workers, dead_letters::LetterState};

use crate::support::{
    House, commit_at, projections::Trails, settings, stream, until_caught_up, until_status,
};

async fn only_letter(workers: &Workers) -> workers::Letter {
    let mut letters = workers.letters(None, None, 10).await.unwrap().items;
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters.remove(0)
}

/// The event with this version, as it stands on the log.
fn commit_of(log: &dyn EventLog, stream: StreamId, version: u64) -> StoredCommit {
    log.load(stream, version - 1, 1).unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_event_parks_its_own_sequence_and_nothing_else() {
    let house = House::new();
    let trails = Trails::partitioned();
    trails.poison(stream(1), 2);
    let workers = house.workers(vec![trails.clone()]);
    for _ in 0..4 {
        house.append(stream(1), 1).await;
        house.append(stream(2), 1).await;
    }
    until_caught_up(&workers, house.log.as_ref()).await;

    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, [1]);
    assert_eq!(trails.trail(house.store.as_ref(), stream(2)).await, [1, 2, 3, 4]);
    let letter = only_letter(&workers).await;
    let poison = commit_of(house.log.as_ref(), stream(1), 2);
    assert_eq!(letter.sequence, stream(1).to_string());
    assert_eq!(letter.projection, trails.id());
    assert_eq!(letter.log, house.log.id());
    assert_eq!(letter.state, LetterState::Parked);
    assert_eq!((letter.head.entry.position, letter.head.entry.version), (poison.position, 2));
    assert_eq!(letter.head.event_id, Some(poison.events().unwrap()[0].as_ref().unwrap().id));
    assert_eq!(letter.head.event_type.as_deref(), Some("guildhall.jobs.JobExpired"));
    assert_eq!(letter.head.cause.message, "the test says so");
    assert_eq!(letter.head.attempts, 1);
    assert_eq!(letter.followers.iter().map(|entry| entry.version).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(workers.letter(letter.id).await.unwrap(), Some(letter));

    let verdicts = &workers.status().runners[0].verdicts;
    assert_eq!((verdicts.applied, verdicts.parked, verdicts.total()), (5, 3, 8));
    assert_eq!(workers.status().runners[0].sequences_blocked, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joined_projection_parks_the_document_and_lets_the_others_go_on() {
    let house = House::new();
    let trails = Trails::joined(2);
    trails.poison(stream(1), 1);
    let workers = house.workers(vec![trails.clone()]);
    for number in [1, 2, 3, 4, 3] {
        house.append(stream(number), 1).await;
    }
    until_caught_up(&workers, house.log.as_ref()).await;
    assert_eq!(only_letter(&workers).await.sequence, "document-1");
    assert_eq!(trails.trail(house.store.as_ref(), stream(3)).await, [0_u64; 0], "waits for its document");
    assert_eq!(trails.trail(house.store.as_ref(), stream(2)).await, [1]);
    assert_eq!(trails.trail(house.store.as_ref(), stream(4)).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_fails_in_the_middle_of_a_commit_leaves_nothing_behind() {
    let house = House::new();
    let trails = Trails::partitioned();
    trails.poison(stream(1), 3);
    house.append(stream(1), 5).await;
    let workers = house.workers(vec![trails.clone()]);
    until_caught_up(&workers, house.log.as_ref()).await;
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, [1, 2]);
    assert_eq!(only_letter(&workers).await.followers.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projection_that_panics_at_an_event_parks_it() {
    let house = House::new();
    let trails = Trails::panicking();
    trails.poison(stream(1), 2);
    let workers = house.workers(vec![trails.clone()]);
    house.append(stream(1), 3).await;
    house.append(stream(2), 3).await;
    until_caught_up(&workers, house.log.as_ref()).await;
    assert!(only_letter(&workers).await.head.cause.message.contains("panicked: a projection that panics"));
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, [1]);
    assert_eq!(trails.trail(house.store.as_ref(), stream(2)).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_remembered_over_a_restart() {
    let house = House::new();
    let trails = Trails::partitioned();
    trails.poison(stream(1), 1);
    let workers = house.workers(vec![trails.clone()]);
    house.append(stream(1), 1).await;
    until_caught_up(&workers, house.log.as_ref()).await;
    workers.shutdown().await;
    // Mended meanwhile: what comes now could be applied, and must wait all the same.
    trails.mend();
    let workers = house.workers(vec![trails.clone()]);
    house.append(stream(1), 1).await;
    house.append(stream(2), 1).await;
    until_caught_up(&workers, house.log.as_ref()).await;
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, [0_u64; 0]);
    assert_eq!(trails.trail(house.store.as_ref(), stream(2)).await, [1]);
    assert_eq!(only_letter(&workers).await.waiting_events(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_the_bound_a_letter_keeps_the_first_position_and_a_count() {
    let house = House::new();
    let trails = Trails::partitioned();
    trails.poison(stream(1), 1);
    let bounded = WorkerSettings { followers_max: 3, ..settings() };
    let workers = house.workers_with(vec![trails.clone()], Arc::clone(&house.store), bounded);
    for _ in 0..10 {
        house.append(stream(1), 1).await;
    }
    until_caught_up(&workers, house.log.as_ref()).await;
    let letter = only_letter(&workers).await;
    assert_eq!(letter.followers.len(), 3);
    let first_beyond = commit_of(house.log.as_ref(), stream(1), 5).position;
    assert_eq!(letter.overflow.len(), 1);
    assert_eq!((letter.overflow[0].first, letter.overflow[0].version), (first_beyond, 5));
    assert_eq!((letter.overflow[0].events, letter.waiting_events()), (6, 9));
}

/// A commit whose body was written by another release, or by nobody of ours.
async fn append_changed(log: &dyn EventLog, stream: StreamId, from: &str, to: &str) {
    let mut commit = commit_at(stream, log.head(stream).unwrap() + 1, 1);
    let body = String::from_utf8(commit.body).unwrap();
    assert!(body.contains(from), "{body}");
    commit.body = body.replace(from, to).into_bytes();
    log.append(commit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_an_unknown_type_is_a_counted_skip() {
    let house = House::new();
    let trails = Trails::partitioned();
    append_changed(house.log.as_ref(), stream(1), "JobExpired", "JobPainted").await;
    house.append(stream(1), 1).await;
    let workers = house.workers(vec![trails.clone()]);
    until_caught_up(&workers, house.log.as_ref()).await;
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, [2]);
    let verdicts = &workers.status().runners[0].verdicts;
    assert_eq!(verdicts.skipped.get("unknown type"), Some(&1));
    assert_eq!(verdicts.total(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_event_in_a_version_of_a_newer_release_is_parked_and_not_lost() {
    let house = House::new();
    let trails = Trails::partitioned();
    append_changed(house.log.as_ref(), stream(1), "\"schemaversion\":1", "\"schemaversion\":9").await;
    house.append(stream(1), 1).await;
    house.append(stream(2), 1).await;
    let workers = house.workers(vec![trails.clone()]);
    until_caught_up(&workers, house.log.as_ref()).await;
    let letter = only_letter(&workers).await;
    assert_eq!(letter.sequence, stream(1).to_string());
    assert!(letter.head.cause.message.contains("schema version 9"), "{}", letter.head.cause.message);
    assert!(letter.head.event_id.is_some());
    assert_eq!(letter.waiting_events(), 1);
    assert_eq!(trails.trail(house.store.as_ref(), stream(2)).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_an_unreadable_event_its_stream_waits_also_in_a_joined_projection() {
    let house = House::new();
    let trails = Trails::joined(1);
    append_changed(house.log.as_ref(), stream(1), "\"schemaversion\":1", "\"schemaversion\":9").await;
    house.append(stream(1), 1).await;
    house.append(stream(2), 1).await;
    let workers = house.workers(vec![trails.clone()]);
    until_caught_up(&workers, house.log.as_ref()).await;
    let letter = only_letter(&workers).await;
    assert_eq!(letter.sequence, stream(1).to_string());
    assert_eq!(letter.waiting_events(), 1);
    assert_eq!(trails.trail(house.store.as_ref(), stream(1)).await, [0_u64; 0]);
    // The other stream has a section of its own in the same document.
    assert_eq!(trails.trail(house.store.as_ref(), stream(2)).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_listed_page_by_page_over_all_projections() {
    let house = House::new();
    let (trails, joined) = (Trails::partitioned(), Trails::joined(100));
    for number in 0..5 {
        trails.poison(stream(number), 1);
        joined.poison(stream(number), 1);
        house.append(stream(number), 1).await;
    }
    let workers = house.workers(vec![trails.clone(), joined.clone()]);
    until_caught_up(&workers, house.log.as_ref()).await;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = workers.letters(None, after, 3).await.unwrap();
        assert!(page.items.len() <= 3);
        found.extend(page.items.into_iter().map(|letter| (letter.projection.name, letter.sequence)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 10);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 10);
    assert_eq!(workers.letters(Some(joined.name()), None, 100).await.unwrap().items.len(), 5);
    until_status(&workers, "blocked", |status| status.runners.iter().all(|r| r.sequences_blocked == 5)).await;
}
