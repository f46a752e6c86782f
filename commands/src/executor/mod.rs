//! The executor: the only write path. Load, decide, append, answer.
//!
//! Commands for one stream that wait for each other are decided together, in order, into one commit, and there is at
//! most one unjudged commit per stream. Whatever was decided behind a commit's first event, rejections and no-ops
//! included, is answered only when that commit was judged valid; when it was void, all of them are decided again, each
//! looking its command id up first. Streams are spread over a few threads ([`shard`]), so no stream needs a lock.

use std::{sync::Arc, time::Duration};

use events::{
    Position, StreamId, Timestamp, Version,
    envelope::CommandHash,
    ids::{CommandId, EventId},
    log::EventLog,
    snapshots::SnapshotStore,
    time::DomainClock,
};
use tokio::sync::{TryAcquireError, oneshot};

use crate::{
    aggregate::{Actor, Aggregate},
    policy::Policy,
};

mod answer;
mod decide;
mod shard;
mod states;
mod written;

use shard::{Core, Shards};

/// A wish to change one aggregate.
#[derive(Clone, Debug)]
pub struct Request<A: Aggregate> {
    /// Which aggregate. For a new one: derived from the command id.
    pub id: A::Id,
    /// What is asked of it.
    pub command: A::Command,
    /// The same at every repetition.
    pub command_id: CommandId,
    /// HMAC of the canonical form of what was asked: the same id with another hash is refused.
    pub command_hash: CommandHash,
    /// Who asks.
    pub actor: Actor,
    /// `If-Match`: decide only when the aggregate stands at this version, at the command's place in its batch.
    pub expected: Option<Version>,
    /// See [`events::CommandStamp::correlation_id`].
    pub correlation_id: String,
    /// See [`events::CommandStamp::causation_id`].
    pub causation_id: Option<EventId>,
    /// See [`events::CommandStamp::traceparent`].
    pub traceparent: Option<String>,
}

/// The command was carried out, now or at an earlier repetition, or had nothing (left) to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<E> {
    /// The aggregate's version after the command.
    pub version: Version,
    /// Where its commit stands; `None` when nothing was written.
    pub position: Option<Position>,
    /// What it led to, in order; empty when there was nothing to do.
    pub events: Vec<E>,
    /// An earlier repetition had carried it out.
    pub repeated: bool,
}

/// An aggregate as it stands in this process' copy of the log.
#[derive(Clone, Debug)]
pub struct Loaded<A> {
    /// Its state; the default when the stream has no event.
    pub state: Arc<A>,
    /// Its version; 0 when the stream has no event.
    pub version: Version,
}

/// Why a command was not carried out. The three never merge.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CommandError<R> {
    /// The rules said no, on judged state.
    #[error(transparent)]
    Rejected(R),
    /// Somebody else was there, or was here before.
    #[error(transparent)]
    Conflict(Conflict),
    /// The machinery cannot answer now.
    #[error(transparent)]
    Outage(Outage),
}

/// Somebody else was there, or was here before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// `If-Match` asked for another version.
    #[error("the version is {actual}, not {expected}")]
    Version {
        /// Asked for.
        expected: Version,
        /// Found.
        actual: Version,
    },
    /// Others kept winning the stream, a bounded number of times.
    #[error("the stream is contended")]
    Contended,
    /// The same command id with another content.
    #[error("this command id was used for another command")]
    CommandReused,
}

/// The machinery cannot answer now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// The log takes no commits; the command was not carried out.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// It may have been carried out: repeat it with the same command id.
    #[error("in doubt, repeat with the same command id: {0}")]
    InDoubt(String),
    /// Too many commands wait; the command was not carried out.
    #[error("too many commands wait")]
    Overloaded,
    /// A newer release wrote an event this one does not know: the command was not carried out.
    #[error("the stream holds an event this release does not know: {0}")]
    UnknownEvent(String),
    /// The log cannot be read at this stream.
    #[error("the log cannot be read: {0}")]
    Damaged(String),
    /// What the command decided does not fit into one commit.
    #[error("the command's events have {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Its events' size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// Bounds of the executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorSettings {
    /// Threads that decide; each owns a part of the streams.
    pub threads: usize,
    /// Commands under way at once; more are refused as [`Outage::Overloaded`].
    pub waiting_max: usize,
    /// Commands decided into one commit at most.
    pub batch_commands_max: usize,
    /// How often a command is decided before it is answered [`Conflict::Contended`].
    pub attempts_max: u32,
    /// A caller is answered [`Outage::InDoubt`] after this, milliseconds; the command goes on.
    pub deadline_ms: u64,
    /// What the cached states may weigh, bytes, roughly.
    pub cache_bytes: u64,
    /// A snapshot is kept every so many events.
    pub snapshot_every: u64,
}

