//! What a projection is.

use std::{fmt, str::FromStr};

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

    /// The first build of this version.
    fn id(&self) -> ProjectionId {
        ProjectionId::new(self.name(), self.version())
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

/// One build of one version of a projection: what has documents, letters, turns and checkpoints of its own. As text:
/// `board_v1`, or `board_v1_b2` for a build beside the first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProjectionId {
    /// See [`Projection::name`].
    pub name: String,
    /// See [`Projection::version`].
    pub version: u32,
    /// Counts the rebuilds; 0 is what a read store begins with.
    #[serde(default, skip_serializing_if = "is_first")]
    pub build: u32,
}

fn is_first(build: &u32) -> bool {
    *build == 0
}

impl ProjectionId {
    /// The first build of this version.
    pub fn new(name: impl Into<String>, version: u32) -> Self {
        Self { name: name.into(), version, build: 0 }
    }

    /// Another build of the same version.
    #[must_use]
    pub fn with_build(&self, build: u32) -> Self {
        Self { build, ..self.clone() }
    }
}

impl fmt::Display for ProjectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_v{}", self.name, self.version)?;
        if self.build > 0 { write!(f, "_b{}", self.build) } else { Ok(()) }
    }
}

/// The text names no build of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a build is written NAME_vVERSION, or NAME_vVERSION_bBUILD")]
pub struct NoProjectionId;

impl FromStr for ProjectionId {
    type Err = NoProjectionId;

    /// Reads what [`ProjectionId`] prints.
    fn from_str(text: &str) -> Result<Self, NoProjectionId> {
        let (name, numbers) = text.rsplit_once("_v").ok_or(NoProjectionId)?;
        let (version, build) = numbers.split_once("_b").unwrap_or((numbers, "0"));
        let number = |digits: &str| digits.parse::<u32>().map_err(|_| NoProjectionId);
        let id = Self { name: name.to_owned(), version: number(version)?, build: number(build)? };
        // One text for each build: no signs, no leading zeros, no `_b0`.
        if id.name.is_empty() || id.to_string() != text { Err(NoProjectionId) } else { Ok(id) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_reads_as_it_is_printed_and_in_no_other_way() {
        for text in ["board_v1", "board_v1_b2", "a_v2_v10", "bids_by_job_v3_b12"] {
            assert_eq!(text.parse::<ProjectionId>().map(|id| id.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("board_v1_b2".parse(), Ok(ProjectionId::new("board", 1).with_build(2)));
        for text in [
            "board",
            "_v1",
            "board_v",
            "board_v01",
            "board_v1_b0",
            "board_v+1",
            "board_v1_b",
            "board_v1_b2_b3",
        ] {
            assert_eq!(text.parse::<ProjectionId>(), Err(NoProjectionId), "{text}");
        }
    }
}
