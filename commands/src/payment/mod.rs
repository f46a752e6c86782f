//! What a client pays for one milestone: attempts at the provider, the confirmation, and whatever has to go back.
//!
//! Every confirmation of the provider is taken, once for each attempt, since the money is there: the first in time goes
//! to escrow, any other back to the payer. What the payment holds itself is what is on its way back, and nothing else.
//! [`attempts`] has the rules up to the confirmation, [`refunds`] those after it.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;

use events::{
    Category, Money, Timestamp,
    ids::{AccountId, ContractId, PaymentId, PaymentMethodId, TransferId},
    vocabulary::payments::{
        PaymentActionRequired, PaymentAttemptFailed, PaymentAttemptStarted, PaymentAuthorized,
        PaymentCancelled, PaymentConfirmed, PaymentConfirmedLate, PaymentCreated, PaymentEvent,
        PaymentExpired, PaymentRefundFailed, PaymentRefundReplaced, PaymentRefundRequested, PaymentRefunded,
        PaymentTransferReturned,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    rejection::rejections,
};

mod attempts;
mod refunds;

use attempts::Attempt;
pub use attempts::{AttemptLine, AttemptState};
use refunds::Refund;
pub use refunds::{OpenRefund, RefundLine, RefundState};

/// A payment, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    bill: Option<Bill>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Bill {
    created: PaymentCreated,
    status: PaymentStatus,
    /// The first is number 1.
    attempts: Vec<Attempt>,
    /// The attempt whose money went to escrow.
    paid_by: Option<u32>,
    /// Transfers that ended here.
    returned: BTreeSet<TransferId>,
    /// The first is number 1.
    refunds: Vec<Refund>,
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// It waits for an attempt.
    Created,
    /// The provider works on an attempt.
    Processing,
    /// The payer has to do something at the provider.
    RequiresAction,
    /// The provider has set the money aside.
    Authorized,
    /// The money came and went to escrow.
    Confirmed,
    /// Some of the money went back.
    PartlyRefunded,
    /// All of the money went back.
    Refunded,
    /// Nobody wants to pay any more.
    Cancelled,
    /// It was not paid in time.
    Expired,
}

impl PaymentStatus {
    /// The money may still come in time.
    pub fn is_awaited(self) -> bool {
        match self {
            Self::Created | Self::Processing | Self::RequiresAction | Self::Authorized => true,
            Self::Confirmed | Self::PartlyRefunded | Self::Refunded | Self::Cancelled | Self::Expired => {
                false
            }
        }
    }
}

/// What the effect of an open attempt needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenAttempt<'a> {
    /// The attempt's number; with the payment's id it is the effect's key.
    pub attempt: u32,
    /// How much.
    pub amount: Money,
    /// What the provider calls the means of paying.
    pub token: &'a str,
}

impl Payment {
    /// Where it stands; `None` when there is none.
    pub fn status(&self) -> Option<PaymentStatus> {
        self.bill.as_ref().map(|bill| bill.status)
    }

    /// What is to be paid, by whom and for what.
    pub fn created(&self) -> Option<&PaymentCreated> {
        self.bill.as_ref().map(|bill| &bill.created)
    }

    /// The attempts that wait for the provider's answer: at most one while the payment is awaited, and any that an
    /// ended payment left behind.
    pub fn open_attempts(&self) -> impl Iterator<Item = OpenAttempt<'_>> {
        self.bill.iter().flat_map(Bill::open_attempts)
    }

    /// The refunds that wait for the provider.
    pub fn open_refunds(&self) -> impl Iterator<Item = OpenRefund> + '_ {
        self.bill.iter().flat_map(Bill::open_refunds)
    }

    /// Every attempt, in order.
    pub fn attempts(&self) -> impl Iterator<Item = AttemptLine<'_>> {
        self.bill.iter().flat_map(Bill::attempt_lines)
    }

    /// Every refund, in order.
    pub fn refunds(&self) -> impl Iterator<Item = RefundLine> + '_ {
        self.bill.iter().flat_map(Bill::refund_lines)
    }

    /// The numbers of the refunds that failed and were not ordered again.
    pub fn failed_refunds(&self) -> impl Iterator<Item = u32> + '_ {
        self.bill.iter().flat_map(Bill::failed_refunds)
    }

    /// What is here and owed to the payer.
    pub fn payable(&self) -> Option<Money> {
        self.bill.as_ref().map(Bill::payable)
    }
}

