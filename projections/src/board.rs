//! The board: every job that was ever published, for everybody, newest publication first.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Currency, Event, Id, RecordedEvent, Service, Timestamp,
    ids::{AccountId, JobId},
    vocabulary::jobs::{Budget, JobEvent, JobTerms},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View, status::JobStatus, terms,
};

/// Name and version.
pub const ID: (&str, u32) = ("board", 1);

/// A job on the board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BoardEntry {
    /// The job.
    pub job: JobId,
    /// Who posted it.
    pub client: AccountId,
    /// One line.
    pub title: String,
    /// What is to be done.
    pub description: String,
    /// A slug.
    pub category: String,
    /// Slugs, sorted.
    pub skills: Vec<String>,
    /// What the client is ready to pay.
    pub budget: Budget,
    /// Where the job stands; never a draft.
    pub status: JobStatus,
    /// When it was published (or reopened) last.
    pub published_at: Timestamp,
    /// Without an award, it expires then.
    pub expires_at: Timestamp,
    /// What a search by words looks at.
    pub terms: Vec<String>,
    /// The budget's currency.
    pub currency: Currency,
    /// The budget's lower end, minor units.
    pub budget_min: i64,
    /// The budget's upper end, minor units.
    pub budget_max: i64,
}

/// A job that is not published yet: what the board will need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BoardDraft {
    /// Who drafted it.
    pub client: AccountId,
    /// Its terms.
    pub terms: JobTerms,
}

/// Published jobs, by job id.
///
/// The index of terms leaves the status out: a job has dozens of terms, and each change of status would move them all.
/// Open jobs are among the newest, so a search by words meets them first.
pub const ENTRIES: Collection<BoardEntry> = Collection::new(
    "entries",
    &[
        Index { name: "by_term", fields: &["terms", "published_at"] },
        Index { name: "by_skill", fields: &["skills", "status", "published_at"] },
        Index { name: "by_category", fields: &["status", "category", "published_at"] },
        Index { name: "by_publication", fields: &["status", "published_at"] },
    ],
)
.with_arrays(&["terms", "skills"])
.with_fields(&["currency", "budget_min", "budget_max"]);

/// Drafts, by job id.
pub const DRAFTS: Collection<BoardDraft> = Collection::new("drafts", &[]);

/// Folds jobs onto the board.
#[derive(Clone, Copy, Debug)]
pub struct Board;

impl Projection for Board {
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
        const { &[ENTRIES.spec, DRAFTS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let Event::Job(payload) = &event.payload else { return Ok(Applied::Skipped("not a job's event")) };
        apply(event, payload, view)
    }
}

fn apply(event: &RecordedEvent, payload: &JobEvent, view: &mut View) -> Result<Applied, ApplyError> {
    let job = JobId::from_uuid(event.stream.uuid);
    let key = job.to_string();
    match payload {
        JobEvent::JobCreated(created) => {
            view.put(&DRAFTS, &key, &BoardDraft { client: created.client, terms: created.terms.clone() })?;
        }
        JobEvent::JobEdited(edited) => match view.get(&DRAFTS, &key)? {
            Some(draft) => view.put(&DRAFTS, &key, &BoardDraft { terms: edited.terms.clone(), ..draft })?,
            None => view.update(&ENTRIES, &key, |entry| entry.set_terms(&edited.terms))?,
        },
        JobEvent::JobPublished(published) => {
            let draft = view.get(&DRAFTS, &key)?.ok_or_else(|| ApplyError::absent("draft", &key))?;
            view.delete(&DRAFTS, &key);
            let entry = BoardEntry::published(job, &draft, event.stamp.time, published.expires_at);
            view.put(&ENTRIES, &key, &entry)?;
        }
        JobEvent::JobReopened(reopened) => view.update(&ENTRIES, &key, |entry| {
            entry.status = entry.status.after(payload);
            entry.published_at = event.stamp.time;
            entry.expires_at = reopened.expires_at;
        })?,
        JobEvent::JobClosed(_) if view.get(&DRAFTS, &key)?.is_some() => view.delete(&DRAFTS, &key),
        JobEvent::JobClosed(_)
        | JobEvent::JobStarted(_)
        | JobEvent::JobExpired(_)
        | JobEvent::BidAccepted(_) => {
            view.update(&ENTRIES, &key, |entry| entry.status = entry.status.after(payload))?;
        }
        JobEvent::BidSubmitted(_)
        | JobEvent::BidRevised(_)
        | JobEvent::BidWithdrawn(_)
        | JobEvent::BidRejected(_) => return Ok(Applied::Skipped("the board shows no bids")),
    }
    Ok(Applied::Changed)
}

impl BoardEntry {
    fn published(job: JobId, draft: &BoardDraft, at: Timestamp, expires_at: Timestamp) -> Self {
        let terms = &draft.terms;
        let mut entry = Self {
            job,
            client: draft.client,
            title: String::new(),
            description: String::new(),
            category: String::new(),
            skills: Vec::new(),
            budget: terms.budget,
            status: JobStatus::Published,
            published_at: at,
            expires_at,
            terms: Vec::new(),
            currency: terms.budget.min.currency(),
            budget_min: 0,
            budget_max: 0,
        };
        entry.set_terms(terms);
        entry
    }

