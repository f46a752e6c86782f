//! What a projection is.

use std::fmt;

use events::{RecordedEvent, Service};
use serde::{Deserialize, Serialize};

use crate::{
    store::CollectionSpec,
    view::{DocumentKey, View},
};

/// A read model in the making: folds events into documents, purely.
pub trait Projection: Send + Sync + 'static {
    /// Its name, `snake_case`, the same in every version.
    fn name(&self) -> &'static str;

    /// Counts the folds there have been: a changed `apply` is a new one, and is built beside the old one.
    fn version(&self) -> u32;

    /// Whose events it wants to see.
    fn topics(&self) -> &'static [Service];

    /// Whether its documents are fed by one stream each.
    fn shape(&self) -> Shape;

    /// Where its documents are kept, with the declared indexes.
    fn collections(&self) -> &'static [CollectionSpec];

    /// What is blocked when an event cannot be applied: by default the stream; in a joined projection the document.
    fn sequence_key(&self, event: &RecordedEvent) -> String {
        event.stream.to_string()
    }

    /// Stop at the first event that cannot be applied, instead of parking it.
    fn halt_on_failure(&self) -> bool {
        false
    }

    /// Folds one event into the view. Called again from the start, on the same state, when a document it asked for
    /// had to be loaded first: so it must be a function of the event and the view alone.
    ///
    /// # Errors
    /// [`ApplyError::Missing`] comes from [`View::get`] and is passed on with `?`. [`ApplyError::Poison`] says that
    /// this event cannot be applied to what is there.
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError>;

    /// Its identity.
    fn id(&self) -> ProjectionId {
        ProjectionId { name: self.name().to_owned(), version: self.version() }
    }
}

/// How documents and streams relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each document is fed by one stream: partitions are independent.
    Partitioned,
    /// Documents are fed by several streams: every stream writes only its own section, and everything else is an
    /// order-free function of the sections.
    Joined,
}

/// One version of one projection. As text: `board_v1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProjectionId {
    /// See [`Projection::name`].
    pub name: String,
    /// See [`Projection::version`].
    pub version: u32,
}

impl fmt::Display for ProjectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_v{}", self.name, self.version)
    }
}

/// What became of an event that could be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was folded in.
    Changed,
    /// It does not concern this projection, for this (bounded, constant) reason.
    Skipped(&'static str),
}

/// Why an event was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A document is needed that has not been loaded: load it and apply the event again.
    #[error("the document {0:?} has to be loaded first")]
    Missing(DocumentKey),
    /// The event cannot be applied to what is there.
    #[error("{0}")]
    Poison(String),
}

impl ApplyError {
    /// The event needs a document that is not there: history and read model do not fit together.
    pub fn absent(what: &str, key: &str) -> Self {
        Self::Poison(format!("there is no {what} {key}"))
    }
}
