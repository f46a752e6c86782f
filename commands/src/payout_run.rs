//! The process manager of a payout: from the wish to be paid to money that has left the wallet, or stays there.
//!
//! One run for each payout, with its bits. The wallet holds the money back first; only then may the payout go on. What
//! is paid is debited, what is not is given back, and what the bank returns is credited again, whenever that is.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Category, Event, Id, Money, RecordedEvent, Timestamp,
    ids::{AccountId, PayoutId, PayoutRunId, TransferId, WalletId},
    vocabulary::{
        StepOutcome,
        payments::{
            CreditSource, FundsHeld, HoldDeclined, HoldReason, PayoutApproved, PayoutEvent, PayoutPaid,
            PayoutRequested, PayoutRequeued, PayoutReversed, PayoutRunEnded, PayoutRunEvent, PayoutRunResult,
            PayoutRunStarted, PayoutRunStep, PayoutRunStepRequested, PayoutRunStepSettled,
            PayoutRunTimerStarted, PayoutRunTimerStopped, WalletEvent,
        },
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    payout::PayoutCommand,
    process::{Draft, ProcessManager, ProcessRejection, StepCommand, Steps},
    wallet::{WalletCommand, hold_of_payout},
};

/// The timer after which a payout goes with its batch.
pub const BATCH_TIMER: &str = "batch";

/// One run, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PayoutRun {
    run: Option<Run>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    started: PayoutRunStarted,
    steps: Steps<PayoutRunStep>,
    dispatch_at: Option<Timestamp>,
    result: Option<PayoutRunResult>,
}

impl PayoutRun {
    /// How it ended; `None` while it goes on.
    pub fn result(&self) -> Option<PayoutRunResult> {
        self.run.as_ref().and_then(|run| run.result)
    }
}

/// What a payout run is told.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayoutRunCommand {
    /// A user wants money.
    Start {
        /// Who.
        account: AccountId,
        /// How much.
        amount: Money,
    },
    /// The wallet holds the money back.
    NoteHeld,
    /// The wallet has not got it.
    NoteDeclined,
    /// The payout waits for a batch.
    NoteQueued {
        /// Which one.
        dispatch_at: Timestamp,
    },
    /// The provider paid.
    NotePaid {
        /// The name under which the wallet owes it.
        transfer: TransferId,
    },
    /// The money came back.
    NoteReversed {
        /// The name it travels under.
        transfer: TransferId,
    },
    /// The payout was cancelled or rejected.
    NoteGivenUp,
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

/// The run of `payout`.
pub fn instance_of(payout: PayoutId) -> PayoutRunId {
    PayoutRunId::from_uuid(payout.uuid())
}

impl Aggregate for PayoutRun {
    const CATEGORY: Category = Category::PayoutRun;
    const FOLD_VERSION: u16 = 1;
    type Id = PayoutRunId;
    type Command = PayoutRunCommand;
    type Event = PayoutRunEvent;
    type Rejection = ProcessRejection;

    fn decide(
        &self,
        command: &PayoutRunCommand,
        context: &Context,
    ) -> Result<Vec<PayoutRunEvent>, ProcessRejection> {
        if !context.actor.is_internal() {
            return Err(ProcessRejection::InternalOnly);
        }
        let mut draft = Draft::on(self);
        match command {
            PayoutRunCommand::Start { account, amount } => {
                draft.start(PayoutRunStarted { account: *account, amount: *amount });
            }
            PayoutRunCommand::NoteHeld => draft.request(PayoutRunStep::Admit),
            PayoutRunCommand::NoteDeclined => draft.request(PayoutRunStep::Cancel),
            PayoutRunCommand::NoteQueued { dispatch_at } => draft.start_timer(*dispatch_at),
            PayoutRunCommand::NotePaid { transfer } => {
                draft.stop_timer();
                draft.request(PayoutRunStep::DebitWallet { transfer: *transfer });
            }
            PayoutRunCommand::NoteReversed { transfer } => {
                draft.request(PayoutRunStep::CreditBack { transfer: *transfer });
            }
            PayoutRunCommand::NoteGivenUp => {
                draft.stop_timer();
                draft.request(PayoutRunStep::ReleaseHold);
            }
            PayoutRunCommand::SettleStep { number, outcome } => draft.settle(*number, outcome),
            PayoutRunCommand::FireTimer { timer } => draft.fire(timer, context),
        }
        Ok(draft.finish())
    }

