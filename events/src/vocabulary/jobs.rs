//! Jobs with their bids, contracts with their milestones, and the hire process manager.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{StepChange, StepOutcome, TimerChange, vocabulary};
use crate::{
    ids::{AccountId, BidId, ContractId, JobId, PaymentId},
    money::Money,
    personal::Personal,
    time::Timestamp,
};

// ---- job ----

/// What a client is ready to pay: both ends of one currency, `min` ≤ `max`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// At least.
    pub min: Money,
    /// At most.
    pub max: Money,
}

/// The terms of a job, which nobody may edit after the award.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobTerms {
    /// One line.
    pub title: String,
    /// What is to be done.
    pub description: String,
    /// A slug, `web-development`.
    pub category: String,
    /// Slugs, sorted, without repetition.
    pub skills: Vec<String>,
    /// What the client is ready to pay.
    pub budget: Budget,
}

/// A client drafted a job. Version 1 had a single `budget` amount, which meant "at most and at least this".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobCreated {
    /// Who posts it.
    pub client: AccountId,
    /// Its terms.
    pub terms: JobTerms,
}

/// The client changed the terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobEdited {
    /// The terms from now on, whole.
    pub terms: JobTerms,
}

/// Workers may bid from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobPublished {
    /// Without an award, it expires then.
    pub expires_at: Timestamp,
}

/// Why a job was reopened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReopenReason {
    /// The contract could not be proposed.
    ProposalRefused,
    /// Nobody signed in time.
    ProposalExpired,
    /// A party declined to sign.
    ProposalDeclined,
    /// The signed contract was cancelled before it was funded.
    ContractCancelled,
}

/// The award came to nothing: workers may bid again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobReopened {
    /// The contract that came to nothing.
    pub contract: ContractId,
    /// Why.
    pub reason: ReopenReason,
    /// Without an award, it expires then.
    pub expires_at: Timestamp,
}

/// The contract is funded: work goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobStarted {
    /// The contract.
    pub contract: ContractId,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobClosure {
    /// The work is done.
    Completed,
    /// It was called off.
    Cancelled,
}

/// The job is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobClosed {
    /// How.
    pub closure: JobClosure,
}

/// Nobody was awarded the job in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobExpired {}

/// One part of the work, as a bid proposes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposedMilestone {
    /// One line.
    pub title: String,
    /// Its part of the price.
    pub amount: Money,
}

/// What a worker offers. The milestones sum to the amount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BidTerms {
    /// The whole price.
    pub amount: Money,
    /// The parts, in order, at least one.
    pub milestones: Vec<ProposedMilestone>,
    /// Words to the client.
    pub cover_letter: Personal<String>,
}

/// A worker offers to do the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BidSubmitted {
    /// The bid.
    pub bid: BidId,
    /// Whose it is.
    pub worker: AccountId,
    /// What is offered.
    pub terms: BidTerms,
}

/// A worker changed an offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BidRevised {
    /// The bid.
    pub bid: BidId,
    /// What is offered from now on, whole.
    pub terms: BidTerms,
}

/// A worker took an offer back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BidWithdrawn {
    /// The bid.
    pub bid: BidId,
}

/// What both sides agree on, drawn from the job and the accepted bid. The milestones sum to the price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContractTerms {
    /// The job it follows from.
    pub job: JobId,
    /// The accepted bid.
    pub bid: BidId,
    /// Who pays.
    pub client: AccountId,
    /// Who works.
    pub worker: AccountId,
    /// The job's title at the award.
    pub title: String,
    /// The whole price.
    pub price: Money,
    /// The parts, in order; the first is number 1.
    pub milestones: Vec<ProposedMilestone>,
}

/// The client awards the job to a bid. A job has one award at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BidAccepted {
    /// The bid.
    pub bid: BidId,
    /// The contract that will be proposed.
    pub contract: ContractId,
    /// On these terms.
    pub terms: ContractTerms,
}

/// Why a bid was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BidRejection {
    /// The client chose not to take it.
    ByClient,
    /// Another bid was accepted.
    AnotherAccepted,
    /// The job was cancelled or expired.
    JobClosed,
}

