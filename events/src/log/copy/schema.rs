//! The file of a copy: its tables, its format, its partitions.

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::file_error;
use crate::{
    log::LogError,
    stream::{BEFORE_FIRST, LogId, Offset, Partition, Position, Service},
};

/// The format of the file; what comes after it is refused.
const FORMAT: i64 = 2;
/// The format before: its index is whole. It is read as it is, and brought up when it is opened for writing; the release
/// before refuses it from then on.
const FORMAT_WITH_WHOLE_INDEX: i64 = 1;

/// Positions as one integer: the partition's key above, 48 bits of offset below, so that the commits of a partition lie
/// together and in order.
const OFFSET_BITS: u32 = 48;

/// `entries` finds, per stream, the commit that holds a version (and so the head), and what a command wrote. Its key column
/// holds two things: the last version of a commit, an integer, or a command's id, a blob. Integers sort before blobs, so
/// the versions of a stream lie together, and a young stream has both on one page: one page of the index is written for both
/// instead of two, and pages written are what an append costs. Streams have integer keys because their names, 16
/// bytes and a word, would stand in every row. Entries may come later than their commits ([`super::unindexed`]):
/// `indexed_offset` says up to which offset of a partition all are there.
const TABLES: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE partitions (
        key INTEGER PRIMARY KEY, service TEXT NOT NULL, number INTEGER NOT NULL, source_offset INTEGER NOT NULL,
        indexed_offset INTEGER NOT NULL, UNIQUE (service, number));
    CREATE TABLE streams (
        key INTEGER PRIMARY KEY, uuid BLOB NOT NULL, category TEXT NOT NULL, UNIQUE (uuid, category));
    CREATE TABLE commits (
        position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, first_version INTEGER NOT NULL, count INTEGER NOT NULL,
        checksum INTEGER NOT NULL, chain BLOB NOT NULL, body BLOB NOT NULL);
    CREATE TABLE entries (
        stream INTEGER NOT NULL, entry NOT NULL, position INTEGER NOT NULL,
        hash BLOB, first_version INTEGER, count INTEGER,
        PRIMARY KEY (stream, entry)) WITHOUT ROWID;
";

/// A partition as the file knows it.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct PartitionRow {
    /// Which one.
    pub(in crate::log) partition: Partition,
    /// Its integer in positions.
    pub(in crate::log) key: i64,
    /// The last offset of the upstream that was judged, void or not.
    pub(in crate::log) source_offset: Offset,
    /// The offset of its last commit.
    pub(in crate::log) end: Offset,
    /// The offset up to which every commit has its entries in the index.
    pub(super) indexed: Offset,
}

impl PartitionRow {
    /// The row key of the commit at `offset`.
    pub(super) fn row_of(&self, offset: Offset) -> i64 {
        (self.key << OFFSET_BITS) | offset
    }

    /// The first row key that belongs to the next partition.
    pub(super) fn rows_end(&self) -> i64 {
        (self.key + 1) << OFFSET_BITS
    }

    /// The row key after which everything beyond `offset` lies.
    pub(super) fn after(&self, offset: Offset) -> i64 {
        (self.key << OFFSET_BITS) + offset.clamp(BEFORE_FIRST, OFFSET_MAX)
    }
}

/// The largest offset a position can hold.
pub(in crate::log) const OFFSET_MAX: Offset = (1 << OFFSET_BITS) - 1;

/// The offset in a row key.
pub(super) fn offset_of(row: i64) -> Offset {
    row & OFFSET_MAX
}

/// The position that a row key stands for.
pub(super) fn position_of(partitions: &[PartitionRow], row: i64) -> Position {
    let key = row >> OFFSET_BITS;
    let known = partitions.iter().find(|candidate| candidate.key == key).map(|row| row.partition);
    // A key that no partition has can only come from a damaged file; its number at least tells which row it was.
    let unknown = Partition { service: Service::ALL[0], number: u16::try_from(key).unwrap_or(u16::MAX) };
    Position { partition: known.unwrap_or(unknown), offset: offset_of(row) }
}

