//! The binary `sandbox`: the provider as a process of its own, until it is told to stop.

use std::{io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use sandbox::{Bounds, Delivery, Disorder, Sandbox, Settings, Timing, WebhookTarget};
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};

/// The sandbox payment provider. Prints its address on stdout when it is ready.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "SANDBOX_LISTEN", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// What callers send as `Authorization: Bearer`; at least 32 bytes.
    #[arg(long, env = "SANDBOX_API_KEY", hide_env_values = true)]
    api_key: SecretString,
    /// Where webhooks go, `http://…`.
    #[arg(long, env = "SANDBOX_WEBHOOK_URL", requires = "webhook_secrets")]
    webhook_url: Option<String>,
    /// What signs them; two during a rotation, separated by a comma. At least 32 bytes each.
    #[arg(long, env = "SANDBOX_WEBHOOK_SECRETS", hide_env_values = true, value_delimiter = ',')]
    webhook_secrets: Vec<SecretString>,
    /// The file that keeps the books; without one they live in memory.
    #[arg(long, env = "SANDBOX_BOOKS")]
    books: Option<PathBuf>,
    /// From an order to its outcome, by the sandbox's clock.
    #[arg(long, env = "SANDBOX_ANSWER_DELAY_MS", default_value_t = Timing::default().answer_delay_ms)]
    answer_delay_ms: u64,
    /// The same for pm_late_confirmation.
    #[arg(long, env = "SANDBOX_LATE_DELAY_MS", default_value_t = Timing::default().late_delay_ms)]
    late_delay_ms: u64,
    /// From the payment of a payout to its return, for the tokens that return.
    #[arg(long, env = "SANDBOX_RETURN_DELAY_MS", default_value_t = Timing::default().return_delay_ms)]
    return_delay_ms: u64,
    /// What a slow request takes.
    #[arg(long, env = "SANDBOX_SLOW_MS", default_value_t = Timing::default().slow_ms)]
    slow_ms: u64,
    /// How long a request that is never answered is held before its connection is broken off.
    #[arg(long, env = "SANDBOX_HOLD_MS", default_value_t = Timing::default().hold_ms)]
    hold_ms: u64,
    /// What the disorder of webhooks is drawn from.
    #[arg(long, env = "SANDBOX_SEED", default_value_t = 0)]
    seed: u64,
    /// So many of a hundred webhooks are repeated.
    #[arg(long, env = "SANDBOX_REPEAT_PERCENT", default_value_t = 0)]
    repeat_percent: u8,
    /// So many of a hundred webhooks are delayed, and overtaken by others.
    #[arg(long, env = "SANDBOX_DELAY_PERCENT", default_value_t = 0)]
    delay_percent: u8,
    /// The longest delay.
    #[arg(long, env = "SANDBOX_DELAY_MS_MAX", default_value_t = 0)]
    delay_ms_max: u64,
    /// After so many attempts without a 2xx a webhook is undelivered.
    #[arg(long, env = "SANDBOX_ATTEMPTS_MAX", default_value_t = Delivery::default().attempts_max)]
    attempts_max: u32,
}

impl Arguments {
    fn settings(self) -> Result<Settings, String> {
        let webhook =
            self.webhook_url.map(|url| WebhookTarget::new(&url, self.webhook_secrets)).transpose()?;
        Ok(Settings {
            listen: self.listen,
            api_key: self.api_key,
            webhook,
            books: self.books,
            timing: Timing {
                answer_delay_ms: self.answer_delay_ms,
                late_delay_ms: self.late_delay_ms,
                return_delay_ms: self.return_delay_ms,
                slow_ms: self.slow_ms,
                hold_ms: self.hold_ms,
            },
            delivery: Delivery { attempts_max: self.attempts_max, ..Delivery::default() },
            disorder: Disorder {
                seed: self.seed,
                repeat_percent: self.repeat_percent,
                delay_percent: self.delay_percent,
                delay_ms_max: self.delay_ms_max,
            },
            bounds: Bounds::default(),
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    lines.with_env_filter(filter).init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let sandbox = Sandbox::start(arguments.settings()?).await.map_err(|error| error.to_string())?;
    let ready = writeln!(std::io::stdout(), "http://{}", sandbox.address());
    ready.map_err(|error| format!("nobody reads the address: {error}"))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    sandbox.stop().await;
    Ok(())
}
