//! What every request is accompanied by: its correlation id and its trace.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, request::Parts};
use uuid::Uuid;

use super::{
    Problem,
    operation::{Input, Operation},
};

/// The header that ties together all that one request led to.
pub const CORRELATION_HEADER: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT_HEADER: HeaderName = HeaderName::from_static("traceparent");
const CORRELATION_BYTES_MAX: usize = 64;

/// Accompanies a request from the edge to the log.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// `METHOD path`, as asked for, without the query.
    pub operation: String,
    /// The path asked for, without the query.
    pub path: String,
    /// The client's `X-Correlation-Id`, or a fresh one.
    pub correlation_id: String,
    /// W3C trace context: the client's, or a fresh root.
    pub traceparent: String,
}

impl RequestContext {
    /// Of a command that was typed at the machine itself.
    pub fn of_command_line(operation: &str) -> Self {
        let fresh = Uuid::now_v7();
        Self {
            operation: operation.to_owned(),
            path: String::new(),
            correlation_id: fresh.simple().to_string(),
            traceparent: root_trace(fresh),
        }
    }

    /// Reads it from the request's line and headers.
    pub fn new(method: &http::Method, path: &str, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let fresh = Uuid::now_v7();
        Self {
            operation: format!("{method} {path}"),
            path: path.to_owned(),
            correlation_id: text(CORRELATION_HEADER)
                .filter(|id| is_correlation_id(id))
                .map_or_else(|| fresh.simple().to_string(), str::to_owned),
            traceparent: text(TRACEPARENT_HEADER)
                .filter(|value| is_traceparent(value))
                .map_or_else(|| root_trace(fresh), str::to_owned),
        }
    }
}

fn is_correlation_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=CORRELATION_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

/// Version 00: `00-<32 hex>-<16 hex>-<2 hex>`, neither id all zeros.
fn is_traceparent(value: &str) -> bool {
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let not_zero = |part: &str| part.bytes().any(|byte| byte != b'0');
    let mut parts = value.split('-');
    match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("00"), Some(trace), Some(span), Some(flags), None) => {
            hex(trace, 32) && not_zero(trace) && hex(span, 16) && not_zero(span) && hex(flags, 2)
        }
        _ => false,
    }
}

fn root_trace(fresh: Uuid) -> String {
    let trace = fresh.simple().to_string();
    // The random half of the id serves as the span's.
    format!("00-{trace}-{}-00", &trace[16..])
}

/// The context, as a handler asks for it.
#[derive(Clone, Debug)]
pub struct Accompanied(pub Arc<RequestContext>);

impl<S: Sync> FromRequestParts<S> for Accompanied {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Arc<RequestContext>>()
            .cloned()
            .map(Self)
            .ok_or_else(|| Problem::internal(&"a route without an edge"))
    }
}

impl Input for Accompanied {
    fn describe(_: &mut Operation) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_trace_contexts_are_taken_over() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        assert!(is_traceparent(&root_trace(Uuid::now_v7())));
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_correlation_id_is_short_and_plain() {
        assert!(is_correlation_id("order-7.retry_2"));
        assert!(!is_correlation_id(""));
        assert!(!is_correlation_id(&"a".repeat(65)));
        assert!(!is_correlation_id("a b"));
    }
}
