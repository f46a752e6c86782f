//! The process manager of a hire: from an accepted bid over the contract to the end of the job.
//!
//! It rejects the other bids and proposes the contract, watches the proposal's time, has an escrow opened for each milestone
//! once both have signed, has those that wait for money expire when the contract is called off, and tells the job what became
//! of the contract: reopened when nothing came of it, started with the first funding, closed with the contract's end. The last
//! thing a hire asks for is always one of two, reopen or close, and exactly one of them once.
//!
//! In whatever order it is told, it ends and asks for nothing twice. That a cancelled contract had been funded it knows
//! only from the funding: told out of turn, it would reopen the job instead of closing it. A stream is told in order.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Category, Event, Id, RecordedEvent, Timestamp,
    ids::{ContractId, EscrowId, HireId},
    vocabulary::{
        StepOutcome,
        jobs::{
            BidAccepted, ContractEvent, ContractProposed, ContractSigned, ContractTerms, HireEnded,
            HireEvent, HireResult, HireStarted, HireStep, HireStepRequested, HireStepSettled,
            HireTimerStarted, HireTimerStopped, JobClosure, JobEvent, ReopenReason,
        },
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    contract::ContractCommand,
    escrow::EscrowCommand,
    job::JobCommand,
    process::{Draft, OnceTimer, ProcessManager, ProcessRejection, StepCommand, Steps},
};

/// The timer after which a proposal that not both have signed expires.
pub const PROPOSAL_TIMER: &str = "proposal";

/// One hire, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hire {
    run: Option<Run>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    started: HireStarted,
    steps: Steps<HireStep>,
    timer: OnceTimer,
    result: Option<HireResult>,
}

impl Hire {
    /// How it ended; `None` while it goes on.
    pub fn result(&self) -> Option<HireResult> {
        self.run.as_ref().and_then(|run| run.result)
    }
}

/// What a hire is told.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HireCommand {
    /// A bid was accepted.
    Start {
        /// The contract to be.
        contract: ContractId,
        /// What it is to say.
        terms: ContractTerms,
    },
    /// Both sides are asked to sign.
    NoteProposed {
        /// Unsigned by then, it expires.
        expires_at: Timestamp,
    },
    /// Both sides have signed.
    NoteSigned,
    /// A party would not sign.
    NoteDeclined,
    /// Not both signed in time.
    NoteExpired,
    /// The contract was called off.
    NoteCancelled,
    /// A milestone was funded.
    NoteFunded,
    /// Every milestone has ended.
    NoteCompleted,
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

/// The hire that `contract` is the subject of.
pub fn instance_of(contract: ContractId) -> HireId {
    HireId::from_uuid(contract.uuid())
}

impl Aggregate for Hire {
    const CATEGORY: Category = Category::Hire;
    const FOLD_VERSION: u16 = 1;
    type Id = HireId;
    type Command = HireCommand;
    type Event = HireEvent;
    type Rejection = ProcessRejection;

    fn decide(&self, command: &HireCommand, context: &Context) -> Result<Vec<HireEvent>, ProcessRejection> {
        if !context.actor.is_internal() {
            return Err(ProcessRejection::InternalOnly);
        }
        let reopen = |reason| HireStep::ReopenJob { reason };
        let close = |closure| HireStep::CloseJob { closure };
        let mut draft = Draft::on(self);
        match command {
            HireCommand::Start { contract, terms } => {
                draft.start(HireStarted { contract: *contract, terms: terms.clone() });
            }
            HireCommand::NoteProposed { expires_at } => draft.start_timer(*expires_at),
            HireCommand::NoteSigned => {
                draft.stop_timer();
                draft.open_escrows();
            }
            HireCommand::NoteDeclined => draft.conclude(reopen(ReopenReason::ProposalDeclined)),
            HireCommand::NoteExpired => draft.conclude(reopen(ReopenReason::ProposalExpired)),
            HireCommand::NoteCancelled => {
                draft.expire_escrows();
                let started = draft.work_started();
                let reopened = reopen(ReopenReason::ContractCancelled);
                draft.conclude(if started { close(JobClosure::Cancelled) } else { reopened });
            }
            HireCommand::NoteFunded => draft.start_work(),
            HireCommand::NoteCompleted => {
                draft.start_work();
                draft.conclude(close(JobClosure::Completed));
            }
            HireCommand::SettleStep { number, outcome } => draft.settle(*number, outcome),
            HireCommand::FireTimer { timer } => draft.fire(timer, context),
        }
        Ok(draft.finish())
    }

    fn evolve(&mut self, event: &HireEvent) {
        if let HireEvent::HireStarted(started) = event {
            let (started, steps, timer) = (started.clone(), Steps::default(), OnceTimer::NotStarted);
            self.run = Some(Run { started, steps, timer, result: None });
        } else if let Some(run) = &mut self.run {
            run.evolve(event);
        }
    }
}

