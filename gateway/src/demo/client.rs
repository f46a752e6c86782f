//! A client of the public HTTP API, as anybody could write one.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// Answers larger than this are not the API's.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What went wrong between the demo and the server.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No answer at all.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, String),
    /// An answer, and not the one the story needs.
    #[error("{0}")]
    Unexpected(String),
}

/// The servers, and who is talking to them. Requests go to one after the other; with more than one, each carries what the
/// answers before it stood for, so that the next server waits until it knows of that, too.
#[derive(Clone, Debug)]
pub struct Client {
    http: Http<HttpConnector, Full<Bytes>>,
    bases: Arc<[String]>,
    turn: Arc<AtomicUsize>,
    bearer: Option<HeaderValue>,
    seen: Memory,
}

/// The last consistency token of those who act together: it stands for all before it.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Option<HeaderValue>>>);

impl Memory {
    /// A memory of its own, of the same.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.token())))
    }

    fn token(&self) -> Option<HeaderValue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, token: &HeaderValue) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
    }
}

/// An answer of the API.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its body; null when it had none.
    pub body: Value,
    /// The consistency token, when there is one.
    pub consistency: Option<HeaderValue>,
}

impl Reply {
    /// The text at a JSON pointer; empty when there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The documents of a page.
    pub fn items(&self) -> &[Value] {
        self.body["items"].as_array().map_or(&[], Vec::as_slice)
    }

    /// This answer, if it has this status.
    ///
    /// # Errors
    /// What was answered instead.
    pub fn expect(self, status: StatusCode, what: &str) -> Result<Self, DemoError> {
        if self.status == status {
            return Ok(self);
        }
        let detail = [self.text("/code"), self.text("/detail")].join(": ");
        Err(DemoError::Unexpected(format!("{what}: {} instead of {status} ({detail})", self.status)))
    }
}

impl Client {
    /// A client of the servers at `bases`, `http://127.0.0.1:8080` each.
    pub fn new(bases: &[String]) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Http::builder(TokioExecutor::new()).build(connector);
        let bases = bases.iter().map(|base| base.trim_end_matches('/').to_owned()).collect();
        Self { http, bases, turn: Arc::default(), bearer: None, seen: Memory::default() }
    }

    /// What has been seen.
    pub fn memory(&self) -> &Memory {
        &self.seen
    }

    /// The same client, which remembers with those who share `memory`.
    #[must_use]
    pub fn remembering(&self, memory: &Memory) -> Self {
        Self { seen: memory.clone(), ..self.clone() }
    }

    /// A client of each server alone.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        let alone = |base: &String| Self { bases: Arc::from([base.clone()]), ..self.clone() };
        self.bases.iter().map(alone)
    }

    /// Whose turn it is.
    fn next_base(&self) -> &str {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.bases[turn % self.bases.len()]
    }

    /// The same client, as the holder of this token.
    ///
    /// # Errors
    /// When the token cannot stand in a header.
    pub fn bearing(&self, token: &str) -> Result<Self, DemoError> {
        let bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| DemoError::Unexpected("the token cannot stand in a header".into()))?;
        Ok(Self { bearer: Some(bearer), ..self.clone() })
    }

    /// `GET path`; with a consistency token it waits for what that command did.
    ///
    /// # Errors
    /// [`DemoError::Unreachable`].
    pub async fn get(&self, path: &str, after: Option<&HeaderValue>) -> Result<Reply, DemoError> {
        self.send(Method::GET, path, None, after).await
    }

    /// `GET path` as text, `/metrics` for instance.
    ///
    /// # Errors
    /// [`DemoError::Unreachable`].
    pub async fn get_text(&self, path: &str) -> Result<String, DemoError> {
        let (_, _, body) = self.exchange(Method::GET, path, None, None).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// `POST path` with a body, under an `Idempotency-Key` of its own.
    ///
    /// # Errors
    /// [`DemoError::Unreachable`].
    pub async fn post(&self, path: &str, body: Value) -> Result<Reply, DemoError> {
        self.send(Method::POST, path, Some(body), None).await
    }

    /// `PATCH path` with a body.
    ///
    /// # Errors
    /// [`DemoError::Unreachable`].
    pub async fn patch(&self, path: &str, body: Value) -> Result<Reply, DemoError> {
        self.send(Method::PATCH, path, Some(body), None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        after: Option<&HeaderValue>,
    ) -> Result<Reply, DemoError> {
        let (status, headers, body) = self.exchange(method, path, body, after).await?;
        let consistency = headers.get("guildhall-consistency").cloned();
        if let Some(token) = &consistency {
            self.seen.remember(token);
        }
        let body =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or(Value::Null) };
        Ok(Reply { status, body, consistency })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        after: Option<&HeaderValue>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), DemoError> {
        let base = self.next_base();
        let unreachable = |reason: String| DemoError::Unreachable(base.to_owned(), reason);
        let post = method == Method::POST;
        let mut request = Request::builder().method(method).uri(format!("{base}{path}"));
        let remembered = if self.bases.len() > 1 { self.seen.token() } else { None };
        if post {
            request = request.header("idempotency-key", uuid::Uuid::now_v7().to_string());
        }
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        if let Some(token) = remembered.as_ref().or(after) {
            request = request.header("guildhall-consistency", token);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).map_err(|error| unreachable(error.to_string()))?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.http.request(request))
            .await
            .map_err(|_| unreachable("no answer in time".into()))?
            .map_err(|error| unreachable(error.to_string()))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| unreachable(error.to_string()))?.to_bytes();
        Ok((head.status, head.headers, body))
    }
}
