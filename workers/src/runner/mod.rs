//! The runner: reads the log behind a checkpoint, applies event by event, and writes what came of it together with
//! the checkpoint in one transaction.
//!
//! A projection whose documents are fed by one stream each is run by one runner per partition; a joined one by one
//! runner for all its partitions. Process managers are run by the same runner: what it applies is an [`Applier`].
//! Everything a runner does is one of its turns ([`progress`]), redrives of letters included, so nothing it decides
//! can be overtaken by another runner, or by itself.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    Offset, Partition, Timestamp,
    log::{EventLog, LogError},
    time::DomainClock,
};
use projections::{Batch, CollectionSpec, ProjectionId, ReadStore, StoreError, builds};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) mod applier;
mod batch;
mod early;
mod holding;
pub(crate) mod progress;
pub(crate) mod recent;
pub(crate) mod redrive;
pub(crate) mod source;
mod still;

use applier::Applier;
use batch::Density;
use early::Early;
use progress::{Draft, Progress, Step, collections_with_ours};
use recent::Recent;
use redrive::{Redrive, RedriveError, Redriven};
use source::{Ahead, Source};

use crate::{
    backoff::Backoff,
    dead_letters::ParkingRate,
    fleet::{Fleet, Seat},
    settings::WorkerSettings,
    status::{PartitionProgress, RunState, StatusCell},
};

/// Why a runner cannot go on right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Another runner wrote meanwhile: read everything again.
    Fenced,
    /// It may pass by itself.
    Unavailable(String),
    /// This copy of the log has not caught up with what was already read of that log.
    Behind(String),
    /// It will not pass by itself.
    Stopped(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Self::Fenced,
            StoreError::Unavailable(_) => Self::Unavailable(error.to_string()),
            StoreError::Refused(_) => Self::Stopped(error.to_string()),
        }
    }
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        match error {
            LogError::File(_) => Self::Unavailable(error.to_string()),
            LogError::Damaged { .. } | LogError::Locked | LogError::Refused(_) => {
                Self::Stopped(error.to_string())
            }
        }
    }
}

/// What an operator can ask of a runner.
pub(crate) enum Request {
    /// Apply what waits in a blocked sequence.
    Redrive { sequence: String, reply: oneshot::Sender<Result<Redriven, RedriveError>> },
    /// Go on after having stopped.
    Resume,
}

/// How a runner is reached from outside.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) projection: ProjectionId,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) status: StatusCell,
}

/// How long a runner waits for a copy of the log that lags before it looks again.
const BEHIND_PAUSE: Duration = Duration::from_millis(100);

/// A runner rests so many times as long as it worked.
const REST_FACTOR: u32 = 2;

/// Requests that may wait for a runner.
const REQUESTS_MAX: usize = 64;

/// What every runner of a process shares.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) store: Arc<dyn ReadStore>,
    pub(crate) clock: DomainClock,
    pub(crate) settings: Arc<WorkerSettings>,
    /// What was appended last, decoded.
    pub(crate) recent: Recent,
    /// The worker processes over the read store, when there may be several.
    pub(crate) fleet: Option<Arc<Fleet>>,
    /// Counts the transactions of all runners of the process.
    pub(crate) progress: watch::Sender<u64>,
    /// Counts the transactions of this projection's runners.
    pub(crate) own_progress: watch::Sender<u64>,
    /// Turns true when everything is to end.
    pub(crate) shutdown: watch::Receiver<bool>,
}

impl Surroundings {
    /// Everything is to end, or whoever started it is gone.
    pub(crate) fn ends(&self) -> bool {
        *self.shutdown.borrow() || self.shutdown.has_changed().is_err()
    }

    /// Waits until everything is to end.
    pub(crate) async fn until_end(&self) {
        let _ = self.shutdown.clone().wait_for(|ends| *ends).await;
    }

    fn announce_progress(&self) {
        self.own_progress.send_modify(|transactions| *transactions += 1);
        self.progress.send_modify(|transactions| *transactions += 1);
    }
}

/// See the module.
pub(crate) struct Runner<A> {
    applier: A,
    collections: Vec<CollectionSpec>,
    partitions: Vec<Partition>,
    scope: String,
    /// By which name lag tools know it.
    reader: String,
    surroundings: Surroundings,
    source: Source,
    status: StatusCell,
    /// From where the scope is held, when it has to be.
    seat: Option<Seat>,
    requests: mpsc::Receiver<Request>,
    redrives: VecDeque<Redrive>,
    rate: ParkingRate,
    /// Which partition is served first in the next batch.
    rotation: usize,
    ahead: Ahead,
    /// The batch behind the one that was committed last, if it was folded meanwhile.
    early: Option<Early>,
    /// Its documents were given up: it has nothing to do any more.
    dropped: bool,
    /// Of the batch that was applied last.
    density: Density,
    /// That batch reached the end of the log, as it was then.
    caught_up: bool,
}

/// What a turn came to.
pub(crate) enum Did {
    /// A transaction was carried out.
    Something,
    /// There was nothing to do.
    Nothing,
}

