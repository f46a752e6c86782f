//! What goes away, comes back, or is left behind costs a pause and never a document.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mongodb::{Client, bson::doc};
use projections::{MongoOptions, ReadStore, StoreError, StoreOptions, open};
use serde_json::json;

use crate::{
    engines::{self, fresh_prefix, mongo_options},
    members,
    mongodb_servers::{behind_its_back, commit, prepare, projection, reached, size, step, write},
};

/// Writes the checkpoint 1, 2, 3… with one document each, as a runner does it: what failed is looked up again.
async fn write_on(store: Arc<dyn ReadStore>, ends: Arc<AtomicBool>) -> i64 {
    let mut next = 1;
    while !ends.load(Ordering::SeqCst) {
        let from = (next > 1).then_some(next - 1);
        let thing = vec![write(&format!("{next:06}"), &json!({"size": next}))];
        match commit(store.as_ref(), thing, step(from, next)).await {
            Ok(()) => next += 1,
            Err(StoreError::Refused(reason)) => panic!("{reason}"),
            Err(StoreError::Fenced | StoreError::Unavailable(_)) => {
                while let Err(error) = store.checkpoint(&projection(), step(None, 1)[0].partition).await {
                    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
                }
                next = reached(store.as_ref()).await.unwrap_or_default() + 1;
            }
        }
    }
    next - 1
}

async fn assert_all_there(store: &dyn ReadStore, last: i64) {
    assert_eq!(reached(store).await, Some(last));
    let (mut after, mut count) = (None, 0);
    loop {
        let page = store.scan(&projection(), "things", after.clone(), 500).await.unwrap();
        let Some((key, _)) = page.last() else { break };
        after = Some(key.clone());
        for (key, _) in page {
            count += 1;
            assert_eq!(key, format!("{count:06}"));
        }
    }
    assert_eq!(count, last);
}

