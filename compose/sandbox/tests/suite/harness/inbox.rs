//! A merchant's end of the webhooks: keeps what comes, and answers as it is told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use aws_lc_rs::hmac;
use axum::{Router, body::Bytes, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::eventually;

#[derive(Clone, Default)]
struct Shelf {
    letters: Arc<Mutex<Vec<Letter>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

/// A webhook as it came.
#[derive(Clone, Debug)]
pub struct Letter {
    pub signature: String,
    pub raw: Vec<u8>,
    pub body: Value,
    pub answered: u16,
}

impl Letter {
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }

    pub fn id(&self) -> &str {
        self.body["id"].as_str().unwrap()
    }

    /// As a receiver who knows `secret` checks it: one of the signatures fits timestamp and raw body.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let mut parts = self.signature.split(',');
        let timestamp = parts.next().unwrap().strip_prefix("t=").unwrap();
        let message = [timestamp.as_bytes(), b".", &self.raw].concat();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        parts.any(|part| {
            let tag = data_encoding::HEXLOWER.decode(part.strip_prefix("v1=").unwrap().as_bytes()).unwrap();
            hmac::verify(&key, &message, &tag).is_ok()
        })
    }
}

pub struct Inbox {
    url: String,
    shelf: Shelf,
}

impl Inbox {
    pub async fn open() -> Self {
        let shelf = Shelf::default();
        let router = Router::new().route("/webhooks/sandbox", post(receive)).with_state(shelf.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/sandbox", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shelf }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The next webhooks are answered with these, then with 204.
    pub fn answer(&self, statuses: impl IntoIterator<Item = u16>) {
        self.shelf.answers.lock().unwrap().extend(statuses);
    }

    /// All that came so far.
    pub fn letters(&self) -> Vec<Letter> {
        self.shelf.letters.lock().unwrap().clone()
    }

    /// Waits until at least `count` came, repetitions and refused attempts included.
    pub async fn wait_for(&self, count: usize) -> Vec<Letter> {
        let what = format!("{count} webhooks");
        eventually(&what, async || Some(self.letters()).filter(|letters| letters.len() >= count)).await
    }
}

async fn receive(State(shelf): State<Shelf>, headers: HeaderMap, raw: Bytes) -> StatusCode {
    let answered = shelf.answers.lock().unwrap().pop_front().unwrap_or(204);
    let signature = headers["sandbox-signature"].to_str().unwrap().to_owned();
    let body = serde_json::from_slice(&raw).unwrap();
    shelf.letters.lock().unwrap().push(Letter { signature, raw: raw.to_vec(), body, answered });
    StatusCode::from_u16(answered).unwrap()
}
