//! What a client wants of a command beside its body: to be heard once, and only at a version it knows.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use commands::Actor;
use events::{Version, ids::CommandId};
use http::{HeaderName, header, request::Parts};

use super::{
    Code, Problem, RequestContext,
    context::Accompanied,
    operation::{Input, Operation},
};
use crate::{
    app::App,
    consistency::{Seen, describe_header},
};

/// The header that makes a repetition harmless.
pub const IDEMPOTENCY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// The same, as documentation writes it.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const KEY_BYTES_MAX: usize = 128;

/// The `Idempotency-Key` of a request, if any, and what accompanies it.
#[derive(Clone, Debug)]
pub struct Intent {
    /// What accompanies the request.
    pub context: Arc<RequestContext>,
    /// What the client has seen; this process knows of it.
    pub seen: Seen,
    key: Option<String>,
}

impl Intent {
    /// Of a command that is never a repetition.
    pub fn without_key(context: Arc<RequestContext>, seen: Seen) -> Self {
        Self { context, seen, key: None }
    }

    /// The command's id: the same for the same caller, operation and key; fresh without a key.
    pub fn command_id(&self, actor: &Actor) -> CommandId {
        match &self.key {
            Some(_) => self.command_id_of(&actor.to_string()),
            None => CommandId::fresh(),
        }
    }

    /// The same for somebody who is not logged in, and is known by `caller` instead.
    pub fn command_id_of(&self, caller: &str) -> CommandId {
        match &self.key {
            Some(key) => CommandId::from_key(caller, &self.context.operation, key),
            None => CommandId::fresh(),
        }
    }
}

impl FromRequestParts<App> for Intent {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let key = match parts.headers.get(IDEMPOTENCY_HEADER) {
            None => None,
            Some(value) => Some(value.to_str().ok().filter(|key| is_key(key)).ok_or_else(|| {
                Problem::new(Code::InvalidHeader, "Idempotency-Key takes 1 to 128 visible ASCII characters")
            })?),
        };
        let key = key.map(str::to_owned);
        let seen = Seen::of(parts, app).await?;
        let Accompanied(context) = Accompanied::from_request_parts(parts, app).await?;
        Ok(Self { context, seen, key })
    }
}

/// The same where money moves: the `Idempotency-Key` is required, since a repetition that nobody could tell from a second
/// wish would move it twice.
#[derive(Clone, Debug)]
pub struct KeyedIntent(pub Intent);

impl FromRequestParts<App> for KeyedIntent {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let intent = Intent::from_request_parts(parts, app).await?;
        match &intent.key {
            Some(_) => Ok(Self(intent)),
            None => Err(Problem::new(
                Code::IdempotencyKeyMissing,
                "send an Idempotency-Key: with it, a repetition moves no money twice",
            )),
        }
    }
}

impl Input for KeyedIntent {
    fn describe(operation: &mut Operation) {
        Intent::describe(operation);
        operation.required_headers.push(IDEMPOTENCY_KEY);
        operation.problems.insert(Code::IdempotencyKeyMissing);
    }
}

fn is_key(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Input for Intent {
    fn describe(operation: &mut Operation) {
        operation.request_headers.push((
            IDEMPOTENCY_KEY,
            "Up to 128 visible ASCII characters. A repetition with the same key has no second effect and gets the \
             same answer; with another content it is refused.",
        ));
        describe_header(operation);
        operation.problems.extend([
            Code::InvalidHeader,
            Code::IdempotencyKeyReused,
            Code::Contended,
            Code::Unavailable,
            Code::InDoubt,
            Code::Overloaded,
        ]);
    }
}

/// The version that `If-Match` asks for, if it asks.
#[derive(Clone, Copy, Debug)]
pub struct IfMatch(pub Option<Version>);

impl FromRequestParts<App> for IfMatch {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let version = value.to_str().ok().and_then(|text| {
            let digits = text.trim().strip_prefix('"')?.strip_suffix('"')?;
            let canonical = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<Version>().ok().filter(|_| canonical)
        });
        match version {
            Some(version) => Ok(Self(Some(version))),
            None => Err(Problem::new(
                Code::InvalidHeader,
                "If-Match takes one version in quotes, as ETag gives it",
            )),
        }
    }
}

impl Input for IfMatch {
    fn describe(operation: &mut Operation) {
        operation.request_headers.push((
            "If-Match",
            "The version the command is meant for, as `ETag` gave it; another one is refused.",
        ));
        operation.problems.extend([Code::InvalidHeader, Code::VersionMismatch]);
    }
}