/// The bid is out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BidRejected {
    /// The bid.
    pub bid: BidId,
    /// Why.
    pub reason: BidRejection,
}

vocabulary! {
    /// The history of one job and its bids.
    pub enum JobEvent in Job {
        JobCreated = 2,
        JobEdited = 1,
        JobPublished = 1,
        JobReopened = 1,
        JobStarted = 1,
        JobClosed = 1,
        JobExpired = 1,
        BidSubmitted = 1,
        BidRevised = 1,
        BidWithdrawn = 1,
        BidAccepted = 1,
        BidRejected = 1,
    }
}

/// The timer that expires a published job.
pub const JOB_EXPIRY_TIMER: &str = "expiry";

impl JobEvent {
    /// See [`super::Event::timer_changes`].
    pub fn timer_changes(&self) -> Vec<TimerChange> {
        let timer = JOB_EXPIRY_TIMER.to_owned();
        match self {
            Self::JobPublished(JobPublished { expires_at })
            | Self::JobReopened(JobReopened { expires_at, .. }) => {
                vec![TimerChange::Start { timer, due_at: *expires_at }]
            }
            Self::BidAccepted(_) | Self::JobClosed(_) | Self::JobExpired(_) => {
                vec![TimerChange::Stop { timer }]
            }
            Self::JobCreated(_)
            | Self::JobEdited(_)
            | Self::JobStarted(_)
            | Self::BidSubmitted(_)
            | Self::BidRevised(_)
            | Self::BidWithdrawn(_)
            | Self::BidRejected(_) => Vec::new(),
        }
    }
}

// ---- contract ----

/// Both sides are asked to sign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContractProposed {
    /// What they would agree on.
    pub terms: ContractTerms,
    /// Unsigned by then, it expires.
    pub expires_at: Timestamp,
}

/// A party signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContractSigned {
    /// Which party.
    pub by: AccountId,
    /// Both have signed now.
    pub fully: bool,
}

/// A party will not sign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContractDeclined {
    /// Which party.
    pub by: AccountId,
}

/// Not both signed in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContractExpired {}

/// A signed or active contract was called off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContractCancelled {
    /// By which party; nobody when the machinery did it.
    pub by: Option<AccountId>,
}

/// Who pays whom, and with which payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FundingOrder {
    /// The payment to be.
    pub payment: PaymentId,
    /// Who pays.
    pub client: AccountId,
    /// Who will be paid.
    pub worker: AccountId,
}

/// The client wants to pay for a milestone. Version 1 had no order: nobody could take the money then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FundingRequested {
    /// The milestone's number.
    pub milestone: u32,
    /// What is to be paid.
    pub amount: Money,
    /// How; nothing in what was asked for when nobody could take the money.
    pub order: Option<FundingOrder>,
}

/// The milestone's money is in escrow. The first one makes the contract active.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MilestoneFunded {
    /// The milestone's number.
    pub milestone: u32,
}

/// The worker handed work in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkSubmitted {
    /// The milestone's number.
    pub milestone: u32,
    /// Words to the client.
    pub note: Personal<String>,
    /// Without an answer, it counts as approved then.
    pub review_until: Timestamp,
}

/// The client wants it done differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangesRequested {
    /// The milestone's number.
    pub milestone: u32,
    /// What is to change.
    pub note: Personal<String>,
}

/// The work is accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MilestoneApproved {
    /// The milestone's number.
    pub milestone: u32,
    /// By the client; nobody when the review period ran out.
    pub by: Option<AccountId>,
}

/// The milestone's money went to the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MilestoneReleased {
    /// The milestone's number.
    pub milestone: u32,
}

/// The milestone's money went back to the client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MilestoneRefunded {
    /// The milestone's number.
    pub milestone: u32,
}

/// A milestone is disputed: nothing moves until that is settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MilestoneDisputed {
    /// The milestone's number.
    pub milestone: u32,
}

/// How a dispute about a milestone ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisputeOutcome {
    /// All to the worker.
    Released,
    /// All back to the client.
    Refunded,
    /// Some to each.
    Split,
}

