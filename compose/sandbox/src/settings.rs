//! What a sandbox can be told when it starts. The defaults are those of the binary, too.

use std::{net::SocketAddr, path::PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// Shorter keys and secrets are refused. Bytes.
pub const SECRET_BYTES_MIN: usize = 32;
/// During a rotation two secrets sign each webhook; more are refused.
pub const SECRETS_MAX: usize = 2;

/// Everything a sandbox can be told when it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What callers send as `Authorization: Bearer …`. At least [`SECRET_BYTES_MIN`] bytes.
    pub api_key: SecretString,
    /// Where webhooks go. Until there is a target they wait.
    pub webhook: Option<WebhookTarget>,
    /// The file that keeps the books. Without one they live in memory.
    pub books: Option<PathBuf>,
    /// How long things take.
    pub timing: Timing,
    /// How stubbornly webhooks are sent.
    pub delivery: Delivery,
    /// How webhooks are delayed, repeated and thereby reordered.
    pub disorder: Disorder,
    /// The bounds.
    pub bounds: Bounds,
}

impl Settings {
    /// The defaults, with this key of the caller.
    pub fn new(api_key: SecretString) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            api_key,
            webhook: None,
            books: None,
            timing: Timing::default(),
            delivery: Delivery::default(),
            disorder: Disorder::default(),
            bounds: Bounds::default(),
        }
    }
}

/// Where webhooks go, and what signs them.
#[derive(Clone, Debug)]
pub struct WebhookTarget {
    url: http::Uri,
    secrets: Vec<SecretString>,
}

impl WebhookTarget {
    /// The target at `url`, plain `http://`. Each of the secrets signs every webhook: one, or two during a rotation.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn new(url: &str, secrets: Vec<SecretString>) -> Result<Self, String> {
        let url: http::Uri = url.parse().map_err(|error| format!("the webhook's URL: {error}"))?;
        if url.scheme_str() != Some("http") || url.host().is_none_or(str::is_empty) {
            return Err("the webhook's URL must be http://host…: the sandbox speaks no TLS".into());
        }
        if secrets.is_empty() || secrets.len() > SECRETS_MAX {
            return Err(format!("a webhook is signed with 1 to {SECRETS_MAX} secrets"));
        }
        if secrets.iter().any(|secret| secret.expose_secret().len() < SECRET_BYTES_MIN) {
            return Err(format!("a webhook's secret has at least {SECRET_BYTES_MIN} bytes"));
        }
        Ok(Self { url, secrets })
    }

    /// The same place, signed with other secrets.
    pub(crate) fn signed_with(&self, secrets: Vec<SecretString>) -> Result<Self, String> {
        Self::new(&self.url.to_string(), secrets)
    }

    /// The same secrets, at another place.
    pub(crate) fn at(&self, url: &str) -> Result<Self, String> {
        Self::new(url, self.secrets.clone())
    }

    pub(crate) fn url(&self) -> &http::Uri {
        &self.url
    }

    pub(crate) fn secrets(&self) -> &[SecretString] {
        &self.secrets
    }
}

/// How long things take, by the sandbox's clock unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From a request to its outcome.
    pub answer_delay_ms: u64,
    /// The same for `pm_late_confirmation`.
    pub late_delay_ms: u64,
    /// From the payment of a payout to its return, for the tokens that return.
    pub return_delay_ms: u64,
    /// What a slow request takes, in real time.
    pub slow_ms: u64,
    /// How long a request that is never answered is held before its connection is broken off, in real time.
    pub hold_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            answer_delay_ms: 20,
            late_delay_ms: 20 * 60 * 1000,
            return_delay_ms: 3 * 24 * 60 * 60 * 1000,
            slow_ms: 2000,
            hold_ms: 30_000,
        }
    }
}

/// How stubbornly webhooks are sent. Real time: a moved clock does not hurry the network.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// After so many attempts without a 2xx an event is undelivered, until it is sent again by hand.
    pub attempts_max: u32,
    /// The pause after the first failed attempt; it doubles with each.
    pub backoff_ms: u64,
    /// The longest pause.
    pub backoff_ms_max: u64,
    /// An answer that takes longer counts as none.
    pub timeout_ms: u64,
    /// Attempts under way at once.
    pub concurrency: usize,
}

impl Default for Delivery {
    fn default() -> Self {
        Self { attempts_max: 12, backoff_ms: 100, backoff_ms_max: 30_000, timeout_ms: 5000, concurrency: 16 }
    }
}

/// How webhooks are delayed, repeated and thereby reordered: the same seed does the same to the n-th event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disorder {
    /// What the choices are drawn from.
    pub seed: u64,
    /// So many of a hundred events are sent again after they were sent.
    pub repeat_percent: u8,
    /// So many of a hundred events are delayed, and overtaken by those that are not.
    pub delay_percent: u8,
    /// The longest delay.
    pub delay_ms_max: u64,
}

/// The bounds. At each there is a clear answer.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Charges, refunds and payouts together; then new ones are refused with `books_full`.
    pub objects_max: usize,
    /// The file of the books; then new ones are refused with `books_full`.
    pub books_bytes_max: u64,
    /// Requests that wait for the books; then 503 `overloaded`.
    pub queue_max: usize,
    /// Connections; further ones wait.
    pub connections_max: usize,
    /// Standing faults; then 409 `too_many_faults`.
    pub faults_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            objects_max: 100_000,
            books_bytes_max: 1 << 30,
            queue_max: 1024,
            connections_max: 1024,
            faults_max: 64,
        }
    }
}

/// Checks what no type can.
pub(crate) fn check(settings: &Settings) -> Result<(), String> {
    if settings.api_key.expose_secret().len() < SECRET_BYTES_MIN {
        return Err(format!("the API key has at least {SECRET_BYTES_MIN} bytes"));
    }
    check_disorder(&settings.disorder)?;
    let delivery = &settings.delivery;
    let bounds = &settings.bounds;
    let positive = [
        ("delivery.attempts_max", u64::from(delivery.attempts_max)),
        ("delivery.timeout_ms", delivery.timeout_ms),
        ("delivery.concurrency", delivery.concurrency as u64),
        ("bounds.queue_max", bounds.queue_max as u64),
        ("bounds.connections_max", bounds.connections_max as u64),
    ];
    match positive.iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(format!("{name} must be more than 0")),
        None => Ok(()),
    }
}

/// A delay may not be longer than this: whoever wants days moves the clock.
const DELAY_MS_MAX: u64 = 60_000;

pub(crate) fn check_disorder(disorder: &Disorder) -> Result<(), String> {
    if disorder.repeat_percent > 100 || disorder.delay_percent > 100 {
        return Err("a percentage is 0 to 100".into());
    }
    if disorder.delay_ms_max > DELAY_MS_MAX {
        return Err(format!("delay_ms_max is at most {DELAY_MS_MAX}"));
    }
    Ok(())
}
