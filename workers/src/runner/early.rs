//! Folding early: while a batch is being committed, the one behind it is folded. So the read store and this process work at the
//! same time, and whoever has much to read is as fast as the slower of the two.
//!
//! What a batch has changed counts as stored from the moment its transaction is made, and the next one is folded upon it. When
//! the transaction fails, all of that is thrown away with everything else that the runner knows ([`super::Runner::run`]); nothing
//! of it can have been written, since its own transaction begins only after the one before it has ended well.
//!
//! It is done only where nothing else may come in between: with no letter in the way, no hold, no request; and only where the
//! next batch is being read already, so that whoever is waited for is not kept waiting.

use std::{mem, sync::Arc};

use events::{Offset, Partition};
use projections::StoreError;
use tokio::task::JoinSet;

use super::{
    Runner, Trouble,
    applier::Applier,
    batch::{Folded, Whole, rotated},
    progress::Progress,
    source::NextBatch,
};

/// A batch that was folded before it was its turn.
pub(super) struct Early {
    /// Behind which places it was read.
    after: Vec<(Partition, Offset)>,
    pub(super) batch: NextBatch,
    pub(super) whole: Box<Whole>,
}

impl<A: Applier> Runner<A> {
    /// What was folded early, if that is what comes next. Otherwise nothing is left of it.
    pub(super) fn take_early(&mut self, progress: &Progress, after: &[(Partition, Offset)]) -> Option<Early> {
        let early = self.early.take()?;
        if early.after == after && progress.blocked.is_empty() && progress.hold.is_none() {
            return Some(early);
        }
        self.applier.discard();
        None
    }

    /// Forgets what was folded early: documents are about to change otherwise.
    pub(super) fn drop_early(&mut self) {
        if self.early.take().is_some() {
            self.applier.discard();
        }
    }

    /// Commits a batch. `with_next`: the one behind it is folded meanwhile, if it may be.
    pub(super) async fn commit_batch(
        &mut self,
        progress: &mut Progress,
        whole: Whole,
        with_next: bool,
    ) -> Result<(), Trouble> {
        let Whole { draft, verdicts, rate } = whole;
        let folds_next = with_next
            && A::FOLDS_EARLY
            && self.ahead.has_begun()
            && draft.parking.is_empty()
            && progress.blocked.is_empty()
            && progress.hold.is_none()
            && self.redrives.is_empty()
            && !self.should_leave();
        let (batch, step) = self.prepare(progress, draft)?;
        let store = Arc::clone(&self.surroundings.store);
        let rate_before = mem::replace(&mut self.rate, rate);
        let committed = if folds_next {
            // A task of its own, since folding does not pause. It is broken off when this one is.
            let mut committing = JoinSet::new();
            committing.spawn(async move { store.commit(batch).await });
            tokio::task::yield_now().await;
            self.early = self.fold_early(progress, step.places(progress)).await;
            let broke_off =
                |reason: String| StoreError::Unavailable(format!("a transaction broke off: {reason}"));
            match committing.join_next().await {
                Some(Ok(committed)) => committed,
                Some(Err(error)) => Err(broke_off(error.to_string())),
                None => Err(broke_off("it was not begun".to_owned())),
            }
        } else {
            store.commit(batch).await
        };
        if let Err(error) = committed {
            self.rate = rate_before;
            self.early = None;
            return Err(error.into());
        }
        self.committed(progress, step);
        self.status.count(&verdicts);
        Ok(())
    }

    /// Folds what stands behind `places`. What stands in its way is met again when it is its turn.
    async fn fold_early(&mut self, progress: &Progress, places: Vec<(Partition, Offset)>) -> Option<Early> {
        let after = rotated(places, self.rotation);
        let batch = self.ahead.take(&self.source, after.clone()).await.ok()?;
        if batch.commits.is_empty() {
            return None;
        }
        self.read_ahead(after.clone(), &batch, self.rotation.wrapping_add(1));
        if self.announce(progress, &batch.commits).await.is_ok()
            && let Ok(Folded::Whole(whole)) = self.fold(progress, &batch.commits).await
        {
            return Some(Early { after, batch, whole });
        }
        self.applier.discard();
        None
    }
}
