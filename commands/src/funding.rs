//! The process manager of a funding: from the wish to pay for a milestone to its money in escrow, or back at the payer.
//!
//! One run for each wish, with the bits of the payment it asks for. Escrow takes one payment's money; whatever it, or
//! the contract behind it, has no use for goes back the way it came. A refusal of either is for ever, so what was
//! refused once can be sent back without asking again.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Category, Event, Id, Money, RecordedEvent, Timestamp,
    ids::{AccountId, ContractId, EscrowId, FundingId, PaymentId, TransferId},
    vocabulary::{
        StepOutcome,
        jobs::{ContractEvent, FundingRequested},
        payments::{
            EscrowEvent, EscrowRefunded, FundingEnded, FundingEvent, FundingResult, FundingStarted,
            FundingStep, FundingStepRequested, FundingStepSettled, FundingTimerStarted, FundingTimerStopped,
            PaymentConfirmed, PaymentCreated, PaymentEvent,
        },
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    contract::ContractCommand,
    escrow::EscrowCommand,
    payment::PaymentCommand,
    process::{Draft, OnceTimer, ProcessManager, ProcessRejection, StepCommand, Steps},
};

/// The timer after which a payment that was not confirmed expires.
pub const PAYMENT_TIMER: &str = "payment";

/// One funding, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Funding {
    run: Option<Run>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    started: FundingStarted,
    steps: Steps<FundingStep>,
    timer: OnceTimer,
    result: Option<FundingResult>,
}

impl Funding {
    /// How it ended; `None` while it goes on.
    pub fn result(&self) -> Option<FundingResult> {
        self.run.as_ref().and_then(|run| run.result)
    }
}

/// What a funding is told.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FundingCommand {
    /// A client wants to pay for a milestone.
    Start {
        /// Whose milestone.
        contract: ContractId,
        /// Which, from 1.
        milestone: u32,
        /// What it costs.
        amount: Money,
        /// Who pays.
        client: AccountId,
        /// Who will be paid.
        worker: AccountId,
    },
    /// The client can pay.
    NoteCreated {
        /// Unpaid by then, it expires.
        expires_at: Timestamp,
    },
    /// The money is there.
    NoteConfirmed {
        /// The name it travels under.
        transfer: TransferId,
    },
    /// The payment expired or was cancelled.
    NoteNotPaid,
    /// Escrow sent the money back.
    NoteEscrowRefunded {
        /// The name it travels under.
        transfer: TransferId,
        /// How much.
        amount: Money,
    },
    /// A step was done or refused.
    SettleStep {
        /// Its number.
        number: u32,
        /// What became of it.
        outcome: StepOutcome,
    },
    /// The timer is due.
    FireTimer {
        /// Its name.
        timer: String,
    },
}

/// The funding that asked for `payment`.
pub fn instance_of(payment: PaymentId) -> FundingId {
    FundingId::from_uuid(payment.uuid())
}

impl Aggregate for Funding {
    const CATEGORY: Category = Category::Funding;
    const FOLD_VERSION: u16 = 1;
    type Id = FundingId;
    type Command = FundingCommand;
    type Event = FundingEvent;
    type Rejection = ProcessRejection;

    fn decide(
        &self,
        command: &FundingCommand,
        context: &Context,
    ) -> Result<Vec<FundingEvent>, ProcessRejection> {
        if !context.actor.is_internal() {
            return Err(ProcessRejection::InternalOnly);
        }
        let mut draft = Draft::on(self);
        match command {
            FundingCommand::Start { contract, milestone, amount, client, worker } => {
                let (contract, milestone, amount) = (*contract, *milestone, *amount);
                let (client, worker) = (*client, *worker);
                draft.start(FundingStarted { contract, milestone, amount, client, worker });
            }
            FundingCommand::NoteCreated { expires_at } => draft.start_timer(*expires_at),
            FundingCommand::NoteConfirmed { transfer } => draft.fund(*transfer),
            FundingCommand::NoteNotPaid => {
                draft.stop_timer();
                draft.end(FundingResult::NotPaid);
            }
            FundingCommand::NoteEscrowRefunded { transfer, amount } => draft.take_back(*transfer, *amount),
            FundingCommand::SettleStep { number, outcome } => draft.settle(*number, outcome),
            FundingCommand::FireTimer { timer } => draft.fire(timer, context),
        }
        Ok(draft.finish())
    }

