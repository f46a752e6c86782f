//! A posted piece of work with the bids on it: one award at a time, one active bid per worker.
//!
//! Bids are part of their job, so both rules are kept by one stream. [`posting`] holds the rules of the job itself,
//! [`bids`] those of its bids.

#![deny(clippy::wildcard_enum_match_arm)]

use std::{collections::BTreeMap, sync::Arc};

use events::{
    Category, Timestamp,
    ids::{AccountId, BidId, ContractId, JobId},
    vocabulary::jobs::{
        BidAccepted, BidRejected, BidRevised, BidSubmitted, BidTerms, BidWithdrawn, JobClosed, JobClosure,
        JobCreated, JobEdited, JobEvent, JobExpired, JobPublished, JobReopened, JobStarted, JobTerms,
        ReopenReason,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Actor, Aggregate, Context},
    pricing::PricingError,
    rejection::rejections,
};

mod bids;
mod posting;

pub use bids::{Bid, BidStatus};

/// A job, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Job {
    posting: Option<Posting>,
}

/// A job that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Posting {
    client: AccountId,
    terms: Arc<JobTerms>,
    status: JobStatus,
    /// Set by the first publication, moved by a reopening: without it nobody but the client has seen the job.
    expires_at: Option<Timestamp>,
    award: Option<Award>,
    bids: BTreeMap<BidId, Arc<Bid>>,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Only its client sees it.
    Draft,
    /// Workers may bid.
    Published,
    /// A bid was accepted, a contract is to follow.
    Awarded,
    /// The contract is funded.
    InProgress,
    /// The work is done.
    Completed,
    /// It was called off.
    Cancelled,
    /// Nobody was awarded it in time.
    Expired,
}

/// Which bid a job was awarded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Award {
    /// The bid.
    pub bid: BidId,
    /// The contract that follows from it.
    pub contract: ContractId,
}

impl Job {
    /// Who posts it; `None` when there is no such job.
    pub fn client(&self) -> Option<AccountId> {
        self.posting.as_ref().map(|posting| posting.client)
    }

    /// Its terms.
    pub fn terms(&self) -> Option<&JobTerms> {
        self.posting.as_ref().map(|posting| &*posting.terms)
    }

    /// Where it stands.
    pub fn status(&self) -> Option<JobStatus> {
        self.posting.as_ref().map(|posting| posting.status)
    }

    /// Without an award, it expires (or expired) then; `None` before its publication.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.posting.as_ref().and_then(|posting| posting.expires_at)
    }

    /// The award that stands.
    pub fn award(&self) -> Option<Award> {
        self.posting.as_ref().and_then(|posting| posting.award)
    }

    /// One of its bids.
    pub fn bid(&self, id: BidId) -> Option<&Bid> {
        self.posting.as_ref().and_then(|posting| posting.bids.get(&id)).map(|bid| &**bid)
    }

    /// All its bids, withdrawn and rejected ones included, in the order of their ids.
    pub fn bids(&self) -> impl Iterator<Item = (BidId, &Bid)> {
        self.posting.iter().flat_map(|posting| &posting.bids).map(|(id, bid)| (*id, &**bid))
    }

    /// A job that was never published exists for its client and the machinery only.
    pub fn is_visible_to(&self, actor: &Actor) -> bool {
        self.posting.as_ref().is_some_and(|posting| posting.is_visible_to(actor))
    }
}

/// What can be asked of a job.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobCommand {
    /// Draft a job. By a client.
    Create {
        /// Its terms; skills are sorted and repetitions dropped.
        terms: JobTerms,
    },
    /// Change the terms. By its client, before the award.
    Edit {
        /// The terms from now on, whole.
        terms: JobTerms,
    },
    /// Let workers bid. By its client.
    Publish,
    /// Call a job without an award off. By its client.
    Cancel,
    /// Its time is over. Internal; does nothing when the time has not come or the job has gone on.
    Expire,
    /// Offer to do the job. By a worker. The bid's id is the command's first fresh id.
    SubmitBid {
        /// What is offered.
        terms: BidTerms,
    },
    /// Change an active offer. By its worker.
    ReviseBid {
        /// The bid.
        bid: BidId,
        /// What is offered from now on, whole.
        terms: BidTerms,
    },
    /// Take an active offer back. By its worker.
    WithdrawBid {
        /// The bid.
        bid: BidId,
    },
    /// Award the job. By its client. The contract's id is the command's first fresh id.
    AcceptBid {
        /// The bid.
        bid: BidId,
    },
    /// Turn an active offer down. By the job's client.
    RejectBid {
        /// The bid.
        bid: BidId,
    },
    /// Turn down every offer that is still active on an awarded job. Internal.
    RejectOtherBids,
    /// The award came to nothing. Internal.
    Reopen {
        /// The contract that came to nothing.
        contract: ContractId,
        /// Why.
        reason: ReopenReason,
    },
    /// The contract is funded. Internal.
    Start {
        /// The contract.
        contract: ContractId,
    },
    /// The contract has ended. Internal.
    Close {
        /// The contract.
        contract: ContractId,
        /// How it ended.
        closure: JobClosure,
    },
}

