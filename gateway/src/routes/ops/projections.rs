//! Every runner of this process: how far it is, and what is wrong with it.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workers::{PumpStatus, RunState, RunnerStatus};

use crate::{
    app::App,
    http::{Answer, Path, Problem},
    security::OperatorCaller,
};

/// What runs by itself.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WorkersReport {
    /// One for each projection and partition (or for a joined projection), and one for the process managers.
    runners: Vec<RunnerReport>,
    /// The dispatch of process managers' steps.
    steps: PumpReport,
    /// The timers.
    timers: PumpReport,
}

/// One runner.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunnerReport {
    /// Projection and version, `board_v1`; `reactor_v1` for process managers.
    projection: String,
    /// The partitions it reads.
    scope: String,
    /// `starting`, `running`, `waiting`, `retrying`, `stopped` or `ended`.
    state: &'static str,
    /// Why it retries or has stopped.
    reason: Option<String>,
    /// How far it is, by partition.
    partitions: BTreeMap<String, ProgressReport>,
    /// Offsets between the checkpoints and the ends.
    lag_commits: u64,
    /// Domain time since the last applied event, milliseconds; 0 when nothing is left to apply.
    lag_ms: u64,
    /// Sequences that are blocked by a letter.
    sequences_blocked: u64,
    /// Events folded in since the start.
    applied: u64,
    /// Events not of its concern, by reason.
    skipped: BTreeMap<&'static str, u64>,
    /// Events parked.
    parked: u64,
    /// Transactions refused because another runner wrote meanwhile.
    fenced: u64,
}

/// How far a runner is in one partition.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProgressReport {
    /// Everything up to and with this offset is applied.
    checkpoint: i64,
    /// The last offset there is.
    end: i64,
}

/// What issues steps or timers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PumpReport {
    /// Listed when it last looked.
    listed: u64,
    /// Carried out since the start.
    done: u64,
    /// Tries that failed and are repeated.
    retried: u64,
    /// Tries that will not go through by themselves.
    poisoned: u64,
    /// Why the last one failed.
    trouble: Option<String>,
}

impl From<RunnerStatus> for RunnerReport {
    fn from(runner: RunnerStatus) -> Self {
        let (state, reason) = match runner.state {
            RunState::Starting => ("starting", None),
            RunState::Running => ("running", None),
            RunState::Waiting => ("waiting", None),
            RunState::Retrying { reason, .. } => ("retrying", Some(reason)),
            RunState::Stopped { reason } => ("stopped", Some(reason)),
            RunState::Ended => ("ended", None),
        };
        let progress = runner.partitions.into_iter().map(|(partition, progress)| {
            (partition, ProgressReport { checkpoint: progress.checkpoint, end: progress.end })
        });
        Self {
            projection: runner.projection,
            scope: runner.scope,
            state,
            reason,
            partitions: progress.collect(),
            lag_commits: runner.lag_commits,
            lag_ms: runner.lag_ms,
            sequences_blocked: runner.sequences_blocked,
            applied: runner.verdicts.applied,
            skipped: runner.verdicts.skipped,
            parked: runner.verdicts.parked,
            fenced: runner.fenced,
        }
    }
}

impl From<PumpStatus> for PumpReport {
    fn from(pump: PumpStatus) -> Self {
        let PumpStatus { listed, done, retried, poisoned, trouble } = pump;
        Self { listed, done, retried, poisoned, trouble }
    }
}

pub(super) async fn list(
    State(app): State<App>,
    _: OperatorCaller,
) -> Result<Answer<WorkersReport>, Problem> {
    let status = app.workers.status();
    Ok(Answer::new(WorkersReport {
        runners: status.runners.into_iter().map(RunnerReport::from).collect(),
        steps: status.steps.into(),
        timers: status.timers.into(),
    }))
}

/// Which projection.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ProjectionPath {
    /// Its name, without version.
    projection: String,
}

/// What goes on again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Resumed {
    /// Runners that had stopped and were told to go on. What stopped them and is not mended stops them again.
    runners: usize,
}

pub(super) async fn resume(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    Path(ProjectionPath { projection }): Path<ProjectionPath>,
) -> Result<Answer<Resumed>, Problem> {
    let runners = app.workers.projections();
    let of_name = |runner: &RunnerStatus| {
        runner.projection.rsplit_once("_v").is_some_and(|(name, _)| name == projection)
    };
    let known = runners.iter().any(of_name);
    if !known {
        return Err(Problem::not_found());
    }
    tracing::info!(%projection, by = %caller.actor, "resuming a projection");
    Ok(Answer::new(Resumed { runners: app.workers.resume(&projection) }))
}
