//! Reading your writes: a query that carries a consistency token waits until its read model has seen the command, and a
//! command until this process's copy of the log has it, whichever server gave the token.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::extract::FromRequestParts;
use events::{Position, log::ReadLimit};
use http::request::Parts;
use projections::{DocumentKey, Projection, ProjectionId, Shape, builds};
use tokio::time::Instant;
use workers::{Letter, RunState, RunnerStatus, dead_letters::LETTERS};

use crate::{
    app::App,
    http::{
        Code, Problem,
        answer::CONSISTENCY_HEADER,
        operation::{Input, Operation},
    },
    security::links::{Place, Places},
};

/// The checkpoint is looked at this often when nothing is heard of the projector.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What the client has seen, as it says: this process's copy of the log has it, too, when this is extracted.
#[derive(Clone, Debug)]
pub struct Seen(Places);

impl Seen {
    /// Nothing.
    pub fn nothing() -> Self {
        Self(Places::default())
    }

    /// Reads the header, and waits until the copy has what it stands for.
    ///
    /// # Errors
    /// [`Code::InvalidConsistencyToken`]; [`Code::Lagging`] when the copy does not get there within the bound.
    pub(crate) async fn of(parts: &Parts, app: &App) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(CONSISTENCY_HEADER) else { return Ok(Self::nothing()) };
        let places =
            value.to_str().ok().and_then(|token| app.links.read_consistency_token(app.log.id(), token));
        let Some(places) = places else {
            return Err(Problem::new(
                Code::InvalidConsistencyToken,
                "send back Guildhall-Consistency as this server gave it",
            ));
        };
        app.await_copy(&places).await?;
        Ok(Self(places))
    }

    /// The token that stands for what the client had seen and for these places, too; none without a place.
    pub fn token_with(&self, app: &App, places: impl IntoIterator<Item = Place>) -> Option<String> {
        let (mut all, mut places) = (self.0.clone(), places.into_iter().peekable());
        places.peek()?;
        places.for_each(|place| all.note(place));
        Some(app.links.consistency_token(app.log.id(), &all))
    }
}

impl FromRequestParts<App> for Seen {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Self::of(parts, app).await
    }
}

impl Input for Seen {
    fn describe(operation: &mut Operation) {
        describe_header(operation);
        operation.problems.extend([Code::Parked, Code::Unavailable]);
    }
}

/// What every operation that takes the header says of it.
pub(crate) fn describe_header(operation: &mut Operation) {
    let command = operation.method != http::Method::GET;
    let meaning = if command {
        "Of an earlier answer, of whichever server: wait until this server knows of it, too."
    } else {
        "Of an earlier answer: wait until the read model has seen that command."
    };
    operation.request_headers.push(("Guildhall-Consistency", meaning));
    operation.problems.extend([Code::InvalidConsistencyToken, Code::Lagging]);
}

impl App {
    /// Waits until this process's copy of the log has all that the client has seen.
    async fn await_copy(&self, places: &Places) -> Result<(), Problem> {
        let deadline = Instant::now() + Duration::from_millis(self.settings.http.consistency_wait_ms);
        let mut changes = self.log.changes();
        for place in places.iter() {
            let Position { partition, offset } = place.position;
            loop {
                changes.mark_unchanged();
                let end = self.log.end(partition).map_err(|error| Problem::unavailable(&error))?;
                if end >= offset {
                    break;
                }
                let sees_more = tokio::time::timeout_at(deadline, changes.changed()).await;
                if !matches!(sees_more, Ok(Ok(()))) {
                    return Err(Problem::new(Code::Lagging, "the copy of the log is behind; try again"));
                }
            }
        }
        Ok(())
    }

    /// Waits until `projection` has seen what the client has.
    ///
    /// # Errors
    /// [`Code::Lagging`] when it does not within the bound; [`Code::Parked`] when a letter is in the way.
    pub async fn catch_up(&self, seen: Seen, projection: &dyn Projection) -> Result<(), Problem> {
        let deadline = Instant::now() + Duration::from_millis(self.settings.http.consistency_wait_ms);
        for place in seen.0.iter() {
            if projection.topics().contains(&place.position.partition.service) {
                self.catch_up_with(place, projection, deadline).await?;
            }
        }
        Ok(())
    }

