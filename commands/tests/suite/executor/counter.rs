//! A small aggregate to execute commands on, and the harness around it.

use std::sync::Arc;

use commands::{
    Actor, Aggregate, CommandError, Context, Executor, ExecutorSettings, Outcome, Policy, Rejection,
    RejectionKind, Request,
};
use events::{
    Category, Version,
    envelope::CommandHash,
    ids::{CommandId, JobId},
    time::DomainClock,
    vocabulary::admin::{TestClockEvent, TestClockMoved},
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::scripted_log::ScriptedLog;

/// Counts up to [`LIMIT`], in the vocabulary of the test clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    pub total: i64,
}

pub const LIMIT: i64 = 100;

#[derive(Clone, Debug, PartialEq)]
pub enum Count {
    /// One event; none for 0; refused beyond the limit.
    Add(i64),
    /// So many events of one each.
    AddOneByOne(i64),
    Panic,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("beyond the limit")]
pub struct BeyondLimit;

impl Rejection for BeyondLimit {
    fn code(&self) -> &'static str {
        "beyond_limit"
    }
    fn kind(&self) -> RejectionKind {
        RejectionKind::State
    }
}

impl Aggregate for Counter {
    const CATEGORY: Category = Category::TestClock;
    const FOLD_VERSION: u16 = 1;
    type Id = JobId;
    type Command = Count;
    type Event = TestClockEvent;
    type Rejection = BeyondLimit;

    fn decide(&self, command: &Count, _: &Context) -> Result<Vec<TestClockEvent>, BeyondLimit> {
        let moved = |offset_ms| TestClockEvent::from(TestClockMoved { offset_ms });
        match command {
            Count::Add(0) => Ok(vec![]),
            Count::Add(by) if self.total + by > LIMIT => Err(BeyondLimit),
            Count::Add(by) => Ok(vec![moved(self.total + by)]),
            Count::AddOneByOne(times) => Ok((1..=*times).map(|n| moved(self.total + n)).collect()),
            Count::Panic => panic!("asked to"),
        }
    }

    fn evolve(&mut self, event: &TestClockEvent) {
        let TestClockEvent::TestClockMoved(TestClockMoved { offset_ms }) = event;
        self.total = *offset_ms;
    }
}

pub type Answered = Result<Outcome<TestClockEvent>, CommandError<BeyondLimit>>;

/// A request with an id and a hash of its own.
pub fn request(id: JobId, command: Count) -> Request<Counter> {
    let command_id = CommandId::fresh();
    let hash = events::ids::hash_parts(&[format!("{command:?}").as_bytes()]);
    Request {
        id,
        command,
        command_id,
        command_hash: CommandHash(hash),
        actor: Actor::System,
        expected: None,
        correlation_id: "test".into(),
        causation_id: None,
        traceparent: None,
    }
}

pub fn expecting(id: JobId, expected: Version, command: Count) -> Request<Counter> {
    Request { expected: Some(expected), ..request(id, command) }
}

/// An executor over a log whose verdicts the test gives out.
pub struct Harness {
    pub log: Arc<ScriptedLog>,
    pub executor: Executor,
    pub id: JobId,
}

impl Harness {
    pub fn new() -> Self {
        Self::with(ScriptedLog::new(usize::MAX), ExecutorSettings::default())
    }

    pub fn with(log: ScriptedLog, settings: ExecutorSettings) -> Self {
        let log = Arc::new(log);
        let clock = DomainClock::default();
        let executor = Executor::start(
            Arc::<ScriptedLog>::clone(&log),
            Arc::new(Policy::default()),
            clock,
            None,
            settings,
        );
        Self { log, executor, id: JobId::fresh() }
    }

    /// Sends a command off; the handle gives its answer.
    pub fn send(&self, request: Request<Counter>) -> JoinHandle<Answered> {
        let executor = self.executor.clone();
        tokio::spawn(async move { executor.execute(request).await })
    }

    /// Sends commands off in this order, so that they wait behind each other.
    pub async fn send_all(&self, commands: Vec<Count>) -> Vec<JoinHandle<Answered>> {
        let mut handles = Vec::new();
        for command in commands {
            handles.push(self.send_in_order(request(self.id, command)).await);
        }
        handles
    }

    /// Sends a command off and waits until the executor has taken it in.
    pub async fn send_in_order(&self, request: Request<Counter>) -> JoinHandle<Answered> {
        let before = self.executor.stats().commands;
        let handle = self.send(request);
        until(|| self.executor.stats().commands > before).await;
        handle
    }

    pub async fn add(&self, by: i64) -> Answered {
        self.executor.execute(request(self.id, Count::Add(by))).await
    }

    pub async fn total(&self) -> i64 {
        self.executor.load::<Counter>(self.id).await.expect("loads").state.total
    }
}

/// Waits until `condition` holds; fails after a generous while.
pub async fn until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("the condition never came to hold");
}
