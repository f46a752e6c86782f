//! Money that leaves a wallet for a bank: asked for, looked at, sent with a batch, paid, and sometimes returned.
//!
//! A payout holds no money. The wallet holds it back until the payout is paid, and owes it from then on.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Category, Money, Timestamp,
    ids::{AccountId, PayoutDestinationId, PayoutId},
    vocabulary::{
        identity::Role,
        payments::{
            PayoutApproved, PayoutCancelled, PayoutDispatched, PayoutEvent, PayoutFailed, PayoutPaid,
            PayoutRejected, PayoutRequested, PayoutRequeued, PayoutReversed, PayoutReviewRequested,
        },
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    policy::MoneyPolicy,
    rejection::rejections,
};

/// A payout, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Payout {
    request: Option<Request>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Request {
    requested: PayoutRequested,
    status: PayoutStatus,
    /// The last attempt; 0 before the first.
    attempt: u32,
    dispatch_at: Option<Timestamp>,
}

/// Where a payout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayoutStatus {
    /// The wallet is asked to hold the money.
    Requested,
    /// Somebody looks at it.
    InReview,
    /// It waits for its batch.
    Queued,
    /// The provider was told, and has not answered.
    Processing,
    /// The provider would not; it is never left like this.
    Failed,
    /// The money was sent.
    Paid,
    /// The money was sent and came back.
    Reversed,
    /// Somebody said no.
    Rejected,
    /// It is not wanted any more, or could not be paid.
    Cancelled,
}

/// What the effect of an open attempt needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenDispatch<'a> {
    /// The attempt's number; with the payout's id it is the effect's key.
    pub attempt: u32,
    /// How much.
    pub amount: Money,
    /// What the provider calls the destination.
    pub token: &'a str,
}

impl Payout {
    /// Where it stands; `None` when there is none.
    pub fn status(&self) -> Option<PayoutStatus> {
        self.request.as_ref().map(|request| request.status)
    }

    /// What was asked for.
    pub fn requested(&self) -> Option<&PayoutRequested> {
        self.request.as_ref().map(|request| &request.requested)
    }

    /// The batch it goes with.
    pub fn dispatch_at(&self) -> Option<Timestamp> {
        self.request.as_ref().and_then(|request| request.dispatch_at)
    }

    /// The attempt that waits for the provider's answer.
    pub fn open_dispatch(&self) -> Option<OpenDispatch<'_>> {
        let request = self.request.as_ref().filter(|request| request.status == PayoutStatus::Processing)?;
        let (amount, token) = (request.requested.amount, &*request.requested.token);
        Some(OpenDispatch { attempt: request.attempt, amount, token })
    }
}

/// What can be asked of a payout.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayoutCommand {
    /// Ask for money. By the account that wants it.
    Request {
        /// How much.
        amount: Money,
        /// Where it is to go.
        destination: PayoutDestinationId,
        /// What the provider calls that; empty when the account has no such destination (any more).
        token: String,
    },
    /// The wallet holds the money. Internal; does nothing once that is known.
    Admit,
    /// Let it be paid. By an administrator, not for oneself.
    Approve,
    /// Refuse to pay it. By an administrator, not for oneself.
    Reject,
    /// Take it back, before it is sent. By the account that asked, or internal.
    Cancel,
    /// Its batch is due. Internal; does nothing unless it waits for one.
    Dispatch,
    /// The provider paid. Internal.
    ConfirmPaid {
        /// The attempt's number.
        attempt: u32,
        /// What the provider calls it.
        reference: String,
    },
    /// The provider would not. Internal.
    Fail {
        /// The attempt's number.
        attempt: u32,
        /// The provider's reason, a stable code.
        code: String,
    },
    /// The provider paid, and the money came back. Internal.
    Reverse {
        /// The attempt's number.
        attempt: u32,
        /// The provider's reason, a stable code.
        code: String,
    },
}

rejections! {
    /// Why a payout says no.
    pub enum PayoutRejection {
        NotFound = NotFound "payout_not_found": "there is no such payout",
        DestinationNotFound = NotFound "payout_destination_not_found": "there is no such payout destination for this currency",
        InternalOnly = Forbidden "internal_only": "only the machinery itself does this",
        NotAnAccount = Forbidden "not_an_account": "only somebody with an account asks for money",
        NotYourPayout = Forbidden "not_your_payout": "the payout is another account's",
        NotAnAdmin = Forbidden "not_an_admin": "only administrators decide on payouts",
        OwnPayout = Forbidden "own_payout": "nobody decides on a payout of their own",
        AlreadyExists = State "payout_already_exists": "there is another payout of this name",
        NotInReview = State "payout_not_in_review": "the payout is not in review",
        NotCancellable = State "payout_not_cancellable": "the payout is in review, on its way, or over",
        AttemptNotOpen = State "attempt_not_open": "no answer to this attempt is waited for",
        AmountNotPositive = Invalid "amount_not_positive": "amounts are more than nothing",
    }
}