/// Half of the processors: the others have the log, HTTP and projections. Every thread more splits what could be decided
/// without waking another one.
fn deciding_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get() / 2).clamp(1, 4)
}

impl Default for ExecutorSettings {
    fn default() -> Self {
        Self {
            threads: deciding_threads(),
            waiting_max: 10_000,
            batch_commands_max: 256,
            attempts_max: 20,
            deadline_ms: 10_000,
            cache_bytes: 32 << 20,
            snapshot_every: 200,
        }
    }
}

/// What the executor has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutorStats {
    /// Commands answered, however.
    pub commands: u64,
    /// Commits judged valid.
    pub commits: u64,
    /// Commits judged void and decided again.
    pub conflicts: u64,
    /// Commands under way now.
    pub waiting: u64,
}

/// The only write path. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    shards: Arc<Shards>,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("stats", &self.stats()).finish()
    }
}

impl Executor {
    /// Starts the deciding threads over `log`. Must be called within a tokio runtime.
    pub fn start(
        log: Arc<dyn EventLog>,
        policy: Arc<Policy>,
        clock: DomainClock,
        snapshots: Option<Arc<SnapshotStore>>,
        settings: ExecutorSettings,
    ) -> Self {
        let core = Core::new(log, policy, clock, snapshots, settings);
        Self { shards: Arc::new(Shards::start(core)) }
    }

    /// Carries out a command: answered when what it decided (or what its answer rests on) has been judged.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn execute<A: Aggregate>(
        &self,
        request: Request<A>,
    ) -> Result<Outcome<A::Event>, CommandError<A::Rejection>> {
        let core = self.shards.core();
        let closed = || CommandError::Outage(Outage::Unavailable("the executor is closed".into()));
        let permit = match Arc::clone(&core.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits) => return Err(CommandError::Outage(Outage::Overloaded)),
            Err(TryAcquireError::Closed) => return Err(closed()),
        };
        let stream = StreamId::new(A::CATEGORY, request.id);
        let (answer, answered) = oneshot::channel();
        let waiting = decide::Waiting { request, answer, attempts: 0, _permit: permit };
        if !self.shards.send(stream, Box::new(move |shard| shard.accept::<A>(stream, waiting))) {
            return Err(closed());
        }
        let deadline = Duration::from_millis(core.settings.deadline_ms);
        match tokio::time::timeout(deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(CommandError::Outage(Outage::InDoubt("the decision broke off".into()))),
            Err(_) => Err(CommandError::Outage(Outage::InDoubt("no verdict in time".into()))),
        }
    }

    /// The aggregate as this process' copy of the log knows it (with several processes: as stale as the copy).
    ///
    /// # Errors
    /// [`Outage::UnknownEvent`], [`Outage::Damaged`].
    pub async fn load<A: Aggregate>(&self, id: A::Id) -> Result<Loaded<A>, Outage> {
        let core = self.shards.core();
        let stream = StreamId::new(A::CATEGORY, id);
        if let Some(loaded) = core.states.fresh::<A>(stream) {
            return Ok(loaded);
        }
        let core = Arc::clone(core);
        tokio::task::spawn_blocking(move || core.states.load::<A>(stream))
            .await
            .unwrap_or_else(|_| Err(Outage::Unavailable("the load broke off".into())))
    }

    /// Domain time, as the next decision would see it.
    pub fn now(&self) -> Timestamp {
        self.shards.core().clock.now()
    }

    /// What the executor has done.
    pub fn stats(&self) -> ExecutorStats {
        self.shards.core().stats()
    }

    /// Takes no more commands and waits (at most `patience`) for those under way.
    pub async fn close(&self, patience: Duration) {
        self.shards.close(patience).await;
    }
}
