//! Log lines of this process: for people in development, JSON in production, always on stderr.

use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::settings::Settings;

pub(super) fn start(settings: &Settings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.logging.filter)
        .map_err(|error| Failure::Usage(format!("setting `logging.filter`: {error}")))?;
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(terminal).with_writer(std::io::stderr);
    let started =
        if settings.logs_json() { lines.json().flatten_event(true).try_init() } else { lines.try_init() };
    started.map_err(|error| Failure::Error(error.to_string()))
}
