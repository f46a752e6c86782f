//! Reading the log for a runner: bounded, decoded, off the threads that must not block.

use std::sync::Arc;

use events::{
    DecodeError, LogId, Offset, Partition, Position, RecordedEvent, StreamId, Version,
    envelope::parse_body,
    ids::EventId,
    log::{EventLog, LogError, ReadLimit, StoredCommit},
    vocabulary::Event,
};

use tokio::task::JoinHandle;

use super::{Trouble, progress::Progress, recent::Recent};
use crate::{dead_letters::Entry, settings::WorkerSettings};

/// The log as a runner reads it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Source {
    log: Arc<dyn EventLog>,
    limit: ReadLimit,
    recent: Recent,
}

/// A commit whose events were decoded one by one.
pub(crate) struct DecodedCommit {
    pub(crate) position: Position,
    /// What its body has.
    pub(crate) bytes: usize,
    pub(crate) items: Vec<Item>,
}

/// What a runner reads at once.
pub(crate) struct NextBatch {
    pub(crate) commits: Vec<Arc<DecodedCommit>>,
    /// The last offset of each partition, read before its commits.
    pub(crate) ends: Vec<(Partition, Offset)>,
}

/// The batch that is being read ahead, if any.
#[derive(Default)]
pub(crate) struct Ahead(Option<(Places, JoinHandle<Result<NextBatch, Trouble>>)>);

/// Partitions with what has been read of each, the one to be served first in front.
type Places = Vec<(Partition, Offset)>;

impl Ahead {
    /// Whether anything is being read, or was.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.is_some()
    }

    /// Begins to read what stands behind `after`.
    pub(crate) fn begin(&mut self, source: &Source, after: Places) {
        let (source, places) = (source.clone(), after.clone());
        self.0 = Some((after, tokio::spawn(async move { source.next(places).await })));
    }

    /// What stands behind `after`: as it was read ahead, if that is what was read, or read now.
    pub(crate) async fn take(&mut self, source: &Source, after: Places) -> Result<NextBatch, Trouble> {
        // Of the log nothing is ever changed: what was read for other places is of no use, and no harm.
        if let Some((_, reading)) = self.0.take().filter(|(places, _)| *places == after) {
            let batch = reading.await.map_err(|e| Trouble::Stopped(format!("reading broke off: {e}")))??;
            // Only what is read now can say that there is nothing to read.
            if !batch.commits.is_empty() {
                return Ok(batch);
            }
        }
        source.next(after).await
    }
}

/// What stands on the log at one place of a commit.
pub(crate) enum Item {
    /// An event that can be read.
    Event(Box<RecordedEvent>),
    /// An event, or a whole commit, that cannot.
    Unreadable(Unreadable),
}

/// An event, or a whole commit, that this release cannot read.
pub(crate) struct Unreadable {
    pub(crate) stream: StreamId,
    pub(crate) entry: Entry,
    pub(crate) event_id: Option<EventId>,
    pub(crate) error: DecodeError,
}

impl Item {
    pub(crate) fn entry(&self) -> Entry {
        match self {
            Self::Event(event) => Entry { position: event.position, version: event.version, events: 1 },
            Self::Unreadable(unreadable) => unreadable.entry,
        }
    }

    pub(crate) fn stream(&self) -> StreamId {
        match self {
            Self::Event(event) => event.stream,
            Self::Unreadable(unreadable) => unreadable.stream,
        }
    }
}

impl Unreadable {
    /// Whether no release of ours up to this one can have asked for it. A known event in a version that a newer
    /// release writes is another matter: skipping it would lose it for good, so it is parked.
    pub(crate) fn is_foreign(&self) -> bool {
        match &self.error {
            DecodeError::UnknownType { event_type, .. } => {
                let name = event_type.rsplit('.').next().unwrap_or(event_type);
                Event::current_version(self.stream.category, name).is_none()
            }
            DecodeError::Malformed(_) | DecodeError::Data { .. } => false,
        }
    }

