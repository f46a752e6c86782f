//! Dead letters: what cannot be applied, why, and another try.

use axum::extract::State;
use events::{
    Position, StreamId, Timestamp, Version,
    ids::{EventId, LetterId},
};
use garde::Validate;
use projections::Cursor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workers::{Letter, LettersCursor, RedriveError, dead_letters::LetterState};

use crate::{
    app::App,
    http::{Answer, Code, Path, Problem, Query, cursor::Items, cursor::Paging},
    security::OperatorCaller,
};

/// Which letters.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ListLetters {
    /// Of this projection only, by its name without version.
    #[garde(length(max = 64))]
    #[schemars(length(max = 64))]
    projection: Option<String>,
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

/// Which letter.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub struct LetterPath {
    /// The letter.
    letter: LetterId,
}

/// One blocked sequence of one projection.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LetterReport {
    /// The letter.
    letter: LetterId,
    /// Projection and version.
    projection: String,
    /// What is blocked: a stream, or what the projection says instead.
    sequence: String,
    /// Since when.
    parked_at: Timestamp,
    /// `parked`, `failed_again` or `partly_applied`.
    state: &'static str,
    /// Where the first event stands that was not applied.
    position: Position,
    /// Its stream.
    stream: StreamId,
    /// Its number in the stream.
    version: Version,
    /// Its own id; unknown when its commit cannot be read.
    event: Option<EventId>,
    /// Its CloudEvents type; unknown as above.
    event_type: Option<String>,
    /// Why it was not applied, from the outermost cause to the innermost.
    causes: Vec<String>,
    /// How often it was tried.
    attempts: u32,
    /// When it failed for the first time.
    first_failed_at: Timestamp,
    /// When it failed last.
    last_failed_at: Timestamp,
    /// Events that wait behind it.
    waiting_events: u64,
}

impl From<Letter> for LetterReport {
    fn from(letter: Letter) -> Self {
        let waiting_events = letter.waiting_events();
        let head = letter.head;
        let mut causes = vec![head.cause.message];
        causes.extend(head.cause.chain);
        Self {
            letter: letter.id,
            projection: letter.projection.to_string(),
            sequence: letter.sequence,
            parked_at: letter.parked_at,
            state: match letter.state {
                LetterState::Parked => "parked",
                LetterState::FailedAgain => "failed_again",
                LetterState::PartlyApplied => "partly_applied",
            },
            position: head.entry.position,
            stream: head.stream,
            version: head.entry.version,
            event: head.event_id,
            event_type: head.event_type,
            causes,
            attempts: head.attempts,
            first_failed_at: head.first_failed_at,
            last_failed_at: head.last_failed_at,
            waiting_events,
        }
    }
}

pub(super) async fn list(
    State(app): State<App>,
    _: OperatorCaller,
    Query(asked): Query<ListLetters>,
) -> Result<Answer<Items<LetterReport>>, Problem> {
    let paging = Paging::new(&app.links, "dead letters", "", &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    let after = request.after.map(|cursor| serde_json::from_str::<LettersCursor>(&cursor.key));
    let after = after.transpose().map_err(|error| Problem::internal(&error))?;
    let page = app.workers.letters(asked.projection.as_deref(), after, request.limit).await?;
    // The letters' cursor goes from projection to projection: it travels as the key of an ordinary one.
    let next = page.next.map(|cursor| serde_json::to_string(&cursor)).transpose();
    let next = next.map_err(|error| Problem::internal(&error))?.map(|key| Cursor { value: 0.into(), key });
    let items = page.items.into_iter().map(LetterReport::from).collect();
    Ok(Answer::new(paging.answer(projections::Page { items, next })))
}

pub(super) async fn one(
    State(app): State<App>,
    _: OperatorCaller,
    Path(LetterPath { letter }): Path<LetterPath>,
) -> Result<Answer<LetterReport>, Problem> {
    let found = app.workers.letter(letter).await?.ok_or_else(Problem::not_found)?;
    Ok(Answer::new(found.into()))
}

/// What a retry came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Retried {
    /// Events that left the letter.
    events: u64,
    /// The letter as it stands now; null when the sequence is unblocked.
    left: Option<LetterReport>,
}

pub(super) async fn retry(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    Path(LetterPath { letter }): Path<LetterPath>,
) -> Result<Answer<Retried>, Problem> {
    tracing::info!(%letter, by = %caller.actor, "retrying a dead letter");
    let retried = app.workers.retry(letter).await.map_err(|error| match &error {
        RedriveError::NotFound => Problem::not_found(),
        RedriveError::Stopped(_) => {
            Problem::new(Code::ProjectionStopped, "see /ops/projections for the reason")
        }
        RedriveError::Busy => Problem::new(Code::Overloaded, "too many letters are being retried"),
        RedriveError::NotHere(_) | RedriveError::Asked(_) | RedriveError::Unavailable(_) => {
            Problem::unavailable(&error)
        }
    })?;
    Ok(Answer::new(Retried { events: retried.events, left: retried.left.map(LetterReport::from) }))
}
