//! Standing still when told to: see [`crate::builds::hold`].

use std::{sync::Arc, time::Duration};

use super::{Runner, Trouble, applier::Applier, progress::Progress};
use crate::builds::hold::call_off;

/// How often a runner that stands still looks whether it may go on.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Progress {
    /// Whether the runner stands as far as a hold lets it go.
    fn has_arrived(&self) -> bool {
        let stands = |hold: &crate::builds::hold::Hold| {
            let mut reached = self.all_reached().into_iter();
            reached.all(|(partition, offset)| offset >= hold.limit(partition, offset))
        };
        self.hold.as_ref().is_some_and(stands)
    }
}

impl<A: Applier> Runner<A> {
    /// Whether the scope is held, and this runner is where it has to stand. What has held it for too long does so no more.
    pub(super) async fn stands_still(&mut self, progress: &mut Progress) -> Result<bool, Trouble> {
        let Some(hold) = &progress.hold else { return Ok(false) };
        if !hold.has_ended() {
            return Ok(progress.has_arrived());
        }
        tracing::warn!(projection = %self.applier.id(), scope = %self.scope, "held for too long; the runner goes on");
        if hold.swap {
            // Before anything is written: what has not been swapped by now never will be.
            let store = Arc::clone(&self.surroundings.store);
            call_off(store.as_ref(), &self.applier.id().name, hold.id).await?;
        }
        progress.hold = None;
        Ok(false)
    }

    /// Waits a moment; whether the scope may be held no more, or otherwise: then everything is read anew.
    pub(super) async fn turn_has_changed(&self, progress: &Progress) -> Result<bool, Trouble> {
        self.pause(LOOK_AGAIN).await;
        match progress.check_turn(self.surroundings.store.as_ref()).await {
            Ok(()) => Ok(false),
            Err(Trouble::Fenced) => Ok(true),
            Err(trouble) => Err(trouble),
        }
    }
}
