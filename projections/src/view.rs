//! A unit of work over documents: what a projection sees while it folds a batch.

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    projection::{Applied, ApplyError, Projection},
    store::{Collection, Write},
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

/// The documents of a batch in the making: what was loaded, and what the events so far made of it.
///
/// Events are applied one by one with [`View::attempt`]: all of an event's changes, or none of them.
#[derive(Debug, Default)]
pub struct View {
    /// What the store holds, as far as it was loaded.
    loaded: HashMap<DocumentKey, Option<Value>>,
    /// What the batch has made so far.
    changed: BTreeMap<DocumentKey, Option<Value>>,
    /// What the event under way has made so far.
    pending: BTreeMap<DocumentKey, Option<Value>>,
}

impl View {
    /// A view that knows no document.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the view what the store holds under `key`; `None`: nothing.
    pub fn load(&mut self, key: DocumentKey, value: Option<Value>) {
        self.loaded.insert(key, value);
    }

    /// The document `key` as the events so far have left it.
    ///
    /// # Errors
    /// [`ApplyError::Missing`] when it has to be loaded first; [`ApplyError::Poison`] when it is not a `T`.
    pub fn get<T: DeserializeOwned>(
        &self,
        collection: &Collection<T>,
        key: &str,
    ) -> Result<Option<T>, ApplyError> {
        let document = DocumentKey { collection: collection.spec.name, key: key.to_owned() };
        let value = (self.pending.get(&document))
            .or_else(|| self.changed.get(&document))
            .or_else(|| self.loaded.get(&document));
        match value {
            None => Err(ApplyError::Missing(document)),
            Some(None) => Ok(None),
            Some(Some(value)) => T::deserialize(value)
                .map(Some)
                .map_err(|e| ApplyError::Poison(format!("the document {document:?} does not decode: {e}"))),
        }
    }

    /// The document is `value` from now on. It need not have been loaded.
    ///
    /// # Errors
    /// [`ApplyError::Poison`] when it does not serialise.
    pub fn put<T: Serialize>(
        &mut self,
        collection: &Collection<T>,
        key: &str,
        value: &T,
    ) -> Result<(), ApplyError> {
        let value = serde_json::to_value(value)
            .map_err(|e| ApplyError::Poison(format!("a document does not serialise: {e}")))?;
        let document = DocumentKey { collection: collection.spec.name, key: key.to_owned() };
        self.pending.insert(document, Some(value));
        Ok(())
    }

    /// Changes the document in place.
    ///
    /// # Errors
    /// As [`View::get`]; [`ApplyError::Poison`] when there is none.
    pub fn update<T: Serialize + DeserializeOwned>(
        &mut self,
        collection: &Collection<T>,
        key: &str,
        change: impl FnOnce(&mut T),
    ) -> Result<(), ApplyError> {
        let mut value = self
            .get(collection, key)?
            .ok_or_else(|| ApplyError::Poison(format!("there is no {} {key}", collection.spec.name)))?;
        change(&mut value);
        self.put(collection, key, &value)
    }

    /// The document is gone from now on. It need not have been there.
    pub fn delete<T>(&mut self, collection: &Collection<T>, key: &str) {
        self.pending.insert(DocumentKey { collection: collection.spec.name, key: key.to_owned() }, None);
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
        let result = projection.apply(event, self);
        let pending = std::mem::take(&mut self.pending);
        if result.is_ok() {
            self.changed.extend(pending);
        }
        result
    }

    /// Every document that the batch changed, in key order.
    pub fn into_writes(self) -> Vec<Write> {
        self.changed.into_iter().map(|(document, value)| Write { document, value }).collect()
    }
}
