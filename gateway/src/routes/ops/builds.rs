//! Builds of the read models: how far each is, and rebuilding, comparing, swapping, dropping, pausing.

use std::collections::BTreeMap;

use axum::extract::State;
use events::Timestamp;
use garde::Validate;
use projections::builds::{Comparison, DocumentDifference};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workers::{BuildReport, BuildsError, ReadModelReport};

use crate::{
    app::App,
    http::{Answer, Body, Code, Path, Problem, Route, get, post},
    security::{Caller, OperatorCaller},
};

/// What operators can do with builds.
pub(super) fn routes() -> Vec<Route> {
    let changes = [Code::BuildUnderWay, Code::Unavailable];
    vec![
        get("/ops/projections/{projection}", one).named("opsProjection", "One read model, with its builds"),
        post("/ops/projections/{projection}/rebuild", rebuild)
            .named("opsRebuildProjection", "Build a read model anew, beside the one that serves")
            .problems(changes),
        post("/ops/projections/{projection}/compare", compare)
            .named("opsCompareProjection", "Compare a build with the live one, at the same positions")
            .problems([Code::BuildIsLive, Code::BuildNotReady, Code::BuildsNotTogether, Code::Unavailable]),
        post("/ops/projections/{projection}/swap", swap)
            .named("opsSwapProjection", "Make a build the live one, in one instant for all who read")
            .problems(changes)
            .problems([Code::BuildIsLive, Code::BuildNotReady, Code::BuildDiffers, Code::BuildBehind]),
        post("/ops/projections/{projection}/drop", drop_build)
            .named("opsDropProjection", "Give a build up; its documents are removed a moment later")
            .problems(changes)
            .problems([Code::BuildIsLive]),
        post("/ops/projections/{projection}/pause", pause)
            .named(
                "opsPauseProjection",
                "Let the runners of a build, or of all builds, stand still everywhere",
            )
            .problems([Code::Unavailable]),
        post("/ops/projections/{projection}/resume", resume)
            .named("opsResumeProjection", "Let the paused and the stopped runners of a projection go on")
            .problems([Code::Unavailable]),
    ]
}

/// Which read model, or which of its builds.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ProjectionPath {
    /// Its name, `board`, or a build, `board_v1_b2`. Where a build is asked for, the name stands for the only one that is
    /// not live.
    projection: String,
}

/// A read model with its builds.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReadModel {
    /// Its name.
    projection: String,
    /// The version that this release folds.
    version: u32,
    /// The build that answers queries.
    live: String,
    /// Every build there is.
    builds: Vec<Build>,
}

/// One build of a read model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Build {
    /// Projection, version and number, `board_v1_b2`; the first one without a number.
    build: String,
    /// `building`, `catching_up`, `comparing`, `differs`, `ready`, `live`, `following` or `dropping`.
    state: &'static str,
    /// It stands still until it is resumed.
    paused: bool,
    /// Positions folded in, of all partitions together…
    folded: i64,
    /// …of so many: what there was when it began, and once it has passed that, what there is.
    of: i64,
    /// Positions a second since it began or went on last; null unless it is on its way.
    rate_per_second: Option<f64>,
    /// How long it takes at that rate, milliseconds; null as above.
    left_ms: Option<u64>,
    /// When it began; null for the first build.
    started_at: Option<Timestamp>,
    /// Who asked for it; null for the first build.
    started_by: Option<String>,
    /// It is swapped in by itself once it is ready.
    swap_when_ready: bool,
    /// What the last comparison with the live build came to.
    comparison: Option<ComparisonReport>,
    /// Why it does not get on.
    trouble: Option<String>,
}

/// What a comparison with the live build came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ComparisonReport {
    /// The build that was live.
    with: String,
    /// When.
    at: Timestamp,
    /// Where both stood, by partition; null when the other one does not move, so that each was compared where it stood.
    positions: Option<BTreeMap<String, i64>>,
    /// What the sample was drawn with.
    seed: u64,
    /// Documents compared.
    documents: u64,
    /// Documents that differ.
    different: u64,
    /// The first of them.
    differences: Vec<Difference>,
}

/// A document that is not the same in both.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Difference {
    /// Its collection.
    collection: String,
    /// Its key.
    key: String,
    /// What differs, place by place.
    places: Vec<String>,
}

impl From<ReadModelReport> for ReadModel {
    fn from(report: ReadModelReport) -> Self {
        Self {
            projection: report.name,
            version: report.version,
            live: report.live.to_string(),
            builds: report.builds.into_iter().map(Build::from).collect(),
        }
    }
}

impl From<BuildReport> for Build {
    fn from(build: BuildReport) -> Self {
        Self {
            build: build.id.to_string(),
            state: build.state.name(),
            paused: build.paused,
            folded: build.folded,
            of: build.of,
            rate_per_second: build.rate_per_second,
            left_ms: build.left_ms,
            started_at: build.started_at,
            started_by: build.started_by,
            swap_when_ready: build.swap_when_ready,
            comparison: build.comparison.map(ComparisonReport::from),
            trouble: build.trouble,
        }
    }
}

