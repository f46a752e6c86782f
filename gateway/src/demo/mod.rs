//! `guildhall demo`: drives a server through its public HTTP API, and tells what happens as it happens.

use std::io::IsTerminal;

mod cast;
mod client;
mod closing;
mod narrator;
mod paying_out;
mod scale;
mod story;
mod work;

pub use client::{Client, DemoError, Memory, Reply};

/// What the demo is asked to do.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  guildhall demo\n  guildhall demo --self-hosted\n  guildhall demo --scale 500\n  \
                  guildhall demo --server http://one:8080 --server http://two:8080\n  \
                  compose/stack run --only kafka guildhall demo --self-hosted"
)]
pub struct DemoArguments {
    /// The server to drive; given several times, requests go to one after the other.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", conflicts_with = "self_hosted")]
    pub server: Vec<String>,
    /// Starts a server of its own on a throw-away folder and a free port. Under `compose/stack run` its log is on that
    /// stack's Kafka, in topics of its own.
    #[arg(long)]
    pub self_hosted: bool,
    /// The log of the server of its own: `embedded`, or `kafka://HOST:PORT[,HOST:PORT…]`.
    #[arg(long, value_name = "URL", requires = "self_hosted")]
    pub log: Option<String>,
    /// An operator's token, to look at the ledger; without it one is signed by the settings in force here.
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Makes so many marketplaces instead of telling one story, with progress and a rate.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub scale: Option<u64>,
    /// Marketplaces made at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=256), requires = "scale")]
    pub concurrency: u64,
}

/// Runs the demo against the servers at `bases`; `token` is an operator's.
///
/// # Errors
/// The first answer that was not the one the story needs.
pub async fn run(bases: &[String], arguments: &DemoArguments, token: &str) -> Result<(), DemoError> {
    let client = Client::new(bases);
    match arguments.scale {
        Some(count) => scale::run(&client, count, arguments.concurrency).await,
        None => {
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let mut narrator = narrator::Narrator::new(colour);
            let operator = client.bearing(token)?;
            story::tell(&client, &operator, &mut narrator).await
        }
    }
}
