//! The tail of an upstream: polls, judges in order, writes the copy, then answers.

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    AppendError, Appended, LogError, LogOptions,
    copy::{Candidate, Checkpointer, CopyWriter, Outcome, body_checksum},
    judge::{Judgement, Parsed, ParsedCommit, parse},
    pending::PendingAppends,
    progress::Progress,
    upstream::{Away, SourceRecord, Upstream},
};
use crate::{
    ids::CommitId,
    log::ReadLimit,
    stream::{BEFORE_FIRST, Offset, Partition},
};

/// Records of one poll, and so of one transaction.
const RECORDS_MAX: usize = 10_000;

/// Drives one copy along its upstream. One thread, one turn at a time; every turn ends with the copy at a whole record.
pub(super) struct Tail {
    copy: CopyWriter,
    checkpointer: Checkpointer,
    upstream: Arc<dyn Upstream>,
    pending: Arc<PendingAppends>,
    progress: Arc<Progress>,
    /// The last judged offset of each partition, in the order of the copy's partitions.
    source: Vec<(Partition, Offset)>,
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

/// A judged record.
struct Judged {
    commit: ParsedCommit,
    outcome: Outcome,
}

impl Tail {
    /// A tail that resumes where the copy ends. Compares both when the upstream can be reached, else at the first turn.
    pub(super) fn new(
        folder: &Path,
        options: &LogOptions,
        mut copy: CopyWriter,
        upstream: Arc<dyn Upstream>,
        pending: Arc<PendingAppends>,
        progress: Arc<Progress>,
    ) -> Result<Self, LogError> {
        let checkpointer = Checkpointer::start(folder, &mut copy, options.wal_bytes_max)?;
        let source = copy.reader().rows().iter().map(|row| (row.partition, row.source_offset)).collect();
        let mut tail = Self { copy, checkpointer, upstream, pending, progress, source, compared: false };
        tail.compare()?;
        Ok(tail)
    }

    /// Polls once, judges what came, writes it, answers.
    ///
    /// # Errors
    /// When the copy must not go on: its file failed, or the upstream is not the log it was.
    pub(super) fn turn(&mut self, wait: Duration) -> Result<Turn, LogError> {
        self.compare()?;
        if !self.compared {
            self.check_refused()?;
            return Ok(Turn { records: 0, resting: true });
        }
        let polled = match self.upstream.poll(&self.source, RECORDS_MAX, wait) {
            Ok(polled) => {
                self.progress.set_away(None);
                polled
            }
            Err(away) => {
                self.check_refused()?;
                tracing::debug!(%away, "no records");
                self.progress.set_away(Some(away.0));
                return Ok(Turn { records: 0, resting: true });
            }
        };
        let mut halt = None;
        if !polled.records.is_empty() {
            let (judged, stopped) = self.write(&polled.records)?;
            self.settle(&judged);
            halt = stopped;
        }
        for commit in &polled.failed {
            self.publish_again(*commit);
        }
        self.checkpointer.between_batches(&mut self.copy)?;
        match halt {
            Some(error) => Err(error),
            None => Ok(Turn {
                records: polled.records.len(),
                resting: polled.records.is_empty() && !polled.failed.is_empty(),
            }),
        }
    }

    /// What does not answer may have found out that it must not be followed.
    fn check_refused(&self) -> Result<(), LogError> {
        self.upstream.refused().map_or(Ok(()), |reason| Err(LogError::Refused(reason)))
    }

    /// Judges records in order and writes the valid ones with the offsets they came from, in one transaction. What must
    /// not be passed ends the batch before it, and is given back as the reason to stop.
    fn write(&mut self, records: &[SourceRecord]) -> Result<(Vec<Judged>, Option<LogError>), LogError> {
        let mut source = self.source.clone();
        let mut judged = Vec::with_capacity(records.len());
        let mut halt = None;
        self.copy.begin()?;
        for record in records {
            match self.judge(record, &source) {
                Ok((index, verdict)) => {
                    source[index].1 = record.offset;
                    judged.extend(verdict);
                }
                Err(LogError::Refused(reason)) => {
                    let place = format!("{}/{}", record.partition, record.offset);
                    halt = Some(LogError::Refused(format!("at {place}: {reason}")));
                    break;
                }
                Err(failed) => return Err(failed),
            }
        }
        for (index, (partition, offset)) in source.iter().enumerate() {
            if self.source[index].1 != *offset {
                self.copy.set_source(*partition, *offset)?;
            }
        }
        self.copy.commit()?;
        self.source = source;
        Ok((judged, halt))
    }

