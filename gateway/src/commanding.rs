//! From a request to a command: who, what, at which version, under which id; and back to an answer.

use commands::{Actor, Aggregate, CommandError, Outcome, Request};
use events::{StreamId, Version, ids::CommandId};
use serde::Serialize;

use crate::{app::App, consistency::Seen, http::Intent, security::links::Place};

/// A command as a client asks for it.
#[derive(Debug)]
pub struct Order<'a, A: Aggregate, B> {
    /// What the client said beside the body.
    pub intent: &'a Intent,
    /// Who asks.
    pub actor: &'a Actor,
    /// See [`Intent::command_id`].
    pub command_id: CommandId,
    /// Which aggregate.
    pub id: A::Id,
    /// What is asked of it.
    pub command: A::Command,
    /// `If-Match`.
    pub expected: Option<Version>,
    /// The body, secrets left out: what a repetition must repeat.
    pub asked: &'a B,
}

/// The body of a command that needs none.
pub const NOTHING: () = ();

impl App {
    /// Carries out a command.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn command<A: Aggregate, B: Serialize>(
        &self,
        order: Order<'_, A, B>,
    ) -> Result<Outcome<A::Event>, CommandError<A::Rejection>> {
        let canonical =
            serde_json::to_vec(order.asked).expect("a request's body serialises: it was read from JSON");
        let context = &order.intent.context;
        let request = Request::<A> {
            id: order.id,
            command: order.command,
            command_id: order.command_id,
            command_hash: self.keys.command_hash(&context.operation, &canonical),
            actor: order.actor.clone(),
            expected: order.expected,
            correlation_id: context.correlation_id.clone(),
            causation_id: None,
            traceparent: Some(context.traceparent.clone()),
        };
        self.executor.execute(request).await
    }

    /// The token that lets others wait for what a command did and for what its client had seen; none when it wrote
    /// nothing.
    pub fn consistency_token<A: Aggregate>(
        &self,
        seen: &Seen,
        id: A::Id,
        outcome: &Outcome<A::Event>,
    ) -> Option<String> {
        seen.token_with(self, place_of::<A>(id, outcome))
    }
}

/// Where the commit of a command stands; none when it wrote nothing.
pub fn place_of<A: Aggregate>(id: A::Id, outcome: &Outcome<A::Event>) -> Option<Place> {
    Some(Place { position: outcome.position?, stream: StreamId::new(A::CATEGORY, id) })
}
