//! Entries of commits that the file holds, and whose place in its index is not written yet.
//!
//! A copy's commits lie in the order in which they came: a transaction appends them to a few pages. Their entries lie by
//! stream, all over the index: written with their commits they would cost a page each, in the write-ahead log and once more
//! when that is copied back. So they gather here, and go to the file when there are many, in the order of the index and a
//! few with every transaction: what shares a page is written together.
//!
//! Whoever reads asks here first and the file behind it: what has left here is in the file by then. A process that dies
//! loses nothing: the file says up to where its index is whole, and what lies behind that is taken from the commits
//! themselves when it is opened.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::Ordering},
};

use rusqlite::{CachedStatement, Connection};

use super::{
    file_error,
    reader::{CopyReader, KnownPartition, PAGE, cached, command_in_file, damaged, version_in_file},
    schema::PartitionRow,
};
use crate::{
    envelope::{CommandSpan, parse_body},
    ids::{CommandId, Id},
    log::{LogError, judge::spans},
    stream::{Offset, Version},
};

/// What stands for a commit in a stream's part of the index, in the order of the file: versions come before commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    /// The version of a commit's last event.
    Version(Version),
    /// A command that a commit answers.
    Command(CommandId),
}

/// An entry's place in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryKey {
    /// The integer key of the stream.
    stream: i64,
    entry: Entry,
}

/// Where an entry leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The row key of the commit.
    row: i64,
    /// What the command wrote there, of a command's entry.
    span: Option<CommandSpan>,
}

/// Entries in the order of the index.
#[derive(Debug, Default)]
pub(super) struct Entries(BTreeMap<EntryKey, Target>);

/// The entries of a commit that ends its stream at `last_version`: one for the version, one for each command.
pub(super) fn entries_of(
    stream: i64,
    row: i64,
    last_version: Version,
    commands: &[CommandSpan],
) -> impl Iterator<Item = (EntryKey, Target)> {
    let version = (EntryKey { stream, entry: Entry::Version(last_version) }, Target { row, span: None });
    let command = move |span: &CommandSpan| {
        let key = EntryKey { stream, entry: Entry::Command(span.command_id) };
        (key, Target { row, span: Some(*span) })
    };
    std::iter::once(version).chain(commands.iter().map(command))
}

impl Entries {
    /// Adds entries; what is known of a command stays.
    pub(super) fn add(&mut self, entries: impl IntoIterator<Item = (EntryKey, Target)>) {
        for (key, target) in entries {
            self.0.entry(key).or_insert(target);
        }
    }

    /// The last version of a stream below `below`, with the row of its commit.
    pub(super) fn last_version_below(&self, stream: i64, below: Version) -> Option<(Version, i64)> {
        let first = EntryKey { stream, entry: Entry::Version(0) };
        let end = EntryKey { stream, entry: Entry::Version(below) };
        let (key, target) = self.0.range(first..end).next_back()?;
        let Entry::Version(version) = key.entry else { return None };
        Some((version, target.row))
    }

    /// The row of the commit that ends at this version.
    pub(super) fn version(&self, stream: i64, version: Version) -> Option<i64> {
        self.0.get(&EntryKey { stream, entry: Entry::Version(version) }).map(|target| target.row)
    }

    /// Where a command of a stream was answered.
    pub(super) fn command(&self, stream: i64, command: CommandId) -> Option<(i64, CommandSpan)> {
        let target = self.0.get(&EntryKey { stream, entry: Entry::Command(command) })?;
        Some((target.row, target.span?))
    }

    /// How many of those that lead to these rows the file does not have, as the connection sees it.
    pub(super) fn not_in_file(
        &self,
        connection: &Connection,
        rows: RangeInclusive<i64>,
    ) -> Result<Counted, LogError> {
        let mut counted = Counted::default();
        for (key, _) in self.0.iter().filter(|(_, target)| rows.contains(&target.row)) {
            match key.entry {
                Entry::Version(version) => {
                    let known = version_in_file(connection, key.stream, version)?;
                    counted.versions += i64::from(known.is_none());
                }
                Entry::Command(command) => {
                    let known = command_in_file(connection, key.stream, command)?;
                    counted.commands += i64::from(known.is_none());
                }
            }
        }
        Ok(counted)
    }
}

