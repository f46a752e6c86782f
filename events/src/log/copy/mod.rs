//! The copy: commits, versions, command ids and hash chains of a log in one SQLite file, shared by all engines.
//!
//! One [`CopyWriter`] adds to it, a bounded pool of connections behind [`CopyReader`] reads it. Who orders the commits is
//! the engine's business.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

mod checkpoint;
mod newcomers;
mod pool;
mod reader;
mod schema;
mod unindexed;
mod verify;
mod writer;

pub(super) use checkpoint::Checkpointer;
pub(super) use reader::CopyReader;
pub(super) use schema::PartitionRow;
pub(super) use writer::{Candidate, CopyWriter, Outcome};

use super::{LogError, options::LogOptions};
use crate::stream::{BEFORE_FIRST, LogId, Partition, StreamId, Version};

/// The copy's file in the data folder.
pub(super) const FILE: &str = "log.db";
/// Held by the one process that may write.
pub(super) const LOCK: &str = "log.lock";
/// Where a log is restored before it is put in its place; a folder with it in holds no log yet.
pub(super) const RESTORING: &str = "restoring";
/// Bytes of a page of the file; commits, versions and commands of random streams touch one page each.
const PAGE_BYTES: u32 = 4096;

/// How much a committed transaction survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// Power loss: the copy is the log.
    Full,
    /// The death of the process; after a power loss the end of the copy is read from its upstream again.
    Refillable,
}

/// What an engine wants of its copy.
#[derive(Clone, Debug)]
pub(super) struct CopyPlan {
    /// The id the log must have; `None` draws one for a new file.
    pub(super) log: Option<LogId>,
    /// The partitions to hold.
    pub(super) partitions: Vec<Partition>,
    /// See [`Durability`].
    pub(super) durability: Durability,
}

/// Opens or makes the copy in `folder`, for writing. A torn end is cut back to the last whole transaction; the last commits
/// are checked; those that the index lacks, since the process before died, are read and found from memory.
pub(super) fn open(folder: &Path, options: &LogOptions, plan: &CopyPlan) -> Result<CopyWriter, LogError> {
    let made = make_folder(folder)?;
    let lock = lock(&folder.join(LOCK))?;
    if folder.join(RESTORING).exists() {
        return Err(LogError::Refused(format!(
            "a restore into the folder '{}' was not finished: run it again, it begins anew",
            folder.display()
        )));
    }
    let path = folder.join(FILE);
    let connection = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(file_error)?;
    configure_writer(&connection, options, plan.durability)?;
    let log = schema::prepare(&connection, plan.log, &plan.partitions)?;
    let rows = schema::partitions(&connection)?;
    let is_empty = rows.iter().all(|row| row.end == BEFORE_FIRST);
    let newcomers =
        (is_empty && plan.durability == Durability::Refillable).then(newcomers::Newcomers::of_an_empty_copy);
    let mut reader = CopyReader::new(&path, options, log, rows, newcomers);
    reader.take_in_unindexed()?;
    reader.check_ends()?;
    sync_folders(&made)?;
    CopyWriter::new(connection, Arc::new(reader), lock, options.unindexed_rows_max)
}

/// Whether an earlier run left a file in `folder`.
pub(super) fn exists(folder: &Path) -> bool {
    folder.join(FILE).exists()
}

/// Opens the copy in `folder` for reading beside a process that writes it.
pub(super) fn open_read_only(folder: &Path, options: &LogOptions) -> Result<Arc<CopyReader>, LogError> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Err(LogError::Refused(format!("there is no log in the folder '{}'", folder.display())));
    }
    let connection = pool::connect(&path)?;
    let log = schema::check(&connection, None)?;
    let rows = schema::partitions(&connection)?;
    let mut reader = CopyReader::new(&path, options, log, rows, None);
    reader.followed = Some(Mutex::new(reader.rows().to_vec()));
    reader.take_in_unindexed()?;
    reader.check_ends()?;
    Ok(Arc::new(reader))
}

/// Holds a data folder: while it lives no process opens the log in it for writing.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Takes the folder, which must be there.
///
/// # Errors
/// [`LogError::Locked`] when a process has it, [`LogError::File`].
pub fn lock_folder(folder: &Path) -> Result<FolderLock, LogError> {
    Ok(FolderLock { _file: lock(&folder.join(LOCK))? })
}

fn lock(path: &Path) -> Result<File, LogError> {
    let failed = |e: std::io::Error| LogError::File(format!("the lock file failed: {e}"));
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked),
        Err(TryLockError::Error(e)) => Err(failed(e)),
    }
}

/// Makes the folder, and gives every folder that got a new name in it, itself first.
pub(super) fn make_folder(folder: &Path) -> Result<Vec<PathBuf>, LogError> {
    let failed = |e: std::io::Error| LogError::File(format!("the data folder cannot be made: {e}"));
    let folder = std::path::absolute(folder).map_err(failed)?;
    let mut changed = vec![folder.clone()];
    let missing = folder.ancestors().take_while(|ancestor| !ancestor.exists());
    changed.extend(missing.filter_map(Path::parent).map(Path::to_owned));
    fs::create_dir_all(&folder).map_err(failed)?;
    Ok(changed)
}

/// Makes the names of new files survive a power loss, as their contents do.
pub(super) fn sync_folders(folders: &[PathBuf]) -> Result<(), LogError> {
    for folder in folders {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| {
            LogError::File(format!("the folder '{}' cannot be synced: {e}", folder.display()))
        })?;
    }
    Ok(())
}

fn configure_writer(
    connection: &Connection,
    options: &LogOptions,
    durability: Durability,
) -> Result<(), LogError> {
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Refillable => "NORMAL",
    };
    connection.busy_timeout(BUSY_WAIT).map_err(file_error)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES).map_err(file_error)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(file_error)?;
    if mode != "wal" {
        return Err(LogError::File(format!(
            "the file system does not carry a write-ahead log (mode {mode})"
        )));
    }
    connection.pragma_update(None, "synchronous", synchronous).map_err(file_error)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(file_error)?;
    connection.pragma_update(None, "cache_size", WRITER_CACHE_KIB).map_err(file_error)?;
    // After a failed sync nothing may move pages from the write-ahead log: whoever opens the file next decides anew.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(file_error)?;
    keep_plans(connection)?;
    connection.set_prepared_statement_cache_capacity(32);
    if let Some(pages) = options.pages_max {
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).map_err(file_error)?;
    }
    Ok(())
}

/// Plans do not depend on the values bound: otherwise SQLite prepares some statements anew at every execution.
fn keep_plans(connection: &Connection) -> Result<(), LogError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop).map_err(file_error)
}

/// How long a connection waits for a lock that another program holds on the file; ours never hold one for long.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// The writer's page cache; negative is KiB.
const WRITER_CACHE_KIB: i64 = -16 * 1024;

/// What SQLite says, for people.
pub(super) fn file_error(error: rusqlite::Error) -> LogError {
    LogError::File(error.to_string())
}

/// CRC-32 of a body.
pub(super) fn body_checksum(body: &[u8]) -> u32 {
    crc32fast::hash(body)
}

/// CRC-32 of a commit's row: its body, whose it is, and which versions it holds.
fn row_checksum(body_checksum: u32, stream: StreamId, first_version: Version, count: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(body_checksum);
    hasher.update(stream.uuid.as_bytes());
    hasher.update(stream.category.name().as_bytes());
    hasher.update(&first_version.to_be_bytes());
    hasher.update(&count.to_be_bytes());
    hasher.finalize()
}
