//! The file: its format, its connections, and what was prepared in it.

use std::{path::Path, time::Duration};

use events::{LogId, Partition};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, config::DbConfig, params};
use uuid::Uuid;

use super::{Failure, table};
use crate::{
    Checkpoint, ProjectionId, StoreError,
    layout::{Layout, is_plain},
};

/// What the file is. Another format is another number.
const FORMAT: i64 = 2;
/// `GHrd` in the file's header: a read store of Guildhall.
const APPLICATION: i64 = 0x4748_7264;
/// How long a connection waits for another one.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(10);
/// Prepared statements kept per connection.
const STATEMENTS: usize = 128;

const TABLES: &str = "
    CREATE TABLE guildhall_collections (
        projection TEXT NOT NULL, version INTEGER NOT NULL, build INTEGER NOT NULL, collection TEXT NOT NULL,
        declaration TEXT NOT NULL, tables TEXT NOT NULL,
        PRIMARY KEY (projection, version, build, collection)
    ) WITHOUT ROWID;
    CREATE TABLE guildhall_checkpoints (
        projection TEXT NOT NULL, version INTEGER NOT NULL, build INTEGER NOT NULL, partition TEXT NOT NULL,
        log BLOB NOT NULL, offset INTEGER NOT NULL,
        PRIMARY KEY (projection, version, build, partition)
    ) WITHOUT ROWID;
";

/// Format 1 knew one build of each version: what it holds is build 0 of today.
const TABLES_FROM_1: [&str; 3] = [
    "ALTER TABLE guildhall_collections RENAME TO old_collections;
     ALTER TABLE guildhall_checkpoints RENAME TO old_checkpoints;",
    TABLES,
    "INSERT INTO guildhall_collections
         SELECT projection, version, 0, collection, declaration, tables FROM old_collections;
     INSERT INTO guildhall_checkpoints SELECT projection, version, 0, partition, log, offset FROM old_checkpoints;
     DROP TABLE old_collections;
     DROP TABLE old_checkpoints;",
];

/// The connection that writes, on a file that is made when there is none.
///
/// # Errors
/// [`StoreError::Refused`] for a file of another format or none of ours.
pub(super) fn open_writer(path: &Path, cache_kib: u32) -> Result<Connection, Failure> {
    let mut connection = Connection::open(path)?;
    configure(&connection, cache_kib)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // The store can be rebuilt from the log: a crash of the machine may cost the last transactions, never the order.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // A thread of its own copies the write-ahead log back, not whoever happens to commit.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let format: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let empty: bool =
        transaction.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, format) {
        (APPLICATION, FORMAT) => {}
        (APPLICATION, 1) => {
            for statements in TABLES_FROM_1 {
                transaction.execute_batch(statements)?;
            }
            transaction.pragma_update(None, "user_version", FORMAT)?;
        }
        (0, 0) if empty => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
        }
        (APPLICATION, other) => {
            return Err(refused(format!(
                "{} has format {other}, this release reads format {FORMAT}; it can be deleted, and is rebuilt from \
                 the log",
                path.display()
            )));
        }
        _ => return Err(refused(format!("{} is not a read store of Guildhall", path.display()))),
    }
    transaction.commit()?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path, cache_kib: u32) -> Result<Connection, Failure> {
    let connection = Connection::open(path)?;
    configure(&connection, cache_kib)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A connection that copies the write-ahead log back.
pub(super) fn open_checkpointer(path: &Path) -> Result<Connection, Failure> {
    let connection = Connection::open(path)?;
    configure(&connection, 256)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(connection)
}

fn configure(connection: &Connection, cache_kib: u32) -> Result<(), Failure> {
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    // Plans do not depend on the values bound: otherwise SQLite prepares some statements anew at every execution.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Makes the tables of one build of a projection, or checks that they were made from the same declaration.
pub(super) fn prepare(
    connection: &mut Connection,
    projection: &ProjectionId,
    tables: &[Layout],
) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for layout in tables {
        let known: Option<String> = transaction
            .query_row(
                "SELECT declaration FROM guildhall_collections \
                 WHERE projection = ? AND version = ? AND build = ? AND collection = ?",
                params![projection.name, projection.version, projection.build, layout.spec.name],
                |row| row.get(0),
            )
            .optional()?;
        match known {
            Some(known) if known == layout.declaration() => {}
            Some(_) => {
                return Err(refused(format!(
                    "{} was made with other indexes; a changed declaration needs a new version of the projection",
                    layout.name
                )));
            }
            None => {
                transaction.execute_batch(&table::create(layout))?;
                transaction.execute(
                    "INSERT INTO guildhall_collections VALUES (?, ?, ?, ?, ?, ?)",
                    params![
                        projection.name,
                        projection.version,
                        projection.build,
                        layout.spec.name,
                        layout.declaration(),
                        table::names(layout).join(" ")
                    ],
                )?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Every projection that has checkpoints, with each log that they name.
pub(super) fn origins(connection: &Connection) -> Result<Vec<(ProjectionId, LogId)>, Failure> {
    let mut statement = connection.prepare(
        "SELECT DISTINCT projection, version, build, log FROM guildhall_checkpoints \
         ORDER BY projection, version, build, log",
    )?;
    let rows = statement.query_map([], |row| {
        let projection = ProjectionId { name: row.get(0)?, version: row.get(1)?, build: row.get(2)? };
        Ok((projection, LogId(Uuid::from_bytes(row.get(3)?))))
    })?;
    Ok(rows.collect::<Result<_, rusqlite::Error>>()?)
}

/// Every checkpoint of a file that another process may be writing; none when there is no file, or one of another format.
pub(super) fn positions(path: &Path) -> Result<Vec<(ProjectionId, Partition, Checkpoint)>, Failure> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_WAIT)?;
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format != FORMAT {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(
        "SELECT projection, version, build, partition, log, offset FROM guildhall_checkpoints \
         ORDER BY projection, version, build, partition",
    )?;
    let rows = statement.query_map([], |row| {
        let projection = ProjectionId { name: row.get(0)?, version: row.get(1)?, build: row.get(2)? };
        let checkpoint = Checkpoint { log: LogId(Uuid::from_bytes(row.get(4)?)), offset: row.get(5)? };
        Ok((projection, row.get::<_, String>(3)?, checkpoint))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (projection, partition, checkpoint) = row?;
        // A partition that this release does not know is nothing that it could tell of.
        found.extend(partition.parse().ok().map(|partition| (projection, partition, checkpoint)));
    }
    Ok(found)
}

/// Removes all tables and checkpoints of one build of a projection.
pub(super) fn drop_projection(connection: &mut Connection, projection: &ProjectionId) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let of = params![projection.name, projection.version, projection.build];
    let mut statement = transaction.prepare(
        "SELECT tables FROM guildhall_collections WHERE projection = ? AND version = ? AND build = ?",
    )?;
    let tables: Result<Vec<String>, rusqlite::Error> = statement.query_map(of, |row| row.get(0))?.collect();
    drop(statement);
    for table in tables?.iter().flat_map(|tables| tables.split(' ')) {
        if !is_plain(table) {
            return Err(refused(format!("the file names a table {table:?}")));
        }
        transaction.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
    }
    let of_build = "projection = ? AND version = ? AND build = ?";
    transaction.execute(&format!("DELETE FROM guildhall_collections WHERE {of_build}"), of)?;
    transaction.execute(&format!("DELETE FROM guildhall_checkpoints WHERE {of_build}"), of)?;
    transaction.commit()?;
    Ok(())
}

fn refused(reason: String) -> Failure {
    StoreError::Refused(reason).into()
}