impl Run {
    fn evolve(&mut self, event: &HireEvent) {
        match event {
            HireEvent::HireStarted(HireStarted { .. }) => {}
            HireEvent::HireStepRequested(HireStepRequested { number, step }) => {
                self.steps.request(*number, *step);
            }
            HireEvent::HireStepSettled(HireStepSettled { number, outcome }) => {
                self.steps.settle(*number, outcome);
            }
            HireEvent::HireTimerStarted(HireTimerStarted { due_at, .. }) => {
                self.timer = OnceTimer::Running { due_at: *due_at };
            }
            HireEvent::HireTimerStopped(HireTimerStopped { .. }) => self.timer = OnceTimer::Over,
            HireEvent::HireEnded(HireEnded { result }) => self.result = Some(*result),
        }
    }

    /// What becomes of the job, once that has been decided, as the result it will be.
    fn conclusion(&self) -> Option<HireResult> {
        self.steps.iter().find_map(|(step, _)| match step {
            HireStep::ReopenJob { .. } => Some(HireResult::Reopened),
            HireStep::CloseJob { closure: JobClosure::Completed } => Some(HireResult::Completed),
            HireStep::CloseJob { closure: JobClosure::Cancelled } => Some(HireResult::Cancelled),
            HireStep::RejectOtherBids
            | HireStep::ProposeContract
            | HireStep::ExpireContract
            | HireStep::StartJob
            | HireStep::OpenEscrow { .. }
            | HireStep::ExpireEscrow { .. } => None,
        })
    }

    /// Goes on: started, and nothing decided yet about its end.
    fn is_open(&self) -> bool {
        self.conclusion().is_none()
    }

    fn has_asked(&self, step: HireStep) -> bool {
        self.steps.find(|asked| asked == step).is_some()
    }

    /// The milestones' numbers, from 1.
    fn milestones(&self) -> impl Iterator<Item = u32> + use<> {
        // A contract has at most as many as a bid, which is a setting of a few dozen.
        (1..).take(self.started.terms.milestones.len())
    }

    fn open_escrow(&self, contract: ContractId, milestone: u32) -> Option<EscrowCommand> {
        let index = (milestone as usize).checked_sub(1)?;
        let ContractTerms { client, worker, milestones, .. } = &self.started.terms;
        let (client, worker, amount) = (*client, *worker, milestones.get(index)?.amount);
        Some(EscrowCommand::Open { contract, milestone, client, worker, amount })
    }
}

impl Draft<Hire> {
    fn run(&self) -> Option<&Run> {
        self.state().run.as_ref()
    }

    fn is_open(&self) -> bool {
        self.run().is_some_and(Run::is_open)
    }

    fn work_started(&self) -> bool {
        self.run().is_some_and(|run| run.has_asked(HireStep::StartJob))
    }

    /// A place for each milestone's money, once; the platform's share is that of the day on which both had signed. A funding
    /// that is quicker finds none and opens it itself: to open it again does nothing.
    fn open_escrows(&mut self) {
        let milestones = self.run().filter(|run| run.is_open()).map(Run::milestones);
        for milestone in milestones.into_iter().flatten() {
            let step = HireStep::OpenEscrow { milestone };
            if self.run().is_some_and(|run| !run.has_asked(step)) {
                self.request(step);
            }
        }
    }

    /// Those that hold or held money have nothing left to expire, and know it.
    fn expire_escrows(&mut self) {
        let milestones = self.run().filter(|run| run.is_open()).map(Run::milestones);
        for milestone in milestones.into_iter().flatten() {
            if self.run().is_some_and(|run| run.has_asked(HireStep::OpenEscrow { milestone })) {
                self.request(HireStep::ExpireEscrow { milestone });
            }
        }
    }

    fn request(&mut self, step: HireStep) {
        if let Some(number) = self.run().map(|run| run.steps.next_number()) {
            self.push(HireStepRequested { number, step });
        }
    }

    fn start(&mut self, started: HireStarted) {
        if self.run().is_none() {
            self.push(started);
            self.request(HireStep::RejectOtherBids);
            self.request(HireStep::ProposeContract);
        }
    }

    fn start_timer(&mut self, due_at: Timestamp) {
        let not_started = self.run().is_some_and(|run| run.timer == OnceTimer::NotStarted);
        if not_started && self.is_open() {
            self.push(HireTimerStarted { timer: PROPOSAL_TIMER.to_owned(), due_at });
        }
    }

    /// Also when it has not started yet, so that it never will.
    fn stop_timer(&mut self) {
        if self.is_open() && self.run().is_some_and(|run| run.timer != OnceTimer::Over) {
            self.push(HireTimerStopped { timer: PROPOSAL_TIMER.to_owned() });
        }
    }

    /// That the contract has expired is believed when the contract says so: it may have been signed a moment ago.
    fn fire(&mut self, timer: &str, context: &Context) {
        let due = self.run().is_some_and(|run| run.timer.is_due(context.now));
        if timer == PROPOSAL_TIMER && due {
            self.stop_timer();
            self.request(HireStep::ExpireContract);
        }
    }

