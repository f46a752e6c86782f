//! The read store's port: documents, indexes, checkpoints; one transaction per batch.
//!
//! Dead letters, timers and open steps are documents like all others, so an engine knows nothing of them.

use std::{future::Future, marker::PhantomData, pin::Pin};

use events::{LogId, Offset, Partition};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{projection::ProjectionId, view::DocumentKey};

/// A future that an engine answers with.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where documents of type `T` are kept within a projection, by text key.
#[derive(Debug)]
pub struct Collection<T> {
    /// Name and indexes, as the store sees them.
    pub spec: CollectionSpec,
    of: PhantomData<fn() -> T>,
}

impl<T> Collection<T> {
    /// A collection `name` with `indexes`.
    pub const fn new(name: &'static str, indexes: &'static [Index]) -> Self {
        Self { spec: CollectionSpec { name, indexes }, of: PhantomData }
    }
}

/// Name and indexes of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectionSpec {
    /// Its name within the projection, `snake_case`.
    pub name: &'static str,
    /// Its declared indexes.
    pub indexes: &'static [Index],
}

/// A declared index over top-level fields, in this order, followed by the document's key. At most one of the fields
/// may hold arrays of scalars: then every element is an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name within the collection.
    pub name: &'static str,
    /// Top-level field names of the document.
    pub fields: &'static [&'static str],
}

/// A value that can be indexed and compared. Text compares by bytes, like RFC 3339 times do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A whole number; sorts before text.
    Integer(i64),
    /// Text.
    Text(String),
}

/// What a document must satisfy.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// The field is this.
    Is(&'static str, Scalar),
    /// The array field has this among its elements.
    Has(&'static str, Scalar),
    /// The field is this or more.
    AtLeast(&'static str, Scalar),
    /// The field is this or less.
    AtMost(&'static str, Scalar),
}

/// In which order documents come; equal ones by key, in the same direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// A top-level field.
    pub field: &'static str,
    /// Largest first.
    pub descending: bool,
}

/// Where a page ends: the order field's value and the key of its last document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The order field's value.
    pub value: Scalar,
    /// The document's key.
    pub key: String,
}

/// One page of one collection. Every query must be served by a declared index ([`ReadStore::explain`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Whose documents.
    pub projection: ProjectionId,
    /// Which collection.
    pub collection: &'static str,
    /// All must hold.
    pub filters: Vec<Filter>,
    /// The order.
    pub order: Order,
    /// Only what comes behind this.
    pub after: Option<Cursor>,
    /// At most this many, at least 1.
    pub limit: usize,
}

/// One page of documents.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// In the order asked for.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// How far one version of one projection has read one partition of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub log: LogId,
    /// Everything up to and with this offset is folded in.
    pub offset: Offset,
}

/// The step of a checkpoint within a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Which partition.
    pub partition: Partition,
    /// What the checkpoint must be, or the batch is refused as fenced; `None` when there must be none.
    pub from: Option<Checkpoint>,
    /// What it will be.
    pub to: Checkpoint,
}

/// A changed document.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Which one.
    pub document: DocumentKey,
    /// What it is now; `None`: deleted.
    pub value: Option<Value>,
}

/// What one transaction does: all of it or nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Whose documents and checkpoint.
    pub projection: ProjectionId,
    /// Changed documents, at most one write each.
    pub writes: Vec<Write>,
    /// Checkpoints by compare-and-set. May be empty (a redrive changes documents only).
    pub advances: Vec<Advance>,
    /// Documents that must still be as they were read (compared as JSON), or the batch is refused as fenced.
    pub unchanged: Vec<Write>,
}

/// Why the store could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else advanced the checkpoint or changed what had to be unchanged: nothing was written.
    #[error("another runner has written meanwhile")]
    Fenced,
    /// It may pass by itself.
    #[error("the read store is not available: {0}")]
    Unavailable(String),
    /// It will not pass by itself: a damaged file, a foreign format, a query without an index.
    #[error("the read store refused: {0}")]
    Refused(String),
}

/// The port. Engines: SQLite here, MongoDB later. Share it as `Arc<dyn ReadStore>`.
pub trait ReadStore: Send + Sync + 'static {
    /// Makes the collections and indexes of one version of a projection, and checks those that are there.
    fn prepare<'a>(
        &'a self,
        projection: &'a ProjectionId,
        collections: &'a [CollectionSpec],
    ) -> StoreFuture<'a, ()>;

    /// The documents with these keys, in the order asked for.
    fn get_many<'a>(
        &'a self,
        projection: &'a ProjectionId,
        keys: &'a [DocumentKey],
    ) -> StoreFuture<'a, Vec<Option<Value>>>;

    /// Carries out a batch in one transaction.
    fn commit(&self, batch: Batch) -> StoreFuture<'_, ()>;

    /// How far a projection has read a partition; `None` before its first batch.
    fn checkpoint<'a>(
        &'a self,
        projection: &'a ProjectionId,
        partition: Partition,
    ) -> StoreFuture<'a, Option<Checkpoint>>;

    /// One page of documents.
    fn find(&self, query: Query) -> StoreFuture<'_, Page<Value>>;

    /// How the engine would serve the query, in its own words; tests look for the index's name and for scans.
    fn explain(&self, query: Query) -> StoreFuture<'_, String>;

    /// Removes documents and checkpoints of one version of a projection.
    fn drop_projection<'a>(&'a self, projection: &'a ProjectionId) -> StoreFuture<'a, ()>;
}
