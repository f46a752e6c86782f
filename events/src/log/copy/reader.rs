//! Everything that is read from a copy, each commit checked against its checksum.

use std::{
    ops::RangeInclusive,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use quick_cache::sync::Cache;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, types::FromSql};
use uuid::Uuid;

use super::{
    body_checksum, file_error,
    newcomers::Newcomers,
    pool::Pool,
    row_checksum,
    schema::{self, OFFSET_MAX, PartitionRow, position_of},
    unindexed::Unindexed,
    writer::Head,
};
use crate::{
    envelope::{CommandHash, CommandSpan},
    ids::{CommandId, Id},
    log::{ChainHash, KnownCommand, LogError, LogOptions, ReadLimit, StoredCommit},
    stream::{BEFORE_FIRST, Category, LogId, Offset, Partition, Position, StreamId, Version},
};

/// How many commits are checked when the file is opened, per partition.
const CHECKED_AT_OPENING: i64 = 1000;

/// What a walk over many commits holds in memory at a time.
pub(super) const PAGE: ReadLimit = ReadLimit { commits: 256, bytes: 4 << 20 };

/// The columns every read of commits selects, in the order [`CopyReader::stored`] takes them.
pub(super) const COLUMNS: &str =
    "c.position, s.category, s.uuid, c.first_version, c.count, c.checksum, c.chain, c.body, c.stream";

/// A partition and its end as it grows.
pub(super) struct KnownPartition {
    pub(super) row: PartitionRow,
    pub(super) end: AtomicI64,
}

/// The shared side of a copy: reads and the heads that are known.
pub(in crate::log) struct CopyReader {
    log: LogId,
    pub(super) partitions: Vec<KnownPartition>,
    rows: Vec<PartitionRow>,
    /// Only the writer puts heads here, after they became durable: a reader that put back what it read a moment ago could
    /// overtake it.
    pub(super) heads: Cache<StreamId, Head>,
    /// Where it is known which streams the copy does not hold.
    pub(super) newcomers: Option<Newcomers>,
    /// What the file's index lacks. Asked before the file is.
    pub(super) unindexed: Unindexed,
    /// Where another process writes the file: the partitions as they stood when its commits were taken in here last.
    pub(super) followed: Option<Mutex<Vec<PartitionRow>>>,
    pub(super) pool: Pool,
}

/// A commit with the integer key of its stream.
pub(super) struct KeyedCommit {
    pub(super) stream_key: i64,
    pub(super) commit: StoredCommit,
}

impl CopyReader {
    pub(super) fn new(
        path: &Path,
        options: &LogOptions,
        log: LogId,
        rows: Vec<PartitionRow>,
        newcomers: Option<Newcomers>,
    ) -> Self {
        let partitions =
            rows.iter().map(|row| KnownPartition { row: *row, end: AtomicI64::new(row.end) }).collect();
        Self {
            log,
            partitions,
            rows,
            heads: Cache::new(options.heads_cached_max.max(1)),
            newcomers,
            unindexed: Unindexed::default(),
            followed: None,
            pool: Pool::new(path, options.reader_connections_max),
        }
    }

    /// Which log this is a copy of.
    pub(in crate::log) fn log(&self) -> LogId {
        self.log
    }

    /// The partitions, in order, as they stood when the file was opened.
    pub(in crate::log) fn rows(&self) -> &[PartitionRow] {
        &self.rows
    }

    /// The partitions of [`Self::rows`], as the connection sees them now.
    pub(super) fn rows_now(&self, connection: &Connection) -> Result<Vec<PartitionRow>, LogError> {
        let mut rows = schema::partitions(connection)?;
        rows.retain(|row| self.index_of(row.partition).is_some());
        Ok(rows)
    }

    /// The place of `partition` in [`Self::rows`].
    pub(in crate::log) fn index_of(&self, partition: Partition) -> Option<usize> {
        self.rows.iter().position(|row| row.partition == partition)
    }

    /// Closes the connections. Later reads fail.
    pub(in crate::log) fn close(&self) {
        self.pool.close();
    }

    /// See [`crate::log::EventLog::end`].
    pub(in crate::log) fn end(&self, partition: Partition) -> Offset {
        self.index_of(partition)
            .map_or(BEFORE_FIRST, |index| self.partitions[index].end.load(Ordering::Acquire))
    }

    /// The partitions as they stand in the file at one moment, for a copy that another process writes.
    pub(in crate::log) fn cut(&self) -> Result<Vec<PartitionRow>, LogError> {
        self.pool.with(|connection| {
            let moment = connection.unchecked_transaction().map_err(file_error)?;
            schema::partitions(&moment)
        })
    }

