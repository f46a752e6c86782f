//! Several workers over one read store: each sees it through a store of its own that can be frozen, and every transaction
//! of all of them is noted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use events::{
    Offset, Partition, StreamId,
    log::{
        LogOptions,
        simulated::{SimulatedBroker, SimulatedFaults},
    },
    stream::BEFORE_FIRST,
};
use projections::{
    Batch, Checkpoint, CollectionSpec, DocumentKey, Json, Page, Projection, ProjectionId, Query, ReadStore,
    StoreError,
};
use tokio::sync::watch;
use workers::{FleetStatus, RunState, RunnerStatus, WorkerSettings, Workers, rebuild_and_compare};

use super::{House, PATIENCE, settings};

type StoreFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A worker that says nothing for so long is taken to be dead.
pub const LEASE: Duration = Duration::from_millis(900);

/// A transaction that was carried out.
#[derive(Clone, Debug)]
pub struct Noted {
    /// Its number within the scope, and who held the scope from then on.
    pub number: u64,
    pub holder: Option<String>,
    /// From where to where it read each partition.
    pub advances: Vec<(Partition, Offset, Offset)>,
    /// Documents that it wrote beside the turn.
    pub documents: usize,
}

/// Every transaction of a scope, in whatever order they were noted.
#[derive(Default)]
pub struct Audit(Mutex<BTreeMap<(ProjectionId, String), Vec<Noted>>>);

/// The read store as one worker sees it.
pub struct OwnStore {
    inner: Arc<dyn ReadStore>,
    audit: Arc<Audit>,
    frozen: watch::Sender<bool>,
}

impl OwnStore {
    /// From now on nothing is answered, and nothing is done before [`OwnStore::thaw`].
    pub fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    pub fn thaw(&self) {
        self.frozen.send_replace(false);
    }

    fn met<'a, T: Send + 'a>(&self, operation: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        let mut frozen = self.frozen.subscribe();
        Box::pin(async move {
            let _ = frozen.wait_for(|frozen| !frozen).await;
            operation.await
        })
    }
}

impl ReadStore for OwnStore {
    fn prepare<'a>(
        &'a self,
        projection: &'a ProjectionId,
        collections: &'a [CollectionSpec],
    ) -> StoreFuture<'a, ()> {
        self.met(self.inner.prepare(projection, collections))
    }
    fn get_many<'a>(
        &'a self,
        projection: &'a ProjectionId,
        keys: &'a [DocumentKey],
    ) -> StoreFuture<'a, Vec<Option<Json>>> {
        self.met(self.inner.get_many(projection, keys))
    }
    fn commit(&self, batch: Batch) -> StoreFuture<'_, ()> {
        let (inner, audit) = (Arc::clone(&self.inner), Arc::clone(&self.audit));
        self.met(Box::pin(async move {
            // Noted whether or not somebody still waits for it.
            let carried_out = tokio::spawn(async move {
                let answer = inner.commit(batch.clone()).await;
                if answer.is_ok() {
                    audit.note(&batch);
                }
                answer
            });
            carried_out.await.unwrap()
        }))
    }
    fn checkpoint<'a>(
        &'a self,
        projection: &'a ProjectionId,
        partition: Partition,
    ) -> StoreFuture<'a, Option<Checkpoint>> {
        self.met(self.inner.checkpoint(projection, partition))
    }
    fn find(&self, query: Query) -> StoreFuture<'_, Page<Json>> {
        self.met(self.inner.find(query))
    }
    fn origins(&self) -> StoreFuture<'_, Vec<(ProjectionId, events::LogId)>> {
        self.met(self.inner.origins())
    }
    fn scan<'a>(
        &'a self,
        projection: &'a ProjectionId,
        collection: &'static str,
        after: Option<String>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(String, Json)>> {
        self.met(self.inner.scan(projection, collection, after, limit))
    }
    fn explain(&self, query: Query) -> StoreFuture<'_, String> {
        self.inner.explain(query)
    }
    fn drop_projection<'a>(&'a self, projection: &'a ProjectionId) -> StoreFuture<'a, ()> {
        self.inner.drop_projection(projection)
    }
}

impl Audit {
    fn note(&self, batch: &Batch) {
        let Some(turn) = batch.writes.iter().find(|write| write.document.collection == "turns") else {
            return;
        };
        let json: serde_json::Value = turn.value.as_ref().unwrap().parse().unwrap();
        let offset = |checkpoint: Option<Checkpoint>| checkpoint.map_or(BEFORE_FIRST, |c| c.offset);
        let moves = batch.advances.iter().map(|a| (a.partition, offset(a.from), a.to.offset));
        let noted = Noted {
            number: json["transactions"].as_u64().unwrap(),
            holder: json["holder"].as_str().map(str::to_owned),
            advances: moves.filter(|(_, from, to)| from != to).collect(),
            documents: batch.writes.len() - 1,
        };
        let scope = (batch.projection.clone(), turn.document.key.clone());
        self.0.lock().unwrap().entry(scope).or_default().push(noted);
    }

