//! The states of aggregates: folded from the log, kept in a bounded cache, started from snapshots.

use std::{any::Any, sync::Arc};

use events::{
    DecodeError, DomainEvent, StreamId, Version,
    envelope::parse_body,
    ids::{CommandId, CommitId},
    log::{EventLog, LogError, StoredCommit},
    snapshots::{Snapshot, SnapshotStore},
};
use quick_cache::{Weighter, sync::Cache};

use super::{ExecutorSettings, Loaded, Outage, written::WrittenBy};
use crate::aggregate::Aggregate;

/// Commits read from the log at once while a stream is folded.
const COMMITS_A_READ: usize = 512;

/// What a cached state weighs beside its size, bytes.
const WEIGHT_OF_AN_ENTRY: u64 = 256;

/// A state is measured again when at least so many bytes of history, and at least as many as it had, were folded into it
/// since: measuring costs no more than folding, and a state that stays small weighs little, however long its history.
const MEASURED_AFTER_BYTES: u64 = 2048;

pub(super) struct States {
    log: Arc<dyn EventLog>,
    snapshots: Option<Arc<SnapshotStore>>,
    snapshot_every: u64,
    cache: Cache<StreamId, Folded<dyn Any + Send + Sync>, BySize>,
}

/// A state with what the cache and the snapshots need to know of it.
pub(super) struct Folded<S: ?Sized> {
    pub(super) version: Version,
    /// The commit that `version` ends; `None` when there is no event.
    pub(super) commit: Option<CommitId>,
    /// The version of the newest snapshot.
    pub(super) snapshot_version: Version,
    /// Its size when it was measured last, bytes of JSON.
    pub(super) measured_bytes: u64,
    /// Bytes of history folded into it since.
    pub(super) folded_bytes: u64,
    /// Whose events these are.
    pub(super) written_by: WrittenBy,
    /// What that weighed when the state was kept last, bytes.
    written_bytes: u64,
    pub(super) state: Arc<S>,
}

impl<S: ?Sized> Clone for Folded<S> {
    fn clone(&self) -> Self {
        self.with(Arc::clone(&self.state))
    }
}

impl<S: ?Sized> Folded<S> {
    /// The same of the same state under another type.
    fn with<T: ?Sized>(&self, state: Arc<T>) -> Folded<T> {
        Folded {
            version: self.version,
            commit: self.commit,
            snapshot_version: self.snapshot_version,
            measured_bytes: self.measured_bytes,
            folded_bytes: self.folded_bytes,
            written_by: self.written_by.clone(),
            written_bytes: self.written_bytes,
            state,
        }
    }
}

#[derive(Clone)]
struct BySize;

impl Weighter<StreamId, Folded<dyn Any + Send + Sync>> for BySize {
    fn weight(&self, _: &StreamId, folded: &Folded<dyn Any + Send + Sync>) -> u64 {
        // What was folded since makes a state larger by its own size at most.
        WEIGHT_OF_AN_ENTRY + folded.measured_bytes + folded.folded_bytes + folded.written_bytes
    }
}

/// Counts what is written to it.
#[derive(Default)]
struct Counted(u64);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<A: Aggregate> Folded<A> {
    /// Measures the state when its size may have changed much.
    fn measure(&mut self) {
        if self.folded_bytes < MEASURED_AFTER_BYTES.max(self.measured_bytes) {
            return;
        }
        let mut counted = Counted::default();
        if serde_json::to_writer(&mut counted, self.state.as_ref()).is_ok() {
            (self.measured_bytes, self.folded_bytes) = (counted.0, 0);
        }
    }
}

impl States {
    pub(super) fn new(
        log: Arc<dyn EventLog>,
        snapshots: Option<Arc<SnapshotStore>>,
        settings: &ExecutorSettings,
    ) -> Self {
        let entries = (settings.cache_bytes / 2048) as usize;
        let cache = Cache::with_weighter(entries, settings.cache_bytes, BySize);
        Self { log, snapshots, snapshot_every: settings.snapshot_every, cache }
    }

    fn cached<A: Aggregate>(&self, stream: StreamId) -> Option<Folded<A>> {
        let cached = self.cache.get(&stream)?;
        let state = Arc::clone(&cached.state).downcast().ok()?;
        Some(cached.with(state))
    }

    /// The cached state, when the copy is known in memory to have nothing newer. Never blocks.
    pub(super) fn fresh<A: Aggregate>(&self, stream: StreamId) -> Option<Loaded<A>> {
        let Folded { state, version, .. } = self.cached::<A>(stream)?;
        (self.log.head_in_memory(stream)? == version).then_some(Loaded { state, version })
    }

    /// The state as the copy has it now. Blocks.
    pub(super) fn load<A: Aggregate>(&self, stream: StreamId) -> Result<Loaded<A>, Outage> {
        let Folded { state, version, .. } = self.fold::<A>(stream)?;
        Ok(Loaded { state, version })
    }

