//! What the log is measured against: SQLite with a group commit and nothing else.
//!
//! The same pragmas, the same hand-over to one writer thread, the same rows in a table with a primary key and an index over
//! stream and version. No verdict, no chain, no commands, no checksums, no streams table.

use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::oneshot;
use uuid::Uuid;

struct Row {
    stream: Uuid,
    version: u64,
    body: Vec<u8>,
    answer: oneshot::Sender<()>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<(Vec<Row>, bool)>,
    filled: Condvar,
}

/// A table and the thread that writes it.
pub(crate) struct Bare {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
}

impl Bare {
    pub(crate) fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(
                "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384;
                 CREATE TABLE events (id INTEGER PRIMARY KEY, stream BLOB NOT NULL, version INTEGER NOT NULL,
                     body BLOB NOT NULL);
                 CREATE UNIQUE INDEX by_stream ON events (stream, version);",
            )
            .unwrap();
        let checkpoints = Connection::open(path).unwrap();
        let queue = Arc::new(Queue::default());
        let thread_queue = Arc::clone(&queue);
        let writer = std::thread::spawn(move || thread_queue.write(&connection, checkpoints));
        Self { queue, writer: Some(writer) }
    }

    pub(crate) async fn append(&self, stream: Uuid, version: u64, body: Vec<u8>) {
        let (answer, done) = oneshot::channel();
        self.queue.state.lock().unwrap().0.push(Row { stream, version, body, answer });
        self.queue.filled.notify_one();
        done.await.unwrap();
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.queue.state.lock().unwrap().1 = true;
        self.queue.filled.notify_one();
        self.writer.take().unwrap().join().unwrap();
    }
}

impl Queue {
    fn write(&self, connection: &Connection, checkpoints: Connection) {
        let mut checkpoints = Some(checkpoints);
        let mut checkpointing: Option<JoinHandle<Connection>> = None;
        let mut bytes = 0;
        loop {
            let batch = {
                let mut state = self.state.lock().unwrap();
                while state.0.is_empty() && !state.1 {
                    state = self.filled.wait(state).unwrap();
                }
                if state.0.is_empty() {
                    return;
                }
                std::mem::take(&mut state.0)
            };
            connection.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
            let mut insert = connection
                .prepare_cached("INSERT INTO events (stream, version, body) VALUES (?1, ?2, ?3)")
                .unwrap();
            for Row { stream, version, body, .. } in &batch {
                insert.execute((stream.as_bytes().as_slice(), version.cast_signed(), body)).unwrap();
                bytes += body.len() + 4096;
            }
            drop(insert);
            connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
            for row in batch {
                let _ = row.answer.send(());
            }
            if bytes > 64 << 20 {
                bytes = 0;
                if let Some(running) = checkpointing.take() {
                    checkpoints = Some(running.join().unwrap());
                }
                // The log is started anew as soon as everything is copied and nobody reads it.
                let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
                let other = checkpoints.take().unwrap();
                checkpointing = Some(std::thread::spawn(move || {
                    other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
                    other
                }));
            }
        }
    }
}