    fn start_work(&mut self) {
        if self.is_open() && !self.work_started() {
            self.stop_timer();
            self.request(HireStep::StartJob);
        }
    }

    /// Decides what becomes of the job: once, whatever else is heard.
    fn conclude(&mut self, step: HireStep) {
        if self.is_open() {
            self.stop_timer();
            self.request(step);
        }
    }

    fn settle(&mut self, number: u32, outcome: &StepOutcome) {
        let Some(step) = self.run().and_then(|run| run.steps.open(number)) else { return };
        self.push(HireStepSettled { number, outcome: outcome.clone() });
        if step == HireStep::ProposeContract && *outcome != StepOutcome::Done {
            self.conclude(HireStep::ReopenJob { reason: ReopenReason::ProposalRefused });
        }
        let Some(run) = self.run() else { return };
        if let Some(result) = run.conclusion()
            && run.result.is_none()
            && run.steps.first_open().is_none()
        {
            self.push(HireEnded { result });
        }
    }
}

impl ProcessManager for Hire {
    fn react(event: &RecordedEvent) -> Option<(HireId, HireCommand)> {
        match &event.payload {
            Event::Job(JobEvent::BidAccepted(BidAccepted { contract, terms, .. })) => {
                let command = HireCommand::Start { contract: *contract, terms: terms.clone() };
                Some((instance_of(*contract), command))
            }
            Event::Contract(told) => {
                let contract = ContractId::from_uuid(event.stream.uuid);
                note(told).map(|command| (instance_of(contract), command))
            }
            Event::Job(_)
            | Event::Account(_)
            | Event::Login(_)
            | Event::Session(_)
            | Event::Registration(_)
            | Event::Hire(_)
            | Event::Payment(_)
            | Event::Escrow(_)
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

    fn open_step(&self, _instance: HireId, number: u32) -> Option<StepCommand> {
        let run = self.run.as_ref()?;
        let HireStarted { contract, terms } = &run.started;
        let (contract, job) = (*contract, terms.job);
        let command = match run.steps.open(number)? {
            HireStep::RejectOtherBids => StepCommand::Job(job, JobCommand::RejectOtherBids),
            HireStep::ProposeContract => {
                StepCommand::Contract(contract, ContractCommand::Propose { terms: terms.clone() })
            }
            HireStep::ExpireContract => StepCommand::Contract(contract, ContractCommand::Expire),
            HireStep::ReopenJob { reason } => StepCommand::Job(job, JobCommand::Reopen { contract, reason }),
            HireStep::StartJob => StepCommand::Job(job, JobCommand::Start { contract }),
            HireStep::CloseJob { closure } => StepCommand::Job(job, JobCommand::Close { contract, closure }),
            HireStep::OpenEscrow { milestone } => {
                let open = run.open_escrow(contract, milestone)?;
                StepCommand::Escrow(EscrowId::of(contract, milestone), open)
            }
            HireStep::ExpireEscrow { milestone } => {
                StepCommand::Escrow(EscrowId::of(contract, milestone), EscrowCommand::Expire)
            }
        };
        Some(command)
    }

    /// One after the other: a job is closed after it was started, reopened after its other bids were rejected.
    fn step_before(&self, number: u32) -> Option<u32> {
        self.run.as_ref()?.steps.open_before(number)
    }

    fn settle(number: u32, outcome: StepOutcome) -> HireCommand {
        HireCommand::SettleStep { number, outcome }
    }

    fn fire(timer: &str) -> Option<HireCommand> {
        (timer == PROPOSAL_TIMER).then(|| HireCommand::FireTimer { timer: timer.to_owned() })
    }
}

/// What a hire is told of an event of its contract.
fn note(event: &ContractEvent) -> Option<HireCommand> {
    match event {
        ContractEvent::ContractProposed(ContractProposed { expires_at, .. }) => {
            Some(HireCommand::NoteProposed { expires_at: *expires_at })
        }
        ContractEvent::ContractSigned(ContractSigned { fully, .. }) => {
            fully.then_some(HireCommand::NoteSigned)
        }
        ContractEvent::ContractDeclined(_) => Some(HireCommand::NoteDeclined),
        ContractEvent::ContractExpired(_) => Some(HireCommand::NoteExpired),
        ContractEvent::ContractCancelled(_) => Some(HireCommand::NoteCancelled),
        ContractEvent::MilestoneFunded(_) => Some(HireCommand::NoteFunded),
        ContractEvent::ContractCompleted(_) => Some(HireCommand::NoteCompleted),
        ContractEvent::FundingRequested(_)
        | ContractEvent::WorkSubmitted(_)
        | ContractEvent::ChangesRequested(_)
        | ContractEvent::MilestoneApproved(_)
        | ContractEvent::MilestoneReleased(_)
        | ContractEvent::MilestoneRefunded(_)
        | ContractEvent::MilestoneDisputed(_)
        | ContractEvent::MilestoneDisputeSettled(_) => None,
    }
}
