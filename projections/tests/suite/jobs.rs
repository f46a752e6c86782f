//! job_detail and my_jobs: one job in full, and a client's list.

use std::sync::Arc;

use events::{
    ids::{AccountId, BidId, ContractId, JobId},
    vocabulary::jobs::{
        BidRejected, BidRejection, BidWithdrawn, ContractDeclined, ContractProposed, JobReopened,
        ReopenReason,
    },
};
use projections::{
    PageRequest,
    job_detail::{self, Award, BidCounts, JobDetails},
    my_jobs::{self, MyJobs},
    status::{ContractStatus, JobStatus},
};

use crate::{
    engines::{Fixture, sqlite},
    story::{Story, contract_terms, id, project},
};

fn awarded() -> Story {
    let (job, client): (JobId, AccountId) = (id(1), id(10));
    let mut story = Story::default();
    story.draft(job, client, "work", (1, 2));
    story.publish(job);
    for number in 1..=4 {
        story.bid(job, id(20 + number), id(30 + number), 100);
    }
    story.job(job, BidWithdrawn { bid: id::<BidId>(21) });
    let terms = contract_terms(job, id(22), client, id(32), 100);
    story.accept(id(70), terms.clone());
    for bid in [id(23), id(24)] {
        story.job(job, BidRejected { bid, reason: BidRejection::AnotherAccepted });
    }
    let expires_at = story.now();
    story.contract(id(70), ContractProposed { terms, expires_at });
    story
}

async fn given(story: &Story) -> Fixture {
    let fixture = sqlite();
    project(Arc::new(JobDetails), Arc::clone(&fixture.store), &story.events, &[3]).await;
    project(Arc::new(MyJobs), Arc::clone(&fixture.store), &story.events, &[3]).await;
    fixture
}

#[tokio::test]
async fn a_job_shows_its_bids_its_award_and_how_the_contract_stands() {
    let fixture = given(&awarded()).await;
    let job = job_detail::get(fixture.store.as_ref(), id(1)).await.unwrap().unwrap();
    assert_eq!(job.status, JobStatus::Awarded);
    assert_eq!(job.bids, BidCounts { total: 4, open: 0 });
    assert_eq!(job.award, Some(Award { bid: id(22), worker: id(32), contract: id(70) }));
    assert_eq!(job.contract_status, Some(ContractStatus::Proposed));
    assert_eq!(job.version, 10);
    assert_eq!(job_detail::get(fixture.store.as_ref(), id(2)).await, Ok(None));
}

#[tokio::test]
async fn a_job_that_came_back_has_no_award_and_shows_no_contract() {
    let mut story = awarded();
    let contract: ContractId = id(70);
    story.contract(contract, ContractDeclined { by: id(32) });
    let declined = given(&story).await;
    let job = job_detail::get(declined.store.as_ref(), id(1)).await.unwrap().unwrap();
    assert_eq!(job.contract_status, Some(ContractStatus::Declined));
    let (reason, expires_at) = (ReopenReason::ProposalDeclined, story.now());
    story.job(id(1), JobReopened { contract, reason, expires_at });
    let reopened = given(&story).await;
    let job = job_detail::get(reopened.store.as_ref(), id(1)).await.unwrap().unwrap();
    assert_eq!((job.status, job.award, job.contract_status), (JobStatus::Published, None, None));
    assert_eq!(job.expires_at, Some(expires_at));
}

#[tokio::test]
async fn a_contract_that_was_heard_of_before_its_job_shows_no_job_yet() {
    let story = awarded();
    let fixture = sqlite();
    let last = story.events.len() - 1;
    project(Arc::new(JobDetails), Arc::clone(&fixture.store), &story.events[last..], &[1]).await;
    assert_eq!(job_detail::get(fixture.store.as_ref(), id(1)).await, Ok(None));
    project(Arc::new(JobDetails), Arc::clone(&fixture.store), &story.events[..last], &[1]).await;
    let job = job_detail::get(fixture.store.as_ref(), id(1)).await.unwrap().unwrap();
    assert_eq!(job.contract_status, Some(ContractStatus::Proposed));
}

#[tokio::test]
async fn a_client_sees_their_own_jobs_drafts_included_newest_first() {
    let mut story = awarded();
    story.draft(id(2), id(10), "another", (5, 6));
    story.draft(id(3), id(11), "somebody else's", (5, 6));
    let fixture = given(&story).await;
    let list = async |status| {
        let page =
            my_jobs::list(fixture.store.as_ref(), id(10), status, PageRequest::first(10)).await.unwrap();
        page.items
    };
    let all = list(None).await;
    assert_eq!(all.iter().map(|job| job.job).collect::<Vec<_>>(), [id(2), id(1)]);
    assert_eq!((all[0].version, all[0].status), (1, JobStatus::Draft));
    assert_eq!((all[1].version, all[1].contract), (10, Some(id(70))));
    let drafts = list(Some(JobStatus::Draft)).await;
    assert_eq!(drafts, all[..1]);
    assert_eq!(list(Some(JobStatus::Completed)).await, []);
}
