//! `guildhall log verify` walks every hash chain, also while a server runs.

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
