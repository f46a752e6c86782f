//! The least that could be done to keep documents: one table, by key. Benchmarks compare the read store with it.

use std::path::Path;

use rusqlite::Connection;

use super::Failure;
use crate::{StoreError, Write};

/// Documents in one table of a SQLite file: no indexes, no checkpoints, nothing compared.
#[derive(Debug)]
pub struct BareTable {
    connection: Connection,
}

impl BareTable {
    /// Makes `bare.db` in `folder`, with a page cache of `cache_kib` KiB.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn create(folder: &Path, cache_kib: u32) -> Result<Self, StoreError> {
        Ok(Self { connection: open(&folder.join("bare.db"), cache_kib)? })
    }

    /// Puts documents in, and takes deleted ones out, in one transaction.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn write(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        Ok(write(&mut self.connection, writes)?)
    }
}

fn open(path: &Path, cache_kib: u32) -> Result<Connection, Failure> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.execute_batch("CREATE TABLE documents (key TEXT PRIMARY KEY, document TEXT NOT NULL)")?;
    Ok(connection)
}

fn write(connection: &mut Connection, writes: &[Write]) -> Result<(), Failure> {
    let transaction = connection.transaction()?;
    {
        let mut put = transaction.prepare_cached(
            "INSERT INTO documents VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET document = excluded.document",
        )?;
        let mut delete = transaction.prepare_cached("DELETE FROM documents WHERE key = ?")?;
        for Write { document, value } in writes {
            let key = format!("{}/{}", document.collection, document.key);
            match value {
                Some(json) => put.execute([key.as_str(), json.text()])?,
                None => delete.execute([key.as_str()])?,
            };
        }
    }
    transaction.commit()?;
    Ok(())
}