    fn set_terms(&mut self, terms: &JobTerms) {
        self.title.clone_from(&terms.title);
        self.description.clone_from(&terms.description);
        self.category.clone_from(&terms.category);
        self.skills.clone_from(&terms.skills);
        self.budget = terms.budget;
        self.currency = terms.budget.min.currency();
        self.budget_min = terms.budget.min.minor();
        self.budget_max = terms.budget.max.minor();
        let texts = [terms.title.as_str()].into_iter().chain(terms.skills.iter().map(String::as_str));
        self.terms = terms::of_document(texts.chain([terms.description.as_str()]));
    }
}

/// What to look for on the board. All that is given must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct BoardFilter {
    /// Words, all of which stand in title, skills or description. Without a letter or digit they ask for nothing.
    pub words: Option<String>,
    /// A skill's slug.
    pub skill: Option<String>,
    /// A category's slug.
    pub category: Option<String>,
    /// What somebody would work for.
    pub budget: Option<BudgetFilter>,
    /// Where the job stands; published unless said otherwise.
    pub status: JobStatus,
}

/// Budgets that reach into a range. Nothing is exchanged: a budget in another currency does not match.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetFilter {
    /// The currency of both ends.
    pub currency: Currency,
    /// The client pays up to this much or more, minor units.
    pub min: Option<i64>,
    /// The client pays from this much or less, minor units.
    pub max: Option<i64>,
}

impl Default for BoardFilter {
    fn default() -> Self {
        Self { words: None, skill: None, category: None, budget: None, status: JobStatus::Published }
    }
}

impl BoardFilter {
    fn filters(&self) -> Vec<Filter> {
        let mut filters = vec![Filter::Is("status", self.status.into())];
        let words = self.words.as_deref().map(terms::of_query).unwrap_or_default();
        filters.extend(words.into_iter().map(|term| Filter::Has("terms", term.into())));
        filters.extend(self.skill.iter().map(|skill| Filter::Has("skills", skill.as_str().into())));
        filters.extend(self.category.iter().map(|slug| Filter::Is("category", slug.as_str().into())));
        if let Some(budget) = self.budget {
            filters.push(Filter::Is("currency", budget.currency.code().into()));
            filters.extend(budget.min.map(|min| Filter::AtLeast("budget_max", min.into())));
            filters.extend(budget.max.map(|max| Filter::AtMost("budget_min", max.into())));
        }
        filters
    }
}

/// Jobs on the board, newest publication first.
///
/// # Errors
/// What the read store says.
pub async fn search(
    store: &dyn ReadStore,
    filter: &BoardFilter,
    page: PageRequest,
) -> Result<Page<BoardEntry>, StoreError> {
    Reader::new(store, ID, &ENTRIES).find(filter.filters(), Order::descending("published_at"), page).await
}
