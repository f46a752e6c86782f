//! `guildhall demo`: drives a server through its public HTTP API, and tells what happens as it happens.

use std::io::IsTerminal;

mod cast;
mod client;
mod narrator;
mod scale;
mod story;

pub use client::{Client, DemoError, Reply};

/// What the demo is asked to do.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  guildhall demo\n  guildhall demo --self-hosted\n  guildhall demo --scale 500"
)]
pub struct DemoArguments {
    /// The server to drive.
    #[arg(long, default_value = "http://127.0.0.1:8080", conflicts_with = "self_hosted")]
    pub server: String,
    /// Starts a server of its own on a throw-away folder and a free port.
    #[arg(long)]
    pub self_hosted: bool,
    /// Makes so many marketplaces instead of telling one story, with progress and a rate.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub scale: Option<u64>,
    /// Marketplaces made at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=256), requires = "scale")]
    pub concurrency: u64,
}

/// Runs the demo against the server at `base`.
///
/// # Errors
/// The first answer that was not the one the story needs.
pub async fn run(base: &str, arguments: &DemoArguments) -> Result<(), DemoError> {
    let client = Client::new(base);
    match arguments.scale {
        Some(count) => scale::run(&client, count, arguments.concurrency).await,
        None => {
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let mut narrator = narrator::Narrator::new(colour);
            story::tell(&client, &mut narrator).await
        }
    }
}