    pub(crate) fn event_type(&self) -> Option<String> {
        match &self.error {
            DecodeError::UnknownType { event_type, .. } | DecodeError::Data { event_type, .. } => {
                Some(event_type.clone())
            }
            DecodeError::Malformed(_) => None,
        }
    }
}

/// Decodes a commit; a body that is no batch at all becomes one item that stands for all its events.
pub(crate) fn decode(commit: &StoredCommit) -> DecodedCommit {
    let unreadable = |version: Version, events: u32, event_id, error| {
        Item::Unreadable(Unreadable {
            stream: commit.stream,
            entry: Entry { position: commit.position, version, events },
            event_id,
            error,
        })
    };
    let items = match parse_body(&commit.body) {
        Ok(events) => (events.iter())
            .map(|event| match event.decode(commit.position) {
                Ok(event) => Item::Event(Box::new(event)),
                Err(error) => unreadable(event.streamversion, 1, Some(event.id), error),
            })
            .collect(),
        Err(error) => vec![unreadable(commit.first_version, commit.count, None, error)],
    };
    DecodedCommit { position: commit.position, bytes: commit.body.len(), items }
}

impl Source {
    /// A reader for itself.
    pub(crate) fn new(log: Arc<dyn EventLog>, settings: &WorkerSettings) -> Self {
        Self::sharing(log, settings, Recent::default())
    }

    /// A reader that finds in `recent` what others have read.
    pub(crate) fn sharing(log: Arc<dyn EventLog>, settings: &WorkerSettings, recent: Recent) -> Self {
        let limit =
            ReadLimit { commits: settings.batch_commits_max.max(1), bytes: settings.batch_bytes_max.max(1) };
        Self { log, limit, recent }
    }

    pub(crate) fn id(&self) -> LogId {
        self.log.id()
    }

    /// Why this copy of the log may end before the log does; `None` when it has caught up.
    pub(crate) fn lags(&self) -> Option<String> {
        let behind = self.log.status().behind;
        self.log.stale().or_else(|| (behind > 0).then(|| format!("{behind} records are to be read yet")))
    }

