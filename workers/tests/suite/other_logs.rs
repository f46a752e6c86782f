//! A read store that was built from another log, or from more of this one than its copy here holds.

use std::sync::Arc;

use events::{
    LogId,
    log::{
        EventLog, LogOptions,
        simulated::{SimulatedBroker, SimulatedFaults},
    },
};
use projections::Projection;
use uuid::Uuid;
use workers::{RunState, drop_foreign};

use crate::support::{House, append, projections::Trails, stream, until_caught_up, until_status};

/// A house whose log is this node's copy of a broker's.
fn node(broker: &Arc<SimulatedBroker>, store: &House) -> House {
    let folder = tempfile::tempdir().unwrap();
    let log = broker.open(&LogOptions::embedded(folder.path())).unwrap();
    House { folder, log, store: Arc::clone(&store.store) }
}

async fn until_read(log: &dyn EventLog, upto: &dyn EventLog) {
    let mut changes = log.changes();
    while log.partitions().iter().any(|p| log.end(*p).unwrap() < upto.end(*p).unwrap()) {
        changes.changed().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_lags_behind_the_read_store_is_waited_for() {
    let broker = SimulatedBroker::new(1, 1, SimulatedFaults::default());
    let store = House::new();
    let first = node(&broker, &store);
    let trails = Trails::partitioned();
    for number in 0..5 {
        first.append(stream(number), 2).await;
    }
    let workers = first.workers(vec![trails.clone()]);
    until_caught_up(&workers, first.log.as_ref()).await;
    workers.shutdown().await;

    broker.set_away(true);
    let second = node(&broker, &store);
    let workers = second.workers(vec![trails.clone()]);
    until_status(&workers, "waits for its copy of the log", |status| {
        matches!(&status.runners[0].state, RunState::Retrying { reason, .. } if reason.contains("ends at -1"))
    })
    .await;
    broker.set_away(false);
    until_read(second.log.as_ref(), first.log.as_ref()).await;
    append(second.log.as_ref(), stream(7), 1).await;
    until_caught_up(&workers, second.log.as_ref()).await;
    assert_eq!(trails.trail(store.store.as_ref(), stream(7)).await, [1]);
    assert_eq!(trails.trail(store.store.as_ref(), stream(4)).await, [1, 2], "and nothing twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_log_left_is_dropped_and_built_anew() {
    let (old, trails) = (House::new(), Trails::partitioned());
    trails.poison(stream(1), 1);
    for number in 0..3 {
        old.append(stream(number), 1).await;
    }
    let workers = old.workers(vec![trails.clone()]);
    until_caught_up(&workers, old.log.as_ref()).await;
    assert_eq!(workers.letters(None, None, 10).await.unwrap().items.len(), 1);
    workers.shutdown().await;

    let new = House { store: Arc::clone(&old.store), ..House::new() };
    new.append(stream(8), 1).await;
    let dropped = drop_foreign(new.store.as_ref(), new.log.id()).await.unwrap();
    assert_eq!(dropped, [trails.id()]);
    let collections = workers::collections_with_ours(trails.collections());
    new.store.prepare(&trails.id(), &collections).await.unwrap();
    let workers = new.workers(vec![trails.clone()]);
    until_caught_up(&workers, new.log.as_ref()).await;
    assert_eq!(trails.trail(new.store.as_ref(), stream(8)).await, [1]);
    assert_eq!(
        trails.trail(new.store.as_ref(), stream(0)).await,
        [0_u64; 0],
        "nothing of the other log is left"
    );
    assert!(
        workers.letters(None, None, 10).await.unwrap().items.is_empty(),
        "its letters name places of that log"
    );
    workers.shutdown().await;
    assert_eq!(drop_foreign(new.store.as_ref(), new.log.id()).await, Ok(vec![]), "its own are kept");
    let other = LogId(Uuid::from_u128(9));
    assert_eq!(drop_foreign(new.store.as_ref(), other).await, Ok(vec![trails.id()]));
}
