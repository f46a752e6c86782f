//! A read store that fails by seed, or dies at a given moment.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use events::Partition;
use projections::{
    Batch, Checkpoint, CollectionSpec, DocumentKey, Json, Page, ProjectionId, Query, ReadStore, StoreError,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::Notify;

use super::projections::TRAILS;

type StoreFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What goes wrong.
pub enum Plan {
    /// Something, by seed, in so many of a hundred operations.
    Random { seeded: Box<Mutex<StdRng>>, percent: u32 },
    /// The operation with this number never answers: before it is done, or after it.
    Crash { at: u64, done_first: bool },
    /// One operation waits until it is let go: a preparation, reading a trail, or the transaction behind so many
    /// others.
    Hold { prepare: AtomicBool, read: AtomicBool, transaction: AtomicI64, go: Notify },
}

/// See the module.
pub struct FaultyStore {
    inner: Arc<dyn ReadStore>,
    plan: Plan,
    operations: AtomicU64,
    answered: AtomicU64,
    trails_read: AtomicU64,
    found: AtomicU64,
    /// Told when the crash has come, or a transaction waits.
    pub crashed: Notify,
}

/// What happens to one operation.
enum Fate {
    Well,
    FailBefore(StoreError),
    FailAfter(StoreError),
    HangBefore,
    HangAfter,
    Wait,
}

impl FaultyStore {
    pub fn random(inner: Arc<dyn ReadStore>, seed: u64, percent: u32) -> Arc<Self> {
        let seeded = Box::new(Mutex::new(StdRng::seed_from_u64(seed)));
        Self::with(inner, Plan::Random { seeded, percent })
    }

    pub fn crash(inner: Arc<dyn ReadStore>, at: u64, done_first: bool) -> Arc<Self> {
        Self::with(inner, Plan::Crash { at, done_first })
    }

    pub fn holding(inner: Arc<dyn ReadStore>) -> Arc<Self> {
        let (prepare, read, transaction) =
            (AtomicBool::new(false), AtomicBool::new(false), AtomicI64::new(-1));
        Self::with(inner, Plan::Hold { prepare, read, transaction, go: Notify::new() })
    }

    /// The next preparation waits; [`FaultyStore::crashed`] tells when it has come.
    pub fn hold_prepare(&self) {
        if let Plan::Hold { prepare, .. } = &self.plan {
            prepare.store(true, Ordering::SeqCst);
        }
    }

    /// The next time that trails are read waits; [`FaultyStore::crashed`] tells when it has come.
    pub fn hold_read(&self) {
        if let Plan::Hold { read, .. } = &self.plan {
            read.store(true, Ordering::SeqCst);
        }
    }

    /// The transaction behind `others` more waits; [`FaultyStore::crashed`] tells when it has come.
    pub fn hold_transaction(&self, others: i64) {
        if let Plan::Hold { transaction, .. } = &self.plan {
            transaction.store(others, Ordering::SeqCst);
        }
    }

    /// Operations that were answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    /// Queries that were answered.
    pub fn found(&self) -> u64 {
        self.found.load(Ordering::SeqCst)
    }

    /// Trails that were asked for.
    pub fn trails_read(&self) -> u64 {
        self.trails_read.load(Ordering::SeqCst)
    }

    /// Lets the operation that waits go on.
    pub fn let_go(&self) {
        if let Plan::Hold { go, .. } = &self.plan {
            go.notify_one();
        }
    }

    fn with(inner: Arc<dyn ReadStore>, plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            inner,
            plan,
            operations: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            trails_read: AtomicU64::new(0),
            found: AtomicU64::new(0),
            crashed: Notify::new(),
        })
    }

    fn fate(&self, writes: bool) -> Fate {
        let number = self.operations.fetch_add(1, Ordering::SeqCst);
        match &self.plan {
            Plan::Crash { at, done_first } if number == *at => {
                if *done_first {
                    Fate::HangAfter
                } else {
                    Fate::HangBefore
                }
            }
            Plan::Crash { .. } => Fate::Well,
            Plan::Hold { transaction, .. } if writes && transaction.fetch_sub(1, Ordering::SeqCst) == 0 => {
                Fate::Wait
            }
            Plan::Hold { .. } => Fate::Well,
            Plan::Random { seeded, percent } => {
                let mut random = seeded.lock().unwrap();
                if random.random_range(0..100) >= *percent {
                    return Fate::Well;
                }
                let away = || StoreError::Unavailable("the test says so".to_owned());
                match random.random_range(0..3) {
                    0 if writes => Fate::FailBefore(StoreError::Fenced),
                    1 if writes => Fate::FailAfter(away()),
                    _ => Fate::FailBefore(away()),
                }
            }
        }
    }

    async fn meet<T>(
        &self,
        writes: bool,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let fate = self.fate(writes);
        self.meet_with(fate, operation).await
    }

    async fn meet_with<T>(
        &self,
        fate: Fate,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match fate {
            Fate::Well => {
                let answer = operation.await;
                self.answered.fetch_add(1, Ordering::SeqCst);
                answer
            }
            Fate::FailBefore(error) => Err(error),
            Fate::FailAfter(error) => operation.await.and(Err(error)),
            Fate::HangBefore => {
                self.crashed.notify_one();
                pending().await
            }
            Fate::Wait => {
                self.crashed.notify_one();
                if let Plan::Hold { go, .. } = &self.plan {
                    go.notified().await;
                }
                operation.await
            }
            Fate::HangAfter => {
                let _ = operation.await;
                self.crashed.notify_one();
                pending().await
            }
        }
    }
}

