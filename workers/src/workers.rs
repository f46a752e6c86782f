//! All workers of one process: started together, ended together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use events::{Service, log::EventLog, time::DomainClock};
use projections::{Projection, ProjectionId, ReadStore, effects, steps, timers};
use serde::Serialize;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    builds::{
        Builds,
        keeper::{Keeper, Roster, guarded},
    },
    clock,
    effects::{Effects, EffectsStatus, OpenEffects},
    fleet::{Fleet, FleetStatus},
    processes::{
        DueTimers, Ear, Processes, Prompter, Pump, PumpCell, PumpStatus, Reacting, Share, Steps, Work,
    },
    reconciliation::{self, Reconciler},
    requests::Doing,
    runner::{Handle, Runner, Surroundings, applier::Applier, recent::Recent, source::Source},
    settings::WorkerSettings,
    status::{RunnerStatus, describe_metrics},
};

/// Everything that runs by itself in this process. Dropping it breaks everything off at once, which loses nothing;
/// [`Workers::shutdown`] lets the transactions under way end first.
pub struct Workers {
    pub(crate) store: Arc<dyn ReadStore>,
    pub(crate) roster: Roster,
    builds: Builds,
    pub(crate) fleet: Option<Arc<Fleet>>,
    steps: PumpCell,
    timers: PumpCell,
    effects: Option<(OpenEffects, PumpCell)>,
    progress: watch::Sender<u64>,
    shutdown: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// A snapshot of all workers of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkersStatus {
    /// Every runner: one per projection and partition, or per joined projection; the reactor among them.
    pub runners: Vec<RunnerStatus>,
    /// The dispatch of managers' steps.
    pub steps: PumpStatus,
    /// The timers.
    pub timers: PumpStatus,
    /// The effects at the payment provider; nothing when none works here.
    pub effects: Option<EffectsStatus>,
    /// The workers over the read store, where there may be several.
    pub fleet: Option<FleetStatus>,
}

impl WorkersStatus {
    /// No runner has stopped, fails or is still starting.
    pub fn is_healthy(&self) -> bool {
        self.runners.iter().all(RunnerStatus::is_healthy)
    }
}

impl Workers {
    /// Starts what `settings` say: projectors for these projections, process managers, timers, effects. Without effects nobody
    /// is asked for money, and nobody is paid. Must be called within a tokio runtime. Reads the test clock first, which may
    /// block for microseconds.
    pub fn start(
        projections: Vec<Arc<dyn Projection>>,
        processes: Arc<dyn Processes>,
        effects: Option<Effects>,
        log: Arc<dyn EventLog>,
        store: Arc<dyn ReadStore>,
        clock: DomainClock,
        settings: WorkerSettings,
    ) -> Self {
        describe_metrics();
        let (shutdown, ends) = watch::channel(false);
        let progress = watch::Sender::new(0);
        let fleet = settings.shared.then(|| Fleet::new(&settings));
        let surroundings = Surroundings {
            recent: Recent::new(log.as_ref(), settings.recent_bytes_max),
            log,
            store: Arc::clone(&store),
            clock,
            settings: Arc::new(settings),
            fleet: fleet.clone(),
            progress: progress.clone(),
            own_progress: watch::Sender::new(0),
            shutdown: ends,
        };
        let (log, settings) = (Arc::clone(&surroundings.log), Arc::clone(&surroundings.settings));
        let builds = Builds::new(Arc::clone(&store), log, settings, projections);
        let roster = Roster::default();
        let mut starting = Starting {
            surroundings,
            builds: builds.clone(),
            roster: roster.clone(),
            tasks: JoinSet::new(),
            listings: Listings::default(),
        };
        starting.start_projections();
        let Processing { steps, timers, effects } = starting.start_processes(&processes, effects);
        let tasks = Mutex::new(starting.tasks);
        Self { store, roster, builds, fleet, steps, timers, effects, progress, shutdown, tasks }
    }

    /// How everything is.
    pub fn status(&self) -> WorkersStatus {
        WorkersStatus {
            runners: self.roster.all().iter().map(|handle| handle.status.snapshot()).collect(),
            steps: self.steps.snapshot(),
            timers: self.timers.snapshot(),
            effects: self.effects.as_ref().map(|(effects, pump)| effects.status(pump.snapshot())),
            fleet: self.fleet.as_ref().map(|fleet| fleet.status()),
        }
    }

    /// The builds of the read models, as operators see and change them.
    pub fn builds(&self) -> &Builds {
        &self.builds
    }

    /// Changes whenever a runner of this process has carried out a transaction: who waits for a read model to pass a
    /// position looks at its checkpoint after each change.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    /// Has all books compared with the payment provider's from now on, every day and on demand. Once: a second time would do
    /// everything twice, in vain. Must be called within a tokio runtime.
    pub fn reconcile(&self, reconciler: Reconciler, settings: WorkerSettings) {
        let task = reconciliation::run(reconciler, settings, self.shutdown.subscribe());
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }

