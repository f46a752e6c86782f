//! The edge around every route: correlation, time limit, panics, problems, headers, metrics, one log line.
//!
//! One layer does all of it, so that a request is wrapped once.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::Request,
    extract::State,
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{Code, Problem, RequestContext, context::CORRELATION_HEADER};
use crate::metering::RouteMetrics;

/// What the edge of one route needs.
#[derive(Debug)]
pub struct Edge {
    /// Counts and times the route.
    pub metrics: RouteMetrics,
    /// Longer paths and queries are refused.
    pub uri_bytes_max: usize,
    /// Longer requests are given up.
    pub timeout: Duration,
}

/// Headers on every answer. The API serves data, and its one page brings all it needs with it.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Carries one request through the edge of its route.
pub async fn edge(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let context = Arc::new(RequestContext::new(&method, request.uri().path(), request.headers()));
    let uri_bytes = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let mut response = if uri_bytes > edge.uri_bytes_max {
        Problem::new(Code::UriTooLong, format!("it may have {} bytes", edge.uri_bytes_max)).into_response()
    } else {
        request.extensions_mut().insert(Arc::clone(&context));
        bounded(&edge, request, next).await
    };
    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = &problem {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.render(&context);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    add_headers(&mut response, &context);
    let took = began.elapsed();
    edge.metrics.record(response.status(), took);
    let cause = problem.as_ref().and_then(Problem::cause);
    log(&edge, &method, &context, response.status(), took, cause);
    response
}

async fn bounded(edge: &Edge, request: Request, next: Next) -> Response {
    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(edge.timeout, run).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => Problem::internal(&panic_text(&*panic)).into_response(),
        Err(_) => {
            Problem::new(Code::Timeout, "repeat a command with the same Idempotency-Key").into_response()
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&'static str>().copied());
    format!("a handler panicked: {}", text.unwrap_or("without words"))
}

fn add_headers(response: &mut Response, context: &RequestContext) {
    let headers = response.headers_mut();
    let correlation = HeaderValue::try_from(&context.correlation_id);
    headers.insert(
        CORRELATION_HEADER,
        correlation.expect("a correlation id is letters, digits, dots and dashes"),
    );
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(value);
    }
}

/// The one line of a request. What went well is worth it only to who looks for it.
fn log(
    edge: &Edge,
    method: &http::Method,
    context: &RequestContext,
    status: StatusCode,
    took: Duration,
    cause: Option<&str>,
) {
    let route = edge.metrics.route();
    let correlation_id = context.correlation_id.as_str();
    let latency_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let code = status.as_u16();
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(correlation_id, %method, route, status = code, latency_us, cause, "answered");
    } else if status.is_server_error() {
        tracing::warn!(correlation_id, %method, route, status = code, latency_us, cause, "answered");
    } else {
        tracing::debug!(correlation_id, %method, route, status = code, latency_us, "answered");
    }
}
