//! A client's own jobs, drafts included, newest first.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Event, Id, RecordedEvent, Service, Timestamp, Version,
    ids::{AccountId, ContractId, JobId},
    vocabulary::jobs::{Budget, JobEvent},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View, job_detail::BidCounts, status::JobStatus,
};

/// Name and version.
pub const ID: (&str, u32) = ("my_jobs", 1);

/// A job in its client's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MyJob {
    /// The job.
    pub job: JobId,
    /// Whose it is.
    pub client: AccountId,
    /// One line.
    pub title: String,
    /// A slug.
    pub category: String,
    /// What the client is ready to pay.
    pub budget: Budget,
    /// Where it stands.
    pub status: JobStatus,
    /// Its bids, counted.
    pub bids: BidCounts,
    /// The contract of the award in force.
    pub contract: Option<ContractId>,
    /// When it was drafted.
    pub created_at: Timestamp,
    /// Without an award, it expires then.
    pub expires_at: Option<Timestamp>,
    /// The version of its stream.
    pub version: Version,
}

/// Jobs by job id.
pub const JOBS: Collection<MyJob> = Collection::new(
    "jobs",
    &[
        Index { name: "by_client", fields: &["client", "created_at"] },
        Index { name: "by_client_and_status", fields: &["client", "status", "created_at"] },
    ],
);

/// Folds jobs into their clients' lists.
#[derive(Clone, Copy, Debug)]
pub struct MyJobs;

impl Projection for MyJobs {
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
        const { &[JOBS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let Event::Job(payload) = &event.payload else { return Ok(Applied::Skipped("not a job's event")) };
        let job = JobId::from_uuid(event.stream.uuid);
        if let JobEvent::JobCreated(created) = payload {
            let entry = MyJob {
                job,
                client: created.client,
                title: created.terms.title.clone(),
                category: created.terms.category.clone(),
                budget: created.terms.budget,
                status: JobStatus::Draft,
                bids: BidCounts::default(),
                contract: None,
                created_at: event.stamp.time,
                expires_at: None,
                version: event.version,
            };
            view.put(&JOBS, &job.to_string(), &entry)?;
        } else {
            view.update(&JOBS, &job.to_string(), |entry| entry.apply(event.version, payload))?;
        }
        Ok(Applied::Changed)
    }
}

impl MyJob {
    fn apply(&mut self, version: Version, event: &JobEvent) {
        self.version = version;
        self.status = self.status.after(event);
        self.bids.apply(event);
        match event {
            JobEvent::JobEdited(edited) => {
                self.title.clone_from(&edited.terms.title);
                self.category.clone_from(&edited.terms.category);
                self.budget = edited.terms.budget;
            }
            JobEvent::JobPublished(published) => self.expires_at = Some(published.expires_at),
            JobEvent::JobReopened(reopened) => {
                self.expires_at = Some(reopened.expires_at);
                self.contract = None;
            }
            JobEvent::BidAccepted(accepted) => self.contract = Some(accepted.contract),
            JobEvent::JobCreated(_)
            | JobEvent::JobStarted(_)
            | JobEvent::JobClosed(_)
            | JobEvent::JobExpired(_)
            | JobEvent::BidSubmitted(_)
            | JobEvent::BidRevised(_)
            | JobEvent::BidWithdrawn(_)
            | JobEvent::BidRejected(_) => {}
        }
    }
}

/// The jobs of `client`, newest first; only those that stand at `status`, when it is given.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    client: AccountId,
    status: Option<JobStatus>,
    page: PageRequest,
) -> Result<Page<MyJob>, StoreError> {
    let mut filters = vec![Filter::Is("client", client.to_string().into())];
    filters.extend(status.map(|status| Filter::Is("status", status.into())));
    Reader::new(store, ID, &JOBS).find(filters, Order::descending("created_at"), page).await
}
