//! Judging the records of an upstream in order, in memory: the heart of a tailed engine, with no file and no clock in it.
//!
//! What is judged valid is in [`Unwritten`] at once, and so in every [`JudgedView`]; then everybody who waits for a verdict
//! of the batch is answered; then the copy's writer is told how far the batch went.

use std::{collections::HashMap, sync::Arc};

use super::{
    Appended, ChainHash, LogError, StoredCommit,
    copy::body_checksum,
    judge::{Judgement, Parsed, ParsedCommit, judge},
    pending::{Judged, PendingAppends},
    progress::Progress,
    unwritten::Unwritten,
    view::JudgedView,
};
use crate::{
    envelope::CommandSpan,
    ids::CommitId,
    stream::{Offset, Partition, Position, StreamId, Version},
};

/// Where a stream stands, and what its next commit is chained to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The version of its last event; 0 when there is none.
    pub(super) version: Version,
    /// Its hash chain.
    pub(super) chain: ChainHash,
}

/// A commit that was judged valid, on its way into the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JudgedCommit {
    /// As the copy will keep it.
    pub(super) commit: StoredCommit,
    /// The commands it answers.
    pub(super) commands: Vec<CommandSpan>,
    /// The chain of its stream before it.
    pub(super) before: ChainHash,
    /// [`body_checksum`] of its body.
    pub(super) body_checksum: u32,
    /// The index of its partition in the copy.
    pub(super) partition: usize,
}

/// A record at its place, read.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    /// The ordered part of the log.
    pub(super) partition: Partition,
    /// The place in it.
    pub(super) offset: Offset,
    /// What the record turned out to be.
    pub(super) parsed: Parsed,
    /// The sealed bytes.
    pub(super) body: Arc<[u8]>,
}

/// Judges one log's records, one after the other, and answers those who wait.
pub(super) struct Judging {
    view: JudgedView,
    pending: Arc<PendingAppends>,
    progress: Arc<Progress>,
    /// The last judged offset of each partition, in the order of the copy's partitions.
    source: Vec<(Partition, Offset)>,
    indexes: HashMap<Partition, usize>,
    /// Verdicts that were not given yet.
    verdicts: Vec<Judged>,
}

impl Judging {
    /// Goes on behind the given offsets.
    pub(super) fn new(
        view: JudgedView,
        pending: Arc<PendingAppends>,
        progress: Arc<Progress>,
        source: Vec<(Partition, Offset)>,
    ) -> Self {
        let indexes = source.iter().enumerate().map(|(index, (partition, _))| (*partition, index)).collect();
        Self { view, pending, progress, source, indexes, verdicts: Vec::new() }
    }

    /// The last judged offset of each partition.
    pub(super) fn source(&self) -> &[(Partition, Offset)] {
        &self.source
    }

    /// Judges the next record of its partition. Its verdict is given by [`Self::answer`].
    ///
    /// # Errors
    /// [`LogError::Refused`] when no copy of this release may go past it, [`LogError::File`] when the copy could not be
    /// asked where the stream stands. Neither may anything behind it be judged then.
    pub(super) fn judge(&mut self, reached: Reached) -> Result<(), LogError> {
        let Reached { partition, offset, parsed, body } = reached;
        let refused = |reason: &str| Err(LogError::Refused(format!("at {partition}/{offset}: {reason}")));
        let Some(&index) = self.indexes.get(&partition) else {
            return refused("the upstream has a partition that the copy does not know");
        };
        let judged_to = self.source[index].1;
        if offset <= judged_to {
            return refused(&format!("offsets went back from {judged_to}"));
        }
        match parsed {
            Parsed::Commit(commit) => {
                let standing = self.view.standing(commit.stream)?;
                match judge(standing.version, commit.first_version) {
                    Judgement::Valid => {
                        self.accept(Position { partition, offset }, index, standing, commit, body)
                    }
                    Judgement::Void => self.void(commit.id, commit.stream, standing.version),
                    Judgement::Gap => {
                        return refused(&format!(
                            "stream {} goes from version {} to {}: the log was truncated, made anew, or is another one",
                            commit.stream, standing.version, commit.first_version
                        ));
                    }
                }
            }
            Parsed::Unparsable(reason) => {
                self.progress.voided();
                tracing::warn!(%partition, offset, reason, "a record on the log is void: it is no commit");
            }
            Parsed::Newer(reason) => return refused(&reason),
        }
        self.source[index].1 = offset;
        Ok(())
    }

    fn accept(
        &mut self,
        position: Position,
        partition: usize,
        standing: Standing,
        parsed: ParsedCommit,
        body: Arc<[u8]>,
    ) {
        let ParsedCommit { id, stream, first_version, count, commands } = parsed;
        let chain = standing.chain.link(&body);
        let body_checksum = body_checksum(&body);
        let commit = StoredCommit { position, stream, first_version, count, chain, body };
        let head = commit.last_version();
        self.progress.committed(count);
        let judged = JudgedCommit { commit, commands, before: standing.chain, body_checksum, partition };
        self.view.unwritten().push(Arc::new(judged));
        self.verdicts.push(Judged { commit: id, stream, head, appended: Some(Appended { position }) });
    }

    fn void(&mut self, commit: CommitId, stream: StreamId, head: Version) {
        self.progress.voided();
        self.verdicts.push(Judged { commit, stream, head, appended: None });
    }

    /// Answers everybody who waited for what was judged since the last time, and those whose streams were passed. Then tells
    /// the copy's writer how far that was.
    pub(super) fn answer(&mut self) {
        for _ in 0..self.pending.judged(&self.verdicts) {
            self.progress.conflicted();
        }
        self.verdicts.clear();
        self.unwritten().reached(&self.source);
    }

    /// Everything that is judged.
    pub(super) fn view(&self) -> &JudgedView {
        &self.view
    }

    /// What is judged and not written.
    pub(super) fn unwritten(&self) -> &Arc<Unwritten> {
        self.view.unwritten()
    }
}
