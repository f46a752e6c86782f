//! The rules of the bids on a job: submitted, revised, then accepted, rejected or withdrawn.

#![deny(clippy::wildcard_enum_match_arm)]

use std::sync::Arc;

use events::{
    Money,
    ids::{AccountId, BidId},
    vocabulary::{
        identity::Role,
        jobs::{
            BidAccepted, BidRejected, BidRejection, BidRevised, BidSubmitted, BidTerms, BidWithdrawn,
            ContractTerms, JobEvent, ProposedMilestone,
        },
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{JobRejection, JobStatus, Posting, posting::internal};
use crate::{aggregate::Context, pricing};

/// A worker's offer, as far as decisions need it: the cover letter is read elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bid {
    worker: AccountId,
    amount: Money,
    milestones: Arc<[ProposedMilestone]>,
    status: BidStatus,
}

/// Where a bid stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BidStatus {
    /// Offered.
    Submitted,
    /// Offered, on other terms than at first.
    Revised,
    /// The client took it.
    Accepted,
    /// It is out.
    Rejected,
    /// The worker took it back.
    Withdrawn,
}

impl Bid {
    /// Whose it is.
    pub fn worker(&self) -> AccountId {
        self.worker
    }

    /// The whole price.
    pub fn amount(&self) -> Money {
        self.amount
    }

    /// The parts, in order.
    pub fn milestones(&self) -> &[ProposedMilestone] {
        &self.milestones
    }

    /// Where it stands.
    pub fn status(&self) -> BidStatus {
        self.status
    }

    /// It can still be revised, withdrawn, accepted or rejected.
    pub fn is_active(&self) -> bool {
        match self.status {
            BidStatus::Submitted | BidStatus::Revised => true,
            BidStatus::Accepted | BidStatus::Rejected | BidStatus::Withdrawn => false,
        }
    }

    pub(super) fn submitted(worker: AccountId, terms: &BidTerms) -> Self {
        let milestones = terms.milestones.as_slice().into();
        Self { worker, amount: terms.amount, milestones, status: BidStatus::Submitted }
    }

    pub(super) fn revise(&mut self, terms: &BidTerms) {
        *self = Self { status: BidStatus::Revised, ..Self::submitted(self.worker, terms) };
    }

    pub(super) fn end(&mut self, status: BidStatus) {
        self.status = status;
    }
}

impl Posting {
    pub(super) fn submit_bid(
        &self,
        terms: &BidTerms,
        context: &Context,
    ) -> Result<Vec<JobEvent>, JobRejection> {
        let worker = context.actor.account().filter(|_| context.actor.has_role(Role::Worker));
        let worker = worker.ok_or(JobRejection::NotAWorker)?;
        if worker == self.client {
            return Err(JobRejection::OwnJob);
        }
        self.open(context)?;
        if self.bids.values().any(|bid| bid.worker == worker && bid.is_active()) {
            return Err(JobRejection::BidAlreadyActive);
        }
        if self.bids.len() >= context.policy.bids_per_job_max {
            return Err(JobRejection::TooManyBids);
        }
        self.check_offer(terms, context)?;
        Ok(vec![BidSubmitted { bid: context.fresh_id(0), worker, terms: terms.clone() }.into()])
    }

    pub(super) fn revise_bid(
        &self,
        id: BidId,
        terms: &BidTerms,
        context: &Context,
    ) -> Result<Vec<JobEvent>, JobRejection> {
        self.own_active_bid(id, context)?;
        self.open(context)?;
        self.check_offer(terms, context)?;
        Ok(vec![BidRevised { bid: id, terms: terms.clone() }.into()])
    }

    pub(super) fn withdraw_bid(&self, id: BidId, context: &Context) -> Result<Vec<JobEvent>, JobRejection> {
        self.own_active_bid(id, context)?;
        Ok(vec![BidWithdrawn { bid: id }.into()])
    }

    pub(super) fn accept_bid(&self, id: BidId, context: &Context) -> Result<Vec<JobEvent>, JobRejection> {
        self.by_client(context)?;
        let bid = self.find_bid(id)?;
        self.open(context)?;
        if !bid.is_active() {
            return Err(JobRejection::BidNotActive);
        }
        let terms = ContractTerms {
            job: context.own_id(),
            bid: id,
            client: self.client,
            worker: bid.worker,
            title: self.terms.title.clone(),
            price: bid.amount,
            milestones: bid.milestones.to_vec(),
        };
        Ok(vec![BidAccepted { bid: id, contract: context.fresh_id(0), terms }.into()])
    }

    pub(super) fn reject_bid(&self, id: BidId, context: &Context) -> Result<Vec<JobEvent>, JobRejection> {
        self.by_client(context)?;
        if !self.find_bid(id)?.is_active() {
            return Err(JobRejection::BidNotActive);
        }
        Ok(vec![BidRejected { bid: id, reason: BidRejection::ByClient }.into()])
    }

    /// Nothing to do once the award is gone: whoever bids on the reopened job has nothing to do with it.
    pub(super) fn reject_other_bids(&self, context: &Context) -> Result<Vec<JobEvent>, JobRejection> {
        internal(context)?;
        match self.status {
            JobStatus::Awarded | JobStatus::InProgress => {
                let active = self.bids.iter().filter(|(_, bid)| bid.is_active());
                let reason = BidRejection::AnotherAccepted;
                Ok(active.map(|(bid, _)| BidRejected { bid: *bid, reason }.into()).collect())
            }
            JobStatus::Draft
            | JobStatus::Published
            | JobStatus::Completed
            | JobStatus::Cancelled
            | JobStatus::Expired => Ok(Vec::new()),
        }
    }

    fn find_bid(&self, id: BidId) -> Result<&Bid, JobRejection> {
        self.bids.get(&id).map(|bid| &**bid).ok_or(JobRejection::BidNotFound)
    }

    fn own_active_bid(&self, id: BidId, context: &Context) -> Result<&Bid, JobRejection> {
        let bid = self.find_bid(id)?;
        if context.actor.account() != Some(bid.worker) {
            return Err(JobRejection::NotYourBid);
        }
        if bid.is_active() { Ok(bid) } else { Err(JobRejection::BidNotActive) }
    }

    fn check_offer(&self, terms: &BidTerms, context: &Context) -> Result<(), JobRejection> {
        let max = context.policy.milestones_per_bid_max;
        pricing::check_price(terms.amount, &terms.milestones, max)?;
        if terms.amount.currency() != self.terms.budget.max.currency() {
            return Err(JobRejection::CurrencyMismatch);
        }
        Ok(())
    }
}
