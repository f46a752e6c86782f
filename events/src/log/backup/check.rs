//! Reading a backup again, every byte of it.

use std::path::Path;

use super::{
    BackupError, BackupGauge, COMMITS, MANIFEST, UNFINISHED,
    manifest::{FORMAT, Manifest, PartitionRecord},
    people::People,
    places,
    segment::SegmentReader,
};
use crate::{
    attested::{self, Unreadable},
    envelope::{CloudEvent, parse_body},
    log::{LogError, StoredCommit},
};

/// The manifest of the backup in `folder`.
///
/// # Errors
/// [`BackupError::Refused`] when there is no backup, none that was finished, or one of another format;
/// [`BackupError::Damaged`], [`BackupError::File`].
pub fn read_manifest(folder: &Path) -> Result<Manifest, BackupError> {
    let refused = |reason: String| Err(BackupError::Refused(reason));
    let path = folder.join(MANIFEST);
    match attested::read::<Manifest>(&path) {
        Ok(manifest) if manifest.format == FORMAT => Ok(manifest),
        Ok(manifest) => {
            let format = manifest.format;
            refused(format!("the backup has format {format}, this release knows {FORMAT}"))
        }
        Err(Unreadable::Missing) if folder.join(UNFINISHED).exists() => refused(format!(
            "the backup in {} was never finished: there is no {MANIFEST}. Take it again to the same folder, and it goes on \
             where it was",
            folder.display()
        )),
        Err(Unreadable::Missing) => {
            refused(format!("there is no backup in {}: it has no {MANIFEST}", folder.display()))
        }
        Err(unreadable) => Err(BackupError::of_description(&path, unreadable)),
    }
}

/// Reads all that the manifest of the backup in `folder` names, and compares it with what was written. With `people`, looks
/// whether the keys open what is sealed.
///
/// # Errors
/// [`BackupError::Damaged`] with the first file that is not what was written; as [`read_manifest`].
pub fn check(
    folder: &Path,
    mut people: Option<&mut People<'_>>,
    gauge: &BackupGauge,
) -> Result<Manifest, BackupError> {
    let manifest = read_manifest(folder)?;
    walk(folder, &manifest, gauge, |_, commit, events| match &mut people {
        Some(people) => people.note(commit.position, events),
        None => Ok(()),
    })?;
    Ok(manifest)
}

/// Every commit with its events, partition by partition. What was visited is whole only when this returns well: a file is
/// known to be what was written at its end.
pub(super) fn walk(
    folder: &Path,
    manifest: &Manifest,
    gauge: &BackupGauge,
    mut visit: impl FnMut(usize, &StoredCommit, &[CloudEvent<'_>]) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let commits = folder.join(COMMITS);
    gauge.begin(manifest.partitions.iter().map(|record| places(-1, record.end)).sum());
    for (index, record) in manifest.partitions.iter().enumerate() {
        let mut found = PartitionRecord::empty(record.partition);
        for segment in &record.segments {
            let mut reader = SegmentReader::open(&commits, manifest.log, record.partition, segment)?;
            while let Some(commit) = reader.next()? {
                if commit.position.offset <= found.end || commit.position.offset > record.end {
                    return Err(reader.damaged("holds a commit that is not in its place"));
                }
                let events = parse_body(&commit.body).map_err(|error| reader.damaged(&error.to_string()))?;
                if !is_of(&commit, &events) {
                    return Err(reader.damaged("holds events that are not those it names"));
                }
                visit(index, &commit, &events).map_err(|error| match error {
                    BackupError::Log(LogError::Damaged { position, reason }) => {
                        reader.damaged(&format!("at {position}: {reason}"))
                    }
                    error => error,
                })?;
                gauge.pass(places(found.end, commit.position.offset));
                found.note(&commit);
            }
        }
        let same = (found.end, found.commits, found.events) == (record.end, record.commits, record.events);
        if !same || (found.chain, found.digest) != (record.chain, record.digest) {
            let reason = format!("names other commits of {} than there are", record.partition);
            return Err(BackupError::damaged(MANIFEST, reason));
        }
    }
    Ok(())
}

fn is_of(commit: &StoredCommit, events: &[CloudEvent<'_>]) -> bool {
    events.len() == commit.count as usize
        && events.iter().all(|event| event.subject == commit.stream)
        && events.first().is_some_and(|first| first.streamversion == commit.first_version)
}