    /// Runs a closure that reads the log on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn EventLog, ReadLimit) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let (log, limit) = (Arc::clone(&self.log), self.limit);
        tokio::task::spawn_blocking(move || read(log.as_ref(), limit))
            .await
            .map_err(|e| Trouble::Stopped(format!("reading the log panicked: {e}")))?
            .map_err(Trouble::from)
    }

    /// Whether there may be something behind what was reached.
    pub(super) fn has_more(&self, progress: &Progress) -> bool {
        let mut reached = progress.all_reached().into_iter();
        reached.any(|(partition, offset)| self.log.end(partition).map_or(true, |end| end > offset))
    }

    /// The next batch behind `after`, of all these partitions together, the first one served first.
    pub(crate) async fn next(&self, after: Vec<(Partition, Offset)>) -> Result<NextBatch, Trouble> {
        if let Some(batch) = self.at_hand(&after)? {
            return Ok(batch);
        }
        let new = after
            .iter()
            .filter(|(partition, offset)| self.log.end(*partition).is_ok_and(|end| end > *offset));
        let turns = self.recent.take_turns(new).await;
        if let Some(batch) = self.at_hand(&after)? {
            return Ok(batch);
        }
        let recent = self.recent.clone();
        self.blocking(move |log, limit| {
            let (mut commits, mut bytes, mut ends) = (Vec::new(), 0, Vec::new());
            for (partition, offset) in after {
                let end = log.end(partition)?;
                ends.push((partition, end));
                if end <= offset || commits.len() >= limit.commits || bytes >= limit.bytes {
                    continue;
                }
                let rest = ReadLimit { commits: limit.commits - commits.len(), bytes: limit.bytes - bytes };
                let found = recent.read(log, partition, offset, rest)?;
                bytes += found.iter().map(|commit| commit.bytes).sum::<usize>();
                commits.extend(found);
            }
            drop(turns);
            Ok(NextBatch { commits, ends })
        })
        .await
    }

    /// The next batch when nobody has to wait for a file: there is nothing new, or others have read it.
    fn at_hand(&self, after: &[(Partition, Offset)]) -> Result<Option<NextBatch>, Trouble> {
        let (mut commits, mut bytes, mut ends) = (Vec::new(), 0, Vec::new());
        for (partition, offset) in after {
            let end = self.log.end(*partition)?;
            ends.push((*partition, end));
            if end <= *offset || commits.len() >= self.limit.commits || bytes >= self.limit.bytes {
                continue;
            }
            let (commits_left, bytes_left) = (self.limit.commits - commits.len(), self.limit.bytes - bytes);
            let rest = ReadLimit { commits: commits_left, bytes: bytes_left };
            let Some(found) = self.recent.peek(*partition, *offset, rest) else { return Ok(None) };
            bytes += found.iter().map(|commit| commit.bytes).sum::<usize>();
            commits.extend(found);
        }
        Ok(Some(NextBatch { commits, ends }))
    }

    /// The last offsets of these partitions.
    pub(crate) async fn ends(&self, partitions: Vec<Partition>) -> Result<Vec<(Partition, Offset)>, Trouble> {
        self.blocking(move |log, _| {
            partitions.into_iter().map(|partition| Ok((partition, log.end(partition)?))).collect()
        })
        .await
    }

    /// What stands at these places now, each decoded again.
    pub(crate) async fn at(&self, entries: Vec<Entry>) -> Result<Vec<(Entry, Vec<Item>)>, Trouble> {
        self.blocking(move |log, _| {
            entries
                .into_iter()
                .map(|entry| {
                    let Position { partition, offset } = entry.position;
                    let commits = log.read(partition, offset - 1, ReadLimit { commits: 1, bytes: 1 })?;
                    let commit = (commits.first())
                        .filter(|commit| commit.position == entry.position)
                        .ok_or_else(|| {
                            LogError::Refused(format!("there is no commit at {} any more", entry.position))
                        })?;
                    let wanted = entry.version..entry.version + u64::from(entry.events);
                    let mut items = decode(commit).items;
                    // A commit that still cannot be read as a whole is one item that stands for all its events.
                    items.retain(|item| {
                        let found = item.entry();
                        found.version < wanted.end && wanted.start < found.version + u64::from(found.events)
                    });
                    Ok((entry, items))
                })
                .collect()
        })
        .await
    }

    /// One chunk of a partition from `from` (inclusive) on, up to `until` (inclusive).
    pub(crate) async fn chunk(
        &self,
        partition: Partition,
        from: Offset,
        until: Offset,
    ) -> Result<Vec<DecodedCommit>, Trouble> {
        self.blocking(move |log, limit| {
            let commits = read_up_to_damage(log, partition, from - 1, limit)?;
            Ok(commits.iter().take_while(|c| c.position.offset <= until).map(decode).collect())
        })
        .await
    }
}

/// Reads what stands before damage, if anything does; the damage itself is met when it comes first.
pub(super) fn read_up_to_damage(
    log: &dyn EventLog,
    partition: Partition,
    after: Offset,
    limit: ReadLimit,
) -> Result<Vec<StoredCommit>, LogError> {
    match log.read(partition, after, limit) {
        Err(LogError::Damaged { .. }) if limit.commits > 1 => {
            let mut commits: Vec<StoredCommit> = Vec::new();
            while commits.len() < limit.commits {
                let offset = commits.last().map_or(after, |commit| commit.position.offset);
                match log.read(partition, offset, ReadLimit { commits: 1, ..limit }) {
                    Ok(one) if one.is_empty() => break,
                    Ok(one) => commits.extend(one),
                    Err(damage) if commits.is_empty() => return Err(damage),
                    Err(_) => break,
                }
            }
            Ok(commits)
        }
        other => other,
    }
}