rejections! {
    /// Why a job says no.
    pub enum JobRejection {
        NotFound = NotFound "job_not_found": "there is no such job",
        BidNotFound = NotFound "bid_not_found": "there is no such bid on this job",
        NotAClient = Forbidden "not_a_client": "only clients post jobs",
        NotAWorker = Forbidden "not_a_worker": "only workers bid",
        NotYourJob = Forbidden "not_your_job": "only the client who posted the job does this",
        NotYourBid = Forbidden "not_your_bid": "only the worker who made the bid does this",
        OwnJob = Forbidden "own_job": "nobody bids on a job of their own",
        InternalOnly = Forbidden "internal_only": "only the machinery itself does this",
        AlreadyExists = State "job_already_exists": "the job exists already",
        NotDraft = State "job_not_draft": "the job is not a draft any more",
        NotPublished = State "job_not_published": "the job is not open for bids",
        TermsFixed = State "job_terms_fixed": "the terms cannot be changed after the award",
        CurrencyFixed = State "job_currency_fixed": "the currency cannot be changed while there are bids",
        NotCancellable = State "job_not_cancellable": "a job with an award, or one that has ended, is not cancelled",
        Expired = State "job_expired": "the job has expired",
        NotAwarded = State "job_not_awarded": "the job is not awarded to this contract",
        NotInProgress = State "job_not_in_progress": "the job is not in progress under this contract",
        BidAlreadyActive = State "bid_already_active": "this worker has an active bid on the job",
        BidNotActive = State "bid_not_active": "the bid was accepted, rejected or withdrawn",
        TooManyBids = State "too_many_bids": "the job takes no more bids",
        TitleMissing = Invalid "title_missing": "a title is not empty",
        BudgetInverted = Invalid "budget_inverted": "the budget's minimum is above its maximum",
        AmountNotPositive = Invalid "amount_not_positive": "amounts are more than nothing",
        AmountTooLarge = Invalid "amount_too_large": "the amounts are too large to be summed",
        CurrencyMismatch = Invalid "currency_mismatch": "all amounts are in the currency of the budget",
        MilestonesMissing = Invalid "milestones_missing": "a price has at least one milestone",
        TooManyMilestones = Invalid "too_many_milestones": "a price has no more milestones than the limit",
        MilestonesDoNotSum = Invalid "milestones_do_not_sum": "the milestones do not sum to the amount",
    }
}

impl From<PricingError> for JobRejection {
    fn from(error: PricingError) -> Self {
        match error {
            PricingError::AmountNotPositive => Self::AmountNotPositive,
            PricingError::AmountTooLarge => Self::AmountTooLarge,
            PricingError::CurrencyMismatch => Self::CurrencyMismatch,
            PricingError::MilestonesMissing => Self::MilestonesMissing,
            PricingError::TooManyMilestones => Self::TooManyMilestones,
            PricingError::MilestonesDoNotSum => Self::MilestonesDoNotSum,
            PricingError::TitleMissing => Self::TitleMissing,
        }
    }
}

impl Aggregate for Job {
    const CATEGORY: Category = Category::Job;
    const FOLD_VERSION: u16 = 1;
    type Id = JobId;
    type Command = JobCommand;
    type Event = JobEvent;
    type Rejection = JobRejection;

