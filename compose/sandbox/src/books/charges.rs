//! Charges: money taken from a card, for one reference once.

use serde::{Deserialize, Serialize};

use super::{
    Books, Made, Timed, Unfit,
    fact::{Capture, ChargeChanged, ChargeCreated, Fact, Failure},
    fresh,
    ledger::{Account, Cause},
    page::Dated,
    refusal::Refusal,
    shelf::Item,
};
use crate::{
    money::Money,
    time::Time,
    tokens::{Answering, ChargeOutcome, ChargeToken},
};

/// How far a charge got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChargeStatus {
    /// Its outcome is not known yet.
    Processing,
    /// Its payer has something to do.
    RequiresAction,
    /// The card's bank agrees; nothing is taken before it is captured.
    Authorized,
    Succeeded,
    Failed,
    Cancelled,
}

impl ChargeStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::RequiresAction => "requires_action",
            Self::Authorized => "authorized",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn event(self) -> Option<&'static str> {
        match self {
            Self::Processing => None,
            Self::RequiresAction => Some("charge.requires_action"),
            Self::Authorized => Some("charge.authorized"),
            Self::Succeeded => Some("charge.succeeded"),
            Self::Failed => Some("charge.failed"),
            Self::Cancelled => Some("charge.cancelled"),
        }
    }
}

/// A charge, as it goes over the wire.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) reference: String,
    pub(crate) amount: Money,
    pub(crate) method: String,
    pub(crate) capture: Capture,
    pub(crate) status: ChargeStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failure>,
    /// What was refunded, refunds under way included.
    pub(crate) refunded: Money,
    pub(crate) created_at: Time,
    pub(crate) changed_at: Time,
    #[serde(skip)]
    pub(crate) token: &'static ChargeToken,
    /// Its payer was asked to act.
    #[serde(skip)]
    asked: bool,
    #[serde(skip)]
    due: Option<Time>,
}

impl Dated for Charge {
    fn at(&self) -> Time {
        self.created_at
    }
}

impl Item for Charge {
    fn id(&self) -> &str {
        &self.id
    }
    fn reference(&self) -> &str {
        &self.reference
    }
}

/// What the merchant orders.
#[derive(Clone, Debug)]
pub(crate) struct ChargeOrder {
    pub(crate) reference: String,
    pub(crate) amount: Money,
    pub(crate) method: String,
    pub(crate) capture: Capture,
}

/// What the payer does when the charge waits for him.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PayerAction {
    Succeed,
    Fail,
}

impl Books {
    /// A new order may be made to behave as another token than its method: `act_as` is asked for it once, if at all.
    pub(crate) fn create_charge(
        &mut self,
        order: ChargeOrder,
        act_as: impl FnOnce() -> Option<String>,
    ) -> Result<Made<Charge>, Refusal> {
        if let Some(charge) = self.charges.by_reference(&order.reference) {
            let same = (charge.amount, &charge.method, charge.capture)
                == (order.amount, &order.method, order.capture);
            return if same { Ok(Made::Before(charge.clone())) } else { Err(Refusal::ReferenceReused) };
        }
        let own = ChargeToken::of(&order.method).ok_or(Refusal::UnknownToken)?;
        self.room()?;
        let token = act_as().and_then(|token| ChargeToken::of(&token)).unwrap_or(own);
        if token.answering == Answering::WithErrorUndone {
            return Err(Refusal::OnRequest);
        }
        // What is known at once follows at once; should we be cut off in between, the timer sees to it.
        let (delay_ms, at_once) = match token.outcome {
            ChargeOutcome::Succeeds | ChargeOutcome::Fails(_) => (self.timing.answer_delay_ms, false),
            ChargeOutcome::SucceedsLate => (self.timing.late_delay_ms, false),
            ChargeOutcome::FailsAtOnce(_) | ChargeOutcome::RequiresAction => (0, true),
        };
        let id = fresh("ch");
        self.record(Fact::ChargeCreated(ChargeCreated {
            id: id.clone(),
            reference: order.reference,
            amount: order.amount,
            method: order.method,
            capture: order.capture,
            acts_as: token.name.into(),
            due: self.now.plus_ms(delay_ms),
        }));
        let place = self.charges.place(&id).ok_or(Refusal::NotFound)?;
        if at_once {
            self.charge_is_due(place);
        }
        Ok(Made::Now(self.charges.at(place).clone()))
    }

    pub(crate) fn charge(&self, id: &str) -> Option<Charge> {
        self.charges.get(id).cloned()
    }

    pub(crate) fn charge_by_reference(&self, reference: &str) -> Option<Charge> {
        self.charges.by_reference(reference).cloned()
    }

    /// Takes the money of an authorized charge. Asked again, it answers the same.
    pub(crate) fn capture_charge(&mut self, id: &str) -> Result<Charge, Refusal> {
        let charge = self.charges.get(id).ok_or(Refusal::NotFound)?;
        match charge.status {
            ChargeStatus::Succeeded => Ok(charge.clone()),
            ChargeStatus::Authorized => {
                self.change_charge(id, ChargeStatus::Succeeded, None, None);
                self.charge(id).ok_or(Refusal::NotFound)
            }
            ChargeStatus::Processing
            | ChargeStatus::RequiresAction
            | ChargeStatus::Failed
            | ChargeStatus::Cancelled => Err(Refusal::WrongStatus(charge.status.name())),
        }
    }

