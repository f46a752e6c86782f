//! What stands for a copy's file: it outlives its process, and is written a batch at a time or not at all.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    ids::CommandId,
    log::{KnownCommand, LogError, StoredCommit, judging::Standing, unwritten::Batch, view::Written},
    stream::{BEFORE_FIRST, Offset, Partition, StreamId, Version},
};

#[derive(Default)]
pub(super) struct MemoryFile {
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    streams: HashMap<StreamId, Vec<StoredCommit>>,
    commands: HashMap<(StreamId, CommandId), KnownCommand>,
    partitions: HashMap<Partition, Vec<StoredCommit>>,
    source: HashMap<Partition, Offset>,
}

impl MemoryFile {
    /// Writes a batch, as the copy's writer does: what was judged valid must follow what is there.
    pub(super) fn write(&self, batch: &Batch) -> Result<(), String> {
        let content = &mut *self.lock();
        for judged in &batch.commits {
            let commit = &judged.commit;
            let written = content.streams.entry(commit.stream).or_default();
            if standing(written) != (Standing { version: commit.first_version - 1, chain: judged.before }) {
                return Err(format!("the commit at {} does not follow what is written", commit.position));
            }
            let partition = content.partitions.entry(commit.position.partition).or_default();
            if partition.last().is_some_and(|last| last.position >= commit.position) {
                return Err(format!("the commit at {} is written behind a later one", commit.position));
            }
            for span in &judged.commands {
                let known = KnownCommand {
                    command_hash: span.command_hash,
                    first_version: span.first_version,
                    count: span.count,
                    position: commit.position,
                };
                content.commands.entry((commit.stream, span.command_id)).or_insert(known);
            }
            written.push(commit.clone());
            partition.push(commit.clone());
        }
        content.source.extend(batch.source.iter().map(|(_, partition, offset)| (*partition, *offset)));
        Ok(())
    }

    /// Up to where the upstream was judged.
    pub(super) fn source(&self, partitions: Vec<Partition>) -> Vec<(Partition, Offset)> {
        let content = self.lock();
        let source = |partition| content.source.get(&partition).copied().unwrap_or(BEFORE_FIRST);
        partitions.into_iter().map(|partition| (partition, source(partition))).collect()
    }

    /// The commits of a partition.
    pub(super) fn partition(&self, partition: Partition) -> Vec<StoredCommit> {
        self.lock().partitions.get(&partition).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn standing(commits: &[StoredCommit]) -> Standing {
    commits
        .last()
        .map_or_else(Standing::default, |last| Standing { version: last.last_version(), chain: last.chain })
}

impl Written for MemoryFile {
    fn standing(&self, stream: StreamId) -> Result<Standing, LogError> {
        Ok(self.lock().streams.get(&stream).map_or_else(Standing::default, |commits| standing(commits)))
    }

    fn last(&self, partition: Partition) -> Result<Option<StoredCommit>, LogError> {
        Ok(self.lock().partitions.get(&partition).and_then(|commits| commits.last().cloned()))
    }

    fn head_in_memory(&self, _: StreamId) -> Option<Version> {
        None
    }

    fn head(&self, stream: StreamId) -> Result<Version, LogError> {
        Ok(Written::standing(self, stream)?.version)
    }

    fn load(&self, stream: StreamId, after: Version, limit: usize) -> Result<Vec<StoredCommit>, LogError> {
        let content = self.lock();
        let commits = content.streams.get(&stream).into_iter().flatten();
        Ok(commits.filter(|commit| commit.last_version() > after).take(limit).cloned().collect())
    }

    fn find_command(&self, stream: StreamId, command: CommandId) -> Result<Option<KnownCommand>, LogError> {
        Ok(self.lock().commands.get(&(stream, command)).copied())
    }
}
