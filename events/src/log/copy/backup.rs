//! A consistent copy of a node's files, taken while they are written.
//!
//! A plain copy of a file in use is not consistent: what was committed last stands in its write-ahead log. SQLite reads one
//! moment of the file and writes that, whole and compact, to a new one.

use std::{
    fs::{self, File},
    path::Path,
};

use rusqlite::Connection;

use super::{FILE, file_error, pool};
use crate::{log::LogError, stream::Position};

/// The keys' file in the data folder.
const KEYS: &str = "keys.db";

/// What a copy of a node's files holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Which log it is a copy of.
    pub log: crate::stream::LogId,
    /// The last commit of every partition that has one.
    pub ends: Vec<Position>,
    /// Whether there were keys to copy.
    pub keys: bool,
}

/// Copies the log's file and the keys' file of the node in `folder` to `target`, which may not hold any yet, also while a
/// process writes them. Each is as it was at one moment, the keys at a later one, so no value is without its key. Both
/// files are durable when this returns. The files of read models and snapshots are not copied: they are rebuilt.
///
/// Over an upstream the copy is where another node can start: it goes on from there. Of an embedded log it is a backup and
/// nothing else: two processes that write two copies of one embedded log make two logs with one name.
///
/// # Errors
/// [`LogError::Refused`] when there is no log, or one in the target already; [`LogError::Damaged`], [`LogError::File`].
pub fn backup(folder: &Path, target: &Path) -> Result<Backup, LogError> {
    let refused = |reason: String| Err(LogError::Refused(reason));
    if !folder.join(FILE).exists() {
        return refused(format!("there is no log in the folder '{}'", folder.display()));
    }
    for name in [FILE, KEYS] {
        if target.join(name).exists() {
            return refused(format!("the folder '{}' already holds {name}", target.display()));
        }
    }
    let made = super::make_folder(target)?;
    let keys = folder.join(KEYS).exists();
    let parts: &[&str] = if keys { &[FILE, KEYS] } else { &[FILE] };
    for name in parts {
        copy_file(&folder.join(name), &target.join(part(name)))?;
    }
    // The log's name comes last: a folder that has it has all.
    for name in parts.iter().rev() {
        fs::rename(target.join(part(name)), target.join(name)).map_err(failed)?;
    }
    super::sync_folders(&made)?;
    let options = crate::log::LogOptions::embedded(target);
    let reader = super::open_read_only(target, &options)?;
    let ends = reader.rows().iter().filter(|row| row.end >= 0);
    let ends = ends.map(|row| Position { partition: row.partition, offset: row.end }).collect();
    Ok(Backup { log: reader.log(), ends, keys })
}

fn part(name: &str) -> String {
    format!("{name}.part")
}

/// One moment of an SQLite file as a new file.
fn copy_file(from: &Path, to: &Path) -> Result<(), LogError> {
    // What an earlier attempt left behind.
    match fs::remove_file(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let mut private = File::options();
    private.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut private, 0o600);
    let file = private.open(to).map_err(failed)?;
    let connection: Connection = pool::connect(from)?;
    let name = to.to_str().ok_or_else(|| LogError::File("the target's name is no text".into()))?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(file_error)?;
    file.sync_all().map_err(failed)
}

fn failed(error: std::io::Error) -> LogError {
    LogError::File(format!("the copy cannot be written: {error}"))
}
