//! Keeps the write-ahead log bounded: a thread of its own copies it back into the main file, and the writer seldom waits.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use rusqlite::Connection;

use super::{Failure, file, threads::spawn};
use crate::StoreError;

/// Pages of the file, bytes.
const PAGE_BYTES: u64 = 4096;
/// How many pages the thread may leave to the writer, who copies them before it starts the log anew; fewer where the log is to be
/// short.
const REMAINDER_PAGES: u64 = 1000;
/// A pass copies what was written during the one before; with a writer that is faster than the disk that never ends.
const PASSES_MAX: u32 = 4;
/// The log may be this many times its wanted size before the writer copies whatever there is.
const HARD_FACTOR: u64 = 4;
/// How long the writer waits for readers that still use the log, before it goes on and tries again later.
const READERS_WAIT: Duration = Duration::from_millis(20);

/// The write-ahead log, as the writer watches it.
pub(super) struct Wal {
    shared: Arc<Shared>,
    wake: SyncSender<()>,
    pages_max: u64,
    /// The log's size at which the thread is asked to copy.
    ask_pages: u64,
    /// The log's size at which the writer does not wait for the thread any longer.
    wait_pages: u64,
}

#[derive(Default)]
struct Shared {
    /// Pages in the log, as the last transaction left it.
    pages: AtomicU64,
    /// All but a remainder is copied: the writer may copy that and start the log anew.
    finish: AtomicBool,
    /// Held by whoever copies: SQLite turns a second one away instead of letting it wait.
    copying: Mutex<()>,
}

impl Wal {
    /// Starts the thread for the file at `path`, which `writer` writes; the log is to have about `bytes_max` bytes.
    pub(super) fn watch(path: &Path, writer: &mut Connection, bytes_max: u64) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let hook = move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            told.pages.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        writer.wal_hook(Some(hook)).map_err(Failure::from)?;
        let pages_max = (bytes_max / PAGE_BYTES).max(1);
        // What readers have made it grow beyond all bounds to is given back when it is started anew.
        let bytes_kept = i64::try_from(pages_max * HARD_FACTOR * PAGE_BYTES).unwrap_or(i64::MAX);
        writer.pragma_update(None, "journal_size_limit", bytes_kept).map_err(Failure::from)?;
        let connection = file::open_checkpointer(path)?;
        let (wake, woken) = sync_channel(1);
        let copier = Arc::clone(&shared);
        spawn("read-store-checkpoints", move || {
            while woken.recv().is_ok() {
                copier.copy_most(&connection, REMAINDER_PAGES.min(pages_max / 4));
            }
        })?;
        Ok(Self { shared, wake, pages_max, ask_pages: pages_max, wait_pages: pages_max * HARD_FACTOR })
    }

    /// Called by the writer between transactions: asks for a copy when the log is long, and starts it anew where all but a
    /// little is copied, or the copier cannot catch up with a writer that never pauses.
    pub(super) fn look(&mut self, writer: &Connection) {
        let pages = self.shared.pages.load(Ordering::Relaxed);
        if pages < self.pages_max {
            // The log was started anew.
            (self.ask_pages, self.wait_pages) = (self.pages_max, self.pages_max * HARD_FACTOR);
        }
        let finish = self.shared.finish.load(Ordering::Acquire);
        if finish || pages > self.wait_pages {
            self.shared.finish.store(false, Ordering::Relaxed);
            // Where readers are in the way, the log grows on for a while before this is tried again.
            self.ask_pages = pages + self.pages_max / 2;
            self.wait_pages = (pages * 2).max(self.pages_max * HARD_FACTOR);
            self.shared.copy(writer, "RESTART");
        } else if pages >= self.ask_pages {
            // Full means that it has been woken already.
            let _ = self.wake.try_send(());
            self.ask_pages = pages + self.pages_max / 2;
        }
    }
}

impl Shared {
    fn copy_most(&self, connection: &Connection, remainder: u64) {
        for _ in 0..PASSES_MAX {
            let copied = self.copy(connection, "PASSIVE");
            if self.pages.load(Ordering::Relaxed).saturating_sub(copied) <= remainder {
                self.finish.store(true, Ordering::Release);
                return;
            }
        }
    }

    /// Gives how many pages of the log are copied. Readers in the way are no failure.
    fn copy(&self, connection: &Connection, mode: &str) -> u64 {
        let _one_at_a_time = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        match checkpoint(connection, mode) {
            Ok(pages) => u64::try_from(pages).unwrap_or(0),
            Err(error) => {
                tracing::warn!(%error, "the read store's write-ahead log could not be copied back; it is tried again");
                0
            }
        }
    }
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<i64> {
    connection.busy_timeout(READERS_WAIT)?;
    let copied = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(2));
    connection.busy_timeout(file::BUSY_WAIT)?;
    copied
}
