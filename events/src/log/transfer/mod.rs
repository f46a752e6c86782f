//! Copying a log into another, over the port alone, so from any engine to any other.
//!
//! Every commit of every stream goes over in order, with its id, its commands and its bytes, so the chains are the same on
//! both sides and prove it at the end. The target has an id of its own: tokens, checkpoints and snapshots of the source mean
//! nothing there. What the target holds already is compared and skipped, so a copy that broke off is taken up by running it
//! again; a target that holds anything else is refused.
//!
//! The calls read files and so block for moments: run them where that is no harm.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{AppendError, EventLog, LogError, ReadLimit};
use crate::stream::{BEFORE_FIRST, LogId, Offset, Partition, StreamId, Version};

mod compare;
mod keys;
mod pipeline;

pub use keys::{KeysTransferred, transfer_keys};

/// Bounds of a transfer.
#[derive(Clone, Copy, Debug)]
pub struct TransferOptions {
    /// Commits in memory, whether under way or waiting for an earlier one of their stream.
    pub commits_max: usize,
    /// Their bodies, bytes.
    pub bytes_max: usize,
    /// How long an upstream may be away, on either side, or the target take nothing, before the transfer gives up.
    pub away_max: Duration,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self { commits_max: 4096, bytes_max: 32 << 20, away_max: Duration::from_secs(30) }
    }
}

/// What a transfer is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransferPhase {
    /// One of the two copies reads what its upstream holds.
    #[default]
    CatchingUp,
    /// What the target holds is compared with the source.
    Comparing,
    /// Commits go over.
    Copying,
    /// Both sides are compared, stream by stream.
    Checking,
    /// The target's chains are walked.
    Verifying,
}

/// How far a transfer is, for whoever watches it.
#[derive(Debug, Default)]
pub struct TransferGauge {
    phase: Mutex<TransferPhase>,
    passed: AtomicU64,
    total: AtomicU64,
}

impl TransferGauge {
    /// What it is at, and how many places of how many the phase has passed. Places are offsets: they have gaps, so they are
    /// a measure and no count. 0 of 0 where a phase has none.
    pub fn read(&self) -> (TransferPhase, u64, u64) {
        let phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        (phase, self.passed.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    fn begin(&self, phase: TransferPhase, total: u64) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.passed.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    fn pass(&self, places: u64) {
        self.passed.fetch_add(places, Ordering::Relaxed);
    }
}

/// What both logs hold after a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferReport {
    /// The log that was copied.
    pub source: LogId,
    /// The log that now holds the same.
    pub target: LogId,
    /// Streams, with the same head and the same chain on both sides.
    pub streams: u64,
    /// Commits in them.
    pub commits: u64,
    /// Events in those.
    pub events: u64,
    /// Commits that this transfer appended; the target held the others.
    pub appended: u64,
    /// Whether the source has commits beyond the end that was recorded when the transfer began: somebody writes it.
    pub grown: bool,
}

/// Why a log was not copied, or not to its end. What went over is whole: after what can be mended, transfer again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Both are the same log.
    #[error("source and target are the same log, {0}")]
    SameLog(LogId),
    /// The target holds a stream that the source does not.
    #[error(
        "the target holds the stream {stream}, which the source does not: a log is copied into an empty one, or into one \
         that holds nothing but an earlier copy"
    )]
    ForeignStream {
        /// The first such stream.
        stream: StreamId,
    },
    /// The target holds other content in a stream of the source.
    #[error(
        "the stream {stream} has other content in the target than in the source, at or before version {version}"
    )]
    OtherContent {
        /// The first such stream.
        stream: StreamId,
        /// Up to where both were compared.
        version: Version,
    },
    /// The target did not take a commit.
    #[error("the target did not take version {version} of {stream}: {error}")]
    Append {
        /// Whose commit.
        stream: StreamId,
        /// The commit's first version.
        version: Version,
        /// Why not.
        error: AppendError,
    },
    /// The target ends up with more or less than the source.
    #[error(
        "the copy is not what was copied: the target holds {held}, the source {wanted}; did somebody else write the target?"
    )]
    OtherCounts {
        /// Streams, commits and events of the target.
        held: String,
        /// Those of the source.
        wanted: String,
    },
    /// An upstream could not be reached for too long.
    #[error("{side} cannot be reached: {reason}")]
    Away {
        /// Which of the two.
        side: Side,
        /// What its engine says.
        reason: String,
    },
    /// A log could not be read.
    #[error("{side}: {error}")]
    Log {
        /// Which of the two.
        side: Side,
        /// What its engine says.
        error: LogError,
    },
}

/// One of the two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that is copied.
    Source,
    /// The one that it is copied into.
    Target,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Source => "the source",
            Self::Target => "the target",
        })
    }
}

impl Side {
    fn failed(self) -> impl Fn(LogError) -> TransferError + Copy {
        move |error| TransferError::Log { side: self, error }
    }
}

