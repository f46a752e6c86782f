//! The HTTP surface: `/v1` as a provider has it, `/control` as only a sandbox has it, and `/health`.

mod charges;
mod control;
mod edge;
mod events;
mod faults;
mod health;
mod input;
mod payouts;
mod problem;
mod refunds;
mod reports;

use std::sync::Arc;

use axum::{
    Json, Router,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use secrecy::SecretString;
use tokio::sync::watch;

use edge::Answered;
pub(crate) use edge::BrokenOff;
pub(crate) use faults::Faults;
use problem::Problem;

use crate::{
    bookkeeper::Bookkeeper,
    books::Made,
    settings::{Disorder, Timing, WebhookTarget},
    tokens::Answering,
};

/// A body larger than this is refused.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What every handler can reach.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) books: Bookkeeper,
    pub(crate) api_key: SecretString,
    pub(crate) timing: Timing,
    pub(crate) faults: Faults,
    pub(crate) target: watch::Sender<Option<WebhookTarget>>,
    pub(crate) disorder: watch::Sender<Disorder>,
}

type App = Arc<Shop>;

/// The router over this shop.
pub(crate) fn router(shop: App) -> Router {
    let locked = Router::new()
        .merge(charges::routes())
        .merge(refunds::routes())
        .merge(payouts::routes())
        .merge(events::routes())
        .merge(reports::routes())
        .merge(control::routes())
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&shop), edge::edge))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new()
        .merge(locked)
        .merge(health::routes())
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "see the Allow header")
        })
        .with_state(shop)
}

/// 201 for what was made now, 200 for what the same order had made before.
fn made<T: serde::Serialize>(made: Made<T>) -> Response {
    match made {
        Made::Now(made) => (StatusCode::CREATED, Json(made)).into_response(),
        Made::Before(made) => Json(made).into_response(),
    }
}

/// As [`made`], in the way that the token asks for. A repetition is answered as it should be: else nobody could ever learn
/// what became of the first.
fn made_answering<T: serde::Serialize>(
    made_or_known: Made<T>,
    answering_of: impl FnOnce(&T) -> Answering,
) -> Response {
    let answering = match &made_or_known {
        Made::Now(new) => answering_of(new),
        Made::Before(_) => Answering::Promptly,
    };
    let mut response = made(made_or_known);
    response.extensions_mut().insert(Answered(answering));
    response
}

/// What there is, or 404.
fn found<T: serde::Serialize>(found: Option<T>) -> Result<Json<T>, Problem> {
    found.map(Json).ok_or_else(|| crate::books::refusal::Refusal::NotFound.into())
}
