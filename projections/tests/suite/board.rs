//! The board: what everybody finds, and how.

use std::sync::Arc;

use events::{
    ids::JobId,
    vocabulary::jobs::{JobClosed, JobClosure, JobEdited, JobReopened, JobStarted, ReopenReason},
};
use projections::{
    PageRequest,
    board::{Board, BoardFilter, BudgetFilter, search},
    status::JobStatus,
};

use crate::{
    engines::{Fixture, sqlite},
    story::{Story, contract_terms, id, project, terms},
};

async fn given(story: &Story) -> Fixture {
    let fixture = sqlite();
    project(Arc::new(Board), Arc::clone(&fixture.store), &story.events, &[4]).await;
    fixture
}

async fn found(fixture: &Fixture, filter: BoardFilter) -> Vec<u128> {
    let page = search(fixture.store.as_ref(), &filter, PageRequest::first(100)).await.unwrap();
    page.items.iter().map(|entry| events::Id::uuid(entry.job).as_u128()).collect()
}

fn story() -> Story {
    let mut story = Story::default();
    for (number, title, budget) in [
        (1, "Build a Rust server", (100, 200)),
        (2, "Paint the fence", (300, 400)),
        (3, "Rust the fence", (150, 350)),
    ] {
        story.draft(id(number), id(10), title, budget);
        story.publish(id::<JobId>(number));
    }
    story.draft(id(4), id(10), "A draft about Rust", (1, 2));
    story
}

#[tokio::test]
async fn published_jobs_are_there_newest_first_and_drafts_are_not() {
    let fixture = given(&story()).await;
    assert_eq!(found(&fixture, BoardFilter::default()).await, [3, 2, 1]);
}

#[tokio::test]
async fn all_words_must_stand_in_title_skills_or_description() {
    let fixture = given(&story()).await;
    let words = |words: &str| BoardFilter { words: Some(words.to_owned()), ..BoardFilter::default() };
    assert_eq!(found(&fixture, words("FENCE")).await, [3, 2]);
    assert_eq!(found(&fixture, words("fence, rust!")).await, [3, 2]);
    assert_eq!(found(&fixture, words("paint fence")).await, [2]);
    assert_eq!(found(&fixture, words("sqlite server")).await, [1]);
    assert_eq!(found(&fixture, words("fenc")).await, [] as [u128; 0]);
    assert_eq!(found(&fixture, words(" - ")).await, [3, 2, 1]);
}

#[tokio::test]
async fn a_budget_matches_when_it_reaches_into_the_range_in_the_same_currency() {
    let fixture = given(&story()).await;
    let budget = |currency: &str, min, max| BoardFilter {
        budget: Some(BudgetFilter { currency: currency.parse().unwrap(), min, max }),
        ..BoardFilter::default()
    };
    assert_eq!(found(&fixture, budget("GHS", Some(351), None)).await, [2]);
    assert_eq!(found(&fixture, budget("GHS", Some(350), None)).await, [3, 2]);
    assert_eq!(found(&fixture, budget("GHS", None, Some(150))).await, [3, 1]);
    assert_eq!(found(&fixture, budget("GHS", Some(201), Some(299))).await, [3]);
    assert_eq!(found(&fixture, budget("EUR", None, None)).await, [] as [u128; 0]);
    assert_eq!(found(&fixture, budget("GHS", None, None)).await, [3, 2, 1]);
}

#[tokio::test]
async fn skill_and_category_are_matched_whole() {
    let fixture = given(&story()).await;
    let skill = |slug: &str| BoardFilter { skill: Some(slug.to_owned()), ..BoardFilter::default() };
    let category = |slug: &str| BoardFilter { category: Some(slug.to_owned()), ..BoardFilter::default() };
    assert_eq!(found(&fixture, skill("rust")).await.len(), 3);
    assert_eq!(found(&fixture, skill("web")).await.len(), 0);
    assert_eq!(found(&fixture, category("web-development")).await.len(), 3);
    assert_eq!(found(&fixture, category("web")).await.len(), 0);
    let both = BoardFilter { category: Some("web-development".into()), ..skill("sqlite") };
    assert_eq!(found(&fixture, both).await.len(), 3);
}

#[tokio::test]
async fn an_edit_is_found_by_its_new_words_only() {
    let mut story = story();
    story.job(id(1), JobEdited { terms: terms("Plant a tree", (1, 2)) });
    story.job(id(4), JobEdited { terms: terms("Plant a hedge", (1, 2)) });
    story.publish(id::<JobId>(4));
    let fixture = given(&story).await;
    let words = |words: &str| BoardFilter { words: Some(words.to_owned()), ..BoardFilter::default() };
    assert_eq!(found(&fixture, words("plant")).await, [4, 1]);
    assert_eq!(found(&fixture, words("server")).await, [] as [u128; 0]);
    assert_eq!(found(&fixture, words("draft")).await, [] as [u128; 0]);
}

#[tokio::test]
async fn a_job_is_listed_where_it_stands_and_a_reopened_one_is_new_again() {
    let mut story = story();
    let contract = id(70);
    for number in [1, 2, 3] {
        story.bid(id(number), id(number + 20), id(11), 5);
        story.accept(contract, contract_terms(id(number), id(number + 20), id(10), id(11), 5));
    }
    story.job(id(2), JobStarted { contract });
    let (reason, expires_at) = (ReopenReason::ProposalExpired, story.now());
    story.job(id(1), JobReopened { contract, reason, expires_at });
    story.job(id(4), JobClosed { closure: JobClosure::Cancelled });
    let fixture = given(&story).await;
    let status = |status| BoardFilter { status, words: Some("the".into()), ..BoardFilter::default() };
    assert_eq!(found(&fixture, BoardFilter::default()).await, [1]);
    assert_eq!(found(&fixture, status(JobStatus::InProgress)).await, [2]);
    assert_eq!(found(&fixture, status(JobStatus::Awarded)).await, [3]);
    assert_eq!(found(&fixture, status(JobStatus::Published)).await, [] as [u128; 0]);
    let cancelled = BoardFilter { status: JobStatus::Cancelled, ..BoardFilter::default() };
    assert_eq!(found(&fixture, cancelled).await, [] as [u128; 0]);
}
