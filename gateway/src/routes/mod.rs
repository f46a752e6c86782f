//! The routes, one file per resource: its types, its handlers and what it answers to.

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware::from_fn_with_state, response::IntoResponse};

use crate::{
    app::App,
    http::{Code, Operation, Problem, Route, edge::Edge, edge::edge},
    metering::RouteMetrics,
    settings::{Profile, Role, Settings},
};

pub mod auth;
pub mod bids;
pub mod contracts;
pub mod deadlines;
pub mod escrows;
pub mod health;
pub mod jobs;
pub mod ledger;
pub mod me;
pub mod milestones;
pub mod ops;
pub mod payment_methods;
pub mod payments;
pub mod payout_destinations;
pub mod payouts;
pub mod reconciliation;
pub mod sessions;
pub mod wallet;
pub mod webhooks;

/// Every route there is under these settings.
pub fn routes(profile: Profile, role: Role) -> Vec<Route> {
    let of_machinery = [ops::routes(profile), health::routes()].into_iter().flatten();
    match role {
        Role::Whole | Role::Gateway => of_the_marketplace().into_iter().chain(of_machinery).collect(),
        Role::Worker => of_machinery.collect(),
    }
}

fn of_the_marketplace() -> Vec<Route> {
    [
        auth::routes(),
        me::routes(),
        sessions::routes(),
        jobs::routes(),
        bids::routes(),
        contracts::routes(),
        milestones::routes(),
        escrows::routes(),
        payment_methods::routes(),
        payments::routes(),
        payout_destinations::routes(),
        payouts::routes(),
        wallet::routes(),
        deadlines::routes(),
        ledger::routes(),
        reconciliation::routes(),
        webhooks::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Every operation of a development server: what the document shows.
pub fn operations() -> Vec<Operation> {
    routes(Profile::Development, Role::Whole).into_iter().map(|route| route.operation).collect()
}

/// The router: each route with an edge of its own.
pub fn router(app: App) -> Router {
    let edge_of = |method: &str, path: &'static str| Arc::new(new_edge(&app.settings, method, path));
    let mut router = Router::new();
    for Route { operation, handler } in routes(app.settings.profile, app.settings.role) {
        let edge_state = edge_of(operation.method.as_str(), operation.path);
        router = router.route(operation.path, handler.layer(from_fn_with_state(edge_state, edge)));
    }
    let unmatched = from_fn_with_state(edge_of("*", "unmatched"), edge);
    router
        .method_not_allowed_fallback(axum::routing::any(wrong_method).layer(unmatched.clone()))
        .fallback_service(axum::routing::any(nothing_here).layer(unmatched).with_state(()))
        .with_state(app)
}

fn new_edge(settings: &Settings, method: &str, path: &'static str) -> Edge {
    Edge {
        metrics: RouteMetrics::new(method, path),
        uri_bytes_max: settings.http.uri_bytes_max,
        timeout: Duration::from_millis(settings.http.request_timeout_ms),
    }
}

async fn nothing_here() -> impl IntoResponse {
    Problem::new(Code::NotFound, "no route has this path; see /api/docs")
}

async fn wrong_method() -> impl IntoResponse {
    Problem::new(Code::MethodNotAllowed, "see the Allow header and /api/docs")
}
