//! What handlers read: path, query and body, each typed, bounded and refused with a code.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
};
use garde::Validate;
use http::{header, request::Parts};
use http_body_util::{BodyExt, Limited};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{
    Code, FieldError, Problem,
    operation::{Input, Operation, schema_of},
};
use crate::app::App;

/// The parameters of the path. What is no id of the kind asked for names nothing: 404.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, app).await;
        path.map(|path| Self(path.0)).map_err(|_| Problem::not_found())
    }
}

impl<T: JsonSchema> Input for Path<T> {
    fn describe(operation: &mut Operation) {
        operation.parameters.push(("path", schema_of::<T>));
        operation.problems.insert(Code::NotFound);
    }
}

/// The parameters of the query.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Validate<Context = ()> + Send> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let axum::extract::Query(query) = axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map_err(|rejection| Problem::new(Code::InvalidQuery, source_text(&rejection)))?;
        query.validate().map_err(|report| {
            let errors = field_errors(&report, Code::InvalidQuery);
            Problem::new(Code::InvalidQuery, in_words(&errors)).with_errors(errors)
        })?;
        Ok(Self(query))
    }
}

impl<T: JsonSchema> Input for Query<T> {
    fn describe(operation: &mut Operation) {
        operation.parameters.push(("query", schema_of::<T>));
        operation.problems.insert(Code::InvalidQuery);
    }
}

/// The innermost cause: what was wrong with which parameter.
fn source_text(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The body: JSON of a known type, within bounds.
#[derive(Clone, Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + Validate<Context = ()> + Send> FromRequest<App> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let json = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| is_json(value.as_bytes()));
        if !json {
            return Err(Problem::new(Code::UnsupportedMediaType, "send Content-Type: application/json"));
        }
        let limit = app.settings.http.body_bytes_max;
        let bytes = collect(request.into_body(), limit).await?;
        let value: T = serde_json::from_slice(&bytes).map_err(|error| explain::<T>(&bytes, &error))?;
        value.validate().map_err(|report| invalid(&report))?;
        Ok(Self(value))
    }
}

/// A body's raw bytes, at most `limit` of them.
///
/// # Errors
/// [`Code::TooLarge`]; [`Code::MalformedJson`] when it broke off.
pub(crate) async fn collect(body: axum::body::Body, limit: usize) -> Result<Bytes, Problem> {
    let collected = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.downcast_ref::<http_body_util::LengthLimitError>().is_some() {
            Problem::new(Code::TooLarge, format!("a body may have {limit} bytes"))
        } else {
            Problem::new(Code::MalformedJson, "the body broke off")
        }
    })?;
    Ok(collected.to_bytes())
}

impl<T: JsonSchema> Input for Body<T> {
    fn describe(operation: &mut Operation) {
        operation.body = Some(schema_of::<T>);
        operation.problems.extend([
            Code::MalformedJson,
            Code::TooLarge,
            Code::UnsupportedMediaType,
            Code::UnknownField,
            Code::InvalidField,
        ]);
    }
}

fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

/// Reads the body once more, to say where it does not fit. Only a refused body pays for that.
fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::new(Code::MalformedJson, error.to_string());
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut reader) else {
        return Problem::new(Code::InvalidField, error.to_string());
    };
    let path = error.path().to_string();
    let message = without_place(&error.into_inner().to_string());
    if message.starts_with("unknown field") {
        return Problem::field(Code::UnknownField, path, message);
    }
    if message == events::MoneyError::UnknownCurrency.to_string() {
        return Problem::field(Code::UnknownCurrency, path, message);
    }
    Problem::field(Code::InvalidField, path, message)
}

/// serde_json ends its messages with ` at line 1 column 5`; the path says it better.
fn without_place(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(text, _)| text).to_owned()
}

/// What a validation found, as a problem.
pub(crate) fn invalid(report: &garde::Report) -> Problem {
    let errors = field_errors(report, Code::InvalidField);
    let positive = errors.iter().any(|error| error.code == Code::AmountNotPositive.code());
    let code = if positive { Code::AmountNotPositive } else { Code::InvalidField };
    Problem::new(code, in_words(&errors)).with_errors(errors)
}

fn field_errors(report: &garde::Report, default: Code) -> Vec<FieldError> {
    report
        .iter()
        .map(|(path, error)| {
            let message = error.message().to_owned();
            let positive = message == NOT_POSITIVE;
            let code = if positive { Code::AmountNotPositive } else { default };
            FieldError { field: path.to_string(), code: code.code().into(), message }
        })
        .collect()
}

fn in_words(errors: &[FieldError]) -> String {
    let each: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
    each.join("; ")
}

/// What [`positive`] says, by which it is recognised again.
const NOT_POSITIVE: &str = "must be more than zero";

/// A rule for garde: the amount is more than zero.
pub(crate) fn positive(money: &events::Money, (): &()) -> garde::Result {
    if money.is_positive() { Ok(()) } else { Err(garde::Error::new(NOT_POSITIVE)) }
}

/// A rule for garde: the text has something other than white space in it.
pub(crate) fn not_blank(text: &str, (): &()) -> garde::Result {
    if text.trim().is_empty() { Err(garde::Error::new("must not be blank")) } else { Ok(()) }
}

/// A rule for garde: ASCII only, so that the text has one spelling.
pub(crate) fn ascii(text: &str, (): &()) -> garde::Result {
    if text.is_ascii() { Ok(()) } else { Err(garde::Error::new("must be ASCII")) }
}

/// Characters of a token of the payment provider.
const TOKEN_MAX: usize = 200;

/// A rule for garde: visible ASCII without spaces, as providers name cards and accounts.
pub(crate) fn provider_token(text: &str, (): &()) -> garde::Result {
    let fits = (1..=TOKEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(()) } else { Err(garde::Error::new("takes 1 to 200 visible ASCII characters")) }
}

/// Characters of a slug.
const SLUG_MAX: usize = 64;

/// A rule for garde: words of lower-case letters and digits, with single dashes between them.
pub(crate) fn slug(text: &str, (): &()) -> garde::Result {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if text.len() <= SLUG_MAX && text.split('-').all(word) {
        return Ok(());
    }
    Err(garde::Error::new("must be lower-case words with dashes between them, at most 64 characters"))
}
