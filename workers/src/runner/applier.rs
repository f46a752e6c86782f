//! What a runner does with an event: fold it into documents, or let process managers react to it.

use std::{collections::BTreeSet, future::Future, panic::AssertUnwindSafe, sync::Arc};

use events::RecordedEvent;
use projections::{Applied, ApplyError, DocumentKey, Json, Projection, ProjectionId, ReadStore, View, Write};

use super::Trouble;
use crate::dead_letters::Cause;

/// Why an event was not applied.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// It never will be, as things are: park it.
    Poison(Cause),
    /// The event is not to blame.
    Trouble(Trouble),
}

/// See the module.
pub(crate) trait Applier: Send + Sync + 'static {
    /// Under which name it keeps its documents, checkpoints and letters.
    fn id(&self) -> &ProjectionId;

    /// See [`Projection::sequence_key`].
    fn sequence_key(&self, event: &RecordedEvent) -> String;

    /// See [`Projection::halt_on_failure`].
    fn halt_on_failure(&self) -> bool;

    /// Forgets what the transaction under way would write, not what was expected.
    fn reset(&mut self);

    /// These events come next, in this order, as far as none of them fails. A chance to load or to do at once what
    /// [`Applier::apply`] would do one by one. None: what was expected before is void.
    fn expect(&mut self, events: &[&RecordedEvent]) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Applies one event.
    fn apply(&mut self, event: &RecordedEvent) -> impl Future<Output = Result<Applied, Failure>> + Send;

    /// What the events since the last [`Applier::reset`] have changed.
    fn take_writes(&mut self) -> Vec<Write>;
}

/// Folds events into the documents of a projection.
pub(crate) struct Folding {
    projection: Arc<dyn Projection>,
    id: ProjectionId,
    store: Arc<dyn ReadStore>,
    view: View,
    /// What the events under way are expected to need, as the store holds it.
    expected: Vec<(DocumentKey, Option<Json>)>,
}

impl Folding {
    pub(crate) fn new(projection: Arc<dyn Projection>, store: Arc<dyn ReadStore>) -> Self {
        let id = projection.id();
        Self { projection, id, store, view: View::new(), expected: Vec::new() }
    }
}

/// A projection that panics at an event cannot apply it: that is no reason for all others to wait.
fn attempt(
    view: &mut View,
    projection: &dyn Projection,
    event: &RecordedEvent,
) -> Result<Applied, ApplyError> {
    std::panic::catch_unwind(AssertUnwindSafe(|| view.attempt(projection, event))).unwrap_or_else(|panic| {
        let words = (panic.downcast_ref::<String>().map(String::as_str))
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("without words");
        Err(ApplyError::Poison(format!("the projection panicked: {words}")))
    })
}

/// How often the events of a batch are asked what they need before they are applied. Most need one document; an event
/// that finds its second one through its first needs a round more.
const DRY_ROUNDS: usize = 3;

/// Documents that one event may ask for one by one. One that asks for more is not a fold of ours.
const DOCUMENTS_PER_EVENT_MAX: usize = 10_000;

impl Applier for Folding {
    fn id(&self) -> &ProjectionId {
        &self.id
    }

    fn sequence_key(&self, event: &RecordedEvent) -> String {
        self.projection.sequence_key(event)
    }

    fn halt_on_failure(&self) -> bool {
        self.projection.halt_on_failure()
    }

    fn reset(&mut self) {
        self.view = View::new();
        for (key, value) in &self.expected {
            self.view.load(key.clone(), value.clone());
        }
    }

    /// Loads what the events will ask for, many documents at once: applies them to a view that is thrown away, only
    /// to hear what is missing. What is not heard of this way is loaded when its turn comes.
    async fn expect(&mut self, events: &[&RecordedEvent]) -> Result<(), Trouble> {
        self.expected.clear();
        let mut dry = View::new();
        let mut waiting: Vec<&RecordedEvent> = events.to_vec();
        for _ in 0..DRY_ROUNDS {
            let mut missing = BTreeSet::new();
            waiting.retain(|event| match attempt(&mut dry, self.projection.as_ref(), event) {
                Err(ApplyError::Missing(key)) => {
                    missing.insert(key);
                    true
                }
                Ok(_) | Err(ApplyError::Poison(_)) => false,
            });
            if missing.is_empty() {
                break;
            }
            let keys: Vec<DocumentKey> = missing.into_iter().collect();
            let values = self.store.get_many(&self.id, &keys).await?;
            for (key, value) in keys.into_iter().zip(values) {
                dry.load(key.clone(), value.clone());
                self.expected.push((key, value));
            }
        }
        self.reset();
        Ok(())
    }

    async fn apply(&mut self, event: &RecordedEvent) -> Result<Applied, Failure> {
        for _ in 0..DOCUMENTS_PER_EVENT_MAX {
            match attempt(&mut self.view, self.projection.as_ref(), event) {
                Ok(applied) => return Ok(applied),
                Err(ApplyError::Poison(message)) => return Err(Failure::Poison(Cause::new(message))),
                Err(ApplyError::Missing(key)) => {
                    let keys = [key];
                    let found = self.store.get_many(&self.id, &keys).await;
                    let value = found.map_err(|e| Failure::Trouble(e.into()))?.into_iter().next().flatten();
                    let [key] = keys;
                    self.view.load(key, value);
                }
            }
        }
        Err(Failure::Poison(Cause::new("the projection asks for ever more documents")))
    }

    fn take_writes(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.view).into_writes()
    }
}
