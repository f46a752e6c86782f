//! `/v1/payouts`: money that goes to a payee's bank.

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
    page::{Page, page},
    payouts::{Payout, PayoutOrder},
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/payouts", post(create).get(list))
        .route("/v1/payouts/{id}", get(one))
        .route("/v1/payouts/by-reference/{reference}", get(by_reference))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPayout {
    reference: Reference,
    amount: Amount,
    /// A destination token.
    destination: String,
}

async fn create(State(shop): State<App>, Body(new): Body<NewPayout>) -> Result<Response, Problem> {
    let order =
        PayoutOrder { reference: new.reference.0, destination: new.destination, amount: new.amount.0 };
    let faults = Arc::clone(&shop);
    let act_as = move || faults.faults.take_act_as(Operation::CreatePayout);
    let payout = shop.books.ask(|books| books.create_payout(order, act_as)).await??;
    Ok(made_answering(payout, |payout| payout.token.answering))
}

async fn one(State(shop): State<App>, Path(id): Path<String>) -> Result<Json<Payout>, Problem> {
    found(shop.books.ask(move |books| books.payout(&id)).await?)
}

async fn by_reference(
    State(shop): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<Payout>, Problem> {
    found(shop.books.ask(move |books| books.payout_by_reference(&reference)).await?)
}

async fn list(
    State(shop): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Payout>>, Problem> {
    let span = query.plain_span()?;
    Ok(Json(shop.books.ask(move |books| page(books.payouts(), span, |_| true)).await?))
}
