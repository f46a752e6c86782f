//! The sandbox provider, over HTTP, as `compose/sandbox/README.md` describes it.

use events::Timestamp;
use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Balances, BooksPage, Order, PaymentProvider, ProviderError, ProviderFuture, Reference, Standing,
    VerifiedWebhook, WebhookRefusal,
};

mod answer;
mod clock;
mod http_client;
mod signature;
mod wire;

use answer::{Asked, Reply};
use http_client::HttpClient;
use wire::{NewCharge, NewPayout, NewRefund, WireBalances, WireCharge, WireEntries, WirePayout, WireRefund};

/// By which we know it.
pub const NAME: &str = "sandbox";
/// Shorter keys and secrets are refused. Bytes.
pub const SECRET_BYTES_MIN: usize = 32;
/// Webhook secrets that are accepted at once, at most: two during a rotation, and some to spare.
pub const WEBHOOK_SECRETS_MAX: usize = 4;
/// Entries of the books read at once.
const ENTRIES_PER_PAGE: usize = 200;

/// How the sandbox is reached, and how it proves that it is the sandbox.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Where it listens: `http://host:port`.
    pub url: String,
    /// What it knows us by.
    pub api_key: SecretString,
    /// What its webhooks are signed with. During a rotation the old secret and the new one.
    pub webhook_secrets: Vec<SecretString>,
    /// An answer that takes longer than this, real time, leaves its order in doubt.
    pub timeout_ms: u64,
}

/// The sandbox provider.
#[derive(Debug)]
pub struct SandboxProvider {
    http: HttpClient,
    webhook_secrets: Vec<SecretString>,
}

/// Settings that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSettings(String);

