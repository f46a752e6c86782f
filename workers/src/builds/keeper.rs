//! Keeps runners for every build that is to have them here, and for no other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError, RwLock},
};

use futures_util::FutureExt;
use projections::{Folding, Projection, ProjectionId, StoreError, builds::BuildState};
use tokio::{sync::watch, task::JoinSet};

use super::{
    Builds, BuildsError,
    books::{self, Change, Entry},
};
use crate::{
    backoff::Backoff,
    runner::{Handle, Runner, Surroundings, applier::Applier},
    status::{RunState, StatusCell},
};

/// Who asks for the rebuild of a projection that this release has changed.
const BY_RELEASE: &str = "the release that changed it";

/// How the runners of a process are reached. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Roster(Arc<RwLock<Vec<Handle>>>);

impl Roster {
    pub(crate) fn add(&self, handle: Handle) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(handle);
    }

    /// All of them, as they are now.
    pub(crate) fn all(&self) -> Vec<Handle> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remove(&self, build: &ProjectionId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|handle| handle.projection != *build);
    }
}

/// Runs a runner to its end. One that panics has stopped, and nothing else has.
pub(crate) async fn guarded<A: Applier>(runner: Runner<A>, status: StatusCell) {
    if AssertUnwindSafe(runner.run()).catch_unwind().await.is_err() {
        let reason = "the runner panicked; the process has to be started again".to_owned();
        tracing::error!(runner = ?status.snapshot().projection, %reason, "runner stopped");
        status.set_state(RunState::Stopped { reason });
    }
}

/// A build's runners, made and not running yet.
type Made = Vec<(Runner<Folding>, StatusCell)>;

/// See the module.
pub(crate) struct Keeper {
    builds: Builds,
    surroundings: Surroundings,
    roster: Roster,
    /// Counts the transactions of those read models whose listing somebody waits for.
    listings: HashMap<&'static str, watch::Sender<u64>>,
    /// What a runner may remember, bytes.
    remembered: usize,
    /// What is likely to be wanted, from the start.
    made: BTreeMap<ProjectionId, Made>,
    /// What ends the runners of a build.
    running: BTreeMap<ProjectionId, watch::Sender<bool>>,
    tasks: JoinSet<ProjectionId>,
    /// Runners that have not ended, by build.
    alive: BTreeMap<ProjectionId, usize>,
}

impl Keeper {
    /// Makes the runners of first builds, which is all there is as long as nothing was ever rebuilt; they are seen from now
    /// on, and run once the keeper does.
    pub(crate) fn new(
        builds: Builds,
        surroundings: Surroundings,
        roster: Roster,
        listings: HashMap<&'static str, watch::Sender<u64>>,
    ) -> Self {
        let runners: usize = builds
            .projections()
            .iter()
            .map(|projection| own_scopes(&surroundings, projection.as_ref()).len())
            .sum();
        let remembered = surroundings.settings.documents_remembered_bytes_max / runners.max(1);
        let mut keeper = Self {
            builds,
            surroundings,
            roster,
            listings,
            remembered,
            made: BTreeMap::new(),
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            alive: BTreeMap::new(),
        };
        for projection in keeper.builds.projections().to_vec() {
            let (made, stop) = keeper.make(&projection, &projection.id());
            keeper.made.insert(projection.id(), made);
            keeper.running.insert(projection.id(), stop);
        }
        keeper
    }