impl ReadStore for FaultyStore {
    fn prepare<'a>(
        &'a self,
        projection: &'a ProjectionId,
        collections: &'a [CollectionSpec],
    ) -> StoreFuture<'a, ()> {
        if let Plan::Hold { prepare, .. } = &self.plan
            && prepare.swap(false, Ordering::SeqCst)
        {
            return Box::pin(self.meet_with(Fate::Wait, self.inner.prepare(projection, collections)));
        }
        Box::pin(self.meet(false, self.inner.prepare(projection, collections)))
    }
    fn get_many<'a>(
        &'a self,
        projection: &'a ProjectionId,
        keys: &'a [DocumentKey],
    ) -> StoreFuture<'a, Vec<Option<Json>>> {
        let trails = keys.iter().filter(|key| key.collection == TRAILS.spec.name).count();
        self.trails_read.fetch_add(trails as u64, Ordering::SeqCst);
        if let Plan::Hold { read, .. } = &self.plan
            && trails > 0
            && read.swap(false, Ordering::SeqCst)
        {
            return Box::pin(self.meet_with(Fate::Wait, self.inner.get_many(projection, keys)));
        }
        Box::pin(self.meet(false, self.inner.get_many(projection, keys)))
    }
    fn commit(&self, batch: Batch) -> StoreFuture<'_, ()> {
        Box::pin(self.meet(true, self.inner.commit(batch)))
    }
    fn checkpoint<'a>(
        &'a self,
        projection: &'a ProjectionId,
        partition: Partition,
    ) -> StoreFuture<'a, Option<Checkpoint>> {
        Box::pin(self.meet(false, self.inner.checkpoint(projection, partition)))
    }
    fn find(&self, query: Query) -> StoreFuture<'_, Page<Json>> {
        Box::pin(async {
            let answer = self.meet(false, self.inner.find(query)).await;
            self.found.fetch_add(1, Ordering::SeqCst);
            answer
        })
    }
    fn origins(&self) -> StoreFuture<'_, Vec<(ProjectionId, events::LogId)>> {
        Box::pin(self.meet(false, self.inner.origins()))
    }
    fn scan<'a>(
        &'a self,
        projection: &'a ProjectionId,
        collection: &'static str,
        after: Option<String>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(String, Json)>> {
        Box::pin(self.meet(false, self.inner.scan(projection, collection, after, limit)))
    }
    fn explain(&self, query: Query) -> StoreFuture<'_, String> {
        self.inner.explain(query)
    }
    fn drop_projection<'a>(&'a self, projection: &'a ProjectionId) -> StoreFuture<'a, ()> {
        self.inner.drop_projection(projection)
    }
}
