//! The clock of a development server, which can be moved forward. It does not exist in production.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Category, Id,
    ids::TestClockId,
    vocabulary::{
        admin::{TestClockEvent, TestClockMoved},
        identity::Role,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    aggregate::{Actor, Aggregate, Context},
    rejection::rejections,
};

/// A clock that nobody moves beyond this: 100 years, milliseconds.
const OFFSET_MS_MAX: i64 = 100 * 366 * 24 * 60 * 60 * 1000;

/// The one test clock there is.
pub fn the_test_clock() -> TestClockId {
    TestClockId::from_uuid(Uuid::nil())
}

/// How far domain time runs ahead of the machine's clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TestClock {
    offset_ms: i64,
}

impl TestClock {
    /// Milliseconds that domain time runs ahead; never shrinks.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms
    }
}

/// What can be asked of the test clock.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestClockCommand {
    /// Move domain time forward. By operators, administrators, services and the command line.
    Advance {
        /// Milliseconds, more than none.
        by_ms: i64,
    },
}

rejections! {
    /// Why the test clock says no.
    pub enum TestClockRejection {
        NotForward = Invalid "time_not_forward": "time moves forward only",
        TooFar = Invalid "time_too_far": "the test clock runs at most a hundred years ahead",
        NotAnOperator = Forbidden "not_an_operator": "only operators move the test clock",
    }
}

impl Aggregate for TestClock {
    const CATEGORY: Category = Category::TestClock;
    const FOLD_VERSION: u16 = 1;
    type Id = TestClockId;
    type Command = TestClockCommand;
    type Event = TestClockEvent;
    type Rejection = TestClockRejection;

    fn decide(
        &self,
        command: &TestClockCommand,
        context: &Context,
    ) -> Result<Vec<TestClockEvent>, TestClockRejection> {
        let TestClockCommand::Advance { by_ms } = command;
        let allowed = match &context.actor {
            Actor::Account { roles, .. } => roles.contains(&Role::Operator) || roles.contains(&Role::Admin),
            Actor::Service { .. } | Actor::System => true,
            Actor::Process { .. } => false,
        };
        if !allowed {
            return Err(TestClockRejection::NotAnOperator);
        }
        if *by_ms <= 0 {
            return Err(TestClockRejection::NotForward);
        }
        let offset_ms = self
            .offset_ms
            .checked_add(*by_ms)
            .filter(|offset| *offset <= OFFSET_MS_MAX)
            .ok_or(TestClockRejection::TooFar)?;
        Ok(vec![TestClockMoved { offset_ms }.into()])
    }

    fn evolve(&mut self, event: &TestClockEvent) {
        let TestClockEvent::TestClockMoved(TestClockMoved { offset_ms }) = event;
        self.offset_ms = *offset_ms;
    }
}
