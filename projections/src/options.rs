//! Which read store, and how much it may take.

use std::{path::PathBuf, sync::Arc};

use crate::{ReadStore, StoreError, sqlite::SqliteStore};

/// Where the read store is and what it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// `embedded:<folder>`: SQLite, in the file `read.db` of that folder.
    pub url: String,
    /// Connections for queries: as many can be answered at once.
    pub readers: usize,
    /// Page cache of the writer, KiB.
    pub writer_cache_kib: u32,
    /// Page cache of each reader, KiB.
    pub reader_cache_kib: u32,
    /// A write-ahead log of this many bytes is copied back by a thread of its own; at four times as many, writes wait.
    pub wal_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            url: "embedded:./data".into(),
            readers: 4,
            writer_cache_kib: 16 * 1024,
            reader_cache_kib: 1024,
            wal_bytes: 64 * 1024 * 1024,
        }
    }
}

impl StoreOptions {
    /// The defaults, for the store at `url`.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    fn embedded_folder(&self) -> Result<PathBuf, StoreError> {
        match self.url.split_once(':') {
            Some(("embedded", folder)) if !folder.is_empty() => Ok(PathBuf::from(folder)),
            Some(_) | None => Err(StoreError::Refused(
                "there is no such read store; write embedded:<folder> for the one in a folder".to_owned(),
            )),
        }
    }
}

/// Opens the read store. Blocks on the file for a moment: call it at the start.
///
/// # Errors
/// [`StoreError::Refused`] for an unknown engine, a damaged file or one of another format;
/// [`StoreError::Unavailable`] when the folder cannot be written.
pub fn open(options: &StoreOptions) -> Result<Arc<dyn ReadStore>, StoreError> {
    let folder = options.embedded_folder()?;
    Ok(Arc::new(SqliteStore::open(&folder, options)?))
}
