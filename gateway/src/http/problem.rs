//! A problem document (RFC 9457): what went wrong, with a stable code.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use commands::{CommandError, Conflict, Outage, Rejection, RejectionKind};
use http::{HeaderValue, StatusCode, header};
use projections::StoreError;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Code, RequestContext, rejections::status_of};

/// Seconds a client should wait before it tries again what was refused for lack of room or a short outage.
const RETRY_AFTER_S: u32 = 1;

/// An answer that says no. Its `instance` and `trace_id` are added on the way out.
#[derive(Clone, Debug)]
pub struct Problem(Box<Content>);

#[derive(Clone, Debug)]
struct Content {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after_s: Option<u32>,
    more: Vec<(&'static str, Value)>,
    /// For our logs only.
    cause: Option<String>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldError {
    /// Where it stands in the body, dots between names: `budget.min.amount`.
    pub field: String,
    /// A stable code.
    pub code: Cow<'static, str>,
    /// For people.
    pub message: String,
}

/// The document as it goes over the wire.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemDocument<'a> {
    /// Where the code is explained; relative to this server.
    #[serde(rename = "type")]
    problem_type: String,
    /// A short sentence, the same at every occurrence of the code.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    detail: &'a str,
    /// The path that was asked for.
    instance: &'a str,
    /// A stable code, to be compared by programs.
    code: &'a str,
    /// The correlation id under which the server logged it.
    trace_id: &'a str,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    /// What else a code brings.
    #[serde(flatten)]
    more: serde_json::Map<String, Value>,
}

impl Problem {
    /// A problem with one of the gateway's own codes.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let again = code.status() == StatusCode::SERVICE_UNAVAILABLE;
        Self(Box::new(Content {
            status: code.status(),
            code: code.code(),
            title: code.title(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: again.then_some(RETRY_AFTER_S),
            more: Vec::new(),
            cause: None,
        }))
    }

    /// There is no such thing, or the caller may not know that there is.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "nothing here, or nothing you may see")
    }

    /// Something that must not happen happened. `cause` is logged and never told.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        Self::new(Code::Internal, "it was logged under this trace_id").because(cause)
    }

    /// The machinery is away. `cause` is logged and never told.
    pub fn unavailable(cause: &dyn std::fmt::Display) -> Self {
        Self::new(Code::Unavailable, "this attempt did nothing; try again").because(cause)
    }

    fn because(mut self, cause: &dyn std::fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// A problem with one field.
    pub fn field(code: Code, field: impl Into<String>, message: impl Into<String>) -> Self {
        let error = FieldError { field: field.into(), code: code.code().into(), message: message.into() };
        let detail = format!("{}: {}", error.field, error.message);
        Self::new(code, detail).with_errors(vec![error])
    }

    /// With what is wrong with each field.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// With one more member of the document.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.more.push((name, value.into()));
        self
    }

    /// What the rules of the marketplace refused.
    pub fn rejected<R: Rejection>(rejection: &R) -> Self {
        let kind = rejection.kind();
        let status = status_of(kind);
        let title = match kind {
            RejectionKind::NotFound => "There is no such thing",
            RejectionKind::Forbidden => "Not allowed",
            RejectionKind::State => "Its state does not allow this",
            RejectionKind::Invalid => "It makes no sense as asked",
        };
        Self(Box::new(Content {
            status,
            code: rejection.code(),
            title,
            detail: rejection.to_string().into(),
            errors: Vec::new(),
            retry_after_s: None,
            more: Vec::new(),
            cause: None,
        }))
    }

    /// The status it will be answered with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Its stable code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// What it is due to, for our logs only.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The response, complete: `instance` and `trace_id` come from the request.
    pub(crate) fn render(&self, context: &RequestContext) -> Response {
        let document = ProblemDocument {
            problem_type: format!("/api/docs#{}", self.0.code),
            title: self.0.title,
            status: self.0.status.as_u16(),
            detail: &self.0.detail,
            instance: &context.path,
            code: self.0.code,
            trace_id: &context.correlation_id,
            errors: &self.0.errors,
            more: self.0.more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        let body = serde_json::to_vec(&document).expect("a problem document has string keys only");
        let mut response = (self.0.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.0.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl<R: Rejection> From<CommandError<R>> for Problem {
    fn from(error: CommandError<R>) -> Self {
        match error {
            CommandError::Rejected(rejection) => Self::rejected(&rejection),
            CommandError::Conflict(conflict) => conflict.into(),
            CommandError::Outage(outage) => outage.into(),
        }
    }
}

impl From<Conflict> for Problem {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Version { expected, actual } => {
                Self::new(Code::VersionMismatch, format!("the version is {actual}, not {expected}"))
                    .with("version", actual)
            }
            Conflict::Contended => Self::new(Code::Contended, "this attempt did nothing; try again"),
            Conflict::CommandReused => Self::new(
                Code::IdempotencyKeyReused,
                "this Idempotency-Key stands for another request; use a fresh one",
            ),
        }
    }
}

/// What is told here is told of this attempt only: an earlier one with the same key may have done something.
impl From<Outage> for Problem {
    fn from(outage: Outage) -> Self {
        match &outage {
            Outage::TooLarge { limit, .. } => {
                Self::new(Code::TooLarge, format!("what it leads to exceeds {limit} bytes"))
            }
            Outage::Overloaded => Self::new(Code::Overloaded, "this attempt did nothing; try again later"),
            Outage::InDoubt(_) => {
                Self::new(Code::InDoubt, "repeat it with the same Idempotency-Key").because(&outage)
            }
            Outage::Unavailable(_) | Outage::UnknownEvent(_) | Outage::Damaged(_) => {
                Self::unavailable(&outage)
            }
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.detail)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Fenced => Self::unavailable(&error),
            StoreError::Refused(_) => Self::internal(&error),
        }
    }
}

impl IntoResponse for Problem {
    /// An empty response that carries the problem to the edge, where it is rendered.
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
