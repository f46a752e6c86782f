//! Refunds: money that goes back to the card it came from.

use serde::{Deserialize, Serialize};

use super::{
    Books, Made, Timed, Unfit,
    charges::ChargeStatus,
    fact::{Fact, Failure, RefundChanged, RefundCreated},
    fresh,
    ledger::{Account, Cause},
    page::Dated,
    refusal::Refusal,
    shelf::Item,
};
use crate::{money::Money, time::Time, tokens::Telling};

/// How far a refund got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefundStatus {
    /// Its outcome is not known yet.
    Processing,
    Succeeded,
    Failed,
}

/// A refund, as it goes over the wire.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) reference: String,
    /// The id of the charge.
    pub(crate) charge: String,
    pub(crate) amount: Money,
    pub(crate) status: RefundStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failure>,
    pub(crate) created_at: Time,
    pub(crate) changed_at: Time,
    #[serde(skip)]
    fails: bool,
    #[serde(skip)]
    telling: Telling,
    #[serde(skip)]
    due: Time,
}

impl Dated for Refund {
    fn at(&self) -> Time {
        self.created_at
    }
}

impl Item for Refund {
    fn id(&self) -> &str {
        &self.id
    }
    fn reference(&self) -> &str {
        &self.reference
    }
}

/// What the merchant orders.
#[derive(Clone, Debug)]
pub(crate) struct RefundOrder {
    pub(crate) reference: String,
    pub(crate) charge: String,
    pub(crate) amount: Money,
}

impl Books {
    pub(crate) fn create_refund(&mut self, order: RefundOrder) -> Result<Made<Refund>, Refusal> {
        if let Some(refund) = self.refunds.by_reference(&order.reference) {
            let same = (&refund.charge, refund.amount) == (&order.charge, order.amount);
            return if same { Ok(Made::Before(refund.clone())) } else { Err(Refusal::ReferenceReused) };
        }
        let charge = self.charges.get(&order.charge).ok_or(Refusal::NotFound)?;
        if charge.status != ChargeStatus::Succeeded {
            return Err(Refusal::WrongStatus(charge.status.name()));
        }
        if order.amount.currency != charge.amount.currency {
            return Err(Refusal::CurrencyDiffers);
        }
        let left = charge.amount.minor - charge.refunded.minor;
        if order.amount.minor > left {
            return Err(Refusal::RefundTooLarge(left));
        }
        let balance = self.ledger.balance(order.amount.currency, Account::Merchant);
        if i128::from(order.amount.minor) > balance {
            return Err(Refusal::BalanceInsufficient(balance));
        }
        self.room()?;
        let id = fresh("re");
        self.record(Fact::RefundCreated(RefundCreated {
            id: id.clone(),
            reference: order.reference,
            charge: order.charge,
            amount: order.amount,
            due: self.now.plus_ms(self.timing.answer_delay_ms),
        }));
        self.refund(&id).map(Made::Now).ok_or(Refusal::NotFound)
    }

    pub(crate) fn refund(&self, id: &str) -> Option<Refund> {
        self.refunds.get(id).cloned()
    }

    pub(crate) fn refund_by_reference(&self, reference: &str) -> Option<Refund> {
        self.refunds.by_reference(reference).cloned()
    }

    pub(super) fn refund_is_due(&mut self, place: usize) {
        let refund = self.refunds.at(place);
        let (to, failure) = if refund.fails {
            let failing = ("refund_refused", "The card's bank did not take the money back.");
            (RefundStatus::Failed, Some(failing.into()))
        } else {
            (RefundStatus::Succeeded, None)
        };
        let (id, event) = (refund.id.clone(), fresh("evt"));
        self.record(Fact::RefundChanged(RefundChanged { id, to, failure, event }));
    }

    pub(super) fn apply_refund_created(&mut self, at: Time, created: &RefundCreated) -> Result<(), Unfit> {
        let place = self.charges.place(&created.charge).ok_or(Unfit("no such charge"))?;
        let charge = self.charges.at_mut(place).ok_or(Unfit("no such charge"))?;
        let refunded = charge.refunded.minor.checked_add(created.amount.minor);
        charge.refunded.minor = refunded.ok_or(Unfit("more was refunded than there is"))?;
        let refund = Refund {
            id: created.id.clone(),
            reference: created.reference.clone(),
            charge: created.charge.clone(),
            amount: created.amount,
            status: RefundStatus::Processing,
            failure: None,
            created_at: at,
            changed_at: at,
            fails: charge.token.refunds_fail,
            telling: charge.token.telling,
            due: created.due,
        };
        let way = (Account::Merchant, Account::RefundsUnderWay);
        self.post(at, Cause::RefundCreated, &refund, way, refund.amount);
        let place = self.refunds.push(refund).ok_or(Unfit("a refund was created twice"))?;
        self.timers.insert((created.due, Timed::Refund(place)));
        Ok(())
    }

    pub(super) fn apply_refund_changed(&mut self, at: Time, changed: &RefundChanged) -> Result<(), Unfit> {
        let place = self.refunds.place(&changed.id).ok_or(Unfit("no such refund"))?;
        let refund = self.refunds.at_mut(place).ok_or(Unfit("no such refund"))?;
        self.timers.remove(&(refund.due, Timed::Refund(place)));
        refund.status = changed.to;
        refund.failure.clone_from(&changed.failure);
        refund.changed_at = at;
        let refund = refund.clone();
        let kind = match changed.to {
            RefundStatus::Processing => return Err(Unfit("a refund starts once")),
            RefundStatus::Succeeded => {
                let way = (Account::RefundsUnderWay, Account::Cards);
                self.post(at, Cause::RefundSucceeded, &refund, way, refund.amount);
                "refund.succeeded"
            }
            RefundStatus::Failed => {
                let way = (Account::RefundsUnderWay, Account::Merchant);
                self.post(at, Cause::RefundFailed, &refund, way, refund.amount);
                let place = self.charges.place(&refund.charge).ok_or(Unfit("no such charge"))?;
                let charge = self.charges.at_mut(place).ok_or(Unfit("no such charge"))?;
                charge.refunded.minor -= refund.amount.minor;
                "refund.failed"
            }
        };
        self.events.tell((&changed.event, kind), at, &refund, refund.telling)
    }
}