    /// The end as the file has it, for a copy that another process writes.
    pub(in crate::log) fn end_in_file(&self, partition: Partition) -> Result<Offset, LogError> {
        let rows = self.pool.with(schema::partitions)?;
        Ok(rows.iter().find(|row| row.partition == partition).map_or(BEFORE_FIRST, |row| row.end))
    }

    /// See [`crate::log::EventLog::head_in_memory`].
    pub(in crate::log) fn head_in_memory(&self, stream: StreamId) -> Option<Version> {
        self.heads.get(&stream).map(|head| head.version)
    }

    /// Where `stream` stands in the copy; `None` when it has no commit.
    pub(in crate::log) fn standing(&self, stream: StreamId) -> Result<Option<Head>, LogError> {
        match self.heads.get(&stream) {
            Some(head) => Ok(Some(head)),
            None if self.is_new(stream) => Ok(None),
            None => self.pool.with(|connection| {
                self.follow(connection)?;
                written_head(connection, &self.unindexed, stream)
            }),
        }
    }

    /// Whether the copy certainly holds nothing of `stream`.
    fn is_new(&self, stream: StreamId) -> bool {
        self.newcomers.as_ref().is_some_and(|newcomers| newcomers.is_new(stream))
    }

    /// See [`crate::log::EventLog::head`].
    pub(in crate::log) fn head(&self, stream: StreamId) -> Result<Version, LogError> {
        if let Some(version) = self.head_in_memory(stream) {
            return Ok(version);
        }
        if self.is_new(stream) {
            return Ok(0);
        }
        self.pool.with(|connection| {
            self.follow(connection)?;
            let Some(key) = key_of(connection, stream)? else { return Ok(0) };
            let last = last_commit(connection, &self.unindexed, key)?;
            Ok(last.map_or(0, |(version, _)| version))
        })
    }

