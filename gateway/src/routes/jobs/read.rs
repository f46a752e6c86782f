//! Reading jobs: the board, one job, one's own.

use axum::extract::State;
use events::{
    Currency, Timestamp,
    ids::{AccountId, JobId},
    vocabulary::jobs::Budget,
};
use garde::Validate;
use projections::{
    board::{self, Board, BoardEntry, BoardFilter, BudgetFilter},
    job_detail::{self, JobDetail, JobDetails},
    my_jobs::{self, MyJob, MyJobs},
    status::JobStatus,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::JobPath;
use crate::{
    app::App,
    consistency::Seen,
    http::{
        Answer, Code, Document, Path, Problem, Query,
        cursor::{Items, Paging},
    },
    security::{MaybeCaller, Person},
};

/// What to look for on the board. All that is given must hold.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ListJobs {
    /// Words, all of which stand in title, skills or description.
    #[garde(length(chars, max = 200))]
    #[schemars(length(max = 200))]
    q: Option<String>,
    /// A skill's slug.
    #[garde(length(max = 64))]
    #[schemars(length(max = 64))]
    skill: Option<String>,
    /// A category's slug.
    #[garde(length(max = 64))]
    #[schemars(length(max = 64))]
    category: Option<String>,
    /// The client pays up to this much or more, minor units; needs `currency`.
    #[garde(range(min = 0))]
    #[schemars(range(min = 0))]
    min: Option<i64>,
    /// The client pays from this much or less, minor units; needs `currency`.
    #[garde(range(min = 0))]
    #[schemars(range(min = 0))]
    max: Option<i64>,
    /// The budget's currency.
    #[garde(skip)]
    currency: Option<Currency>,
    /// Where the job stands; `published` unless said otherwise. Drafts are on nobody's board.
    #[garde(skip)]
    status: Option<JobStatus>,
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

impl ListJobs {
    fn filter(&self) -> Result<BoardFilter, Problem> {
        let budget = match (self.currency, self.min, self.max) {
            (None, None, None) => None,
            (Some(currency), min, max) => Some(BudgetFilter { currency, min, max }),
            (None, _, _) => {
                return Err(Problem::new(
                    Code::InvalidQuery,
                    "min and max need currency: nothing is exchanged",
                ));
            }
        };
        Ok(BoardFilter {
            words: self.q.clone(),
            skill: self.skill.clone(),
            category: self.category.clone(),
            budget,
            status: self.status.unwrap_or(JobStatus::Published),
        })
    }
}

/// A job on the board.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BoardItem {
    /// The job.
    job: JobId,
    /// Who posted it.
    client: AccountId,
    /// One line.
    title: String,
    /// What is to be done.
    description: String,
    /// A slug.
    category: String,
    /// Slugs, sorted.
    skills: Vec<String>,
    /// What the client is ready to pay.
    budget: Budget,
    /// Where the job stands.
    status: JobStatus,
    /// When it was published (or reopened) last.
    published_at: Timestamp,
    /// Without an award, it expires then.
    expires_at: Timestamp,
}

impl From<BoardEntry> for BoardItem {
    fn from(entry: BoardEntry) -> Self {
        Self {
            job: entry.job,
            client: entry.client,
            title: entry.title,
            description: entry.description,
            category: entry.category,
            skills: entry.skills,
            budget: entry.budget,
            status: entry.status,
            published_at: entry.published_at,
            expires_at: entry.expires_at,
        }
    }
}

pub(super) async fn board(
    State(app): State<App>,
    seen: Seen,
    Query(asked): Query<ListJobs>,
) -> Result<Answer<Items<BoardItem>>, Problem> {
    let filter = asked.filter()?;
    let paging = Paging::new(&app.links, "board", "", &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &Board).await?;
    let page = board::search(&*app.store, &filter, request).await?;
    Ok(Answer::new(paging.answer(page.map(BoardItem::from))))
}

pub(super) async fn job(
    State(app): State<App>,
    MaybeCaller(caller): MaybeCaller,
    Path(JobPath { job }): Path<JobPath>,
    seen: Seen,
) -> Result<Document<JobDetail>, Problem> {
    app.catch_up(seen, &JobDetails).await?;
    let detail = job_detail::get(&*app.store, job).await?.ok_or_else(Problem::not_found)?;
    let client = caller.and_then(|caller| caller.actor.account()) == Some(detail.client);
    // What was never published is its client's own affair, even when it was cancelled since.
    if detail.published_at.is_none() && !client {
        return Err(Problem::not_found());
    }
    let version = detail.version;
    Ok(Document(Answer::new(detail).at(version)))
}

/// Which of one's jobs.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ListMyJobs {
    /// Where the job stands.
    #[garde(skip)]
    status: Option<JobStatus>,
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

pub(super) async fn mine(
    State(app): State<App>,
    person: Person,
    seen: Seen,
    Query(asked): Query<ListMyJobs>,
) -> Result<Answer<Items<MyJob>>, Problem> {
    let paging = Paging::new(&app.links, "my jobs", &person.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &MyJobs).await?;
    let page = my_jobs::list(&*app.store, person.id, asked.status, request).await?;
    Ok(Answer::new(paging.answer(page)))
}
