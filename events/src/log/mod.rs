//! The log: conditional appends, one history for all, read from a local copy.
//!
//! [`EventLog`] is the port. Every process reads a local copy of the topics it needs; what differs between engines is
//! who orders the commits. Nothing here assumes that this process is the only writer.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    envelope::{CommandHash, DecodeError, NewCommit, RecordedEvent, parse_body},
    ids::CommandId,
    stream::{LogId, Offset, Partition, Position, StreamId, Version},
};

pub mod backup;
mod clock;
mod copy;
mod embedded;
mod freshness;
mod intake;
mod judge;
mod judging;
mod kafka;
mod options;
mod pending;
mod progress;
mod queue;
mod readers;
#[cfg(feature = "simulation")]
pub mod simulated;
mod tail;
mod tailed;
pub mod transfer;
mod turns;
mod unwritten;
mod upstream;
mod view;
mod write_behind;

pub use copy::{FolderLock, lock_folder};
pub(crate) use options::Engine;
pub use options::{KafkaOptions, LogOptions};

/// Opens the log that `options` names, making it when there is none.
///
/// # Errors
/// [`LogError::Refused`] for a URL no engine knows and for files of another log or format, [`LogError::Locked`] when another
/// process has them, [`LogError::Damaged`] when the last commits are not what was written, [`LogError::File`].
pub fn open(options: &LogOptions) -> Result<Arc<dyn EventLog>, LogError> {
    match options.engine()? {
        options::Engine::Embedded => Ok(Arc::new(embedded::Embedded::open(&options.folder, options)?)),
        // What only looks at the copy does not need the cluster.
        options::Engine::Kafka(_) if options.read_only => {
            Ok(Arc::new(embedded::Embedded::open(&options.folder, options)?))
        }
        options::Engine::Kafka(brokers) => Ok(Arc::new(kafka::open(&brokers, options)?)),
    }
}

/// The verdict of an append, whenever it comes.
pub type Verdict = Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send>>;

/// What is done with the verdict of an append: called once, by the thread that gives the verdict and has others to give, so
/// it never blocks. Dropped without a call, it leaves the commit in doubt.
pub type Answer = Box<dyn FnOnce(Result<Appended, AppendError>) + Send>;

/// Waits until there is room for a commit, and sends it on its way then.
pub type Room = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The commit is part of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where it stands.
    pub position: Position,
}

/// The commit is not, or not yet known to be, part of history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The stream does not stand at `first_version - 1` (any more): the commit is void. Load and decide again.
    #[error("the stream stands at version {head}")]
    Conflict {
        /// Where the stream stands.
        head: Version,
    },
    /// It may or may not become part of history; the copy will tell, by command id.
    #[error("in doubt: {0}")]
    InDoubt(String),
    /// A single commit beyond the size limit; it was not sent.
    #[error("the commit has {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Its body's size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The log takes no commits now; this one was certainly not appended.
    #[error("the log is not available: {0}")]
    Unavailable(String),
}

/// Why the copy could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// What stands at this position is not what was written.
    #[error("the log is damaged at {position}: {reason}")]
    Damaged {
        /// The first damaged commit.
        position: Position,
        /// What is wrong with it.
        reason: String,
    },
    /// The copy's file failed.
    #[error("the log's file failed: {0}")]
    File(String),
    /// Another process has the folder.
    #[error("the data folder is in use by another process")]
    Locked,
    /// The file belongs to another log, another format or another release.
    #[error("the log cannot be used: {0}")]
    Refused(String),
}

/// A commit as the copy keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommit {
    /// Where it stands.
    pub position: Position,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// The version of its first event.
    pub first_version: Version,
    /// How many events it has.
    pub count: u32,
    /// The stream's hash chain up to and with this commit.
    pub chain: ChainHash,
    /// The sealed bytes, as appended.
    pub body: Arc<[u8]>,
}

impl StoredCommit {
    /// The version of its last event.
    pub fn last_version(&self) -> Version {
        self.first_version + u64::from(self.count) - 1
    }

    /// Its events in stream order, each decoded on its own, so that one that this release cannot read does not hide
    /// the others.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when the body as a whole is no batch.
    pub fn events(&self) -> Result<Vec<Result<RecordedEvent, DecodeError>>, DecodeError> {
        let events = parse_body(&self.body)?;
        Ok(events.iter().map(|event| event.decode(self.position)).collect())
    }
}

/// SHA-256 over the previous commit's chain hash (32 zero bytes before the first) and this commit's body.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// The chain with `body` as its next link.
    pub fn link(self, body: &[u8]) -> Self {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        context.update(&self.0);
        context.update(body);
        let mut next = [0; 32];
        next.copy_from_slice(context.finish().as_ref());
        Self(next)
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// What the log remembers of a command that wrote events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownCommand {
    /// What it asked for.
    pub command_hash: CommandHash,
    /// The version of its first event.
    pub first_version: Version,
    /// How many events it wrote.
    pub count: u32,
    /// Where its commit stands.
    pub position: Position,
}

/// How much one read may return.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// At most this many commits.
    pub commits: usize,
    /// Stop after the commit with which the bodies exceed this many bytes.
    pub bytes: usize,
}