    /// See [`crate::log::EventLog::load`].
    pub(in crate::log) fn load(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<StoredCommit>, LogError> {
        let sql = format!(
            "SELECT {COLUMNS}, e.position FROM entries e LEFT JOIN commits c ON c.position = e.position
             LEFT JOIN streams s ON s.key = c.stream
             WHERE e.stream = ?1 AND e.entry > ?2 AND e.entry < x'' ORDER BY e.entry LIMIT ?3"
        );
        self.pool.with(|connection| {
            self.follow(connection)?;
            let Some(key) = key_of(connection, stream)? else { return Ok(Vec::new()) };
            let unindexed = self.unindexed.versions(key, after, limit);
            let connection = &connection.unchecked_transaction().map_err(file_error)?;
            let mut loaded = Loaded { stream, after, commits: Vec::new() };
            let after_row = i64::try_from(after).unwrap_or(i64::MAX);
            let limit_rows = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut statement = cached(connection, &sql)?;
            let mut rows = statement.query((key, after_row, limit_rows)).map_err(file_error)?;
            while let Some(row) = rows.next().map_err(file_error)? {
                loaded.push(self.stored(row, row.get(9).map_err(file_error)?)?.commit)?;
            }
            for (version, row) in unindexed {
                // What was written to the index meanwhile was found there.
                if loaded.commits.len() < limit && version > loaded.last_version() {
                    loaded.push(self.commit_at(connection, row)?)?;
                }
            }
            Ok(loaded.commits)
        })
    }

    /// The commit with this row key, which must be there.
    fn commit_at(&self, connection: &Connection, row: i64) -> Result<StoredCommit, LogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM commits c LEFT JOIN streams s ON s.key = c.stream WHERE c.position = ?1"
        );
        let mut statement = cached(connection, &sql)?;
        let mut rows = statement.query([row]).map_err(file_error)?;
        match rows.next().map_err(file_error)? {
            Some(found) => Ok(self.stored(found, row)?.commit),
            None => Err(damaged(position_of(&self.rows, row), "the commit is missing")),
        }
    }

    /// See [`crate::log::EventLog::find_command`].
    pub(in crate::log) fn find_command(
        &self,
        stream: StreamId,
        command: CommandId,
    ) -> Result<Option<KnownCommand>, LogError> {
        self.pool.with(|connection| {
            self.follow(connection)?;
            let Some(key) = key_of(connection, stream)? else { return Ok(None) };
            let unindexed = self.unindexed.command(key, command);
            // What the file knows of it came first.
            let known = command_in_file(connection, key, command)?.or(unindexed);
            Ok(known.map(|(row, span)| KnownCommand {
                command_hash: span.command_hash,
                first_version: span.first_version,
                count: span.count,
                position: position_of(&self.rows, row),
            }))
        })
    }

    /// See [`crate::log::EventLog::read`].
    pub(in crate::log) fn read(
        &self,
        partition: Partition,
        after: Offset,
        limit: ReadLimit,
    ) -> Result<Vec<StoredCommit>, LogError> {
        let Some(index) = self.index_of(partition) else { return Ok(Vec::new()) };
        self.pool.with(|connection| {
            // What is beyond the end is not found by its stream yet. Where another process writes the file, its end is not
            // known, and entries follow ([`CopyReader::follow`]).
            let upto = if self.followed.is_some() { OFFSET_MAX } else { self.end(partition) };
            let keyed = self.read_keyed(connection, &self.rows[index], after..=upto, limit)?;
            Ok(keyed.into_iter().map(|keyed| keyed.commit).collect())
        })
    }

    /// The commits of a partition behind the first of these offsets, up to the last, with their streams' keys.
    pub(super) fn read_keyed(
        &self,
        connection: &Connection,
        partition: &PartitionRow,
        offsets: RangeInclusive<Offset>,
        limit: ReadLimit,
    ) -> Result<Vec<KeyedCommit>, LogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM commits c LEFT JOIN streams s ON s.key = c.stream
             WHERE c.position > ?1 AND c.position <= ?2 ORDER BY c.position LIMIT ?3"
        );
        let commits_max = i64::try_from(limit.commits).unwrap_or(i64::MAX);
        let mut statement = cached(connection, &sql)?;
        let mut rows = statement
            .query((partition.after(*offsets.start()), partition.after(*offsets.end()), commits_max))
            .map_err(file_error)?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while bytes <= limit.bytes {
            let Some(row) = rows.next().map_err(file_error)? else { break };
            let commit = self.stored(row, row.get(0).map_err(file_error)?)?;
            bytes += commit.commit.body.len();
            found.push(commit);
        }
        Ok(found)
    }

    /// Takes a commit out of a row of [`COLUMNS`] and checks it; `entry` is the row key under which it was looked for.
    fn stored(&self, row: &Row<'_>, entry: i64) -> Result<KeyedCommit, LogError> {
        let position = position_of(&self.rows, entry);
        let found: Option<i64> = column(row, 0, position)?;
        if found != Some(entry) {
            return Err(damaged(position, "there is no commit where the stream says there is one"));
        }
        let category: Option<String> = column(row, 1, position)?;
        let category = category.ok_or_else(|| damaged(position, "its stream is not known"))?;
        let category = Category::from_name(&category).ok_or_else(|| {
            LogError::Refused(format!("the category '{category}' at {position} is not known to this release"))
        })?;
        let stream = StreamId { category, uuid: Uuid::from_bytes(column(row, 2, position)?) };
        let first_version = column::<i64>(row, 3, position)?.cast_unsigned();
        let count: u32 = column(row, 4, position)?;
        let checksum: u32 = column(row, 5, position)?;
        let chain = ChainHash(column(row, 6, position)?);
        let body = row.get_ref(7).ok().and_then(|value| value.as_blob().ok());
        let body = body.ok_or_else(|| damaged(position, "it has no body"))?;
        if row_checksum(body_checksum(body), stream, first_version, count) != checksum || count == 0 {
            return Err(damaged(position, "its checksum does not match"));
        }
        let stream_key = column(row, 8, position)?;
        let body = Arc::from(body);
        Ok(KeyedCommit {
            stream_key,
            commit: StoredCommit { position, stream, first_version, count, chain, body },
        })
    }

    /// Checks the last commits of every partition: each whole, each linked to the one before it in its stream.
    pub(super) fn check_ends(&self) -> Result<(), LogError> {
        let unindexed = self.unindexed.read();
        self.pool.with(|connection| {
            for row in &self.rows {
                let first: Option<i64> = cached(
                    connection,
                    "SELECT min(position) FROM (SELECT position FROM commits WHERE position >= ?1 AND position < ?2
                     ORDER BY position DESC LIMIT ?3)",
                )?
                .query_row((row.row_of(0), row.rows_end(), CHECKED_AT_OPENING), |row| row.get(0))
                .map_err(file_error)?;
                let mut after = first.map_or(BEFORE_FIRST, |first| schema::offset_of(first) - 1);
                loop {
                    // What another process has added since is not known by its stream.
                    let page = self.read_keyed(connection, row, after..=row.end, PAGE)?;
                    let Some(last) = page.last() else { break };
                    after = last.commit.position.offset;
                    for keyed in &page {
                        self.check_link(connection, keyed, &unindexed)?;
                    }
                }
            }
            Ok(())
        })
    }
}

/// The commits of a stream as they are found, in order.
struct Loaded {
    stream: StreamId,
    after: Version,
    commits: Vec<StoredCommit>,
}

