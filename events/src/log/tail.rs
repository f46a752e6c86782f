//! The tail of an upstream: polls, judges in order, answers. What it judged is written behind it, by another thread.

use std::{sync::Arc, time::Duration};

use super::{
    LogError,
    freshness::Freshness,
    judge::Parsed,
    judging::{Judging, Reached},
    pending::PendingAppends,
    progress::Progress,
    unwritten::Unwritten,
    upstream::{Away, Record, SourceRecord, Upstream},
};
use crate::{
    ids::CommitId,
    stream::{Offset, Partition},
};

/// Records of one poll, and so of one batch of answers.
const RECORDS_MAX: usize = 1000;

/// Drives one copy along its upstream. One thread, one turn at a time.
pub(super) struct Tail {
    judging: Judging,
    read: fn(&Record) -> Parsed,
    upstream: Arc<dyn Upstream>,
    pending: Arc<PendingAppends>,
    progress: Arc<Progress>,
    freshness: Arc<Freshness>,
    /// Whether the upstream was seen to hold what the copy holds.
    compared: bool,
}

/// What a turn brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// Records judged.
    pub(super) records: usize,
    /// The upstream is away or says nothing but failures: better not to ask again at once.
    pub(super) resting: bool,
}

/// What a tail shares with its log.
pub(super) struct Shared {
    pub(super) upstream: Arc<dyn Upstream>,
    pub(super) pending: Arc<PendingAppends>,
    pub(super) progress: Arc<Progress>,
    pub(super) freshness: Arc<Freshness>,
}

impl Tail {
    /// A tail that resumes where the copy ends and understands records by `read`. Compares copy and upstream when that can be
    /// reached, else at the first turn.
    pub(super) fn new(
        judging: Judging,
        read: fn(&Record) -> Parsed,
        shared: Shared,
    ) -> Result<Self, LogError> {
        let Shared { upstream, pending, progress, freshness } = shared;
        let mut tail = Self { judging, read, upstream, pending, progress, freshness, compared: false };
        tail.compare()?;
        Ok(tail)
    }

    /// Polls once, judges what came, answers, and leaves the rest to the copy's writer. Does not poll when that lags too far.
    ///
    /// # Errors
    /// When the copy must not go on: its file failed, or the upstream is not the log it was.
    pub(super) fn turn(&mut self, wait: Duration) -> Result<Turn, LogError> {
        if !self.judging.unwritten().wait_for_room(wait)? {
            return Ok(Turn::default());
        }
        self.compare()?;
        if !self.compared {
            self.check_refused()?;
            return Ok(Turn { records: 0, resting: true });
        }
        let wait = self.pending.poll_wait(wait);
        let polled = match self.upstream.poll(self.judging.source(), RECORDS_MAX, wait) {
            Ok(polled) => {
                self.progress.set_away(None);
                polled
            }
            Err(away) => {
                self.check_refused()?;
                tracing::debug!(%away, "no records");
                self.publish_due();
                self.progress.set_away(Some(away.0));
                return Ok(Turn { records: 0, resting: true });
            }
        };
        let records = polled.records.len();
        let halt = polled.records.into_iter().try_for_each(|record| self.judge(record)).err();
        if records > 0 {
            self.judging.answer();
        }
        self.freshness.judged(self.judging.source());
        self.publish_due();
        for commit in &polled.failed {
            self.publish_again(*commit);
        }
        match halt {
            Some(error) => Err(error),
            None => Ok(Turn { records, resting: records == 0 && !polled.failed.is_empty() }),
        }
    }

    /// What does not answer may have found out that it must not be followed.
    fn check_refused(&self) -> Result<(), LogError> {
        self.upstream.refused().map_or(Ok(()), |reason| Err(LogError::Refused(reason)))
    }

    fn judge(&mut self, record: SourceRecord) -> Result<(), LogError> {
        let SourceRecord { partition, offset, record, commit } = record;
        // What this process wrote need not be read again, where it stands there unchanged.
        let ours = commit.and_then(|commit| self.pending.written_as(commit, &record));
        let parsed = match ours.map_or_else(|| (self.read)(&record), Parsed::Commit) {
            Parsed::Commit(commit) if self.upstream.partition_of(commit.stream) != partition => {
                Parsed::Unparsable("it lies in a foreign partition".into())
            }
            parsed => parsed,
        };
        self.judging.judge(Reached { partition, offset, parsed, body: record.body })
    }

