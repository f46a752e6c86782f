//! `/v1/events`: what the merchant was told, or could not be told.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, post},
};
use http::StatusCode;

use super::{
    App, Problem, found,
    input::{ListQuery, Query},
};
use crate::books::{events::EventLine, page::Page};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/events", get(list))
        .route("/v1/events/{id}", get(one))
        .route("/v1/events/{id}/resend", post(resend))
}

async fn list(
    State(shop): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<EventLine>>, Problem> {
    let span = query.span()?;
    let delivery = query.delivery;
    if delivery.as_deref().is_some_and(|wanted| !["pending", "delivered", "undelivered"].contains(&wanted)) {
        let detail = "delivery is pending, delivered or undelivered";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail));
    }
    Ok(Json(shop.books.ask(move |books| books.events().page(span, delivery.as_deref())).await?))
}

async fn one(State(shop): State<App>, Path(id): Path<String>) -> Result<Json<EventLine>, Problem> {
    found(shop.books.ask(move |books| books.events().get(&id).cloned().map(EventLine::from)).await?)
}

async fn resend(State(shop): State<App>, Path(id): Path<String>) -> Result<Json<EventLine>, Problem> {
    let event = shop.books.ask(move |books| books.requeue(&id)).await??;
    Ok(Json(event.into()))
}