    /// Until the process ends; then its runners have ended, too.
    pub(crate) async fn run(mut self) {
        let surroundings = self.surroundings.clone();
        let mut backoff = Backoff::new(&surroundings.settings);
        let mut nudges = self.builds.nudges();
        while !surroundings.ends() {
            nudges.mark_unchanged();
            let pause = match self.look().await {
                Ok(()) => {
                    backoff.reset();
                    self.builds.poll(false)
                }
                Err(error) => {
                    let failures = backoff.failures() + 1;
                    tracing::warn!(%error, failures, "builds cannot be looked at");
                    for (_, status) in self.made.values().flatten() {
                        status.set_state(RunState::Retrying { reason: error.to_string(), failures });
                    }
                    backoff.pause()
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                Ok(()) = nudges.changed() => {}
                Some(ended) = self.tasks.join_next() => self.ended(ended.ok()),
                () = surroundings.until_end() => {}
            }
        }
        for stop in self.running.values() {
            stop.send_replace(true);
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended.ok());
        }
        for (_, status) in self.made.values().flatten() {
            status.set_state(RunState::Ended);
        }
    }

    /// Starts and ends runners, so that what runs is what should.
    async fn look(&mut self) -> Result<(), StoreError> {
        let mut entries = books::all(self.builds.store()).await?;
        let (mut wanted, mut live, mut unready) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        for projection in self.builds.projections().to_vec() {
            let entry = entries.remove(projection.name()).unwrap_or_default();
            let entry = self.with_this_version(projection.as_ref(), entry).await?;
            let first = projection.id();
            let serving = entry.live(&first);
            if serving.version < first.version {
                unready.push(in_words(&entry, &first, &serving));
            }
            for id in wanted_of(&entry, &first) {
                wanted.insert(id, Arc::clone(&projection));
            }
            live.insert(serving);
        }
        let gone: Vec<ProjectionId> =
            self.running.keys().filter(|id| !wanted.contains_key(id)).cloned().collect();
        for id in gone {
            self.stop(&id);
        }
        for (id, projection) in &wanted {
            self.start(projection, id);
        }
        for handle in self.roster.all() {
            let serves = live.contains(&handle.projection);
            // A process manager's runner serves no queries, and is missed when it stands still.
            let is_build = wanted.contains_key(&handle.projection);
            handle.status.set_live(serves || !is_build);
        }
        self.tell(unready);
        Ok(())
    }

    fn start(&mut self, projection: &Arc<dyn Projection>, id: &ProjectionId) {
        let made = match self.made.remove(id) {
            Some(made) => made,
            None if self.running.contains_key(id) => return,
            None => {
                let (made, stop) = self.make(projection, id);
                self.running.insert(id.clone(), stop);
                made
            }
        };
        for (runner, status) in made {
            let id = id.clone();
            *self.alive.entry(id.clone()).or_default() += 1;
            self.tasks.spawn(async move {
                guarded(runner, status).await;
                id
            });
        }
    }

    fn stop(&mut self, id: &ProjectionId) {
        self.made.remove(id);
        if let Some(stop) = self.running.remove(id) {
            stop.send_replace(true);
        }
        self.roster.remove(id);
    }

    fn ended(&mut self, id: Option<ProjectionId>) {
        // Nobody aborts them, and a runner that panics is caught.
        let Some(id) = id else { return };
        if let Some(alive) = self.alive.get_mut(&id) {
            *alive = alive.saturating_sub(1);
        }
        self.alive.retain(|_, alive| *alive > 0);
        self.builds.seen().running = self.alive.keys().cloned().collect();
        self.builds.nudge();
    }

    fn tell(&self, unready: Vec<String>) {
        let mut seen = self.builds.seen();
        seen.running = self.alive.keys().cloned().collect();
        seen.unready = unready;
    }

    fn make(&self, projection: &Arc<dyn Projection>, id: &ProjectionId) -> (Made, watch::Sender<bool>) {
        let (stop, shutdown) = watch::channel(false);
        let own_progress =
            self.listings.get(projection.name()).cloned().unwrap_or_else(|| watch::Sender::new(0));
        let surroundings = Surroundings { own_progress, shutdown, ..self.surroundings.clone() };
        let mut made = Made::new();
        for (scope, partitions) in own_scopes(&surroundings, projection.as_ref()) {
            let store = Arc::clone(&surroundings.store);
            let folding = Folding::of_build(Arc::clone(projection), id.clone(), store, self.remembered);
            let collections = projection.collections();
            let (runner, handle) = Runner::new(folding, collections, partitions, scope, surroundings.clone());
            made.push((runner, handle.status.clone()));
            self.roster.add(handle);
        }
        (made, stop)
    }