/// What is read at once.
const PAGE: ReadLimit = ReadLimit { commits: 256, bytes: 4 << 20 };

/// How often a copy is asked whether it has caught up with its upstream.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A copy whose end has not moved for so long has written what it judged.
const STILL_FOR: Duration = Duration::from_millis(100);
/// How often that is waited for.
const STILL_TRIES: u32 = 20;

/// The places of the source up to which is copied, by partition.
type Ends = Vec<(Partition, Offset)>;

/// Copies what `source` holds now into `target` and proves that both hold the same. Dropping the future stops it at once;
/// run it again to go on. Needs a runtime with a clock.
///
/// # Errors
/// See [`TransferError`].
pub async fn transfer(
    source: &Arc<dyn EventLog>,
    target: &Arc<dyn EventLog>,
    options: &TransferOptions,
    gauge: &TransferGauge,
) -> Result<TransferReport, TransferError> {
    if source.id() == target.id() {
        return Err(TransferError::SameLog(source.id()));
    }
    gauge.begin(TransferPhase::CatchingUp, 0);
    catch_up(source.as_ref(), Side::Source, options.away_max).await?;
    catch_up(target.as_ref(), Side::Target, options.away_max).await?;
    let ends = ends_of(source.as_ref(), Side::Source)?;
    let holds_some = compare::only_beginnings(source.as_ref(), target.as_ref(), gauge).await?;
    gauge.begin(TransferPhase::Copying, places(&ends));
    let mut pipeline = pipeline::Pipeline::new(target.as_ref(), *options, holds_some);
    for (partition, end) in &ends {
        pages(source.as_ref(), Side::Source, *partition, *end, async |page, places| {
            for commit in page {
                pipeline.offer(commit).await?;
            }
            gauge.pass(places);
            Ok(())
        })
        .await?;
    }
    let appended = pipeline.finish().await?;
    let found = compare::same_streams(source.as_ref(), target.as_ref(), &ends, gauge).await?;
    gauge.begin(TransferPhase::Verifying, 0);
    compare::same_counts(target, &found).await?;
    Ok(TransferReport {
        source: source.id(),
        target: target.id(),
        streams: found.streams,
        commits: found.commits,
        events: found.events,
        appended,
        grown: ends_of(source.as_ref(), Side::Source)? != ends,
    })
}

/// Waits until a copy has read and written all that its upstream is known to hold.
async fn catch_up(log: &dyn EventLog, side: Side, away_max: Duration) -> Result<(), TransferError> {
    let mut away_since: Option<Instant> = None;
    loop {
        let status = log.status();
        if let Some(reason) = status.stopped
            && log.stale().is_some()
        {
            return Err(side.failed()(LogError::Refused(reason)));
        }
        if status.away.is_none() && status.behind == 0 && log.stale().is_none() {
            return written(log, side).await;
        }
        match status.away {
            None => away_since = None,
            Some(reason) if away_since.get_or_insert_with(Instant::now).elapsed() > away_max => {
                return Err(TransferError::Away { side, reason });
            }
            Some(_) => {}
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Waits until a copy whose end moves only because its file is written behind what was judged stands still. One that others
/// write never does: then it is as good as it gets.
async fn written(log: &dyn EventLog, side: Side) -> Result<(), TransferError> {
    let mut ends = ends_of(log, side)?;
    for _ in 0..STILL_TRIES {
        tokio::time::sleep(STILL_FOR).await;
        let now = ends_of(log, side)?;
        if now == ends {
            break;
        }
        ends = now;
    }
    Ok(())
}

fn ends_of(log: &dyn EventLog, side: Side) -> Result<Ends, TransferError> {
    let of = |partition| Ok((partition, log.end(partition)?));
    log.partitions().into_iter().map(of).collect::<Result<_, _>>().map_err(side.failed())
}

/// Offsets up to these ends.
fn places(ends: &Ends) -> u64 {
    ends.iter().map(|(_, end)| u64::try_from(end - BEFORE_FIRST).unwrap_or(0)).sum()
}

/// Walks a partition up to `end`, a page at a time, and says with each page how many places it stands for.
async fn pages(
    log: &dyn EventLog,
    side: Side,
    partition: Partition,
    end: Offset,
    mut work: impl AsyncFnMut(Vec<super::StoredCommit>, u64) -> Result<(), TransferError>,
) -> Result<(), TransferError> {
    let mut after = BEFORE_FIRST;
    while after < end {
        let mut page = log.read(partition, after, PAGE).map_err(side.failed())?;
        page.retain(|commit| commit.position.offset <= end);
        let reached = page.last().map_or(end, |commit| commit.position.offset);
        work(page, u64::try_from(reached - after).unwrap_or(0)).await?;
        after = reached;
        // Between two pages whoever runs this may drop it.
        tokio::task::yield_now().await;
    }
    Ok(())
}
