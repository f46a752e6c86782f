//! Taking a backup: what a log holds at one moment, added to what the folder has of it already.
//!
//! Commits never change, so the moment is nothing but the ends of all partitions, read at once; what stands before them is
//! read at leisure, a page at a time, and keeps no writer waiting. The keys are copied after that moment, so that no value is
//! without its key.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{
    BackupError, BackupGauge, COMMITS, LOCK, MANIFEST, UNFINISHED, failed,
    manifest::{FORMAT, KeysPosition, LogKind, Manifest, PartitionRecord, ReadModelPosition},
    places,
    segment::SegmentWriter,
};
use crate::{
    attested::{self, Unreadable},
    keys::backup::{KeysBackup, back_up_keys},
    log::{
        LogError, LogOptions, ReadLimit, StoredCommit,
        copy::{self, CopyReader},
    },
    stream::{BEFORE_FIRST, LogId},
    time::Timestamp,
};

/// What is read of the log at once.
const PAGE: ReadLimit = ReadLimit { commits: 256, bytes: 4 << 20 };

/// What to back up, and to where.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The folder of the log, or of a node's copy of one.
    pub folder: PathBuf,
    /// The folder for the backup: empty, not there yet, or with earlier backups of this log.
    pub to: PathBuf,
    /// The folder for the key file, apart from the log; `None` leaves the keys out.
    pub keys_to: Option<PathBuf>,
    /// A file of commits with as many bytes is full, and another one is begun.
    pub segment_bytes_max: u64,
    /// The release that takes it.
    pub taken_by: String,
    /// How far read models are.
    pub read_models: Vec<ReadModelPosition>,
}

impl BackupOptions {
    /// The defaults, for the log in `folder`.
    pub fn new(folder: impl Into<PathBuf>, to: impl Into<PathBuf>, keys_to: Option<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            to: to.into(),
            keys_to,
            segment_bytes_max: 64 << 20,
            taken_by: env!("CARGO_PKG_VERSION").into(),
            read_models: Vec::new(),
        }
    }
}

/// What a backup came to.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupReport {
    /// What the folder holds now.
    pub manifest: Manifest,
    /// Commits that this backup added.
    pub added: u64,
    /// What was copied of the keys.
    pub keys: Option<KeysBackup>,
}

/// Takes a backup of the log in `options.folder`, also while a process writes it. When this returns it is durable and whole.
///
/// # Errors
/// [`BackupError::Refused`] when the folders make no sense, or the target holds anything but backups of this log, as it is
/// now; [`BackupError::Damaged`] when the file that is to be gone on with was changed; what log, keys and files report. The
/// backup that was there before is as it was, and another attempt takes up what this one had written.
pub fn take(options: &BackupOptions, gauge: &BackupGauge) -> Result<BackupReport, BackupError> {
    check_places(options)?;
    let reader = copy::open_read_only(&options.folder, &LogOptions::embedded(&options.folder))?;
    let target = Target::open(&options.to)?;
    let mut manifest = target.begin(reader.log(), options)?;
    let held = manifest.totals().0;
    let cut = reader.cut()?;
    manifest.taken_at = Timestamp::now();
    adopt(&mut manifest, &cut)?;
    for (record, row) in manifest.partitions.iter().zip(&cut) {
        follows(&reader, record, row.end)?;
    }
    gauge.begin(manifest.partitions.iter().zip(&cut).map(|(record, row)| places(record.end, row.end)).sum());
    target.save(UNFINISHED, &manifest)?;
    for (index, row) in cut.iter().enumerate() {
        copy_partition(&reader, &target, &mut manifest, index, (row.end, options.segment_bytes_max), gauge)?;
        manifest.partitions[index].judged = row.source_offset;
    }
    let keys = match &options.keys_to {
        Some(keys_to) => {
            Some(back_up_keys(&options.folder.join(crate::keys::backup::FILE), keys_to, manifest.log)?)
        }
        None => None,
    };
    let position =
        |keys: &KeysBackup| KeysPosition { position: keys.position, keys: keys.keys, erased: keys.erased };
    manifest.keys = keys.as_ref().map(position);
    target.finish(&manifest)?;
    Ok(BackupReport { added: manifest.totals().0 - held, manifest, keys })
}

