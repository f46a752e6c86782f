//! One job with all that can be said of it, and how its contract stands.
//!
//! Joined: the job's stream writes the section `job`, every contract's stream writes its own entry of `contracts`.
//! A contract's events but the first do not name the job, so its stream keeps a link of its own.
#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use events::{
    Event, Id, RecordedEvent, Service, Timestamp, Version,
    ids::{AccountId, BidId, ContractId, JobId},
    vocabulary::jobs::{ContractEvent, JobEvent, JobTerms},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Projection, ReadStore, Reader, Shape, StoreError, View,
    status::{ContractStatus, JobStatus},
};

/// Name and version.
pub const ID: (&str, u32) = ("job_detail", 1);

/// The document of one job: a section for each stream that feeds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobDocument {
    /// What the job's own stream says; absent while only a contract has been seen.
    pub job: Option<JobSection>,
    /// What the streams of its contracts say.
    pub contracts: BTreeMap<ContractId, ContractSection>,
}

/// What the job's own stream says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobSection {
    /// Who posts it.
    pub client: AccountId,
    /// Its terms.
    pub terms: JobTerms,
    /// Where it stands.
    pub status: JobStatus,
    /// Its bids, counted.
    pub bids: BidCounts,
    /// The award in force.
    pub award: Option<Award>,
    /// When it was drafted.
    pub created_at: Timestamp,
    /// When it was published (or reopened) last.
    pub published_at: Option<Timestamp>,
    /// Without an award, it expires then.
    pub expires_at: Option<Timestamp>,
    /// The version of its stream.
    pub version: Version,
}

/// A job's bids, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BidCounts {
    /// All there ever were.
    pub total: u32,
    /// Those that wait for the client.
    pub open: u32,
}

/// Who won the job, and on which contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Award {
    /// The accepted bid.
    pub bid: BidId,
    /// Whose it is.
    pub worker: AccountId,
    /// The contract that follows from it.
    pub contract: ContractId,
}

/// What a contract's stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContractSection {
    /// Where the contract stands.
    pub status: ContractStatus,
    /// How many of its milestones are disputed.
    pub disputed: u32,
}

/// Which job a contract belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContractLink {
    /// The job.
    pub job: JobId,
}

/// Jobs by job id.
pub const JOBS: Collection<JobDocument> = Collection::new("jobs", &[]);

/// Links by contract id.
pub const LINKS: Collection<ContractLink> = Collection::new("links", &[]);

/// Folds jobs and the standing of their contracts.
#[derive(Clone, Copy, Debug)]
pub struct JobDetails;

impl Projection for JobDetails {
    fn name(&self) -> &'static str {
        ID.0
    }
    fn version(&self) -> u32 {
        ID.1
    }
    fn topics(&self) -> &'static [Service] {
        &[Service::Jobs]
    }
    fn shape(&self) -> Shape {
        Shape::Joined
    }
    fn collections(&self) -> &'static [CollectionSpec] {
        const { &[JOBS.spec, LINKS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        match &event.payload {
            Event::Job(payload) => apply_job(event, payload, view),
            Event::Contract(payload) => apply_contract(event, payload, view),
            Event::Account(_)
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
            | Event::TestClock(_) => Ok(Applied::Skipped("neither a job's nor a contract's event")),
        }
    }
}

fn apply_job(event: &RecordedEvent, payload: &JobEvent, view: &mut View) -> Result<Applied, ApplyError> {
    let key = JobId::from_uuid(event.stream.uuid).to_string();
    let mut document = view.get(&JOBS, &key)?.unwrap_or_default();
    match (payload, &mut document.job) {
        (JobEvent::JobCreated(created), section) => {
            *section = Some(JobSection {
                client: created.client,
                terms: created.terms.clone(),
                status: JobStatus::Draft,
                bids: BidCounts::default(),
                award: None,
                created_at: event.stamp.time,
                published_at: None,
                expires_at: None,
                version: event.version,
            });
        }
        (_, Some(section)) => section.apply(event, payload),
        (_, None) => return Err(ApplyError::absent("job", &key)),
    }
    view.place(&JOBS, &key, document);
    Ok(Applied::Changed)
}

impl JobSection {
    fn apply(&mut self, event: &RecordedEvent, payload: &JobEvent) {
        self.version = event.version;
        self.status = self.status.after(payload);
        match payload {
            JobEvent::JobEdited(edited) => self.terms = edited.terms.clone(),
            JobEvent::JobPublished(published) => {
                self.published_at = Some(event.stamp.time);
                self.expires_at = Some(published.expires_at);
            }
            JobEvent::JobReopened(reopened) => {
                self.award = None;
                self.published_at = Some(event.stamp.time);
                self.expires_at = Some(reopened.expires_at);
            }
            JobEvent::BidAccepted(accepted) => {
                let (bid, contract) = (accepted.bid, accepted.contract);
                self.award = Some(Award { bid, worker: accepted.terms.worker, contract });
            }
            JobEvent::JobCreated(_)
            | JobEvent::JobStarted(_)
            | JobEvent::JobClosed(_)
            | JobEvent::JobExpired(_)
            | JobEvent::BidSubmitted(_)
            | JobEvent::BidRevised(_)
            | JobEvent::BidWithdrawn(_)
            | JobEvent::BidRejected(_) => {}
        }
        self.bids.apply(payload);
    }
}

