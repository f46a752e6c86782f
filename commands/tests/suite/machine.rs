//! One aggregate under arbitrary commands: what every property test of a state machine has in common.

use std::{collections::BTreeSet, sync::Arc};

use commands::{Actor, Aggregate, Context, Policy, Rejection};
use events::Timestamp;
use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use uuid::Uuid;

use super::{
    fixtures::{command_id, noon},
    scenario::{assert_survives_a_snapshot, fold},
};

/// An aggregate with its history and the time.
pub struct Machine<A: Aggregate> {
    pub state: A,
    pub history: Vec<A::Event>,
    pub now: Timestamp,
    pub policy: Arc<Policy>,
    commands: u128,
}

/// An event, with the states before and after it.
pub type Folded<A> = (A, <A as Aggregate>::Event, A);

impl<A: Aggregate + PartialEq> Machine<A> {
    pub fn new(policy: Policy) -> Self {
        Self { state: A::default(), history: Vec::new(), now: noon(), policy: Arc::new(policy), commands: 0 }
    }

    /// Asks, and folds the answer; or the code of the refusal.
    pub fn ask(&mut self, command: &A::Command, actor: Actor) -> Result<Vec<Folded<A>>, &'static str> {
        self.commands += 1;
        let context = Context {
            now: self.now,
            actor,
            command_id: command_id(self.commands),
            own: Uuid::from_u128(1),
            policy: Arc::clone(&self.policy),
        };
        let events = self.state.decide(command, &context).map_err(|rejection| rejection.code())?;
        let mut steps = Vec::new();
        for event in events {
            let before = self.state.clone();
            self.state.evolve(&event);
            steps.push((before, event.clone(), self.state.clone()));
            self.history.push(event);
        }
        Ok(steps)
    }

    /// The history alone leads to the state, in one go or over snapshots.
    pub fn assert_folds(&self) -> Result<(), TestCaseError> {
        proptest::prop_assert!(fold::<A>(self.history.clone()) == self.state);
        assert_survives_a_snapshot(&self.state);
        let mut over_snapshots = A::default();
        for event in &self.history {
            let written = serde_json::to_string(&over_snapshots).expect("a state serialises");
            over_snapshots = serde_json::from_str(&written).expect("a state deserialises");
            over_snapshots.evolve(event);
        }
        proptest::prop_assert!(over_snapshots == self.state);
        Ok(())
    }
}

/// Runs `test` on other cases each time.
pub fn explore<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(strategy, test).unwrap_or_else(|failure| panic!("{failure}"));
}

/// Whether `test` fails for one of the same cases each time.
pub fn is_refuted<S: Strategy>(
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) -> bool {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng).run(strategy, test).is_err()
}

/// Runs `test` on the same cases each time and gathers what it observed.
pub fn survey<S: Strategy, T: Ord>(
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<BTreeSet<T>, TestCaseError>,
) -> BTreeSet<T> {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let observed = std::cell::RefCell::new(BTreeSet::new());
    let keep = |case| test(case).map(|mut seen| observed.borrow_mut().append(&mut seen));
    TestRunner::new_with_rng(config, rng).run(strategy, keep).unwrap_or_else(|failure| panic!("{failure}"));
    observed.into_inner()
}
