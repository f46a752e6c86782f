//! The payment provider's settings: who moves the money, where it is reached, and what is shared with it.

use std::net::SocketAddr;

use secrecy::SecretString;
use serde::Deserialize;

/// `url` of a provider within this process.
const EMBEDDED: &str = "embedded";

/// Who moves the money.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentSettings {
    /// Which provider.
    pub provider: Provider,
    /// `embedded`, or `http://HOST:PORT`.
    pub url: String,
    /// Where the sandbox within this process listens.
    pub sandbox_listen: SocketAddr,
    /// What the provider knows us by.
    pub api_key: SecretString,
    /// What signs the provider's webhooks; one that fits is enough.
    pub webhook_secrets: Vec<SecretString>,
    /// A request that has not been answered by then is in doubt.
    pub timeout_ms: u64,
}

/// The providers there are adapters for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// `compose/sandbox`.
    Sandbox,
    /// Nobody.
    None,
}

impl PaymentSettings {
    /// A sandbox runs within the process that serves everything.
    pub fn is_embedded(&self) -> bool {
        self.provider == Provider::Sandbox && self.url == EMBEDDED
    }

    /// Why the URL is not one, if so.
    pub(super) fn complaint_about_url(&self) -> Option<&'static str> {
        let url: Option<http::Uri> = self.url.parse().ok();
        let fits = url.is_some_and(|url| {
            url.scheme_str() == Some("http") && url.host().is_some_and(|host| !host.is_empty())
        });
        (self.url != EMBEDDED && !fits).then_some("takes embedded, or http://HOST:PORT")
    }
}
