//! What every runner tells about itself: for readiness, for operators, for metrics.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use events::{Offset, Partition};
use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};
use serde::Serialize;

/// What a runner is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunState {
    /// It prepares its collections and reads its checkpoints.
    Starting,
    /// Another worker holds its scope; it waits, in case that one dies or gives it up.
    Standby {
        /// Where that worker is found; `None` while the scope changes hands.
        held_by: Option<String>,
    },
    /// It has events to apply.
    Running,
    /// It has applied all there is and waits for more.
    Waiting,
    /// Something failed that may pass by itself; it tries again.
    Retrying {
        /// What failed.
        reason: String,
        /// Failures in a row.
        failures: u32,
    },
    /// It goes on only when an operator says so or the process is started again.
    Stopped {
        /// Why, in one sentence.
        reason: String,
    },
    /// It has ended with the process.
    Ended,
}

/// How far a runner is in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionProgress {
    /// Everything up to and with this offset is applied.
    pub checkpoint: Offset,
    /// The last offset of the partition when it was last looked at.
    pub end: Offset,
}

/// How the events a runner has seen since its start ended. Each has exactly one verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdicts {
    /// Folded in, or reacted to.
    pub applied: u64,
    /// Not of its concern, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Parked as a letter, or behind one.
    pub parked: u64,
    /// The event at which it stopped, each time it did.
    pub stopped: u64,
}

impl Verdicts {
    /// All of them together.
    pub fn total(&self) -> u64 {
        self.applied + self.skipped.values().sum::<u64>() + self.parked + self.stopped
    }
}

/// A snapshot of one runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunnerStatus {
    /// The projection and its version, `board_v1`, or `reactor_v1` for process managers.
    pub projection: String,
    /// The partitions it reads, `jobs/0` or `all`.
    pub scope: String,
    /// It keeps current what queries read, or process managers; not so for a build beside the live one.
    pub live: bool,
    /// What it is doing.
    #[serde(flatten)]
    pub state: RunState,
    /// How far it is, by partition as text.
    pub partitions: BTreeMap<String, PartitionProgress>,
    /// Commits (offsets, to be exact) between the checkpoints and the ends.
    pub lag_commits: u64,
    /// Events between the checkpoints and the ends: those that the offsets would have if all were as rich as those applied
    /// last. 0 means that nothing is left to apply.
    pub lag_events: u64,
    /// Domain time since the last applied event, milliseconds; 0 when nothing is left to apply.
    pub lag_ms: u64,
    /// Sequences that are blocked by a letter.
    pub sequences_blocked: u64,
    /// How events ended since the start.
    pub verdicts: Verdicts,
    /// Transactions that were refused because another runner wrote meanwhile.
    pub fenced: u64,
}

impl RunnerStatus {
    /// It neither stopped nor fails.
    pub fn is_healthy(&self) -> bool {
        match self.state {
            RunState::Standby { .. } | RunState::Running | RunState::Waiting => true,
            RunState::Starting | RunState::Retrying { .. } | RunState::Stopped { .. } | RunState::Ended => {
                false
            }
        }
    }
}

/// Where one runner writes its status, and everybody else reads it.
#[derive(Clone)]
pub(crate) struct StatusCell {
    status: Arc<Mutex<RunnerStatus>>,
    metrics: Arc<RunnerMetrics>,
}

struct RunnerMetrics {
    projection: String,
    applied: Counter,
    parked: Counter,
    stopped: Counter,
    fenced: Counter,
    lag_commits: Gauge,
    lag_events: Gauge,
    lag_seconds: Gauge,
    blocked: Gauge,
}

/// Says what each metric of the workers means, for whoever reads `/metrics`.
pub(crate) fn describe_metrics() {
    describe_counter!(
        "guildhall_projection_events_total",
        "Events by verdict: applied, skipped (with its reason), parked, stopped"
    );
    describe_counter!(
        "guildhall_projection_fenced_total",
        "Transactions refused because another runner wrote meanwhile"
    );
    describe_gauge!(
        "guildhall_projection_lag_commits",
        "Offsets between the checkpoints and the ends of the log"
    );
    describe_gauge!(
        "guildhall_projection_lag_events",
        "Events between the checkpoints and the ends, as rich as those applied last"
    );
    describe_gauge!(
        "guildhall_projection_lag_seconds",
        Unit::Seconds,
        "Domain time since the last applied event; 0 when nothing is left to apply"
    );
    describe_gauge!("guildhall_projection_sequences_blocked", "Sequences that are blocked by a dead letter");
    describe_counter!(
        "guildhall_process_issues_total",
        "Steps, timers and effects issued, by verdict: done, retried, poisoned"
    );
    describe_gauge!("guildhall_process_issues_open", "Steps, due timers and effects that are open");
    describe_counter!(
        "guildhall_effect_calls_total",
        "Calls of the payment provider (order, look_up, give_up) by result: answered, refused, in_doubt, unavailable"
    );
    describe_gauge!(
        "guildhall_effect_breaker_open",
        "1 while the payment provider is away and effects wait, by provider"
    );
    describe_counter!(
        "guildhall_effect_breaker_opened_total",
        "How often the payment provider was found to be away"
    );
}

