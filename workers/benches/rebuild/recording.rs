//! A read store that remembers what was written through it, so that the same can be written elsewhere.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use events::stream::{BEFORE_FIRST, Offset, Partition};
use projections::{
    Batch, Checkpoint, CollectionSpec, DocumentKey, Json, Page, ProjectionId, Query, ReadStore, StoreError,
    Write,
};

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// One transaction.
pub(crate) struct Recorded {
    /// The documents of the read model; the runner's own are left out.
    pub(crate) writes: Vec<Write>,
    /// How far the log is folded in by then.
    pub(crate) to: Offset,
}

/// See the module. For a read model that is fed by one partition.
pub(crate) struct Recording {
    store: Arc<dyn ReadStore>,
    collections: &'static [CollectionSpec],
    batches: Mutex<Vec<Recorded>>,
    reached: AtomicI64,
}

impl Recording {
    pub(crate) fn new(store: Arc<dyn ReadStore>, collections: &'static [CollectionSpec]) -> Self {
        Self { store, collections, batches: Mutex::default(), reached: AtomicI64::new(BEFORE_FIRST) }
    }

    /// How far the log is folded in.
    pub(crate) fn reached(&self) -> Offset {
        self.reached.load(Ordering::SeqCst)
    }

    /// Every transaction, in order.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.batches.lock().unwrap())
    }
}

impl ReadStore for Recording {
    fn commit(&self, batch: Batch) -> Answer<'_, ()> {
        // What the workers keep of each other.
        let Some(to) = batch.advances.first().map(|advance| advance.to.offset) else {
            return self.store.commit(batch);
        };
        let ours = |write: &&Write| self.collections.iter().any(|c| c.name == write.document.collection);
        let writes = batch.writes.iter().filter(ours).cloned().collect();
        Box::pin(async move {
            self.store.commit(batch).await?;
            self.batches.lock().unwrap().push(Recorded { writes, to });
            self.reached.store(to, Ordering::SeqCst);
            Ok(())
        })
    }
    fn prepare<'a>(&'a self, id: &'a ProjectionId, specs: &'a [CollectionSpec]) -> Answer<'a, ()> {
        self.store.prepare(id, specs)
    }
    fn get_many<'a>(
        &'a self,
        id: &'a ProjectionId,
        keys: &'a [DocumentKey],
    ) -> Answer<'a, Vec<Option<Json>>> {
        self.store.get_many(id, keys)
    }
    fn checkpoint<'a>(
        &'a self,
        id: &'a ProjectionId,
        partition: Partition,
    ) -> Answer<'a, Option<Checkpoint>> {
        self.store.checkpoint(id, partition)
    }
    fn find(&self, query: Query) -> Answer<'_, Page<Json>> {
        self.store.find(query)
    }
    fn origins(&self) -> Answer<'_, Vec<(ProjectionId, events::LogId)>> {
        self.store.origins()
    }
    fn scan<'a>(
        &'a self,
        id: &'a ProjectionId,
        collection: &'static str,
        after: Option<String>,
        limit: usize,
    ) -> Answer<'a, Vec<(String, Json)>> {
        self.store.scan(id, collection, after, limit)
    }
    fn explain(&self, query: Query) -> Answer<'_, String> {
        self.store.explain(query)
    }
    fn drop_projection<'a>(&'a self, id: &'a ProjectionId) -> Answer<'a, ()> {
        self.store.drop_projection(id)
    }
}
