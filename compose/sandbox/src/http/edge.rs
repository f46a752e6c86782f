//! The edge of every route but `/health`: the API key, and the faults that were asked for.

use std::time::Duration;

use aws_lc_rs::constant_time;
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use secrecy::ExposeSecret;

use super::{
    App, Problem, Shop,
    faults::{Fault, Operation},
};
use crate::tokens::Answering;

/// A mark on a response: break the connection off instead of sending it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokenOff;

/// A mark on a response: how a special token wants it answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered(pub(super) Answering);

pub(super) async fn edge(State(shop): State<App>, request: Request, next: Next) -> Response {
    if !authorized(&shop, request.headers()) {
        let detail = "send Authorization: Bearer and the API key";
        return Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).into_response();
    }
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let operation = route.and_then(|route| Operation::of(request.method(), route));
    let mut answering = match operation.and_then(|operation| shop.faults.take(operation)) {
        None | Some(Fault::ActAs(_)) => Answering::Promptly,
        Some(Fault::Unavailable) => {
            return Problem::unavailable("unavailable", "the provider is down, on request").into_response();
        }
        Some(Fault::InternalError) => return Problem::internal().into_response(),
        Some(Fault::Disconnect) => return broken_off(),
        Some(Fault::Slow) => Answering::Slowly,
        Some(Fault::ErrorAfterSuccess) => Answering::WithError,
        Some(Fault::TimeoutAfterSuccess) => Answering::NotAtAll,
    };
    let mut response = next.run(request).await;
    if let Some(Answered(asked)) = response.extensions_mut().remove::<Answered>()
        && answering == Answering::Promptly
    {
        answering = asked;
    }
    if response.status().is_success() { answer(&shop, response, answering).await } else { response }
}

async fn answer(shop: &Shop, response: Response, answering: Answering) -> Response {
    match answering {
        Answering::Promptly => response,
        Answering::Slowly => {
            tokio::time::sleep(Duration::from_millis(shop.timing.slow_ms)).await;
            response
        }
        Answering::NotAtAll => {
            tokio::time::sleep(Duration::from_millis(shop.timing.hold_ms)).await;
            broken_off()
        }
        Answering::WithError | Answering::WithErrorUndone => Problem::internal().into_response(),
    }
}

fn broken_off() -> Response {
    let mut response = StatusCode::BAD_GATEWAY.into_response();
    response.extensions_mut().insert(BrokenOff);
    response
}

fn authorized(shop: &Shop, headers: &HeaderMap) -> bool {
    let sent = headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
    let key = sent.and_then(|sent| sent.strip_prefix(b"Bearer ")).unwrap_or_default();
    constant_time::verify_slices_are_equal(key, shop.api_key.expose_secret().as_bytes()).is_ok()
}
