//! The rows of a copy, written to a bare SQLite file: no verdict, no look-up, no chain to compute.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use events::log::{EventLog, ReadLimit, StoredCommit};
use rusqlite::{Connection, params};

/// Commits of a transaction: as many as a copy takes while it catches up.
const BATCH: usize = 10_000;

/// Every commit of the log, in the order of its partitions.
pub(super) fn rows(log: &Arc<dyn EventLog>) -> Vec<StoredCommit> {
    let mut rows = Vec::new();
    for partition in log.partitions() {
        let mut after = events::stream::BEFORE_FIRST;
        loop {
            let page = log.read(partition, after, ReadLimit { commits: 10_000, bytes: usize::MAX }).unwrap();
            let Some(last) = page.last() else { break };
            after = last.position.offset;
            rows.extend(page);
        }
    }
    rows
}

/// Writes the same rows and index entries as a copy comes to hold, with the same pragmas.
pub(super) fn write(rows: &[StoredCommit]) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join("bare.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384;
             CREATE TABLE streams (key INTEGER PRIMARY KEY, uuid BLOB NOT NULL, category TEXT NOT NULL,
                 UNIQUE (uuid, category));
             CREATE TABLE commits (position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, first_version INTEGER NOT NULL,
                 count INTEGER NOT NULL, checksum INTEGER NOT NULL, chain BLOB NOT NULL, body BLOB NOT NULL);
             CREATE TABLE entries (stream INTEGER NOT NULL, entry NOT NULL, position INTEGER NOT NULL, hash BLOB,
                 first_version INTEGER, count INTEGER, PRIMARY KEY (stream, entry)) WITHOUT ROWID;",
        )
        .unwrap();
    // The command ids: any 16 bytes that are as spread as they are.
    let command = |row: &StoredCommit| row.chain.0[..16].to_vec();
    let started = Instant::now();
    let mut keys = std::collections::HashMap::new();
    for (number, batch) in rows.chunks(BATCH).enumerate() {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut stream = connection.prepare_cached("INSERT INTO streams VALUES (?1, ?2, ?3)").unwrap();
        let mut commit =
            connection.prepare_cached("INSERT INTO commits VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)").unwrap();
        let mut version = connection
            .prepare_cached("INSERT INTO entries (stream, entry, position) VALUES (?1, ?2, ?3)")
            .unwrap();
        let mut known = connection
            .prepare_cached(
                "INSERT INTO entries (stream, entry, hash, first_version, count, position) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .unwrap();
        for (index, row) in batch.iter().enumerate() {
            let next = keys.len() as i64 + 1;
            let key = *keys.entry(row.stream).or_insert_with(|| {
                stream
                    .execute((next, row.stream.uuid.as_bytes().as_slice(), row.stream.category.name()))
                    .unwrap();
                next
            });
            let (position, first) = ((number * BATCH + index) as i64, row.first_version.cast_signed());
            let last = row.last_version().cast_signed();
            commit
                .execute(params![position, key, first, row.count, 7, row.chain.0.as_slice(), &row.body[..]])
                .unwrap();
            version.execute((key, last, position)).unwrap();
            known
                .execute(params![key, command(row), &row.chain.0[16..], first, row.count, position])
                .unwrap();
        }
        drop((stream, commit, version, known));
        connection.execute_batch("COMMIT").unwrap();
    }
    started.elapsed()
}