    /// Gives up a charge that waits for its payer or for its capture. Asked again, it answers the same. What is processing
    /// cannot be called back.
    pub(crate) fn cancel_charge(&mut self, id: &str) -> Result<Charge, Refusal> {
        let charge = self.charges.get(id).ok_or(Refusal::NotFound)?;
        match charge.status {
            ChargeStatus::Cancelled => Ok(charge.clone()),
            ChargeStatus::Authorized | ChargeStatus::RequiresAction => {
                self.change_charge(id, ChargeStatus::Cancelled, None, None);
                self.charge(id).ok_or(Refusal::NotFound)
            }
            ChargeStatus::Processing | ChargeStatus::Succeeded | ChargeStatus::Failed => {
                Err(Refusal::WrongStatus(charge.status.name()))
            }
        }
    }

    /// The payer does, or fails to do, what the charge waits for.
    pub(crate) fn payer_acts(&mut self, id: &str, action: PayerAction) -> Result<Charge, Refusal> {
        let charge = self.charges.get(id).ok_or(Refusal::NotFound)?;
        if charge.status != ChargeStatus::RequiresAction {
            return Err(Refusal::WrongStatus(charge.status.name()));
        }
        match action {
            PayerAction::Succeed => {
                let due = self.now.plus_ms(self.timing.answer_delay_ms);
                self.change_charge(id, ChargeStatus::Processing, None, Some(due));
            }
            PayerAction::Fail => {
                let failure = ("authentication_failed", "The payer was not authenticated.");
                self.change_charge(id, ChargeStatus::Failed, Some(failure.into()), None);
            }
        }
        self.charge(id).ok_or(Refusal::NotFound)
    }

    pub(super) fn charge_is_due(&mut self, place: usize) {
        let charge = self.charges.at(place);
        let agreed = match charge.capture {
            Capture::Automatic => ChargeStatus::Succeeded,
            Capture::Manual => ChargeStatus::Authorized,
        };
        let (to, failure) = match charge.token.outcome {
            ChargeOutcome::Succeeds | ChargeOutcome::SucceedsLate => (agreed, None),
            ChargeOutcome::Fails(failing) | ChargeOutcome::FailsAtOnce(failing) => {
                (ChargeStatus::Failed, Some(failing.into()))
            }
            ChargeOutcome::RequiresAction if charge.asked => (agreed, None),
            ChargeOutcome::RequiresAction => (ChargeStatus::RequiresAction, None),
        };
        let id = charge.id.clone();
        self.change_charge(&id, to, failure, None);
    }

    fn change_charge(&mut self, id: &str, to: ChargeStatus, failure: Option<Failure>, due: Option<Time>) {
        let event = to.event().map(|_| fresh("evt"));
        self.record(Fact::ChargeChanged(ChargeChanged { id: id.into(), to, failure, due, event }));
    }

    pub(super) fn apply_charge_created(&mut self, at: Time, created: &ChargeCreated) -> Result<(), Unfit> {
        let token = ChargeToken::of(&created.acts_as).ok_or(Unfit("a charge acts as an unknown token"))?;
        let charge = Charge {
            id: created.id.clone(),
            reference: created.reference.clone(),
            amount: created.amount,
            method: created.method.clone(),
            capture: created.capture,
            status: ChargeStatus::Processing,
            failure: None,
            refunded: Money { minor: 0, ..created.amount },
            created_at: at,
            changed_at: at,
            token,
            asked: false,
            due: Some(created.due),
        };
        let place = self.charges.push(charge).ok_or(Unfit("a charge was created twice"))?;
        self.timers.insert((created.due, Timed::Charge(place)));
        Ok(())
    }

    pub(super) fn apply_charge_changed(&mut self, at: Time, changed: &ChargeChanged) -> Result<(), Unfit> {
        let place = self.charges.place(&changed.id).ok_or(Unfit("no such charge"))?;
        let charge = self.charges.at_mut(place).ok_or(Unfit("no such charge"))?;
        if let Some(due) = charge.due.take() {
            self.timers.remove(&(due, Timed::Charge(place)));
        }
        charge.status = changed.to;
        charge.asked |= changed.to == ChargeStatus::RequiresAction;
        charge.failure.clone_from(&changed.failure);
        charge.changed_at = at;
        charge.due = changed.due;
        self.timers.extend(changed.due.map(|due| (due, Timed::Charge(place))));
        let charge = charge.clone();
        if changed.to == ChargeStatus::Succeeded {
            let way = (Account::Cards, Account::Merchant);
            self.post(at, Cause::ChargeSucceeded, &charge, way, charge.amount);
        }
        if let (Some(event), Some(kind)) = (&changed.event, changed.to.event()) {
            self.events.tell((event, kind), at, &charge, charge.token.telling)?;
        }
        Ok(())
    }
}
