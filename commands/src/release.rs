//! The process manager of a release: from handed-in work to money that the worker can spend.
//!
//! One run for each milestone, with the bits of its escrow. The client answers, or the review period does; then escrow
//! is released, the worker's wallet credited, the contract told, and what was earned becomes available after a while.
//! The review period starts again with every submission, and its end approves that submission and no other.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Category, Event, Id, Money, RecordedEvent, Timestamp,
    ids::{AccountId, ContractId, EscrowId, ReleaseId, TransferId, WalletId},
    vocabulary::{
        StepOutcome,
        jobs::{ChangesRequested, ContractEvent, MilestoneApproved, MilestoneDisputed, WorkSubmitted},
        payments::{
            CreditSource, EscrowEvent, EscrowReleased, FundsHeld, HoldReason, ReleaseEnded, ReleaseEvent,
            ReleaseStarted, ReleaseStep, ReleaseStepRequested, ReleaseStepSettled, ReleaseTimerStarted,
            ReleaseTimerStopped, WalletEvent,
        },
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    contract::ContractCommand,
    escrow::EscrowCommand,
    process::{Draft, ProcessManager, ProcessRejection, StepCommand, Steps},
    wallet::{WalletCommand, hold_of_earnings},
};

/// The timer after which submitted work counts as approved.
pub const REVIEW_TIMER: &str = "review";
/// The timer after which what was earned can be spent.
pub const HOLD_TIMER: &str = "hold";

/// One release, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Release {
    run: Option<Run>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    started: ReleaseStarted,
    steps: Steps<ReleaseStep>,
    review_until: Option<Timestamp>,
    held_until: Option<Timestamp>,
    ended: bool,
}

impl Release {
    /// The worker can spend the money.
    pub fn has_ended(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.ended)
    }
}

/// What a release is told.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseCommand {
    /// Work was handed in.
    NoteSubmitted {
        /// Whose milestone.
        contract: ContractId,
        /// Which, from 1.
        milestone: u32,
        /// Without an answer, it counts as approved then.
        review_until: Timestamp,
    },
    /// The client wants it done differently, or there is a dispute: no review period runs.
    NoteReviewOver,
    /// The work is accepted.
    NoteApproved,
    /// The money has left escrow.
    NoteEscrowReleased {
        /// Who is paid.
        worker: AccountId,
        /// The name it travels under.
        transfer: TransferId,
        /// How much.
        net: Money,
    },
    /// The worker's wallet holds it back.
    NoteHeld {
        /// Until then.
        until: Timestamp,
    },
    /// A step was done or refused.
    SettleStep {
        /// Its number.
        number: u32,
        /// What became of it.
        outcome: StepOutcome,
    },
    /// A timer is due.
    FireTimer {
        /// Its name.
        timer: String,
    },
}

/// The release of what `escrow` holds.
pub fn instance_of(escrow: EscrowId) -> ReleaseId {
    ReleaseId::from_uuid(escrow.uuid())
}

impl Aggregate for Release {
    const CATEGORY: Category = Category::Release;
    const FOLD_VERSION: u16 = 1;
    type Id = ReleaseId;
    type Command = ReleaseCommand;
    type Event = ReleaseEvent;
    type Rejection = ProcessRejection;

    fn decide(
        &self,
        command: &ReleaseCommand,
        context: &Context,
    ) -> Result<Vec<ReleaseEvent>, ProcessRejection> {
        if !context.actor.is_internal() {
            return Err(ProcessRejection::InternalOnly);
        }
        let mut draft = Draft::on(self);
        match command {
            ReleaseCommand::NoteSubmitted { contract, milestone, review_until } => {
                draft.start(ReleaseStarted { contract: *contract, milestone: *milestone });
                draft.start_review(*review_until);
            }
            ReleaseCommand::NoteReviewOver => draft.stop_review(),
            ReleaseCommand::NoteApproved => {
                draft.stop_review();
                draft.request(ReleaseStep::ReleaseEscrow);
            }
            ReleaseCommand::NoteEscrowReleased { worker, transfer, net } => {
                draft.credit(*worker, *transfer, *net);
            }
            ReleaseCommand::NoteHeld { until } => draft.start_hold(*until),
            ReleaseCommand::SettleStep { number, outcome } => draft.settle(*number, outcome),
            ReleaseCommand::FireTimer { timer } => draft.fire(timer, context),
        }
        Ok(draft.finish())
    }

    fn evolve(&mut self, event: &ReleaseEvent) {
        if let ReleaseEvent::ReleaseStarted(started) = event {
            let (started, steps) = (started.clone(), Steps::default());
            let (review_until, held_until, ended) = (None, None, false);
            self.run = Some(Run { started, steps, review_until, held_until, ended });
        } else if let Some(run) = &mut self.run {
            run.evolve(event);
        }
    }
}

