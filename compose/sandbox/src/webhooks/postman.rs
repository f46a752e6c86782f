//! One attempt at one webhook.

use std::time::Duration;

use http::{Method, Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use secrecy::ExposeSecret;

use crate::{settings::WebhookTarget, signature, time::Time};

/// Idle connections kept open to the target.
const IDLE_MAX: usize = 8;

/// Sends webhooks over plain HTTP/1.1. Redirects are not followed: only a 2xx is an answer.
#[derive(Clone, Debug)]
pub(crate) struct Postman {
    http: Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

impl Postman {
    pub(crate) fn new(timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Self { http, timeout }
    }

    /// Delivers `body`, or says in a few words why not.
    pub(crate) async fn deliver(&self, target: &WebhookTarget, body: Bytes) -> Result<(), String> {
        let secrets = target.secrets().iter().map(|secret| secret.expose_secret().as_bytes());
        let signature = signature::sign(secrets, Time::of_the_machine().unix_seconds(), &body);
        let request = Request::builder()
            .method(Method::POST)
            .uri(target.url())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "guildhall-sandbox")
            .header(signature::HEADER, signature)
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        match tokio::time::timeout(self.timeout, self.http.request(request)).await {
            Err(_) => Err("no answer in time".into()),
            Ok(Err(error)) => Err(with_causes(&error)),
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(answer)) => Err(format!("answered {}", answer.status().as_u16())),
        }
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
