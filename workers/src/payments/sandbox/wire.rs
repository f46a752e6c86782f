//! What goes over the wire to and from the sandbox, and what it means here.

use events::{Currency, Money, Timestamp, vocabulary::payments::Notice};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::payments::{
    Balances, BookEntry, BooksPage, CurrencyBalance, Movement, ProviderError, Reference, Standing, State,
    VerifiedWebhook, WebhookRefusal, other,
};

/// Longer ids are none of the sandbox's.
const EVENT_ID_BYTES_MAX: usize = 128;

#[derive(Serialize)]
pub(super) struct NewCharge<'a> {
    pub(super) reference: String,
    pub(super) amount: Money,
    pub(super) method: &'a str,
}

#[derive(Serialize)]
pub(super) struct NewRefund {
    pub(super) reference: String,
    pub(super) charge: String,
    pub(super) amount: Money,
}

#[derive(Serialize)]
pub(super) struct NewPayout<'a> {
    pub(super) reference: String,
    pub(super) amount: Money,
    pub(super) destination: &'a str,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
}

/// The code of a failure; the sandbox always gives one.
fn code(failure: Option<Failure>) -> String {
    failure.map_or_else(|| "unknown".to_owned(), |failure| failure.code)
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChargeStatus {
    Processing,
    RequiresAction,
    Authorized,
    Succeeded,
    Failed,
    Cancelled,
}

#[derive(Deserialize)]
pub(super) struct WireCharge {
    pub(super) id: String,
    reference: String,
    amount: Money,
    status: ChargeStatus,
    failure: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RefundStatus {
    Processing,
    Succeeded,
    Failed,
}

#[derive(Deserialize)]
pub(super) struct WireRefund {
    id: String,
    reference: String,
    amount: Money,
    status: RefundStatus,
    failure: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PayoutStatus {
    Processing,
    Paid,
    Failed,
    Returned,
}

#[derive(Deserialize)]
pub(super) struct WirePayout {
    id: String,
    reference: String,
    amount: Money,
    status: PayoutStatus,
    failure: Option<Failure>,
}

/// An answer about something else is no answer: what was asked for is as open as before.
fn about(asked: Reference, text: &str) -> Result<Reference, ProviderError> {
    if text.parse() == Ok(asked) {
        return Ok(asked);
    }
    Err(ProviderError::InDoubt("the answer is about another order".to_owned()))
}

impl WireCharge {
    pub(super) fn standing(self, asked: Reference) -> Result<Standing, ProviderError> {
        about(asked, &self.reference).map(|reference| self.of(reference))
    }

    fn of(self, reference: Reference) -> Standing {
        let state = match self.status {
            ChargeStatus::Processing => State::UnderWay,
            ChargeStatus::RequiresAction => State::ActionRequired,
            ChargeStatus::Authorized => State::Authorized,
            ChargeStatus::Succeeded => State::Done,
            ChargeStatus::Failed => State::Failed { code: code(self.failure) },
            ChargeStatus::Cancelled => State::Failed { code: "cancelled".to_owned() },
        };
        Standing { reference, provider_id: self.id, amount: self.amount, state }
    }
}

impl WireRefund {
    pub(super) fn standing(self, asked: Reference) -> Result<Standing, ProviderError> {
        about(asked, &self.reference).map(|reference| self.of(reference))
    }

    fn of(self, reference: Reference) -> Standing {
        let state = match self.status {
            RefundStatus::Processing => State::UnderWay,
            RefundStatus::Succeeded => State::Done,
            RefundStatus::Failed => State::Failed { code: code(self.failure) },
        };
        Standing { reference, provider_id: self.id, amount: self.amount, state }
    }
}

impl WirePayout {
    pub(super) fn standing(self, asked: Reference) -> Result<Standing, ProviderError> {
        about(asked, &self.reference).map(|reference| self.of(reference))
    }

    fn of(self, reference: Reference) -> Standing {
        let state = match self.status {
            PayoutStatus::Processing => State::UnderWay,
            PayoutStatus::Paid => State::Done,
            PayoutStatus::Failed => State::Failed { code: code(self.failure) },
            PayoutStatus::Returned => State::Returned { code: code(self.failure) },
        };
        Standing { reference, provider_id: self.id, amount: self.amount, state }
    }
}

// ---- webhooks ----

#[derive(Deserialize)]
struct WireEvent<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// A webhook whose signature was verified.
pub(super) fn read_webhook(body: &[u8]) -> Result<VerifiedWebhook, WebhookRefusal> {
    let text = std::str::from_utf8(body).map_err(|_| WebhookRefusal::NotJson)?;
    serde_json::from_str::<&RawValue>(text).map_err(|_| WebhookRefusal::NotJson)?;
    let event: WireEvent<'_> = serde_json::from_str(text).map_err(|_| WebhookRefusal::UnknownShape)?;
    if event.id.is_empty() || event.id.len() > EVENT_ID_BYTES_MAX {
        return Err(WebhookRefusal::UnknownShape);
    }
    let notice = notice(&event)?;
    Ok(VerifiedWebhook { provider_event: event.id, notice, body: text.to_owned() })
}

/// What the event's own data say; an event about nothing that we ordered says nothing to us.
fn notice(event: &WireEvent<'_>) -> Result<Notice, WebhookRefusal> {
    let data = event.data.get();
    let standing = match event.kind.split('.').next() {
        Some("charge") => {
            let charge: WireCharge = read(data)?;
            let ours = charge.reference.parse().ok();
            ours.filter(|ours| matches!(ours, Reference::Attempt { .. })).map(|ours| charge.of(ours))
        }
        Some("refund") => {
            let refund: WireRefund = read(data)?;
            let ours = refund.reference.parse().ok();
            ours.filter(|ours| matches!(ours, Reference::Refund { .. })).map(|ours| refund.of(ours))
        }
        Some("payout") => {
            let payout: WirePayout = read(data)?;
            let ours = payout.reference.parse().ok();
            ours.filter(|ours| matches!(ours, Reference::Payout { .. })).map(|ours| payout.of(ours))
        }
        Some(_) | None => None,
    };
    Ok(standing.and_then(|standing| standing.notice()).unwrap_or_else(|| other(&event.kind)))
}

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, WebhookRefusal> {
    serde_json::from_str(data).map_err(|_| WebhookRefusal::UnknownShape)
}

// ---- books ----

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    ChargeSucceeded,
    RefundCreated,
    RefundSucceeded,
    RefundFailed,
    PayoutCreated,
    PayoutPaid,
    PayoutFailed,
    PayoutReturned,
}

#[derive(Deserialize)]
struct WireEntry {
    at: Timestamp,
    cause: Cause,
    object: String,
    reference: String,
    amount: Money,
}

#[derive(Deserialize)]
pub(super) struct WireEntries {
    items: Vec<WireEntry>,
    next: Option<String>,
}

impl From<WireEntries> for BooksPage {
    fn from(page: WireEntries) -> Self {
        Self { entries: page.items.into_iter().map(BookEntry::from).collect(), next: page.next }
    }
}

impl From<WireEntry> for BookEntry {
    fn from(entry: WireEntry) -> Self {
        let movement = match entry.cause {
            Cause::ChargeSucceeded => Movement::ChargeSucceeded,
            Cause::RefundCreated => Movement::RefundCreated,
            Cause::RefundSucceeded => Movement::RefundSucceeded,
            Cause::RefundFailed => Movement::RefundFailed,
            Cause::PayoutCreated => Movement::PayoutCreated,
            Cause::PayoutPaid => Movement::PayoutPaid,
            Cause::PayoutFailed => Movement::PayoutFailed,
            Cause::PayoutReturned => Movement::PayoutReturned,
        };
        let WireEntry { at, object, reference, amount, .. } = entry;
        Self { at, movement, reference, provider_id: object, amount }
    }
}

#[derive(Deserialize)]
pub(super) struct WireBalances {
    at: Timestamp,
    currencies: Vec<WireCurrency>,
}

#[derive(Deserialize)]
struct WireCurrency {
    currency: Currency,
    accounts: Vec<WireAccount>,
}

#[derive(Deserialize)]
struct WireAccount {
    account: String,
    balance: String,
}

impl WireBalances {
    pub(super) fn read(self) -> Option<Balances> {
        let currencies: Option<Vec<CurrencyBalance>> =
            self.currencies.into_iter().map(WireCurrency::read).collect();
        Some(Balances { at: self.at, currencies: currencies? })
    }
}

impl WireCurrency {
    /// An account that is not listed never had anything.
    fn read(self) -> Option<CurrencyBalance> {
        let of = |name: &str| match self.accounts.iter().find(|account| account.account == name) {
            None => Some(0),
            Some(account) => account.balance.parse::<i128>().ok(),
        };
        Some(CurrencyBalance {
            currency: self.currency,
            available_minor: of("merchant")?,
            refunds_under_way_minor: of("refunds_under_way")?,
            payouts_under_way_minor: of("payouts_under_way")?,
        })
    }
}
