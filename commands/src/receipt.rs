//! One event of a payment provider, kept once however often it is told, and passed on to whom it concerns.
//!
//! Its id follows from the provider's own id of the event, so a repetition finds what came before. It is the smallest of
//! process managers: its one step tells the payment or the payout, and what came of that stands on its own stream.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Category, Personal, RecordedEvent,
    ids::ReceiptId,
    vocabulary::{
        StepOutcome,
        payments::{Notice, ReceiptEvent, ReceiptRecorded, ReceiptSettled},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    payment::PaymentCommand,
    payout::PayoutCommand,
    process::{ProcessManager, StepCommand},
    rejection::rejections,
};

/// A receipt, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    recorded: Option<ReceiptRecorded>,
    outcome: Option<StepOutcome>,
}

impl Receipt {
    /// What was told; `None` when nothing was.
    pub fn recorded(&self) -> Option<&ReceiptRecorded> {
        self.recorded.as_ref()
    }

    /// What came of it; `None` while it is passed on.
    pub fn outcome(&self) -> Option<&StepOutcome> {
        self.outcome.as_ref()
    }
}

/// What can be asked of a receipt. All of it by the machinery only.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptCommand {
    /// Keep what the provider told. Its signature was checked. Does nothing when the same was told before.
    Record {
        /// Which provider.
        provider: String,
        /// Its own id of the event.
        event: String,
        /// What it told.
        notice: Notice,
        /// All of it, as it came.
        body: Option<Personal<String>>,
    },
    /// Whoever it concerns was told.
    Settle {
        /// What came of it.
        outcome: StepOutcome,
    },
}

rejections! {
    /// Why a receipt says no.
    pub enum ReceiptRejection {
        InternalOnly = Forbidden "internal_only": "only the machinery itself does this",
        Differs = State "receipt_differs": "the provider told something else under this name before",
        EventMissing = Invalid "event_missing": "a provider's event has an id",
    }
}

type Decision = Result<Vec<ReceiptEvent>, ReceiptRejection>;

impl Aggregate for Receipt {
    const CATEGORY: Category = Category::Receipt;
    const FOLD_VERSION: u16 = 1;
    type Id = ReceiptId;
    type Command = ReceiptCommand;
    type Event = ReceiptEvent;
    type Rejection = ReceiptRejection;

    fn decide(&self, command: &ReceiptCommand, context: &Context) -> Decision {
        if !context.actor.is_internal() {
            return Err(ReceiptRejection::InternalOnly);
        }
        match command {
            ReceiptCommand::Record { provider, event, notice, body } => self.record(ReceiptRecorded {
                provider: provider.clone(),
                event: event.clone(),
                notice: notice.clone(),
                body: body.clone(),
            }),
            ReceiptCommand::Settle { outcome } => {
                let open = self.recorded.is_some() && self.outcome.is_none();
                let settled = ReceiptSettled { outcome: outcome.clone() };
                Ok(if open { vec![settled.into()] } else { Vec::new() })
            }
        }
    }

    fn evolve(&mut self, event: &ReceiptEvent) {
        match event {
            ReceiptEvent::ReceiptRecorded(recorded) => self.recorded = Some(recorded.clone()),
            ReceiptEvent::ReceiptSettled(ReceiptSettled { outcome }) => self.outcome = Some(outcome.clone()),
        }
    }
}

impl Receipt {
    /// The body is sealed anew each time, and does not count.
    fn record(&self, recorded: ReceiptRecorded) -> Decision {
        if recorded.event.trim().is_empty() {
            return Err(ReceiptRejection::EventMissing);
        }
        if let Some(before) = &self.recorded {
            let same = before.notice == recorded.notice;
            return if same { Ok(Vec::new()) } else { Err(ReceiptRejection::Differs) };
        }
        let concerns_nobody = addressee(&recorded.notice).is_none();
        let mut events = vec![recorded.into()];
        if concerns_nobody {
            events.push(ReceiptSettled { outcome: StepOutcome::Done }.into());
        }
        Ok(events)
    }
}

/// Whom a notice concerns, and what they are told.
pub(crate) fn addressee(notice: &Notice) -> Option<StepCommand> {
    let command = match notice.clone() {
        Notice::PaymentActionRequired { payment, attempt } => {
            StepCommand::Payment(payment, PaymentCommand::RequireAction { attempt })
        }
        Notice::PaymentAuthorized { payment, attempt } => {
            StepCommand::Payment(payment, PaymentCommand::Authorize { attempt })
        }
        Notice::PaymentConfirmed { payment, attempt, reference, amount } => {
            StepCommand::Payment(payment, PaymentCommand::Confirm { attempt, reference, amount })
        }
        Notice::PaymentFailed { payment, attempt, code } => {
            StepCommand::Payment(payment, PaymentCommand::FailAttempt { attempt, code })
        }
        Notice::RefundPaid { payment, refund } => {
            StepCommand::Payment(payment, PaymentCommand::ConfirmRefund { refund })
        }
        Notice::RefundFailed { payment, refund, code } => {
            StepCommand::Payment(payment, PaymentCommand::FailRefund { refund, code })
        }
        Notice::PayoutPaid { payout, attempt, reference } => {
            StepCommand::Payout(payout, PayoutCommand::ConfirmPaid { attempt, reference })
        }
        Notice::PayoutFailed { payout, attempt, code } => {
            StepCommand::Payout(payout, PayoutCommand::Fail { attempt, code })
        }
        Notice::PayoutReturned { payout, attempt, code } => {
            StepCommand::Payout(payout, PayoutCommand::Reverse { attempt, code })
        }
        Notice::Other { .. } => return None,
    };
    Some(command)
}

impl ProcessManager for Receipt {
    /// It is told by the provider, not by events.
    fn react(_event: &RecordedEvent) -> Option<(ReceiptId, ReceiptCommand)> {
        None
    }

    fn open_step(&self, _instance: ReceiptId, number: u32) -> Option<StepCommand> {
        let recorded = self.recorded.as_ref().filter(|_| number == 1 && self.outcome.is_none())?;
        addressee(&recorded.notice)
    }

    fn step_before(&self, _number: u32) -> Option<u32> {
        None
    }

    fn settle(_number: u32, outcome: StepOutcome) -> ReceiptCommand {
        ReceiptCommand::Settle { outcome }
    }

    fn fire(_timer: &str) -> Option<ReceiptCommand> {
        None
    }
}
