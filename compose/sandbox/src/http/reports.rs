//! `/v1/entries` and `/v1/balances`: the books, for reconciliation.

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;

use super::{
    App, Problem,
    input::{ListQuery, Query},
};
use crate::{
    books::{
        ledger::{Entry, TrialBalance},
        page::{Page, page},
    },
    time::Time,
};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/v1/entries", get(entries)).route("/v1/balances", get(balances))
}

async fn entries(
    State(shop): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Entry>>, Problem> {
    let span = query.plain_span()?;
    Ok(Json(shop.books.ask(move |books| page(books.ledger().entries(), span, |_| true)).await?))
}

#[derive(Debug, Serialize)]
struct Balances {
    /// By the sandbox's clock.
    at: Time,
    currencies: Vec<TrialBalance>,
}

async fn balances(State(shop): State<App>) -> Result<Json<Balances>, Problem> {
    let balances = |books: &mut crate::books::Books| Balances {
        at: books.now(),
        currencies: books.ledger().trial_balance(),
    };
    Ok(Json(shop.books.ask(balances).await?))
}
