//! A bounded pool of connections that only read.

use std::{
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{BUSY_WAIT, file_error};
use crate::log::LogError;

/// Each reader's page cache; negative is KiB.
const READER_CACHE_KIB: i64 = -2 * 1024;

/// At most `connections_max` connections, opened when first needed.
pub(super) struct Pool {
    path: PathBuf,
    connections_max: usize,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    open: usize,
    closed: bool,
}

impl Pool {
    pub(super) fn new(path: &Path, connections_max: usize) -> Self {
        Self {
            path: path.to_owned(),
            connections_max: connections_max.max(1),
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    /// Runs `read` on a connection of its own; waits when all are in use.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let connection = Borrowed { pool: self, connection: Some(self.take()?) };
        read(connection.connection.as_ref().expect("taken only when dropped"))
    }

    /// Closes the connections; those in use when they come back.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.open -= state.idle.len();
        state.idle.clear();
        self.returned.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Connection, LogError> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(LogError::File("the log is closed".into()));
            }
            if let Some(connection) = state.idle.pop() {
                return Ok(connection);
            }
            if state.open < self.connections_max {
                state.open += 1;
                break;
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        connect(&self.path).inspect_err(|_| self.give(None))
    }

    fn give(&self, connection: Option<Connection>) {
        let mut state = self.lock();
        match connection {
            Some(connection) if !state.closed => state.idle.push(connection),
            Some(_) | None => state.open -= 1,
        }
        self.returned.notify_one();
    }
}

/// Goes back to the pool even when the read panics.
struct Borrowed<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.pool.give(self.connection.take());
    }
}

/// A connection that only reads.
pub(super) fn connect(path: &Path) -> Result<Connection, LogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(file_error)?;
    connection.busy_timeout(BUSY_WAIT).map_err(file_error)?;
    connection.pragma_update(None, "cache_size", READER_CACHE_KIB).map_err(file_error)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(file_error)?;
    super::keep_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}
