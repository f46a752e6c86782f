//! A backup of the key file, apart from the log's: each newer one takes the place of the one before, so that nobody's key
//! outlives its erasure there by more than the time between two backups.
//!
//! ```text
//! keys.json                        which file counts, with its length and SHA-256; written last, replaced whole
//! keys-<16 digits of its SHA-256>.db
//! ```

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

use super::{
    KeyError,
    file::{APPLICATION_ID, FORMAT_FOLLOWING, failed},
};
use crate::{
    attested::{self, Sha256, Unreadable},
    stream::LogId,
    time::Timestamp,
};

/// The key file in a data folder.
pub const FILE: &str = "keys.db";
/// What says which file of a backup counts.
const DESCRIPTION: &str = "keys.json";
/// What a copy is called while it is written.
const PART: &str = "keys.part";
/// The format of a backup; another one is refused.
const FORMAT: u32 = 1;
/// How long a copy waits for a process that writes the key file.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// What a backup of a key file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysBackup {
    /// 1.
    pub format: u32,
    /// The log whose people these are.
    pub log: LogId,
    /// When it was taken, by the machine's clock.
    pub taken_at: Timestamp,
    /// The file's name.
    pub file: String,
    /// The file's length.
    pub bytes: u64,
    /// Of the file.
    pub sha256: Sha256,
    /// The number of its last record; where it follows a topic, how many records of that it has taken.
    pub position: u64,
    /// Keys of people who were not erased.
    pub keys: u64,
    /// People who were erased.
    pub erased: u64,
}

/// Copies the key file at `from`, which belongs to the log `log`, into the folder `to`, also while a process writes it. An
/// earlier backup there is replaced, and its file deleted. Needs no master key.
///
/// # Errors
/// [`KeyError::Refused`] when there is no key file, when the folder holds something else or the keys of another log, or newer
/// ones; [`KeyError::File`]. What was there before is as it was.
pub fn back_up_keys(from: &Path, to: &Path, log: LogId) -> Result<KeysBackup, KeyError> {
    let refused = |reason: String| Err(KeyError::Refused(reason));
    if !from.exists() {
        return refused(format!("there is no key file {}", from.display()));
    }
    fs::create_dir_all(to).map_err(at(to))?;
    let before = find(to)?;
    let path = to.join(PART);
    copy_file(from, &path)?;
    let (position, keys, erased) = count(&path)?;
    if let Some(before) = &before {
        if before.log != log {
            return refused(format!(
                "the folder {} holds the keys of the log {}, and these are of {log}: take another folder",
                to.display(),
                before.log
            ));
        }
        if before.position > position {
            return refused(format!(
                "the folder {} holds newer keys than there are, {} records and not {position}: take another folder, and find \
                 out what became of them",
                to.display(),
                before.position
            ));
        }
    }
    let (sha256, bytes) = Sha256::of_file(&path).map_err(at(&path))?;
    let file = format!("keys-{}.db", &sha256.to_string()[..16]);
    fs::rename(&path, to.join(&file)).map_err(at(&path))?;
    attested::sync_folder(to).map_err(at(to))?;
    let taken_at = Timestamp::now();
    let backup = KeysBackup { format: FORMAT, log, taken_at, file, bytes, sha256, position, keys, erased };
    attested::write(&to.join(DESCRIPTION), &backup).map_err(at(to))?;
    remove_others(to, &backup.file)?;
    Ok(backup)
}

/// Copies the keys at `place`, a backup or a data folder (also of a running process), to the new file `to`. The file of a
/// backup is compared with what was written.
///
/// # Errors
/// [`KeyError::Refused`] when there are none, or they are damaged; [`KeyError::File`].
pub fn copy_keys(place: &Path, to: &Path) -> Result<(), KeyError> {
    let from = match describe(place)? {
        Some(backup) => check(place, &backup)?,
        None => place.join(FILE),
    };
    if !from.exists() {
        return Err(KeyError::Refused(format!(
            "there are no keys in {}: neither {DESCRIPTION}, which a backup has, nor {FILE}, which a data folder has",
            place.display()
        )));
    }
    copy_file(&from, to)?;
    count(to).map(drop)
}

