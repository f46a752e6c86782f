//! `/v1/charges`: money taken from a card.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    App, Problem,
    faults::Operation,
    found,
    input::{Amount, Body, ListQuery, Query, Reference},
    made_answering,
};
use crate::books::{
    charges::{Charge, ChargeOrder},
    fact::Capture,
    page::{Page, page},
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/charges", post(create).get(list))
        .route("/v1/charges/{id}", get(one))
        .route("/v1/charges/{id}/capture", post(capture))
        .route("/v1/charges/{id}/cancel", post(cancel))
        .route("/v1/charges/by-reference/{reference}", get(by_reference))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCharge {
    reference: Reference,
    amount: Amount,
    /// A payment method token.
    method: String,
    #[serde(default)]
    capture: Capture,
}

async fn create(State(shop): State<App>, Body(new): Body<NewCharge>) -> Result<Response, Problem> {
    let order = ChargeOrder {
        reference: new.reference.0,
        amount: new.amount.0,
        method: new.method,
        capture: new.capture,
    };
    let faults = Arc::clone(&shop);
    let act_as = move || faults.faults.take_act_as(Operation::CreateCharge);
    let charge = shop.books.ask(|books| books.create_charge(order, act_as)).await??;
    Ok(made_answering(charge, |charge| charge.token.answering))
}

async fn one(State(shop): State<App>, Path(id): Path<String>) -> Result<Json<Charge>, Problem> {
    found(shop.books.ask(move |books| books.charge(&id)).await?)
}

async fn by_reference(
    State(shop): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<Charge>, Problem> {
    found(shop.books.ask(move |books| books.charge_by_reference(&reference)).await?)
}

async fn list(
    State(shop): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Charge>>, Problem> {
    let span = query.plain_span()?;
    Ok(Json(shop.books.ask(move |books| page(books.charges(), span, |_| true)).await?))
}

async fn capture(State(shop): State<App>, Path(id): Path<String>) -> Result<Json<Charge>, Problem> {
    Ok(Json(shop.books.ask(move |books| books.capture_charge(&id)).await??))
}

async fn cancel(State(shop): State<App>, Path(id): Path<String>) -> Result<Json<Charge>, Problem> {
    Ok(Json(shop.books.ask(move |books| books.cancel_charge(&id)).await??))
}