type Decision = Result<Vec<PayoutEvent>, PayoutRejection>;

impl Aggregate for Payout {
    const CATEGORY: Category = Category::Payout;
    const FOLD_VERSION: u16 = 1;
    type Id = PayoutId;
    type Command = PayoutCommand;
    type Event = PayoutEvent;
    type Rejection = PayoutRejection;

    fn decide(&self, command: &PayoutCommand, context: &Context) -> Decision {
        let request = self.request.as_ref().ok_or(PayoutRejection::NotFound);
        match command {
            PayoutCommand::Request { amount, destination, token } => {
                let account = context.actor.account().ok_or(PayoutRejection::NotAnAccount)?;
                let (amount, destination, token) = (*amount, *destination, token.clone());
                self.request(PayoutRequested { account, amount, destination, token })
            }
            PayoutCommand::Approve => request?.approve(context),
            PayoutCommand::Reject => request?.reject(context),
            PayoutCommand::Cancel => request?.cancel(context),
            PayoutCommand::Admit
            | PayoutCommand::Dispatch
            | PayoutCommand::ConfirmPaid { .. }
            | PayoutCommand::Fail { .. }
            | PayoutCommand::Reverse { .. }
                if !context.actor.is_internal() =>
            {
                Err(PayoutRejection::InternalOnly)
            }
            PayoutCommand::Admit => Ok(request?.admit(context)),
            PayoutCommand::Dispatch => Ok(request?.dispatch()),
            PayoutCommand::ConfirmPaid { attempt, reference } => {
                request?.confirm_paid(*attempt, reference, context)
            }
            PayoutCommand::Fail { attempt, code } => request?.fail(*attempt, code, context),
            PayoutCommand::Reverse { attempt, code } => request?.reverse(*attempt, code, context),
        }
    }

    fn evolve(&mut self, event: &PayoutEvent) {
        if let PayoutEvent::PayoutRequested(requested) = event {
            let (requested, status) = (requested.clone(), PayoutStatus::Requested);
            self.request = Some(Request { requested, status, attempt: 0, dispatch_at: None });
        } else if let Some(request) = &mut self.request {
            request.evolve(event);
        }
    }
}

impl Payout {
    fn request(&self, requested: PayoutRequested) -> Decision {
        if let Some(request) = &self.request {
            let same = request.requested == requested;
            return if same { Ok(Vec::new()) } else { Err(PayoutRejection::AlreadyExists) };
        }
        if !requested.amount.is_positive() {
            return Err(PayoutRejection::AmountNotPositive);
        }
        if requested.token.is_empty() {
            return Err(PayoutRejection::DestinationNotFound);
        }
        Ok(vec![requested.into()])
    }
}

impl Request {
    fn admit(&self, context: &Context) -> Vec<PayoutEvent> {
        if self.status != PayoutStatus::Requested {
            return Vec::new();
        }
        if context.policy.money.is_reviewed(self.requested.amount) {
            return vec![PayoutReviewRequested {}.into()];
        }
        vec![PayoutApproved { by: None, dispatch_at: next_batch(context) }.into()]
    }

    fn approve(&self, context: &Context) -> Decision {
        let by = self.judge(context)?;
        Ok(vec![PayoutApproved { by: Some(by), dispatch_at: next_batch(context) }.into()])
    }

    fn reject(&self, context: &Context) -> Decision {
        Ok(vec![PayoutRejected { by: self.judge(context)? }.into()])
    }

    /// The administrator that decides.
    fn judge(&self, context: &Context) -> Result<AccountId, PayoutRejection> {
        let admin = context.actor.account().filter(|_| context.actor.has_role(Role::Admin));
        let by = admin.ok_or(PayoutRejection::NotAnAdmin)?;
        if by == self.requested.account {
            return Err(PayoutRejection::OwnPayout);
        }
        if self.status != PayoutStatus::InReview {
            return Err(PayoutRejection::NotInReview);
        }
        Ok(by)
    }

    fn cancel(&self, context: &Context) -> Decision {
        let by = context.actor.account();
        if !context.actor.is_internal() && by != Some(self.requested.account) {
            return Err(PayoutRejection::NotYourPayout);
        }
        match self.status {
            PayoutStatus::Requested | PayoutStatus::Queued | PayoutStatus::Failed => {
                Ok(vec![PayoutCancelled { by }.into()])
            }
            PayoutStatus::Cancelled => Ok(Vec::new()),
            PayoutStatus::InReview
            | PayoutStatus::Processing
            | PayoutStatus::Paid
            | PayoutStatus::Reversed
            | PayoutStatus::Rejected => Err(PayoutRejection::NotCancellable),
        }
    }