    /// What is known of a projection, once the version that this release folds has a place in it: it may be another one than
    /// the read store was built with.
    async fn with_this_version(
        &self,
        projection: &dyn Projection,
        entry: Entry,
    ) -> Result<Entry, StoreError> {
        let first = projection.id();
        let live = match &entry.alias {
            Some((alias, _)) if alias.version >= first.version => return Ok(entry),
            Some(_) => entry.live(&first),
            None => match self.version_before(&first).await? {
                Some(before) => before,
                None => return Ok(entry),
            },
        };
        let has_begun = entry.builds.iter().any(|(record, _)| record.id.version == first.version);
        if has_begun {
            return Ok(entry);
        }
        if self.surroundings.settings.rebuild_changed {
            match self.builds.begin(projection, &entry, &live, BY_RELEASE, true).await {
                // Another process has just done it.
                Ok(_) | Err(BuildsError::UnderWay(_)) => {}
                Err(BuildsError::Store(error)) => return Err(error),
                Err(error) => tracing::warn!(projection = first.name, %error, "it is not rebuilt by itself"),
            }
        } else if entry.alias.is_none() {
            let alias = books::first_alias(&live);
            let record = books::found_live(&live, self.builds.log_id());
            let change = Change::default().alias(&first.name, &entry, &alias)?.record(&entry, &record)?;
            match change.commit(self.builds.store()).await {
                Ok(()) | Err(StoreError::Fenced) => {}
                Err(error) => return Err(error),
            }
        }
        books::one(self.builds.store(), &first.name).await
    }

    /// The newest version before this release's with which the read store was built, unless it has this one's already.
    async fn version_before(&self, first: &ProjectionId) -> Result<Option<ProjectionId>, StoreError> {
        let origins = match self.builds.store().origins().await {
            // An engine that cannot say holds nothing of an earlier release.
            Err(StoreError::Refused(_)) => return Ok(None),
            origins => origins?,
        };
        let of_it: BTreeSet<ProjectionId> =
            origins.into_iter().map(|(id, _)| id).filter(|id| id.name == first.name).collect();
        if of_it.iter().any(|id| id.version >= first.version) {
            return Ok(None);
        }
        Ok(of_it.into_iter().next_back())
    }
}

/// The builds of this release's version that are to be kept current.
fn wanted_of(entry: &Entry, first: &ProjectionId) -> Vec<ProjectionId> {
    if entry.alias.is_none() {
        return vec![first.clone()];
    }
    let runs = |record: &&projections::builds::BuildRecord| {
        record.id.version == first.version && !record.paused && record.state != BuildState::Dropping
    };
    entry.builds.iter().map(|(record, _)| record).filter(runs).map(|record| record.id.clone()).collect()
}

/// The scopes of a projection that may run here, with their partitions: each has a runner.
fn own_scopes(
    surroundings: &Surroundings,
    projection: &dyn Projection,
) -> Vec<(String, Vec<events::Partition>)> {
    let mut scopes = books::scopes(surroundings.log.as_ref(), projection);
    scopes.retain(|(_, partitions)| surroundings.settings.runs(projection.name(), partitions));
    scopes
}

/// Why queries are not answered as this release would.
fn in_words(entry: &Entry, first: &ProjectionId, serving: &ProjectionId) -> String {
    let mut records = entry.builds.iter().map(|(record, _)| record);
    match records.rfind(|record| record.id.version == first.version) {
        Some(record) => {
            format!("{} is {}; {serving} answers until it is live", record.id, record.state.name())
        }
        None => format!(
            "{first} has to be built (guildhall projections rebuild {}); {serving} answers",
            first.name
        ),
    }
}