/// Makes the tables in a new file, or checks that the file is one of ours; draws or compares the log's id.
pub(super) fn prepare(
    connection: &Connection,
    wanted: Option<LogId>,
    partitions: &[Partition],
) -> Result<LogId, LogError> {
    let transaction = connection.unchecked_transaction().map_err(file_error)?;
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(file_error)?;
    if tables == 0 {
        let id = wanted.unwrap_or_else(|| LogId(Uuid::now_v7()));
        transaction.execute_batch(TABLES).map_err(file_error)?;
        transaction
            .execute(
                "INSERT INTO meta VALUES ('format', ?1), ('log', ?2)",
                (FORMAT, id.0.as_bytes().as_slice()),
            )
            .map_err(file_error)?;
    }
    bring_up(&transaction)?;
    let id = check(&transaction, wanted)?;
    for partition in partitions {
        transaction
            .execute(
                "INSERT INTO partitions (service, number, source_offset, indexed_offset) VALUES (?1, ?2, ?3, ?3)
                 ON CONFLICT DO NOTHING",
                (partition.service.name(), partition.number, BEFORE_FIRST),
            )
            .map_err(file_error)?;
    }
    transaction.commit().map_err(file_error)?;
    Ok(id)
}

/// Brings a file of the format before to this one.
fn bring_up(connection: &Connection) -> Result<(), LogError> {
    if format(connection)? != Some(FORMAT_WITH_WHOLE_INDEX) {
        return Ok(());
    }
    // All of its entries are there, up to whatever comes.
    let bring_up = format!(
        "ALTER TABLE partitions ADD COLUMN indexed_offset INTEGER NOT NULL DEFAULT {BEFORE_FIRST};
         UPDATE partitions SET indexed_offset = coalesce(
             (SELECT max(position) & {OFFSET_MAX} FROM commits
              WHERE position >= key << {OFFSET_BITS} AND position < (key + 1) << {OFFSET_BITS}), {BEFORE_FIRST});
         UPDATE meta SET value = {FORMAT} WHERE name = 'format';"
    );
    connection.execute_batch(&bring_up).map_err(file_error)
}

/// The format that the file names, if it is one of ours.
fn format(connection: &Connection) -> Result<Option<i64>, LogError> {
    let ours: i64 = connection
        .prepare_cached("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'meta'")
        .and_then(|mut ours| ours.query_row([], |row| row.get(0)))
        .map_err(file_error)?;
    if ours == 0 {
        return Err(LogError::Refused("the file is not a log of Guildhall".into()));
    }
    connection
        .prepare_cached("SELECT value FROM meta WHERE name = 'format'")
        .and_then(|mut format| format.query_row([], |row| row.get(0)).optional())
        .map_err(file_error)
}

/// Checks the format and reads the log's id.
pub(super) fn check(connection: &Connection, wanted: Option<LogId>) -> Result<LogId, LogError> {
    let found = format(connection)?;
    if found != Some(FORMAT) && found != Some(FORMAT_WITH_WHOLE_INDEX) {
        let found = found.map_or("none".into(), |format| format.to_string());
        return Err(LogError::Refused(format!("the file has format {found}, this release knows {FORMAT}")));
    }
    let id: [u8; 16] = connection
        .query_row("SELECT value FROM meta WHERE name = 'log'", [], |row| row.get(0))
        .map_err(file_error)?;
    let id = LogId(Uuid::from_bytes(id));
    match wanted {
        Some(wanted) if wanted != id => {
            Err(LogError::Refused(format!("the file is a copy of log {id}, the upstream is log {wanted}")))
        }
        _ => Ok(id),
    }
}

/// The partitions with their ends, in order.
pub(super) fn partitions(connection: &Connection) -> Result<Vec<PartitionRow>, LogError> {
    let indexed = if format(connection)? == Some(FORMAT_WITH_WHOLE_INDEX) {
        OFFSET_MAX.to_string()
    } else {
        "indexed_offset".to_owned()
    };
    let sql = format!("SELECT key, service, number, source_offset, {indexed} FROM partitions");
    let mut statement = connection.prepare_cached(&sql).map_err(file_error)?;
    let rows = statement
        .query_map([], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .map_err(file_error)?;
    let mut found = Vec::new();
    for row in rows {
        let (key, service, number, source_offset, indexed) = row.map_err(file_error)?;
        let service = Service::from_name(&service)
            .ok_or_else(|| LogError::Refused(format!("the file holds the unknown service '{service}'")))?;
        let partition = Partition { service, number };
        let mut row = PartitionRow { partition, key, source_offset, end: BEFORE_FIRST, indexed };
        row.end = end_of(connection, &row)?;
        found.push(row);
    }
    found.sort_by_key(|row| row.partition);
    Ok(found)
}

/// The offset of the last commit of a partition.
fn end_of(connection: &Connection, row: &PartitionRow) -> Result<Offset, LogError> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(position) FROM commits WHERE position >= ?1 AND position < ?2")
        .and_then(|mut last| last.query_row((row.row_of(0), row.rows_end()), |row| row.get(0)))
        .map_err(file_error)?;
    Ok(last.map_or(BEFORE_FIRST, offset_of))
}
