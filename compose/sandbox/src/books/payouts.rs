//! Payouts: money that goes to a payee's bank, and sometimes comes back from there days later.

use serde::{Deserialize, Serialize};

use super::{
    Books, Made, Timed, Unfit,
    fact::{Fact, Failure, PayoutChanged, PayoutCreated},
    fresh,
    ledger::{Account, Cause},
    page::Dated,
    refusal::Refusal,
    shelf::Item,
};
use crate::{
    money::Money,
    time::Time,
    tokens::{Answering, PayoutOutcome, PayoutToken},
};

/// How far a payout got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PayoutStatus {
    /// Its outcome is not known yet.
    Processing,
    Paid,
    Failed,
    /// It was paid, and came back.
    Returned,
}

impl PayoutStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Returned => "returned",
        }
    }
}

/// A payout, as it goes over the wire.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Payout {
    pub(crate) id: String,
    pub(crate) reference: String,
    pub(crate) destination: String,
    pub(crate) amount: Money,
    pub(crate) status: PayoutStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failure>,
    pub(crate) created_at: Time,
    pub(crate) changed_at: Time,
    #[serde(skip)]
    pub(crate) token: &'static PayoutToken,
    #[serde(skip)]
    due: Option<Time>,
}

impl Dated for Payout {
    fn at(&self) -> Time {
        self.created_at
    }
}

impl Item for Payout {
    fn id(&self) -> &str {
        &self.id
    }
    fn reference(&self) -> &str {
        &self.reference
    }
}

/// What the merchant orders.
#[derive(Clone, Debug)]
pub(crate) struct PayoutOrder {
    pub(crate) reference: String,
    pub(crate) destination: String,
    pub(crate) amount: Money,
}

impl Books {
    /// A new order may be made to behave as another token than its destination: `act_as` is asked for it once, if at all.
    pub(crate) fn create_payout(
        &mut self,
        order: PayoutOrder,
        act_as: impl FnOnce() -> Option<String>,
    ) -> Result<Made<Payout>, Refusal> {
        if let Some(payout) = self.payouts.by_reference(&order.reference) {
            let same = (&payout.destination, payout.amount) == (&order.destination, order.amount);
            return if same { Ok(Made::Before(payout.clone())) } else { Err(Refusal::ReferenceReused) };
        }
        let own = PayoutToken::of(&order.destination).ok_or(Refusal::UnknownToken)?;
        let balance = self.ledger.balance(order.amount.currency, Account::Merchant);
        if i128::from(order.amount.minor) > balance {
            return Err(Refusal::BalanceInsufficient(balance));
        }
        self.room()?;
        let token = act_as().and_then(|token| PayoutToken::of(&token)).unwrap_or(own);
        if token.answering == Answering::WithErrorUndone {
            return Err(Refusal::OnRequest);
        }
        let again = token.outcome == PayoutOutcome::IsReturnedOnce
            && self.payouts.all().iter().any(|payout| payout.destination == order.destination);
        let acts_as = if again { "ba_account" } else { token.name };
        let id = fresh("po");
        self.record(Fact::PayoutCreated(PayoutCreated {
            id: id.clone(),
            reference: order.reference,
            destination: order.destination,
            amount: order.amount,
            acts_as: acts_as.into(),
            due: self.now.plus_ms(self.timing.answer_delay_ms),
        }));
        self.payout(&id).map(Made::Now).ok_or(Refusal::NotFound)
    }

    pub(crate) fn payout(&self, id: &str) -> Option<Payout> {
        self.payouts.get(id).cloned()
    }

    pub(crate) fn payout_by_reference(&self, reference: &str) -> Option<Payout> {
        self.payouts.by_reference(reference).cloned()
    }