/// Entries by what they stand for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// Of commits.
    pub(super) versions: i64,
    /// Of commands.
    pub(super) commands: i64,
}

/// Entries that are added or taken out while readers wait.
const CHANGED_AT_ONCE: usize = 1000;

/// The entries that are on their way to the file. One thread changes them, all may look.
#[derive(Debug, Default)]
pub(super) struct Unindexed {
    entries: RwLock<Entries>,
}

impl Unindexed {
    /// The head of a stream and the row of its last commit, where that has no entry in the file yet.
    pub(super) fn head(&self, stream: i64) -> Option<(Version, i64)> {
        // No version is as high: a log holds none that an i64 does not.
        self.read().last_version_below(stream, Version::MAX)
    }

    /// The last versions of a stream's commits beyond `after`, in order and at most so many, with their rows.
    pub(super) fn versions(&self, stream: i64, after: Version, limit: usize) -> Vec<(Version, i64)> {
        let first = EntryKey { stream, entry: Entry::Version(after.saturating_add(1)) };
        let last = EntryKey { stream, entry: Entry::Version(Version::MAX) };
        let entries = self.read();
        let found = entries.0.range(first..=last).take(limit);
        found
            .filter_map(|(key, target)| match key.entry {
                Entry::Version(version) => Some((version, target.row)),
                Entry::Command(_) => None,
            })
            .collect()
    }

    /// See [`Entries::command`].
    pub(super) fn command(&self, stream: i64, command: CommandId) -> Option<(i64, CommandSpan)> {
        self.read().command(stream, command)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.read().0.len()
    }

    /// After a transaction is durable: what it added, in the order of the commits, and what it brought to the file. Readers
    /// get in between: they may find the first of many commits and not the last, as while they were written.
    pub(super) fn settle(&self, added: impl IntoIterator<Item = (EntryKey, Target)>, indexed: &[EntryKey]) {
        let mut added = added.into_iter().peekable();
        while added.peek().is_some() {
            self.write().add(added.by_ref().take(CHANGED_AT_ONCE));
        }
        for keys in indexed.chunks(CHANGED_AT_ONCE) {
            let mut entries = self.write();
            for key in keys {
                entries.0.remove(key);
            }
        }
    }

    /// Lets go of what these partitions have in the file's index.
    fn let_go(&self, partitions: &[PartitionRow]) {
        let mut entries = self.write();
        let is_indexed = |row: i64| {
            partitions.iter().any(|known| (known.row_of(0)..=known.after(known.indexed)).contains(&row))
        };
        entries.0.retain(|_, target| !is_indexed(target.row));
    }

    fn beyond(&self, after: Option<EntryKey>, limit: usize) -> Vec<(EntryKey, Target)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let entries = self.read();
        let beyond = entries.0.range((after.map_or(Unbounded, Excluded), Unbounded));
        beyond.take(limit).map(|(key, target)| (*key, *target)).collect()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, for as long as nothing is to be changed.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Entries> {
        // Nothing in here panics half-way through a change.
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One walk along the index that writes whatever is unindexed, a part with each transaction.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The last entry that was written.
    after: Option<EntryKey>,
    /// The keys of the partitions, and where each ended when it began: when it is through, the index is whole up to there.
    whole_to: Vec<(i64, Offset)>,
}

impl Sweep {
    /// Begins where all partitions end now: every entry up to there is in the file or unindexed.
    pub(super) fn new(reader: &CopyReader) -> Self {
        let end = |known: &KnownPartition| (known.row.key, known.end.load(Ordering::Acquire));
        Self { after: None, whole_to: reader.partitions.iter().map(end).collect() }
    }