impl From<Comparison> for ComparisonReport {
    fn from(comparison: Comparison) -> Self {
        let difference = |difference: DocumentDifference| {
            let DocumentDifference { collection, key, places } = difference;
            Difference { collection, key, places }
        };
        Self {
            with: comparison.with.to_string(),
            at: comparison.at,
            positions: comparison.positions,
            seed: comparison.seed,
            documents: comparison.documents,
            different: comparison.different,
            differences: comparison.differences.into_iter().map(difference).collect(),
        }
    }
}

impl From<BuildsError> for Problem {
    fn from(error: BuildsError) -> Self {
        let code = match &error {
            BuildsError::NoSuchProjection(_) | BuildsError::NoSuchBuild(_) => Code::NotFound,
            BuildsError::UnderWay(_) => Code::BuildUnderWay,
            BuildsError::NotReady { .. } => Code::BuildNotReady,
            BuildsError::Differs(_) => Code::BuildDiffers,
            BuildsError::IsLive(_) => Code::BuildIsLive,
            BuildsError::Behind { .. } => Code::BuildBehind,
            BuildsError::NotTogether(_) => Code::BuildsNotTogether,
            BuildsError::Store(error) => return error.clone().into(),
        };
        Self::new(code, error.to_string())
    }
}

/// Every read model of this process, with its builds.
pub(super) async fn all(app: &App) -> Result<Vec<ReadModel>, BuildsError> {
    Ok(app.workers.builds().report().await?.into_iter().map(ReadModel::from).collect())
}

async fn report(app: &App, name: &str) -> Result<Answer<ReadModel>, Problem> {
    Ok(Answer::new(app.workers.builds().report_one(name).await?.into()))
}

async fn one(
    State(app): State<App>,
    _: OperatorCaller,
    Path(ProjectionPath { projection }): Path<ProjectionPath>,
) -> Result<Answer<ReadModel>, Problem> {
    match report(&app, &projection).await {
        Ok(answer) => Ok(answer),
        Err(_) => report(&app, &app.workers.builds().find(&projection).await?.name).await,
    }
}

/// How to rebuild.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Rebuild {
    /// Swap it in by itself once it is ready.
    #[garde(skip)]
    swap: bool,
}

async fn rebuild(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    Path(ProjectionPath { projection }): Path<ProjectionPath>,
    Body(asked): Body<Rebuild>,
) -> Result<Answer<ReadModel>, Problem> {
    let by = caller.actor.to_string();
    app.workers.builds().rebuild(&projection, &by, asked.swap).await?;
    report(&app, &projection).await
}

/// How to compare.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Compare {
    /// What the sample is drawn with; another one each time unless said otherwise.
    #[garde(skip)]
    seed: Option<u64>,
}

async fn compare(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    Path(ProjectionPath { projection }): Path<ProjectionPath>,
    Body(asked): Body<Compare>,
) -> Result<Answer<ComparisonReport>, Problem> {
    let build = app.workers.builds().find(&projection).await?;
    let seed = asked.seed.unwrap_or_else(|| Timestamp::now().micros().unsigned_abs());
    said(&caller, "compared", &build);
    Ok(Answer::new(app.workers.builds().compare(&build, seed).await?.into()))
}

/// How to swap.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct SwapIn {
    /// Even though a comparison found it to differ.
    #[garde(skip)]
    force: bool,
}

async fn swap(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    Path(ProjectionPath { projection }): Path<ProjectionPath>,
    Body(asked): Body<SwapIn>,
) -> Result<Answer<ReadModel>, Problem> {
    let build = app.workers.builds().find(&projection).await?;
    said(&caller, "swapped in", &build);
    app.workers.builds().swap(&build, asked.force).await?;
    report(&app, &build.name).await
}

async fn drop_build(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    Path(ProjectionPath { projection }): Path<ProjectionPath>,
) -> Result<Answer<ReadModel>, Problem> {
    let build = app.workers.builds().find(&projection).await?;
    said(&caller, "dropped", &build);
    app.workers.builds().drop_build(&build).await?;
    report(&app, &build.name).await
}

/// What stands still, or goes on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Paused {
    /// Builds that are paused, or are not any more.
    builds: usize,
}

async fn pause(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    Path(ProjectionPath { projection }): Path<ProjectionPath>,
) -> Result<Answer<Paused>, Problem> {
    said(&caller, "paused", &projection);
    Ok(Answer::new(Paused { builds: app.workers.builds().set_paused(&projection, true).await? }))
}

/// What goes on again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Resumed {
    /// Builds that are not paused any more, here and elsewhere.
    builds: usize,
    /// Runners that had stopped and were told to go on, here and in the processes over the same read store that have answered
    /// by now. What stopped them and is not mended stops them again.
    runners: usize,
}

async fn resume(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    Path(ProjectionPath { projection }): Path<ProjectionPath>,
) -> Result<Answer<Resumed>, Problem> {
    said(&caller, "resumed", &projection);
    let builds = match app.workers.builds().set_paused(&projection, false).await {
        // Process managers stop and go on as well, and have no builds.
        Err(BuildsError::NoSuchProjection(_)) if app.workers.runs(&projection) => 0,
        builds => builds?,
    };
    Ok(Answer::new(Resumed { builds, runners: app.workers.resume(&projection).await? }))
}

fn said(caller: &Caller, what: &'static str, of: &dyn std::fmt::Display) {
    tracing::info!(%of, by = %caller.actor, "a read model is {what}");
}
