//! One request to the sandbox and its answer, both bounded in time and size.

use std::time::Duration;

use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use secrecy::{ExposeSecret, SecretString};

/// Idle connections kept open.
const IDLE_MAX: usize = 16;
/// A larger answer is none that we asked for. Bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A client of one provider. Redirects are not followed, and failed requests not repeated.
pub(super) struct HttpClient {
    http: Client<HttpConnector, Full<Bytes>>,
    base: String,
    authorization: HeaderValue,
    timeout: Duration,
}

impl std::fmt::Debug for HttpClient {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient")
            .field("base", &self.base)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// There was no connection: the request never left.
    NotSent(String),
    /// It may have arrived.
    Lost(String),
}

impl HttpClient {
    pub(super) fn new(url: &str, api_key: SecretString, timeout_ms: u64) -> Result<Self, String> {
        let base: Uri = url.parse().map_err(|error| format!("the provider's URL: {error}"))?;
        let plain = base.scheme_str() == Some("http") && base.host().is_some_and(|host| !host.is_empty());
        if !plain || base.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err("the sandbox's URL is http://host:port: it speaks no TLS and has no path".to_owned());
        }
        if timeout_ms == 0 {
            return Err("the provider's timeout is more than 0".to_owned());
        }
        let bearer = format!("Bearer {}", api_key.expose_secret());
        let mut authorization = HeaderValue::from_str(&bearer)
            .map_err(|_| "the API key does not fit into a header".to_owned())?;
        authorization.set_sensitive(true);
        let timeout = Duration::from_millis(timeout_ms);
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_MAX)
            // Whether a request is sent again is decided with its outcome in view.
            .retry_canceled_requests(false)
            .build(connector);
        Ok(Self { http, base: url.trim_end_matches('/').to_owned(), authorization, timeout })
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, NoAnswer> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "guildhall")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| NoAnswer::NotSent(error.to_string()))?;
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(NoAnswer::Lost("no answer in time".to_owned())),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
        let answer = self.http.request(request).await.map_err(|error| {
            let reason = with_causes(&error);
            if error.is_connect() { NoAnswer::NotSent(reason) } else { NoAnswer::Lost(reason) }
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| NoAnswer::Lost(format!("the answer broke off: {error}")))?;
        Ok(Answer { status: head.status, body: body.to_bytes().to_vec() })
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