    /// Writes, within the open transaction, so many entries more; gives them, and whether the walk is through.
    pub(super) fn go_on(
        &mut self,
        connection: &Connection,
        unindexed: &Unindexed,
        rows_max: usize,
    ) -> Result<(Vec<EntryKey>, bool), LogError> {
        let entries = unindexed.beyond(self.after, rows_max);
        let mut rows = IndexRows::prepare(connection)?;
        entries.iter().try_for_each(|(key, target)| rows.add(key, target))?;
        self.after = entries.last().map(|(key, _)| *key).or(self.after);
        let is_through = entries.len() < rows_max;
        if is_through {
            let mut mark = cached(connection, "UPDATE partitions SET indexed_offset = ?2 WHERE key = ?1")?;
            self.whole_to.iter().try_for_each(|whole| mark.execute(*whole).map(drop)).map_err(file_error)?;
        }
        Ok((entries.into_iter().map(|(key, _)| key).collect(), is_through))
    }
}

/// The statements that write entries. What was written by a walk that a crash broke off is there already.
struct IndexRows<'a> {
    version: CachedStatement<'a>,
    command: CachedStatement<'a>,
}

impl<'a> IndexRows<'a> {
    fn prepare(connection: &'a Connection) -> Result<Self, LogError> {
        Ok(Self {
            version: cached(
                connection,
                "INSERT INTO entries (stream, entry, position) VALUES (?1, ?2, ?3) ON CONFLICT (stream, entry) DO NOTHING",
            )?,
            // A command that is already known keeps its first outcome.
            command: cached(
                connection,
                "INSERT INTO entries (stream, entry, hash, first_version, count, position) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (stream, entry) DO NOTHING",
            )?,
        })
    }

    fn add(&mut self, key: &EntryKey, target: &Target) -> Result<(), LogError> {
        let added = match (key.entry, target.span) {
            (Entry::Version(version), _) => {
                self.version.execute((key.stream, version.cast_signed(), target.row))
            }
            (Entry::Command(command), None) => {
                return Err(LogError::File(format!("nothing is known of what {command} wrote")));
            }
            (Entry::Command(command), Some(span)) => self.command.execute((
                key.stream,
                command.uuid().as_bytes().as_slice(),
                span.command_hash.0.as_slice(),
                span.first_version.cast_signed(),
                span.count,
                target.row,
            )),
        };
        added.map(drop).map_err(file_error)
    }
}

impl CopyReader {
    /// The entries of the commits behind the places up to which the file's index is whole, taken from the commits.
    pub(super) fn scan_unindexed(
        &self,
        connection: &Connection,
        partitions: &[PartitionRow],
    ) -> Result<Entries, LogError> {
        let mut entries = Entries::default();
        for partition in partitions {
            let mut after = partition.indexed;
            loop {
                let page = self.read_keyed(connection, partition, after..=partition.end, PAGE)?;
                let Some(last) = page.last() else { break };
                after = last.commit.position.offset;
                for keyed in &page {
                    let commit = &keyed.commit;
                    let events = parse_body(&commit.body)
                        .map_err(|error| damaged(commit.position, &error.to_string()))?;
                    let row = partition.row_of(commit.position.offset);
                    let spans = spans(&events);
                    entries.add(entries_of(keyed.stream_key, row, commit.last_version(), &spans));
                }
            }
        }
        Ok(entries)
    }

    /// Takes in what the file's index lacks; before anything else is read.
    pub(super) fn take_in_unindexed(&mut self) -> Result<(), LogError> {
        let entries = self.pool.with(|connection| self.scan_unindexed(connection, self.rows()))?;
        self.unindexed = Unindexed { entries: RwLock::new(entries) };
        Ok(())
    }

    /// Takes in what another process has written since the last time, where the file is read beside it.
    pub(super) fn follow(&self, connection: &Connection) -> Result<(), LogError> {
        let Some(followed) = &self.followed else { return Ok(()) };
        let mut followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = connection.unchecked_transaction().map_err(file_error)?;
        let partitions = self.rows_now(&moment)?;
        let mut news = partitions.clone();
        for (row, known) in news.iter_mut().zip(followed.iter()) {
            row.indexed = row.indexed.max(known.end);
        }
        if news.iter().any(|row| row.indexed < row.end) {
            self.unindexed.settle(self.scan_unindexed(&moment, &news)?.0, &[]);
        }
        if partitions.iter().zip(followed.iter()).any(|(row, known)| row.indexed > known.indexed) {
            self.unindexed.let_go(&partitions);
        }
        *followed = partitions;
        Ok(())
    }
}
