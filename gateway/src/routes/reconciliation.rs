//! Comparisons of all books: the ledger, the aggregates and the provider's own; every day, and when somebody asks.

use axum::extract::State;
use commands::{
    Actor,
    reconciliation::{Reconciliation, ReconciliationCommand},
};
use events::{Version, ids::ReconciliationId, vocabulary::identity::Role};
use projections::money::unreconciled::{self, Run, Unreconciled};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    commanding::{NOTHING, Order},
    consistency::Seen,
    http::{
        Answer, Code, Created, Intent, Path, Problem, Query, Route,
        cursor::{Items, PageAsked, Paging},
        get, post,
    },
    security::OperatorCaller,
};

/// Comparisons.
pub fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/admin/reconciliation", list)
            .named("listReconciliations", "Comparisons of all books, newest first"),
        post("/api/v1/admin/reconciliation", request)
            .named("requestReconciliation", "Have all books compared now")
            .problems([Code::PaymentsNotOffered])
            .rejects(),
        get("/api/v1/admin/reconciliation/{reconciliation}", one).named(
            "getReconciliation",
            "One comparison: what agrees, what is on its way, what does not agree",
        ),
    ]
}

/// Which comparison.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub struct ReconciliationPath {
    /// The comparison.
    reconciliation: ReconciliationId,
}

/// All books will be compared.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReconciliationAsked {
    /// The comparison; its result shows on it a moment later.
    reconciliation: ReconciliationId,
    /// Its version after the command.
    version: Version,
}

async fn request(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    intent: Intent,
) -> Result<Created<ReconciliationAsked>, Problem> {
    app.require_provider()?;
    let command_id = intent.command_id(&caller.actor);
    let reconciliation: ReconciliationId = command_id.derive(0);
    // An operator's program has no account that could be an administrator's; that it may is known here.
    let actor = if caller.actor.has_role(Role::Admin) { caller.actor.clone() } else { Actor::System };
    let outcome = app
        .command::<Reconciliation, _>(Order {
            intent: &intent,
            actor: &actor,
            command_id,
            id: reconciliation,
            command: ReconciliationCommand::Request,
            expected: None,
            asked: &NOTHING,
        })
        .await?;
    let token = app.consistency_token::<Reconciliation>(&intent.seen, reconciliation, &outcome);
    let asked = ReconciliationAsked { reconciliation, version: outcome.version };
    let answer = Answer::new(asked).at(outcome.version).consistent(token);
    Ok(Created::new(format!("/api/v1/admin/reconciliation/{reconciliation}"), answer))
}

async fn one(
    State(app): State<App>,
    _: OperatorCaller,
    Path(ReconciliationPath { reconciliation }): Path<ReconciliationPath>,
    seen: Seen,
) -> Result<Answer<Run>, Problem> {
    app.catch_up(seen, &Unreconciled).await?;
    let run = unreconciled::get(&*app.store, reconciliation).await?;
    Ok(Answer::new(run.ok_or_else(Problem::not_found)?))
}

async fn list(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    seen: Seen,
    Query(asked): Query<PageAsked>,
) -> Result<Answer<Items<Run>>, Problem> {
    let paging = Paging::new(&app.links, "reconciliation", &caller.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &Unreconciled).await?;
    let page = unreconciled::list(&*app.store, None, request).await?;
    Ok(Answer::new(paging.answer(page)))
}