    /// Whether its batch is due was judged by the timer that asks.
    fn dispatch(&self) -> Vec<PayoutEvent> {
        if self.status != PayoutStatus::Queued {
            return Vec::new();
        }
        vec![PayoutDispatched { attempt: self.attempt.saturating_add(1) }.into()]
    }

    fn confirm_paid(&self, attempt: u32, reference: &str, context: &Context) -> Decision {
        if self.is_settled_as_paid(attempt) {
            return Ok(Vec::new());
        }
        self.answers(attempt)?;
        Ok(vec![self.paid(reference, context).into()])
    }

    /// Tried again a bounded number of times, then given up: in the same breath, so that nobody has to see to it.
    fn fail(&self, attempt: u32, code: &str, context: &Context) -> Decision {
        if attempt >= 1 && attempt < self.attempt {
            return Ok(Vec::new());
        }
        let ended = self.status == PayoutStatus::Queued || self.status == PayoutStatus::Cancelled;
        if attempt >= 1 && attempt == self.attempt && ended {
            return Ok(Vec::new());
        }
        self.answers(attempt)?;
        let failed = PayoutFailed { attempt, code: code.to_owned() };
        let next = if attempt < context.policy.money.payout_attempts_max {
            PayoutRequeued { dispatch_at: next_batch(context) }.into()
        } else {
            PayoutCancelled { by: None }.into()
        };
        Ok(vec![failed.into(), next])
    }

    /// What came back had been paid, also when nobody said so yet.
    fn reverse(&self, attempt: u32, code: &str, context: &Context) -> Decision {
        let (amount, transfer) = (self.requested.amount, context.fresh_id(1));
        let reversed = PayoutReversed { attempt, code: code.to_owned(), amount, transfer };
        match self.status {
            PayoutStatus::Reversed if attempt == self.attempt => Ok(Vec::new()),
            PayoutStatus::Paid if attempt == self.attempt => Ok(vec![reversed.into()]),
            PayoutStatus::Processing if attempt == self.attempt => {
                Ok(vec![self.paid(code, context).into(), reversed.into()])
            }
            PayoutStatus::Requested
            | PayoutStatus::InReview
            | PayoutStatus::Queued
            | PayoutStatus::Processing
            | PayoutStatus::Failed
            | PayoutStatus::Paid
            | PayoutStatus::Reversed
            | PayoutStatus::Rejected
            | PayoutStatus::Cancelled => Err(PayoutRejection::AttemptNotOpen),
        }
    }

    fn paid(&self, reference: &str, context: &Context) -> PayoutPaid {
        let (attempt, amount) = (self.attempt, self.requested.amount);
        PayoutPaid { attempt, reference: reference.to_owned(), amount, transfer: context.fresh_id(0) }
    }

    fn is_settled_as_paid(&self, attempt: u32) -> bool {
        let paid = self.status == PayoutStatus::Paid || self.status == PayoutStatus::Reversed;
        paid && attempt == self.attempt
    }

    fn answers(&self, attempt: u32) -> Result<(), PayoutRejection> {
        let open = self.status == PayoutStatus::Processing && attempt == self.attempt;
        if open { Ok(()) } else { Err(PayoutRejection::AttemptNotOpen) }
    }

    fn evolve(&mut self, event: &PayoutEvent) {
        match event {
            PayoutEvent::PayoutRequested(PayoutRequested { .. }) => {}
            PayoutEvent::PayoutReviewRequested(PayoutReviewRequested {}) => {
                self.status = PayoutStatus::InReview;
            }
            PayoutEvent::PayoutApproved(PayoutApproved { dispatch_at, .. })
            | PayoutEvent::PayoutRequeued(PayoutRequeued { dispatch_at }) => {
                self.status = PayoutStatus::Queued;
                self.dispatch_at = Some(*dispatch_at);
            }
            PayoutEvent::PayoutRejected(PayoutRejected { .. }) => self.status = PayoutStatus::Rejected,
            PayoutEvent::PayoutCancelled(PayoutCancelled { .. }) => self.status = PayoutStatus::Cancelled,
            PayoutEvent::PayoutDispatched(PayoutDispatched { attempt }) => {
                self.status = PayoutStatus::Processing;
                self.attempt = *attempt;
            }
            PayoutEvent::PayoutPaid(PayoutPaid { .. }) => self.status = PayoutStatus::Paid,
            PayoutEvent::PayoutFailed(PayoutFailed { .. }) => self.status = PayoutStatus::Failed,
            PayoutEvent::PayoutReversed(PayoutReversed { .. }) => self.status = PayoutStatus::Reversed,
        }
    }
}

/// The next batch after now; batches go at multiples of their period since 1970.
fn next_batch(context: &Context) -> Timestamp {
    let period = context.policy.money.payout_batch_every_ms.clamp(1, MoneyPolicy::PERIOD_LIMIT_MS) * 1_000;
    let batches = context.now.micros().div_euclid(period).saturating_add(1);
    Timestamp::from_micros(batches.saturating_mul(period))
}