    fn decide(&self, command: &JobCommand, context: &Context) -> Result<Vec<JobEvent>, JobRejection> {
        if let JobCommand::Create { terms } = command {
            return self.create(terms, context);
        }
        let Some(posting) = &self.posting else {
            // A timer that comes late, whatever it finds, has nothing to do.
            let timer = matches!(command, JobCommand::Expire) && context.actor.is_internal();
            return if timer { Ok(Vec::new()) } else { Err(JobRejection::NotFound) };
        };
        if !posting.is_visible_to(&context.actor) {
            return Err(JobRejection::NotFound);
        }
        match command {
            JobCommand::Create { terms } => self.create(terms, context),
            JobCommand::Edit { terms } => posting.edit(terms, context),
            JobCommand::Publish => posting.publish(context),
            JobCommand::Cancel => posting.cancel(context),
            JobCommand::Expire => posting.expire(context),
            JobCommand::SubmitBid { terms } => posting.submit_bid(terms, context),
            JobCommand::ReviseBid { bid, terms } => posting.revise_bid(*bid, terms, context),
            JobCommand::WithdrawBid { bid } => posting.withdraw_bid(*bid, context),
            JobCommand::AcceptBid { bid } => posting.accept_bid(*bid, context),
            JobCommand::RejectBid { bid } => posting.reject_bid(*bid, context),
            JobCommand::RejectOtherBids => posting.reject_other_bids(context),
            JobCommand::Reopen { contract, reason } => posting.reopen(*contract, *reason, context),
            JobCommand::Start { contract } => posting.start(*contract, context),
            JobCommand::Close { contract, closure } => posting.close(*contract, *closure, context),
        }
    }

    fn evolve(&mut self, event: &JobEvent) {
        if let JobEvent::JobCreated(JobCreated { client, terms }) = event {
            self.posting = Some(Posting::drafted(*client, terms));
        } else if let Some(posting) = &mut self.posting {
            posting.evolve(event);
        }
    }
}

impl Posting {
    fn drafted(client: AccountId, terms: &JobTerms) -> Self {
        let terms = Arc::new(terms.clone());
        let (expires_at, award, bids) = (None, None, BTreeMap::new());
        Self { client, terms, status: JobStatus::Draft, expires_at, award, bids }
    }

    fn evolve(&mut self, event: &JobEvent) {
        match event {
            JobEvent::JobCreated(JobCreated { .. }) => {}
            JobEvent::JobEdited(JobEdited { terms }) => self.terms = Arc::new(terms.clone()),
            JobEvent::JobPublished(JobPublished { expires_at }) => {
                self.status = JobStatus::Published;
                self.expires_at = Some(*expires_at);
            }
            JobEvent::JobReopened(JobReopened { expires_at, .. }) => {
                self.status = JobStatus::Published;
                self.expires_at = Some(*expires_at);
                self.award = None;
            }
            JobEvent::JobStarted(JobStarted { .. }) => self.status = JobStatus::InProgress,
            JobEvent::JobClosed(JobClosed { closure }) => {
                self.status = match closure {
                    JobClosure::Completed => JobStatus::Completed,
                    JobClosure::Cancelled => JobStatus::Cancelled,
                };
            }
            JobEvent::JobExpired(JobExpired {}) => self.status = JobStatus::Expired,
            JobEvent::BidSubmitted(BidSubmitted { bid, worker, terms }) => {
                self.bids.insert(*bid, Arc::new(Bid::submitted(*worker, terms)));
            }
            JobEvent::BidRevised(BidRevised { bid, terms }) => {
                self.with_bid(*bid, |bid| bid.revise(terms));
            }
            JobEvent::BidWithdrawn(BidWithdrawn { bid }) => {
                self.with_bid(*bid, |bid| bid.end(BidStatus::Withdrawn));
            }
            JobEvent::BidAccepted(BidAccepted { bid, contract, .. }) => {
                self.status = JobStatus::Awarded;
                self.award = Some(Award { bid: *bid, contract: *contract });
                self.with_bid(*bid, |bid| bid.end(BidStatus::Accepted));
            }
            JobEvent::BidRejected(BidRejected { bid, .. }) => {
                self.with_bid(*bid, |bid| bid.end(BidStatus::Rejected));
            }
        }
    }

    fn with_bid(&mut self, id: BidId, change: impl FnOnce(&mut Bid)) {
        if let Some(bid) = self.bids.get_mut(&id) {
            change(Arc::make_mut(bid));
        }
    }
}