    fn evolve(&mut self, event: &PayoutRunEvent) {
        if let PayoutRunEvent::PayoutRunStarted(started) = event {
            let (started, steps) = (started.clone(), Steps::default());
            self.run = Some(Run { started, steps, dispatch_at: None, result: None });
        } else if let Some(run) = &mut self.run {
            run.evolve(event);
        }
    }
}

impl Run {
    fn evolve(&mut self, event: &PayoutRunEvent) {
        match event {
            PayoutRunEvent::PayoutRunStarted(PayoutRunStarted { .. }) => {}
            PayoutRunEvent::PayoutRunStepRequested(PayoutRunStepRequested { number, step }) => {
                self.steps.request(*number, *step);
            }
            PayoutRunEvent::PayoutRunStepSettled(PayoutRunStepSettled { number, outcome }) => {
                self.steps.settle(*number, outcome);
            }
            PayoutRunEvent::PayoutRunTimerStarted(PayoutRunTimerStarted { due_at, .. }) => {
                self.dispatch_at = Some(*due_at);
            }
            PayoutRunEvent::PayoutRunTimerStopped(PayoutRunTimerStopped { .. }) => self.dispatch_at = None,
            PayoutRunEvent::PayoutRunEnded(PayoutRunEnded { result }) => self.result = Some(*result),
        }
    }
}

impl Draft<PayoutRun> {
    fn run(&self) -> Option<&Run> {
        self.state().run.as_ref()
    }

    /// Asks for a step, once.
    fn request(&mut self, step: PayoutRunStep) {
        if self.run().is_some_and(|run| run.steps.find(|asked| asked == step).is_none()) {
            self.request_again(step);
        }
    }

    fn request_again(&mut self, step: PayoutRunStep) {
        if let Some(number) = self.run().map(|run| run.steps.next_number()) {
            self.push(PayoutRunStepRequested { number, step });
        }
    }

    fn start(&mut self, started: PayoutRunStarted) {
        if self.run().is_none() {
            self.push(started);
            self.request(PayoutRunStep::HoldFunds);
        }
    }

    fn start_timer(&mut self, due_at: Timestamp) {
        if self.run().is_some_and(|run| run.dispatch_at != Some(due_at)) {
            self.push(PayoutRunTimerStarted { timer: BATCH_TIMER.to_owned(), due_at });
        }
    }

    fn stop_timer(&mut self) {
        if self.run().is_some_and(|run| run.dispatch_at.is_some()) {
            self.push(PayoutRunTimerStopped { timer: BATCH_TIMER.to_owned() });
        }
    }

    fn fire(&mut self, timer: &str, context: &Context) {
        let dispatch_at = self.run().and_then(|run| run.dispatch_at);
        if timer == BATCH_TIMER
            && let Some(dispatch_at) = dispatch_at.filter(|due_at| context.now >= *due_at)
        {
            self.stop_timer();
            self.request_again(PayoutRunStep::Dispatch { dispatch_at });
        }
    }

    fn settle(&mut self, number: u32, outcome: &StepOutcome) {
        let Some(step) = self.run().and_then(|run| run.steps.open(number)) else { return };
        self.push(PayoutRunStepSettled { number, outcome: outcome.clone() });
        let done = *outcome == StepOutcome::Done;
        match step {
            // The wallet could not even answer: the money is not there.
            PayoutRunStep::HoldFunds if !done => self.request(PayoutRunStep::Cancel),
            PayoutRunStep::DebitWallet { .. } if done => self.end(PayoutRunResult::Paid),
            PayoutRunStep::ReleaseHold if done => self.end(PayoutRunResult::GivenUp),
            PayoutRunStep::HoldFunds
            | PayoutRunStep::Admit
            | PayoutRunStep::Cancel
            | PayoutRunStep::Dispatch { .. }
            | PayoutRunStep::DebitWallet { .. }
            | PayoutRunStep::CreditBack { .. }
            | PayoutRunStep::ReleaseHold => {}
        }
    }

    fn end(&mut self, result: PayoutRunResult) {
        if self.run().is_some_and(|run| run.result.is_none()) {
            self.push(PayoutRunEnded { result });
        }
    }
}

