//! What a tailed engine asks of whoever orders the commits.

use std::{sync::Arc, time::Duration};

use crate::{
    ids::CommitId,
    stream::{LogId, Offset, Partition, StreamId},
};

/// A commit as it travels: strangers can read it, and so can every release of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The name of its stream.
    pub(super) key: String,
    /// The format, and with it the rule by which it is judged. 0 when the record does not say.
    pub(super) format: u16,
    /// The sealed bytes: a JSON array of CloudEvents.
    pub(super) body: Arc<[u8]>,
}

/// A record at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceRecord {
    /// The ordered part of the log.
    pub(super) partition: Partition,
    /// The place in it. Offsets grow and have gaps.
    pub(super) offset: Offset,
    /// What stands there.
    pub(super) record: Record,
    /// The commit that it says it is, beside its body. Nothing rests on that.
    pub(super) commit: Option<CommitId>,
}

/// What a poll brought.
#[derive(Debug, Default)]
pub(super) struct Polled {
    /// Records in the order of their offsets within each partition.
    pub(super) records: Vec<SourceRecord>,
    /// Commits whose delivery is said to have failed. That may be wrong: the record can be on the log all the same.
    pub(super) failed: Vec<CommitId>,
}

/// The upstream cannot be reached, or does not answer. That may pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upstream is away: {0}")]
pub(super) struct Away(pub(super) String);

/// An ordered log that many processes write and read, without conditional appends and without trustworthy answers.
pub(super) trait Upstream: Send + Sync + 'static {
    /// Which log it is.
    fn log(&self) -> LogId;

    /// Its partitions.
    fn partitions(&self) -> Vec<Partition>;

    /// Where the commits of `stream` go. The same in every process, for ever.
    fn partition_of(&self, stream: StreamId) -> Partition;

    /// Sends a record on its way and returns at once. It may arrive late, twice or never.
    fn publish(&self, partition: Partition, record: Record, commit: CommitId);

    /// The records behind each of these offsets, at most `records_max`; waits up to `wait` for the first.
    fn poll(&self, after: &[(Partition, Offset)], records_max: usize, wait: Duration)
    -> Result<Polled, Away>;

    /// The offset of the last record of a partition; [`crate::stream::BEFORE_FIRST`] when there is none.
    fn end(&self, partition: Partition) -> Result<Offset, Away>;

    /// [`Self::end`] of several partitions, in their order.
    fn ends(&self, partitions: &[Partition]) -> Result<Vec<Offset>, Away> {
        partitions.iter().map(|partition| self.end(*partition)).collect()
    }

    /// The record at exactly this offset; `None` when there is none.
    fn record_at(&self, partition: Partition, offset: Offset) -> Result<Option<Record>, Away>;

    /// How often it wants to be shown how far readers are; `None`: never.
    fn shows_readers_every(&self) -> Option<Duration> {
        None
    }

    /// Shows its tools how far a reader is: it has read each of these partitions up to and with this offset. May block for
    /// seconds.
    fn show_reader(&self, reader: &str, reached: &[(Partition, Offset)]) -> Result<(), Away> {
        let _ = (reader, reached);
        Ok(())
    }

    /// Why no copy may follow it any more: it lost history, is another log, or is set up to lose some. Found out when it is
    /// opened, or later; from then on every question ends in [`Away`].
    fn refused(&self) -> Option<String> {
        None
    }
}
