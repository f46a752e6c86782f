//! `/health`: does the provider still keep its books? Open to all.

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;

use super::{App, Problem};
use crate::time::Time;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/health", get(health))
}

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
    /// By the sandbox's clock.
    now: Time,
}

async fn health(State(shop): State<App>) -> Result<Json<Health>, Problem> {
    let now = shop.books.ask(|books| books.now()).await?;
    Ok(Json(Health { status: "ok", now }))
}
