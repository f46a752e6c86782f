//! Reading bids: of a job, one, one's own.

use axum::extract::State;
use commands::job::{Job, JobRejection};
use events::{
    Money, Timestamp,
    ids::{AccountId, BidId, ContractId, JobId},
    vocabulary::jobs::{BidRejection, ProposedMilestone},
};
use garde::Validate;
use projections::{
    bids_by_job::{self, BidOrder, BidsByJob, JobBid},
    bids_by_worker::{self, BidJob, BidsByWorker, WorkerBid},
    status::BidStatus,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BidPath, JobPath};
use crate::{
    app::App,
    consistency::Seen,
    http::{
        Answer, Path, Problem, Query,
        cursor::{Items, Paging},
    },
    security::Person,
};

/// A bid.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BidItem {
    /// The bid.
    bid: BidId,
    /// The job.
    job: JobId,
    /// Whose it is.
    worker: AccountId,
    /// The whole price.
    amount: Money,
    /// The parts, in order.
    milestones: Vec<ProposedMilestone>,
    /// Words to the client; null once the worker was erased.
    cover_letter: Option<String>,
    /// Where it stands.
    status: BidStatus,
    /// Why it was rejected.
    rejection: Option<BidRejection>,
    /// The contract it led to.
    contract: Option<ContractId>,
    /// When it was submitted.
    submitted_at: Timestamp,
    /// When it was revised last.
    revised_at: Option<Timestamp>,
}

impl BidItem {
    async fn of_job(app: &App, bid: JobBid) -> Result<Self, Problem> {
        Ok(Self {
            bid: bid.bid,
            job: bid.job,
            worker: bid.worker,
            amount: bid.amount,
            milestones: bid.milestones,
            cover_letter: app.open(&bid.cover_letter).await?,
            status: bid.status,
            rejection: bid.rejection,
            contract: bid.contract,
            submitted_at: bid.submitted_at,
            revised_at: bid.revised_at,
        })
    }

    async fn of_worker(app: &App, bid: WorkerBid) -> Result<Self, Problem> {
        Ok(Self {
            bid: bid.bid,
            job: bid.job,
            worker: bid.worker,
            amount: bid.amount,
            milestones: bid.milestones,
            cover_letter: app.open(&bid.cover_letter).await?,
            status: bid.status,
            rejection: bid.rejection,
            contract: bid.contract,
            submitted_at: bid.submitted_at,
            revised_at: bid.revised_at,
        })
    }
}

/// Which of a job's bids, in which order.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ListJobBids {
    /// `newest` first unless said otherwise.
    #[garde(skip)]
    order: Option<BidOrder>,
    /// At most this many, 20 unless said otherwise.
    #[garde(range(min = 1, max = 100))]
    #[schemars(range(min = 1, max = 100))]
    #[serde(skip_serializing)]
    limit: Option<u16>,
    /// `next` of the page before.
    #[garde(length(max = 1000))]
    #[serde(skip_serializing)]
    cursor: Option<String>,
}

/// Who may see which bids of a job: all for its client, for everybody else their own. Asked of the job itself.
async fn visible_worker(app: &App, person: &Person, job: JobId) -> Result<Option<AccountId>, Problem> {
    let state = app.executor.load::<Job>(job).await?.state;
    if !state.is_visible_to(&person.actor) {
        return Err(Problem::rejected(&JobRejection::NotFound));
    }
    Ok((state.client() != Some(person.id)).then_some(person.id))
}

pub(super) async fn of_job(
    State(app): State<App>,
    person: Person,
    Path(JobPath { job }): Path<JobPath>,
    seen: Seen,
    Query(asked): Query<ListJobBids>,
) -> Result<Answer<Items<BidItem>>, Problem> {
    let worker = visible_worker(&app, &person, job).await?;
    let paging = Paging::new(&app.links, &format!("bids of {job}"), &person.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &BidsByJob).await?;
    let order = asked.order.unwrap_or_default();
    let page = bids_by_job::list(&*app.store, job, worker, order, request).await?;
    let Items { items, next } = paging.answer(page);
    let mut answered = Vec::with_capacity(items.len());
    for bid in items {
        answered.push(BidItem::of_job(&app, bid).await?);
    }
    Ok(Answer::new(Items { items: answered, next }))
}

pub(super) async fn one(
    State(app): State<App>,
    person: Person,
    Path(BidPath { job, bid }): Path<BidPath>,
    seen: Seen,
) -> Result<Answer<BidItem>, Problem> {
    let worker = visible_worker(&app, &person, job).await?;
    app.catch_up(seen, &BidsByJob).await?;
    let found = bids_by_job::get(&*app.store, bid).await?;
    let visible = |bid: &JobBid| bid.job == job && worker.is_none_or(|worker| worker == bid.worker);
    let found = found.filter(visible).ok_or_else(Problem::not_found)?;
    Ok(Answer::new(BidItem::of_job(&app, found).await?))
}

/// Which of one's bids.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ListMyBids {
    /// Where the bid stands.
    #[garde(skip)]
    status: Option<BidStatus>,
    /// At most this many, 20 unless said otherwise.
    #[garde(range(min = 1, max = 100))]
    #[schemars(range(min = 1, max = 100))]
    #[serde(skip_serializing)]
    limit: Option<u16>,
    /// `next` of the page before.
    #[garde(length(max = 1000))]
    #[serde(skip_serializing)]
    cursor: Option<String>,
}

/// A bid of one's own, with what its job has become.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MyBidItem {
    /// The bid.
    bid: BidItem,
    /// Its job.
    job: BidJob,
}

pub(super) async fn own(
    State(app): State<App>,
    person: Person,
    seen: Seen,
    Query(asked): Query<ListMyBids>,
) -> Result<Answer<Items<MyBidItem>>, Problem> {
    let paging = Paging::new(&app.links, "my bids", &person.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &BidsByWorker).await?;
    let page = bids_by_worker::list(&*app.store, person.id, asked.status, request).await?;
    let Items { items, next } = paging.answer(page);
    let mut answered = Vec::with_capacity(items.len());
    for own in items {
        answered.push(MyBidItem { bid: BidItem::of_worker(&app, own.bid).await?, job: own.job });
    }
    Ok(Answer::new(Items { items: answered, next }))
}
