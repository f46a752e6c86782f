//! When the machinery cannot answer, it says so, and nothing is lost or guessed.

use std::time::Duration;

use commands::{CommandError, ExecutorSettings, Outage};
use events::{
    Category, StreamId,
    ids::{CommandId, JobId},
    log::AppendError,
};

use super::{
    counter::{Count, Harness, request, until},
    scripted_log::{ScriptedLog, foreign_commit},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_a_verdict_is_in_doubt_and_its_repetition_finds_the_outcome() {
    let settings = ExecutorSettings { deadline_ms: 50, ..ExecutorSettings::default() };
    let harness = Harness::with(ScriptedLog::new(usize::MAX), settings);
    harness.log.hold();
    let command = request(harness.id, Count::Add(1));
    let answer = harness.executor.execute(command.clone()).await;
    assert!(matches!(answer, Err(CommandError::Outage(Outage::InDoubt(_)))), "{answer:?}");
    // The commit is still on its way: what comes behind it waits for its verdict.
    let behind = harness.executor.execute(request(harness.id, Count::Add(5))).await;
    assert!(matches!(behind, Err(CommandError::Outage(Outage::InDoubt(_)))), "{behind:?}");
    assert_eq!(harness.log.appended(), 1);
    harness.log.release();
    until(|| harness.log.commits().len() == 2).await;
    let outcome = harness.executor.execute(command).await.expect("known");
    assert!(outcome.repeated);
    assert_eq!(harness.total().await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_takes_no_commits_is_an_outage_and_reads_go_on() {
    let harness = Harness::new();
    harness.add(3).await.expect("accepted");
    harness.log.fail(Some(AppendError::Unavailable("stopped".into())));
    let answer = harness.add(1).await;
    assert_eq!(answer, Err(CommandError::Outage(Outage::Unavailable("stopped".into()))));
    assert_eq!(harness.total().await, 3);
    harness.log.fail(None);
    assert_eq!(harness.add(1).await.expect("accepted").version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_away_is_sent_nothing_and_what_was_carried_out_is_known_all_the_same() {
    let harness = Harness::new();
    let known = request(harness.id, Count::Add(3));
    harness.executor.execute(known.clone()).await.expect("accepted");
    harness.log.go_away(true);
    let answer = harness.add(1).await;
    assert!(matches!(answer, Err(CommandError::Outage(Outage::Unavailable(_)))), "{answer:?}");
    assert_eq!(harness.log.appended(), 1);
    assert!(harness.executor.execute(known).await.expect("known").repeated);
    harness.log.go_away(false);
    assert_eq!(harness.add(1).await.expect("accepted").version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_commit_on_its_way_to_a_log_that_went_away_nobody_waits() {
    let settings = ExecutorSettings { deadline_ms: 50, ..ExecutorSettings::default() };
    let harness = Harness::with(ScriptedLog::new(usize::MAX), settings);
    harness.log.hold();
    let under_way = harness.send_in_order(request(harness.id, Count::Add(1))).await;
    until(|| harness.log.undecided() == 1).await;
    harness.log.go_away(true);
    let behind = harness.add(5).await;
    assert!(matches!(behind, Err(CommandError::Outage(Outage::Unavailable(_)))), "{behind:?}");
    let in_doubt = under_way.await.expect("joins");
    assert!(matches!(in_doubt, Err(CommandError::Outage(Outage::InDoubt(_)))), "{in_doubt:?}");
    harness.log.go_away(false);
    harness.log.release();
    until(|| harness.log.commits().len() == 1).await;
    assert_eq!(harness.add(2).await.expect("accepted").version, 2);
    assert_eq!(harness.total().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_commands_than_may_wait_are_refused() {
    let settings = ExecutorSettings { waiting_max: 2, ..ExecutorSettings::default() };
    let harness = Harness::with(ScriptedLog::new(usize::MAX), settings);
    harness.log.hold();
    let held = harness.send_all(vec![Count::Add(1), Count::Add(2)]).await;
    assert_eq!(harness.add(3).await, Err(CommandError::Outage(Outage::Overloaded)));
    until(|| harness.log.undecided() == 1).await;
    harness.log.release();
    for handle in held {
        assert!(handle.await.expect("joins").is_ok());
    }
    assert_eq!(harness.total().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_decider_breaks_off_its_own_stream_and_nothing_else() {
    let harness = Harness::new();
    let other = JobId::fresh();
    let answer = harness.executor.execute(request(harness.id, Count::Panic)).await;
    assert!(matches!(answer, Err(CommandError::Outage(Outage::InDoubt(_)))), "{answer:?}");
    assert!(harness.executor.execute(request(other, Count::Add(1))).await.is_ok());
    assert_eq!(harness.add(1).await.expect("the stream goes on").version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_what_is_under_way_and_refuses_what_comes_later() {
    let harness = Harness::new();
    harness.log.hold();
    let under_way = harness.send_in_order(request(harness.id, Count::Add(1))).await;
    until(|| harness.log.undecided() == 1).await;
    let executor = harness.executor.clone();
    let closing = tokio::spawn(async move { executor.close(Duration::from_secs(10)).await });
    harness.log.release();
    closing.await.expect("closes");
    assert!(under_way.await.expect("joins").is_ok());
    let late = harness.add(1).await;
    assert!(matches!(late, Err(CommandError::Outage(_))), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_breaks_off_leaves_its_stream_going() {
    let harness = Harness::new();
    harness.log.hold();
    let broken_off = harness.send_in_order(request(harness.id, Count::Add(1))).await;
    until(|| harness.log.undecided() == 1).await;
    harness.log.forget();
    harness.log.release();
    let answer = broken_off.await.expect("joins");
    assert!(matches!(answer, Err(CommandError::Outage(Outage::InDoubt(_)))), "{answer:?}");
    assert_eq!(harness.add(2).await.expect("the stream goes on").version, 1);
    until(|| harness.executor.stats().waiting == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_executor_is_unavailable_and_not_overloaded() {
    let harness = Harness::new();
    harness.executor.close(Duration::from_secs(10)).await;
    let late = harness.add(1).await;
    assert!(matches!(late, Err(CommandError::Outage(Outage::Unavailable(_)))), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_event_is_an_outage_for_what_is_new_and_none_for_what_was_carried_out() {
    let harness = Harness::new();
    let known = request(harness.id, Count::Add(3));
    let first = harness.executor.execute(known.clone()).await.expect("accepted");
    let stream = StreamId::new(Category::TestClock, harness.id);
    let mut newer = foreign_commit(stream, 2, CommandId::fresh(), &[9]);
    let body = String::from_utf8(newer.body).expect("JSON").replace("TestClockMoved", "TestClockWarped");
    newer.body = body.into_bytes();
    harness.log.interfere(newer);

    let answer = harness.add(1).await;
    assert!(matches!(answer, Err(CommandError::Outage(Outage::UnknownEvent(_)))), "{answer:?}");
    let again = harness.executor.execute(known).await.expect("known");
    assert!(again.repeated);
    assert_eq!((again.version, again.position, again.events), (1, first.position, first.events));
}
