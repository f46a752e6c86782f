//! What happened, as it is kept: the books are what all facts fold to.

use serde::{Deserialize, Serialize};

use super::{charges::ChargeStatus, payouts::PayoutStatus, refunds::RefundStatus};
use crate::{money::Money, time::Time};

/// A fact with its time, by the sandbox's clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) at: Time,
    pub(crate) fact: Fact,
}

/// Everything that can happen to the books.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fact {
    BooksOpened { format: u32 },
    ClockAdvanced { by_ms: u64 },
    ChargeCreated(ChargeCreated),
    ChargeChanged(ChargeChanged),
    RefundCreated(RefundCreated),
    RefundChanged(RefundChanged),
    PayoutCreated(PayoutCreated),
    PayoutChanged(PayoutChanged),
    EventDelivered { event: String },
    EventUndelivered { event: String, reason: String },
    EventRequeued { event: String },
}

/// Why something failed or came back: a code for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl From<crate::tokens::Failing> for Failure {
    fn from((code, message): crate::tokens::Failing) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// How the money of a charge is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Capture {
    /// As soon as the card's bank agrees.
    #[default]
    Automatic,
    /// When the merchant asks for it.
    Manual,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChargeCreated {
    pub(crate) id: String,
    pub(crate) reference: String,
    pub(crate) amount: Money,
    pub(crate) method: String,
    pub(crate) capture: Capture,
    /// The special token that it behaves as: that of `method`, unless a fault said otherwise.
    pub(crate) acts_as: String,
    /// When its outcome is known.
    pub(crate) due: Time,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChargeChanged {
    pub(crate) id: String,
    pub(crate) to: ChargeStatus,
    pub(crate) failure: Option<Failure>,
    pub(crate) due: Option<Time>,
    /// The webhook that tells it; some changes are not told.
    pub(crate) event: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RefundCreated {
    pub(crate) id: String,
    pub(crate) reference: String,
    pub(crate) charge: String,
    pub(crate) amount: Money,
    pub(crate) due: Time,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RefundChanged {
    pub(crate) id: String,
    pub(crate) to: RefundStatus,
    pub(crate) failure: Option<Failure>,
    pub(crate) event: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PayoutCreated {
    pub(crate) id: String,
    pub(crate) reference: String,
    pub(crate) destination: String,
    pub(crate) amount: Money,
    pub(crate) acts_as: String,
    pub(crate) due: Time,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PayoutChanged {
    pub(crate) id: String,
    pub(crate) to: PayoutStatus,
    pub(crate) failure: Option<Failure>,
    /// When it comes back.
    pub(crate) due: Option<Time>,
    pub(crate) event: String,
}
