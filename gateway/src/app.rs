//! What every handler can reach: the executor, the read models, the keys, and what signs.

use std::{ops::Deref, sync::Arc};

use axum::body::Bytes;
use commands::Executor;
use events::{keys::KeyRing, log::EventLog, time::DomainClock};
use projections::ReadStore;
use workers::{RunState, Workers};

use crate::{
    openapi, routes,
    security::{links::Links, passwords::Passwords, tokens::Tokens},
    settings::Settings,
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
        if let Some(reason) = self.log.status().stopped {
            tracing::warn!(%reason, "the log takes no commits");
            reasons.push("the log takes no commits".to_owned());
        }
        for runner in self.workers.projections() {
            let state = match &runner.state {
                RunState::Running | RunState::Waiting | RunState::Retrying { .. } => continue,
                RunState::Starting => "is starting",
                RunState::Stopped { .. } => "has stopped",
                RunState::Ended => "has ended",
            };
            reasons.push(format!("{} {} {state}", runner.projection, runner.scope));
        }
        reasons
    }

    /// Brings gauges that are read rather than counted up to date.
    pub fn refresh_metrics(&self) {
        let (log, executor) = (self.log.status(), self.executor.stats());
        metrics::counter!("guildhall_log_commits_total").absolute(log.commits);
        metrics::counter!("guildhall_log_events_total").absolute(log.events);
        metrics::counter!("guildhall_log_conflicts_total").absolute(log.conflicts);
        metrics::counter!("guildhall_log_voids_total").absolute(log.voids);
        metrics::counter!("guildhall_commands_total").absolute(executor.commands);
        metrics::gauge!("guildhall_commands_waiting").set(executor.waiting as f64);
    }
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}
