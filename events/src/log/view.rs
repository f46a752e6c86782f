//! What was judged, written or not: the copy as everybody sees it who decides.
//!
//! A commit moves from [`Unwritten`] into the file, and is in both for a moment, never in neither. So whoever looks takes
//! what is unwritten first and reads the file then: nothing is missed, and what is seen twice is known by its version.

use std::sync::Arc;

use super::{
    KnownCommand, LogError, ReadLimit, StoredCommit, copy::CopyReader, judging::Standing,
    unwritten::Unwritten,
};
use crate::{
    ids::CommandId,
    stream::{BEFORE_FIRST, Partition, StreamId, Version},
};

/// What is written, by the copy's file or by whatever stands for it.
pub(super) trait Written: Send + Sync + 'static {
    /// Where `stream` stands in the copy.
    fn standing(&self, stream: StreamId) -> Result<Standing, LogError>;

    /// The last commit of a partition; `None` when it is empty.
    fn last(&self, partition: Partition) -> Result<Option<StoredCommit>, LogError>;

    /// See [`super::EventLog::head_in_memory`].
    fn head_in_memory(&self, stream: StreamId) -> Option<Version>;

    /// See [`super::EventLog::head`].
    fn head(&self, stream: StreamId) -> Result<Version, LogError>;

    /// See [`super::EventLog::load`].
    fn load(&self, stream: StreamId, after: Version, limit: usize) -> Result<Vec<StoredCommit>, LogError>;

    /// See [`super::EventLog::find_command`].
    fn find_command(&self, stream: StreamId, command: CommandId) -> Result<Option<KnownCommand>, LogError>;
}

impl Written for CopyReader {
    fn standing(&self, stream: StreamId) -> Result<Standing, LogError> {
        let head = Self::standing(self, stream)?;
        Ok(head.map_or_else(Standing::default, |head| Standing { version: head.version, chain: head.chain }))
    }

    fn last(&self, partition: Partition) -> Result<Option<StoredCommit>, LogError> {
        let limit = ReadLimit { commits: 1, bytes: usize::MAX };
        let end = self.end(partition);
        if end == BEFORE_FIRST {
            return Ok(None);
        }
        Ok(self.read(partition, end - 1, limit)?.pop())
    }

    fn head_in_memory(&self, stream: StreamId) -> Option<Version> {
        Self::head_in_memory(self, stream)
    }

    fn head(&self, stream: StreamId) -> Result<Version, LogError> {
        Self::head(self, stream)
    }

    fn load(&self, stream: StreamId, after: Version, limit: usize) -> Result<Vec<StoredCommit>, LogError> {
        Self::load(self, stream, after, limit)
    }

    fn find_command(&self, stream: StreamId, command: CommandId) -> Result<Option<KnownCommand>, LogError> {
        Self::find_command(self, stream, command)
    }
}

/// Everything that was judged.
#[derive(Clone)]
pub(super) struct JudgedView {
    unwritten: Arc<Unwritten>,
    written: Arc<dyn Written>,
}

impl JudgedView {
    pub(super) fn new(unwritten: Arc<Unwritten>, written: Arc<dyn Written>) -> Self {
        Self { unwritten, written }
    }

    /// What is not written yet.
    pub(super) fn unwritten(&self) -> &Arc<Unwritten> {
        &self.unwritten
    }

    /// What is written, alone.
    pub(super) fn written(&self) -> &dyn Written {
        &*self.written
    }

    /// Where `stream` stands.
    pub(super) fn standing(&self, stream: StreamId) -> Result<Standing, LogError> {
        match self.unwritten.standing(stream) {
            Some(standing) => Ok(standing),
            None => self.written.standing(stream),
        }
    }

    /// See [`super::EventLog::head`].
    pub(super) fn head(&self, stream: StreamId) -> Result<Version, LogError> {
        match self.unwritten.standing(stream) {
            Some(standing) => Ok(standing.version),
            None => self.written.head(stream),
        }
    }

    /// See [`super::EventLog::head_in_memory`].
    pub(super) fn head_in_memory(&self, stream: StreamId) -> Option<Version> {
        let unwritten = self.unwritten.standing(stream).map(|standing| standing.version);
        unwritten.or_else(|| self.written.head_in_memory(stream))
    }

    /// See [`super::EventLog::load`].
    pub(super) fn load(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<StoredCommit>, LogError> {
        let unwritten = self.unwritten.load(stream, after, limit);
        // The rest of a stream that starts no later than where it is asked for is all that there is to read.
        let starts_there =
            unwritten.first().is_some_and(|first| first.first_version <= after.saturating_add(1));
        let mut found = if starts_there { Vec::new() } else { self.written.load(stream, after, limit)? };
        let seen = found.last().map_or(after, StoredCommit::last_version);
        let newer = unwritten.into_iter().filter(|commit| commit.last_version() > seen);
        found.extend(newer.take(limit - found.len()));
        Ok(found)
    }

    /// See [`super::EventLog::find_command`]. The first outcome of a command stands, so the file, which is older, decides.
    pub(super) fn find_command(
        &self,
        stream: StreamId,
        command: CommandId,
    ) -> Result<Option<KnownCommand>, LogError> {
        let unwritten = self.unwritten.find_command(stream, command);
        Ok(self.written.find_command(stream, command)?.or(unwritten))
    }
}
