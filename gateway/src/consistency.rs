//! Reading your writes: a query that carries a consistency token waits until its read model has seen the command.

use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use projections::{DocumentKey, Projection, ProjectionId};
use tokio::time::Instant;
use workers::{Letter, dead_letters::LETTERS};

use crate::{
    app::App,
    http::{
        Code, Problem,
        answer::CONSISTENCY_HEADER,
        operation::{Input, Operation},
    },
    security::links::Place,
};

/// The checkpoint is looked at this often when nothing is heard of the projector.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The command a query must have seen, if the client says so.
#[derive(Clone, Copy, Debug)]
pub struct Seen(Option<Place>);

impl FromRequestParts<App> for Seen {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(CONSISTENCY_HEADER) else { return Ok(Self(None)) };
        let place =
            value.to_str().ok().and_then(|token| app.links.read_consistency_token(app.log.id(), token));
        match place {
            Some(place) => Ok(Self(Some(place))),
            None => Err(Problem::new(
                Code::InvalidConsistencyToken,
                "send back Guildhall-Consistency as this server gave it",
            )),
        }
    }
}

impl Input for Seen {
    fn describe(operation: &mut Operation) {
        operation.request_headers.push((
            "Guildhall-Consistency",
            "Of a command's answer: wait until the read model has seen that command.",
        ));
        operation.problems.extend([
            Code::InvalidConsistencyToken,
            Code::Lagging,
            Code::Parked,
            Code::Unavailable,
        ]);
    }
}

impl App {
    /// Waits until `projection` has seen the command that the client named.
    ///
    /// # Errors
    /// [`Code::Lagging`] when it does not within the bound; [`Code::Parked`] when a letter is in the way.
    pub async fn catch_up(&self, seen: Seen, projection: &dyn Projection) -> Result<(), Problem> {
        let Some(place) = seen.0 else { return Ok(()) };
        if !projection.topics().contains(&place.position.partition.service) {
            return Ok(());
        }
        let id = projection.id();
        let deadline = Instant::now() + Duration::from_millis(self.settings.http.consistency_wait_ms);
        let mut progress = self.workers.progress();
        loop {
            progress.mark_unchanged();
            let behind = self.behind(&id, place).await?;
            if behind <= 0 {
                return self.not_parked(&id, place).await;
            }
            if Instant::now() >= deadline {
                return Err(Problem::new(
                    Code::Lagging,
                    format!("{id} is {behind} commits behind; try again"),
                )
                .with("projection", id.to_string())
                .with("behind_commits", behind));
            }
            // Another process may run the projector: then nothing ticks here, and looking again is all there is.
            let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
            match tokio::time::timeout_at(look_again, progress.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(_)) => tokio::time::sleep_until(look_again).await,
            }
        }
    }

    /// Offsets between the projection's checkpoint and the command; zero or less when it has passed.
    async fn behind(&self, id: &ProjectionId, place: Place) -> Result<i64, Problem> {
        let checkpoint = self.store.checkpoint(id, place.position.partition).await?;
        let offset = checkpoint.filter(|checkpoint| checkpoint.log == self.log.id());
        Ok(place.position.offset
            - offset.map_or(events::stream::BEFORE_FIRST, |checkpoint| checkpoint.offset))
    }

    /// It was passed: but was it applied, or put aside behind an event of its stream that cannot be?
    async fn not_parked(&self, id: &ProjectionId, place: Place) -> Result<(), Problem> {
        let key = DocumentKey { collection: LETTERS.spec.name, key: place.stream.to_string() };
        let found = self.store.get_many(id, &[key]).await?.pop().flatten();
        let Some(letter) = found else { return Ok(()) };
        let letter: Letter = letter.parse().map_err(|error| Problem::internal(&error))?;
        let head = letter.head.entry.position;
        if head.partition != place.position.partition || head.offset > place.position.offset {
            return Ok(());
        }
        Err(Problem::new(Code::Parked, format!("{id} cannot go past the dead letter {}", letter.id))
            .with("projection", id.to_string())
            .with("letter", letter.id.to_string()))
    }
}
