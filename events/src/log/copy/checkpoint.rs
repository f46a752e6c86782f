//! Copies the write-ahead log back into the main file, on a thread of its own, so that the log stays bounded and the writer
//! seldom waits.

use std::{
    path::Path,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, config::DbConfig, ffi::ErrorCode};

use super::{BUSY_WAIT, CopyWriter, FILE, PAGE_BYTES, file_error};
use crate::log::LogError;

/// How many pages one pass may leave to the next before the writer is asked to finish.
const REMAINDER_PAGES: u64 = 2000;
/// A pass copies what was written during the one before; with a writer that is faster than the disk that never ends.
const PASSES_MAX: u32 = 4;
/// The log may be this many times its wanted size before the writer waits for the copying.
const HARD_FACTOR: u64 = 4;
/// How long the writer waits for readers that still use the log, before it goes on and tries again later.
const READERS_WAIT: Duration = Duration::from_millis(20);

/// The checkpointing thread of one copy.
pub(in crate::log) struct Checkpointer {
    shared: Arc<Shared>,
    pages_max: u64,
    /// The log's size at which the thread is asked to copy.
    ask_pages: u64,
    /// The log's size at which the writer does not wait for the thread any longer.
    wait_pages: u64,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Pages in the write-ahead log, as the last commit left it.
    pages: AtomicU64,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    wanted: bool,
    /// All but a remainder is copied: the writer may copy that and start the log anew.
    finish: bool,
    stop: bool,
    failed: Option<LogError>,
}

impl Checkpointer {
    /// Starts the thread for the copy in `folder` and lets `writer` tell it how long the log is.
    pub(in crate::log) fn start(
        folder: &Path,
        writer: &mut CopyWriter,
        wal_bytes_max: u64,
    ) -> Result<Self, LogError> {
        let shared =
            Arc::new(Shared { pages: AtomicU64::new(0), state: Mutex::default(), wake: Condvar::new() });
        let told = Arc::clone(&shared);
        let hook = move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            told.pages.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        writer.connection().wal_hook(Some(hook)).map_err(file_error)?;
        let connection = Connection::open(folder.join(FILE)).map_err(file_error)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(file_error)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(file_error)?;
        // The sync of the main file before the log is started anew is what makes it safe to overwrite.
        connection.pragma_update(None, "synchronous", "FULL").map_err(file_error)?;
        let thread_shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("log-checkpoint".into())
            .spawn(move || thread_shared.run(&connection))
            .map_err(|e| LogError::File(format!("no thread for checkpoints: {e}")))?;
        let pages_max = (wal_bytes_max / u64::from(PAGE_BYTES)).max(1);
        let wait_pages = pages_max * HARD_FACTOR;
        Ok(Self { shared, pages_max, ask_pages: pages_max, wait_pages, thread: Some(thread) })
    }

    /// Called by the writer between transactions: asks for a checkpoint when the log is long, and finishes one where that
    /// is due.
    ///
    /// # Errors
    /// When a checkpoint failed, here or on the thread: the writer must stop.
    pub(in crate::log) fn between_batches(&mut self, writer: &mut CopyWriter) -> Result<(), LogError> {
        let pages = self.shared.pages.load(Ordering::Relaxed);
        if pages < self.pages_max {
            // The log was started anew.
            (self.ask_pages, self.wait_pages) = (self.pages_max, self.pages_max * HARD_FACTOR);
        }
        if pages < self.ask_pages {
            return Ok(());
        }
        let mut state = self.shared.lock();
        if let Some(failed) = state.failed.clone() {
            return Err(failed);
        }
        if state.finish || pages > self.wait_pages {
            state.finish = false;
            drop(state);
            // Where readers are in the way, the log grows on for a while before this is tried again.
            self.ask_pages = pages + self.pages_max / 2;
            self.wait_pages = pages.max(self.pages_max) * 2;
            return checkpoint(writer.connection(), "RESTART").map(drop);
        }
        if !state.wanted {
            state.wanted = true;
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    /// Ends the thread and, when all is well, copies everything back, so that the next opening has nothing to recover.
    pub(in crate::log) fn finish(mut self, writer: &mut CopyWriter) -> Result<(), LogError> {
        self.stop();
        if let Some(failed) = self.shared.lock().failed.take() {
            return Err(failed);
        }
        while !writer.index_rest()? {
            checkpoint(writer.connection(), "PASSIVE")?;
        }
        checkpoint(writer.connection(), "TRUNCATE").map(drop)
    }

    fn stop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic over there has already been reported by the panic hook; the log itself is whole.
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, connection: &Connection) {
        let mut state = self.lock();
        loop {
            if state.stop {
                return;
            }
            if !state.wanted {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(state);
            let done = self.passes(connection);
            state = self.lock();
            state.wanted = false;
            match done {
                Ok(()) => state.finish = true,
                Err(failed) => {
                    tracing::error!(error = %failed, "a checkpoint of the log failed");
                    state.failed = Some(failed);
                    // No further attempt: a sync that failed once may report success when repeated.
                    return;
                }
            }
        }
    }

    fn passes(&self, connection: &Connection) -> Result<(), LogError> {
        for _ in 0..PASSES_MAX {
            let copied = checkpoint(connection, "PASSIVE")?;
            if self.pages.load(Ordering::Relaxed).saturating_sub(copied) < REMAINDER_PAGES {
                break;
            }
        }
        Ok(())
    }
}

/// Runs a checkpoint; gives how many pages of the log are copied. Readers in the way are no failure.
fn checkpoint(connection: &Connection, mode: &str) -> Result<u64, LogError> {
    connection.busy_timeout(READERS_WAIT).map_err(file_error)?;
    let copied = connection
        .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))
        .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(2)));
    connection.busy_timeout(BUSY_WAIT).map_err(file_error)?;
    match copied {
        Ok(pages) => Ok(u64::try_from(pages).unwrap_or(0)),
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(0),
        Err(e) => Err(file_error(e)),
    }
}
