//! The seat of a runner: whether its scope should be held here, and whether it is.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use projections::ProjectionId;
use tokio::sync::watch;

use super::{Fleet, WorkerId, member::Scope};
use crate::documents::Json;

/// What follows for one scope from the last look at the fleet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Place {
    /// The fleet has been looked at.
    pub(crate) looked: bool,
    /// It should be held here.
    pub(crate) ours: bool,
    /// Who holds it.
    pub(crate) held_by: Option<String>,
    /// How often the fleet was not looked at for so long that others may have taken what is held here.
    pub(crate) doubts: u64,
    /// The turn with which it can be taken from whoever holds it and is dead.
    pub(crate) expired: Option<Json>,
}

/// What the fleet and a runner share of a scope.
pub(crate) struct Chair {
    pub(crate) projection: ProjectionId,
    place: watch::Sender<Place>,
    ready: AtomicBool,
    held: AtomicBool,
}

impl Chair {
    pub(crate) fn new(projection: ProjectionId) -> Self {
        let (ready, held) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { projection, place: watch::Sender::default(), ready, held }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    pub(crate) fn assign(&self, place: Place) {
        self.place.send_if_modified(|known| {
            let changed = *known != place;
            *known = place;
            changed
        });
    }
}

/// See the module. Whoever drops it holds the scope no more.
pub(crate) struct Seat {
    fleet: Arc<Fleet>,
    scope: Scope,
    chair: Arc<Chair>,
    places: watch::Receiver<Place>,
    /// Doubts that have been cleared.
    doubts: u64,
}

impl Seat {
    pub(super) fn new(fleet: Arc<Fleet>, scope: Scope, chair: Arc<Chair>) -> Self {
        let places = chair.place.subscribe();
        Self { fleet, scope, chair, places, doubts: 0 }
    }

    /// Who holds what is held from here.
    pub(crate) fn worker(&self) -> WorkerId {
        self.fleet.me
    }

    /// The scope's collections are there: it can be worked for.
    pub(crate) fn ready(&self) {
        if !self.chair.ready.swap(true, Ordering::AcqRel) {
            self.fleet.stirred.notify_one();
        }
    }

    /// Where this seat stands; later changes are told by [`Seat::changed`].
    pub(crate) fn place(&mut self) -> Place {
        self.places.borrow_and_update().clone()
    }

    /// Whether others may have taken what is held here; answered once for each time.
    pub(crate) fn doubted(&mut self) -> bool {
        let doubts = self.places.borrow().doubts;
        std::mem::replace(&mut self.doubts, doubts) != doubts && self.is_held()
    }

    /// What is held here may have been taken, or be gone with its database: [`Seat::doubted`] says so the next time.
    pub(crate) fn doubt(&mut self) {
        self.doubts = self.doubts.wrapping_sub(1);
    }

    /// Waits until something else follows from a look at the fleet.
    pub(crate) async fn changed(&mut self) {
        if self.places.changed().await.is_err() {
            std::future::pending().await
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.chair.is_held()
    }

    /// The scope is held from here, or is not any more.
    pub(crate) fn hold(&self, held: bool) {
        if self.chair.held.swap(held, Ordering::AcqRel) != held {
            self.fleet.stirred.notify_one();
        }
    }

    /// It is held here, and should be held elsewhere.
    pub(crate) fn should_leave(&self) -> bool {
        let place = self.places.borrow();
        self.is_held() && place.looked && !place.ours
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut chairs = self.fleet.chairs();
        if chairs.get(&self.scope).is_some_and(|chair| Arc::ptr_eq(chair, &self.chair)) {
            chairs.remove(&self.scope);
        }
        drop(chairs);
        self.fleet.stirred.notify_one();
    }
}
