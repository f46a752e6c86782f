//! A read store as one slow worker has it: a transaction that moves a checkpoint takes a fixed time, and one waits for the
//! other.

use std::{pin::Pin, sync::Arc, time::Duration};

use events::Partition;
use projections::{
    Batch, Checkpoint, CollectionSpec, DocumentKey, Json, Page, ProjectionId, Query, ReadStore, StoreError,
};
use tokio::sync::{Mutex, watch};

type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What a transaction takes.
const TRANSACTION: Duration = Duration::from_millis(5);

/// See the module.
pub(crate) struct Slow {
    inner: Arc<dyn ReadStore>,
    turn: Mutex<()>,
    open: watch::Receiver<bool>,
}

impl Slow {
    /// While `open` is false such transactions wait.
    pub(crate) fn new(inner: Arc<dyn ReadStore>, open: watch::Receiver<bool>) -> Self {
        Self { inner, turn: Mutex::new(()), open }
    }
}

impl ReadStore for Slow {
    fn prepare<'a>(
        &'a self,
        projection: &'a ProjectionId,
        collections: &'a [CollectionSpec],
    ) -> StoreFuture<'a, ()> {
        self.inner.prepare(projection, collections)
    }
    fn get_many<'a>(
        &'a self,
        projection: &'a ProjectionId,
        keys: &'a [DocumentKey],
    ) -> StoreFuture<'a, Vec<Option<Json>>> {
        self.inner.get_many(projection, keys)
    }
    fn commit(&self, batch: Batch) -> StoreFuture<'_, ()> {
        if batch.advances.is_empty() {
            return self.inner.commit(batch);
        }
        Box::pin(async move {
            let _ = self.open.clone().wait_for(|open| *open).await;
            let _turn = self.turn.lock().await;
            tokio::time::sleep(TRANSACTION).await;
            self.inner.commit(batch).await
        })
    }
    fn checkpoint<'a>(
        &'a self,
        projection: &'a ProjectionId,
        partition: Partition,
    ) -> StoreFuture<'a, Option<Checkpoint>> {
        self.inner.checkpoint(projection, partition)
    }
    fn find(&self, query: Query) -> StoreFuture<'_, Page<Json>> {
        self.inner.find(query)
    }
    fn origins(&self) -> StoreFuture<'_, Vec<(ProjectionId, events::LogId)>> {
        self.inner.origins()
    }
    fn scan<'a>(
        &'a self,
        projection: &'a ProjectionId,
        collection: &'static str,
        after: Option<String>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(String, Json)>> {
        self.inner.scan(projection, collection, after, limit)
    }
    fn explain(&self, query: Query) -> StoreFuture<'_, String> {
        self.inner.explain(query)
    }
    fn drop_projection<'a>(&'a self, projection: &'a ProjectionId) -> StoreFuture<'a, ()> {
        self.inner.drop_projection(projection)
    }
}
