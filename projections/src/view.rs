//! A unit of work over documents: what a projection sees while it folds a batch.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    projection::{Applied, ApplyError, Projection},
    store::{Collection, Json, Write},
};
use events::RecordedEvent;

/// One document within a projection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey {
    /// The collection's name.
    pub collection: &'static str,
    /// The document's key.
    pub key: String,
}

/// What a document must be able to do to live in a [`View`].
pub trait Document: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Document for T {}

/// A typed document whose type only its collection knows.
trait Erased: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn to_json(&self) -> serde_json::Result<Json>;
}

impl<T: Document> Erased for T {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn to_json(&self) -> serde_json::Result<Json> {
        Json::of(self)
    }
}

/// What the view knows of one document.
#[derive(Clone)]
enum State {
    /// There is none.
    Absent,
    /// As the store holds it.
    Stored(Json),
    /// As an event has left it: it stays typed until the batch is written.
    Typed(Arc<dyn Erased>),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Stored(json) => write!(f, "{json:?}"),
            Self::Typed(document) => write!(f, "{:?}", document.to_json()),
        }
    }
}

/// The documents of a batch in the making: what was loaded, and what the events so far made of it.
///
/// Events are applied one by one with [`View::attempt`]: all of an event's changes, or none of them.
#[derive(Debug, Default)]
pub struct View {
    /// What the store holds, as far as it was loaded.
    loaded: HashMap<DocumentKey, State>,
    /// What the batch has made so far.
    changed: BTreeMap<DocumentKey, State>,
    /// What the event under way has made so far.
    pending: BTreeMap<DocumentKey, State>,
}

impl View {
    /// A view that knows no document.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the view what the store holds under `key`; `None`: nothing.
    pub fn load(&mut self, key: DocumentKey, value: Option<Json>) {
        self.loaded.insert(key, value.map_or(State::Absent, State::Stored));
    }

    /// The document `key` as the events so far have left it.
    ///
    /// # Errors
    /// [`ApplyError::Missing`] when it has to be loaded first; [`ApplyError::Poison`] when it is not a `T`.
    pub fn get<T: Document>(&self, collection: &Collection<T>, key: &str) -> Result<Option<T>, ApplyError> {
        let document = DocumentKey { collection: collection.spec.name, key: key.to_owned() };
        let state = (self.pending.get(&document))
            .or_else(|| self.changed.get(&document))
            .or_else(|| self.loaded.get(&document));
        match state {
            None => Err(ApplyError::Missing(document)),
            Some(State::Absent) => Ok(None),
            Some(State::Stored(json)) => json
                .parse()
                .map(Some)
                .map_err(|e| ApplyError::Poison(format!("the document {document:?} does not decode: {e}"))),
            Some(State::Typed(typed)) => {
                typed.as_any().downcast_ref::<T>().map(|typed| Some(typed.clone())).ok_or_else(|| {
                    ApplyError::Poison(format!("the document {document:?} is of another type"))
                })
            }
        }
    }

    /// The document is `value` from now on. It need not have been loaded.
    ///
    /// # Errors
    /// None today; an event that cannot be applied is what the caller would make of one.
    pub fn put<T: Document>(
        &mut self,
        collection: &Collection<T>,
        key: &str,
        value: &T,
    ) -> Result<(), ApplyError> {
        self.place(collection, key, value.clone());
        Ok(())
    }

    /// Changes the document in place.
    ///
    /// # Errors
    /// As [`View::get`]; [`ApplyError::Poison`] when there is none.
    pub fn update<T: Document>(
        &mut self,
        collection: &Collection<T>,
        key: &str,
        change: impl FnOnce(&mut T),
    ) -> Result<(), ApplyError> {
        let mut value = self
            .get(collection, key)?
            .ok_or_else(|| ApplyError::Poison(format!("there is no {} {key}", collection.spec.name)))?;
        change(&mut value);
        self.place(collection, key, value);
        Ok(())
    }

    /// The document is gone from now on. It need not have been there.
    pub fn delete<T>(&mut self, collection: &Collection<T>, key: &str) {
        let document = DocumentKey { collection: collection.spec.name, key: key.to_owned() };
        self.pending.insert(document, State::Absent);
    }

    fn place<T: Document>(&mut self, collection: &Collection<T>, key: &str, value: T) {
        let document = DocumentKey { collection: collection.spec.name, key: key.to_owned() };
        self.pending.insert(document, State::Typed(Arc::new(value)));
    }

    /// Applies one event: when it fails, the view is as it was before.
    ///
    /// # Errors
    /// What the projection's `apply` says.
    pub fn attempt(
        &mut self,
        projection: &dyn Projection,
        event: &RecordedEvent,
    ) -> Result<Applied, ApplyError> {
        // What an event left behind that panicked.
        self.pending.clear();
        let result = projection.apply(event, self);
        let pending = std::mem::take(&mut self.pending);
        if result.is_ok() {
            self.changed.extend(pending);
        }
        result
    }

    /// Every document that the batch changed, in key order.
    pub fn into_writes(self) -> Vec<Write> {
        let write = |(document, state): (DocumentKey, State)| {
            let value = match state {
                State::Absent => None,
                State::Stored(json) => Some(json),
                State::Typed(typed) => {
                    Some(typed.to_json().expect("documents serialise: text keys, no failing field"))
                }
            };
            Write { document, value }
        };
        self.changed.into_iter().map(write).collect()
    }
}
