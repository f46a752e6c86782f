//! Whether the process lives and whether it is ready; metrics; the documentation.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    app::App,
    http::{Answer, Code, Problem, Route, answer::Text, get},
    metering,
};

/// Health, metrics, documentation.
pub fn routes() -> Vec<Route> {
    vec![
        get("/health", alive).named("health", "Whether the process answers; asks nobody"),
        get("/health/live", alive).named("healthLive", "Whether the process answers; asks nobody"),
        get("/health/ready", ready)
            .named(
                "healthReady",
                "Whether requests should come here: it keeps its copy of the log and its read models current; 503 says why not",
            )
            .problems([Code::Unavailable]),
        get("/metrics", metrics).named("metrics", "Metrics, in the text format of Prometheus"),
        get("/api/openapi.json", openapi).named("openapi", "This document"),
        get("/api/docs", docs).named("docs", "This document, for people"),
    ]
}

/// A sign of life.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Health {
    /// Always `ok`: who cannot say so does not answer.
    status: &'static str,
    /// What does not work as it should all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    degraded: Vec<&'static str>,
}

async fn alive() -> Answer<Health> {
    Answer::new(Health { status: "ok", degraded: Vec::new() })
}

async fn ready(State(app): State<App>) -> Result<Answer<Health>, Problem> {
    let reasons = app.not_ready();
    if reasons.is_empty() {
        return Ok(Answer::new(Health { status: "ok", degraded: app.degraded() }));
    }
    Err(Problem::new(Code::Unavailable, reasons.join("; ")).with("reasons", reasons))
}

async fn metrics(State(app): State<App>) -> Text {
    app.refresh_metrics();
    Text::new("text/plain; version=0.0.4", metering::recorder().render())
}

async fn openapi(State(app): State<App>) -> Text {
    Text::new("application/json", app.documents.openapi.clone())
}

async fn docs(State(app): State<App>) -> Text {
    Text::new("text/html; charset=utf-8", app.documents.page.clone())
}