/// What can be asked of a payment.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentCommand {
    /// Let somebody pay. Internal; does nothing when that is so.
    Create {
        /// Who pays.
        payer: AccountId,
        /// How much.
        amount: Money,
        /// For which contract.
        contract: ContractId,
        /// For which of its milestones, from 1.
        milestone: u32,
    },
    /// Try to pay. By the payer, while no other attempt is under way.
    Attempt {
        /// What with.
        method: PaymentMethodId,
        /// What the provider calls that; empty when the payer has no such means (any more).
        token: String,
    },
    /// The provider wants the payer to do something. Internal; does nothing when it comes late.
    RequireAction {
        /// The attempt's number.
        attempt: u32,
    },
    /// The provider has set the money aside. Internal; does nothing when it comes late.
    Authorize {
        /// The attempt's number.
        attempt: u32,
    },
    /// The provider would not, or could not. Internal; does nothing when it comes late.
    FailAttempt {
        /// The attempt's number.
        attempt: u32,
        /// The provider's reason, a stable code.
        code: String,
    },
    /// The provider has the money. Internal; taken whenever it comes, once for each attempt.
    Confirm {
        /// The attempt's number.
        attempt: u32,
        /// What the provider calls it.
        reference: String,
        /// How much.
        amount: Money,
    },
    /// Nobody wants to pay any more. By the payer, or internal.
    Cancel,
    /// The time is over. Internal; does nothing once it ended.
    Expire,
    /// Take money back that escrow refused or returned, and send it to the payer. Internal; does nothing when this very
    /// transfer was taken back.
    TakeBack {
        /// The name it travels under.
        transfer: TransferId,
        /// How much.
        amount: Money,
    },
    /// The provider gave money back. Internal; does nothing when that is known.
    ConfirmRefund {
        /// The refund's number.
        refund: u32,
    },
    /// The provider could not give money back. Internal; does nothing when it comes late.
    FailRefund {
        /// The refund's number.
        refund: u32,
        /// The provider's reason, a stable code.
        code: String,
    },
    /// Order a refund that failed again, under a new number. By an administrator.
    RetryRefund {
        /// The number of the one that failed.
        refund: u32,
    },
}

rejections! {
    /// Why a payment says no.
    pub enum PaymentRejection {
        NotFound = NotFound "payment_not_found": "there is no such payment",
        AttemptNotFound = NotFound "attempt_not_found": "the payment has no attempt with this number",
        MethodNotFound = NotFound "payment_method_not_found": "there is no such payment method",
        RefundNotFound = NotFound "refund_not_found": "the payment has no refund with this number",
        InternalOnly = Forbidden "internal_only": "only the machinery itself does this",
        NotAnAdmin = Forbidden "not_an_admin": "only administrators order refunds again",
        NotThePayer = Forbidden "not_the_payer": "only the one who pays does this",
        AlreadyExists = State "payment_already_exists": "there is another payment of this name",
        AttemptUnderWay = State "attempt_under_way": "the provider has not answered the last attempt yet",
        TooManyAttempts = State "too_many_attempts": "the payment was attempted too often",
        NotAwaited = State "payment_not_awaited": "the payment was made, or has ended",
        RefundNotFailed = State "refund_not_failed": "only a refund that failed is ordered again, and once",
        NotInEscrow = State "payment_not_in_escrow": "no more comes back than went to escrow",
        AmountNotPositive = Invalid "amount_not_positive": "amounts are more than nothing",
        AmountDiffers = Invalid "amount_differs": "the amount is not the one that is waited for",
    }
}

type Decision = Result<Vec<PaymentEvent>, PaymentRejection>;

impl Aggregate for Payment {
    const CATEGORY: Category = Category::Payment;
    const FOLD_VERSION: u16 = 3;
    type Id = PaymentId;
    type Command = PaymentCommand;
    type Event = PaymentEvent;
    type Rejection = PaymentRejection;

