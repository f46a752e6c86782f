//! `/v1/refunds`: money that goes back to the card it came from.

use axum::{
    Json, Router,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    App, Problem, found,
    input::{Amount, Body, ListQuery, Query, Reference},
    made,
};
use crate::books::{
    page::{Page, page},
    refunds::{Refund, RefundOrder},
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/refunds", post(create).get(list))
        .route("/v1/refunds/{id}", get(one))
        .route("/v1/refunds/by-reference/{reference}", get(by_reference))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRefund {
    reference: Reference,
    /// The id of the charge.
    charge: String,
    amount: Amount,
}

async fn create(State(shop): State<App>, Body(new): Body<NewRefund>) -> Result<Response, Problem> {
    let order = RefundOrder { reference: new.reference.0, charge: new.charge, amount: new.amount.0 };
    Ok(made(shop.books.ask(|books| books.create_refund(order)).await??))
}

async fn one(State(shop): State<App>, Path(id): Path<String>) -> Result<Json<Refund>, Problem> {
    found(shop.books.ask(move |books| books.refund(&id)).await?)
}

async fn by_reference(
    State(shop): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<Refund>, Problem> {
    found(shop.books.ask(move |books| books.refund_by_reference(&reference)).await?)
}

async fn list(
    State(shop): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Refund>>, Problem> {
    let span = query.plain_span()?;
    Ok(Json(shop.books.ask(move |books| page(books.refunds(), span, |_| true)).await?))
}
