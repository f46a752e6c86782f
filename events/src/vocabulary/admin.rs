//! What happens to Guildhall itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::vocabulary;

/// Domain time runs `offset_ms` ahead of the machine's clock from now on. Only in development.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestClockMoved {
    /// Milliseconds, never less than before: time does not run backwards.
    pub offset_ms: i64,
}

vocabulary! {
    /// The one stream that moves domain time.
    pub enum TestClockEvent in TestClock { TestClockMoved = 1 }
}