    /// Every scope was written by whoever held it, one transaction behind the other, and each offset was passed once.
    /// Gives how often a scope changed hands.
    pub fn check(&self) -> usize {
        let mut taken = 0;
        for ((projection, scope), noted) in self.0.lock().unwrap().iter() {
            let mut noted = noted.clone();
            noted.sort_by_key(|noted| noted.number);
            let mut reached: BTreeMap<Partition, Offset> = BTreeMap::new();
            let mut holder = None;
            for (place, transaction) in noted.iter().enumerate() {
                let which = format!("{projection} {scope}: {transaction:?}");
                assert_eq!(transaction.number, place as u64 + 1, "two wrote at the same time, {which}");
                if transaction.documents > 0 || !transaction.advances.is_empty() {
                    assert!(
                        transaction.holder.is_some() && transaction.holder == holder,
                        "written by another, {which}"
                    );
                } else if transaction.holder != holder {
                    taken += usize::from(transaction.holder.is_some());
                    holder.clone_from(&transaction.holder);
                }
                for (partition, from, to) in &transaction.advances {
                    let before = reached.insert(*partition, *to).unwrap_or(BEFORE_FIRST);
                    assert_eq!(before, *from, "left out or applied twice, {which}");
                }
            }
        }
        taken
    }
}

/// A house whose log has several partitions, and whoever works in it.
pub struct Crew {
    pub house: House,
    pub audit: Arc<Audit>,
    projections: Vec<Arc<dyn Projection>>,
}

/// One worker of the crew.
pub struct Hand {
    pub workers: Workers,
    pub store: Arc<OwnStore>,
}

pub fn shared_settings() -> WorkerSettings {
    let lease_ms = u64::try_from(LEASE.as_millis()).unwrap();
    WorkerSettings { shared: true, lease_ms, heartbeat_ms: lease_ms / 6, ..settings() }
}

impl Crew {
    pub fn new(projections: Vec<Arc<dyn Projection>>, partitions: u16) -> Self {
        let mut house = House::new();
        let broker = SimulatedBroker::new(7, partitions, SimulatedFaults::default());
        house.log = broker.open(&LogOptions::embedded(house.folder.path().join("copy"))).unwrap();
        Self { house, audit: Arc::default(), projections }
    }

    pub fn hire(&self, name: &str) -> Hand {
        self.hire_with(WorkerSettings { name: name.to_owned(), ..shared_settings() })
    }

    pub fn hire_with(&self, settings: WorkerSettings) -> Hand {
        let inner = Arc::clone(&self.house.store);
        let store =
            Arc::new(OwnStore { inner, audit: Arc::clone(&self.audit), frozen: watch::Sender::new(false) });
        let projections = self.projections.clone();
        Hand { workers: self.house.workers_with(projections, Arc::clone(&store) as _, settings), store }
    }

    pub async fn append(&self, streams: impl IntoIterator<Item = StreamId>) {
        for stream in streams {
            self.house.append(stream, 1).await;
        }
    }

    /// Waits until every scope is held by one of these, each of them holds some, and all there is was read.
    pub async fn until_settled(&self, hands: &[&Hand]) {
        let is_settled = || {
            let runners: Vec<RunnerStatus> =
                hands.iter().flat_map(|hand| hand.workers.status().runners).collect();
            let spread = hands.iter().all(|hand| hand.workers.status().runners.iter().any(holds));
            let scopes = hands[0].workers.status().runners.len();
            let held = runners.iter().filter(|runner| holds(runner)).count();
            let calm = runners
                .iter()
                .all(|runner| matches!(runner.state, RunState::Waiting | RunState::Standby { .. }));
            spread && calm && held == scopes && self.is_all_read(&runners)
        };
        let waiting = async {
            while !is_settled() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let stand: Vec<_> = hands.iter().map(|hand| hand.workers.status()).collect();
            panic!("not every scope has one holder who has read all: {stand:#?}");
        }
    }

    fn is_all_read(&self, runners: &[RunnerStatus]) -> bool {
        let progress = runners.iter().flat_map(|runner| &runner.partitions);
        progress.into_iter().all(|(partition, progress)| {
            let ends = self.house.log.partitions().into_iter();
            let mut ends = ends.filter(|known| known.to_string() == *partition);
            ends.all(|known| self.house.log.end(known).unwrap() == progress.checkpoint)
        })
    }

    /// Every read model is, byte for byte, what the log makes of it.
    pub async fn assert_as_rebuilt(&self) {
        for projection in &self.projections {
            let scratch = self.house.another_store(&format!("scratch-{}", projection.name()));
            let log = Arc::clone(&self.house.log);
            let compared =
                rebuild_and_compare(Arc::clone(projection), log, self.house.store.as_ref(), scratch, 3).await;
            assert_eq!(compared.unwrap(), []);
        }
    }
}

impl Hand {
    pub fn fleet(&self) -> FleetStatus {
        self.workers.status().fleet.unwrap()
    }

    /// The scopes that it holds, as text.
    pub fn held(&self) -> Vec<String> {
        let runners = self.workers.status().runners;
        runners
            .iter()
            .filter(|runner| holds(runner))
            .map(|r| format!("{} {}", r.projection, r.scope))
            .collect()
    }
}

/// Whether the runner works for its scope.
pub fn holds(runner: &RunnerStatus) -> bool {
    match runner.state {
        RunState::Running | RunState::Waiting | RunState::Retrying { .. } | RunState::Stopped { .. } => true,
        RunState::Starting | RunState::Standby { .. } | RunState::Ended => false,
    }
}
