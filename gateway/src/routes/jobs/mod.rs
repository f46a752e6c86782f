//! Jobs: drafted, edited, published and cancelled by their client; read by everybody once published.

mod read;
mod terms;

use axum::extract::State;
use commands::{
    CommandError, Conflict,
    job::{Job, JobCommand, JobRejection},
};
use events::{Version, ids::JobId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    commanding::{NOTHING, Order},
    http::{Answer, Body, Created, IfMatch, Intent, Path, Problem, Route, get, patch, post},
    security::Caller,
};
use terms::{EditJob, NewJob};

/// How often an edit that did not ask for a version is decided on newer terms.
const EDIT_ATTEMPTS: usize = 8;

/// Jobs.
pub fn routes() -> Vec<Route> {
    vec![
        post("/api/v1/jobs", create).named("createJob", "Draft a job").rejects(),
        patch("/api/v1/jobs/{job}", edit)
            .named("editJob", "Change some of the terms; what is left out stays as it is")
            .rejects(),
        post("/api/v1/jobs/{job}/publish", publish).named("publishJob", "Let workers bid").rejects(),
        post("/api/v1/jobs/{job}/cancel", cancel)
            .named("cancelJob", "Call a job without an award off")
            .rejects(),
        get("/api/v1/jobs", read::board).named("listJobs", "The board: published jobs, newest first"),
        get("/api/v1/jobs/{job}", read::job).named("getJob", "One job; a draft for its client only"),
        get("/api/v1/me/jobs", read::mine).named("listMyJobs", "My jobs, drafts included, newest first"),
    ]
}

/// Which job.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub struct JobPath {
    /// The job.
    pub job: JobId,
}

/// What became of a job.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JobChanged {
    /// The job.
    job: JobId,
    /// Its version after the command.
    version: Version,
}

async fn create(
    State(app): State<App>,
    caller: Caller,
    intent: Intent,
    Body(asked): Body<NewJob>,
) -> Result<Created<JobChanged>, Problem> {
    let command_id = intent.command_id(&caller.actor);
    let job: JobId = command_id.derive(0);
    let outcome = app
        .command::<Job, _>(Order {
            intent: &intent,
            actor: &caller.actor,
            command_id,
            id: job,
            command: JobCommand::Create { terms: asked.terms() },
            expected: None,
            asked: &asked,
        })
        .await?;
    let token = app.consistency_token::<Job>(&intent.seen, job, &outcome);
    let answer =
        Answer::new(JobChanged { job, version: outcome.version }).at(outcome.version).consistent(token);
    Ok(Created::new(format!("/api/v1/jobs/{job}"), answer))
}

async fn edit(
    State(app): State<App>,
    caller: Caller,
    Path(JobPath { job }): Path<JobPath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
    Body(asked): Body<EditJob>,
) -> Result<Answer<JobChanged>, Problem> {
    let command_id = intent.command_id(&caller.actor);
    for _ in 0..EDIT_ATTEMPTS {
        let loaded = app.executor.load::<Job>(job).await?;
        let visible = loaded.state.terms().filter(|_| loaded.state.is_visible_to(&caller.actor));
        let terms = asked.merged(visible.ok_or_else(|| Problem::rejected(&JobRejection::NotFound))?);
        let outcome = app.command::<Job, _>(Order {
            intent: &intent,
            actor: &caller.actor,
            command_id,
            id: job,
            command: JobCommand::Edit { terms },
            // What was merged holds only for the terms it was merged with.
            expected: expected.or(Some(loaded.version)),
            asked: &asked,
        });
        match outcome.await {
            Err(CommandError::Conflict(Conflict::Version { .. })) if expected.is_none() => {}
            Err(error) => return Err(error.into()),
            Ok(outcome) => {
                let token = app.consistency_token::<Job>(&intent.seen, job, &outcome);
                let changed = JobChanged { job, version: outcome.version };
                return Ok(Answer::new(changed).at(outcome.version).consistent(token));
            }
        }
    }
    Err(Conflict::Contended.into())
}

async fn publish(
    State(app): State<App>,
    caller: Caller,
    Path(JobPath { job }): Path<JobPath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
) -> Result<Answer<JobChanged>, Problem> {
    plain(&app, &caller, job, expected, &intent, JobCommand::Publish).await
}

async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(JobPath { job }): Path<JobPath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
) -> Result<Answer<JobChanged>, Problem> {
    plain(&app, &caller, job, expected, &intent, JobCommand::Cancel).await
}

/// A command without a body.
async fn plain(
    app: &App,
    caller: &Caller,
    job: JobId,
    expected: Option<Version>,
    intent: &Intent,
    command: JobCommand,
) -> Result<Answer<JobChanged>, Problem> {
    let outcome = app
        .command::<Job, _>(Order {
            intent,
            actor: &caller.actor,
            command_id: intent.command_id(&caller.actor),
            id: job,
            command,
            expected,
            asked: &NOTHING,
        })
        .await?;
    let token = app.consistency_token::<Job>(&intent.seen, job, &outcome);
    Ok(Answer::new(JobChanged { job, version: outcome.version }).at(outcome.version).consistent(token))
}
