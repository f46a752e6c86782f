//! The bids of one job, for its client to compare.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Event, Id, Money, Personal, RecordedEvent, Service, Timestamp, Version,
    ids::{AccountId, BidId, ContractId, JobId},
    vocabulary::jobs::{BidRejection, BidSubmitted, BidTerms, JobEvent, ProposedMilestone},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View, status::BidStatus,
};

/// Name and version.
pub const ID: (&str, u32) = ("bids_by_job", 1);

/// A bid on a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobBid {
    /// The bid.
    pub bid: BidId,
    /// The job.
    pub job: JobId,
    /// Whose it is.
    pub worker: AccountId,
    /// The whole price.
    pub amount: Money,
    /// The price in minor units, to sort by.
    pub amount_minor: i64,
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

/// Bids by bid id.
pub const BIDS: Collection<JobBid> = Collection::new(
    "bids",
    &[
        Index { name: "by_submission", fields: &["job", "submitted_at"] },
        Index { name: "by_amount", fields: &["job", "amount_minor"] },
        Index { name: "by_worker", fields: &["job", "worker", "submitted_at"] },
    ],
);

/// The award in force of a job: the bid that lapses when the job is reopened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AwardedBid {
    /// The accepted bid.
    pub bid: BidId,
}

/// Awards in force, by job id.
pub const AWARDS: Collection<AwardedBid> = Collection::new("awards", &[]);

/// Folds jobs into lists of their bids.
#[derive(Clone, Copy, Debug)]
pub struct BidsByJob;

impl Projection for BidsByJob {
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
        const { &[BIDS.spec, AWARDS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let Event::Job(payload) = &event.payload else { return Ok(Applied::Skipped("not a job's event")) };
        apply(event, payload, view)
    }
}

fn apply(event: &RecordedEvent, payload: &JobEvent, view: &mut View) -> Result<Applied, ApplyError> {
    let job = JobId::from_uuid(event.stream.uuid);
    let version = event.version;
    match payload {
        JobEvent::BidSubmitted(submitted) => {
            let bid = JobBid::submitted(job, submitted, event);
            view.put(&BIDS, &submitted.bid.to_string(), &bid)?;
        }
        JobEvent::BidRevised(revised) => view.update(&BIDS, &revised.bid.to_string(), |bid| {
            bid.set_terms(&revised.terms);
            bid.revised_at = Some(event.stamp.time);
            bid.version = version;
        })?,
        JobEvent::BidWithdrawn(withdrawn) => view.update(&BIDS, &withdrawn.bid.to_string(), |bid| {
            bid.status = BidStatus::Withdrawn;
            bid.version = version;
        })?,
        JobEvent::BidAccepted(accepted) => {
            view.update(&BIDS, &accepted.bid.to_string(), |bid| {
                bid.status = BidStatus::Accepted;
                bid.contract = Some(accepted.contract);
                bid.version = version;
            })?;
            view.put(&AWARDS, &job.to_string(), &AwardedBid { bid: accepted.bid })?;
        }
        JobEvent::BidRejected(rejected) => view.update(&BIDS, &rejected.bid.to_string(), |bid| {
            bid.status = BidStatus::Rejected;
            bid.rejection = Some(rejected.reason);
            bid.version = version;
        })?,
        JobEvent::JobReopened(_) => {
            let award = view.get(&AWARDS, &job.to_string())?;
            let bid = award.ok_or_else(|| ApplyError::absent("award of", &job.to_string()))?.bid;
            view.delete(&AWARDS, &job.to_string());
            view.update(&BIDS, &bid.to_string(), |bid| {
                bid.status = BidStatus::Lapsed;
                bid.version = version;
            })?;
        }
        JobEvent::JobCreated(_)
        | JobEvent::JobEdited(_)
        | JobEvent::JobPublished(_)
        | JobEvent::JobStarted(_)
        | JobEvent::JobClosed(_)
        | JobEvent::JobExpired(_) => return Ok(Applied::Skipped("not about a bid")),
    }
    Ok(Applied::Changed)
}

impl JobBid {
    /// The bid as it was submitted by `event` on `job`.
    fn submitted(job: JobId, submitted: &BidSubmitted, event: &RecordedEvent) -> Self {
        Self {
            bid: submitted.bid,
            job,
            worker: submitted.worker,
            amount: submitted.terms.amount,
            amount_minor: submitted.terms.amount.minor(),
            milestones: submitted.terms.milestones.clone(),
            cover_letter: submitted.terms.cover_letter.clone(),
            status: BidStatus::Submitted,
            rejection: None,
            contract: None,
            submitted_at: event.stamp.time,
            revised_at: None,
            version: event.version,
        }
    }

    fn set_terms(&mut self, terms: &BidTerms) {
        self.amount = terms.amount;
        self.amount_minor = terms.amount.minor();
        self.milestones.clone_from(&terms.milestones);
        self.cover_letter.clone_from(&terms.cover_letter);
    }
}

/// In which order a job's bids are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BidOrder {
    /// The newest first.
    #[default]
    Newest,
    /// The lowest amount first.
    LowestAmount,
}

/// The bids on `job`; only those of `worker`, when one is given.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    job: JobId,
    worker: Option<AccountId>,
    order: BidOrder,
    page: PageRequest,
) -> Result<Page<JobBid>, StoreError> {
    let mut filters = vec![Filter::Is("job", job.to_string().into())];
    filters.extend(worker.map(|worker| Filter::Is("worker", worker.to_string().into())));
    let order = match order {
        BidOrder::Newest => Order::descending("submitted_at"),
        BidOrder::LowestAmount => Order::ascending("amount_minor"),
    };
    Reader::new(store, ID, &BIDS).find(filters, order, page).await
}

/// One bid; `None` when there is none.
///
/// # Errors
/// What the read store says.
pub async fn get(store: &dyn ReadStore, bid: BidId) -> Result<Option<JobBid>, StoreError> {
    Reader::new(store, ID, &BIDS).get(bid.to_string()).await
}
