//! How a rule is written down: `given(history).when(command).by(actor).at(time).then(events)`.
//!
//! Every scenario also checks what holds of all aggregates: the same question gets the same answer, and a state that
//! was kept as a snapshot is the state.

use std::sync::Arc;

use commands::{Actor, Aggregate, Context, Policy, Rejection, RejectionKind};
use events::{Id, Timestamp};
use uuid::Uuid;

use super::fixtures::{command_id, noon};

/// An aggregate with a history.
pub struct Given<A> {
    state: A,
}

/// What happened before.
pub fn given<A: Aggregate>(history: impl IntoIterator<Item = A::Event>) -> Given<A> {
    Given { state: fold(history) }
}

/// An aggregate without a history.
pub fn given_nothing<A: Aggregate>() -> Given<A> {
    Given { state: A::default() }
}

/// The state that a history leads to.
pub fn fold<A: Aggregate>(history: impl IntoIterator<Item = A::Event>) -> A {
    let mut state = A::default();
    history.into_iter().for_each(|event| state.evolve(&event));
    assert_survives_a_snapshot(&state);
    state
}

/// A state is the same after it was written down and read again.
pub fn assert_survives_a_snapshot<A: Aggregate>(state: &A) {
    let written = serde_json::to_string(state).expect("a state serialises");
    let read: A = serde_json::from_str(&written).expect("a state deserialises");
    assert_eq!(serde_json::to_string(&read).expect("a state serialises"), written);
}

impl<A: Aggregate> Given<A> {
    /// What is asked. Unless said otherwise: by the machinery, at noon, with command 1, of aggregate 1.
    pub fn when(self, command: A::Command) -> When<A> {
        let context = Context {
            now: noon(),
            actor: Actor::System,
            command_id: command_id(1),
            own: Uuid::from_u128(1),
            policy: Arc::new(Policy::default()),
        };
        When { state: self.state, command, context }
    }
}

/// A question to an aggregate.
pub struct When<A: Aggregate> {
    state: A,
    command: A::Command,
    context: Context,
}

impl<A: Aggregate> When<A> {
    /// Who asks.
    pub fn by(mut self, actor: Actor) -> Self {
        self.context.actor = actor;
        self
    }

    /// When.
    pub fn at(mut self, now: Timestamp) -> Self {
        self.context.now = now;
        self
    }

    /// Of which aggregate.
    pub fn of(mut self, id: A::Id) -> Self {
        self.context.own = id.uuid();
        self
    }

    /// Under which settings.
    pub fn under(mut self, policy: Policy) -> Self {
        self.context.policy = Arc::new(policy);
        self
    }

    /// The answer.
    pub fn decide(self) -> Result<Vec<A::Event>, A::Rejection> {
        let first = self.state.decide(&self.command, &self.context);
        let second = self.state.decide(&self.command, &self.context);
        match (&first, &second) {
            (Ok(first), Ok(second)) => assert_eq!(first, second, "a decision is a function"),
            (Err(first), Err(second)) => assert_eq!(first.code(), second.code()),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => panic!("a decision is a function"),
        }
        if let Ok(events) = &first {
            let mut state = self.state;
            events.iter().for_each(|event| state.evolve(event));
            assert_survives_a_snapshot(&state);
        }
        first
    }

    /// These events follow.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) {
        match self.decide() {
            Ok(events) => assert_eq!(events, expected.into_iter().collect::<Vec<_>>()),
            Err(rejection) => panic!("refused: {}", rejection.code()),
        }
    }

    /// There is nothing (left) to do.
    #[track_caller]
    pub fn then_nothing(self) {
        self.then([]);
    }

    /// The rules say no, with this code and of this kind.
    #[track_caller]
    pub fn then_rejected(self, kind: RejectionKind, code: &str) {
        match self.decide() {
            Ok(events) => panic!("not refused, but: {events:?}"),
            Err(rejection) => assert_eq!((rejection.code(), rejection.kind()), (code, kind)),
        }
    }

    /// The rules say no, with this code.
    #[track_caller]
    pub fn then_forbidden(self, code: &str) {
        self.then_rejected(RejectionKind::Forbidden, code);
    }

    /// The state does not allow it, with this code.
    #[track_caller]
    pub fn then_too_late(self, code: &str) {
        self.then_rejected(RejectionKind::State, code);
    }

    /// The command makes no sense, with this code.
    #[track_caller]
    pub fn then_invalid(self, code: &str) {
        self.then_rejected(RejectionKind::Invalid, code);
    }

    /// There is no such thing, with this code.
    #[track_caller]
    pub fn then_not_found(self, code: &str) {
        self.then_rejected(RejectionKind::NotFound, code);
    }
}
