//! bids_by_job and bids_by_worker.

use std::sync::Arc;

use events::{
    ids::{AccountId, BidId, JobId},
    vocabulary::jobs::{BidRejected, BidRejection, BidRevised, JobEdited, JobReopened, ReopenReason},
};
use projections::{
    PageRequest,
    bids_by_job::{self, BidOrder, BidsByJob},
    bids_by_worker::{self, BidsByWorker},
    status::{BidStatus, JobStatus},
};

use crate::{
    engines::{Fixture, sqlite},
    story::{Story, bid_terms, contract_terms, ghs, id, project, terms},
};

const JOB: u128 = 1;

fn competing() -> Story {
    let (job, client): (JobId, AccountId) = (id(JOB), id(10));
    let mut story = Story::default();
    for (job, title) in [(job, "work"), (id(2), "other work")] {
        story.draft(job, client, title, (1, 2));
        story.publish(job);
    }
    story.bid(job, id(21), id(31), 300);
    story.bid(job, id(22), id(32), 200);
    story.bid(job, id(23), id(33), 200);
    story.bid(id(2), id(24), id(31), 50);
    story.job(job, BidRevised { bid: id::<BidId>(21), terms: bid_terms(id(31), 100) });
    story
}

async fn given(story: &Story) -> Fixture {
    let fixture = sqlite();
    project(Arc::new(BidsByJob), Arc::clone(&fixture.store), &story.events, &[3]).await;
    project(Arc::new(BidsByWorker), Arc::clone(&fixture.store), &story.events, &[3]).await;
    fixture
}

async fn of_job(fixture: &Fixture, worker: Option<AccountId>, order: BidOrder) -> Vec<bids_by_job::JobBid> {
    let page = PageRequest::first(10);
    bids_by_job::list(fixture.store.as_ref(), id(JOB), worker, order, page).await.unwrap().items
}

async fn of_worker(
    fixture: &Fixture,
    worker: AccountId,
    status: Option<BidStatus>,
) -> Vec<bids_by_worker::OwnBid> {
    let page = PageRequest::first(10);
    bids_by_worker::list(fixture.store.as_ref(), worker, status, page).await.unwrap().items
}

#[tokio::test]
async fn a_jobs_bids_come_newest_or_cheapest_first() {
    let fixture = given(&competing()).await;
    let ids = |bids: Vec<bids_by_job::JobBid>| bids.iter().map(|bid| bid.bid).collect::<Vec<_>>();
    assert_eq!(ids(of_job(&fixture, None, BidOrder::Newest).await), [id(23), id(22), id(21)]);
    assert_eq!(ids(of_job(&fixture, None, BidOrder::LowestAmount).await), [id(21), id(22), id(23)]);
    for order in [BidOrder::Newest, BidOrder::LowestAmount] {
        assert_eq!(ids(of_job(&fixture, Some(id(32)), order).await), [id(22)]);
    }
}

#[tokio::test]
async fn a_revised_bid_shows_what_is_offered_now() {
    let fixture = given(&competing()).await;
    let bid = bids_by_job::get(fixture.store.as_ref(), id(21)).await.unwrap().unwrap();
    assert_eq!(bid.amount, ghs(100));
    assert_eq!(bid.milestones, bid_terms(id(31), 100).milestones);
    assert_eq!((bid.status, bid.version), (BidStatus::Submitted, 6));
    assert!(bid.revised_at > Some(bid.submitted_at));
    assert_eq!(bids_by_job::get(fixture.store.as_ref(), id(99)).await, Ok(None));
}

#[tokio::test]
async fn a_worker_sees_their_bids_over_all_jobs_with_what_became_of_the_jobs() {
    let mut story = competing();
    story.job(id(2), JobEdited { terms: terms("renamed", (1, 2)) });
    story.accept(id(70), contract_terms(id(JOB), id(21), id(10), id(31), 100));
    story.job(id(JOB), BidRejected { bid: id::<BidId>(22), reason: BidRejection::AnotherAccepted });
    let fixture = given(&story).await;
    let own = of_worker(&fixture, id(31), None).await;
    assert_eq!(own.len(), 2);
    assert_eq!((own[0].job.title.as_str(), own[0].bid.status), ("renamed", BidStatus::Submitted));
    assert_eq!((own[1].job.status, own[1].bid.status), (JobStatus::Awarded, BidStatus::Accepted));
    assert_eq!(own[1].bid.contract, Some(id(70)));
    let lost = of_worker(&fixture, id(32), Some(BidStatus::Rejected)).await;
    assert_eq!(lost[0].bid.rejection, Some(BidRejection::AnotherAccepted));
    assert_eq!(of_worker(&fixture, id(32), Some(BidStatus::Submitted)).await, []);
}

#[tokio::test]
async fn a_bid_whose_award_came_to_nothing_has_lapsed() {
    let mut story = competing();
    story.accept(id(70), contract_terms(id(JOB), id(21), id(10), id(31), 100));
    let (reason, expires_at) = (ReopenReason::ProposalDeclined, story.now());
    story.job(id(JOB), JobReopened { contract: id(70), reason, expires_at });
    let fixture = given(&story).await;
    let bid = bids_by_job::get(fixture.store.as_ref(), id(21)).await.unwrap().unwrap();
    assert_eq!(bid.status, BidStatus::Lapsed);
    let own = of_worker(&fixture, id(31), Some(BidStatus::Lapsed)).await;
    assert_eq!((own[0].job.status, own[0].job.awarded_bid), (JobStatus::Published, None));
}
