//! Snapshots of aggregates: a cache in a file of its own. Deleting it changes nothing but the time a load takes.

use std::{
    path::Path,
    sync::{
        Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use rusqlite::{Connection, OptionalExtension, params};

use crate::stream::{LogId, StreamId, Version};

/// A state as it was at `version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose state.
    pub stream: StreamId,
    /// Which fold made it; another fold cannot use it.
    pub fold_version: u16,
    /// The stream's version it stands for.
    pub version: Version,
    /// The state, serialised.
    pub state: Vec<u8>,
}

/// Snapshots waiting to be written; beyond that, new ones are dropped.
const WAITING_MAX: usize = 256;

/// The file of snapshots. Reads are synchronous; writes go to a thread behind a bounded queue and may be dropped.
#[derive(Debug)]
pub struct SnapshotStore {
    reader: Mutex<Connection>,
    writer: Option<SyncSender<Snapshot>>,
    thread: Option<JoinHandle<()>>,
}

impl SnapshotStore {
    /// Opens (or makes) the file. Snapshots of another log are thrown away.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn open(path: &Path, log: LogId) -> Result<Self, rusqlite::Error> {
        let writing = Connection::open(path)?;
        writing.pragma_update(None, "journal_mode", "WAL")?;
        writing.pragma_update(None, "synchronous", "OFF")?;
        writing.execute_batch(
            "CREATE TABLE IF NOT EXISTS log (id BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS snapshot (
                 stream TEXT NOT NULL, fold_version INTEGER NOT NULL, version INTEGER NOT NULL, state BLOB NOT NULL,
                 PRIMARY KEY (stream, fold_version)
             ) WITHOUT ROWID;",
        )?;
        let known: Option<Vec<u8>> =
            writing.query_row("SELECT id FROM log", [], |row| row.get(0)).optional()?;
        if known.as_deref() != Some(log.0.as_bytes().as_slice()) {
            writing.execute_batch("DELETE FROM log; DELETE FROM snapshot;")?;
            writing.execute("INSERT INTO log (id) VALUES (?1)", params![log.0.as_bytes()])?;
        }
        let reader = Connection::open(path)?;
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("snapshots".into())
            .spawn(move || write_all(&writing, &receiver))
            .map_err(|_| rusqlite::Error::InvalidQuery)?;
        Ok(Self { reader: Mutex::new(reader), writer: Some(sender), thread: Some(thread) })
    }

    /// The snapshot of `stream` made by this fold. A file that fails is a cache that misses.
    pub fn get(&self, stream: StreamId, fold_version: u16) -> Option<Snapshot> {
        let reader = self.reader.lock().ok()?;
        let mut statement = reader
            .prepare_cached("SELECT version, state FROM snapshot WHERE stream = ?1 AND fold_version = ?2")
            .ok()?;
        let found = statement.query_row(params![stream.to_string(), fold_version], |row| {
            let version: i64 = row.get(0)?;
            Ok(Snapshot { stream, fold_version, version: version.unsigned_abs(), state: row.get(1)? })
        });
        found.optional().ok()?
    }

    /// Keeps `snapshot` instead of an earlier one of the same stream and fold, unless too many wait already.
    pub fn put(&self, snapshot: Snapshot) {
        if let Some(writer) = &self.writer {
            // A full queue drops it: the next one of this stream will do as well.
            let _ = writer.try_send(snapshot);
        }
    }
}

impl Drop for SnapshotStore {
    fn drop(&mut self) {
        self.writer = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_all(connection: &Connection, snapshots: &Receiver<Snapshot>) {
    for snapshot in snapshots {
        let written = connection
            .prepare_cached(
                "INSERT INTO snapshot (stream, fold_version, version, state) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (stream, fold_version) DO UPDATE SET version = excluded.version, state = excluded.state
                 WHERE excluded.version > version",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    snapshot.stream.to_string(),
                    snapshot.fold_version,
                    i64::try_from(snapshot.version).unwrap_or(i64::MAX),
                    snapshot.state
                ])
            });
        if let Err(error) = written {
            tracing::warn!(stream = %snapshot.stream, %error, "a snapshot was not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{Category, ids::JobId};

    fn snapshot(stream: StreamId, version: Version) -> Snapshot {
        Snapshot { stream, fold_version: 1, version, state: vec![version as u8] }
    }

    #[test]
    fn the_newest_snapshot_of_this_fold_and_this_log_is_found_after_reopening() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("snapshots.db");
        let (log, stream) = (LogId(Uuid::now_v7()), StreamId::new(Category::Job, JobId::fresh()));
        let store = SnapshotStore::open(&path, log).expect("opens");
        store.put(snapshot(stream, 7));
        store.put(snapshot(stream, 5));
        drop(store);
        let store = SnapshotStore::open(&path, log).expect("opens again");
        assert_eq!(store.get(stream, 1), Some(snapshot(stream, 7)));
        assert_eq!(store.get(stream, 2), None);
        drop(store);
        let foreign = SnapshotStore::open(&path, LogId(Uuid::now_v7())).expect("opens for another log");
        assert_eq!(foreign.get(stream, 1), None);
    }
}
