//! Holding a scope: where several worker processes share the read store, a runner works only while its worker holds it.
//!
//! What makes that safe is not here but in every transaction, which is compared with the turn: see [`super::progress`].

use std::{sync::Arc, time::Duration};

use projections::StoreError;

use super::{
    Request, Runner, Trouble,
    applier::Applier,
    progress::{Progress, hand_over, read_turns},
    redrive::RedriveError,
};
use crate::{
    fleet::{Seat, WorkerId},
    status::RunState,
};

/// That a scope is held, by whom if anybody has to.
pub(super) struct Held(Option<WorkerId>);

impl Held {
    pub(super) fn worker(&self) -> Option<WorkerId> {
        self.0
    }
}

/// Waits until the seat stands elsewhere; for ever where there is none.
pub(super) async fn changed(seat: &mut Option<Seat>) {
    match seat {
        Some(seat) => seat.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits until an idle runner is to look whether its turn is still there: whoever drops a database tells nobody. For ever where
/// the read store belongs to this process.
pub(super) async fn look_due(shared: bool, every: Duration) {
    if shared { tokio::time::sleep(every).await } else { std::future::pending().await }
}

impl<A: Applier> Runner<A> {
    /// Waits until this worker holds the scope; `None` when the process ends first.
    pub(super) async fn attain(&mut self) -> Result<Option<Held>, Trouble> {
        let Some(worker) = self.seat.as_ref().map(Seat::worker) else { return Ok(Some(Held(None))) };
        while !self.surroundings.ends() {
            if self.take(worker).await? {
                return Ok(Some(Held(Some(worker))));
            }
            self.stand_by().await;
        }
        Ok(None)
    }

    /// Takes the scope if it should be held here and nobody has it, or nobody alive; whether it is held now.
    async fn take(&mut self, worker: WorkerId) -> Result<bool, Trouble> {
        let Some(seat) = &mut self.seat else { return Ok(true) };
        seat.ready();
        if seat.is_held() {
            return Ok(true);
        }
        let place = seat.place();
        if !place.looked {
            return Ok(false);
        }
        if !place.ours {
            self.status.set_standby(place.held_by);
            return Ok(false);
        }
        let (store, id) = (Arc::clone(&self.surroundings.store), self.applier.id());
        let (turn, json) = read_turns(store.as_ref(), id, &[&self.scope]).await?.pop().unwrap_or_default();
        let free = match turn.holder() {
            None => true,
            Some(holder) => holder == worker || (json.is_some() && json == place.expired),
        };
        if !free {
            self.status.set_standby(place.held_by);
            return Ok(false);
        }
        match hand_over(store.as_ref(), id, &self.scope, json, Some(worker)).await {
            Ok(()) => seat.hold(true),
            Err(StoreError::Fenced) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.status.set_state(RunState::Starting);
        tracing::info!(projection = %id, scope = %self.scope, from = turn.holder().map(|w| w.to_string()), "scope taken");
        Ok(true)
    }

    /// Waits for another look at the fleet; what is asked of this runner meanwhile is another's to do.
    async fn stand_by(&mut self) {
        let surroundings = self.surroundings.clone();
        // Where the fleet has nothing new to tell, a try that failed is repeated.
        let again = Duration::from_millis(self.surroundings.settings.heartbeat_ms.max(1));
        tokio::select! {
            () = changed(&mut self.seat) => {}
            () = tokio::time::sleep(again) => {}
            Some(Request::Redrive { reply, .. }) = self.requests.recv() => {
                let _ = reply.send(Err(RedriveError::NotHere(self.holder_of())));
            }
            () = surroundings.until_end() => {}
        }
    }

    /// The scope in words, with who holds it.
    fn holder_of(&self) -> String {
        let held_by = match self.status.snapshot().state {
            RunState::Standby { held_by: Some(name) } => format!(" (held by {name})"),
            _ => String::new(),
        };
        format!("{} {}{held_by}", self.applier.id(), self.scope)
    }

    /// Another runner wrote: the scope may be another's.
    pub(super) fn lose(&mut self) {
        if let Some(seat) = &self.seat {
            seat.hold(false);
        }
    }

    pub(super) fn should_leave(&self) -> bool {
        self.seat.as_ref().is_some_and(Seat::should_leave)
    }

    /// Between two batches: gives the scope up when another should have it; whether it did.
    pub(super) async fn gives_way(&mut self, progress: &Progress) -> Result<bool, Trouble> {
        let Some(seat) = &mut self.seat else { return Ok(false) };
        let doubted = seat.doubted();
        if seat.should_leave() {
            self.leave().await?;
            return Ok(true);
        }
        if doubted {
            // This process was away for so long that the scope may have been taken, and nothing was written since.
            progress.check_turn(self.surroundings.store.as_ref()).await?;
        }
        Ok(false)
    }

    /// Says that nobody holds the scope, if it is held here.
    async fn leave(&mut self) -> Result<(), Trouble> {
        let Some(seat) = self.seat.as_ref().filter(|seat| seat.is_held()) else { return Ok(()) };
        seat.hold(false);
        // What it remembers is of no use to whoever holds the scope next.
        self.applier.forget();
        let (store, id) = (Arc::clone(&self.surroundings.store), self.applier.id());
        let (turn, json) = read_turns(store.as_ref(), id, &[&self.scope]).await?.pop().unwrap_or_default();
        if turn.holder() == Some(seat.worker()) {
            hand_over(store.as_ref(), id, &self.scope, json, None).await?;
            tracing::info!(projection = %id, scope = %self.scope, "scope released");
        }
        Ok(())
    }

    /// The same, by a runner that does nothing else any more. When it does not work out, the lease runs out.
    pub(super) async fn leave_in_time(&mut self) {
        let (id, scope) = (self.applier.id().clone(), self.scope.clone());
        let bound = Duration::from_millis(self.surroundings.settings.heartbeat_ms.max(1));
        match tokio::time::timeout(bound, self.leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(trouble)) => tracing::warn!(projection = %id, %scope, ?trouble, "scope not released"),
            Err(_) => {
                tracing::warn!(projection = %id, %scope, "scope not released: the read store does not answer");
            }
        }
    }
}
