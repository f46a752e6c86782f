//! Every runner of this process: how far it is, and what is wrong with it.

use std::collections::BTreeMap;

use axum::extract::State;
use events::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use workers::{EffectsStatus, FleetStatus, OpenRequest, PumpStatus, RunState, RunnerStatus};

use super::builds::{self, ReadModel};
use crate::{
    app::App,
    http::{Answer, Problem},
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
    /// The effects at the payment provider; nothing when this process has none.
    effects: Option<EffectsReport>,
    /// The worker processes over the same read store, as this one last saw them; null where there can be no others.
    fleet: Option<FleetReport>,
    /// The read models with their builds.
    read_models: Vec<ReadModel>,
    /// Why the read models are not listed: the read store does not answer.
    read_models_trouble: Option<String>,
    /// What operators have asked of other processes, and is not done with.
    requests: Vec<RequestReport>,
}

/// Something that was asked at one process and another one has to do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RequestReport {
    /// Its id.
    request: String,
    /// What is asked, and of what.
    what: String,
    /// When.
    asked_at: Timestamp,
    /// Nobody begins with it after that.
    until: Timestamp,
    /// How many processes have answered.
    answers: usize,
}

impl From<OpenRequest> for RequestReport {
    fn from(request: OpenRequest) -> Self {
        let OpenRequest { id, what, asked_at, until, answers } = request;
        Self { request: id.to_string(), what, asked_at, until, answers }
    }
}

/// Who is there, and who has what.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FleetReport {
    /// The worker processes.
    members: Vec<MemberReport>,
    /// Every projection and partition (or joined projection) that one of them can work for.
    scopes: Vec<ScopeReport>,
}

/// A worker process.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MemberReport {
    /// Its id, from its start to its end.
    worker: String,
    /// Where it listens.
    name: String,
    /// It is the one that answers.
    me: bool,
    /// It was heard of within the lease time.
    alive: bool,
    /// For how long it has not been heard of, milliseconds.
    silent_ms: u64,
    /// How much of the scopes it has.
    holds: usize,
}

/// Who has a scope.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ScopeReport {
    /// Projection and version.
    projection: String,
    /// The partitions.
    scope: String,
    /// The name of the worker that has it; null while it changes hands.
    held_by: Option<String>,
    /// The name of the worker that should have it; null when nobody who lives can work for it.
    share_of: Option<String>,
}

impl From<FleetStatus> for FleetReport {
    fn from(fleet: FleetStatus) -> Self {
        let me = fleet.me;
        let members = fleet.members.into_iter().map(|member| MemberReport {
            worker: member.id.to_string(),
            me: member.id == me,
            name: member.name,
            alive: member.alive,
            silent_ms: member.silent_ms,
            holds: member.holds,
        });
        let scopes = fleet.scopes.into_iter().map(|scope| ScopeReport {
            projection: scope.projection,
            scope: scope.scope,
            held_by: scope.held_by,
            share_of: scope.share_of,
        });
        Self { members: members.collect(), scopes: scopes.collect() }
    }
}

/// One runner.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunnerReport {
    /// Projection and version, `board_v1`; `reactor_v1` for process managers.
    projection: String,
    /// The partitions it reads.
    scope: String,
    /// It keeps current what queries read, or process managers; not so for a build beside the live one.
    live: bool,
    /// `starting`, `standby`, `running`, `waiting`, `retrying`, `stopped` or `ended`.
    state: &'static str,
    /// Why it retries or has stopped.
    reason: Option<String>,
    /// Which worker has it while this one stands by; null while it changes hands.
    held_by: Option<String>,
    /// How far it is, by partition.
    partitions: BTreeMap<String, ProgressReport>,
    /// Offsets between the checkpoints and the ends.
    lag_commits: u64,
    /// Events between them, if all were as rich as those applied last; 0 when nothing is left to apply.
    lag_events: u64,
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

/// What issues steps, timers or effects.
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

/// What carries effects out at the payment provider.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EffectsReport {
    /// Which provider.
    provider: String,
    /// The effects that are open, those that wait for a webhook included.
    #[serde(flatten)]
    pump: PumpReport,
    /// It does not answer: effects wait, and one at a time is tried.
    provider_is_away: bool,
    /// How often it was found to be away since the start.
    found_away: u64,
}

impl From<RunnerStatus> for RunnerReport {
    fn from(runner: RunnerStatus) -> Self {
        let (state, reason, held_by) = match runner.state {
            RunState::Starting => ("starting", None, None),
            RunState::Standby { held_by } => ("standby", None, held_by),
            RunState::Running => ("running", None, None),
            RunState::Waiting => ("waiting", None, None),
            RunState::Retrying { reason, .. } => ("retrying", Some(reason), None),
            RunState::Stopped { reason } => ("stopped", Some(reason), None),
            RunState::Ended => ("ended", None, None),
        };
        let progress = runner.partitions.into_iter().map(|(partition, progress)| {
            (partition, ProgressReport { checkpoint: progress.checkpoint, end: progress.end })
        });
        Self {
            projection: runner.projection,
            scope: runner.scope,
            live: runner.live,
            state,
            reason,
            held_by,
            partitions: progress.collect(),
            lag_commits: runner.lag_commits,
            lag_events: runner.lag_events,
            lag_ms: runner.lag_ms,
            sequences_blocked: runner.sequences_blocked,
            applied: runner.verdicts.applied,
            skipped: runner.verdicts.skipped,
            parked: runner.verdicts.parked,
            fenced: runner.fenced,
        }
    }
}

impl From<EffectsStatus> for EffectsReport {
    fn from(effects: EffectsStatus) -> Self {
        let EffectsStatus { provider, pump, breaker } = effects;
        Self { provider, pump: pump.into(), provider_is_away: breaker.open, found_away: breaker.opened }
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
    // What runs here is told even when the read store is away.
    let (read_models, read_models_trouble) = match builds::all(&app).await {
        Ok(read_models) => (read_models, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let requests = app.workers.requests().await.unwrap_or_default();
    Ok(Answer::new(WorkersReport {
        runners: status.runners.into_iter().map(RunnerReport::from).collect(),
        steps: status.steps.into(),
        timers: status.timers.into(),
        effects: status.effects.map(EffectsReport::from),
        fleet: status.fleet.map(FleetReport::from),
        read_models,
        read_models_trouble,
        requests: requests.into_iter().map(RequestReport::from).collect(),
    }))
}