/// The folders are apart: who gets hold of the one has not the other.
fn check_places(options: &BackupOptions) -> Result<(), BackupError> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(failed(path));
    let (folder, to) = (absolute(&options.folder)?, absolute(&options.to)?);
    let mut places = vec![("the log", folder), ("its backup", to)];
    if let Some(keys_to) = &options.keys_to {
        places.push(("the backup of the keys", absolute(keys_to)?));
    }
    for (name, path) in &places {
        for (other, beside) in places.iter().filter(|(other, _)| other != name) {
            if path.starts_with(beside) {
                return Err(BackupError::Refused(format!(
                    "{name} would be in the folder of {other}, {}: each needs a folder of its own, and the keys are best \
                     kept on another machine",
                    beside.display()
                )));
            }
        }
    }
    Ok(())
}

/// Takes over which partitions there are, and what they are copies of.
fn adopt(manifest: &mut Manifest, cut: &[copy::PartitionRow]) -> Result<(), BackupError> {
    let follows_upstream = cut.iter().any(|row| row.source_offset != BEFORE_FIRST);
    let kind = if follows_upstream { LogKind::NodeCopy } else { LogKind::Embedded };
    if kind != manifest.kind && manifest.totals().0 > 0 {
        return Err(BackupError::Refused(
            "the folder holds a backup of an embedded log, and this is a node's copy of one, or the other way round: take it \
             to another folder"
                .into(),
        ));
    }
    manifest.kind = kind;
    let mut known = std::mem::take(&mut manifest.partitions);
    for row in cut {
        let place = known.iter().position(|record| record.partition == row.partition);
        let record = place.map(|place| known.swap_remove(place));
        manifest.partitions.push(record.unwrap_or_else(|| PartitionRecord::empty(row.partition)));
    }
    match known.first() {
        None => Ok(()),
        Some(record) => Err(BackupError::Refused(format!(
            "the folder holds a backup of the partition {}, which this log has not: take it to another folder",
            record.partition
        ))),
    }
}

/// The log goes on from what was backed up, and holds the same up to there.
fn follows(reader: &CopyReader, record: &PartitionRecord, end: i64) -> Result<(), BackupError> {
    if record.end == BEFORE_FIRST {
        return Ok(());
    }
    let held = match reader.read(record.partition, record.end - 1, ReadLimit { commits: 1, bytes: 1 }) {
        Ok(found) => found.into_iter().next(),
        Err(error) => return Err(error.into()),
    };
    let same = held.is_some_and(|held| held.position.offset == record.end && held.chain.0 == record.chain.0);
    if same && end >= record.end {
        return Ok(());
    }
    Err(BackupError::Refused(format!(
        "the log does not hold what the folder has of it, {} up to {}: it went on from an older state. Take the backup to \
         another folder, and keep this one",
        record.partition, record.end
    )))
}

/// Adds what a partition holds up to `end`, and notes each file that is full.
fn copy_partition(
    reader: &CopyReader,
    target: &Target,
    manifest: &mut Manifest,
    index: usize,
    (end, segment_bytes_max): (i64, u64),
    gauge: &BackupGauge,
) -> Result<(), BackupError> {
    let mut adding = Adding {
        folder: target.folder.join(COMMITS),
        log: manifest.log,
        record: manifest.partitions[index].clone(),
        segment_bytes_max,
        writer: None,
    };
    while adding.record.end < end {
        let after = adding.record.end;
        let page = reader.read_linked(adding.record.partition, after, end, PAGE)?;
        if page.is_empty() {
            let reason = format!("the log has lost {} behind {after}", adding.record.partition);
            return Err(LogError::File(reason).into());
        }
        for commit in &page {
            if adding.add(commit)? {
                manifest.partitions[index] = adding.record.clone();
                target.save(UNFINISHED, manifest)?;
            }
        }
        gauge.pass(places(after, adding.record.end));
    }
    adding.settle()?;
    manifest.partitions[index] = adding.record;
    Ok(())
}

/// One partition as it grows.
struct Adding {
    folder: PathBuf,
    log: LogId,
    /// With the file under way, once that is settled.
    record: PartitionRecord,
    segment_bytes_max: u64,
    writer: Option<SegmentWriter>,
}