    /// Ends everything: the transactions and commands under way are carried out, nothing new is begun.
    pub async fn shutdown(&self) {
        self.shutdown.send_replace(true);
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

/// The workers in the making.
struct Starting {
    surroundings: Surroundings,
    builds: Builds,
    roster: Roster,
    tasks: JoinSet<()>,
    listings: Listings,
}

/// Each changes when the read model does that a pump lists.
#[derive(Default)]
struct Listings {
    steps: watch::Sender<u64>,
    timers: watch::Sender<u64>,
    effects: watch::Sender<u64>,
}

impl Starting {
    fn start_projections(&mut self) {
        if self.surroundings.settings.test_clock {
            let Surroundings { log, clock, .. } = &self.surroundings;
            if let Err(error) = clock::catch_up(log.as_ref(), clock, 0) {
                tracing::warn!(%error, "the test clock cannot be read yet");
            }
            self.tasks.spawn(clock::follow(self.surroundings.clone(), self.listings.timers.clone()));
        }
        if !self.surroundings.settings.projectors {
            return;
        }
        let listings = HashMap::from([
            (steps::ID.0, self.listings.steps.clone()),
            (timers::ID.0, self.listings.timers.clone()),
            (effects::ID.0, self.listings.effects.clone()),
        ]);
        let (builds, roster) = (self.builds.clone(), self.roster.clone());
        let keeper = Keeper::new(builds.clone(), self.surroundings.clone(), roster, listings);
        self.tasks.spawn(keeper.run());
        let surroundings = self.surroundings.clone();
        let fleet = surroundings.fleet.clone();
        if let Some(fleet) = fleet.clone() {
            let (store, settings) = (Arc::clone(&surroundings.store), Arc::clone(&surroundings.settings));
            let doing = Doing::new(store, fleet, self.roster.clone(), settings);
            let surroundings = surroundings.clone();
            self.tasks.spawn(async move { doing.run(surroundings.until_end()).await });
        }
        self.tasks.spawn(async move { builds.drive(fleet, surroundings.until_end()).await });
    }

    fn start_processes(&mut self, processes: &Arc<dyn Processes>, outside: Option<Effects>) -> Processing {
        let mut processing = Processing::default();
        if self.surroundings.settings.processes {
            self.start_reactor(processes);
            let (store, processes) = (Arc::clone(&self.surroundings.store), Arc::clone(processes));
            let steps_share = Share::new(&self.surroundings, steps::ID.0);
            let timers_share = Share::new(&self.surroundings, timers::ID.0);
            let work = Steps {
                store: Arc::clone(&store),
                processes: Arc::clone(&processes),
                share: steps_share.clone(),
            };
            let clock = self.surroundings.clock.clone();
            let due = DueTimers { store, processes, clock, share: timers_share.clone() };
            let listings = (self.listings.steps.subscribe(), self.listings.timers.subscribe());
            let steps = self.start_pump(work, steps_share, listings.0, &processing.steps);
            let timers = self.start_pump(due, timers_share, listings.1, &processing.timers);
            let effects = outside.and_then(|outside| self.start_effects(outside, &mut processing));
            let surroundings = self.surroundings.clone();
            let log = Arc::clone(&surroundings.log);
            let source = Source::sharing(log, &surroundings.settings, surroundings.recent.clone());
            self.tasks.spawn(Prompter { steps, timers, effects, source, surroundings }.run());
        }
        if let Some(fleet) = &self.surroundings.fleet {
            let (fleet, surroundings) = (Arc::clone(fleet), self.surroundings.clone());
            let store = Arc::clone(&surroundings.store);
            self.tasks.spawn(async move { fleet.run(store, surroundings.until_end()).await });
        }
        processing
    }

    /// Where the process managers of payments work, their effects do.
    fn start_effects(&mut self, outside: Effects, processing: &mut Processing) -> Option<Ear<OpenEffects>> {
        let settings = Arc::clone(&self.surroundings.settings);
        // Over a shared read store those carry them out who hold the read model.
        if !(settings.shared || settings.works_for(Service::Payments)) {
            return None;
        }
        let share = Share::new(&self.surroundings, effects::ID.0);
        let store = Arc::clone(&self.surroundings.store);
        let work = OpenEffects::new(store, outside, share.clone(), &settings);
        let status = PumpCell::default();
        let ear = self.start_pump(work.clone(), share, self.listings.effects.subscribe(), &status);
        processing.effects = Some((work, status));
        Some(ear)
    }

    fn start_reactor(&mut self, processes: &Arc<dyn Processes>) {
        let settings = Arc::clone(&self.surroundings.settings);
        let partitions = self.surroundings.log.partitions();
        for partition in partitions.into_iter().filter(|partition| settings.works_for(partition.service)) {
            let concurrency_max = self.surroundings.settings.react_concurrency_max;
            let reacting = Reacting::new(Arc::clone(processes), concurrency_max);
            let surroundings = self.surroundings.clone();
            let (runner, handle) =
                Runner::new(reacting, &[], vec![partition], partition.to_string(), surroundings);
            self.spawn(runner, handle);
        }
    }

    fn spawn<A: Applier>(&mut self, runner: Runner<A>, handle: Handle) {
        let status = handle.status.clone();
        self.roster.add(handle);
        self.tasks.spawn(guarded(runner, status));
    }

    /// Gives where the pump hears what is new.
    fn start_pump<W: Work>(
        &mut self,
        work: W,
        share: Share,
        listing: watch::Receiver<u64>,
        status: &PumpCell,
    ) -> Ear<W> {
        let (ear, heard) = Ear::new(share, W::open_max(&self.surroundings.settings));
        let pump = Pump::new(work, self.surroundings.clone(), listing, heard, status.clone());
        self.tasks.spawn(pump.run());
        ear
    }
}

/// What process managers have at work.
#[derive(Default)]
struct Processing {
    steps: PumpCell,
    timers: PumpCell,
    effects: Option<(OpenEffects, PumpCell)>,
}

/// Every projection whose letters and checkpoints this process knows of, in order.
pub(crate) fn known_projections(handles: &[Handle]) -> Vec<ProjectionId> {
    let mut known: Vec<ProjectionId> = handles.iter().map(|handle| handle.projection.clone()).collect();
    known.sort();
    known.dedup();
    known
}