    /// As [`States::load`], with what the next fold needs to know.
    pub(super) fn fold<A: Aggregate>(&self, stream: StreamId) -> Result<Folded<A>, Outage> {
        let head = self.log.head(stream).map_err(outage)?;
        let mut folded = match self.cached::<A>(stream) {
            Some(cached) if cached.version <= head => cached,
            _ => self.snapshot_of(stream, head).unwrap_or_else(empty),
        };
        if folded.version == head {
            return Ok(folded);
        }
        loop {
            let commits = self.log.load(stream, folded.version, COMMITS_A_READ).map_err(outage)?;
            for commit in &commits {
                fold_commit(&mut folded, commit)?;
                folded.folded_bytes += commit.body.len() as u64;
            }
            if commits.len() < COMMITS_A_READ {
                break;
            }
        }
        Ok(self.keep(stream, folded))
    }

    /// Remembers a state, and writes a snapshot when one is due.
    pub(super) fn keep<A: Aggregate>(&self, stream: StreamId, mut folded: Folded<A>) -> Folded<A> {
        if let Some(snapshots) = &self.snapshots
            && folded.version >= folded.snapshot_version + self.snapshot_every
            && let Some(commit) = folded.commit
            && let Ok(state) = serde_json::to_vec(folded.state.as_ref())
        {
            folded.snapshot_version = folded.version;
            let (fold_version, version) = (A::FOLD_VERSION, folded.version);
            snapshots.put(Snapshot { stream, fold_version, version, commit, state });
        }
        folded.measure();
        // What it shares with others grows; a cache's weights must not.
        folded.written_bytes = folded.written_by.bytes();
        let state: Arc<dyn Any + Send + Sync> = Arc::<A>::clone(&folded.state);
        self.cache.insert(stream, folded.with(state));
        folded
    }

    fn snapshot_of<A: Aggregate>(&self, stream: StreamId, head: Version) -> Option<Folded<A>> {
        let store = self.snapshots.as_ref().filter(|_| head >= self.snapshot_every)?;
        let snapshot = store.get(stream, A::FOLD_VERSION).filter(|snapshot| snapshot.version <= head)?;
        if !self.is_of_this_history(&snapshot) {
            return None;
        }
        let state = serde_json::from_slice(&snapshot.state).ok()?;
        Some(Folded {
            version: snapshot.version,
            commit: Some(snapshot.commit),
            snapshot_version: snapshot.version,
            measured_bytes: snapshot.state.len() as u64,
            folded_bytes: 0,
            written_by: WrittenBy::unknown(),
            written_bytes: 0,
            state: Arc::new(state),
        })
    }

    /// Whether the log still has the commit that the snapshot was taken behind: a log that was restored from an older
    /// copy has other events under the same versions.
    fn is_of_this_history(&self, snapshot: &Snapshot) -> bool {
        let Some(before) = snapshot.version.checked_sub(1) else { return false };
        let Ok(commits) = self.log.load(snapshot.stream, before, 1) else { return false };
        let Some(commit) = commits.first().filter(|commit| commit.last_version() == snapshot.version) else {
            return false;
        };
        parse_body(&commit.body).is_ok_and(|events| events[0].commitid == snapshot.commit)
    }
}

fn empty<A: Aggregate>() -> Folded<A> {
    Folded {
        version: 0,
        commit: None,
        snapshot_version: 0,
        measured_bytes: 0,
        folded_bytes: 0,
        written_by: WrittenBy::nobody(),
        written_bytes: 0,
        state: Arc::new(A::default()),
    }
}

/// Folds the events of `commit` that are not folded yet.
fn fold_commit<A: Aggregate>(folded: &mut Folded<A>, commit: &StoredCommit) -> Result<(), Outage> {
    let state = Arc::make_mut(&mut folded.state);
    for decoded in decode::<A>(commit)? {
        let Decoded { version, commit, command, event } = decoded?;
        if version > folded.version {
            folded.written_by.add(command);
            state.evolve(&event);
            folded.version = version;
            folded.commit = Some(commit);
        }
    }
    Ok(())
}

/// An event of `A` with its place.
pub(super) struct Decoded<A: Aggregate> {
    version: Version,
    commit: CommitId,
    command: CommandId,
    pub(super) event: A::Event,
}

/// The events of a commit in stream order, as events of `A`.
pub(super) fn decode<A: Aggregate>(
    commit: &StoredCommit,
) -> Result<impl Iterator<Item = Result<Decoded<A>, Outage>> + use<A>, Outage> {
    let position = commit.position;
    let events = commit.events().map_err(|error| unreadable(position, &error))?;
    Ok(events.into_iter().map(move |event| {
        let event = event.map_err(|error| unreadable(position, &error))?;
        let (version, commit, command) = (event.version, event.commit_id, event.stamp.command_id);
        A::Event::from_event(event.payload)
            .map(|event| Decoded { version, commit, command, event })
            .ok_or_else(|| Outage::Damaged(format!("an event of another category at {position}")))
    }))
}

fn unreadable(position: events::Position, error: &DecodeError) -> Outage {
    match error {
        DecodeError::UnknownType { .. } => Outage::UnknownEvent(format!("{error} at {position}")),
        DecodeError::Malformed(_) | DecodeError::Data { .. } => {
            Outage::Damaged(format!("{error} at {position}"))
        }
    }
}

pub(super) fn outage(error: LogError) -> Outage {
    match error {
        LogError::Damaged { .. } | LogError::Refused(_) => Outage::Damaged(error.to_string()),
        LogError::File(_) | LogError::Locked => Outage::Unavailable(error.to_string()),
    }
}
