//! A server in this process, and people who talk to it.

mod client;
pub(crate) mod deal;
pub(crate) mod kafka;
pub(crate) mod money;

use gateway::{
    house::Server,
    settings::{Layers, Origin},
};
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use client::{Call, Client, Reply};

/// A running server on a throw-away folder.
pub(crate) struct Guild {
    pub(crate) server: Server,
    pub(crate) client: Client,
    folder: TempDir,
}

/// Somebody who is logged in.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) account: String,
    pub(crate) session: String,
    pub(crate) token: String,
}

/// Settings for tests: a folder, any port, cheap password hashes.
pub(crate) fn layers(folder: &TempDir) -> Layers {
    let mut layers = Layers::defaults();
    let data = folder.path().display().to_string();
    for (key, value) in [("data", data.as_str()), ("listen", "127.0.0.1:0")] {
        layers.set(key, value, Origin::Given).unwrap();
    }
    if let Some((url, prefix)) = kafka::log_of(folder.path()) {
        layers.set("log.url", url.as_str(), Origin::Given).unwrap();
        layers.set("log.kafka.topic_prefix", prefix.as_str(), Origin::Given).unwrap();
    }
    for (key, value) in [("auth.argon2_memory_kib", 8), ("auth.argon2_iterations", 1)] {
        layers.set(key, value, Origin::Given).unwrap();
    }
    layers
}

impl Guild {
    /// A server with the settings of tests.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server in which nothing but a request writes to the log: no process managers.
    pub(crate) async fn start_quiet() -> Self {
        Self::start_with(|layers| layers.set("workers.processes", false, Origin::Given).unwrap()).await
    }

    /// A server with some settings changed.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Layers)) -> Self {
        Self::serve_with(tempfile::tempdir().unwrap(), change).await
    }

    /// The same folder served anew, after the server has stopped in order.
    pub(crate) async fn restart(self) -> Self {
        Self::serve(self.stop_and_keep().await).await
    }

    /// Serves a folder with the settings of tests.
    pub(crate) async fn serve(folder: TempDir) -> Self {
        Self::serve_with(folder, |_| {}).await
    }

    /// Serves a folder with some settings changed.
    pub(crate) async fn serve_with(folder: TempDir, change: impl FnOnce(&mut Layers)) -> Self {
        let mut layers = layers(&folder);
        change(&mut layers);
        let server = Server::start(layers.settings().unwrap()).await.unwrap();
        let client = Client::new(server.address());
        Self { server, client, folder }
    }

    /// Stops in order.
    pub(crate) async fn stop(self) {
        drop(self.stop_and_keep().await);
    }

    /// The folder, after the server has stopped in order.
    pub(crate) async fn stop_and_keep(self) -> TempDir {
        self.server.stop().await;
        self.folder
    }

    /// The folder of the log, the keys and the read store.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.client.call("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.client.call("POST", path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call<'_> {
        self.client.call("DELETE", path)
    }

    pub(crate) fn patch(&self, path: &str) -> Call<'_> {
        self.client.call("PATCH", path)
    }

    /// Asks until the answer is as it should be: what process managers do comes a moment later.
    pub(crate) async fn until(&self, by: &Member, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..4000 {
            let reply = self.get(path).by(by).send().await;
            if reply.status == StatusCode::OK && fits(&reply.body) {
                return reply.body;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{path} never became what it should be");
    }

    /// Registers and logs in.
    pub(crate) async fn member(&self, name: &str, roles: &[&str]) -> Member {
        let email = format!("{name}@example.com");
        let newcomer = json!({ "email": email, "password": PASSWORD, "display_name": name, "roles": roles });
        self.post("/api/v1/auth/register").json(&newcomer).send().await.expect(StatusCode::CREATED);
        self.log_in(&email).await
    }

    pub(crate) async fn log_in(&self, email: &str) -> Member {
        let credentials = json!({ "email": email, "password": PASSWORD, "device": "test" });
        let reply = self.post("/api/v1/auth/login").json(&credentials).send().await;
        let reply = reply.expect(StatusCode::OK);
        Member {
            account: reply.text("/account"),
            session: reply.text("/session"),
            token: reply.text("/access_token"),
        }
    }

    /// A draft of this client's; its id.
    pub(crate) async fn draft(&self, client: &Member) -> String {
        let reply = self.post("/api/v1/jobs").by(client).json(&job()).send().await;
        reply.expect(StatusCode::CREATED).text("/job")
    }

    /// A published job of this client's; its id.
    pub(crate) async fn published(&self, client: &Member) -> String {
        let job = self.draft(client).await;
        let reply = self.post(&format!("/api/v1/jobs/{job}/publish")).by(client).send().await;
        reply.expect(StatusCode::OK);
        job
    }

    /// A bid of this worker's; its id.
    pub(crate) async fn bid(&self, worker: &Member, job: &str) -> String {
        let reply = self.post(&format!("/api/v1/jobs/{job}/bids")).by(worker).json(&bid()).send().await;
        reply.expect(StatusCode::CREATED).text("/bid")
    }

    /// Where each partition of the log ends: unchanged when nothing was written. Ask a quiet server.
    pub(crate) fn ends(&self) -> Vec<i64> {
        let log = &self.server.app.log;
        log.partitions().into_iter().map(|partition| log.end(partition).unwrap()).collect()
    }

    /// The same when something was written since it ended at `before`: over an upstream a commit is answered a moment before it
    /// can be read.
    pub(crate) async fn ends_once_written(&self, before: &[i64]) -> Vec<i64> {
        for _ in 0..4000 {
            let ends = self.ends();
            if ends != before {
                return ends;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("nothing was written");
    }
}

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A job that every rule accepts.
pub(crate) fn job() -> Value {
    json!({
        "title": "A gate for the yard",
        "description": "Wrought iron, two wings.",
        "category": "metal-work",
        "skills": ["welding", "forging"],
        "budget": { "min": ghs("100000"), "max": ghs("250000") },
    })
}

/// A bid that every rule accepts.
pub(crate) fn bid() -> Value {
    json!({
        "amount": ghs("150000"),
        "milestones": [
            { "title": "Frame", "amount": ghs("100000") },
            { "title": "Wings", "amount": ghs("50000") },
        ],
        "cover_letter": "I forge gates since 1990.",
    })
}

/// Minor units of Ghanaian cedi.
pub(crate) fn ghs(minor: &str) -> Value {
    json!({ "amount": minor, "currency": "GHS" })
}
