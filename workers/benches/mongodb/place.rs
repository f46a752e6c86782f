//! Where things are kept, and who works there.

use std::{path::Path, sync::Arc};

use events::{
    Service,
    log::{EventLog, LogOptions, open},
    stream::Partition,
    time::DomainClock,
};
use projections::{MongoOptions, Projection, ReadStore, StoreOptions};
use workers::{WorkerSettings, Workers};

use crate::nobody::Nobody;

pub(crate) const JOBS: Partition = Partition { service: Service::Jobs, number: 0 };

/// The MongoDB of the stack under which this runs, with databases of this name.
pub(crate) fn mongodb(prefix: &str) -> StoreOptions {
    let url =
        std::env::var("GUILDHALL_STACK_MONGO").expect("run it under `compose/stack run --only mongo --`");
    let mongodb = MongoOptions { database_prefix: prefix.to_owned(), ..MongoOptions::default() };
    StoreOptions { mongodb, ..StoreOptions::at(url) }
}

/// Databases that nobody else has.
pub(crate) fn fresh_prefix() -> String {
    let uuid = uuid::Uuid::now_v7().simple().to_string();
    format!("bench{}", &uuid[12..])
}

pub(crate) fn embedded_log(folder: &Path) -> Arc<dyn EventLog> {
    open(&LogOptions::embedded(folder)).unwrap()
}

/// What a projector of a fleet runs with when all others run beside it, as they do in the product.
pub(crate) fn settings(runners: usize) -> WorkerSettings {
    let all = WorkerSettings::default();
    let share = all.documents_remembered_bytes_max * runners / projections::all().len();
    WorkerSettings { processes: false, shared: true, documents_remembered_bytes_max: share, ..all }
}

pub(crate) fn start(
    projections: Vec<Arc<dyn Projection>>,
    log: &Arc<dyn EventLog>,
    store: Arc<dyn ReadStore>,
    settings: WorkerSettings,
) -> Workers {
    let clock = DomainClock::new();
    Workers::start(projections, Arc::new(Nobody), None, Arc::clone(log), store, clock, settings)
}

/// Takes away what was built.
pub(crate) async fn clear(store: &dyn ReadStore) {
    for (projection, _) in store.origins().await.unwrap() {
        store.drop_projection(&projection).await.unwrap();
    }
}
