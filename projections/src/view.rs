//! A unit of work over documents: what a projection sees while it folds a batch.

use std::{
    any::Any,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
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
    /// As the store holds it, and typed once somebody has asked for it.
    Stored(Json, OnceLock<Arc<dyn Erased>>),
    /// As an event has left it: it stays typed, and is serialised once, when the batch is written.
    Typed(Arc<dyn Erased>),
}

impl State {
    fn typed<T: Document>(&self, document: &DocumentKey) -> Result<Option<T>, ApplyError> {
        let typed = match self {
            Self::Absent => return Ok(None),
            Self::Typed(typed) => typed,
            Self::Stored(json, decoded) => {
                if decoded.get().is_none() {
                    let value: T = json.parse().map_err(|e| {
                        ApplyError::Poison(format!("the document {document:?} does not decode: {e}"))
                    })?;
                    let _ = decoded.set(Arc::new(value));
                }
                decoded.get().expect("it was decoded above")
            }
        };
        // Through the Arc: the trait's own method, not that of the pointer.
        let value = typed.as_ref().as_any().downcast_ref::<T>();
        let value = value.ok_or_else(|| ApplyError::Poison(format!("{document:?} is of another type")))?;
        Ok(Some(value.clone()))
    }

    fn to_json(&self) -> Option<Json> {
        match self {
            Self::Absent => None,
            Self::Stored(json, _) => Some(json.clone()),
            Self::Typed(typed) => {
                Some(typed.as_ref().to_json().expect("documents serialise: text keys, no failing field"))
            }
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.to_json())
    }
}

/// What the store is known to hold under a key.
#[derive(Debug)]
struct Known {
    state: State,
    /// Bytes it takes here, roughly.
    bytes: usize,
    /// The batch that loaded or wrote it last.
    batch: u64,
}

/// What events have made of documents.
pub(crate) type Changes = HashMap<DocumentKey, Change>;

/// What the batch has made of one document.
#[derive(Debug)]
pub(crate) struct Change {
    state: State,
    /// Bytes of its text, once it was serialised.
    text_bytes: usize,
}

/// The documents of a batch in the making: what was loaded, and what the events so far made of it.
///
/// Events are applied one by one with [`View::attempt`]: all of an event's changes, or none of them. As long as nobody
/// else writes these documents a view lives from batch to batch: [`View::writes`], commit them, then [`View::settle`].
/// It then remembers the documents that were used last, and little is read twice. When the commit failed, or anybody
/// else may have written, [`View::forget`] is due.
#[derive(Debug)]
pub struct View {
    /// What the store holds, as far as it was loaded.
    known: HashMap<DocumentKey, Known>,
    /// What all of `known` takes, roughly.
    bytes: usize,
    /// How much of it may outlive a batch.
    bytes_max: usize,
    /// Counts the batches.
    batch: u64,
    /// What the batch has made so far.
    changed: Changes,
    /// What the event under way has made so far; the last one counts.
    pending: Vec<(DocumentKey, State)>,
}

/// What a document takes beside its text.
const OVERHEAD_BYTES: usize = 256;
/// A typed document and its text together take about so many times its text.
const BYTES_PER_TEXT_BYTE: usize = 3;

impl View {
    /// A view that knows no document, and may remember documents of about `bytes_max` bytes between batches.
    pub fn remembering(bytes_max: usize) -> Self {
        Self {
            known: HashMap::new(),
            bytes: 0,
            bytes_max,
            batch: 0,
            changed: HashMap::new(),
            pending: Vec::new(),
        }
    }

    /// Tells the view what the store holds under `key`; `None`: nothing.
    pub fn load(&mut self, key: DocumentKey, value: Option<Json>) {
        let bytes = value.as_ref().map_or(0, |json| json.text().len());
        self.know(key, value.map_or(State::Absent, |json| State::Stored(json, OnceLock::new())), bytes);
    }

    fn know(&mut self, key: DocumentKey, state: State, text_bytes: usize) {
        let bytes = OVERHEAD_BYTES + BYTES_PER_TEXT_BYTE * text_bytes;
        self.bytes += bytes;
        let before = self.known.insert(key, Known { state, bytes, batch: self.batch });
        self.bytes -= before.map_or(0, |before| before.bytes);
    }

    /// The document `key` as the events so far have left it.
    ///
    /// # Errors
    /// [`ApplyError::Missing`] when it has to be loaded first; [`ApplyError::Poison`] when it is not a `T`.
    pub fn get<T: Document>(&self, collection: &Collection<T>, key: &str) -> Result<Option<T>, ApplyError> {
        let document = DocumentKey { collection: collection.spec.name, key: key.to_owned() };
        let pending = self.pending.iter().rev().find(|(pending, _)| *pending == document);
        let state = (pending.map(|(_, state)| state))
            .or_else(|| self.changed.get(&document).map(|change| &change.state))
            .or_else(|| self.known.get(&document).map(|known| &known.state));
        match state {
            None => Err(ApplyError::Missing(document)),
            Some(state) => state.typed(&document),
        }
    }