/// The dispute about a milestone is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MilestoneDisputeSettled {
    /// The milestone's number.
    pub milestone: u32,
    /// How it ended.
    pub outcome: DisputeOutcome,
}

/// Every milestone reached its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContractCompleted {}

vocabulary! {
    /// The history of one contract and its milestones.
    pub enum ContractEvent in Contract {
        ContractProposed = 1,
        ContractSigned = 1,
        ContractDeclined = 1,
        ContractExpired = 1,
        ContractCancelled = 1,
        FundingRequested = 2,
        MilestoneFunded = 1,
        WorkSubmitted = 1,
        ChangesRequested = 1,
        MilestoneApproved = 1,
        MilestoneReleased = 1,
        MilestoneRefunded = 1,
        MilestoneDisputed = 1,
        MilestoneDisputeSettled = 1,
        ContractCompleted = 1,
    }
}

// ---- hire: a process manager ----

/// A bid was accepted: a contract is to follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HireStarted {
    /// The contract to be.
    pub contract: ContractId,
    /// What it is to say.
    pub terms: ContractTerms,
}

/// What a hire asks of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum HireStep {
    /// Reject the bids that were not accepted.
    RejectOtherBids,
    /// Ask both sides to sign.
    ProposeContract,
    /// The proposal's time is over.
    ExpireContract,
    /// Let workers bid again.
    ReopenJob {
        /// Why.
        reason: ReopenReason,
    },
    /// The first milestone is funded.
    StartJob,
    /// The contract is completed or was cancelled.
    CloseJob {
        /// How it ended.
        closure: JobClosure,
    },
    /// Have a place for a milestone's money.
    OpenEscrow {
        /// The milestone's number, from 1.
        milestone: u32,
    },
    /// No money will come for a milestone.
    ExpireEscrow {
        /// The milestone's number, from 1.
        milestone: u32,
    },
}

/// A step is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HireStepRequested {
    /// Its number within this run, from 1.
    pub number: u32,
    /// What is to be done.
    pub step: HireStep,
}

/// A step was done or refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HireStepSettled {
    /// Its number.
    pub number: u32,
    /// What became of it.
    pub outcome: StepOutcome,
}

/// A timer runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HireTimerStarted {
    /// Its name.
    pub timer: String,
    /// When it fires, domain time.
    pub due_at: Timestamp,
}

/// A timer fired or is not needed any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HireTimerStopped {
    /// Its name.
    pub timer: String,
}

/// How a hire ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HireResult {
    /// The job is done.
    Completed,
    /// The job was reopened.
    Reopened,
    /// The contract was cancelled while work was going on.
    Cancelled,
}

/// The hire is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HireEnded {
    /// How.
    pub result: HireResult,
}

vocabulary! {
    /// The history of one hire, from the award to the end of the contract.
    pub enum HireEvent in Hire {
        HireStarted = 1,
        HireStepRequested = 1,
        HireStepSettled = 1,
        HireTimerStarted = 1,
        HireTimerStopped = 1,
        HireEnded = 1,
    }
}

impl HireEvent {
    /// See [`super::Event::timer_changes`].
    pub fn timer_changes(&self) -> Vec<TimerChange> {
        match self {
            Self::HireTimerStarted(started) => {
                vec![TimerChange::Start { timer: started.timer.clone(), due_at: started.due_at }]
            }
            Self::HireTimerStopped(stopped) => vec![TimerChange::Stop { timer: stopped.timer.clone() }],
            Self::HireStarted(_)
            | Self::HireStepRequested(_)
            | Self::HireStepSettled(_)
            | Self::HireEnded(_) => Vec::new(),
        }
    }

    /// See [`super::Event::step_change`].
    pub fn step_change(&self) -> Option<StepChange> {
        match self {
            Self::HireStepRequested(requested) => Some(StepChange::Requested(requested.number)),
            Self::HireStepSettled(settled) => Some(StepChange::Settled(settled.number)),
            Self::HireStarted(_)
            | Self::HireTimerStarted(_)
            | Self::HireTimerStopped(_)
            | Self::HireEnded(_) => None,
        }
    }
}
