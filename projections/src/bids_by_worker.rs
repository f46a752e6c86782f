//! A worker's own bids over all jobs, newest first, each with the title and the standing of its job.
//!
//! A bid's document holds what the bid is, the job's document what the job is: a job with many bids changes one
//! document when its standing changes, and a page reads its jobs in one go.
#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};

use events::{
    Event, Id, Money, Personal, RecordedEvent, Service, Timestamp, Version,
    ids::{AccountId, BidId, ContractId, JobId},
    vocabulary::jobs::{BidRejection, JobEvent, ProposedMilestone},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View,
    status::{BidStatus, JobStatus},
};

/// Name and version.
pub const ID: (&str, u32) = ("bids_by_worker", 1);

/// A worker's bid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerBid {
    /// The bid.
    pub bid: BidId,
    /// The job.
    pub job: JobId,
    /// Whose it is.
    pub worker: AccountId,
    /// The whole price.
    pub amount: Money,
    /// The parts, in order.
    pub milestones: Vec<ProposedMilestone>,
    /// Words to the client, sealed.
    pub cover_letter: Personal<String>,
    /// Where it stands.
    pub status: BidStatus,
    /// Why it was rejected.
    pub rejection: Option<BidRejection>,
    /// The contract it led to.
    pub contract: Option<ContractId>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it was revised last.
    pub revised_at: Option<Timestamp>,
    /// The version of the job's stream that changed the bid last. The stream may have moved on since.
    pub version: Version,
}

/// What a list of bids says about a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BidJob {
    /// One line.
    pub title: String,
    /// Who posted it.
    pub client: AccountId,
    /// Where it stands.
    pub status: JobStatus,
    /// The bid that holds the award in force.
    pub awarded_bid: Option<BidId>,
}

/// Bids by bid id.
pub const BIDS: Collection<WorkerBid> = Collection::new(
    "bids",
    &[
        Index { name: "by_worker", fields: &["worker", "submitted_at"] },
        Index { name: "by_worker_and_status", fields: &["worker", "status", "submitted_at"] },
    ],
);

/// Jobs by job id.
pub const JOBS: Collection<BidJob> = Collection::new("jobs", &[]);

/// Folds jobs into their workers' lists of bids.
#[derive(Clone, Copy, Debug)]
pub struct BidsByWorker;

impl Projection for BidsByWorker {
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
        Shape::Partitioned
    }
    fn collections(&self) -> &'static [CollectionSpec] {
        const { &[BIDS.spec, JOBS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let Event::Job(payload) = &event.payload else { return Ok(Applied::Skipped("not a job's event")) };
        apply_to_bids(event, payload, view)?;
        apply_to_job(event, payload, view)?;
        Ok(Applied::Changed)
    }
}

/// Folds what the event says about bids. Comes before the award in the job's document is cleared.
fn apply_to_bids(event: &RecordedEvent, payload: &JobEvent, view: &mut View) -> Result<(), ApplyError> {
    let job = JobId::from_uuid(event.stream.uuid);
    let version = event.version;
    match payload {
        JobEvent::BidSubmitted(submitted) => {
            let bid = WorkerBid {
                bid: submitted.bid,
                job,
                worker: submitted.worker,
                amount: submitted.terms.amount,
                milestones: submitted.terms.milestones.clone(),
                cover_letter: submitted.terms.cover_letter.clone(),
                status: BidStatus::Submitted,
                rejection: None,
                contract: None,
                submitted_at: event.stamp.time,
                revised_at: None,
                version,
            };
            view.put(&BIDS, &submitted.bid.to_string(), &bid)
        }
        JobEvent::BidRevised(revised) => view.update(&BIDS, &revised.bid.to_string(), |bid| {
            bid.amount = revised.terms.amount;
            bid.milestones.clone_from(&revised.terms.milestones);
            bid.cover_letter.clone_from(&revised.terms.cover_letter);
            bid.revised_at = Some(event.stamp.time);
            bid.version = version;
        }),
        JobEvent::BidWithdrawn(withdrawn) => view.update(&BIDS, &withdrawn.bid.to_string(), |bid| {
            bid.status = BidStatus::Withdrawn;
            bid.version = version;
        }),
        JobEvent::BidAccepted(accepted) => view.update(&BIDS, &accepted.bid.to_string(), |bid| {
            bid.status = BidStatus::Accepted;
            bid.contract = Some(accepted.contract);
            bid.version = version;
        }),
        JobEvent::BidRejected(rejected) => view.update(&BIDS, &rejected.bid.to_string(), |bid| {
            bid.status = BidStatus::Rejected;
            bid.rejection = Some(rejected.reason);
            bid.version = version;
        }),
        JobEvent::JobReopened(_) => {
            let awarded = view.get(&JOBS, &job.to_string())?.and_then(|job| job.awarded_bid);
            let awarded = awarded.ok_or_else(|| ApplyError::absent("award of", &job.to_string()))?;
            view.update(&BIDS, &awarded.to_string(), |bid| {
                bid.status = BidStatus::Lapsed;
                bid.version = version;
            })
        }
        JobEvent::JobCreated(_)
        | JobEvent::JobEdited(_)
        | JobEvent::JobPublished(_)
        | JobEvent::JobStarted(_)
        | JobEvent::JobClosed(_)
        | JobEvent::JobExpired(_) => Ok(()),
    }
}