impl Adding {
    /// Whether a file was full with it, and is durable.
    fn add(&mut self, commit: &StoredCommit) -> Result<bool, BackupError> {
        if self.writer.is_none() {
            let max = self.segment_bytes_max;
            let fills = self.record.segments.pop_if(|last| last.bytes < max);
            self.writer = Some(match fills {
                Some(segment) => SegmentWriter::go_on(&self.folder, &segment)?,
                None => {
                    let position = commit.position;
                    SegmentWriter::begin(&self.folder, self.log, position.partition, position.offset)?
                }
            });
        }
        let Some(writer) = &mut self.writer else { return Ok(false) };
        writer.add(commit)?;
        self.record.note(commit);
        if writer.bytes() < self.segment_bytes_max {
            return Ok(false);
        }
        self.settle()?;
        Ok(true)
    }

    fn settle(&mut self) -> Result<(), BackupError> {
        if let Some(writer) = self.writer.take() {
            self.record.segments.push(writer.settle()?);
        }
        Ok(())
    }
}

/// The folder that is written, by one process at a time.
struct Target {
    folder: PathBuf,
    _lock: File,
}

impl Target {
    fn open(folder: &Path) -> Result<Self, BackupError> {
        let made = copy::make_folder(folder)?;
        let path = folder.join(LOCK);
        let lock = attested::private().create(true).truncate(false).open(&path).map_err(failed(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(BackupError::Refused(format!(
                    "another backup is being written to {}: wait for its end",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&path)(error)),
        }
        copy::sync_folders(&made)?;
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    /// What is there already, as the beginning of the next backup.
    fn begin(&self, log: LogId, options: &BackupOptions) -> Result<Manifest, BackupError> {
        let (finished, unfinished) = (self.read(MANIFEST)?, self.read(UNFINISHED)?);
        let run = finished.as_ref().map_or(0, |manifest| manifest.run) + 1;
        // One that is not newer was finished, and only its end was not told.
        let base = unfinished.filter(|unfinished| unfinished.run == run).or(finished);
        if base.is_none() {
            self.is_empty()?;
        }
        let base = base.unwrap_or_else(|| Manifest {
            format: FORMAT,
            run,
            log,
            kind: LogKind::Embedded,
            taken_at: Timestamp::now(),
            taken_by: String::new(),
            partitions: Vec::new(),
            keys: None,
            read_models: Vec::new(),
        });
        if base.log != log {
            return Err(BackupError::Refused(format!(
                "the folder {} holds a backup of the log {}, and this is the log {log}: take it to another folder",
                self.folder.display(),
                base.log
            )));
        }
        let commits = self.folder.join(COMMITS);
        fs::create_dir_all(&commits).map_err(failed(&commits))?;
        Ok(Manifest {
            run,
            taken_by: options.taken_by.clone(),
            keys: None,
            read_models: options.read_models.clone(),
            ..base
        })
    }

    /// Nothing that somebody else put here is mixed with a backup.
    fn is_empty(&self) -> Result<(), BackupError> {
        for entry in fs::read_dir(&self.folder).map_err(failed(&self.folder))? {
            let name = entry.map_err(failed(&self.folder))?.file_name();
            let passing = attested::passing_name(Path::new(UNFINISHED));
            let ours = [Path::new(LOCK), Path::new(COMMITS), passing.as_path(), Path::new("lost+found")];
            if !ours.contains(&Path::new(&name)) {
                return Err(BackupError::Refused(format!(
                    "the folder {} holds {}, and no backup: take it to an empty one",
                    self.folder.display(),
                    name.display()
                )));
            }
        }
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Option<Manifest>, BackupError> {
        let path = self.folder.join(name);
        match attested::read::<Manifest>(&path) {
            Ok(manifest) if manifest.format == FORMAT => Ok(Some(manifest)),
            Ok(manifest) => Err(BackupError::Refused(format!(
                "the backup has format {}, this release knows {FORMAT}",
                manifest.format
            ))),
            Err(Unreadable::Missing) => Ok(None),
            Err(unreadable) => Err(BackupError::of_description(&path, unreadable)),
        }
    }

    /// Writes down what counts. Files are durable before they are named.
    fn save(&self, name: &str, manifest: &Manifest) -> Result<(), BackupError> {
        let commits = self.folder.join(COMMITS);
        attested::sync_folder(&commits).map_err(failed(&commits))?;
        let path = self.folder.join(name);
        attested::write(&path, manifest).map_err(failed(&path))
    }

    fn finish(&self, manifest: &Manifest) -> Result<(), BackupError> {
        self.save(MANIFEST, manifest)?;
        let unfinished = self.folder.join(UNFINISHED);
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&unfinished)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
