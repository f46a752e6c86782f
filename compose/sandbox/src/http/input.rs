//! What handlers read: bodies and queries, typed, bounded, and refused with a code.

use axum::extract::{FromRequest, FromRequestParts, Request, rejection::JsonRejection};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::{App, Problem};
use crate::{books::page::Span, money::Money, time::Time};

/// A JSON body of a known type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        match axum::Json::<T>::from_request(request, app).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(JsonRejection::JsonDataError(error)) => Err(Problem::invalid(error.body_text())),
            Err(error) => Err(Problem::new(error.status(), "malformed", error.body_text())),
        }
    }
}

/// The parameters of the query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query
            .map(|query| Self(query.0))
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "invalid_query", error.body_text()))
    }
}

/// Items of a page, unless said otherwise.
const LIMIT: usize = 50;
const LIMIT_MAX: usize = 200;

/// Which part of a list: `from` (inclusive) and `to` (exclusive) in RFC 3339, `after` as the page before said, `limit`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    from: Option<Time>,
    to: Option<Time>,
    after: Option<usize>,
    limit: Option<usize>,
    /// Of events only.
    pub(super) delivery: Option<String>,
}

impl ListQuery {
    pub(super) fn span(&self) -> Result<Span, Problem> {
        let limit = self.limit.unwrap_or(LIMIT);
        if limit == 0 || limit > LIMIT_MAX {
            let detail = format!("limit is 1 to {LIMIT_MAX}");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail));
        }
        Ok(Span { from: self.from, to: self.to, after: self.after.unwrap_or(0), limit })
    }

    /// For lists that have no deliveries.
    pub(super) fn plain_span(&self) -> Result<Span, Problem> {
        if self.delivery.is_some() {
            let detail = "delivery is a parameter of /v1/events";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail));
        }
        self.span()
    }
}

const REFERENCE_BYTES_MAX: usize = 128;
/// The largest amount of one order, in minor units.
const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000;

/// The merchant's reference of an order: its idempotency key, for ever.
#[derive(Clone, Debug)]
pub(super) struct Reference(pub(super) String);

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if text.is_empty() || text.len() > REFERENCE_BYTES_MAX || !text.bytes().all(plain) {
            return Err(serde::de::Error::custom("a reference has 1 to 128 of A-Z a-z 0-9 . _ : -"));
        }
        Ok(Self(text))
    }
}

/// The amount of an order: more than nothing, and not absurd.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount(pub(super) Money);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let money = Money::deserialize(deserializer)?;
        if money.minor <= 0 || money.minor > AMOUNT_MINOR_MAX {
            return Err(serde::de::Error::custom("an amount is 1 to 1000000000000 minor units"));
        }
        Ok(Self(money))
    }
}
