//! Where an order stands at the provider, and what we are to believe of it.

use events::{Money, vocabulary::payments::Notice};

use super::{Reference, bounded};

/// An order as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Which order.
    pub reference: Reference,
    /// What the provider calls it.
    pub provider_id: String,
    /// How much.
    pub amount: Money,
    /// Where it stands.
    pub state: State,
}

/// How far an order got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its outcome is not known yet.
    UnderWay,
    /// The payer has to do something. Of charges only.
    ActionRequired,
    /// The money is set aside. Of charges only.
    Authorized,
    /// The money came, went back, or was sent.
    Done,
    /// It did not.
    Failed {
        /// The provider's reason, a stable code.
        code: String,
    },
    /// It was sent, and came back. Of payouts only.
    Returned {
        /// The provider's reason, a stable code.
        code: String,
    },
}

impl Standing {
    /// What the payment or payout is to be told; `None` while the provider is still at it.
    pub fn notice(&self) -> Option<Notice> {
        match self.reference {
            Reference::Attempt { payment, attempt } => match &self.state {
                State::UnderWay | State::Returned { .. } => None,
                State::Failed { code } => Some(self.reference.failed(code)),
                State::ActionRequired => Some(Notice::PaymentActionRequired { payment, attempt }),
                State::Authorized => Some(Notice::PaymentAuthorized { payment, attempt }),
                State::Done => {
                    let (reference, amount) = (self.provider_id.clone(), self.amount);
                    Some(Notice::PaymentConfirmed { payment, attempt, reference, amount })
                }
            },
            Reference::Refund { payment, refund } => match &self.state {
                State::Done => Some(Notice::RefundPaid { payment, refund }),
                State::Failed { code } => Some(self.reference.failed(code)),
                State::UnderWay | State::ActionRequired | State::Authorized | State::Returned { .. } => None,
            },
            Reference::Payout { payout, attempt } => match &self.state {
                State::UnderWay | State::ActionRequired | State::Authorized => None,
                State::Failed { code } => Some(self.reference.failed(code)),
                State::Done => {
                    Some(Notice::PayoutPaid { payout, attempt, reference: self.provider_id.clone() })
                }
                State::Returned { code } => {
                    Some(Notice::PayoutReturned { payout, attempt, code: bounded(code) })
                }
            },
        }
    }
}

impl Reference {
    /// What the payment or payout is to be told when what stands under this name failed with `code`.
    pub(crate) fn failed(self, code: &str) -> Notice {
        let code = bounded(code);
        match self {
            Self::Attempt { payment, attempt } => Notice::PaymentFailed { payment, attempt, code },
            Self::Refund { payment, refund } => Notice::RefundFailed { payment, refund, code },
            Self::Payout { payout, attempt } => Notice::PayoutFailed { payout, attempt, code },
        }
    }
}
