//! Restoring: a log is made of a backup beside where it is to be, and put in its place when it is whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::{
    BackupError, BackupGauge, check, failed,
    manifest::{LogKind, Manifest},
    people::People,
};
use crate::{
    attested,
    envelope::CloudEvent,
    keys::backup::FILE as KEYS,
    log::{
        FolderLock, LogError, LogOptions, StoredCommit, VerifyReport,
        copy::{self, Candidate, Checkpointer, CopyPlan, CopyWriter, Durability, Outcome, RESTORING},
        judge::spans,
        lock_folder,
    },
    stream::{BEFORE_FIRST, LogId},
};

/// Commits in one transaction.
const BATCH_COMMITS: usize = 1000;
/// Bodies in one transaction, bytes.
const BATCH_BYTES: usize = 8 << 20;

/// A data folder that is being restored. It is locked, and what is made lies in [`Restoration::folder`] until
/// [`Restoration::finish`]. Until then nobody opens a log in it, not even after a crash; another restore begins anew.
#[derive(Debug)]
pub struct Restoration {
    target: PathBuf,
    folder: PathBuf,
    made: Vec<PathBuf>,
    _lock: FolderLock,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Which log it is now.
    pub log: LogId,
    /// What the walk over all its chains found.
    pub found: VerifyReport,
}

impl Restoration {
    /// Takes the folder, which must be empty, not there yet, or left behind by a restore that broke off.
    ///
    /// # Errors
    /// [`BackupError::Refused`] when it holds anything else; [`LogError::Locked`] when a process has it;
    /// [`BackupError::File`].
    pub fn begin(target: &Path) -> Result<Self, BackupError> {
        let made = copy::make_folder(target)?;
        let lock = lock_folder(target)?;
        let folder = target.join(RESTORING);
        let log_files = [copy::FILE, KEYS].map(|name| ["", "-wal", "-shm"].map(|end| format!("{name}{end}")));
        let log_files: Vec<String> = log_files.into_iter().flatten().collect();
        let broke_off = folder.exists();
        for entry in fs::read_dir(target).map_err(failed(target))? {
            let name = entry.map_err(failed(target))?.file_name().to_string_lossy().into_owned();
            let ours = [copy::LOCK, "lost+found"].contains(&name.as_str());
            // While the mark of a restore is there nobody can have served what lies beside it.
            let left_behind = broke_off && (name == RESTORING || log_files.contains(&name));
            if !ours && !left_behind {
                return Err(BackupError::Refused(format!(
                    "the folder {} is not empty, it holds {name}: a log is restored into an empty one",
                    target.display()
                )));
            }
        }
        if broke_off {
            for name in &log_files {
                remove(&target.join(name))?;
            }
            fs::remove_dir_all(&folder).map_err(failed(&folder))?;
        }
        fs::create_dir(&folder).map_err(failed(&folder))?;
        copy::sync_folders(&made)?;
        Ok(Self { target: target.to_owned(), folder, made, _lock: lock })
    }

    /// Where log and keys are made.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the key file is made.
    pub fn keys(&self) -> PathBuf {
        self.folder.join(KEYS)
    }

    /// Makes the log of the backup in `backup`: judges every commit, links every chain, walks all of it at the end.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] with the first file that is not what was written; [`BackupError::Log`].
    pub fn restore_log(
        &self,
        backup: &Path,
        manifest: &Manifest,
        people: &mut People<'_>,
        gauge: &BackupGauge,
    ) -> Result<Restored, BackupError> {
        let log = match manifest.kind {
            // From here on its history is its own.
            LogKind::Embedded => LogId(Uuid::now_v7()),
            LogKind::NodeCopy => manifest.log,
        };
        let partitions = manifest.partitions.iter().map(|record| record.partition).collect();
        let plan = CopyPlan { log: Some(log), partitions, durability: Durability::Full };
        let options = LogOptions::embedded(&self.folder);
        let mut copy = copy::open(&self.folder, &options, &plan)?;
        let checkpointer = Checkpointer::start(&self.folder, &mut copy, options.wal_bytes_max)?;
        let mut making = Making { copy, checkpointer, commits: 0, bytes: 0 };
        making.copy.begin()?;
        check::walk(backup, manifest, gauge, |index, commit, events| {
            people.note(commit.position, events)?;
            let partition = making.copy.reader().index_of(manifest.partitions[index].partition);
            making.add(partition.ok_or_else(|| out_of_place(commit))?, commit, events)
        })?;
        for record in manifest.partitions.iter().filter(|record| record.judged > BEFORE_FIRST) {
            making.copy.set_source(record.partition, record.judged)?;
        }
        making.copy.commit()?;
        let found = making.copy.reader().verify()?;
        making.checkpointer.finish(&mut making.copy)?;
        let (commits, events) = manifest.totals();
        if (found.commits, found.events) != (commits, events) {
            return Err(LogError::File("the restored log holds other commits than the backup".into()).into());
        }
        Ok(Restored { log, found })
    }

    /// Puts log and keys in their place, the log last: a folder that has it has all.
    ///
    /// # Errors
    /// [`BackupError::File`]; then another restore begins anew.
    pub fn finish(self) -> Result<(), BackupError> {
        for name in [KEYS, copy::FILE] {
            let (from, to) = (self.folder.join(name), self.target.join(name));
            let behind = self.folder.join(format!("{name}-wal"));
            if fs::metadata(&behind).is_ok_and(|behind| behind.len() > 0) {
                let reason = "something is still writing it".to_owned();
                return Err(BackupError::File(format!("{}: {reason}", from.display())));
            }
            // A node can do without: its keys are on the topic.
            if name == copy::FILE || from.exists() {
                fs::rename(&from, &to).map_err(failed(&to))?;
            }
        }
        attested::sync_folder(&self.target).map_err(failed(&self.target))?;
        fs::remove_dir_all(&self.folder).map_err(failed(&self.folder))?;
        copy::sync_folders(&self.made)?;
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A log in the making.
struct Making {
    copy: CopyWriter,
    checkpointer: Checkpointer,
    /// In the open transaction.
    commits: usize,
    bytes: usize,
}

impl Making {
    fn add(
        &mut self,
        partition: usize,
        commit: &StoredCommit,
        events: &[CloudEvent<'_>],
    ) -> Result<(), BackupError> {
        let candidate = Candidate {
            stream: commit.stream,
            first_version: commit.first_version,
            count: commit.count,
            commands: &spans(events),
            body: &commit.body,
            body_checksum: copy::body_checksum(&commit.body),
        };
        match self.copy.add(partition, commit.position.offset, &candidate)? {
            Outcome::Added(_) => {}
            Outcome::Refused(..) => return Err(out_of_place(commit)),
        }
        let chain = self.copy.head(commit.stream)?.map(|head| head.chain);
        if chain != Some(commit.chain) {
            let reason = "its hash does not continue the chain of its stream".to_owned();
            return Err(LogError::Damaged { position: commit.position, reason }.into());
        }
        (self.commits, self.bytes) = (self.commits + 1, self.bytes + commit.body.len());
        if self.commits >= BATCH_COMMITS || self.bytes >= BATCH_BYTES {
            self.copy.commit()?;
            self.checkpointer.between_batches(&mut self.copy)?;
            (self.commits, self.bytes) = (0, 0);
            self.copy.begin()?;
        }
        Ok(())
    }
}

fn out_of_place(commit: &StoredCommit) -> BackupError {
    let reason = "it does not follow the commit before it in its stream".to_owned();
    LogError::Damaged { position: commit.position, reason }.into()
}