    /// The document is `value` from now on. It need not have been loaded.
    ///
    /// # Errors
    /// None today; what a `put` may refuse one day is an event that cannot be applied.
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
        let value = self.get(collection, key)?;
        let mut value = value.ok_or_else(|| ApplyError::absent(collection.spec.name, key))?;
        change(&mut value);
        self.place(collection, key, value);
        Ok(())
    }

    /// The document is gone from now on. It need not have been there.
    pub fn delete<T>(&mut self, collection: &Collection<T>, key: &str) {
        let document = DocumentKey { collection: collection.spec.name, key: key.to_owned() };
        self.pending.push((document, State::Absent));
    }

    /// The document is `value` from now on: [`View::put`] for a value that is not needed any more.
    pub fn place<T: Document>(&mut self, collection: &Collection<T>, key: &str, value: T) {
        let document = DocumentKey { collection: collection.spec.name, key: key.to_owned() };
        self.pending.push((document, State::Typed(Arc::new(value))));
    }

    /// Applies one event: when it fails, the view is as it was before. A projection that panics at an event cannot
    /// apply it: that is no reason for all others to wait.
    ///
    /// # Errors
    /// What the projection's `apply` says; [`ApplyError::Poison`] when it panics.
    pub fn attempt(
        &mut self,
        projection: &dyn Projection,
        event: &RecordedEvent,
    ) -> Result<Applied, ApplyError> {
        // What changes it left behind when it panicked is cleared below, and nothing else of the view was lent to it.
        let result = catch_unwind(AssertUnwindSafe(|| projection.apply(event, self)))
            .unwrap_or_else(|panic| Err(ApplyError::Poison(words_of(panic.as_ref()))));
        if result.is_ok() {
            let changes = self.pending.drain(..).map(|(key, state)| (key, Change { state, text_bytes: 0 }));
            self.changed.extend(changes);
        }
        self.pending.clear();
        result
    }

    /// Every document that the batch changed, in key order, once for each.
    pub fn writes(&mut self) -> Vec<Write> {
        let mut writes: Vec<Write> = (self.changed.iter_mut())
            .map(|(document, change)| {
                let value = change.state.to_json();
                change.text_bytes = value.as_ref().map_or(0, |json| json.text().len());
                Write { document: document.clone(), value }
            })
            .collect();
        writes.sort_unstable_by(|a, b| a.document.cmp(&b.document));
        writes
    }

    /// What [`View::writes`] said counts as stored before it is: the next batch begins upon it. None of it is let go of before
    /// [`View::trim`], since it could not be loaded again.
    pub fn assume(&mut self) {
        for (document, Change { state, text_bytes }) in std::mem::take(&mut self.changed) {
            self.know(document, state, text_bytes);
        }
        self.batch += 1;
    }

    /// All that was said is in the store: what is remembered beyond the bound may go.
    pub fn trim(&mut self) {
        self.shrink();
    }

    /// What [`View::writes`] said is in the store: the next batch begins.
    pub fn settle(&mut self) {
        self.assume();
        self.trim();
    }

    /// What the events of this batch have made, as if they had not.
    pub(crate) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changed)
    }

    /// These are what the events of this batch have made.
    pub(crate) fn set_changes(&mut self, changes: Changes) {
        self.changed = changes;
    }

    /// Forgets what the events of this batch have made; what was loaded stays known.
    pub fn discard(&mut self) {
        self.changed.clear();
        self.pending.clear();
    }

    /// Forgets everything: somebody else may have written these documents, or nobody knows what a commit came to.
    pub fn forget(&mut self) {
        *self = Self::remembering(self.bytes_max);
    }

    /// Lets go of the documents that were not used for longest, down to half of the bound.
    fn shrink(&mut self) {
        if self.bytes <= self.bytes_max {
            return;
        }
        let mut ages: Vec<(u64, usize)> =
            self.known.values().map(|known| (known.batch, known.bytes)).collect();
        ages.sort_unstable_by(|a, b| b.cmp(a));
        let mut kept = 0;
        let oldest_kept = ages.iter().find_map(|(batch, bytes)| {
            kept += bytes;
            (kept > self.bytes_max / 2).then_some(batch + 1)
        });
        self.known.retain(|_, known| known.batch >= oldest_kept.unwrap_or(0));
        self.bytes = self.known.values().map(|known| known.bytes).sum();
    }
}

/// What a projection said when it panicked.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = (panic.downcast_ref::<String>().map(String::as_str))
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words");
    format!("the projection panicked: {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Collection<String> = Collection::new("names", &[]);

    fn key(number: usize) -> DocumentKey {
        DocumentKey { collection: "names", key: format!("{number:04}") }
    }

    /// As if an event had made the changes and the batch were in the store.
    fn commit(view: &mut View) {
        let pending = std::mem::take(&mut view.pending).into_iter();
        view.changed.extend(pending.map(|(key, state)| (key, Change { state, text_bytes: 0 })));
        view.writes();
        view.settle();
    }

    #[test]
    fn what_a_view_remembers_between_batches_is_bounded_and_it_forgets_the_oldest() {
        let mut view = View::remembering(100_000);
        for number in 0..1000 {
            view.place(&NAMES, &key(number).key, "x".repeat(100));
            commit(&mut view);
            assert!(view.bytes <= 100_000);
        }
        assert!(view.known.contains_key(&key(999)));
        assert!(!view.known.contains_key(&key(0)));
        assert!(view.known.len() > 50);
    }

    #[test]
    fn a_document_that_was_not_loaded_is_missing_and_one_that_is_not_there_is_none() {
        let mut view = View::remembering(1);
        assert_eq!(view.get(&NAMES, "0001"), Err(ApplyError::Missing(key(1))));
        view.load(key(1), None);
        assert_eq!(view.get(&NAMES, "0001"), Ok(None));
        view.load(key(1), Json::of(&"Ada").ok());
        assert_eq!(view.get(&NAMES, "0001"), Ok(Some("Ada".to_owned())));
        view.discard();
        assert!(view.writes().is_empty());
    }
}
