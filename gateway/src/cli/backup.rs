//! `guildhall backup`: the log, and apart from it the keys, as they are at one moment; also while a server runs.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand};
use events::{
    Partition, Service,
    keys::{KeyRing, MasterKey, backup::copy_keys},
    log::{
        LogOptions,
        backup::{
            BackupError, BackupGauge, BackupOptions, BackupReport, LogKind, Manifest, People,
            ReadModelPosition, check, take,
        },
    },
};
use secrecy::ExposeSecret as _;

use super::{Failure, prepared, print, progress::shown};
use crate::{house::OpenError, server, settings::Settings};

/// What is asked: a backup, or a look at one.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
What it takes is one moment of the log; commits that come meanwhile are in the next one. The same folders are taken again
and again: that of the log only gets what is new, in that of the keys the file is replaced, so that who was erased is gone
from it, too. A backup that breaks off, for whatever reason, leaves the one before it whole; taking it again goes on where
it was.

Keep the keys apart: what is personal in the backup of the log can be read by nobody without them, nor without
secrets.master_key, which is in neither. Read models are not copied: they are built anew. docs/backup.md is the runbook.

Examples:
  Every hour, beside the running server:
    guildhall backup --to /backup/log --keys-to /vault/keys

  Is it good? Reads every byte; with --keys also whether they open what is sealed:
    guildhall backup verify /backup/log --keys /vault/keys

  On an empty machine:
    guildhall restore --from /backup/log --keys /vault/keys"
)]
pub(super) struct Backup {
    #[command(subcommand)]
    command: Option<BackupCommand>,
    #[command(flatten)]
    take: Option<TakeBackup>,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// Read every byte of a backup again, and compare it with what was written.
    Verify(VerifyBackup),
}

/// From where, and to where.
#[derive(Debug, Args)]
struct TakeBackup {
    /// The data folder; without it, that of the settings.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The folder for the log: a new one, or one with earlier backups of this log.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The folder for the keys, apart from the log's; best on another machine.
    #[arg(long, value_name = "DIR", required_unless_present = "without_keys")]
    keys_to: Option<PathBuf>,
    /// Leave the keys out. What is personal in this backup can then only be read with keys from elsewhere.
    #[arg(long, conflicts_with = "keys_to")]
    without_keys: bool,
    /// A file of commits of this size is full, and another one is begun.
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    segment_mib: u32,
}

/// Which backup.
#[derive(Debug, Args)]
struct VerifyBackup {
    /// The folder of the log's backup.
    #[arg(value_name = "DIR")]
    backup: PathBuf,
    /// A folder with keys, a backup of them or a data folder: do they open all that is sealed in the backup?
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::Error(error.to_string())
    }
}

/// Takes a backup, or verifies one.
pub(super) fn run(settings: &Settings, asked: Backup) -> Result<(), Failure> {
    match (asked.command, asked.take) {
        (Some(BackupCommand::Verify(asked)), _) => verify(settings, asked),
        (None, Some(asked)) => back_up(settings, asked),
        (None, None) => {
            Err(Failure::Usage("say where to: guildhall backup --to DIR --keys-to DIR (see --help)".into()))
        }
    }
}

fn back_up(settings: &Settings, asked: TakeBackup) -> Result<(), Failure> {
    let folder = asked.data.unwrap_or_else(|| settings.data.clone());
    let mut options = BackupOptions::new(folder, &asked.to, asked.keys_to.clone());
    options.segment_bytes_max = u64::from(asked.segment_mib) << 20;
    let taken =
        carried_out(settings, "copying", "the next backup goes on where this one was", async |gauge| {
            options.read_models = read_models(settings, &options.folder).await;
            tokio::task::spawn_blocking(move || take(&options, &gauge)).await
        })?;
    print(&told(&taken, &asked.to, asked.keys_to.as_deref()))
}

fn told(taken: &BackupReport, to: &Path, keys_to: Option<&Path>) -> String {
    let BackupReport { manifest, added, keys } = taken;
    let (commits, events) = manifest.totals();
    let mut told = format!(
        "ok: log {} is in {}: {commits} commits, {events} events, {added} of the commits new\n",
        manifest.log,
        to.display()
    );
    match (keys, keys_to) {
        (Some(keys), Some(place)) => told.push_str(&format!(
            "its keys are in {}: {} keys, {} people erased\n",
            place.display(),
            keys.keys,
            keys.erased
        )),
        (Some(_), None) | (None, _) => told.push_str("its keys were left out\n"),
    }
    for record in manifest.partitions.iter().filter(|record| record.end >= 0) {
        told.push_str(&format!("{}/{}\n", record.partition, record.end));
    }
    told
}

