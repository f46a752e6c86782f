//! The rules of a payment once money came: what goes back, and when it has gone.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Money,
    ids::TransferId,
    vocabulary::{
        identity::Role,
        payments::{
            PaymentRefundFailed, PaymentRefundReplaced, PaymentRefundRequested, PaymentRefunded,
            PaymentTransferReturned, RefundReason,
        },
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bill, Decision, PaymentRejection, PaymentStatus, attempts::number_after};
use crate::aggregate::Context;

/// Money that goes back to the payer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Refund {
    pub(super) attempt: u32,
    pub(super) amount: Money,
    pub(super) reason: RefundReason,
    pub(super) state: RefundState,
}

/// What became of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefundState {
    /// No last word of the provider yet.
    Open,
    /// The payer has the money.
    Paid,
    /// The payer does not, and is still owed it.
    Failed,
    /// It failed, and was ordered again under another number.
    Replaced,
}

/// What the effect of an open refund needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenRefund {
    /// The refund's number; with the payment's id it is the effect's key.
    pub refund: u32,
    /// The attempt that brought the money in.
    pub attempt: u32,
    /// How much.
    pub amount: Money,
}

/// Money that goes back, for who looks at the payment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RefundLine {
    /// Its number, from 1.
    pub refund: u32,
    /// The attempt that brought the money in.
    pub attempt: u32,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: RefundReason,
    /// What became of it.
    pub state: RefundState,
}

impl Bill {
    /// The manager that asks knows that escrow does not have the money: it refused it for ever, or sent it itself.
    pub(super) fn take_back(&self, transfer: TransferId, amount: Money) -> Decision {
        if self.returned.contains(&transfer) {
            return Ok(Vec::new());
        }
        let attempt = self.paid_by.ok_or(PaymentRejection::NotInEscrow)?;
        if !amount.is_positive() {
            return Err(PaymentRejection::AmountNotPositive);
        }
        let away = self.created.amount.checked_sub(self.sum_of(|refund| refund.is_of_the_price()));
        let in_escrow = away.map_err(|_| PaymentRejection::NotInEscrow)?;
        if amount.currency() != in_escrow.currency() || amount.minor() > in_escrow.minor() {
            return Err(PaymentRejection::NotInEscrow);
        }
        let returned = PaymentTransferReturned { transfer, amount };
        let refund = self.next_refund(attempt, amount, RefundReason::Returned);
        Ok(vec![returned.into(), refund.into()])
    }

    pub(super) fn confirm_refund(&self, number: u32) -> Decision {
        let refund = self.find_refund(number)?;
        let refunded = PaymentRefunded { refund: number, amount: refund.amount };
        match refund.state {
            RefundState::Open | RefundState::Failed => Ok(vec![refunded.into()]),
            RefundState::Paid => Ok(Vec::new()),
            // Taking it would pay the same money back twice in the books. The provider's report will show it.
            RefundState::Replaced => Err(PaymentRejection::RefundNotFound),
        }
    }

    pub(super) fn fail_refund(&self, number: u32, code: &str) -> Decision {
        let Refund { amount, state, .. } = *self.find_refund(number)?;
        match state {
            RefundState::Open => {
                Ok(vec![PaymentRefundFailed { refund: number, amount, code: code.to_owned() }.into()])
            }
            RefundState::Paid | RefundState::Failed | RefundState::Replaced => Ok(Vec::new()),
        }
    }

    pub(super) fn retry_refund(&self, number: u32, context: &Context) -> Decision {
        if !context.actor.has_role(Role::Admin) {
            return Err(PaymentRejection::NotAnAdmin);
        }
        let Refund { attempt, amount, reason, state } = *self.find_refund(number)?;
        if state != RefundState::Failed {
            return Err(PaymentRejection::RefundNotFailed);
        }
        let next = self.next_refund(attempt, amount, reason);
        Ok(vec![PaymentRefundReplaced { refund: number, by: next.refund }.into(), next.into()])
    }

    fn find_refund(&self, number: u32) -> Result<&Refund, PaymentRejection> {
        let index = (number as usize).checked_sub(1);
        index.and_then(|index| self.refunds.get(index)).ok_or(PaymentRejection::RefundNotFound)
    }

    pub(super) fn set_refund(&mut self, number: u32, state: RefundState) {
        let index = (number as usize).checked_sub(1);
        if let Some(refund) = index.and_then(|index| self.refunds.get_mut(index)) {
            refund.state = state;
        }
    }

    pub(super) fn next_refund(
        &self,
        attempt: u32,
        amount: Money,
        reason: RefundReason,
    ) -> PaymentRefundRequested {
        PaymentRefundRequested { refund: number_after(self.refunds.len()), attempt, amount, reason }
    }

    pub(super) fn set_refunded(&mut self, number: u32) {
        let index = (number as usize).checked_sub(1);
        let Some(refund) = index.and_then(|index| self.refunds.get_mut(index)) else { return };
        refund.state = RefundState::Paid;
        // What came late or twice was never the price: that it went back changes nothing about the payment.
        if refund.is_of_the_price() {
            let back = self.sum_of(|refund| refund.is_of_the_price() && refund.state == RefundState::Paid);
            let all = back == self.created.amount;
            self.status = if all { PaymentStatus::Refunded } else { PaymentStatus::PartlyRefunded };
        }
    }

    pub(super) fn refund_lines(&self) -> impl Iterator<Item = RefundLine> + '_ {
        (1..).zip(&self.refunds).map(|(number, refund)| RefundLine {
            refund: number,
            attempt: refund.attempt,
            amount: refund.amount,
            reason: refund.reason,
            state: refund.state,
        })
    }

    pub(super) fn open_refunds(&self) -> impl Iterator<Item = OpenRefund> + '_ {
        let open = (1..).zip(&self.refunds).filter(|(_, refund)| refund.state == RefundState::Open);
        open.map(|(number, refund)| OpenRefund {
            refund: number,
            attempt: refund.attempt,
            amount: refund.amount,
        })
    }

    pub(super) fn payable(&self) -> Money {
        self.sum_of(|refund| match refund.state {
            RefundState::Open | RefundState::Failed => true,
            RefundState::Paid | RefundState::Replaced => false,
        })
    }

    pub(super) fn failed_refunds(&self) -> impl Iterator<Item = u32> + '_ {
        let failed = (1..).zip(&self.refunds).filter(|(_, refund)| refund.state == RefundState::Failed);
        failed.map(|(number, _)| number)
    }

    fn sum_of(&self, which: impl Fn(&Refund) -> bool) -> Money {
        let amounts = self.refunds.iter().filter(|refund| which(refund)).map(|refund| refund.amount);
        let sum = Money::sum(self.created.amount.currency(), amounts);
        // A bounded number of attempts, each of the price; the price itself goes back at most once.
        sum.unwrap_or(Money::new(i64::MAX, self.created.amount.currency()))
    }
}

impl Refund {
    /// It is money that had gone to escrow, counted once however often it is ordered.
    fn is_of_the_price(&self) -> bool {
        let went_to_escrow = match self.reason {
            RefundReason::Returned => true,
            RefundReason::Late | RefundReason::Repeated => false,
        };
        went_to_escrow && self.state != RefundState::Replaced
    }
}