    fn evolve(&mut self, event: &FundingEvent) {
        if let FundingEvent::FundingStarted(started) = event {
            let (started, steps, timer) = (started.clone(), Steps::default(), OnceTimer::NotStarted);
            self.run = Some(Run { started, steps, timer, result: None });
        } else if let Some(run) = &mut self.run {
            run.evolve(event);
        }
    }
}

impl Run {
    fn evolve(&mut self, event: &FundingEvent) {
        match event {
            FundingEvent::FundingStarted(FundingStarted { .. }) => {}
            FundingEvent::FundingStepRequested(FundingStepRequested { number, step }) => {
                self.steps.request(*number, *step);
            }
            FundingEvent::FundingStepSettled(FundingStepSettled { number, outcome }) => {
                self.steps.settle(*number, outcome);
            }
            FundingEvent::FundingTimerStarted(FundingTimerStarted { due_at, .. }) => {
                self.timer = OnceTimer::Running { due_at: *due_at };
            }
            FundingEvent::FundingTimerStopped(FundingTimerStopped { .. }) => self.timer = OnceTimer::Over,
            FundingEvent::FundingEnded(FundingEnded { result }) => self.result = Some(*result),
        }
    }

    fn has_asked(&self, is: impl Fn(FundingStep) -> bool) -> bool {
        self.steps.find(is).is_some()
    }
}

impl Draft<Funding> {
    fn run(&self) -> Option<&Run> {
        self.state().run.as_ref()
    }

    /// Asks for a step, once.
    fn request(&mut self, step: FundingStep) {
        let Some(run) = self.run() else { return };
        if !run.has_asked(|asked| asked == step) {
            let number = run.steps.next_number();
            self.push(FundingStepRequested { number, step });
        }
    }

    fn start(&mut self, started: FundingStarted) {
        if self.run().is_none() {
            self.push(started);
            self.request(FundingStep::OpenEscrow);
            self.request(FundingStep::CreatePayment);
        }
    }

    fn start_timer(&mut self, due_at: Timestamp) {
        if self.run().is_some_and(|run| run.timer == OnceTimer::NotStarted) {
            self.push(FundingTimerStarted { timer: PAYMENT_TIMER.to_owned(), due_at });
        }
    }

    /// Also when it has not started yet, so that it never will.
    fn stop_timer(&mut self) {
        if self.run().is_some_and(|run| run.timer != OnceTimer::Over) {
            self.push(FundingTimerStopped { timer: PAYMENT_TIMER.to_owned() });
        }
    }

    /// That the payment has expired is believed when the payment says so: it may have been confirmed a moment ago.
    fn fire(&mut self, timer: &str, context: &Context) {
        let due = self.run().is_some_and(|run| run.timer.is_due(context.now));
        if timer == PAYMENT_TIMER && due {
            self.stop_timer();
            self.request(FundingStep::ExpirePayment);
        }
    }

    fn fund(&mut self, transfer: TransferId) {
        self.stop_timer();
        self.request(FundingStep::FundEscrow { transfer });
    }

    fn take_back(&mut self, transfer: TransferId, amount: Money) {
        self.request(FundingStep::TakeBack { transfer, amount });
    }

    fn settle(&mut self, number: u32, outcome: &StepOutcome) {
        let Some(run) = self.run() else { return };
        let Some(step) = run.steps.open(number) else { return };
        let (amount, done) = (run.started.amount, *outcome == StepOutcome::Done);
        self.push(FundingStepSettled { number, outcome: outcome.clone() });
        match step {
            FundingStep::CreatePayment if !done => self.end(FundingResult::NotPaid),
            FundingStep::FundEscrow { .. } if done => self.request(FundingStep::ConfirmFunding),
            FundingStep::FundEscrow { transfer } => self.take_back(transfer, amount),
            FundingStep::ConfirmFunding if done => self.end(FundingResult::Funded),
            FundingStep::ConfirmFunding => self.request(FundingStep::RefundEscrow),
            FundingStep::TakeBack { .. } if done => self.end(FundingResult::Returned),
            FundingStep::OpenEscrow
            | FundingStep::CreatePayment
            | FundingStep::ExpirePayment
            | FundingStep::RefundEscrow
            | FundingStep::TakeBack { .. } => {}
        }
    }

    fn end(&mut self, result: FundingResult) {
        if self.run().is_some_and(|run| run.result.is_none()) {
            self.push(FundingEnded { result });
        }
    }
}