    /// The payee's bank sends the money of a paid payout back, now.
    pub(crate) fn return_payout(&mut self, id: &str) -> Result<Payout, Refusal> {
        let payout = self.payouts.get(id).ok_or(Refusal::NotFound)?;
        if payout.status != PayoutStatus::Paid {
            return Err(Refusal::WrongStatus(payout.status.name()));
        }
        self.payout_comes_back(id);
        self.payout(id).ok_or(Refusal::NotFound)
    }

    pub(super) fn payout_is_due(&mut self, place: usize) {
        let payout = self.payouts.at(place);
        let id = payout.id.clone();
        if payout.status == PayoutStatus::Paid {
            return self.payout_comes_back(&id);
        }
        let (to, failure, comes_back) = match payout.token.outcome {
            PayoutOutcome::IsPaid => (PayoutStatus::Paid, None, false),
            PayoutOutcome::IsReturned | PayoutOutcome::IsReturnedOnce => (PayoutStatus::Paid, None, true),
            PayoutOutcome::Fails(failing) => (PayoutStatus::Failed, Some(failing.into()), false),
        };
        let due = comes_back.then(|| self.now.plus_ms(self.timing.return_delay_ms));
        self.change_payout(&id, to, failure, due);
    }

    fn payout_comes_back(&mut self, id: &str) {
        let failure = ("returned_by_bank", "The payee's bank sent the money back.");
        self.change_payout(id, PayoutStatus::Returned, Some(failure.into()), None);
    }

    fn change_payout(&mut self, id: &str, to: PayoutStatus, failure: Option<Failure>, due: Option<Time>) {
        let event = fresh("evt");
        self.record(Fact::PayoutChanged(PayoutChanged { id: id.into(), to, failure, due, event }));
    }

    pub(super) fn apply_payout_created(&mut self, at: Time, created: &PayoutCreated) -> Result<(), Unfit> {
        let token = PayoutToken::of(&created.acts_as).ok_or(Unfit("a payout acts as an unknown token"))?;
        let payout = Payout {
            id: created.id.clone(),
            reference: created.reference.clone(),
            destination: created.destination.clone(),
            amount: created.amount,
            status: PayoutStatus::Processing,
            failure: None,
            created_at: at,
            changed_at: at,
            token,
            due: Some(created.due),
        };
        let way = (Account::Merchant, Account::PayoutsUnderWay);
        self.post(at, Cause::PayoutCreated, &payout, way, payout.amount);
        let place = self.payouts.push(payout).ok_or(Unfit("a payout was created twice"))?;
        self.timers.insert((created.due, Timed::Payout(place)));
        Ok(())
    }

    pub(super) fn apply_payout_changed(&mut self, at: Time, changed: &PayoutChanged) -> Result<(), Unfit> {
        let place = self.payouts.place(&changed.id).ok_or(Unfit("no such payout"))?;
        let payout = self.payouts.at_mut(place).ok_or(Unfit("no such payout"))?;
        if let Some(due) = payout.due.take() {
            self.timers.remove(&(due, Timed::Payout(place)));
        }
        payout.status = changed.to;
        payout.failure.clone_from(&changed.failure);
        payout.changed_at = at;
        payout.due = changed.due;
        self.timers.extend(changed.due.map(|due| (due, Timed::Payout(place))));
        let payout = payout.clone();
        let (cause, way, kind) = match changed.to {
            PayoutStatus::Processing => return Err(Unfit("a payout starts once")),
            PayoutStatus::Paid => {
                (Cause::PayoutPaid, (Account::PayoutsUnderWay, Account::Banks), "payout.paid")
            }
            PayoutStatus::Failed => {
                (Cause::PayoutFailed, (Account::PayoutsUnderWay, Account::Merchant), "payout.failed")
            }
            PayoutStatus::Returned => {
                (Cause::PayoutReturned, (Account::Banks, Account::Merchant), "payout.returned")
            }
        };
        self.post(at, cause, &payout, way, payout.amount);
        self.events.tell((&changed.event, kind), at, &payout, payout.token.telling)
    }
}
