//! contract_detail.

use std::sync::Arc;

use events::{
    ids::{AccountId, ContractId},
    vocabulary::jobs::{
        ContractCancelled, ContractProposed, ContractSigned, DisputeOutcome, MilestoneDisputeSettled,
        MilestoneDisputed, MilestoneFunded, WorkSubmitted,
    },
};
use projections::{
    PageRequest,
    contract_detail::{self, ContractDetail, ContractDetails},
    status::{ContractStatus, MilestoneStatus},
};

use crate::{
    engines::{Fixture, sqlite},
    story::{Story, contract_terms, id, project, sealed},
};

const CLIENT: u128 = 10;
const WORKER: u128 = 11;

fn signed() -> Story {
    let mut story = Story::default();
    let (client, worker): (AccountId, AccountId) = (id(CLIENT), id(WORKER));
    for number in [70, 71] {
        let terms = contract_terms(id(1), id(2), client, worker, 100);
        let expires_at = story.now().plus_millis(60_000);
        story.contract(id(number), ContractProposed { terms, expires_at });
    }
    story.contract(id(70), ContractSigned { by: worker, fully: false });
    story.contract(id(70), ContractSigned { by: client, fully: true });
    story
}

async fn given(story: &Story) -> Fixture {
    let fixture = sqlite();
    project(Arc::new(ContractDetails), Arc::clone(&fixture.store), &story.events, &[2]).await;
    fixture
}

async fn contract(fixture: &Fixture, number: u128) -> ContractDetail {
    contract_detail::get(fixture.store.as_ref(), id(number)).await.unwrap().unwrap()
}

async fn listed(fixture: &Fixture, party: u128, status: Option<ContractStatus>) -> Vec<ContractId> {
    let page = PageRequest::first(10);
    let page = contract_detail::list(fixture.store.as_ref(), id(party), status, page).await.unwrap();
    page.items.iter().map(|contract| contract.contract).collect()
}

#[tokio::test]
async fn both_parties_find_their_contracts_newest_first_by_status() {
    let fixture = given(&signed()).await;
    for party in [CLIENT, WORKER] {
        assert_eq!(listed(&fixture, party, None).await, [id(71), id(70)]);
        assert_eq!(listed(&fixture, party, Some(ContractStatus::Signed)).await, [id(70)]);
    }
    assert_eq!(listed(&fixture, 12, None).await, []);
}

#[tokio::test]
async fn a_contract_knows_who_signed_and_when_the_last_did() {
    let fixture = given(&signed()).await;
    let both = contract(&fixture, 70).await;
    assert_eq!(both.signed_by, [id(WORKER), id(CLIENT)]);
    assert!(both.signed_at.is_some());
    assert_eq!((both.status, both.version), (ContractStatus::Signed, 3));
    let neither = contract(&fixture, 71).await;
    assert_eq!((neither.signed_by.len(), neither.signed_at), (0, None));
    assert!(neither.milestones.iter().all(|milestone| milestone.status == MilestoneStatus::Planned));
}

#[tokio::test]
async fn a_contract_is_disputed_as_long_as_one_milestone_is() {
    let mut story = signed();
    for milestone in [1, 2] {
        story.contract(id(70), MilestoneFunded { milestone });
        let review_until = story.now();
        story.contract(id(70), WorkSubmitted { milestone, note: sealed(id(WORKER), "done"), review_until });
        story.contract(id(70), MilestoneDisputed { milestone });
    }
    assert_eq!(contract(&given(&story).await, 70).await.status, ContractStatus::Disputed);
    story.contract(id(70), MilestoneDisputeSettled { milestone: 1, outcome: DisputeOutcome::Split });
    let one_left = contract(&given(&story).await, 70).await;
    assert_eq!(one_left.status, ContractStatus::Disputed);
    assert_eq!(one_left.milestones[0].status, MilestoneStatus::Split);
    assert_eq!(one_left.milestones[0].note, Some(sealed(id(WORKER), "done")));
    story.contract(id(70), MilestoneDisputeSettled { milestone: 2, outcome: DisputeOutcome::Released });
    assert_eq!(contract(&given(&story).await, 70).await.status, ContractStatus::Active);
}

#[tokio::test]
async fn what_is_called_off_takes_its_unpaid_milestones_with_it() {
    let mut story = signed();
    story.contract(id(70), MilestoneFunded { milestone: 1 });
    story.contract(id(70), ContractCancelled { by: Some(id(CLIENT)) });
    let cancelled = contract(&given(&story).await, 70).await;
    assert_eq!((cancelled.status, cancelled.ended_by), (ContractStatus::Cancelled, Some(id(CLIENT))));
    let milestones: Vec<_> = cancelled.milestones.iter().map(|milestone| milestone.status).collect();
    assert_eq!(milestones, [MilestoneStatus::Funded, MilestoneStatus::Cancelled]);
}
