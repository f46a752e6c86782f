//! A sandbox provider of one's own: what we know of it, and what only a test can see and do.

use std::net::SocketAddr;

use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use sandbox::{Sandbox, Settings, Timing};
use secrecy::SecretString;
use serde_json::{Value, json};
use workers::payments::sandbox::{SandboxProvider, SandboxSettings};

pub const API_KEY: &str = "sk_sandbox_0123456789abcdef0123456789";
pub const WEBHOOK_SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";

/// A running sandbox.
pub struct Bank {
    pub sandbox: Sandbox,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// Quick, and it does not hold what it does not answer for long.
pub fn settings() -> Settings {
    let timing = Timing { answer_delay_ms: 5, slow_ms: 100, hold_ms: 50, ..Timing::default() };
    Settings { timing, ..Settings::new(SecretString::from(API_KEY)) }
}

/// As the product reaches a sandbox at `address`.
pub fn reach(address: SocketAddr, timeout_ms: u64) -> SandboxProvider {
    SandboxProvider::new(SandboxSettings {
        url: format!("http://{address}"),
        api_key: SecretString::from(API_KEY),
        webhook_secrets: vec![SecretString::from(WEBHOOK_SECRET)],
        timeout_ms,
    })
    .unwrap()
}

impl Bank {
    pub async fn open() -> Self {
        Self::with(settings()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let sandbox = Sandbox::start(settings).await.unwrap();
        Self { sandbox, http: Client::builder(TokioExecutor::new()).build(HttpConnector::new()) }
    }

    pub fn provider(&self) -> SandboxProvider {
        reach(self.sandbox.address(), 2_000)
    }

    pub async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, body).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.sandbox.address()))
            .header(header::AUTHORIZATION, format!("Bearer {API_KEY}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let answer = self.http.request(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(status.is_success(), "{path}: {body}");
        body
    }

    /// The sandbox fails at this so many times.
    pub async fn fault(&self, operation: &str, fault: Value, times: u32) {
        let body = json!({ "operation": operation, "fault": fault, "times": times });
        self.post("/control/faults", body).await;
    }

    /// Everything on a list, however many pages it has.
    pub async fn all(&self, list: &str) -> Vec<Value> {
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let mut page = self.get(&format!("/v1/{list}?limit=200{after}")).await;
            items.append(page["items"].as_array_mut().unwrap());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return items,
            }
        }
    }
}
