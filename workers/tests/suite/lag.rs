//! How far a read model is behind is told in offsets and in events.

use std::sync::Arc;

use crate::support::{
    House, faults::FaultyStore, projections::Trails, settings, stream, until_caught_up, until_status,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lag_in_events_goes_by_what_was_applied_last_and_ends_with_the_lag() {
    let house = House::new();
    for _ in 0..10 {
        house.append(stream(1), 3).await;
    }
    let slow = FaultyStore::holding(Arc::clone(&house.store));
    // One batch of four commits is applied, the next one waits.
    slow.hold_transaction(1);
    let workers = house.workers_with(vec![Trails::partitioned()], Arc::clone(&slow) as _, settings());
    slow.crashed.notified().await;
    until_status(&workers, "told", |status| {
        (status.runners[0].lag_commits, status.runners[0].lag_events) == (6, 18)
    })
    .await;
    slow.let_go();
    until_caught_up(&workers, house.log.as_ref()).await;
    assert_eq!(workers.status().runners[0].lag_events, 0);
}
