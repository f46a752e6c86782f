//! Folds events into the documents of a projection, reading the store as seldom as possible.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use events::{RecordedEvent, ids::EventId};

use crate::{
    Applied, ApplyError, DocumentKey, Projection, ProjectionId, ReadStore, StoreError, View, Write,
    view::Changes,
};

/// Why an event was not folded in. The documents are as if it had not been there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// It cannot be applied to what is there, for this reason.
    #[error("{0}")]
    Poison(String),
    /// A document that it needs could not be read: the event is not to blame.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A projection at work on its store: events come in, the writes of one batch after the other come out.
///
/// A batch is: [`Folding::expect`] its events, [`Folding::apply`] them one by one, commit what [`Folding::writes`] says,
/// [`Folding::settle`]. Documents are remembered from batch to batch, so whoever commits must make sure that nobody
/// else wrote them meanwhile (by a compare-and-set in the same transaction), and must call [`Folding::forget`] when
/// somebody did, or when a commit was not seen to succeed.
#[allow(missing_debug_implementations, reason = "it holds a projection and a store, which have no text")]
pub struct Folding {
    projection: Arc<dyn Projection>,
    id: ProjectionId,
    store: Arc<dyn ReadStore>,
    view: View,
    foreseen: Foreseen,
}

/// What became of events that were applied as soon as they were expected, since no document was missing.
#[derive(Default)]
struct Foreseen {
    /// Those whose turn has not come, in order.
    events: VecDeque<(EventId, Applied)>,
    /// What all of them make.
    changes: Changes,
}

/// How often the events of a batch are asked what they need before they are applied. Most need one document; an event
/// that finds its second one through its first needs a round more.
const ROUNDS: usize = 3;

/// Documents that one event may ask for one by one. One that asks for more is not a fold of ours.
const DOCUMENTS_PER_EVENT_MAX: usize = 10_000;

impl Folding {
    /// Nothing is folded yet; documents of about `remembered_bytes_max` bytes will be remembered between batches.
    pub fn new(
        projection: Arc<dyn Projection>,
        store: Arc<dyn ReadStore>,
        remembered_bytes_max: usize,
    ) -> Self {
        let id = projection.id();
        Self::of_build(projection, id, store, remembered_bytes_max)
    }

    /// The same, for the documents of the build `id`.
    pub fn of_build(
        projection: Arc<dyn Projection>,
        id: ProjectionId,
        store: Arc<dyn ReadStore>,
        remembered_bytes_max: usize,
    ) -> Self {
        let (view, foreseen) = (View::remembering(remembered_bytes_max), Foreseen::default());
        Self { projection, id, store, view, foreseen }
    }

    /// What is folded.
    pub fn projection(&self) -> &dyn Projection {
        self.projection.as_ref()
    }

    /// Whose documents they are.
    pub fn id(&self) -> &ProjectionId {
        &self.id
    }

    /// Loads what these events will ask for when they are applied, many documents at once: applies them, only to hear
    /// what is missing. What is not heard of this way is loaded when its turn comes. When nothing is missing and nothing fails,
    /// that was all there is to do. What the batch has made so far is dropped.
    ///
    /// The events are applied next, all of them in this order, up to the first that fails; or [`Folding::discard`] comes first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn expect(&mut self, events: &[&RecordedEvent]) -> Result<(), StoreError> {
        self.discard();
        let mut missing = BTreeSet::new();
        let (mut waiting, mut applied_all, mut whole) = (Vec::new(), VecDeque::new(), true);
        for event in events {
            match self.view.attempt(self.projection.as_ref(), event) {
                Ok(applied) => applied_all.push_back((event.id, applied)),
                Err(ApplyError::Poison(_)) => whole = false,
                Err(ApplyError::Missing(key)) => {
                    missing.insert(key);
                    waiting.push(*event);
                    whole = false;
                }
            }
        }
        if whole {
            self.foreseen = Foreseen { events: applied_all, changes: self.view.take_changes() };
            return Ok(());
        }
        for _ in 1..ROUNDS {
            if missing.is_empty() {
                break;
            }
            self.load(std::mem::take(&mut missing).into_iter().collect()).await?;
            // An event that has to wait for a document is passed over, so what comes behind it may fail in ways that
            // mean nothing: only what is missing counts.
            waiting.retain(|event| match self.view.attempt(self.projection.as_ref(), event) {
                Err(ApplyError::Missing(key)) => {
                    missing.insert(key);
                    true
                }
                Ok(_) | Err(ApplyError::Poison(_)) => false,
            });
        }
        if !missing.is_empty() {
            self.load(missing.into_iter().collect()).await?;
        }
        self.discard();
        Ok(())
    }

    /// Applies one event behind those that the batch has so far.
    ///
    /// # Errors
    /// See [`FoldError`].
    ///
    /// # Panics
    /// When others were expected, and not [discarded](Folding::discard).
    pub async fn apply(&mut self, event: &RecordedEvent) -> Result<Applied, FoldError> {
        if let Some((expected, applied)) = self.foreseen.events.pop_front() {
            assert_eq!(expected, event.id, "events are applied in the order in which they were expected");
            if self.foreseen.events.is_empty() {
                self.view.set_changes(std::mem::take(&mut self.foreseen.changes));
            }
            return Ok(applied);
        }
        for _ in 0..DOCUMENTS_PER_EVENT_MAX {
            match self.view.attempt(self.projection.as_ref(), event) {
                Ok(applied) => return Ok(applied),
                Err(ApplyError::Poison(reason)) => return Err(FoldError::Poison(reason)),
                Err(ApplyError::Missing(key)) => self.load(vec![key]).await?,
            }
        }
        Err(FoldError::Poison("the projection asks for ever more documents".to_owned()))
    }

    async fn load(&mut self, keys: Vec<DocumentKey>) -> Result<(), StoreError> {
        let values = self.store.get_many(&self.id, &keys).await?;
        for (key, value) in keys.into_iter().zip(values) {
            self.view.load(key, value);
        }
        Ok(())
    }

    /// Drops what the batch has made so far, as if none of its events had been applied.
    pub fn discard(&mut self) {
        self.foreseen = Foreseen::default();
        self.view.discard();
    }

    /// Every document that the batch has changed, in key order, once for each. Of what was expected all was applied, or nothing.
    pub fn writes(&mut self) -> Vec<Write> {
        self.view.writes()
    }

    /// What [`Folding::writes`] said counts as stored before it is: the next batch begins upon it. [`Folding::trim`] is due when
    /// it is in the store, and [`Folding::forget`] when it will not be.
    pub fn assume(&mut self) {
        self.view.assume();
    }

    /// All that was said is in the store: documents beyond the bound may go.
    pub fn trim(&mut self) {
        self.view.trim();
    }

    /// What [`Folding::writes`] said is in the store: the next batch begins.
    pub fn settle(&mut self) {
        self.view.settle();
    }

    /// Forgets every document: the store may hold something else by now.
    pub fn forget(&mut self) {
        self.foreseen = Foreseen::default();
        self.view.forget();
    }
}
