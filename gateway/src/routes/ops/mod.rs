//! What operators look at and turn: the log, the test clock.

mod builds;
mod dead_letters;
mod projections;
mod test_clock;

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    app::App,
    http::{Answer, Code, Problem, Route, get, post},
    security::OperatorCaller,
    settings::Profile,
};

/// Operations. The test clock exists in development only.
pub fn routes(profile: Profile) -> Vec<Route> {
    let mut routes = vec![
        get("/ops/log", log).named("opsLog", "How the log is, and where each partition ends"),
        get("/ops/projections", projections::list)
            .named("opsProjections", "What runs by itself here, how far it is, and what is wrong with it"),
        get("/ops/dead-letters", dead_letters::list)
            .named("opsDeadLetters", "Sequences that are blocked by an event that cannot be applied"),
        get("/ops/dead-letters/{letter}", dead_letters::one).named("opsDeadLetter", "One dead letter"),
        post("/ops/dead-letters/{letter}/retry", dead_letters::retry)
            .named(
                "opsRetryDeadLetter",
                "Apply what waits in it, in order, up to the first event that fails again",
            )
            .problems([Code::ProjectionStopped, Code::Overloaded, Code::Unavailable]),
    ];
    routes.extend(builds::routes());
    if profile == Profile::Development {
        routes.push(
            post("/ops/test-clock", test_clock::advance)
                .named(
                    "advanceTestClock",
                    "Move domain time forward; exists in development only, for everybody",
                )
                .rejects(),
        );
    }
    routes
}

/// How the log is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogReport {
    /// Which log.
    log: String,
    /// It takes commits.
    running: bool,
    /// Why it takes none.
    stopped: Option<String>,
    /// Why it cannot be reached now; commands are refused, reads go on.
    away: Option<String>,
    /// Records that the log is known to hold and this process has not judged yet.
    behind: u64,
    /// Commits judged valid since the start.
    commits: u64,
    /// Events in them.
    events: u64,
    /// Appends refused because the stream stood elsewhere.
    conflicts: u64,
    /// Records of an upstream judged void.
    voids: u64,
    /// Its partitions.
    partitions: Vec<PartitionReport>,
}

/// Where a partition ends.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PartitionReport {
    /// Service and number, `jobs/0`.
    partition: String,
    /// The offset of its last commit; -1 when it is empty.
    end: i64,
}

async fn log(State(app): State<App>, _: OperatorCaller) -> Result<Answer<LogReport>, Problem> {
    let status = app.log.status();
    let mut partitions = Vec::new();
    for partition in app.log.partitions() {
        let end = app.log.end(partition).map_err(|error| Problem::unavailable(&error))?;
        partitions.push(PartitionReport { partition: partition.to_string(), end });
    }
    Ok(Answer::new(LogReport {
        log: app.log.id().to_string(),
        running: status.stopped.is_none(),
        stopped: status.stopped,
        away: status.away,
        behind: status.behind,
        commits: status.commits,
        events: status.events,
        conflicts: status.conflicts,
        voids: status.voids,
        partitions,
    }))
}