impl StatusCell {
    pub(crate) fn new(projection: String, scope: String) -> Self {
        let verdict = |verdict: &'static str| {
            let projection = projection.clone();
            counter!("guildhall_projection_events_total", "projection" => projection, "verdict" => verdict, "reason" => "")
        };
        let labels = [("projection", projection.clone()), ("scope", scope.clone())];
        let metrics = RunnerMetrics {
            applied: verdict("applied"),
            parked: verdict("parked"),
            stopped: verdict("stopped"),
            fenced: counter!("guildhall_projection_fenced_total", &labels),
            lag_commits: gauge!("guildhall_projection_lag_commits", &labels),
            lag_events: gauge!("guildhall_projection_lag_events", &labels),
            lag_seconds: gauge!("guildhall_projection_lag_seconds", &labels),
            blocked: gauge!("guildhall_projection_sequences_blocked", &labels),
            projection: projection.clone(),
        };
        let status = RunnerStatus {
            projection,
            scope,
            live: true,
            state: RunState::Starting,
            partitions: BTreeMap::new(),
            lag_commits: 0,
            lag_events: 0,
            lag_ms: 0,
            sequences_blocked: 0,
            verdicts: Verdicts::default(),
            fenced: 0,
        };
        Self { status: Arc::new(Mutex::new(status)), metrics: Arc::new(metrics) }
    }

    fn lock(&self) -> MutexGuard<'_, RunnerStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> RunnerStatus {
        self.lock().clone()
    }

    pub(crate) fn set_state(&self, state: RunState) {
        self.lock().state = state;
    }

    pub(crate) fn set_live(&self, live: bool) {
        self.lock().live = live;
    }

    /// Another one works for the scope; how far, this one does not know.
    pub(crate) fn set_standby(&self, held_by: Option<String>) {
        let mut status = self.lock();
        if !matches!(status.state, RunState::Standby { .. }) {
            status.partitions.clear();
            (status.lag_commits, status.lag_events, status.lag_ms) = (0, 0, 0);
            status.sequences_blocked = 0;
            self.metrics.lag_commits.set(0.0);
            self.metrics.lag_events.set(0.0);
            self.metrics.lag_seconds.set(0.0);
            self.metrics.blocked.set(0.0);
        }
        status.state = RunState::Standby { held_by };
    }

    pub(crate) fn set_partition(&self, partition: Partition, progress: PartitionProgress) {
        self.lock().partitions.insert(partition.to_string(), progress);
    }

    pub(crate) fn set_lag(&self, lag_commits: u64, lag_events: u64, lag_ms: u64) {
        let mut status = self.lock();
        (status.lag_commits, status.lag_events, status.lag_ms) = (lag_commits, lag_events, lag_ms);
        self.metrics.lag_commits.set(lag_commits as f64);
        self.metrics.lag_events.set(lag_events as f64);
        self.metrics.lag_seconds.set(std::time::Duration::from_millis(lag_ms).as_secs_f64());
    }

    pub(crate) fn set_blocked(&self, sequences: usize) {
        self.lock().sequences_blocked = sequences as u64;
        self.metrics.blocked.set(sequences as f64);
    }

    pub(crate) fn count_fenced(&self) {
        self.lock().fenced += 1;
        self.metrics.fenced.increment(1);
    }

    /// Counts what a committed transaction did with its events.
    pub(crate) fn count(&self, verdicts: &Verdicts) {
        let mut status = self.lock();
        status.verdicts.applied += verdicts.applied;
        status.verdicts.parked += verdicts.parked;
        status.verdicts.stopped += verdicts.stopped;
        self.metrics.applied.increment(verdicts.applied);
        self.metrics.parked.increment(verdicts.parked);
        self.metrics.stopped.increment(verdicts.stopped);
        for (reason, events) in &verdicts.skipped {
            *status.verdicts.skipped.entry(reason).or_default() += events;
            let projection = self.metrics.projection.clone();
            counter!("guildhall_projection_events_total", "projection" => projection, "verdict" => "skipped", "reason" => *reason)
                .increment(*events);
        }
    }
}