impl ProcessManager for Funding {
    fn react(event: &RecordedEvent) -> Option<(FundingId, FundingCommand)> {
        match &event.payload {
            Event::Contract(ContractEvent::FundingRequested(requested)) => {
                let FundingRequested { milestone, amount, order } = requested;
                // Without an order it was asked for when nobody could take the money, and leads nowhere.
                let order = order.as_ref()?;
                let start = FundingCommand::Start {
                    contract: ContractId::from_uuid(event.stream.uuid),
                    milestone: *milestone,
                    amount: *amount,
                    client: order.client,
                    worker: order.worker,
                };
                Some((instance_of(order.payment), start))
            }
            Event::Payment(told) => {
                let payment = PaymentId::from_uuid(event.stream.uuid);
                note(told).map(|command| (instance_of(payment), command))
            }
            Event::Escrow(EscrowEvent::EscrowRefunded(refunded)) => {
                let EscrowRefunded { amount, transfer, payment } = *refunded;
                Some((instance_of(payment), FundingCommand::NoteEscrowRefunded { transfer, amount }))
            }
            Event::Contract(_)
            | Event::Escrow(_)
            | Event::Account(_)
            | Event::Login(_)
            | Event::Session(_)
            | Event::Registration(_)
            | Event::Job(_)
            | Event::Hire(_)
            | Event::Wallet(_)
            | Event::Payout(_)
            | Event::PaymentMethod(_)
            | Event::PayoutDestination(_)
            | Event::Receipt(_)
            | Event::Funding(_)
            | Event::Release(_)
            | Event::PayoutRun(_)
            | Event::Reconciliation(_)
            | Event::TestClock(_) => None,
        }
    }

    fn open_step(&self, instance: FundingId, number: u32) -> Option<StepCommand> {
        let run = self.run.as_ref()?;
        let FundingStarted { contract, milestone, amount, client, worker } = run.started;
        let (payment, escrow) = (PaymentId::from_uuid(instance.uuid()), EscrowId::of(contract, milestone));
        let to_payment = |command| StepCommand::Payment(payment, command);
        let to_escrow = |command| StepCommand::Escrow(escrow, command);
        let command = match run.steps.open(number)? {
            FundingStep::OpenEscrow => {
                to_escrow(EscrowCommand::Open { contract, milestone, client, worker, amount })
            }
            FundingStep::CreatePayment => {
                to_payment(PaymentCommand::Create { payer: client, amount, contract, milestone })
            }
            FundingStep::ExpirePayment => to_payment(PaymentCommand::Expire),
            FundingStep::FundEscrow { transfer } => {
                to_escrow(EscrowCommand::Fund { payment, transfer, amount })
            }
            FundingStep::ConfirmFunding => {
                StepCommand::Contract(contract, ContractCommand::ConfirmFunding { milestone })
            }
            FundingStep::RefundEscrow => to_escrow(EscrowCommand::Refund),
            FundingStep::TakeBack { transfer, amount } => {
                to_payment(PaymentCommand::TakeBack { transfer, amount })
            }
        };
        Some(command)
    }

    /// One after the other: there is an escrow before there is money for it.
    fn step_before(&self, number: u32) -> Option<u32> {
        self.run.as_ref()?.steps.open_before(number)
    }

    fn settle(number: u32, outcome: StepOutcome) -> FundingCommand {
        FundingCommand::SettleStep { number, outcome }
    }

    fn fire(timer: &str) -> Option<FundingCommand> {
        (timer == PAYMENT_TIMER).then(|| FundingCommand::FireTimer { timer: timer.to_owned() })
    }
}

/// What a funding is told of an event of its payment.
fn note(event: &PaymentEvent) -> Option<FundingCommand> {
    match event {
        PaymentEvent::PaymentCreated(PaymentCreated { expires_at, .. }) => {
            Some(FundingCommand::NoteCreated { expires_at: *expires_at })
        }
        PaymentEvent::PaymentConfirmed(PaymentConfirmed { transfer, .. }) => {
            Some(FundingCommand::NoteConfirmed { transfer: *transfer })
        }
        PaymentEvent::PaymentCancelled(_) | PaymentEvent::PaymentExpired(_) => {
            Some(FundingCommand::NoteNotPaid)
        }
        PaymentEvent::PaymentAttemptStarted(_)
        | PaymentEvent::PaymentActionRequired(_)
        | PaymentEvent::PaymentAuthorized(_)
        | PaymentEvent::PaymentAttemptFailed(_)
        | PaymentEvent::PaymentConfirmedLate(_)
        | PaymentEvent::PaymentTransferReturned(_)
        | PaymentEvent::PaymentRefundRequested(_)
        | PaymentEvent::PaymentRefunded(_)
        | PaymentEvent::PaymentRefundFailed(_)
        | PaymentEvent::PaymentRefundReplaced(_) => None,
    }
}
