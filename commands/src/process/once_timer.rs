//! A timer that runs at most once in the life of a run.

use events::Timestamp;
use serde::{Deserialize, Serialize};

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OnceTimer {
    /// It may be started yet.
    NotStarted,
    /// It fires when domain time has reached this.
    Running {
        /// See the variant.
        due_at: Timestamp,
    },
    /// It was stopped, or will never start.
    Over,
}

impl OnceTimer {
    /// It runs, and its time has come.
    pub(crate) fn is_due(self, now: Timestamp) -> bool {
        match self {
            Self::Running { due_at } => now >= due_at,
            Self::NotStarted | Self::Over => false,
        }
    }
}
