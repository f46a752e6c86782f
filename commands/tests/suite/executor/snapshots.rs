//! Snapshots and the cache are caches: deleting them changes nothing.

use std::{path::Path, sync::Arc};

use commands::{Executor, ExecutorSettings, Policy};
use events::{
    Category, StreamId,
    ids::JobId,
    log::EventLog,
    snapshots::{Snapshot, SnapshotStore},
    time::DomainClock,
};

use super::{
    counter::{Count, Counter, request, until},
    scripted_log::{ScriptedLog, shared},
};

fn executor(log: &Arc<ScriptedLog>, snapshots: &Arc<SnapshotStore>) -> Executor {
    let settings = ExecutorSettings { snapshot_every: 10, ..ExecutorSettings::default() };
    let clock = DomainClock::default();
    Executor::start(shared(log), Arc::new(Policy::default()), clock, Some(Arc::clone(snapshots)), settings)
}

fn open(path: &Path, log: &ScriptedLog) -> Arc<SnapshotStore> {
    Arc::new(SnapshotStore::open(path, log.id()).expect("opens"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_the_same_with_its_snapshot_and_without_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Arc::new(ScriptedLog::new(usize::MAX));
    let (id, snapshots) = (JobId::fresh(), open(&folder.path().join("a.db"), &log));
    let stream = StreamId::new(Category::TestClock, id);
    let first = executor(&log, &snapshots);
    for _ in 0..25 {
        first.execute(request(id, Count::Add(1))).await.expect("accepted");
    }
    until(|| snapshots.get(stream, 1).is_some_and(|snapshot| snapshot.version == 20)).await;

    let with = executor(&log, &snapshots).load::<Counter>(id).await.expect("loads");
    let without = executor(&log, &open(&folder.path().join("b.db"), &log));
    let without = without.load::<Counter>(id).await.expect("loads");
    assert_eq!((with.version, with.state.total), (25, 25));
    assert_eq!((without.version, &without.state), (with.version, &with.state));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_really_used_and_one_from_beyond_the_log_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Arc::new(ScriptedLog::new(usize::MAX));
    let (id, snapshots) = (JobId::fresh(), open(&folder.path().join("a.db"), &log));
    let stream = StreamId::new(Category::TestClock, id);
    let first = executor(&log, &snapshots);
    first.execute(request(id, Count::AddOneByOne(15))).await.expect("accepted");
    let state = |total: i64| format!("{{\"total\":{total}}}").into_bytes();
    until(|| snapshots.get(stream, 1).is_some()).await;

    // A snapshot that lies shows that it was read.
    let other = open(&folder.path().join("b.db"), &log);
    let commit = log.last_commit();
    other.put(Snapshot { stream, fold_version: 1, version: 15, commit, state: state(77) });
    until(|| other.get(stream, 1).is_some()).await;
    assert_eq!(executor(&log, &other).load::<Counter>(id).await.expect("loads").state.total, 77);

    let beyond = open(&folder.path().join("c.db"), &log);
    beyond.put(Snapshot { stream, fold_version: 1, version: 16, commit, state: state(77) });
    until(|| beyond.get(stream, 1).is_some()).await;
    assert_eq!(executor(&log, &beyond).load::<Counter>(id).await.expect("loads").state.total, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_history_that_the_log_no_longer_has_is_not_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Arc::new(ScriptedLog::new(usize::MAX));
    let (id, snapshots) = (JobId::fresh(), open(&folder.path().join("a.db"), &log));
    let stream = StreamId::new(Category::TestClock, id);
    let before = executor(&log, &snapshots);
    for _ in 0..10 {
        before.execute(request(id, Count::Add(5))).await.expect("accepted");
    }
    until(|| snapshots.get(stream, 1).is_some_and(|snapshot| snapshot.version == 10)).await;

    // The log is restored from an older copy, and the snapshots are not; other things happen now.
    log.restore(9);
    executor(&log, &open(&folder.path().join("b.db"), &log))
        .execute(request(id, Count::Add(1)))
        .await
        .expect("accepted");
    let after = executor(&log, &snapshots).load::<Counter>(id).await.expect("loads");
    assert_eq!((after.version, after.state.total), (10, 46));
}
