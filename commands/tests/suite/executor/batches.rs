//! Commands that wait for one stream are decided together, and nobody is answered on unjudged history.

use commands::{CommandError, Conflict, ExecutorSettings, Outage};
use events::{Category, StreamId, ids::CommandId};

use super::{
    counter::{BeyondLimit, Count, Counter, Harness, LIMIT, expecting, request, until},
    scripted_log::{ScriptedLog, foreign_commit},
};

fn stream(harness: &Harness) -> StreamId {
    StreamId::new(Category::TestClock, harness.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_wait_for_the_same_stream_become_one_commit() {
    let harness = Harness::new();
    harness.log.hold();
    let first = harness.send_in_order(request(harness.id, Count::Add(1))).await;
    until(|| harness.log.undecided() == 1).await;
    let waiting = harness.send_all(vec![Count::Add(2), Count::Add(3), Count::Add(4)]).await;
    assert_eq!(harness.log.appended(), 1, "one unjudged commit per stream");
    harness.log.release();
    assert_eq!(first.await.expect("joins").expect("accepted").version, 1);
    for (version, handle) in (2..).zip(waiting) {
        let outcome = handle.await.expect("joins").expect("accepted");
        assert_eq!(outcome.version, version);
        assert!(outcome.position.is_some());
    }
    let commits = harness.log.commits();
    assert_eq!(commits.iter().map(|commit| commit.count).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(harness.total().await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_behind_an_unjudged_event_is_answered_with_its_commit() {
    let harness = Harness::new();
    harness.log.hold();
    let blocker = harness.send_in_order(request(harness.id, Count::Add(1))).await;
    until(|| harness.log.undecided() == 1).await;
    let waiting = harness.send_all(vec![Count::Add(LIMIT - 1), Count::Add(5), Count::Add(0)]).await;
    harness.log.release_once();
    blocker.await.expect("joins").expect("accepted");
    until(|| harness.log.undecided() == 1).await;
    assert!(waiting.iter().all(|handle| !handle.is_finished()), "nothing was judged yet");

    harness.log.release();
    let [accepted, rejected, no_op]: [_; 3] = waiting.try_into().expect("three");
    assert_eq!(accepted.await.expect("joins").expect("accepted").version, 2);
    assert_eq!(rejected.await.expect("joins"), Err(CommandError::Rejected(BeyondLimit)));
    let no_op = no_op.await.expect("joins").expect("nothing to do");
    assert_eq!((no_op.version, no_op.position, no_op.events.len()), (2, None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_void_commit_is_decided_again_with_all_answers_that_rested_on_it() {
    let harness = Harness::new();
    harness.log.hold();
    let blocker = harness.send_in_order(request(harness.id, Count::Add(1))).await;
    until(|| harness.log.undecided() == 1).await;
    let waiting = harness.send_all(vec![Count::Add(LIMIT - 1), Count::Add(5)]).await;
    harness.log.release_once();
    blocker.await.expect("joins").expect("accepted");
    until(|| harness.log.undecided() == 1).await;

    // Somebody else was first and left room for the second command, but not for the first.
    harness.log.interfere(foreign_commit(stream(&harness), 2, CommandId::fresh(), &[LIMIT - 5]));
    harness.log.release();
    let [first, second]: [_; 2] = waiting.try_into().expect("two");
    assert_eq!(first.await.expect("joins"), Err(CommandError::Rejected(BeyondLimit)));
    assert_eq!(second.await.expect("joins").expect("accepted").version, 3);
    assert_eq!(harness.total().await, LIMIT);
    assert_eq!(harness.executor.stats().conflicts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn if_match_compares_at_the_commands_place_in_the_batch() {
    let harness = Harness::new();
    harness.log.hold();
    let blocker = harness.send_in_order(request(harness.id, Count::Add(1))).await;
    until(|| harness.log.undecided() == 1).await;
    let right = harness.send_in_order(expecting(harness.id, 1, Count::Add(1))).await;
    let stale = harness.send_in_order(expecting(harness.id, 1, Count::Add(1))).await;
    let next = harness.send_in_order(expecting(harness.id, 2, Count::Add(1))).await;
    harness.log.release();
    blocker.await.expect("joins").expect("accepted");
    assert_eq!(right.await.expect("joins").expect("accepted").version, 2);
    let conflict = CommandError::Conflict(Conflict::Version { expected: 1, actual: 2 });
    assert_eq!(stale.await.expect("joins"), Err(conflict));
    assert_eq!(next.await.expect("joins").expect("accepted").version, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_cut_at_the_size_limit_and_never_refused_for_it() {
    let log = ScriptedLog::new(2_000);
    let harness = Harness::with(log, ExecutorSettings::default());
    harness.log.hold();
    let blocker = harness.send_in_order(request(harness.id, Count::Add(1))).await;
    until(|| harness.log.undecided() == 1).await;
    let waiting = harness.send_all(vec![Count::Add(1); 9]).await;
    harness.log.release();
    blocker.await.expect("joins").expect("accepted");
    for (version, handle) in (2..).zip(waiting) {
        assert_eq!(handle.await.expect("joins").expect("accepted").version, version);
    }
    let commits = harness.log.commits();
    assert!(commits.len() > 3, "the batch was cut");
    assert!(commits.iter().all(|commit| commit.body.len() <= 2_000));
    assert_eq!(commits.iter().map(|commit| commit.count).sum::<u32>(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_command_beyond_the_size_limit_is_refused_before_it_is_sent() {
    let harness = Harness::with(ScriptedLog::new(2_000), ExecutorSettings::default());
    let answer = harness.executor.execute(request(harness.id, Count::AddOneByOne(50))).await;
    assert!(matches!(answer, Err(CommandError::Outage(Outage::TooLarge { limit: 2_000, .. }))), "{answer:?}");
    assert_eq!(harness.log.appended(), 0);
    assert_eq!(harness.add(1).await.expect("the stream goes on").version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_loses_every_time_is_answered_contended() {
    let settings = ExecutorSettings { attempts_max: 3, ..ExecutorSettings::default() };
    let harness = Harness::with(ScriptedLog::new(usize::MAX), settings);
    harness.log.hold();
    let loser = harness.send(request(harness.id, Count::Add(1)));
    for version in 1..=3 {
        until(|| harness.log.undecided() == 1).await;
        harness.log.interfere(foreign_commit(
            stream(&harness),
            version,
            CommandId::fresh(),
            &[version as i64],
        ));
        harness.log.release_once();
    }
    assert_eq!(loser.await.expect("joins"), Err(CommandError::Conflict(Conflict::Contended)));
    assert_eq!(harness.executor.load::<Counter>(harness.id).await.expect("loads").version, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_do_not_wait_for_each_other() {
    let harness = Harness::new();
    harness.log.hold();
    let stuck = harness.send_in_order(request(harness.id, Count::Add(1))).await;
    until(|| harness.log.undecided() == 1).await;
    let other = events::ids::JobId::fresh();
    let free = harness.send_in_order(request(other, Count::Add(1))).await;
    until(|| harness.log.undecided() == 2).await;
    harness.log.release();
    assert!(stuck.await.expect("joins").is_ok());
    assert!(free.await.expect("joins").is_ok());
}
