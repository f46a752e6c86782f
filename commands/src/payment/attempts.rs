//! The rules of a payment up to its confirmation.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Money,
    ids::PaymentMethodId,
    vocabulary::payments::{
        PaymentActionRequired, PaymentAttemptFailed, PaymentAttemptStarted, PaymentAuthorized,
        PaymentCancelled, PaymentConfirmed, PaymentConfirmedLate, PaymentEvent, PaymentExpired, RefundReason,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bill, Decision, OpenAttempt, PaymentRejection, PaymentStatus};
use crate::aggregate::Context;

/// One try to get the money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) method: PaymentMethodId,
    pub(super) token: String,
    pub(super) state: AttemptState,
    /// The provider's reason, once it would not.
    pub(super) failure: Option<String>,
}

impl Attempt {
    pub(super) fn started(method: PaymentMethodId, token: String) -> Self {
        Self { method, token, state: AttemptState::Open, failure: None }
    }
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// No last word of the provider yet.
    Open,
    /// No money, as far as we know: a confirmation that comes all the same is believed.
    Failed,
    /// The money came.
    Confirmed,
}

/// One try to get the money, for who looks at the payment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttemptLine<'a> {
    /// Its number, from 1.
    pub attempt: u32,
    /// What it is paid with.
    pub method: PaymentMethodId,
    /// What became of it.
    pub state: AttemptState,
    /// The provider's reason, a stable code, once it would not.
    pub failure: Option<&'a str>,
}

impl Bill {
    pub(super) fn attempt(&self, method: PaymentMethodId, token: &str, context: &Context) -> Decision {
        if context.actor.account() != Some(self.created.payer) {
            return Err(PaymentRejection::NotThePayer);
        }
        if !self.status.is_awaited() || context.now >= self.expires_at() {
            return Err(PaymentRejection::NotAwaited);
        }
        if self.status != PaymentStatus::Created {
            return Err(PaymentRejection::AttemptUnderWay);
        }
        let attempt = number_after(self.attempts.len());
        if attempt > context.policy.money.payment_attempts_max {
            return Err(PaymentRejection::TooManyAttempts);
        }
        if token.is_empty() {
            return Err(PaymentRejection::MethodNotFound);
        }
        Ok(vec![PaymentAttemptStarted { attempt, method, token: token.to_owned() }.into()])
    }

    pub(super) fn require_action(&self, attempt: u32) -> Decision {
        let current = self.is_current(attempt)? && self.status == PaymentStatus::Processing;
        let required = PaymentActionRequired { attempt };
        Ok(if current { vec![required.into()] } else { Vec::new() })
    }

    pub(super) fn authorize(&self, attempt: u32) -> Decision {
        let waits = self.status == PaymentStatus::Processing || self.status == PaymentStatus::RequiresAction;
        let current = self.is_current(attempt)? && waits;
        Ok(if current { vec![PaymentAuthorized { attempt }.into()] } else { Vec::new() })
    }

    /// Also of a payment that has ended: nobody waits for this attempt any more.
    pub(super) fn fail_attempt(&self, attempt: u32, code: &str) -> Decision {
        match self.find_attempt(attempt)?.state {
            AttemptState::Open => Ok(vec![PaymentAttemptFailed { attempt, code: code.to_owned() }.into()]),
            AttemptState::Failed | AttemptState::Confirmed => Ok(Vec::new()),
        }
    }

    pub(super) fn confirm(
        &self,
        attempt: u32,
        reference: &str,
        amount: Money,
        context: &Context,
    ) -> Decision {
        match self.find_attempt(attempt)?.state {
            AttemptState::Confirmed => return Ok(Vec::new()),
            AttemptState::Open | AttemptState::Failed => {}
        }
        if amount != self.created.amount {
            return Err(PaymentRejection::AmountDiffers);
        }
        let reference = reference.to_owned();
        if self.status.is_awaited() {
            let transfer = context.fresh_id(0);
            return Ok(vec![PaymentConfirmed { attempt, reference, amount, transfer }.into()]);
        }
        let ended = self.paid_by.is_none();
        let reason = if ended { RefundReason::Late } else { RefundReason::Repeated };
        let late = PaymentConfirmedLate { attempt, reference, amount };
        Ok(vec![late.into(), self.next_refund(attempt, amount, reason).into()])
    }

    /// Also while the provider works: should the money come, it goes back.
    pub(super) fn cancel(&self, context: &Context) -> Decision {
        let by = context.actor.account();
        if !context.actor.is_internal() && by != Some(self.created.payer) {
            return Err(PaymentRejection::NotThePayer);
        }
        match self.status {
            PaymentStatus::Created
            | PaymentStatus::Processing
            | PaymentStatus::RequiresAction
            | PaymentStatus::Authorized => Ok(vec![PaymentCancelled { by }.into()]),
            PaymentStatus::Cancelled => Ok(Vec::new()),
            PaymentStatus::Confirmed
            | PaymentStatus::PartlyRefunded
            | PaymentStatus::Refunded
            | PaymentStatus::Expired => Err(PaymentRejection::NotAwaited),
        }
    }

    /// Whether the time is really over was judged by the timer that asks.
    pub(super) fn expire(&self) -> Vec<PaymentEvent> {
        if self.status.is_awaited() { vec![PaymentExpired {}.into()] } else { Vec::new() }
    }

    pub(super) fn open_attempts(&self) -> impl Iterator<Item = OpenAttempt<'_>> {
        let amount = self.created.amount;
        let open = (1..).zip(&self.attempts).filter(|(_, attempt)| attempt.state == AttemptState::Open);
        open.map(move |(number, attempt)| OpenAttempt { attempt: number, amount, token: &attempt.token })
    }

    pub(super) fn attempt_lines(&self) -> impl Iterator<Item = AttemptLine<'_>> {
        (1..).zip(&self.attempts).map(|(number, attempt)| AttemptLine {
            attempt: number,
            method: attempt.method,
            state: attempt.state,
            failure: attempt.failure.as_deref(),
        })
    }

    pub(super) fn set_failed(&mut self, number: u32, code: &str) {
        if let Some(attempt) = self.attempt_mut(number) {
            attempt.state = AttemptState::Failed;
            attempt.failure = Some(code.to_owned());
        }
    }

    pub(super) fn set_confirmed(&mut self, number: u32) {
        if let Some(attempt) = self.attempt_mut(number) {
            attempt.state = AttemptState::Confirmed;
        }
    }

    fn attempt_mut(&mut self, number: u32) -> Option<&mut Attempt> {
        let index = (number as usize).checked_sub(1)?;
        self.attempts.get_mut(index)
    }

    fn find_attempt(&self, number: u32) -> Result<&Attempt, PaymentRejection> {
        let index = (number as usize).checked_sub(1);
        index.and_then(|index| self.attempts.get(index)).ok_or(PaymentRejection::AttemptNotFound)
    }

    /// The attempt is the last one, and open.
    fn is_current(&self, number: u32) -> Result<bool, PaymentRejection> {
        let open = self.find_attempt(number)?.state == AttemptState::Open;
        Ok(open && number as usize == self.attempts.len())
    }
}

/// Attempts and refunds are counted from 1, and there are few.
pub(super) fn number_after(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1)
}
