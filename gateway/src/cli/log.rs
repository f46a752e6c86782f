//! `guildhall log verify` walks every hash chain, `guildhall log backup` copies a node's files; both also while a server runs.

use std::path::PathBuf;

use clap::Args;
use events::log::LogError;

use super::{Failure, print};
use crate::{
    house::{OpenError, open_log},
    settings::Settings,
};

/// Which log.
#[derive(Debug, Args)]
pub(super) struct VerifyLog {
    /// The data folder; without it, that of the settings.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Verifies and prints what was walked.
pub(super) fn verify(mut settings: Settings, asked: VerifyLog) -> Result<(), Failure> {
    if let Some(data) = asked.data {
        settings.data = data;
    }
    let log = open_log(&settings, true)?;
    let report = log.verify().map_err(|error| match error {
        damaged @ LogError::Damaged { .. } => Failure::Error(damaged.to_string()),
        error => OpenError::Log(error).into(),
    })?;
    log.close();
    let (streams, commits, events) = (report.streams, report.commits, report.events);
    print(&format!("ok: {streams} streams, {commits} commits, {events} events; every chain holds\n"))
}

/// Of which node, and to where.
#[derive(Debug, Args)]
#[command(after_help = "\
Copies the log's file and the keys (log.db, keys.db); a plain cp of files in use would not be consistent. Read models and
snapshots are not copied: a node builds them anew.

  A backup of an embedded log, while it runs:
    guildhall log backup --to /backup/2026-11-21

  Another node on Kafka starts from this one's copy instead of reading all topics, and goes on from there:
    guildhall log backup --to ./node-2
    GUILDHALL_DATA=./node-2 guildhall

Never serve two copies of one embedded log: they become two logs with one name.")]
pub(super) struct BackUp {
    /// The data folder; without it, that of the settings.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The folder to copy to; made when it is not there. It may not hold a log yet.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Copies and prints up to where.
pub(super) fn back_up(settings: &Settings, asked: &BackUp) -> Result<(), Failure> {
    let folder = asked.data.as_ref().unwrap_or(&settings.data);
    let backup = events::log::backup(folder, &asked.to).map_err(OpenError::Log)?;
    let keys = if backup.keys { "with its keys" } else { "there were no keys" };
    let mut told = format!("ok: log {} is in {}, {keys}; it ends at\n", backup.log, asked.to.display());
    for end in backup.ends {
        told.push_str(&format!("{end}\n"));
    }
    print(&told)
}
