//! A command is carried out once, however often it is sent.

use commands::{CommandError, Conflict, Request};
use events::{Category, StreamId, envelope::CommandHash};

use super::{
    counter::{Count, Harness, request, until},
    scripted_log::foreign_commit,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_command_is_answered_with_the_first_outcome() {
    let harness = Harness::new();
    let command = request(harness.id, Count::AddOneByOne(3));
    let first = harness.executor.execute(command.clone()).await.expect("accepted");
    harness.add(5).await.expect("accepted");
    let again = harness.executor.execute(command).await.expect("known");
    assert!(again.repeated && !first.repeated);
    assert_eq!((again.version, again.position, &again.events), (3, first.position, &first.events));
    assert_eq!(harness.total().await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_another_content_is_refused() {
    let harness = Harness::new();
    let command = request(harness.id, Count::Add(1));
    harness.executor.execute(command.clone()).await.expect("accepted");
    let other = Request { command: Count::Add(2), command_hash: CommandHash([7; 16]), ..command };
    let answer = harness.executor.execute(other).await;
    assert_eq!(answer, Err(CommandError::Conflict(Conflict::CommandReused)));
    assert_eq!(harness.total().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_sent_twice_at_once_has_one_effect_and_both_are_answered() {
    let harness = Harness::new();
    harness.log.hold();
    let blocker = harness.send_in_order(request(harness.id, Count::Add(1))).await;
    until(|| harness.log.undecided() == 1).await;
    let command = request(harness.id, Count::Add(2));
    let one = harness.send_in_order(command.clone()).await;
    let two = harness.send_in_order(command).await;
    harness.log.release();
    blocker.await.expect("joins").expect("accepted");
    let (one, two) =
        (one.await.expect("joins").expect("accepted"), two.await.expect("joins").expect("known"));
    assert_eq!((one.version, one.position, &one.events), (two.version, two.position, &two.events));
    assert!(!one.repeated && two.repeated);
    assert_eq!(harness.total().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_void_commit_whose_command_somebody_else_carried_out_is_not_carried_out_again() {
    let harness = Harness::new();
    harness.log.hold();
    let command = Request { command_hash: CommandHash([0; 16]), ..request(harness.id, Count::Add(2)) };
    let here = harness.send_in_order(command.clone()).await;
    until(|| harness.log.undecided() == 1).await;
    let stream = StreamId::new(Category::TestClock, harness.id);
    harness.log.interfere(foreign_commit(stream, 1, command.command_id, &[2]));
    harness.log.release();
    let outcome = here.await.expect("joins").expect("known");
    assert!(outcome.repeated);
    assert_eq!(outcome.version, 1);
    assert_eq!(harness.total().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejections_and_no_ops_are_decided_again() {
    let harness = Harness::new();
    harness.add(90).await.expect("accepted");
    let command = request(harness.id, Count::Add(20));
    assert!(matches!(harness.executor.execute(command.clone()).await, Err(CommandError::Rejected(_))));
    harness.add(-50).await.expect("accepted");
    let outcome = harness.executor.execute(command).await.expect("accepted now");
    assert!(!outcome.repeated);
    assert_eq!(harness.total().await, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_new_to_a_known_stream_is_not_looked_up_and_one_that_anybody_carried_out_is() {
    let harness = Harness::new();
    for _ in 0..3 {
        harness.add(1).await.expect("accepted");
    }
    assert_eq!(harness.log.looked_up(), 0);
    let command = Request { command_hash: CommandHash([0; 16]), ..request(harness.id, Count::Add(2)) };
    let stream = StreamId::new(Category::TestClock, harness.id);
    harness.log.interfere(foreign_commit(stream, 4, command.command_id, &[5]));
    let outcome = harness.executor.execute(command).await.expect("known");
    assert!(outcome.repeated);
    assert_eq!((outcome.version, harness.log.looked_up()), (4, 1));
    assert_eq!(harness.total().await, 5);
}
