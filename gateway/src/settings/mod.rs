//! The settings: one struct per concern, from layers that remember where each value came from.

mod check;
mod layers;
mod log;
mod payments;
mod print;
mod read_store;

use std::{net::SocketAddr, path::PathBuf};

use commands::Policy;
use secrecy::SecretString;
use serde::Deserialize;
use workers::WorkerSettings;

pub use layers::{Layers, Origin, SettingsError};
pub use log::{KafkaSettings, LogSettings};
pub use payments::{PaymentSettings, Provider};
pub use read_store::{Members, ReadStoreSettings};

/// The manual: every setting with its default.
pub const DEFAULTS: &str = include_str!("../guildhall.default.toml");

/// All settings of one process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is allowed at all.
    pub profile: Profile,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// The folder of the log (or of this process's copy of it), the keys and the read store.
    pub data: PathBuf,
    /// Which part of the whole this process is; the command line says so.
    #[serde(skip)]
    pub role: Role,
    /// Who orders the commits.
    pub log: LogSettings,
    /// Where read models are kept.
    pub read_store: ReadStoreSettings,
    /// Bounds of HTTP.
    pub http: HttpSettings,
    /// Tokens and passwords.
    pub auth: AuthSettings,
    /// Keys that seal.
    pub secrets: SecretSettings,
    /// Periods and bounds of the marketplace.
    pub policy: Policy,
    /// Who moves the money.
    pub payments: PaymentSettings,
    /// What runs by itself.
    pub workers: WorkerSettings,
    /// Logs of this process.
    pub logging: LoggingSettings,
}

/// Which part of the whole a process is. The parts share the log, of which each has a copy; each has a read store of its own,
/// or all share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// All of it.
    #[default]
    Whole,
    /// HTTP and the read models that queries need.
    Gateway,
    /// Process managers with their steps and timers; of HTTP only health, metrics and what operators need.
    Worker,
}

/// What is allowed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Default secrets, a test clock, logs for people.
    Development,
    /// None of these.
    Production,
}

/// Bounds of HTTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Connections served at once.
    pub connections_max: usize,
    /// A request's body.
    pub body_bytes_max: usize,
    /// A request's path and query.
    pub uri_bytes_max: usize,
    /// A request's line and headers.
    pub header_bytes_max: usize,
    /// How many headers.
    pub headers_max: usize,
    /// A connection that has not sent its headers by then is closed.
    pub header_read_timeout_ms: u64,
    /// A request that has not been answered by then is answered 503.
    pub request_timeout_ms: u64,
    /// Time for requests under way when the process stops.
    pub drain_timeout_ms: u64,
    /// How long a query waits for its read model.
    pub consistency_wait_ms: u64,
    /// How long an answer waits for a key of personal data.
    pub personal_wait_ms: u64,
}

/// Tokens and passwords.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// Signs access tokens.
    pub token_secret: SecretString,
    /// `iss` of access tokens.
    pub token_issuer: String,
    /// `aud` of access tokens.
    pub token_audience: String,
    /// How long an access token is good for.
    pub token_lifetime_s: u64,
    /// How old what this process knows of sessions and roles may be.
    pub staleness_max_ms: u64,
    /// Argon2id: memory.
    pub argon2_memory_kib: u32,
    /// Argon2id: passes.
    pub argon2_iterations: u32,
    /// Argon2id: lanes.
    pub argon2_parallelism: u32,
    /// Passwords hashed at once.
    pub password_hashes_max: usize,
    /// Passwords that may wait for their turn.
    pub password_queue_max: usize,
}

/// Keys that seal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSettings {
    /// Wraps the keys of personal data: 64 hexadecimal digits.
    pub master_key: SecretString,
    /// Seals cursors and consistency tokens.
    pub link_secret: SecretString,
}

/// Logs of this process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggingSettings {
    /// How lines look.
    pub format: LogFormat,
    /// Which lines there are.
    pub filter: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Human in development, JSON in production.
    Auto,
    /// For people.
    Human,
    /// For machines.
    Json,
}

/// Settings whose values are never printed, and which production refuses at their default.
pub(crate) const SECRETS: [&str; 5] = [
    "auth.token_secret",
    "secrets.master_key",
    "secrets.link_secret",
    "payments.api_key",
    "payments.webhook_secrets",
];

/// The table that takes keys which do not stand in the defaults: they are another program's.
pub(crate) const OPEN_TABLE: &str = "log.kafka.properties";

/// The name within [`OPEN_TABLE`], when `key` lies there.
pub(crate) fn open_name(key: &str) -> Option<&str> {
    key.strip_prefix(OPEN_TABLE)?.strip_prefix('.').filter(|name| !name.is_empty())
}

/// Whether the value of `key` is never printed.
pub(crate) fn is_secret(key: &str) -> bool {
    const WORDS: [&str; 6] = ["password", "secret", "pem", "token", "oauthbearer.config", "jaas"];
    let of_others = |name: &str| WORDS.iter().any(|word| name.contains(word));
    SECRETS.contains(&key) || open_name(key).is_some_and(of_others)
}

impl Layers {
    /// The settings in force.
    ///
    /// # Errors
    /// A value that is not of its kind, or a pair that cannot both hold; each names the key and its source.
    pub fn settings(&self) -> Result<Settings, SettingsError> {
        let settings: Settings = self.deserialize()?;
        check::check(&settings, self)?;
        Ok(settings)
    }
}

impl Settings {
    /// Whether projectors run here: not in a gateway that shares the workers' read store.
    pub fn runs_projectors(&self) -> bool {
        self.workers.projectors && !(self.role == Role::Gateway && self.read_store.is_shared())
    }

    /// JSON log lines?
    pub fn logs_json(&self) -> bool {
        match self.logging.format {
            LogFormat::Auto => self.profile == Profile::Production,
            LogFormat::Human => false,
            LogFormat::Json => true,
        }
    }
}
