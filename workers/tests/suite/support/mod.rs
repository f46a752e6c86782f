//! The house that the promises are tested in: a real log, a real read store, small projections that can be broken.

pub mod faults;
pub mod fleet;
pub mod kafka;
pub mod market;
pub mod mongodb;
#[path = "../../../benches/nobody/mod.rs"]
mod nobody;
pub mod projections;
pub mod provider;
pub mod rebuilds;
pub mod till;

use std::{future::Future, sync::Arc, time::Duration};

use ::projections::{DocumentKey, Json, Projection, ReadStore, StoreOptions};
use events::{
    Category, CommandStamp, CommitBuilder, Id, StreamId, Timestamp, Version,
    envelope::{CommandHash, NewCommit},
    ids::{CommandId, JobId},
    log::{EventLog, LogOptions},
    time::DomainClock,
    vocabulary::jobs::{JobEvent, JobExpired},
};
use uuid::Uuid;
use workers::{WorkerSettings, Workers, WorkersStatus};

pub use self::nobody::Nobody;

/// How long a condition may take to come true before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A log and a read store in a folder that goes with it.
pub struct House {
    pub folder: tempfile::TempDir,
    pub log: Arc<dyn EventLog>,
    pub store: Arc<dyn ReadStore>,
}

impl House {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = open_log(folder.path());
        let store = open_store(folder.path(), "read");
        Self { folder, log, store }
    }

    /// Another read store in the same folder.
    pub fn another_store(&self, name: &str) -> Arc<dyn ReadStore> {
        open_store(self.folder.path(), name)
    }

    pub fn workers(&self, projections: Vec<Arc<dyn Projection>>) -> Workers {
        self.workers_with(projections, Arc::clone(&self.store), settings())
    }

    pub fn workers_with(
        &self,
        projections: Vec<Arc<dyn Projection>>,
        store: Arc<dyn ReadStore>,
        settings: WorkerSettings,
    ) -> Workers {
        let log = Arc::clone(&self.log);
        Workers::start(projections, Arc::new(Nobody), None, log, store, DomainClock::new(), settings)
    }

    /// Appends `events` events to `stream`, in one commit.
    pub async fn append(&self, stream: StreamId, events: u64) {
        append(self.log.as_ref(), stream, events).await;
    }
}

/// The embedded log, or in a process that is to try everything on Kafka one of its own there.
fn open_log(folder: &std::path::Path) -> Arc<dyn EventLog> {
    let folder = folder.join("log");
    let options = kafka::fresh_log(&folder).unwrap_or_else(|| LogOptions::embedded(&folder));
    events::log::open(&options).unwrap()
}

fn open_store(folder: &std::path::Path, name: &str) -> Arc<dyn ReadStore> {
    let url = format!("embedded:{}", folder.join(name).display());
    ::projections::open(&StoreOptions { readers: 2, ..StoreOptions::at(url) }).unwrap()
}

/// Projectors only, with pauses fit for tests.
pub fn settings() -> WorkerSettings {
    WorkerSettings {
        processes: false,
        backoff_first_ms: 1,
        backoff_max_ms: 20,
        batch_commits_max: 4,
        poll_interval_ms: 20,
        reissue_after_ms: 50,
        ..WorkerSettings::default()
    }
}

/// The `number`-th stream of the tests.
pub fn stream(number: u128) -> StreamId {
    StreamId::new(Category::Job, JobId::from_uuid(Uuid::from_u128(number)))
}

pub async fn append(log: &dyn EventLog, stream: StreamId, events: u64) {
    let commit = commit_at(stream, log.head(stream).unwrap() + 1, events);
    let position = log.append(commit).await.unwrap().position;
    // A commit is answered a moment before subscribers see it, and what is waited for afterwards is the end that they see.
    let mut changes = log.changes();
    while log.end(position.partition).unwrap() < position.offset {
        changes.changed().await.unwrap();
    }
}

/// A commit of events that say nothing but that they are there.
pub fn commit_at(stream: StreamId, first_version: Version, events: u64) -> NewCommit {
    let mut builder = CommitBuilder::new(stream, first_version);
    for _ in 0..events {
        let stamp = CommandStamp {
            command_id: CommandId::fresh(),
            command_hash: CommandHash([7; 16]),
            correlation_id: "a-test".to_owned(),
            causation_id: None,
            actor: "system".to_owned(),
            traceparent: None,
            time: Timestamp::now(),
        };
        builder.push(&stamp, &[JobEvent::JobExpired(JobExpired {})]);
    }
    builder.finish().unwrap()
}

/// A document, once it can be read; `None` as well when nothing was prepared yet.
pub async fn document(
    store: &dyn ReadStore,
    projection: &dyn Projection,
    collection: &'static str,
    key: &str,
) -> Option<Json> {
    let keys = [DocumentKey { collection, key: key.to_owned() }];
    store.get_many(&projection.id(), &keys).await.ok()?.pop().flatten()
}

/// Waits until `condition` holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "never came true: {what}");
}

/// Waits until the status of the workers is as asked for.
pub async fn until_status(workers: &Workers, what: &str, condition: impl Fn(&WorkersStatus) -> bool) {
    let waiting = async {
        while !condition(&workers.status()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, waiting).await.is_ok();
    assert!(in_time, "never came true: {what}; the workers are at {:#?}", workers.status());
}

/// Waits until every projector has read the log to its end.
pub async fn until_caught_up(workers: &Workers, log: &dyn EventLog) {
    until_status(workers, "caught up", |status| {
        status.runners.iter().all(|runner| {
            let partitions = log.partitions();
            let mine = partitions.iter().filter(|p| runner.scope == "all" || runner.scope == p.to_string());
            let mut all_read = true;
            for partition in mine {
                let end = log.end(*partition).unwrap();
                let known = runner.partitions.get(&partition.to_string());
                let concerns = runner.scope != "all" || known.is_some();
                all_read &= !concerns || known.is_some_and(|progress| progress.checkpoint == end);
            }
            all_read && runner.state == workers::RunState::Waiting
        })
    })
    .await;
}