    /// Judges one record of the partition with the index that it gives back. [`LogError::Refused`] when no copy of this
    /// release may go past it.
    fn judge(
        &mut self,
        source_record: &SourceRecord,
        source: &[(Partition, Offset)],
    ) -> Result<(usize, Option<Judged>), LogError> {
        let SourceRecord { partition, offset, record } = source_record;
        let refused = |reason: String| Err(LogError::Refused(reason));
        let Some(index) = source.iter().position(|(known, _)| known == partition) else {
            return refused("the upstream has a partition that the copy does not know".into());
        };
        if *offset <= source[index].1 {
            return refused(format!("offsets went back from {}", source[index].1));
        }
        let commit = match parse(record) {
            Parsed::Commit(commit) if self.upstream.partition_of(commit.stream) == *partition => commit,
            Parsed::Commit(_) => {
                self.void(source_record, "it lies in a foreign partition");
                return Ok((index, None));
            }
            Parsed::Unparsable(reason) => {
                self.void(source_record, &reason);
                return Ok((index, None));
            }
            Parsed::Newer(reason) => return refused(reason),
        };
        let candidate = Candidate {
            stream: commit.stream,
            first_version: commit.first_version,
            count: commit.count,
            commands: &commit.commands,
            body: &record.body,
            body_checksum: body_checksum(&record.body),
        };
        let outcome = self.copy.add(index, *offset, &candidate)?;
        if let Outcome::Refused(Judgement::Gap, head) = outcome {
            return refused(format!(
                "stream {} goes from version {head} to {}: the log was truncated, made anew, or is another one",
                commit.stream, commit.first_version
            ));
        }
        Ok((index, Some(Judged { commit, outcome })))
    }

    /// Counts a record that is no commit at all.
    fn void(&self, record: &SourceRecord, reason: &str) {
        let SourceRecord { partition, offset, .. } = record;
        self.progress.voided();
        tracing::warn!(%partition, offset, reason, "a record on the log is void: it is no commit");
    }

    /// Answers those who wait for what was judged, and those whose streams were passed.
    fn settle(&self, judged: &[Judged]) {
        let mut added = false;
        for Judged { commit, outcome } in judged {
            match *outcome {
                Outcome::Added(position) => {
                    added = true;
                    self.progress.committed(commit.count);
                    self.pending.settle(commit.id, &Ok(Appended { position }));
                    let head = commit.first_version + u64::from(commit.count) - 1;
                    for passed in self.pending.passed(commit.stream, head) {
                        self.conflict(passed, head);
                    }
                }
                Outcome::Refused(_, head) => {
                    self.progress.voided();
                    self.conflict(commit.id, head);
                }
            }
        }
        if added {
            self.progress.ring();
        }
    }

    fn conflict(&self, commit: CommitId, head: u64) {
        if self.pending.settle(commit, &Err(AppendError::Conflict { head })) {
            self.progress.conflicted();
        }
    }

    /// Publishes a commit that is still pending once more. Its stream has not passed it, or it would have been answered.
    fn publish_again(&self, commit: CommitId) {
        if let Some((partition, record, commit)) = self.pending.publication(commit) {
            self.upstream.publish(partition, record, commit);
        }
    }

    /// Publishes again what was published so long ago that it should have been seen, where the copy is at the upstream's end.
    pub(super) fn republish_silent(&self, silence: Duration) {
        for (commit, partition) in self.pending.silent(silence) {
            let judged = self.source.iter().find(|(known, _)| *known == partition).map(|(_, offset)| *offset);
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
        for (partition, judged) in &self.source {
            match self.compare_partition(*partition, *judged)? {
                Ok(()) => {}
                Err(away) => {
                    tracing::warn!(%away, "the copy could not be compared with the upstream yet");
                    return Ok(());
                }
            }
        }
        self.compared = true;
        Ok(())
    }

    fn compare_partition(&self, partition: Partition, judged: Offset) -> Result<Result<(), Away>, LogError> {
        let end = match self.upstream.end(partition) {
            Ok(end) => end,
            Err(away) => return Ok(Err(away)),
        };
        if end < judged {
            return Err(LogError::Refused(format!(
                "the upstream's partition {partition} ends at {end}, the copy has judged up to {judged}: it has lost history"
            )));
        }
        let last = self.copy.reader().end(partition);
        if last == BEFORE_FIRST {
            return Ok(Ok(()));
        }
        let limit = ReadLimit { commits: 1, bytes: usize::MAX };
        let ours = self.copy.reader().read(partition, last - 1, limit)?;
        let theirs = match self.upstream.record_at(partition, last) {
            Ok(theirs) => theirs,
            Err(away) => return Ok(Err(away)),
        };
        match (ours.first(), theirs) {
            (Some(ours), Some(theirs)) if ours.body == theirs.body => Ok(Ok(())),
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

    /// Ends the tail in order.
    pub(super) fn finish(self) {
        let Self { mut copy, checkpointer, .. } = self;
        if let Err(error) = checkpointer.finish(&mut copy) {
            tracing::error!(%error, "the copy was closed without a last checkpoint");
        }
    }

    /// Ends the tail for good: what is pending is in doubt, what comes later is refused, reads go on.
    pub(super) fn stop(self, error: &LogError) {
        let reason = format!("the copy stopped: {error}");
        tracing::error!(%error, "the log takes no commits any more");
        self.progress.stop(&reason);
        self.pending.abandon(&reason);
    }

    /// Something to hold while driving the tail: a panic must not leave others waiting.
    pub(super) fn stop_on_panic(&self) -> StopOnPanic {
        StopOnPanic { pending: Arc::clone(&self.pending), progress: Arc::clone(&self.progress) }
    }
}

/// See [`Tail::stop_on_panic`].
pub(super) struct StopOnPanic {
    pending: Arc<PendingAppends>,
    progress: Arc<Progress>,
}

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "the copy stopped: its tail panicked";
            self.progress.stop(reason);
            self.pending.abandon(reason);
        }
    }
}