/// Compares the file of a backup with what was written; gives where it is.
fn check(folder: &Path, backup: &KeysBackup) -> Result<PathBuf, KeyError> {
    let path = folder.join(&backup.file);
    let found = Sha256::of_file(&path).map_err(at(&path))?;
    if found == (backup.sha256, backup.bytes) {
        return Ok(path);
    }
    Err(KeyError::Refused(format!(
        "the backup of the keys is damaged: {} does not have the SHA-256 that {DESCRIPTION} names",
        path.display()
    )))
}

/// The backup in a folder that is to be written; `None` when nothing is there.
fn find(folder: &Path) -> Result<Option<KeysBackup>, KeyError> {
    let found = describe(folder)?;
    if found.is_some() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let name = entry.map_err(at(folder))?.file_name().to_string_lossy().into_owned();
        let left_behind =
            is_ours(&name) || name == attested::passing_name(Path::new(DESCRIPTION)).to_string_lossy();
        if !left_behind && name != "lost+found" {
            return Err(KeyError::Refused(format!(
                "the folder {} holds {name}, and no backup of keys: take an empty one",
                folder.display()
            )));
        }
    }
    Ok(None)
}

fn describe(folder: &Path) -> Result<Option<KeysBackup>, KeyError> {
    let path = folder.join(DESCRIPTION);
    match attested::read::<KeysBackup>(&path) {
        Ok(backup) if backup.format == FORMAT && is_ours(&backup.file) => Ok(Some(backup)),
        Ok(backup) => Err(KeyError::Refused(format!(
            "the backup of the keys has format {}, this release knows {FORMAT}",
            backup.format
        ))),
        Err(Unreadable::Missing) => Ok(None),
        Err(Unreadable::Damaged(reason)) => {
            Err(KeyError::Refused(format!("the backup of the keys is damaged: {} {reason}", path.display())))
        }
        Err(Unreadable::File(error)) => Err(at(&path)(error)),
    }
}

/// A file that a backup makes.
fn is_ours(name: &str) -> bool {
    let digits = name.strip_prefix("keys-").and_then(|rest| rest.strip_suffix(".db"));
    name == PART || digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// No key outlives its erasure in a file that does not count any more.
fn remove_others(folder: &Path, kept: &str) -> Result<(), KeyError> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let name = entry.map_err(at(folder))?.file_name().to_string_lossy().into_owned();
        if is_ours(&name) && name != kept {
            fs::remove_file(folder.join(&name)).map_err(at(folder))?;
        }
    }
    attested::sync_folder(folder).map_err(at(folder))
}

/// One moment of a key file as a new file, whole and compact, which only its owner may read.
fn copy_file(from: &Path, to: &Path) -> Result<(), KeyError> {
    match fs::remove_file(to) {
        // What an earlier attempt left behind.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(to)(error)),
        Ok(()) | Err(_) => {}
    }
    attested::private().create_new(true).open(to).map_err(at(to))?;
    let name = to.to_str().ok_or_else(|| KeyError::File("the target's name is no text".into()))?;
    let connection = read_only(from)?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(failed)?;
    File::open(to).and_then(|file| file.sync_all()).map_err(at(to))
}

fn read_only(path: &Path) -> Result<Connection, KeyError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_WAIT).map_err(failed)?;
    Ok(connection)
}

/// Position, keys and erased people of a copy.
fn count(path: &Path) -> Result<(u64, u64, u64), KeyError> {
    let connection = read_only(path)?;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if pragma("application_id").map_err(failed)? != APPLICATION_ID {
        return Err(KeyError::Refused("the file is not a key file".into()));
    }
    let number = |sql: &str| -> Result<u64, KeyError> {
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs).map_err(failed)
    };
    let position = match pragma("user_version").map_err(failed)? {
        FORMAT_FOLLOWING => "SELECT next FROM following",
        _ => "SELECT coalesce(max(number), 0) FROM records",
    };
    let keys = "SELECT count(*) FROM records WHERE kid IS NOT NULL
                AND subject NOT IN (SELECT subject FROM records WHERE kid IS NULL)";
    let erased = "SELECT count(*) FROM records WHERE kid IS NULL";
    Ok((number(position)?, number(keys)?, number(erased)?))
}

/// A failure of the file system, with the file's name.
fn at(path: &Path) -> impl Fn(io::Error) -> KeyError + '_ {
    move |error| KeyError::File(format!("{}: {error}", path.display()))
}