    async fn catch_up_with(
        &self,
        place: Place,
        projection: &dyn Projection,
        deadline: Instant,
    ) -> Result<(), Problem> {
        let mut progress = self.workers.progress();
        loop {
            progress.mark_unchanged();
            // Read each time: a swap meanwhile is to another build, which is as far or further.
            let live = builds::live_of(self.store.as_ref(), projection).await?;
            let behind = self.behind(&live, place).await?;
            if behind <= 0 {
                return self.not_parked(&live, projection, place).await;
            }
            if Instant::now() >= deadline {
                return Err(self.lagging(&live, behind));
            }
            // Another process may run the projector: then nothing ticks here, and looking again is all there is.
            let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
            match tokio::time::timeout_at(look_again, progress.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(_)) => tokio::time::sleep_until(look_again).await,
            }
        }
    }

    fn lagging(&self, live: &ProjectionId, behind: i64) -> Problem {
        let of_it = |runner: &RunnerStatus| runner.projection == live.to_string();
        let has_stopped = |runner: &RunnerStatus| matches!(runner.state, RunState::Stopped { .. });
        let stopped = self.workers.projections().iter().any(|runner| of_it(runner) && has_stopped(runner));
        let why = if stopped { ", and its projector has stopped" } else { "" };
        Problem::new(Code::Lagging, format!("{live} is {behind} commits behind{why}; try again"))
            .with("projection", live.to_string())
            .with("behind_commits", behind)
    }

    /// Offsets between the projection's checkpoint and the command; zero or less when it has passed.
    async fn behind(&self, id: &ProjectionId, place: Place) -> Result<i64, Problem> {
        let checkpoint = self.store.checkpoint(id, place.position.partition).await?;
        let offset = checkpoint.filter(|checkpoint| checkpoint.log == self.log.id());
        Ok(place.position.offset
            - offset.map_or(events::stream::BEFORE_FIRST, |checkpoint| checkpoint.offset))
    }

    /// It was passed: but was it applied, or put aside behind an event of its sequence that cannot be?
    async fn not_parked(
        &self,
        id: &ProjectionId,
        projection: &dyn Projection,
        place: Place,
    ) -> Result<(), Problem> {
        let mut sequences = BTreeSet::from([place.stream.to_string()]);
        if projection.shape() == Shape::Joined {
            sequences.extend(self.sequences(projection, place.position).await?);
        }
        let key = |key| DocumentKey { collection: LETTERS.spec.name, key };
        let keys: Vec<DocumentKey> = sequences.into_iter().map(key).collect();
        for found in self.store.get_many(id, &keys).await?.into_iter().flatten() {
            let letter: Letter = found.parse().map_err(|error| Problem::internal(&error))?;
            if has_parked(&letter, place.position) {
                let detail = format!("{id} cannot go past the dead letter {}", letter.id);
                return Err(Problem::new(Code::Parked, detail)
                    .with("projection", id.to_string())
                    .with("letter", letter.id.to_string()));
            }
        }
        Ok(())
    }

    /// The sequences of the events at `position`, which this copy of the log has.
    async fn sequences(
        &self,
        projection: &dyn Projection,
        position: Position,
    ) -> Result<Vec<String>, Problem> {
        let log = Arc::clone(&self.log);
        let one = ReadLimit { commits: 1, bytes: 1 };
        let read = move || log.read(position.partition, position.offset - 1, one);
        let commits = tokio::task::spawn_blocking(read).await.map_err(|error| Problem::internal(&error))?;
        let commits = commits.map_err(|error| Problem::unavailable(&error))?;
        let events = commits.iter().filter_map(|commit| commit.events().ok()).flatten().flatten();
        Ok(events.map(|event| projection.sequence_key(&event)).collect())
    }
}

/// Whether what stands at `position` is the letter's head or waits behind it.
fn has_parked(letter: &Letter, position: Position) -> bool {
    let head = letter.head.entry.position;
    if head.partition == position.partition {
        return head.offset <= position.offset;
    }
    let overflows = letter.overflow.iter().map(|overflow| overflow.first);
    letter.followers.iter().any(|entry| entry.position == position)
        || overflows
            .into_iter()
            .any(|first| first.partition == position.partition && first.offset <= position.offset)
}
