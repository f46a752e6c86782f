//! What handlers answer: JSON with version, place and consistency token.

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use events::Version;
use http::{HeaderName, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::operation::{Operation, Output, schema_of};

/// The header of the consistency token, on answers to commands and on queries.
pub const CONSISTENCY_HEADER: HeaderName = HeaderName::from_static("guildhall-consistency");

/// 200 with a JSON body.
#[derive(Debug)]
pub struct Answer<T> {
    body: T,
    version: Option<Version>,
    consistency: Option<String>,
}

impl<T> Answer<T> {
    /// 200 with this body.
    pub fn new(body: T) -> Self {
        Self { body, version: None, consistency: None }
    }

    /// With the version of what it is about, as `ETag`.
    #[must_use]
    pub fn at(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// With the token that lets a query wait for what the command did.
    #[must_use]
    pub fn consistent(mut self, token: Option<String>) -> Self {
        self.consistency = token;
        self
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self)
    }
}

fn json<T: Serialize>(status: StatusCode, answer: &Answer<T>) -> Response {
    let body = match serde_json::to_vec(&answer.body) {
        Ok(body) => body,
        Err(error) => return super::Problem::internal(&error).into_response(),
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(version) = answer.version {
        let tag = HeaderValue::try_from(format!("\"{version}\""));
        headers.insert(header::ETAG, tag.expect("digits and quotes are a header value"));
    }
    if let Some(token) = &answer.consistency {
        let token = HeaderValue::try_from(token).expect("base64url is a header value");
        headers.insert(CONSISTENCY_HEADER, token);
    }
    response
}

impl<T: JsonSchema> Output for Answer<T> {
    fn describe(operation: &mut Operation) {
        operation.success = (200, "application/json", Some(schema_of::<T>));
        if operation.method == http::Method::GET {
            return;
        }
        operation.answer_headers.extend(COMMAND_HEADERS);
    }
}

const COMMAND_HEADERS: [(&str, &str); 2] = [
    ("ETag", "The version after the command, for If-Match."),
    ("Guildhall-Consistency", "Send it with a query, and the query waits for what this command did."),
];

/// 200 with one document, whose version is its `ETag`.
#[derive(Debug)]
pub struct Document<T>(pub Answer<T>);

impl<T: Serialize> IntoResponse for Document<T> {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl<T: JsonSchema> Output for Document<T> {
    fn describe(operation: &mut Operation) {
        operation.success = (200, "application/json", Some(schema_of::<T>));
        operation.answer_headers.push(("ETag", "Its version, for If-Match."));
    }
}

/// 201 with a JSON body and the place of what was made.
#[derive(Debug)]
pub struct Created<T> {
    answer: Answer<T>,
    location: String,
}

impl<T> Created<T> {
    /// What was made stands at `location` from now on.
    pub fn new(location: String, answer: Answer<T>) -> Self {
        Self { answer, location }
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::CREATED, &self.answer);
        let location = HeaderValue::try_from(self.location).expect("paths of ids are a header value");
        response.headers_mut().insert(header::LOCATION, location);
        response
    }
}

impl<T: JsonSchema> Output for Created<T> {
    fn describe(operation: &mut Operation) {
        operation.success = (201, "application/json", Some(schema_of::<T>));
        operation.answer_headers.push(("Location", "Where it stands."));
        operation.answer_headers.extend(COMMAND_HEADERS);
    }
}

/// 200 with text of some content type, made elsewhere.
#[derive(Debug)]
pub struct Text {
    content_type: &'static str,
    text: Bytes,
}

impl Text {
    /// 200 with this text.
    pub fn new(content_type: &'static str, text: impl Into<Bytes>) -> Self {
        Self { content_type, text: text.into() }
    }
}

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        let mut response = self.text.into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        response
    }
}

impl Output for Text {
    fn describe(operation: &mut Operation) {
        operation.success = (200, "text/plain", None);
    }
}