impl<A: Applier> Runner<A> {
    /// A runner over `partitions`, and how to reach it.
    pub(crate) fn new(
        applier: A,
        collections: &[CollectionSpec],
        partitions: Vec<Partition>,
        scope: String,
        surroundings: Surroundings,
    ) -> (Self, Handle) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let status = StatusCell::new(applier.id().to_string(), scope.clone());
        let handle = Handle {
            projection: applier.id().clone(),
            partitions: partitions.clone(),
            requests: sender,
            status: status.clone(),
        };
        let collections = collections_with_ours(collections);
        let log = Arc::clone(&surroundings.log);
        let source = Source::sharing(log, &surroundings.settings, surroundings.recent.clone());
        let rate = ParkingRate::new(&surroundings.settings);
        let seat = surroundings.fleet.as_ref().map(|fleet| fleet.seat(applier.id(), &scope));
        let runner = Self {
            reader: applier.id().to_string(),
            applier,
            collections,
            partitions,
            scope,
            surroundings,
            source,
            status,
            seat,
            requests,
            redrives: VecDeque::new(),
            rate,
            rotation: 0,
            ahead: Ahead::default(),
            early: None,
            dropped: false,
            density: Density::default(),
            caught_up: false,
        };
        (runner, handle)
    }

    /// Runs until the end of the process; dropping the future at any point loses nothing.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(&self.surroundings.settings);
        // A checkpoint beyond the end of the log means lost history when the process starts and its copy of the log has
        // caught up. After another runner has written it only means that this copy is behind that runner's.
        let mut within = true;
        while !self.surroundings.ends() && !self.dropped {
            let Err(trouble) = self.keep_going(within, &mut backoff).await else { continue };
            within &= matches!(trouble, Trouble::Behind(_));
            match trouble {
                Trouble::Fenced => {
                    self.status.count_fenced();
                    self.lose();
                    tracing::info!(projection = %self.applier.id(), scope = %self.scope, "fenced by another runner");
                    // Two that run for good let each other go on, instead of undoing each other's every batch.
                    self.pause(backoff.pause()).await;
                }
                Trouble::Unavailable(reason) => {
                    let failures = backoff.failures() + 1;
                    tracing::warn!(projection = %self.applier.id(), scope = %self.scope, %reason, failures, "runner retries");
                    self.refuse_redrives(&RedriveError::Unavailable(reason.clone()));
                    self.status.set_state(RunState::Retrying { reason, failures });
                    self.pause(backoff.pause()).await;
                }
                Trouble::Behind(reason) => {
                    self.refuse_redrives(&RedriveError::Unavailable(reason.clone()));
                    if !matches!(self.status.snapshot().state, RunState::Retrying { .. }) {
                        tracing::info!(projection = %self.applier.id(), scope = %self.scope, %reason, "runner waits");
                    }
                    self.status.set_state(RunState::Retrying { reason, failures: 0 });
                    self.pause(BEHIND_PAUSE).await;
                }
                Trouble::Stopped(reason) => {
                    tracing::error!(projection = %self.applier.id(), scope = %self.scope, %reason, "runner stopped");
                    self.refuse_redrives(&RedriveError::Stopped(reason.clone()));
                    self.status.set_state(RunState::Stopped { reason: reason.clone() });
                    self.wait_for_resume(&reason).await;
                    within = true;
                }
            }
        }
        self.refuse_redrives(&RedriveError::Unavailable("the process ends".to_owned()));
        self.leave_in_time().await;
        self.status.set_state(RunState::Ended);
    }

    /// Reads everything anew and takes turn after turn; `Ok` when the process ends, the scope is another's,
    /// is held otherwise, or is to be no more.
    async fn keep_going(&mut self, within: bool, backoff: &mut Backoff) -> Result<(), Trouble> {
        let store = Arc::clone(&self.surroundings.store);
        // Read with the progress, and as good as it is.
        self.applier.forget();
        self.early = None;
        if !builds::is_kept(store.as_ref(), self.applier.id()).await? {
            self.dropped = true;
            return Ok(());
        }
        store.prepare(self.applier.id(), &self.collections).await?;
        let Some(holder) = self.attain().await? else { return Ok(()) };
        let mut progress = Progress::load(
            store.as_ref(),
            &self.source,
            self.applier.id(),
            &self.scope,
            &self.partitions,
            holder.worker(),
            within,
        )
        .await?;
        let mut changes = self.surroundings.log.changes();
        while !self.surroundings.ends() {
            // Seen before reading, so that what arrives while reading wakes us at once.
            changes.borrow_and_update();
            if self.gives_way(&progress).await? {
                return Ok(());
            }
            self.accept_all();
            if self.stands_still(&mut progress).await? {
                self.status.set_state(RunState::Waiting);
                if self.turn_has_changed(&progress).await? {
                    return Ok(());
                }
                continue;
            }
            // Letters change documents, and leave checkpoints as they are: not while somebody compares.
            let redriven = match progress.hold {
                Some(_) => Did::Nothing,
                None => self.redrive(&mut progress).await?,
            };
            let began = Instant::now();
            let applied = self.apply_next(&mut progress).await?;
            backoff.reset();
            if matches!(applied, Did::Something) {
                self.rest(began.elapsed()).await;
            }
            if matches!((redriven, applied), (Did::Nothing, Did::Nothing)) {
                self.status.set_state(RunState::Waiting);
                self.wait(&progress, &mut changes).await;
            }
        }
        Ok(())
    }

    /// One transaction: what the draft says, and what the applier has changed.
    async fn commit(&mut self, progress: &mut Progress, draft: Draft) -> Result<(), Trouble> {
        let store = Arc::clone(&self.surroundings.store);
        let (batch, step) = self.prepare(progress, draft)?;
        store.commit(batch).await?;
        self.committed(progress, step);
        Ok(())
    }

    /// Makes a transaction. When it is not carried out everything is read anew, what the applier knows included: see
    /// `keep_going`.
    fn prepare(&mut self, progress: &Progress, draft: Draft) -> Result<(Batch, Step), StoreError> {
        let prepared = progress.prepare(&self.source, draft, self.applier.writes())?;
        self.applier.assume();
        Ok(prepared)
    }

    /// The transaction was carried out.
    fn committed(&mut self, progress: &mut Progress, step: Step) {
        progress.take(step);
        self.applier.trim();
        self.surroundings.announce_progress();
    }

    fn accept(&mut self, request: Request) {
        match request {
            Request::Redrive { sequence, reply } => self.redrives.push_back(Redrive::new(sequence, reply)),
            Request::Resume => {}
        }
    }

    fn accept_all(&mut self) {
        while let Ok(request) = self.requests.try_recv() {
            self.accept(request);
        }
    }

    /// Answers all who wait for a redrive.
    fn refuse_redrives(&mut self, error: &RedriveError) {
        self.accept_all();
        for redrive in self.redrives.drain(..) {
            redrive.answer(Err(error.clone()));
        }
    }

    /// Waits for something to do. What is appended for others is none of it.
    async fn wait(&mut self, progress: &Progress, changes: &mut watch::Receiver<u64>) {
        let surroundings = self.surroundings.clone();
        let every = Duration::from_millis(surroundings.settings.heartbeat_ms.max(1));
        let mut look = std::pin::pin!(holding::look_due(self.seat.is_some(), every));
        loop {
            tokio::select! {
                changed = changes.changed() => match changed {
                    Ok(()) if progress.hold.is_none() && !self.source.has_more(progress) => continue,
                    Ok(()) => {}
                    // The log was closed: nothing will ever change again.
                    Err(_) => self.surroundings.until_end().await,
                },
                // When nobody holds a handle any more there are no requests, and the runner goes on without.
                Some(request) = self.requests.recv() => self.accept(request),
                () = holding::changed(&mut self.seat) => {}
                () = &mut look => self.seat.iter_mut().for_each(Seat::doubt),
                () = surroundings.until_end() => {}
            }
            return;
        }
    }

    /// After a batch that took so long, and behind which there was little more: the busier everything is, the longer a runner
    /// leaves what is new to gather, since a few large batches cost less than many small ones.
    async fn rest(&self, took: Duration) {
        if A::RESTS && self.caught_up && self.early.is_none() {
            let longest = Duration::from_millis(self.surroundings.settings.rest_max_ms);
            self.pause((took * REST_FACTOR).min(longest)).await;
        }
    }

    async fn pause(&self, pause: Duration) {
        let _ = tokio::time::timeout(pause, self.surroundings.until_end()).await;
    }

    async fn wait_for_resume(&mut self, reason: &str) {
        let surroundings = self.surroundings.clone();
        loop {
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(Request::Resume) => {
                        self.rate.reset();
                        self.status.set_state(RunState::Starting);
                        return;
                    }
                    Some(Request::Redrive { reply, .. }) => {
                        let _ = reply.send(Err(RedriveError::Stopped(reason.to_owned())));
                    }
                    None => return self.surroundings.until_end().await,
                },
                () = holding::changed(&mut self.seat) => if self.should_leave() {
                    // Whoever takes it may be able to go on.
                    self.leave_in_time().await;
                    return self.status.set_state(RunState::Starting);
                },
                () = surroundings.until_end() => return,
            }
        }
    }

    /// Tells the world how far this runner is.
    fn report(&mut self, progress: &Progress, ends: &[(Partition, Offset)], last_time: Option<Timestamp>) {
        let mut lag_commits = 0;
        for (partition, end) in ends {
            let checkpoint = progress.reached(*partition);
            lag_commits += u64::try_from(end - checkpoint).unwrap_or(0);
            self.status.set_partition(*partition, PartitionProgress { checkpoint, end: *end });
        }
        self.caught_up = lag_commits == 0;
        self.surroundings.log.show_reader(&self.reader, &progress.all_reached());
        let lag_ms = match last_time {
            Some(time) if lag_commits > 0 => self.surroundings.clock.now().millis_since(time),
            Some(_) | None => 0,
        };
        self.status.set_lag(
            lag_commits,
            self.density.events(lag_commits),
            u64::try_from(lag_ms).unwrap_or(0),
        );
        self.status.set_blocked(progress.blocked.len());
    }
}
