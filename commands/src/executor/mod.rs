//! The executor: the only write path. Load, decide, append, answer.

use std::sync::Arc;

use events::{
    Position, Version,
    envelope::CommandHash,
    ids::{CommandId, EventId},
};

use crate::aggregate::{Actor, Aggregate};

/// A wish to change one aggregate.
#[derive(Clone, Debug)]
pub struct Request<A: Aggregate> {
    /// Which aggregate. For a new one: derived from the command id.
    pub id: A::Id,
    /// What is asked of it.
    pub command: A::Command,
    /// The same at every repetition.
    pub command_id: CommandId,
    /// HMAC of the canonical form of what was asked: the same id with another hash is refused.
    pub command_hash: CommandHash,
    /// Who asks.
    pub actor: Actor,
    /// `If-Match`: decide only when the aggregate stands at this version, at the command's place in its batch.
    pub expected: Option<Version>,
    /// See [`events::CommandStamp::correlation_id`].
    pub correlation_id: String,
    /// See [`events::CommandStamp::causation_id`].
    pub causation_id: Option<EventId>,
    /// See [`events::CommandStamp::traceparent`].
    pub traceparent: Option<String>,
}

/// The command was carried out, now or at an earlier repetition, or had nothing (left) to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<E> {
    /// The aggregate's version after the command.
    pub version: Version,
    /// Where its commit stands; `None` when nothing was written.
    pub position: Option<Position>,
    /// What it led to, in order; empty when there was nothing to do.
    pub events: Vec<E>,
    /// An earlier repetition had carried it out.
    pub repeated: bool,
}

/// An aggregate as it stands in this process' copy of the log.
#[derive(Clone, Debug)]
pub struct Loaded<A> {
    /// Its state; the default when the stream has no event.
    pub state: Arc<A>,
    /// Its version; 0 when the stream has no event.
    pub version: Version,
}

/// Why a command was not carried out. The three never merge.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommandError<R> {
    /// The rules said no, on judged state.
    #[error(transparent)]
    Rejected(R),
    /// Somebody else was there, or was here before.
    #[error(transparent)]
    Conflict(Conflict),
    /// The machinery cannot answer now.
    #[error(transparent)]
    Outage(Outage),
}

/// Somebody else was there, or was here before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// `If-Match` asked for another version.
    #[error("the version is {actual}, not {expected}")]
    Version {
        /// Asked for.
        expected: Version,
        /// Found.
        actual: Version,
    },
    /// Others kept winning the stream, a bounded number of times.
    #[error("the stream is contended")]
    Contended,
    /// The same command id with another content.
    #[error("this command id was used for another command")]
    CommandReused,
}

/// The machinery cannot answer now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// The log takes no commits; the command was not carried out.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// It may have been carried out: repeat it with the same command id.
    #[error("in doubt, repeat with the same command id: {0}")]
    InDoubt(String),
    /// Too many commands wait; the command was not carried out.
    #[error("too many commands wait")]
    Overloaded,
    /// A newer release wrote an event this one does not know: the command was not carried out.
    #[error("the stream holds an event this release does not know: {0}")]
    UnknownEvent(String),
    /// The log cannot be read at this stream.
    #[error("the log cannot be read: {0}")]
    Damaged(String),
    /// What the command decided does not fit into one commit.
    #[error("the command's events have {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Its events' size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// The only write path. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Executor {}

impl Executor {
    /// Carries out a command: answered when what it decided (or what its answer rests on) has been judged.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn execute<A: Aggregate>(
        &self,
        _request: Request<A>,
    ) -> Result<Outcome<A::Event>, CommandError<A::Rejection>> {
        Err(CommandError::Outage(Outage::Unavailable("not there yet".into())))
    }

    /// The aggregate as this process' copy of the log knows it (with several processes: as stale as the copy).
    ///
    /// # Errors
    /// [`Outage::UnknownEvent`], [`Outage::Damaged`].
    pub async fn load<A: Aggregate>(&self, _id: A::Id) -> Result<Loaded<A>, Outage> {
        Err(Outage::Unavailable("not there yet".into()))
    }
}
