//! Rebuilding a read model while the old one serves.
//!
//! A rebuild is another build of a projection, made by runners like all others, from the beginning of the log, beside the
//! live one: **building** until it has passed the positions at which the log ended when it began, **catching up** until it
//! is near the live one, **comparing** documents with it at the same positions, **ready**, and, once it was swapped in,
//! **live**. What was live before is **following**, so that it can be swapped back, until it is dropped.
//!
//! All that is known of it are documents of the read store ([`books`]), changed by compare-and-set; runners keep their own
//! checkpoints. So it goes on after a crash, in whichever process looks next. Projections have no effects, so a rebuild has
//! none. [`keeper`] runs the runners, [`drive`] takes the steps, [`swap`] is the instant in which queries change over,
//! [`operate`] is what operators can do and see.

pub(crate) mod books;
mod compare;
mod drive;
pub(crate) mod hold;
pub(crate) mod keeper;
mod operate;
mod status;
mod swap;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use events::{LogId, log::EventLog};
use projections::{
    Projection, ProjectionId, ReadStore, StoreError,
    builds::{self, BuildState, Serving},
};
use tokio::sync::watch;

use self::books::Places;
pub use self::status::{BuildReport, ReadModelReport};
use crate::{runner::progress::collections_with_ours, settings::WorkerSettings};

/// Why something could not be done with the builds of a read model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildsError {
    /// No projection of this process has this name.
    #[error("there is no read model {0} here")]
    NoSuchProjection(String),
    /// There is no such build (any more).
    #[error("there is no build {0}")]
    NoSuchBuild(String),
    /// Something else is under way with this read model.
    #[error("a rebuild or a swap of {0} is under way")]
    UnderWay(String),
    /// It has to be built and compared first.
    #[error("{build} is not ready, it is {}", .state.name())]
    NotReady {
        /// Which build.
        build: ProjectionId,
        /// Where it stands.
        state: BuildState,
    },
    /// A comparison found it to differ from the live build.
    #[error("{0} differs from the live build; look at the comparison, and swap it by force if it is right")]
    Differs(ProjectionId),
    /// It serves queries, so it cannot go.
    #[error("{0} is live")]
    IsLive(ProjectionId),
    /// It does not come up to the live one.
    #[error("{build} is {by} commits behind the live build and does not get there")]
    Behind {
        /// Which build.
        build: ProjectionId,
        /// Offsets, all partitions together.
        by: i64,
    },
    /// The two did not come to stand at the same positions.
    #[error("not compared: {0}")]
    NotTogether(String),
    /// The read store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The builds of all read models that this process knows of. Cheap to clone.
#[derive(Clone)]
pub struct Builds {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn ReadStore>,
    log: Arc<dyn EventLog>,
    settings: Arc<WorkerSettings>,
    projections: Vec<Arc<dyn Projection>>,
    /// Counts what was changed here: whoever works on builds looks again.
    nudges: watch::Sender<u64>,
    seen: Mutex<Seen>,
}

/// What the keeper saw when it looked last.
#[derive(Default)]
struct Seen {
    /// Builds that have runners here.
    running: BTreeSet<ProjectionId>,
    /// Why queries are not answered as this release would, by read model.
    unready: Vec<String>,
}

impl std::fmt::Debug for Builds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builds").finish_non_exhaustive()
    }
}

/// Makes the collections of the build that is live, with those of its runners: so that queries are answered from the first
/// moment. Where an earlier version is live, the first build of this release's is made instead.
///
/// # Errors
/// What the store says.
pub async fn prepare_live(store: &dyn ReadStore, projection: &dyn Projection) -> Result<(), StoreError> {
    let first = projection.id();
    let live = match builds::serving(store, &first).await? {
        // A newer release has taken over: nothing of this one is to be made again.
        Serving::Newer(_) => return Ok(()),
        Serving::This(live) => live,
    };
    let id = if live.version == first.version { live } else { first };
    store.prepare(&id, &collections_with_ours(projection.collections())).await
}

impl Builds {
    pub(crate) fn new(
        store: Arc<dyn ReadStore>,
        log: Arc<dyn EventLog>,
        settings: Arc<WorkerSettings>,
        projections: Vec<Arc<dyn Projection>>,
    ) -> Self {
        let (nudges, seen) = (watch::Sender::new(0), Mutex::default());
        Self { shared: Arc::new(Shared { store, log, settings, projections, nudges, seen }) }
    }

    pub(crate) fn store(&self) -> &dyn ReadStore {
        self.shared.store.as_ref()
    }

    pub(crate) fn log(&self) -> &Arc<dyn EventLog> {
        &self.shared.log
    }

    pub(crate) fn log_id(&self) -> LogId {
        self.shared.log.id()
    }

    pub(crate) fn settings(&self) -> &WorkerSettings {
        &self.shared.settings
    }

    pub(crate) fn projections(&self) -> &[Arc<dyn Projection>] {
        &self.shared.projections
    }

    pub(crate) fn projection(&self, name: &str) -> Result<&Arc<dyn Projection>, BuildsError> {
        let found = self.projections().iter().find(|projection| projection.name() == name);
        found.ok_or_else(|| BuildsError::NoSuchProjection(name.to_owned()))
    }

    /// Where a build stands in each partition.
    async fn places(&self, projection: &dyn Projection, id: &ProjectionId) -> Result<Places, StoreError> {
        let partitions = books::partitions(self.log().as_ref(), projection);
        books::places(self.store(), id, self.log_id(), &partitions).await
    }

    /// Why queries are not answered as this release would answer them, by read model; empty when they are.
    pub fn unready(&self) -> Vec<String> {
        self.seen().unready.clone()
    }

    /// Whether a build has runners in this process.
    fn runs(&self, id: &ProjectionId) -> bool {
        self.seen().running.contains(id)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has changed: look again.
    fn nudge(&self) {
        self.shared.nudges.send_modify(|nudges| *nudges += 1);
    }

    fn nudges(&self) -> watch::Receiver<u64> {
        self.shared.nudges.subscribe()
    }

    /// How long builds are left alone when nothing is heard of them: only where other processes change what the read store
    /// knows, or something is `under_way`, is there anything to look for.
    fn poll(&self, under_way: bool) -> Duration {
        if under_way || self.settings().shared {
            return Duration::from_millis(self.settings().poll_interval_ms.max(1));
        }
        Duration::from_secs(3600)
    }
}
