//! A sandbox of one's own, a client of it, and a merchant who receives its webhooks.

mod client;
mod inbox;

use std::time::Duration;

use sandbox::{Delivery, Sandbox, Settings, Timing, WebhookTarget};
use secrecy::SecretString;
use serde_json::{Value, json};

pub use client::{Client, Reply};
pub use inbox::Inbox;

pub const API_KEY: &str = "sk_sandbox_0123456789abcdef0123456789";
pub const SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";
/// From an order to its outcome. Nothing happens by itself in a test: it moves the clock.
pub const ANSWER_DELAY_MS: u64 = 60_000;
/// What has not happened within this time does not happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sandbox with everything around it.
pub struct House {
    pub client: Client,
    pub inbox: Inbox,
    pub sandbox: Sandbox,
}

/// What tests start from: slow by the sandbox's clock, quick in real time.
pub fn settings() -> Settings {
    let timing = Timing { answer_delay_ms: ANSWER_DELAY_MS, slow_ms: 400, hold_ms: 200, ..Timing::default() };
    let delivery = Delivery { backoff_ms: 5, backoff_ms_max: 20, timeout_ms: 2000, ..Delivery::default() };
    Settings { timing, delivery, ..Settings::new(SecretString::from(API_KEY)) }
}

impl House {
    pub async fn open() -> Self {
        Self::with(settings()).await
    }

    /// With these settings, and webhooks to an inbox of its own.
    pub async fn with(mut settings: Settings) -> Self {
        let inbox = Inbox::open().await;
        settings.webhook = Some(WebhookTarget::new(&inbox.url(), vec![SecretString::from(SECRET)]).unwrap());
        let sandbox = Sandbox::start(settings).await.unwrap();
        let client = Client::new(sandbox.address(), API_KEY);
        Self { client, inbox, sandbox }
    }

    pub async fn charge(&self, reference: &str, minor: i64, method: &str) -> Reply {
        self.client.post("/v1/charges", charge(reference, minor, method)).await
    }

    /// A charge that has succeeded: its id.
    pub async fn charged(&self, reference: &str, minor: i64) -> String {
        let id =
            self.charge(reference, minor, "pm_card").await.expect(201)["id"].as_str().unwrap().to_owned();
        self.settle().await;
        id
    }

    pub async fn refund(&self, reference: &str, charge: &str, minor: i64) -> Reply {
        let body = json!({ "reference": reference, "charge": charge, "amount": ghs(minor) });
        self.client.post("/v1/refunds", body).await
    }

    pub async fn payout(&self, reference: &str, minor: i64, destination: &str) -> Reply {
        let body = json!({ "reference": reference, "destination": destination, "amount": ghs(minor) });
        self.client.post("/v1/payouts", body).await
    }

    /// Every outcome that was due becomes known.
    pub async fn settle(&self) {
        self.advance(ANSWER_DELAY_MS).await;
    }

    pub async fn advance(&self, ms: u64) {
        self.client.post("/control/clock", json!({ "advance_ms": ms })).await.expect(200);
    }

    pub async fn status(&self, path: &str) -> String {
        self.client.get(path).await.expect(200)["status"].as_str().unwrap().to_owned()
    }

    /// The balance of an account in GHS, in minor units.
    pub async fn balance(&self, account: &str) -> i64 {
        let balances = self.client.get("/v1/balances").await.expect(200);
        let accounts = balances["currencies"][0]["accounts"].as_array().cloned().unwrap_or_default();
        let found = accounts.iter().find(|line| line["account"] == account);
        found.map_or(0, |line| line["balance"].as_str().unwrap().parse().unwrap())
    }
}

pub fn ghs(minor: i64) -> Value {
    json!({ "amount": minor.to_string(), "currency": "GHS" })
}

pub fn charge(reference: &str, minor: i64, method: &str) -> Value {
    json!({ "reference": reference, "amount": ghs(minor), "method": method })
}

/// Waits until `look` finds something.
///
/// # Panics
/// When it has not within a generous time.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"))
}