/// Folds what the event says about the job.
fn apply_to_job(event: &RecordedEvent, payload: &JobEvent, view: &mut View) -> Result<(), ApplyError> {
    let key = JobId::from_uuid(event.stream.uuid).to_string();
    match payload {
        JobEvent::JobCreated(created) => {
            let (title, client) = (created.terms.title.clone(), created.client);
            view.put(&JOBS, &key, &BidJob { title, client, status: JobStatus::Draft, awarded_bid: None })
        }
        JobEvent::JobEdited(edited) => {
            view.update(&JOBS, &key, |job| job.title.clone_from(&edited.terms.title))
        }
        JobEvent::JobPublished(_)
        | JobEvent::JobReopened(_)
        | JobEvent::JobStarted(_)
        | JobEvent::JobClosed(_)
        | JobEvent::JobExpired(_)
        | JobEvent::BidAccepted(_) => view.update(&JOBS, &key, |job| {
            job.status = job.status.after(payload);
            job.awarded_bid = awarded_after(job.awarded_bid, payload);
        }),
        JobEvent::BidSubmitted(_)
        | JobEvent::BidRevised(_)
        | JobEvent::BidWithdrawn(_)
        | JobEvent::BidRejected(_) => Ok(()),
    }
}

/// The bid that holds the award after `event`.
fn awarded_after(awarded: Option<BidId>, event: &JobEvent) -> Option<BidId> {
    match event {
        JobEvent::BidAccepted(accepted) => Some(accepted.bid),
        JobEvent::JobReopened(_) => None,
        JobEvent::JobCreated(_)
        | JobEvent::JobEdited(_)
        | JobEvent::JobPublished(_)
        | JobEvent::JobStarted(_)
        | JobEvent::JobClosed(_)
        | JobEvent::JobExpired(_)
        | JobEvent::BidSubmitted(_)
        | JobEvent::BidRevised(_)
        | JobEvent::BidWithdrawn(_)
        | JobEvent::BidRejected(_) => awarded,
    }
}

/// A worker's bid, with what its job has become.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OwnBid {
    /// The bid.
    pub bid: WorkerBid,
    /// Its job.
    pub job: BidJob,
}

/// The bids of `worker`, newest first; only those that stand at `status`, when it is given.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    worker: AccountId,
    status: Option<BidStatus>,
    page: PageRequest,
) -> Result<Page<OwnBid>, StoreError> {
    let mut filters = vec![Filter::Is("worker", worker.to_string().into())];
    filters.extend(status.map(|status| Filter::Is("status", status.into())));
    let order = Order::descending("submitted_at");
    let bids = Reader::new(store, ID, &BIDS).find(filters, order, page).await?;
    let jobs: BTreeSet<String> = bids.items.iter().map(|bid| bid.job.to_string()).collect();
    let documents = Reader::new(store, ID, &JOBS).get_many(jobs.iter().cloned()).await?;
    let jobs: BTreeMap<String, BidJob> =
        jobs.into_iter().zip(documents).filter_map(|(key, job)| Some((key, job?))).collect();
    let mut items = Vec::with_capacity(bids.items.len());
    for bid in bids.items {
        let key = bid.job.to_string();
        let job = jobs.get(&key).cloned();
        let job = job.ok_or_else(|| StoreError::Refused(format!("the bid {} has no job", bid.bid)))?;
        items.push(OwnBid { bid, job });
    }
    Ok(Page { items, next: bids.next })
}