impl BidCounts {
    /// Counts what `event` did to the bids.
    pub(crate) fn apply(&mut self, event: &JobEvent) {
        match event {
            JobEvent::BidSubmitted(_) => {
                self.total += 1;
                self.open += 1;
            }
            JobEvent::BidWithdrawn(_) | JobEvent::BidRejected(_) | JobEvent::BidAccepted(_) => {
                self.open = self.open.saturating_sub(1);
            }
            JobEvent::JobCreated(_)
            | JobEvent::JobEdited(_)
            | JobEvent::JobPublished(_)
            | JobEvent::JobReopened(_)
            | JobEvent::JobStarted(_)
            | JobEvent::JobClosed(_)
            | JobEvent::JobExpired(_)
            | JobEvent::BidRevised(_) => {}
        }
    }
}

fn apply_contract(
    event: &RecordedEvent,
    payload: &ContractEvent,
    view: &mut View,
) -> Result<Applied, ApplyError> {
    let contract = ContractId::from_uuid(event.stream.uuid);
    let link_key = contract.to_string();
    let job = match payload {
        ContractEvent::ContractProposed(proposed) => {
            view.put(&LINKS, &link_key, &ContractLink { job: proposed.terms.job })?;
            proposed.terms.job
        }
        ContractEvent::ContractSigned(_)
        | ContractEvent::ContractDeclined(_)
        | ContractEvent::ContractExpired(_)
        | ContractEvent::ContractCancelled(_)
        | ContractEvent::MilestoneFunded(_)
        | ContractEvent::MilestoneDisputed(_)
        | ContractEvent::MilestoneDisputeSettled(_)
        | ContractEvent::ContractCompleted(_) => {
            view.get(&LINKS, &link_key)?.ok_or_else(|| ApplyError::absent("contract", &link_key))?.job
        }
        ContractEvent::FundingRequested(_)
        | ContractEvent::WorkSubmitted(_)
        | ContractEvent::ChangesRequested(_)
        | ContractEvent::MilestoneApproved(_)
        | ContractEvent::MilestoneReleased(_)
        | ContractEvent::MilestoneRefunded(_) => {
            return Ok(Applied::Skipped("does not change where the contract stands"));
        }
    };
    let key = job.to_string();
    let mut document = view.get(&JOBS, &key)?.unwrap_or_default();
    let fresh = ContractSection { status: ContractStatus::Proposed, disputed: 0 };
    let section = document.contracts.entry(contract).or_insert(fresh);
    section.disputed = disputed_after(section.disputed, payload);
    section.status = section.status.after(payload, section.disputed as usize);
    view.place(&JOBS, &key, document);
    Ok(Applied::Changed)
}

/// How many milestones are disputed after `event`.
fn disputed_after(disputed: u32, event: &ContractEvent) -> u32 {
    match event {
        ContractEvent::MilestoneDisputed(_) => disputed + 1,
        ContractEvent::MilestoneDisputeSettled(_) => disputed.saturating_sub(1),
        ContractEvent::ContractProposed(_)
        | ContractEvent::ContractSigned(_)
        | ContractEvent::ContractDeclined(_)
        | ContractEvent::ContractExpired(_)
        | ContractEvent::ContractCancelled(_)
        | ContractEvent::FundingRequested(_)
        | ContractEvent::MilestoneFunded(_)
        | ContractEvent::WorkSubmitted(_)
        | ContractEvent::ChangesRequested(_)
        | ContractEvent::MilestoneApproved(_)
        | ContractEvent::MilestoneReleased(_)
        | ContractEvent::MilestoneRefunded(_)
        | ContractEvent::ContractCompleted(_) => disputed,
    }
}

/// A job as it is shown. Drafts are included: whoever is not the client is told that there is no such job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobDetail {
    /// The job.
    pub job: JobId,
    /// Who posts it.
    pub client: AccountId,
    /// Its terms.
    pub terms: JobTerms,
    /// Where it stands.
    pub status: JobStatus,
    /// Its bids, counted.
    pub bids: BidCounts,
    /// The award in force.
    pub award: Option<Award>,
    /// Where the contract of that award stands; absent until it is proposed.
    pub contract_status: Option<ContractStatus>,
    /// When it was drafted.
    pub created_at: Timestamp,
    /// When it was published (or reopened) last.
    pub published_at: Option<Timestamp>,
    /// Without an award, it expires then.
    pub expires_at: Option<Timestamp>,
    /// The version of its stream.
    pub version: Version,
}

/// One job; `None` when there is none.
///
/// # Errors
/// What the read store says.
pub async fn get(store: &dyn ReadStore, job: JobId) -> Result<Option<JobDetail>, StoreError> {
    let document = Reader::new(store, ID, &JOBS).get(job.to_string()).await?;
    Ok(document.and_then(|document| document.shown(job)))
}

impl JobDocument {
    fn shown(self, job: JobId) -> Option<JobDetail> {
        let section = self.job?;
        let contract = section.award.and_then(|award| self.contracts.get(&award.contract));
        Some(JobDetail {
            job,
            client: section.client,
            terms: section.terms,
            status: section.status,
            bids: section.bids,
            award: section.award,
            contract_status: contract.map(|contract| contract.status),
            created_at: section.created_at,
            published_at: section.published_at,
            expires_at: section.expires_at,
            version: section.version,
        })
    }
}
