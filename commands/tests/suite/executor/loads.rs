//! A load never makes its caller's thread wait for the log.

use commands::ExecutorSettings;
use events::{Category, StreamId, ids::CommandId};

use super::{
    counter::{Counter, Harness},
    scripted_log::{ScriptedLog, foreign_commit},
};

#[tokio::test]
async fn a_head_that_is_not_in_memory_is_asked_for_elsewhere() {
    let harness = Harness::new();
    harness.add(5).await.expect("accepted");
    assert_eq!(harness.total().await, 5);
    let asked_by = harness.log.head_asked_by();
    assert!(!asked_by.is_empty(), "nobody knew the head without asking");
    assert!(!asked_by.contains(&std::thread::current().id()), "the caller's thread may have waited");
}

#[tokio::test]
async fn a_state_that_is_known_to_be_the_newest_is_answered_at_once() {
    let harness = Harness::new();
    harness.add(5).await.expect("accepted");
    harness.log.know_heads();
    let before = harness.log.head_asked_by().len();
    assert_eq!(harness.total().await, 5);
    assert_eq!(harness.log.head_asked_by().len(), before);

    let stream = StreamId::new(Category::TestClock, harness.id);
    harness.log.interfere(foreign_commit(stream, 2, CommandId::fresh(), &[9]));
    let loaded = harness.executor.load::<Counter>(harness.id).await.expect("loads");
    assert_eq!(loaded.version, 2);
}

#[tokio::test]
async fn a_small_state_stays_in_memory_however_long_its_history() {
    let settings = ExecutorSettings { cache_bytes: 64 * 1024, ..ExecutorSettings::default() };
    let harness = Harness::with(ScriptedLog::new(usize::MAX), settings);
    for _ in 0..200 {
        harness.add(1).await.expect("accepted");
        harness.add(-1).await.expect("accepted");
    }
    let history: usize = harness.log.commits().iter().map(|commit| commit.body.len()).sum();
    assert!(history > 2 * 64 * 1024, "the history alone would not fit");
    assert_eq!(harness.log.loaded(), 0, "no state was folded again");
}
