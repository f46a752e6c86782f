//! Backups of a log: its commits in plain files that are only ever added to, beside a manifest that is written last.
//!
//! - [`take`] writes what a log holds at one moment, also while it is written. The next one into the same folder adds what is
//!   new. One that breaks off leaves the backup before it as it was, and is taken up by the next.
//! - [`check`] reads every byte again.
//! - [`Restoration`] makes a log of a backup: every commit is judged again, every chain is linked again. Whoever opens the
//!   folder sees a whole log or none.
//!
//! A log that goes on from a backup has another history from there on than the one it was taken of. So it gets an id of its
//! own, and whatever is ahead of it (read models, tokens, snapshots) is foreign to it and refused or built anew, as everywhere
//! else. A node's copy of a log on an upstream keeps the id: the upstream has the history, and the node reads on from it.
//!
//! ```text
//! manifest.json                     what counts: every file with its length and SHA-256; written last, replaced whole
//! unfinished.json                   the same for a backup that is under way or broke off
//! backup.lock                       held by whoever writes here
//! log/jobs-0-000000000000000.commits
//! ```

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use super::LogError;
use crate::{
    attested::Unreadable,
    keys::KeyError,
    stream::{BEFORE_FIRST, Offset},
};

mod check;
mod manifest;
mod people;
mod restore;
mod segment;
mod take;

pub use crate::attested::Sha256;
pub use check::{check, read_manifest};
pub use manifest::{KeysPosition, LogKind, Manifest, PartitionRecord, ReadModelPosition, Segment};
pub use people::People;
pub use restore::{Restoration, Restored};
pub use take::{BackupOptions, BackupReport, take};

/// What a finished backup is known by.
const MANIFEST: &str = "manifest.json";
/// What is known of one that is not finished.
const UNFINISHED: &str = "unfinished.json";
/// Held by whoever writes a backup.
const LOCK: &str = "backup.lock";
/// Where the commits are.
const COMMITS: &str = "log";

/// Why a backup was not taken, is not good, or was not restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It must not be done, or not like this; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// A file of the backup is not what was written.
    #[error("the backup is damaged: {file} {reason}")]
    Damaged {
        /// Which file, within the backup.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The log that is backed up, or the one that is made.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The keys of personal data.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A file could not be read or written. What was there before is as it was.
    #[error("{0}")]
    File(String),
}

impl BackupError {
    fn damaged(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged { file: file.into(), reason: reason.into() }
    }

    /// What a file that describes others turned out to be.
    fn of_description(path: &Path, unreadable: Unreadable) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match unreadable {
            Unreadable::Missing => Self::damaged(name, "is missing"),
            Unreadable::Damaged(reason) => Self::damaged(name, reason),
            Unreadable::File(error) => failed(path)(error),
        }
    }
}

/// A failure of the file system, with the file's name.
fn failed(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    move |error| BackupError::File(format!("{}: {error}", path.display()))
}

/// How far a backup or a restore is, for whoever watches it. Places are offsets: they have gaps, so they are a measure and no
/// count.
#[derive(Debug, Default)]
pub struct BackupGauge {
    passed: AtomicU64,
    total: AtomicU64,
}

impl BackupGauge {
    /// How many places of how many it has passed.
    pub fn read(&self) -> (u64, u64) {
        (self.passed.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    fn begin(&self, total: u64) {
        self.passed.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    fn pass(&self, places: u64) {
        self.passed.fetch_add(places, Ordering::Relaxed);
    }
}

/// Offsets behind `after` up to `end`.
fn places(after: Offset, end: Offset) -> u64 {
    u64::try_from(end.max(BEFORE_FIRST) - after.max(BEFORE_FIRST)).unwrap_or(0)
}