impl Run {
    fn evolve(&mut self, event: &ReleaseEvent) {
        match event {
            ReleaseEvent::ReleaseStarted(ReleaseStarted { .. }) => {}
            ReleaseEvent::ReleaseStepRequested(ReleaseStepRequested { number, step }) => {
                self.steps.request(*number, *step);
            }
            ReleaseEvent::ReleaseStepSettled(ReleaseStepSettled { number, outcome }) => {
                self.steps.settle(*number, outcome);
            }
            ReleaseEvent::ReleaseTimerStarted(ReleaseTimerStarted { timer, due_at }) => {
                *self.timer(timer) = Some(*due_at);
            }
            ReleaseEvent::ReleaseTimerStopped(ReleaseTimerStopped { timer }) => *self.timer(timer) = None,
            ReleaseEvent::ReleaseEnded(ReleaseEnded {}) => self.ended = true,
        }
    }

    /// There are two.
    fn timer(&mut self, name: &str) -> &mut Option<Timestamp> {
        if name == HOLD_TIMER { &mut self.held_until } else { &mut self.review_until }
    }

    fn has_asked(&self, is: impl Fn(ReleaseStep) -> bool) -> bool {
        self.steps.find(is).is_some()
    }

    fn is_approved(&self) -> bool {
        self.has_asked(|step| step == ReleaseStep::ReleaseEscrow)
    }

    /// What the wallet was asked to take.
    fn credit(&self) -> Option<(AccountId, TransferId, Money)> {
        self.steps.iter().find_map(|(step, _)| match step {
            ReleaseStep::CreditWallet { account, transfer, amount } => Some((account, transfer, amount)),
            ReleaseStep::EndReview { .. }
            | ReleaseStep::ReleaseEscrow
            | ReleaseStep::ReleaseMilestone
            | ReleaseStep::ReleaseHold => None,
        })
    }
}

impl Draft<Release> {
    fn run(&self) -> Option<&Run> {
        self.state().run.as_ref()
    }

    /// Asks for a step, once.
    fn request(&mut self, step: ReleaseStep) {
        if self.run().is_some_and(|run| !run.has_asked(|asked| asked == step)) {
            self.request_again(step);
        }
    }

    fn request_again(&mut self, step: ReleaseStep) {
        if let Some(number) = self.run().map(|run| run.steps.next_number()) {
            self.push(ReleaseStepRequested { number, step });
        }
    }

    fn start(&mut self, started: ReleaseStarted) {
        if self.run().is_none() {
            self.push(started);
        }
    }

    fn start_review(&mut self, due_at: Timestamp) {
        if self.run().is_some_and(|run| !run.is_approved() && run.review_until != Some(due_at)) {
            self.push(ReleaseTimerStarted { timer: REVIEW_TIMER.to_owned(), due_at });
        }
    }

    fn stop_review(&mut self) {
        if self.run().is_some_and(|run| run.review_until.is_some()) {
            self.push(ReleaseTimerStopped { timer: REVIEW_TIMER.to_owned() });
        }
    }

    /// Money that leaves escrow for another reason than an approval is somebody else's to see to.
    fn credit(&mut self, account: AccountId, transfer: TransferId, amount: Money) {
        if self.run().is_some_and(|run| run.is_approved() && run.credit().is_none()) {
            self.request(ReleaseStep::CreditWallet { account, transfer, amount });
        }
    }

    fn start_hold(&mut self, due_at: Timestamp) {
        let awaited = |run: &Run| run.credit().is_some() && run.held_until.is_none() && !run.ended;
        let released = |run: &Run| run.has_asked(|step| step == ReleaseStep::ReleaseHold);
        if self.run().is_some_and(|run| awaited(run) && !released(run)) {
            self.push(ReleaseTimerStarted { timer: HOLD_TIMER.to_owned(), due_at });
        }
    }

    fn fire(&mut self, timer: &str, context: &Context) {
        let Some(run) = self.run() else { return };
        let (review_until, held_until) = (run.review_until, run.held_until);
        let due = |at: Option<Timestamp>| at.filter(|due_at| context.now >= *due_at);
        if timer == REVIEW_TIMER
            && let Some(review_until) = due(review_until)
        {
            self.stop_review();
            self.request_again(ReleaseStep::EndReview { review_until });
        } else if timer == HOLD_TIMER && due(held_until).is_some() {
            self.push(ReleaseTimerStopped { timer: HOLD_TIMER.to_owned() });
            self.request(ReleaseStep::ReleaseHold);
        }
    }

    fn settle(&mut self, number: u32, outcome: &StepOutcome) {
        let Some(step) = self.run().and_then(|run| run.steps.open(number)) else { return };
        self.push(ReleaseStepSettled { number, outcome: outcome.clone() });
        let done = *outcome == StepOutcome::Done;
        match step {
            ReleaseStep::CreditWallet { .. } if done => self.request(ReleaseStep::ReleaseMilestone),
            ReleaseStep::ReleaseHold if done => self.push(ReleaseEnded {}),
            ReleaseStep::EndReview { .. }
            | ReleaseStep::ReleaseEscrow
            | ReleaseStep::CreditWallet { .. }
            | ReleaseStep::ReleaseMilestone
            | ReleaseStep::ReleaseHold => {}
        }
    }
}