impl SandboxProvider {
    /// A client of the sandbox. It connects when it is asked for something.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn new(settings: SandboxSettings) -> Result<Self, InvalidSettings> {
        let secrets = &settings.webhook_secrets;
        if secrets.is_empty() || secrets.len() > WEBHOOK_SECRETS_MAX {
            let sentence = format!("1 to {WEBHOOK_SECRETS_MAX} webhook secrets are accepted at once");
            return Err(InvalidSettings(sentence));
        }
        let too_short = |secret: &SecretString| secret.expose_secret().len() < SECRET_BYTES_MIN;
        if secrets.iter().any(too_short) || too_short(&settings.api_key) {
            let sentence = format!("API keys and webhook secrets have at least {SECRET_BYTES_MIN} bytes");
            return Err(InvalidSettings(sentence));
        }
        let http = HttpClient::new(&settings.url, settings.api_key, settings.timeout_ms);
        Ok(Self { http: http.map_err(InvalidSettings)?, webhook_secrets: settings.webhook_secrets })
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ProviderError> {
        let body = serde_json::to_vec(body).map_err(|error| ProviderError::Unavailable(error.to_string()))?;
        self.ask(Asked::ToDo, Method::POST, path, body).await?.read()
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ProviderError> {
        self.ask(Asked::ToTell, Method::GET, path, Vec::new()).await?.read()
    }

    /// `None` when the sandbox says that there is no such thing.
    async fn find<T: DeserializeOwned>(
        &self,
        kind: &str,
        reference: Reference,
    ) -> Result<Option<T>, ProviderError> {
        match self.get(&format!("/v1/{kind}/by-reference/{reference}")).await {
            Ok(found) => Ok(Some(found)),
            Err(ProviderError::Refused { code, .. }) if code == "not_found" => Ok(None),
            Err(ProviderError::Refused { code, detail }) => {
                Err(ProviderError::Unavailable(format!("{code}: {detail}")))
            }
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        asked: Asked,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Reply, ProviderError> {
        answer::judge(asked, self.http.send(method, path, body).await)
    }

    async fn send(&self, order: &Order) -> Result<Standing, ProviderError> {
        let reference = order.reference();
        match order {
            Order::Charge { amount, token, .. } => {
                let new = NewCharge { reference: reference.to_string(), amount: *amount, method: token };
                let charge: WireCharge = self.post("/v1/charges", &new).await?;
                charge.standing(reference)
            }
            Order::Refund { payment, attempt, amount, .. } => {
                let charged = Reference::Attempt { payment: *payment, attempt: *attempt };
                let Some(charge) = self.find::<WireCharge>("charges", charged).await? else {
                    let detail = format!("there is no charge {charged}");
                    return Err(ProviderError::Refused { code: "charge_not_found".to_owned(), detail });
                };
                let (reference_text, charge) = (reference.to_string(), charge.id);
                let new = NewRefund { reference: reference_text, charge, amount: *amount };
                let refund: WireRefund = self.post("/v1/refunds", &new).await?;
                refund.standing(reference)
            }
            Order::Payout { amount, token, .. } => {
                let new = NewPayout { reference: reference.to_string(), amount: *amount, destination: token };
                let payout: WirePayout = self.post("/v1/payouts", &new).await?;
                payout.standing(reference)
            }
        }
    }

    async fn standing(&self, reference: Reference) -> Result<Option<Standing>, ProviderError> {
        match reference {
            Reference::Attempt { .. } => {
                let charge: Option<WireCharge> = self.find("charges", reference).await?;
                charge.map(|charge| charge.standing(reference)).transpose()
            }
            Reference::Refund { .. } => {
                let refund: Option<WireRefund> = self.find("refunds", reference).await?;
                refund.map(|refund| refund.standing(reference)).transpose()
            }
            Reference::Payout { .. } => {
                let payout: Option<WirePayout> = self.find("payouts", reference).await?;
                payout.map(|payout| payout.standing(reference)).transpose()
            }
        }
    }

    async fn entries(
        &self,
        from: Timestamp,
        to: Timestamp,
        after: Option<&str>,
    ) -> Result<BooksPage, ProviderError> {
        let after = match after {
            None => String::new(),
            Some(place) if !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("&after={place}")
            }
            Some(_) => return Err(ProviderError::Unavailable("no place in the books".to_owned())),
        };
        let path = format!("/v1/entries?from={from}&to={to}&limit={ENTRIES_PER_PAGE}{after}");
        let entries: WireEntries = self.get(&path).await.map_err(as_unavailable)?;
        Ok(entries.into())
    }
}

/// A look-up changes nothing: whatever went wrong, it can be asked again.
fn as_unavailable(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::Refused { .. } | ProviderError::InDoubt(_) => {
            ProviderError::Unavailable(error.to_string())
        }
        ProviderError::Unavailable(_) => error,
    }
}

impl PaymentProvider for SandboxProvider {
    fn name(&self) -> &str {
        NAME
    }

    fn order<'a>(&'a self, order: &'a Order) -> ProviderFuture<'a, Standing> {
        Box::pin(self.send(order))
    }

    fn look_up(&self, reference: Reference) -> ProviderFuture<'_, Option<Standing>> {
        Box::pin(async move { self.standing(reference).await.map_err(as_unavailable) })
    }

    fn give_up<'a>(&'a self, charge: &'a Standing) -> ProviderFuture<'a, Standing> {
        Box::pin(async move {
            let path = format!("/v1/charges/{}/cancel", charge.provider_id);
            let cancelled: WireCharge = self.post(&path, &()).await?;
            cancelled.standing(charge.reference)
        })
    }

    fn books<'a>(
        &'a self,
        from: Timestamp,
        to: Timestamp,
        after: Option<&'a str>,
    ) -> ProviderFuture<'a, BooksPage> {
        Box::pin(self.entries(from, to, after))
    }

    fn balances(&self) -> ProviderFuture<'_, Balances> {
        Box::pin(async move {
            let balances: WireBalances = self.get("/v1/balances").await.map_err(as_unavailable)?;
            balances.read().ok_or_else(|| ProviderError::Unavailable("balances are no numbers".to_owned()))
        })
    }

    fn signature_header(&self) -> &'static str {
        signature::HEADER
    }

    fn read_webhook(
        &self,
        signature: Option<&str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<VerifiedWebhook, WebhookRefusal> {
        let secrets = self.webhook_secrets.iter().map(|secret| secret.expose_secret().as_bytes());
        signature::verify(secrets, signature, body, now)?;
        wire::read_webhook(body)
    }
}
