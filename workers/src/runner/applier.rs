//! What a runner does with an event: fold it into documents, or let process managers react to it.

use std::future::Future;

use events::RecordedEvent;
use projections::{Applied, FoldError, Folding, ProjectionId, Write};

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
///
/// What it knows of the store from one transaction to the next is true as long as the runner's [`Progress`] is: whatever
/// another runner writes moves the turn that the next transaction is compared with. So both are thrown away together.
///
/// [`Progress`]: super::progress::Progress
pub(crate) trait Applier: Send + Sync + 'static {
    /// A batch may be applied before the one in front of it is committed: it has no effect but its writes.
    const FOLDS_EARLY: bool;

    /// What it does is waited for by readers alone, who do not mind a few milliseconds when there is much to do.
    const RESTS: bool;

    /// Under which name it keeps its documents, checkpoints and letters.
    fn id(&self) -> &ProjectionId;

    /// See [`projections::Projection::sequence_key`].
    fn sequence_key(&self, event: &RecordedEvent) -> String;

    /// See [`projections::Projection::halt_on_failure`].
    fn halt_on_failure(&self) -> bool;

    /// Drops what the transaction under way would write, as if nothing had been applied or expected; what was loaded stays.
    fn discard(&mut self);

    /// These events come next, in this order, as far as none of them fails. A chance to load or to do at once what
    /// [`Applier::apply`] would do one by one: all of them are applied, or [`Applier::discard`] comes first. None: what was
    /// expected before is void. Drops what the transaction under way would write.
    fn expect(&mut self, events: &[&RecordedEvent]) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Applies one event.
    fn apply(&mut self, event: &RecordedEvent) -> impl Future<Output = Result<Applied, Failure>> + Send;

    /// What the events since the last transaction have changed.
    fn writes(&mut self) -> Vec<Write>;

    /// The transaction with these writes is made: from now on they count as stored. Should it fail, [`Applier::forget`] is due.
    fn assume(&mut self);

    /// Every transaction that was made was carried out: what it remembers too much may go.
    fn trim(&mut self);

    /// Forgets what it knows of the store: somebody else may have written, or a transaction may have failed.
    fn forget(&mut self);
}

impl Applier for Folding {
    const FOLDS_EARLY: bool = true;
    const RESTS: bool = true;

    fn id(&self) -> &ProjectionId {
        self.id()
    }

    fn sequence_key(&self, event: &RecordedEvent) -> String {
        self.projection().sequence_key(event)
    }

    fn halt_on_failure(&self) -> bool {
        self.projection().halt_on_failure()
    }

    fn discard(&mut self) {
        self.discard();
    }

    async fn expect(&mut self, events: &[&RecordedEvent]) -> Result<(), Trouble> {
        Ok(self.expect(events).await?)
    }

    async fn apply(&mut self, event: &RecordedEvent) -> Result<Applied, Failure> {
        self.apply(event).await.map_err(|error| match error {
            FoldError::Poison(reason) => Failure::Poison(Cause::new(reason)),
            FoldError::Store(error) => Failure::Trouble(error.into()),
        })
    }

    fn writes(&mut self) -> Vec<Write> {
        self.writes()
    }

    fn assume(&mut self) {
        self.assume();
    }

    fn trim(&mut self) {
        self.trim();
    }

    fn forget(&mut self) {
        self.forget();
    }
}
