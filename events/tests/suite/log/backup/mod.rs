//! Backups: one moment of a log that is being written, added to and taken up, checked to the byte, made a log again.

mod damage;
mod nodes;
mod people;
mod refusals;
mod taking;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use events::{
    keys::{KeyRing, MasterKey, backup::copy_keys},
    log::{
        EventLog, LogOptions,
        backup::{
            BackupError, BackupGauge, BackupOptions, BackupReport, People, Restoration, Restored, check,
            read_manifest, take,
        },
    },
};
use tempfile::TempDir;

use super::support::{JOBS, append, commit, job};

type Log = Arc<dyn EventLog>;

/// A data folder, the folders of its backup, and one to restore into, which is not there yet.
struct Places {
    _parent: TempDir,
    data: PathBuf,
    to: PathBuf,
    keys: PathBuf,
    restored: PathBuf,
}

impl Places {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let [data, to, keys, restored] =
            ["data", "backup", "keys", "restored"].map(|name| parent.path().join(name));
        std::fs::create_dir(&data).unwrap();
        Self { _parent: parent, data, to, keys, restored }
    }

    fn log(&self) -> Log {
        events::open(&LogOptions::embedded(&self.data)).unwrap()
    }

    fn key_ring(&self) -> KeyRing {
        KeyRing::open(&self.data.join("keys.db"), &master()).unwrap()
    }

    /// Small files, so that there are some.
    fn options(&self) -> BackupOptions {
        let options = BackupOptions::new(&self.data, &self.to, Some(self.keys.clone()));
        BackupOptions { segment_bytes_max: 8 << 10, ..options }
    }

    fn take(&self) -> Result<BackupReport, BackupError> {
        if !self.data.join("keys.db").exists() {
            drop(self.key_ring());
        }
        take(&self.options(), &BackupGauge::default())
    }

    fn check(&self) -> Result<(), BackupError> {
        check(&self.to, None, &BackupGauge::default()).map(drop)
    }

    /// With the keys of that folder.
    fn restore(&self, keys: &Path) -> Result<Restored, BackupError> {
        let manifest = read_manifest(&self.to)?;
        let restoration = Restoration::begin(&self.restored)?;
        copy_keys(keys, &restoration.keys())?;
        let ring = KeyRing::open_copy(&restoration.keys(), &master()).unwrap();
        let mut people = People::new(&ring);
        let restored = restoration.restore_log(&self.to, &manifest, &mut people, &BackupGauge::default())?;
        people.have_their_keys()?;
        ring.erase_in_copy(&people.erased)?;
        drop(ring);
        restoration.finish()?;
        Ok(restored)
    }

    /// The log that was restored.
    fn restored_log(&self) -> Log {
        events::open(&LogOptions::embedded(&self.restored)).unwrap()
    }
}

fn master() -> MasterKey {
    MasterKey::from_hex(&"5a17".repeat(16)).unwrap()
}

/// Writes to `log` until the scope's work is done.
fn while_written<T>(log: &Log, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let stream = job();
                let mut version = 0;
                while !stop.load(Ordering::Relaxed) {
                    version += 1;
                    append(log, commit(stream, version, 1)).unwrap();
                }
            });
        }
        while log.end(JOBS).unwrap() < 100 {
            std::thread::yield_now();
        }
        let done = work();
        stop.store(true, Ordering::Relaxed);
        done
    })
}

/// Streams of two services, the commits of one with several commands.
fn fill(log: &Log, streams: usize) {
    for number in 0..streams {
        let stream = if number % 5 == 0 { super::support::clock() } else { job() };
        append(log, commit(stream, 1, 2)).unwrap();
        let asked = [(super::support::stamp(), 1), (super::support::stamp(), 3)];
        append(log, super::support::commit_of(stream, 3, &asked)).unwrap();
    }
}

/// Every commit of every partition, with its place.
fn all(log: &Log) -> Vec<events::log::StoredCommit> {
    log.partitions().into_iter().flat_map(|partition| super::support::history(log, partition)).collect()
}

/// The files of a folder and those below it, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
