//! What we want of a payment provider, whoever it is: orders by our reference, look-ups by it, its books, its webhooks.
//!
//! [`PaymentProvider`] is the port. A provider does what one [`Reference`] asks for once, however often it is told;
//! what became of it arrives as a signed webhook, or is asked for. [`sandbox`] is the adapter of the sandbox provider.

use std::{future::Future, pin::Pin};

use events::{
    Currency, Money, Timestamp,
    ids::{PaymentId, PayoutId},
    vocabulary::payments::Notice,
};

mod reference;
pub mod sandbox;
mod standing;
mod webhook;

pub use reference::{InvalidReference, Reference};
pub use standing::{Standing, State};
pub use webhook::{VerifiedWebhook, WebhookRefusal};

/// What a provider answers with, in its own time.
pub type ProviderFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProviderError>> + Send + 'a>>;

/// A payment provider, as far as we need one.
pub trait PaymentProvider: Send + Sync + 'static {
    /// By which receipts, logs and `/webhooks/{provider}` know it.
    fn name(&self) -> &str;

    /// Orders something under its reference. The same order again does nothing more and answers with what stands.
    ///
    /// # Errors
    /// See [`ProviderError`]. After [`ProviderError::InDoubt`] look it up before it is sent again.
    fn order<'a>(&'a self, order: &'a Order) -> ProviderFuture<'a, Standing>;

    /// What became of an order, as it stands now; `None`: it never arrived.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`]: a look-up changes nothing, so there is no doubt about one.
    fn look_up(&self, reference: Reference) -> ProviderFuture<'_, Option<Standing>>;

    /// Gives up a charge that waits for its payer, or whose money is set aside and not taken: what became of it.
    ///
    /// # Errors
    /// See [`ProviderError`]. One that has moved on meanwhile is refused, and may have succeeded: look it up again.
    fn give_up<'a>(&'a self, charge: &'a Standing) -> ProviderFuture<'a, Standing>;

    /// A page of the provider's books from `from` (inclusive) to `to` (exclusive) by the provider's clock, in its own
    /// order; `after` is the `next` of the page before.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`], as with [`PaymentProvider::look_up`].
    fn books<'a>(
        &'a self,
        from: Timestamp,
        to: Timestamp,
        after: Option<&'a str>,
    ) -> ProviderFuture<'a, BooksPage>;

    /// What the provider has of ours, in each currency that money ever moved in.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`], as with [`PaymentProvider::look_up`].
    fn balances(&self) -> ProviderFuture<'_, Balances>;

    /// The header that carries a webhook's signature, lower case.
    fn signature_header(&self) -> &'static str;

    /// Checks that a webhook is the provider's and recent, on its raw bytes, and reads it. `now` is real time: that of
    /// signatures is never moved.
    ///
    /// # Errors
    /// See [`WebhookRefusal`]; nothing of a refused webhook is believed.
    fn read_webhook(
        &self,
        signature: Option<&str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<VerifiedWebhook, WebhookRefusal>;
}

/// What is ordered of a provider.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Take money from a payer.
    Charge {
        /// Our payment.
        payment: PaymentId,
        /// Its attempt.
        attempt: u32,
        /// How much.
        amount: Money,
        /// What the provider calls the means of paying.
        token: String,
    },
    /// Give money back.
    Refund {
        /// Our payment.
        payment: PaymentId,
        /// Its refund.
        refund: u32,
        /// The attempt that brought the money in.
        attempt: u32,
        /// How much.
        amount: Money,
    },
    /// Send money to a bank.
    Payout {
        /// Our payout.
        payout: PayoutId,
        /// Its attempt.
        attempt: u32,
        /// How much.
        amount: Money,
        /// What the provider calls the destination.
        token: String,
    },
}

impl Order {
    /// The name under which it is done once.
    pub fn reference(&self) -> Reference {
        match *self {
            Self::Charge { payment, attempt, .. } => Reference::Attempt { payment, attempt },
            Self::Refund { payment, refund, .. } => Reference::Refund { payment, refund },
            Self::Payout { payout, attempt, .. } => Reference::Payout { payout, attempt },
        }
    }
}

/// Why a provider did not answer as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It will not do this, now or later; nothing was done.
    #[error("refused: {code} ({detail})")]
    Refused {
        /// The provider's reason, a stable code.
        code: String,
        /// The same for people.
        detail: String,
    },
    /// It may have been done: look it up before it is sent again.
    #[error("in doubt: {0}")]
    InDoubt(String),
    /// It did not get as far as doing anything. It may be sent again.
    #[error("away: {0}")]
    Unavailable(String),
}

/// Money that moved in the provider's books.
#[derive(Clone, Debug, PartialEq)]
pub struct BookEntry {
    /// When, by the provider's clock.
    pub at: Timestamp,
    /// What happened.
    pub movement: Movement,
    /// Our reference of it, as the provider has it.
    pub reference: String,
    /// The provider's own id of the charge, refund or payout.
    pub provider_id: String,
    /// How much.
    pub amount: Money,
}

impl BookEntry {
    /// What of ours it is about; `None` when we never ordered under such a name.
    pub fn ours(&self) -> Option<Reference> {
        self.reference.parse().ok().filter(|reference| self.movement.is_about(reference))
    }
}

/// What moved money in the provider's books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Movement {
    /// A payer's money came: we can spend it.
    ChargeSucceeded,
    /// A refund was ordered: its money is set aside.
    RefundCreated,
    /// It arrived at the payer.
    RefundSucceeded,
    /// It did not, and is ours to spend again.
    RefundFailed,
    /// A payout was ordered: its money is set aside.
    PayoutCreated,
    /// It arrived at the bank.
    PayoutPaid,
    /// It did not, and is ours to spend again.
    PayoutFailed,
    /// It had arrived, and came back.
    PayoutReturned,
}

impl Movement {
    /// Charges, refunds and payouts each have references of their own.
    fn is_about(self, reference: &Reference) -> bool {
        match self {
            Self::ChargeSucceeded => matches!(reference, Reference::Attempt { .. }),
            Self::RefundCreated | Self::RefundSucceeded | Self::RefundFailed => {
                matches!(reference, Reference::Refund { .. })
            }
            Self::PayoutCreated | Self::PayoutPaid | Self::PayoutFailed | Self::PayoutReturned => {
                matches!(reference, Reference::Payout { .. })
            }
        }
    }
}

/// Part of the provider's books.
#[derive(Clone, Debug, PartialEq)]
pub struct BooksPage {
    /// In the provider's order.
    pub entries: Vec<BookEntry>,
    /// To be sent as `after` for the next page; there is none behind the last.
    pub next: Option<String>,
}

/// What the provider has of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balances {
    /// When this was so, by the provider's clock.
    pub at: Timestamp,
    /// Each currency that money ever moved in, by code.
    pub currencies: Vec<CurrencyBalance>,
}

/// What the provider has of ours in one currency, minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrencyBalance {
    /// Which.
    pub currency: Currency,
    /// We can spend this.
    pub available_minor: i128,
    /// On its way back to payers.
    pub refunds_under_way_minor: i128,
    /// On its way to banks.
    pub payouts_under_way_minor: i128,
}

/// What a notice is when it says nothing that we wait for.
pub(crate) fn other(name: &str) -> Notice {
    Notice::Other { name: bounded(name) }
}

/// The longest code or name of a provider that we keep, characters.
const NAME_CHARACTERS_MAX: usize = 100;

pub(crate) fn bounded(text: &str) -> String {
    text.chars().take(NAME_CHARACTERS_MAX).collect()
}