impl ProcessManager for Release {
    fn react(event: &RecordedEvent) -> Option<(ReleaseId, ReleaseCommand)> {
        match &event.payload {
            Event::Contract(told) => {
                let contract = ContractId::from_uuid(event.stream.uuid);
                let (milestone, command) = note(contract, told)?;
                Some((instance_of(EscrowId::of(contract, milestone)), command))
            }
            Event::Escrow(EscrowEvent::EscrowReleased(released)) => {
                let EscrowReleased { worker, transfer, net, .. } = *released;
                let command = ReleaseCommand::NoteEscrowReleased { worker, transfer, net };
                Some((instance_of(EscrowId::from_uuid(event.stream.uuid)), command))
            }
            Event::Wallet(WalletEvent::FundsHeld(FundsHeld { reason, .. })) => match *reason {
                HoldReason::Earned { escrow, until } => {
                    Some((instance_of(escrow), ReleaseCommand::NoteHeld { until }))
                }
                HoldReason::Payout { .. } => None,
            },
            Event::Escrow(_)
            | Event::Wallet(_)
            | Event::Account(_)
            | Event::Login(_)
            | Event::Session(_)
            | Event::Registration(_)
            | Event::Job(_)
            | Event::Hire(_)
            | Event::Payment(_)
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

    fn open_step(&self, instance: ReleaseId, number: u32) -> Option<StepCommand> {
        let run = self.run.as_ref()?;
        let ReleaseStarted { contract, milestone } = run.started;
        let escrow = EscrowId::from_uuid(instance.uuid());
        let command = match run.steps.open(number)? {
            ReleaseStep::EndReview { review_until } => {
                StepCommand::Contract(contract, ContractCommand::EndReview { milestone, review_until })
            }
            ReleaseStep::ReleaseEscrow => {
                StepCommand::Escrow(escrow, EscrowCommand::Release { amount: None })
            }
            ReleaseStep::CreditWallet { account, transfer, amount } => {
                let source = CreditSource::Escrow { escrow };
                let wallet = WalletId::of(account, amount.currency());
                StepCommand::Wallet(wallet, WalletCommand::Credit { account, transfer, amount, source })
            }
            ReleaseStep::ReleaseMilestone => {
                StepCommand::Contract(contract, ContractCommand::Release { milestone })
            }
            ReleaseStep::ReleaseHold => {
                let (account, transfer, amount) = run.credit()?;
                let (wallet, hold) = (WalletId::of(account, amount.currency()), hold_of_earnings(transfer));
                StepCommand::Wallet(wallet, WalletCommand::ReleaseHold { hold })
            }
        };
        Some(command)
    }

    /// One after the other: the contract says that the worker was paid when it is so.
    fn step_before(&self, number: u32) -> Option<u32> {
        self.run.as_ref()?.steps.open_before(number)
    }

    fn settle(number: u32, outcome: StepOutcome) -> ReleaseCommand {
        ReleaseCommand::SettleStep { number, outcome }
    }

    fn fire(timer: &str) -> Option<ReleaseCommand> {
        let known = timer == REVIEW_TIMER || timer == HOLD_TIMER;
        known.then(|| ReleaseCommand::FireTimer { timer: timer.to_owned() })
    }
}

/// What the release of which milestone is told of an event of its contract.
fn note(contract: ContractId, event: &ContractEvent) -> Option<(u32, ReleaseCommand)> {
    match event {
        ContractEvent::WorkSubmitted(WorkSubmitted { milestone, review_until, .. }) => {
            let (milestone, review_until) = (*milestone, *review_until);
            Some((milestone, ReleaseCommand::NoteSubmitted { contract, milestone, review_until }))
        }
        ContractEvent::ChangesRequested(ChangesRequested { milestone, .. })
        | ContractEvent::MilestoneDisputed(MilestoneDisputed { milestone }) => {
            Some((*milestone, ReleaseCommand::NoteReviewOver))
        }
        ContractEvent::MilestoneApproved(MilestoneApproved { milestone, .. }) => {
            Some((*milestone, ReleaseCommand::NoteApproved))
        }
        ContractEvent::ContractProposed(_)
        | ContractEvent::ContractSigned(_)
        | ContractEvent::ContractDeclined(_)
        | ContractEvent::ContractExpired(_)
        | ContractEvent::ContractCancelled(_)
        | ContractEvent::ContractCompleted(_)
        | ContractEvent::FundingRequested(_)
        | ContractEvent::MilestoneFunded(_)
        | ContractEvent::MilestoneReleased(_)
        | ContractEvent::MilestoneRefunded(_)
        | ContractEvent::MilestoneDisputeSettled(_) => None,
    }
}
