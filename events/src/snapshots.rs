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

use uuid::Uuid;

use crate::{
    ids::{CommitId, Id},
    stream::{LogId, StreamId, Version},
};

/// A state as it was at `version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose state.
    pub stream: StreamId,
    /// Which fold made it; another fold cannot use it.
    pub fold_version: u16,
    /// The stream's version it stands for.
    pub version: Version,
    /// The commit that ends at this version: a log that has another one there has another history.
    pub commit: CommitId,
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
    /// Opens (or makes) the file. Snapshots of another log are thrown away, and so is a damaged file.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn open(path: &Path, log: LogId) -> Result<Self, rusqlite::Error> {
        let writing = prepare(path, log).or_else(|error| {
            if !is_damage(&error) {
                return Err(error);
            }
            tracing::warn!(%error, "the snapshots' file is damaged and made anew");
            discard(path);
            prepare(path, log)
        })?;
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
            .prepare_cached(
                "SELECT version, commit_id, state FROM snapshots WHERE stream = ?1 AND fold_version = ?2",
            )
            .ok()?;
        let found = statement.query_row(params![stream.to_string(), fold_version], |row| {
            let version = row.get::<_, i64>(0)?.unsigned_abs();
            let commit = CommitId::from_uuid(Uuid::from_bytes(row.get(1)?));
            Ok(Snapshot { stream, fold_version, version, commit, state: row.get(2)? })
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

/// The file with its tables, for this log.
fn prepare(path: &Path, log: LogId) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // The last snapshots may be lost with the power; what is found must be whole.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(
        "DROP TABLE IF EXISTS snapshot;
         CREATE TABLE IF NOT EXISTS log (id BLOB NOT NULL);
         CREATE TABLE IF NOT EXISTS snapshots (
             stream TEXT NOT NULL, fold_version INTEGER NOT NULL, version INTEGER NOT NULL, commit_id BLOB NOT NULL,
             state BLOB NOT NULL, PRIMARY KEY (stream, fold_version)
         ) WITHOUT ROWID;",
    )?;
    let known: Option<Vec<u8>> =
        connection.query_row("SELECT id FROM log", [], |row| row.get(0)).optional()?;
    if known.as_deref() != Some(log.0.as_bytes().as_slice()) {
        connection.execute_batch("DELETE FROM log; DELETE FROM snapshots;")?;
        connection.execute("INSERT INTO log (id) VALUES (?1)", params![log.0.as_bytes()])?;
    }
    Ok(connection)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// Deletes the file and its companions; one that stays shows when it is opened again.
fn discard(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
}

fn write_all(connection: &Connection, snapshots: &Receiver<Snapshot>) {
    for snapshot in snapshots {
        let written = connection
            .prepare_cached(
                "INSERT INTO snapshots (stream, fold_version, version, commit_id, state) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (stream, fold_version) DO UPDATE
                 SET version = excluded.version, commit_id = excluded.commit_id, state = excluded.state
                 WHERE excluded.version > version",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    snapshot.stream.to_string(),
                    snapshot.fold_version,
                    i64::try_from(snapshot.version).unwrap_or(i64::MAX),
                    snapshot.commit.uuid().as_bytes(),
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
    use super::*;
    use crate::{Category, ids::JobId};

    const COMMIT: Uuid = Uuid::from_u128(7);

    fn snapshot(stream: StreamId, version: Version) -> Snapshot {
        let commit = CommitId::from_uuid(COMMIT);
        Snapshot { stream, fold_version: 1, version, commit, state: vec![version as u8] }
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

    #[test]
    fn a_damaged_file_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("snapshots.db");
        std::fs::write(&path, [7; 8192]).expect("is written");
        let (log, stream) = (LogId(Uuid::now_v7()), StreamId::new(Category::Job, JobId::fresh()));
        let store = SnapshotStore::open(&path, log).expect("opens");
        store.put(snapshot(stream, 7));
        drop(store);
        let store = SnapshotStore::open(&path, log).expect("opens again");
        assert_eq!(store.get(stream, 1), Some(snapshot(stream, 7)));
    }
}