impl ProcessManager for PayoutRun {
    fn react(event: &RecordedEvent) -> Option<(PayoutRunId, PayoutRunCommand)> {
        let of_payout = |reason: HoldReason| match reason {
            HoldReason::Payout { payout } => Some(instance_of(payout)),
            HoldReason::Earned { .. } => None,
        };
        match &event.payload {
            Event::Payout(told) => {
                let payout = PayoutId::from_uuid(event.stream.uuid);
                note(told).map(|command| (instance_of(payout), command))
            }
            Event::Wallet(WalletEvent::FundsHeld(FundsHeld { reason, .. })) => {
                of_payout(*reason).map(|run| (run, PayoutRunCommand::NoteHeld))
            }
            Event::Wallet(WalletEvent::HoldDeclined(HoldDeclined { reason, .. })) => {
                of_payout(*reason).map(|run| (run, PayoutRunCommand::NoteDeclined))
            }
            Event::Wallet(_)
            | Event::Account(_)
            | Event::Login(_)
            | Event::Session(_)
            | Event::Registration(_)
            | Event::Job(_)
            | Event::Contract(_)
            | Event::Hire(_)
            | Event::Payment(_)
            | Event::Escrow(_)
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

    fn open_step(&self, instance: PayoutRunId, number: u32) -> Option<StepCommand> {
        let run = self.run.as_ref()?;
        let PayoutRunStarted { account, amount } = run.started;
        let payout = PayoutId::from_uuid(instance.uuid());
        let hold = hold_of_payout(payout);
        let to_wallet = |command| StepCommand::Wallet(WalletId::of(account, amount.currency()), command);
        let to_payout = |command| StepCommand::Payout(payout, command);
        let command = match run.steps.open(number)? {
            PayoutRunStep::HoldFunds => {
                let reason = HoldReason::Payout { payout };
                to_wallet(WalletCommand::Hold { hold, amount, reason })
            }
            PayoutRunStep::Admit => to_payout(PayoutCommand::Admit),
            PayoutRunStep::Cancel => to_payout(PayoutCommand::Cancel),
            PayoutRunStep::Dispatch { .. } => to_payout(PayoutCommand::Dispatch),
            PayoutRunStep::DebitWallet { transfer } => to_wallet(WalletCommand::Debit { hold, transfer }),
            PayoutRunStep::CreditBack { transfer } => {
                let source = CreditSource::Payout { payout };
                to_wallet(WalletCommand::Credit { account, transfer, amount, source })
            }
            PayoutRunStep::ReleaseHold => to_wallet(WalletCommand::ReleaseHold { hold }),
        };
        Some(command)
    }

    /// One after the other: a hold is released after it was asked for, money credited after it was debited.
    fn step_before(&self, number: u32) -> Option<u32> {
        self.run.as_ref()?.steps.open_before(number)
    }

    fn settle(number: u32, outcome: StepOutcome) -> PayoutRunCommand {
        PayoutRunCommand::SettleStep { number, outcome }
    }

    fn fire(timer: &str) -> Option<PayoutRunCommand> {
        (timer == BATCH_TIMER).then(|| PayoutRunCommand::FireTimer { timer: timer.to_owned() })
    }
}

/// What a run is told of an event of its payout.
fn note(event: &PayoutEvent) -> Option<PayoutRunCommand> {
    match event {
        PayoutEvent::PayoutRequested(PayoutRequested { account, amount, .. }) => {
            Some(PayoutRunCommand::Start { account: *account, amount: *amount })
        }
        PayoutEvent::PayoutApproved(PayoutApproved { dispatch_at, .. })
        | PayoutEvent::PayoutRequeued(PayoutRequeued { dispatch_at }) => {
            Some(PayoutRunCommand::NoteQueued { dispatch_at: *dispatch_at })
        }
        PayoutEvent::PayoutPaid(PayoutPaid { transfer, .. }) => {
            Some(PayoutRunCommand::NotePaid { transfer: *transfer })
        }
        PayoutEvent::PayoutReversed(PayoutReversed { transfer, .. }) => {
            Some(PayoutRunCommand::NoteReversed { transfer: *transfer })
        }
        PayoutEvent::PayoutCancelled(_) | PayoutEvent::PayoutRejected(_) => {
            Some(PayoutRunCommand::NoteGivenUp)
        }
        PayoutEvent::PayoutReviewRequested(_)
        | PayoutEvent::PayoutDispatched(_)
        | PayoutEvent::PayoutFailed(_) => None,
    }
}
