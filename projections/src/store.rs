//! The read store's port: documents, indexes, checkpoints; one transaction per batch.
//!
//! Dead letters, timers and open steps are documents like all others, so an engine knows nothing of them.

use std::{fmt, future::Future, marker::PhantomData, pin::Pin, sync::Arc};

use events::{LogId, Offset, Partition, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

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
        Self { spec: CollectionSpec { name, indexes, arrays: &[], fields: &[] }, of: PhantomData }
    }

    /// The collection, some of whose indexed fields hold arrays of scalars.
    pub const fn with_arrays(mut self, arrays: &'static [&'static str]) -> Self {
        self.spec.arrays = arrays;
        self
    }

    /// The collection with further top-level fields that filters may name beside those of the indexes.
    pub const fn with_fields(mut self, fields: &'static [&'static str]) -> Self {
        self.spec.fields = fields;
        self
    }
}

/// Name and indexes of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectionSpec {
    /// Its name within the projection, `snake_case`.
    pub name: &'static str,
    /// Its declared indexes.
    pub indexes: &'static [Index],
    /// Those of the indexed fields that hold arrays of scalars.
    pub arrays: &'static [&'static str],
    /// Scalar fields in no index that filters may name: they narrow what an index has found.
    pub fields: &'static [&'static str],
}

/// A declared index over top-level fields, in this order, followed by the document's key. At most one of the fields
/// may hold arrays of scalars: then every element is an entry.
///
/// It serves a query that is ordered by its last field and says what all its other fields are ([`Filter::Is`],
/// [`Filter::Has`]); further filters narrow what the index has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name within the collection.
    pub name: &'static str,
    /// Top-level field names of the document.
    pub fields: &'static [&'static str],
}

/// A document as JSON text, as an engine keeps it. It is serialised once, from the typed document, so that a rebuilt
/// read model is equal byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Arc<str>);

impl Json {
    /// The document's text.
    ///
    /// # Errors
    /// What serde says: a map whose keys are no text, for instance.
    pub fn of<T: Serialize>(document: &T) -> serde_json::Result<Self> {
        serde_json::to_string(document).map(|text| Self(text.into()))
    }

    /// Text that is known to be JSON: what an engine reads back.
    pub fn from_text(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The typed document.
    ///
    /// # Errors
    /// What serde says when it is not a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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

impl From<i64> for Scalar {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Timestamp> for Scalar {
    fn from(time: Timestamp) -> Self {
        Self::Text(time.to_string())
    }
}

/// What a document must satisfy. A field that is absent, null or of another kind satisfies nothing.
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

/// In which order documents come; equal ones by key, in the same direction. Documents without a value in the field
/// are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// A top-level field.
    pub field: &'static str,
    /// Largest first.
    pub descending: bool,
}

impl Order {
    /// Smallest first.
    pub const fn ascending(field: &'static str) -> Self {
        Self { field, descending: false }
    }

    /// Largest first.
    pub const fn descending(field: &'static str) -> Self {
        Self { field, descending: true }
    }
}

/// Where a page ends: the order field's value and the key of its last document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// Which page of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Only what comes behind this; `None` for the first page.
    pub after: Option<Cursor>,
    /// At most this many, at least 1.
    pub limit: usize,
}

impl PageRequest {
    /// The first page.
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }
}

/// One page of documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Page<T> {
    /// In the order asked for.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end.
    #[schemars(skip)]
    #[serde(skip)]
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The page with each item turned into something else.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

/// How far one build of one projection has read one partition of one log.
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
    pub value: Option<Json>,
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

/// The port. Engines: SQLite in a file, MongoDB for many processes. Share it as `Arc<dyn ReadStore>`.
pub trait ReadStore: Send + Sync + 'static {
    /// Makes the collections and indexes of one build of a projection, and checks those that are there.
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
    ) -> StoreFuture<'a, Vec<Option<Json>>>;

    /// Carries out a batch in one transaction.
    fn commit(&self, batch: Batch) -> StoreFuture<'_, ()>;

    /// How far a projection has read a partition; `None` before its first batch.
    fn checkpoint<'a>(
        &'a self,
        projection: &'a ProjectionId,
        partition: Partition,
    ) -> StoreFuture<'a, Option<Checkpoint>>;

    /// From which logs the store was fed: every build that has checkpoints, of whatever version, with each log that
    /// they name. An engine that cannot say refuses.
    fn origins(&self) -> StoreFuture<'_, Vec<(ProjectionId, LogId)>> {
        Box::pin(async { Err(StoreError::Refused("this engine cannot say which logs fed it".into())) })
    }

    /// One page of documents.
    fn find(&self, query: Query) -> StoreFuture<'_, Page<Json>>;

    /// The documents of a collection behind the key `after`, by key, at most `limit`: for comparisons, not for
    /// queries. An engine that cannot refuses.
    fn scan<'a>(
        &'a self,
        projection: &'a ProjectionId,
        collection: &'static str,
        _after: Option<String>,
        _limit: usize,
    ) -> StoreFuture<'a, Vec<(String, Json)>> {
        let refusal = format!("{collection} of {projection} cannot be scanned by this engine");
        Box::pin(async move { Err(StoreError::Refused(refusal)) })
    }

    /// How the engine would serve the query, in its own words; tests look for the index's name and for scans.
    fn explain(&self, query: Query) -> StoreFuture<'_, String>;

    /// Removes documents and checkpoints of one build of a projection.
    fn drop_projection<'a>(&'a self, projection: &'a ProjectionId) -> StoreFuture<'a, ()>;
}