    fn decide(&self, command: &PaymentCommand, context: &Context) -> Decision {
        let bill = self.bill.as_ref().ok_or(PaymentRejection::NotFound);
        match command {
            PaymentCommand::Attempt { method, token } => bill?.attempt(*method, token, context),
            PaymentCommand::Cancel => bill?.cancel(context),
            PaymentCommand::RetryRefund { refund } => bill?.retry_refund(*refund, context),
            PaymentCommand::Create { .. }
            | PaymentCommand::RequireAction { .. }
            | PaymentCommand::Authorize { .. }
            | PaymentCommand::FailAttempt { .. }
            | PaymentCommand::Confirm { .. }
            | PaymentCommand::Expire
            | PaymentCommand::TakeBack { .. }
            | PaymentCommand::ConfirmRefund { .. }
            | PaymentCommand::FailRefund { .. }
                if !context.actor.is_internal() =>
            {
                Err(PaymentRejection::InternalOnly)
            }
            PaymentCommand::Create { payer, amount, contract, milestone } => {
                let expires_at = context.now.plus_millis(context.policy.money.payment_expires_after_ms);
                let (payer, amount, contract, milestone) = (*payer, *amount, *contract, *milestone);
                self.create(PaymentCreated { payer, amount, contract, milestone, expires_at })
            }
            PaymentCommand::RequireAction { attempt } => bill?.require_action(*attempt),
            PaymentCommand::Authorize { attempt } => bill?.authorize(*attempt),
            PaymentCommand::FailAttempt { attempt, code } => bill?.fail_attempt(*attempt, code),
            PaymentCommand::Confirm { attempt, reference, amount } => {
                bill?.confirm(*attempt, reference, *amount, context)
            }
            PaymentCommand::Expire => Ok(bill?.expire()),
            PaymentCommand::TakeBack { transfer, amount } => bill?.take_back(*transfer, *amount),
            PaymentCommand::ConfirmRefund { refund } => bill?.confirm_refund(*refund),
            PaymentCommand::FailRefund { refund, code } => bill?.fail_refund(*refund, code),
        }
    }

    fn evolve(&mut self, event: &PaymentEvent) {
        if let PaymentEvent::PaymentCreated(created) = event {
            self.bill = Some(Bill {
                created: created.clone(),
                status: PaymentStatus::Created,
                attempts: Vec::new(),
                paid_by: None,
                returned: BTreeSet::new(),
                refunds: Vec::new(),
            });
        } else if let Some(bill) = &mut self.bill {
            bill.evolve(event);
        }
    }
}

impl Payment {
    /// The time it has is that of the first creation.
    fn create(&self, created: PaymentCreated) -> Decision {
        let Some(bill) = &self.bill else {
            let positive = created.amount.is_positive();
            return if positive {
                Ok(vec![created.into()])
            } else {
                Err(PaymentRejection::AmountNotPositive)
            };
        };
        let same = PaymentCreated { expires_at: bill.created.expires_at, ..created };
        if bill.created == same { Ok(Vec::new()) } else { Err(PaymentRejection::AlreadyExists) }
    }
}

impl Bill {
    fn evolve(&mut self, event: &PaymentEvent) {
        match event {
            PaymentEvent::PaymentCreated(PaymentCreated { .. }) => {}
            PaymentEvent::PaymentAttemptStarted(PaymentAttemptStarted { method, token, .. }) => {
                self.attempts.push(Attempt::started(*method, token.clone()));
                self.status = PaymentStatus::Processing;
            }
            PaymentEvent::PaymentActionRequired(PaymentActionRequired { .. }) => {
                self.status = PaymentStatus::RequiresAction;
            }
            PaymentEvent::PaymentAuthorized(PaymentAuthorized { .. }) => {
                self.status = PaymentStatus::Authorized;
            }
            PaymentEvent::PaymentAttemptFailed(PaymentAttemptFailed { attempt, code }) => {
                self.set_failed(*attempt, code);
                if self.status.is_awaited() {
                    self.status = PaymentStatus::Created;
                }
            }
            PaymentEvent::PaymentConfirmed(PaymentConfirmed { attempt, .. }) => {
                self.set_confirmed(*attempt);
                self.paid_by = Some(*attempt);
                self.status = PaymentStatus::Confirmed;
            }
            PaymentEvent::PaymentConfirmedLate(PaymentConfirmedLate { attempt, .. }) => {
                self.set_confirmed(*attempt);
            }
            PaymentEvent::PaymentCancelled(PaymentCancelled { .. }) => self.status = PaymentStatus::Cancelled,
            PaymentEvent::PaymentExpired(PaymentExpired {}) => self.status = PaymentStatus::Expired,
            PaymentEvent::PaymentTransferReturned(PaymentTransferReturned { transfer, .. }) => {
                self.returned.insert(*transfer);
            }
            PaymentEvent::PaymentRefundRequested(requested) => {
                let PaymentRefundRequested { attempt, amount, reason, .. } = *requested;
                self.refunds.push(Refund { attempt, amount, reason, state: RefundState::Open });
            }
            PaymentEvent::PaymentRefunded(PaymentRefunded { refund, .. }) => self.set_refunded(*refund),
            PaymentEvent::PaymentRefundFailed(PaymentRefundFailed { refund, .. }) => {
                self.set_refund(*refund, RefundState::Failed);
            }
            PaymentEvent::PaymentRefundReplaced(PaymentRefundReplaced { refund, .. }) => {
                self.set_refund(*refund, RefundState::Replaced);
            }
        }
    }

    /// When the payment expires.
    pub(self) fn expires_at(&self) -> Timestamp {
        self.created.expires_at
    }
}