/// How far the read models are. They can be lost, so not to know it is no failure.
async fn read_models(settings: &Settings, folder: &Path) -> Vec<ReadModelPosition> {
    let partitions = partitions(folder);
    match projections::positions(&settings.read_store.options(folder), &partitions).await {
        Ok(positions) => positions
            .into_iter()
            .map(|(projection, partition, checkpoint)| ReadModelPosition {
                read_model: projection.to_string(),
                log: checkpoint.log,
                partition,
                offset: checkpoint.offset,
            })
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "how far the read models are is not noted: the read store does not say");
            Vec::new()
        }
    }
}

/// The partitions of the log in `folder`; what is wrong with it is told by the backup.
fn partitions(folder: &Path) -> Vec<Partition> {
    let options = LogOptions { read_only: true, ..LogOptions::embedded(folder) };
    match events::open(&options) {
        Ok(log) => log.partitions(),
        Err(_) => Service::ALL.iter().map(|service| Partition { service: *service, number: 0 }).collect(),
    }
}

fn verify(settings: &Settings, asked: VerifyBackup) -> Result<(), Failure> {
    let scratch = tempfile::tempdir().map_err(|error| Failure::Error(error.to_string()))?;
    let keys = match &asked.keys {
        Some(place) => Some(open_copy(settings, place, &scratch.path().join("keys.db"))?),
        None => None,
    };
    let (manifest, values) = carried_out(settings, "verifying", "nothing was changed", async |gauge| {
        tokio::task::spawn_blocking(move || {
            let mut people = keys.as_ref().map(People::new);
            let manifest = check(&asked.backup, people.as_mut(), &gauge)?;
            people.as_ref().map_or(Ok(()), People::have_their_keys)?;
            Ok::<_, BackupError>((manifest, people.map(|people| people.values)))
        })
        .await
    })?;
    let (commits, events) = manifest.totals();
    let keys = match values {
        Some(values) => format!("the keys open all {values} sealed values, or say who was erased"),
        None => "the keys were not looked at (--keys)".to_owned(),
    };
    print(&format!(
        "ok: {} of {}: {commits} commits, {events} events, every byte as it was written\n{keys}\n",
        described(&manifest),
        manifest.taken_at
    ))
}

/// What a backup is of, in words.
pub(super) fn described(manifest: &Manifest) -> String {
    match manifest.kind {
        LogKind::Embedded => format!("a backup of the log {}", manifest.log),
        LogKind::NodeCopy => format!("a backup of a node's copy of the log {}", manifest.log),
    }
}

/// A copy of the keys at `place`, in a new file, opened.
pub(super) fn open_copy(settings: &Settings, place: &Path, to: &Path) -> Result<KeyRing, Failure> {
    let failed = |error| Failure::Error(format!("the keys in {}: {error}", place.display()));
    copy_keys(place, to).map_err(failed)?;
    let master = MasterKey::from_hex(settings.secrets.master_key.expose_secret()).map_err(failed)?;
    KeyRing::open_copy(to, &master).map_err(failed)
}

/// Runs long work with progress, until it is done or somebody stops it.
pub(super) fn carried_out<T, E: Into<Failure>>(
    settings: &Settings,
    words: &'static str,
    when_interrupted: &str,
    work: impl AsyncFnOnce(Arc<BackupGauge>) -> Result<Result<T, E>, tokio::task::JoinError>,
) -> Result<T, Failure> {
    let runtime = prepared(settings)?;
    let done = runtime.block_on(async {
        let stop = server::stop_signal().map_err(|error| Failure::Error(error.to_string()))?;
        let gauge = Arc::new(BackupGauge::default());
        let watched = Arc::clone(&gauge);
        let read = move || {
            let (passed, total) = watched.read();
            (words, passed, total)
        };
        tokio::select! {
            done = shown(read, work(gauge)) => match done {
                Ok(done) => done.map_err(Into::into),
                Err(error) => Err(OpenError::Process(format!("it broke off: {error}")).into()),
            },
            () = stop => Err(Failure::Interrupted(format!("interrupted; {when_interrupted}"))),
        }
    });
    // What nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    done
}