/// Waits until the store has gone on by so many transactions.
async fn until_it_goes_on(store: &dyn ReadStore, by: i64) {
    let at = async || match store.checkpoint(&projection(), step(None, 1)[0].partition).await {
        Ok(checkpoint) => checkpoint.map_or(0, |checkpoint| checkpoint.offset),
        Err(_) => 0,
    };
    let waiting = async {
        let mut from = 0;
        while from == 0 {
            from = at().await;
        }
        while at().await < from + by {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), waiting).await.expect("nothing is written any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the stack"]
async fn a_killed_or_frozen_primary_costs_a_pause_and_no_document() {
    let _alone = members::to_harm().await;
    let members = members::of_three();
    let fixture = engines::three_members();
    prepare(fixture.store.as_ref()).await.unwrap();
    let ends = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write_on(Arc::clone(&fixture.store), Arc::clone(&ends)));
    for (act, undo) in [("kill", "start"), ("pause", "resume")] {
        until_it_goes_on(fixture.store.as_ref(), 30).await;
        let primary = members.primary().await;
        members.fault(act, primary).await;
        until_it_goes_on(fixture.store.as_ref(), 30).await;
        members.fault(undo, primary).await;
        until_it_goes_on(fixture.store.as_ref(), 30).await;
    }
    ends.store(true, Ordering::SeqCst);
    let last = writing.await.unwrap();
    assert_all_there(fixture.store.as_ref(), last).await;
    fixture.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the stack"]
async fn a_primary_that_steps_down_costs_a_pause_and_no_document() {
    let _alone = members::to_harm().await;
    let fixture = engines::three_members();
    prepare(fixture.store.as_ref()).await.unwrap();
    let ends = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write_on(Arc::clone(&fixture.store), Arc::clone(&ends)));
    let client = Client::with_uri_str(&members::of_three().url).await.unwrap();
    for _ in 0..3 {
        until_it_goes_on(fixture.store.as_ref(), 30).await;
        // The answer is lost with the connections.
        let _ = client.database("admin").run_command(doc! { "replSetStepDown": 5, "force": true }).await;
        until_it_goes_on(fixture.store.as_ref(), 30).await;
    }
    ends.store(true, Ordering::SeqCst);
    let last = writing.await.unwrap();
    assert_all_there(fixture.store.as_ref(), last).await;
    fixture.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the stack"]
async fn a_transaction_that_a_dead_process_left_open_is_ended_by_the_next() {
    let fixture = engines::mongodb();
    let store = fixture.store.as_ref();
    prepare(store).await.unwrap();
    commit(store, vec![write("a", &json!({"size": 1}))], step(None, 5)).await.unwrap();
    // Another process of the same read store, killed between two commands.
    let (url, prefix) = fixture.cleared.clone().unwrap();
    let mut options = mongodb::options::ClientOptions::parse(&url).await.unwrap();
    options.app_name = Some(format!("guildhall read store {prefix}"));
    let dead = Client::with_options(options).unwrap();
    let mut session = dead.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let checkpoints = dead
        .database(&format!("{prefix}_shared"))
        .collection::<mongodb::bson::Document>("guildhall_checkpoints");
    let held = checkpoints.update_one(doc! {}, doc! { "$set": { "held": true } }).session(&mut session);
    assert_eq!(held.await.unwrap().modified_count, 1);

    commit(store, vec![write("a", &json!({"size": 2}))], step(Some(5), 6)).await.unwrap();
    assert_eq!((size(store, "a").await, reached(store).await), (Some(2), Some(6)));
    assert!(session.commit_transaction().await.is_err(), "the dead has come back");
    drop(behind_its_back(&fixture).await);
    fixture.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the stack"]
async fn what_a_dead_process_was_making_is_made_by_the_next() {
    let fixture = engines::mongodb();
    let records =
        behind_its_back(&fixture).await.collection::<mongodb::bson::Document>("guildhall_projections");
    let until =
        mongodb::bson::DateTime::from_millis(mongodb::bson::DateTime::now().timestamp_millis() + 2000);
    let dying = doc! { "by": "somebody", "until": until };
    records
        .insert_one(doc! { "_id": "sample_v1", "format": 1, "state": "making", "lock": dying })
        .await
        .unwrap();
    prepare(fixture.store.as_ref()).await.unwrap();
    commit(fixture.store.as_ref(), vec![write("a", &json!({"size": 1}))], step(None, 5)).await.unwrap();
    fixture.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the stack"]
async fn of_two_that_write_at_the_same_time_one_is_fenced() {
    let fixture = engines::mongodb();
    prepare(fixture.store.as_ref()).await.unwrap();
    let other = open(&mongo_options(&members::of_stack(), &fixture.cleared.as_ref().unwrap().1)).unwrap();
    prepare(other.as_ref()).await.unwrap();
    let mut at = None;
    for round in 1..=40 {
        let thing = |who: i64| vec![write("a", &json!({"size": round * 10 + who}))];
        let (one, two) = tokio::join!(
            commit(fixture.store.as_ref(), thing(1), step(at, round)),
            commit(other.as_ref(), thing(2), step(at, round)),
        );
        let winner = match (&one, &two) {
            (Ok(()), Err(StoreError::Fenced)) => 1,
            (Err(StoreError::Fenced), Ok(())) => 2,
            neither => panic!("{neither:?}"),
        };
        assert_eq!(size(fixture.store.as_ref(), "a").await, Some(round * 10 + winner));
        at = Some(round);
    }
    fixture.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the stack"]
async fn many_that_prepare_and_drop_at_the_same_time_leave_a_whole_projection() {
    let fixture = engines::mongodb();
    let prefix = fixture.cleared.as_ref().unwrap().1.clone();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..6 {
        let store = open(&mongo_options(&members::of_stack(), &prefix)).unwrap();
        tasks.spawn(async move {
            for _ in 0..4 {
                prepare(store.as_ref()).await.unwrap();
                let thing = vec![write("a", &json!({"size": number}))];
                match commit(store.as_ref(), thing, step(None, 5)).await {
                    Ok(()) | Err(StoreError::Fenced) => {}
                    Err(error) => panic!("{error}"),
                }
                if number == 0 {
                    store.drop_projection(&projection()).await.unwrap();
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    prepare(fixture.store.as_ref()).await.unwrap();
    // A checkpoint speaks of a document that is there, and no document is there without one.
    let store = fixture.store.as_ref();
    assert_eq!(reached(store).await.is_some(), size(store, "a").await.is_some());
    fixture.clear().await;
}

#[tokio::test]
async fn servers_that_are_not_there_are_unavailable_within_the_bound() {
    let mongodb = MongoOptions {
        database_prefix: fresh_prefix(),
        selection_timeout: Duration::from_millis(300),
        ..MongoOptions::default()
    };
    let store =
        open(&StoreOptions { mongodb, ..StoreOptions::at("mongodb://127.0.0.1:1/?replicaSet=rs0") }).unwrap();
    for _ in 0..2 {
        let answer = prepare(store.as_ref()).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
}
