//! What every handler can reach: the executor, the read models, the keys, and what signs.

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::body::Bytes;
use commands::Executor;
use events::{keys::KeyRing, log::EventLog, time::DomainClock};
use projections::ReadStore;
use workers::{RunState, RunnerStatus, Workers, payments::sandbox::SandboxProvider};

use crate::{
    http::{Code, Problem},
    openapi, routes,
    security::{links::Links, passwords::Passwords, tokens::Tokens},
    settings::{Role, Settings},
};

/// Shared by all handlers; cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Parts>);

/// What an [`App`] is made of.
pub struct Parts {
    /// The settings in force.
    pub settings: Settings,
    /// The only write path.
    pub executor: Executor,
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The read models.
    pub store: Arc<dyn ReadStore>,
    /// What runs by itself in this process.
    pub workers: Workers,
    /// Domain time.
    pub clock: DomainClock,
    /// The keys of personal data.
    pub keys: Arc<KeyRing>,
    /// Signs and reads access tokens.
    pub tokens: Tokens,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Makes and reads cursors and consistency tokens.
    pub links: Links,
    /// The documentation.
    pub documents: Documents,
    /// Who moves the money; nobody where the settings say so, and at the command line.
    pub provider: Option<Arc<SandboxProvider>>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// The documentation, rendered once.
#[derive(Debug)]
pub struct Documents {
    /// The OpenAPI document.
    pub openapi: Bytes,
    /// The same for people.
    pub page: Bytes,
}

impl Documents {
    /// Renders both.
    pub fn render() -> Self {
        let document = openapi::document(&routes::operations());
        Self { openapi: openapi_text(&document).into(), page: openapi::page(&document).into() }
    }
}

/// The document as it is checked in and served.
pub fn openapi_text(document: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("the document has string keys only");
    text.push('\n');
    text
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Why this process should not get requests; nothing when it should.
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let status = self.log.status();
        if let Some(reason) = status.stopped {
            tracing::warn!(%reason, "the log takes no commits");
            reasons.push("the log takes no commits".to_owned());
        }
        if let Some(reason) = self.keys.status().stopped {
            tracing::warn!(%reason, "the keys of other processes do not arrive");
            reasons.push("the keys of other processes do not arrive".to_owned());
        }
        match status.age {
            None => {
                reasons.push(format!("the copy of the log is catching up, {} records behind", status.behind));
            }
            Some(age) if age > self.staleness_max() => {
                reasons.push(format!("the copy of the log is {} s old", age.as_secs()));
            }
            Some(_) => {}
        }
        reasons.extend(self.workers.builds().unready());
        // A build beside the live one may stand still: nobody reads it.
        let live = self.workers.projections().into_iter().filter(|runner| runner.live);
        let complaints = live.filter_map(|runner| {
            let complaint = complaint(&runner)?;
            // Whoever asks a worker operates it; everybody may ask a gateway.
            Some(match runner.state {
                RunState::Stopped { reason } if self.settings.role == Role::Worker => {
                    format!("{complaint}: {reason}")
                }
                _ => complaint,
            })
        });
        reasons.extend(complaints);
        reasons
    }

    /// What does not work as it should, while there is still reason to send requests here.
    pub fn degraded(&self) -> Vec<&'static str> {
        let Some(reason) = self.log.status().away else { return Vec::new() };
        tracing::debug!(%reason, "the log is away");
        vec!["the log is away: commands are answered 503, reads go on"]
    }

    fn staleness_max(&self) -> Duration {
        Duration::from_millis(self.settings.auth.staleness_max_ms)
    }

    /// Whether sessions and roles may be decided on what this process knows.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when that is too old.
    pub fn require_fresh(&self) -> Result<(), Problem> {
        match self.log.status().age {
            Some(age) if age <= self.staleness_max() => Ok(()),
            Some(_) | None => {
                Err(Problem::new(Code::Unavailable, "sessions and roles may have changed unseen; try again"))
            }
        }
    }

    /// There is somebody who moves money.
    ///
    /// # Errors
    /// [`Code::PaymentsNotOffered`].
    pub fn require_provider(&self) -> Result<(), Problem> {
        match self.provider {
            Some(_) => Ok(()),
            None => Err(Problem::new(Code::PaymentsNotOffered, "payments.provider is none on this server")),
        }
    }

    /// Brings gauges that are read rather than counted up to date.
    pub fn refresh_metrics(&self) {
        let (log, executor) = (self.log.status(), self.executor.stats());
        metrics::counter!("guildhall_log_commits_total").absolute(log.commits);
        metrics::counter!("guildhall_log_events_total").absolute(log.events);
        metrics::counter!("guildhall_log_conflicts_total").absolute(log.conflicts);
        metrics::counter!("guildhall_log_voids_total").absolute(log.voids);
        metrics::gauge!("guildhall_log_away").set(if log.away.is_some() { 1.0 } else { 0.0 });
        metrics::gauge!("guildhall_log_behind_records").set(log.behind as f64);
        let keys = self.keys.status();
        metrics::gauge!("guildhall_keys_away").set(if keys.away.is_some() { 1.0 } else { 0.0 });
        metrics::gauge!("guildhall_keys_behind_records").set(keys.behind as f64);
        if let Some(age) = log.age {
            metrics::gauge!("guildhall_log_age_seconds").set(age.as_secs_f64());
        }
        metrics::counter!("guildhall_commands_total").absolute(executor.commands);
        metrics::gauge!("guildhall_commands_waiting").set(executor.waiting as f64);
    }
}

/// Failures in a row up to which a runner is taken to have hiccups.
const HICCUPS_MAX: u32 = 3;

/// Why the read models of this runner are not kept current, when they are not.
fn complaint(runner: &RunnerStatus) -> Option<String> {
    let state = match &runner.state {
        RunState::Running | RunState::Waiting | RunState::Standby { .. } => return None,
        RunState::Retrying { failures, .. } if *failures <= HICCUPS_MAX => return None,
        RunState::Retrying { .. } => "keeps failing",
        RunState::Starting => "is starting",
        RunState::Stopped { .. } => "has stopped",
        RunState::Ended => "has ended",
    };
    Some(format!("{} {} {state}", runner.projection, runner.scope))
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(state: RunState) -> RunnerStatus {
        RunnerStatus {
            projection: "board_v1".into(),
            scope: "jobs/0".into(),
            live: true,
            state,
            partitions: Default::default(),
            lag_commits: 0,
            lag_events: 0,
            lag_ms: 0,
            sequences_blocked: 0,
            verdicts: Default::default(),
            fenced: 0,
        }
    }

    #[test]
    fn a_hiccup_is_no_reason_and_a_store_that_keeps_failing_is_one() {
        let retrying = |failures| runner(RunState::Retrying { reason: "the disk is full".into(), failures });
        assert_eq!(complaint(&runner(RunState::Waiting)), None);
        assert_eq!(complaint(&runner(RunState::Standby { held_by: None })), None);
        assert_eq!(complaint(&retrying(HICCUPS_MAX)), None);
        assert_eq!(complaint(&retrying(HICCUPS_MAX + 1)).as_deref(), Some("board_v1 jobs/0 keeps failing"));
        let stopped = runner(RunState::Stopped { reason: "a foreign log".into() });
        assert_eq!(complaint(&stopped).as_deref(), Some("board_v1 jobs/0 has stopped"));
    }
}