/// How the engine is, for readiness and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LogStatus {
    /// Why no commit is taken any more; `None` while all is well.
    pub stopped: Option<String>,
    /// Commits judged valid since the start.
    pub commits: u64,
    /// Events in them.
    pub events: u64,
    /// Appends refused or voided because the stream stood elsewhere.
    pub conflicts: u64,
    /// Records of an upstream judged void (duplicates among them).
    pub voids: u64,
    /// Why the upstream cannot be reached now: commits wait, reads go on. `None` while it can be, or where there is none.
    pub away: Option<String>,
    /// How long ago this copy was known to hold all that had been acknowledged, by whichever process; zero where there is no
    /// upstream, `None` when it has not caught up since it was opened.
    pub age: Option<Duration>,
    /// Records that the upstream was last known to hold and this copy has not judged yet; 0 where there is none.
    pub behind: u64,
}

/// What a walk over all chains found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Streams walked.
    pub streams: u64,
    /// Commits walked.
    pub commits: u64,
    /// Events in them.
    pub events: u64,
}

/// The port. Cheap to share (`Arc<dyn EventLog>`); reads block on the local copy's file for microseconds and are
/// called from threads that may block.
pub trait EventLog: Send + Sync + 'static {
    /// Which log this is.
    fn id(&self) -> LogId;

    /// Sends `commit` on its way and gives the verdict when it has been judged.
    ///
    /// The future may take as long as the upstream is away; dropping it takes nothing back. The caller keeps at most
    /// one unjudged commit per stream. `Ok` means: durable on whatever orders the commits, and visible from now on to
    /// [`EventLog::load`], [`EventLog::head`] and [`EventLog::find_command`]. Subscribers ([`EventLog::read`],
    /// [`EventLog::end`], [`EventLog::changes`]) see it moments later, when it is in the copy's file.
    fn append(&self, commit: NewCommit) -> Verdict;

    /// As [`EventLog::append`], for those who have many commits under way and no task for each: `answer` is told the verdict.
    /// Where the engine has no room for the commit yet, it gives a future that waits for it, and has to be driven.
    fn append_then(&self, commit: NewCommit, answer: Answer) -> Option<Room> {
        let verdict = self.append(commit);
        Some(Box::pin(async move { answer(verdict.await) }))
    }

    /// The commits of `stream` that hold events after version `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`LogError::Damaged`] and [`LogError::File`].
    fn load(&self, stream: StreamId, after: Version, limit: usize) -> Result<Vec<StoredCommit>, LogError>;

    /// The version of the last event of `stream`; 0 when there is none.
    ///
    /// # Errors
    /// [`LogError::File`].
    fn head(&self, stream: StreamId) -> Result<Version, LogError>;

    /// As [`EventLog::head`], when the engine has it in memory: never blocks. `None` says nothing, neither that there is no
    /// such stream nor that it has no event.
    fn head_in_memory(&self, stream: StreamId) -> Option<Version> {
        let _ = stream;
        None
    }

    /// What `command` wrote to `stream`; `None` when it wrote nothing there.
    ///
    /// # Errors
    /// [`LogError::File`].
    fn find_command(&self, stream: StreamId, command: CommandId) -> Result<Option<KnownCommand>, LogError>;

    /// Why no decision should rest on this copy now, such as that it has not caught up since it was opened; `None` when it
    /// is as new as it can be. What is found in a stale copy is true all the same; what is not found may be there.
    fn stale(&self) -> Option<String> {
        None
    }

    /// The commits of `partition` after `after` ([`crate::stream::BEFORE_FIRST`] for all), in offset order.
    ///
    /// # Errors
    /// [`LogError::Damaged`] at the first commit that is not what was written; those before it can be had with a
    /// smaller limit. [`LogError::File`].
    fn read(
        &self,
        partition: Partition,
        after: Offset,
        limit: ReadLimit,
    ) -> Result<Vec<StoredCommit>, LogError>;

    /// The partitions this copy holds, in order.
    fn partitions(&self) -> Vec<Partition>;

    /// Where the commits of `stream` stand: in the one partition of its service, unless an engine has more.
    fn partition_of(&self, stream: StreamId) -> Partition {
        Partition { service: stream.category.service(), number: 0 }
    }

    /// The offset of the last commit of `partition`; [`crate::stream::BEFORE_FIRST`] when it is empty.
    ///
    /// # Errors
    /// [`LogError::File`].
    fn end(&self, partition: Partition) -> Result<Offset, LogError>;

    /// Changes whenever commits became readable. Receivers wait on it, then [`EventLog::read`].
    fn changes(&self) -> watch::Receiver<u64>;

    /// Shows the tools of whoever orders the commits how far `reader` is: it has read each of these partitions up to and with
    /// this offset. For people: it is shown now and then, may be lost, and nothing is ever read back. Returns at once.
    fn show_reader(&self, reader: &str, reached: &[(Partition, Offset)]) {
        let _ = (reader, reached);
    }

    /// The largest body a commit may have, bytes.
    fn commit_bytes_max(&self) -> usize;

    /// How the engine is.
    fn status(&self) -> LogStatus;

    /// Walks every chain of the copy.
    ///
    /// # Errors
    /// [`LogError::Damaged`] at the first commit whose body, chain, version or index is not what was written.
    fn verify(&self) -> Result<VerifyReport, LogError>;

    /// Stops taking commits, waits for those under way, and closes the files. Later appends are unavailable, and
    /// [`LogStatus::stopped`] says so from the beginning.
    fn close(&self);
}