impl Loaded {
    fn last_version(&self) -> Version {
        self.commits.last().map_or(self.after, StoredCommit::last_version)
    }

    fn push(&mut self, commit: StoredCommit) -> Result<(), LogError> {
        let follows = match self.commits.last() {
            Some(previous) => commit.first_version == previous.last_version() + 1,
            None => commit.first_version <= self.after.saturating_add(1),
        };
        if !follows || commit.stream != self.stream {
            return Err(damaged(commit.position, "it does not follow the commit before it in its stream"));
        }
        self.commits.push(commit);
        Ok(())
    }
}

/// Where a stream stands by its entries, unindexed or in the file as the connection sees it; `None` when it has none.
pub(super) fn written_head(
    connection: &Connection,
    unindexed: &Unindexed,
    stream: StreamId,
) -> Result<Option<Head>, LogError> {
    let Some(key) = key_of(connection, stream)? else { return Ok(None) };
    let Some((version, row)) = last_commit(connection, unindexed, key)? else { return Ok(None) };
    let chain = chain_of(connection, row)?;
    Ok(chain.map(|chain| Head { key, version, chain }))
}

/// The head of a stream and the row of its last commit.
fn last_commit(
    connection: &Connection,
    unindexed: &Unindexed,
    key: i64,
) -> Result<Option<(Version, i64)>, LogError> {
    match unindexed.head(key) {
        Some(last) => Ok(Some(last)),
        None => last_version_in_file(connection, key, Version::MAX),
    }
}

/// The integer key of a stream.
fn key_of(connection: &Connection, stream: StreamId) -> Result<Option<i64>, LogError> {
    cached(connection, "SELECT key FROM streams WHERE uuid = ?1 AND category = ?2")?
        .query_row((stream.uuid.as_bytes().as_slice(), stream.category.name()), |row| row.get(0))
        .optional()
        .map_err(file_error)
}

/// The last version of a stream below `below` that the file's index knows, with the row of its commit.
pub(super) fn last_version_in_file(
    connection: &Connection,
    key: i64,
    below: Version,
) -> Result<Option<(Version, i64)>, LogError> {
    let below = i64::try_from(below).unwrap_or(i64::MAX);
    cached(
        connection,
        "SELECT entry, position FROM entries WHERE stream = ?1 AND entry < ?2 ORDER BY entry DESC LIMIT 1",
    )?
    .query_row((key, below), |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))
    .optional()
    .map_err(file_error)
}

/// The row of the commit of a stream that ends at this version, as the file's index knows it.
pub(super) fn version_in_file(
    connection: &Connection,
    key: i64,
    version: Version,
) -> Result<Option<i64>, LogError> {
    cached(connection, "SELECT position FROM entries WHERE stream = ?1 AND entry = ?2")?
        .query_row((key, version.cast_signed()), |row| row.get(0))
        .optional()
        .map_err(file_error)
}

/// What the file's index knows of a command: the row of its commit, and what it wrote there.
pub(super) fn command_in_file(
    connection: &Connection,
    key: i64,
    command_id: CommandId,
) -> Result<Option<(i64, CommandSpan)>, LogError> {
    cached(
        connection,
        "SELECT position, hash, first_version, count FROM entries WHERE stream = ?1 AND entry = ?2",
    )?
    .query_row((key, command_id.uuid().as_bytes().as_slice()), |row| {
        let command_hash = CommandHash(row.get(1)?);
        let first_version = row.get::<_, i64>(2)?.cast_unsigned();
        Ok((row.get(0)?, CommandSpan { command_id, command_hash, first_version, count: row.get(3)? }))
    })
    .optional()
    .map_err(file_error)
}

/// The chain of the commit with this row key.
pub(super) fn chain_of(connection: &Connection, row: i64) -> Result<Option<ChainHash>, LogError> {
    cached(connection, "SELECT chain FROM commits WHERE position = ?1")?
        .query_row([row], |row| row.get(0).map(ChainHash))
        .optional()
        .map_err(file_error)
}

/// A statement that is prepared once per connection.
pub(super) fn cached<'a>(connection: &'a Connection, sql: &str) -> Result<CachedStatement<'a>, LogError> {
    connection.prepare_cached(sql).map_err(file_error)
}

/// A column of a commit; one that is not of its type was not written by us.
fn column<T: FromSql>(row: &Row<'_>, index: usize, position: Position) -> Result<T, LogError> {
    row.get(index).map_err(|e| damaged(position, &format!("a column is not what was written: {e}")))
}

pub(super) fn damaged(position: Position, reason: &str) -> LogError {
    LogError::Damaged { position, reason: reason.to_owned() }
}