    /// Publishes commits that have let others go first for long enough.
    fn publish_due(&self) {
        for (partition, record, commit) in self.pending.due() {
            self.upstream.publish(partition, record, commit);
        }
    }

    /// Publishes a commit that is still pending once more. Its stream has not passed it, or it would have been answered.
    fn publish_again(&self, commit: CommitId) {
        if let Some((partition, record, commit)) = self.pending.publication(commit) {
            self.upstream.publish(partition, record, commit);
        }
    }

    /// Publishes again what was published so long ago that it should have been seen, where the tail is at the upstream's end.
    pub(super) fn republish_silent(&self, silence: Duration) {
        for (commit, partition) in self.pending.silent(silence) {
            let source = self.judging.source();
            let judged = source.iter().find(|(known, _)| *known == partition).map(|(_, offset)| *offset);
            if self.upstream.end(partition).is_ok_and(|end| Some(end) == judged) {
                self.publish_again(commit);
            }
        }
    }

    /// Compares the copy with the upstream once it can be reached: what the copy holds last must stand there.
    fn compare(&mut self) -> Result<(), LogError> {
        if self.compared {
            return Ok(());
        }
        let ends = match self.freshness.ask(&*self.upstream) {
            Ok(ends) => ends,
            Err(away) => {
                self.not_compared(away);
                return Ok(());
            }
        };
        for ((partition, judged), end) in self.judging.source().iter().zip(ends) {
            if let Err(away) = self.compare_partition(*partition, *judged, end)? {
                self.not_compared(away);
                return Ok(());
            }
        }
        self.compared = true;
        Ok(())
    }

    fn not_compared(&self, away: Away) {
        tracing::debug!(%away, "the copy could not be compared with the upstream yet");
        self.progress.set_away(Some(away.0));
    }

    fn compare_partition(
        &self,
        partition: Partition,
        judged: Offset,
        end: Offset,
    ) -> Result<Result<(), Away>, LogError> {
        if end < judged {
            return Err(LogError::Refused(format!(
                "the upstream's partition {partition} ends at {end}, the copy has judged up to {judged}: it has lost history"
            )));
        }
        let Some(ours) = self.judging.view().written().last(partition)? else { return Ok(Ok(())) };
        let last = ours.position.offset;
        let theirs = match self.upstream.record_at(partition, last) {
            Ok(theirs) => theirs,
            Err(away) => return Ok(Err(away)),
        };
        match theirs {
            Some(theirs) if ours.body == theirs.body => Ok(Ok(())),
            _ => Err(LogError::Refused(format!(
                "the upstream holds another record at {partition}/{last} than the copy: it is not the log it was"
            ))),
        }
    }

    /// Whether the log is closed: nothing new is taken.
    pub(super) fn is_closed(&self) -> bool {
        self.pending.is_closed()
    }

    /// Whether nothing is pending.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Ends the tail in order: the copy's writer writes what was judged, and ends too.
    pub(super) fn finish(self) {
        self.judging.unwritten().close();
    }

    /// Ends the tail for good: what is pending is in doubt, what comes later is refused, reads go on. What was judged is
    /// still written.
    pub(super) fn stop(self, error: &LogError) {
        let reason = format!("the copy stopped: {error}");
        tracing::error!(%error, "the log takes no commits any more");
        self.progress.stop(&reason);
        self.pending.abandon(&reason);
        self.judging.unwritten().close();
    }

    /// Something to hold while driving the tail: a panic must not leave others waiting.
    pub(super) fn stop_on_panic(&self) -> StopOnPanic {
        StopOnPanic {
            pending: Arc::clone(&self.pending),
            progress: Arc::clone(&self.progress),
            unwritten: Arc::clone(self.judging.unwritten()),
        }
    }
}

/// See [`Tail::stop_on_panic`].
pub(super) struct StopOnPanic {
    pending: Arc<PendingAppends>,
    progress: Arc<Progress>,
    unwritten: Arc<Unwritten>,
}

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "the copy stopped: its tail panicked";
            self.progress.stop(reason);
            self.pending.abandon(reason);
            self.unwritten.close();
        }
    }
}
