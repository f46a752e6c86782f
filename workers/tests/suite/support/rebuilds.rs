//! What tests of rebuilds look at.

use std::time::Duration;

use events::{StreamId, Version};
use projections::{Json, Projection, ProjectionId, ReadStore, Reader, StoreError, builds::BuildState};
use workers::{BuildReport, Workers};

use super::projections::{TRAILS, Trails};

/// A build as it is reported; `None` when there is none (any more).
pub async fn build(workers: &Workers, id: &ProjectionId) -> Option<BuildReport> {
    let report = workers.builds().report_one(&id.name).await.ok()?;
    report.builds.into_iter().find(|build| build.id == *id)
}

/// Waits until a build stands there.
pub async fn until_state(workers: &Workers, id: &ProjectionId, state: BuildState) {
    let waiting = async {
        while build(workers, id).await.is_none_or(|build| build.state != state) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), waiting).await.is_ok();
    assert!(in_time, "{id} never was {state:?}; it is {:#?}", build(workers, id).await);
}

/// Waits until a build is live.
pub async fn until_live(workers: &Workers, id: &ProjectionId) {
    until_state(workers, id, BuildState::Live).await;
}

/// The versions that a query finds applied of a stream, in order.
pub async fn queried(
    store: &dyn ReadStore,
    trails: &Trails,
    stream: StreamId,
) -> Result<Vec<Version>, StoreError> {
    let reader = Reader::new(store, ("trails", trails.version()), &TRAILS);
    let trail = reader.get(trails.key(stream)).await?.unwrap_or_default();
    Ok(trail.versions.get(&stream.to_string()).cloned().unwrap_or_default())
}

/// Every document of a build.
pub async fn documents(store: &dyn ReadStore, id: &ProjectionId) -> Vec<(String, Json)> {
    store.scan(id, TRAILS.spec.name, None, 100_000).await.unwrap()
}
