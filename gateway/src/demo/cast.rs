//! The people of the story: each with an account and a token of their own.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Client, DemoError, Memory, Reply};

const PASSWORD: &str = "correct horse battery staple";
/// How long the story waits for what the machinery does by itself.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub struct Person {
    /// What they are called.
    pub name: String,
    /// Their account.
    pub account: String,
    /// By which they log in.
    pub email: String,
    /// The API, as them.
    pub api: Client,
}

impl Person {
    /// Registers a new account, and logs in.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn arrives(client: &Client, name: &str, role: &str, run: &str) -> Result<Self, DemoError> {
        let first = name.split(' ').next().unwrap_or(name).to_lowercase();
        let email = format!("{first}.{run}@example.com");
        let registration =
            json!({ "email": email, "password": PASSWORD, "display_name": name, "roles": [role] });
        let registered = client.post("/api/v1/auth/register", registration).await?;
        let registered = registered.expect(StatusCode::CREATED, &format!("{name} registers"))?;
        Ok(Self {
            name: name.to_owned(),
            account: registered.text("/account").to_owned(),
            api: log_in(client, name, &email).await?,
            email,
        })
    }

    /// The same person with a new session.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn logs_in_again(&self, client: &Client) -> Result<Self, DemoError> {
        let api = log_in(client, &self.name, &self.email).await?;
        Ok(Self { api: api.remembering(self.api.memory()), ..self.clone() })
    }

    /// The same person, who remembers with those who share `memory`.
    #[must_use]
    pub fn remembering(&self, memory: &Memory) -> Self {
        Self { api: self.api.remembering(memory), ..self.clone() }
    }

    /// Posts a command that is expected to be accepted.
    ///
    /// # Errors
    /// When it was not.
    pub async fn does(&self, path: &str, body: Value) -> Result<Reply, DemoError> {
        let reply = self.api.post(path, body).await?;
        if reply.status.is_success() {
            return Ok(reply);
        }
        let what = format!("{}: POST {path}", self.name);
        reply.expect(StatusCode::OK, &what)
    }

    /// Looks at `path` again and again, within bounds, until there is something to see: see [`sees`].
    ///
    /// # Errors
    /// When it did not come to be seen in time.
    pub async fn sees<T>(
        &self,
        what: &str,
        path: &str,
        look: impl Fn(&Reply) -> Option<T>,
    ) -> Result<T, DemoError> {
        sees(&self.api, what, path, look).await
    }

    /// Posts a command that is expected to be refused with this code.
    ///
    /// # Errors
    /// When it was not refused, or for another reason.
    pub async fn is_refused(&self, path: &str, body: Value, code: &str) -> Result<Reply, DemoError> {
        let reply = self.api.post(path, body).await?;
        if reply.status.is_client_error() && reply.text("/code") == code {
            return Ok(reply);
        }
        let (name, got) = (&self.name, reply.text("/code"));
        Err(DemoError::Unexpected(format!("{name}: POST {path}: {} {got} instead of {code}", reply.status)))
    }
}

/// Looks at `path` again and again, within bounds, until there is something to see, on every server: nobody gives a token
/// for what the machinery does by itself.
///
/// # Errors
/// When it did not come to be seen in time.
pub async fn sees<T>(
    api: &Client,
    what: &str,
    path: &str,
    look: impl Fn(&Reply) -> Option<T>,
) -> Result<T, DemoError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut servers = api.each().peekable();
    while let Some(server) = servers.peek().filter(|_| tokio::time::Instant::now() < deadline) {
        match look(&server.get(path, None).await?) {
            None => tokio::time::sleep(LOOK_AGAIN).await,
            Some(seen) => {
                servers.next();
                if servers.peek().is_none() {
                    return Ok(seen);
                }
            }
        }
    }
    Err(DemoError::Unexpected(format!("this did not happen within {PATIENCE:?}: {what}")))
}

async fn log_in(client: &Client, name: &str, email: &str) -> Result<Client, DemoError> {
    let credentials = json!({ "email": email, "password": PASSWORD, "device": "guildhall demo" });
    let session = client.post("/api/v1/auth/login", credentials).await?;
    let session = session.expect(StatusCode::OK, &format!("{name} logs in"))?;
    client.bearing(session.text("/access_token"))
}

/// A word that no earlier run has used, for e-mail addresses.
pub fn fresh_run() -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    id[id.len() - 12..].to_owned()
}

/// An amount in minor units of Ghanaian cedi, as the wire has it.
pub fn cedis(minor: i64) -> Value {
    json!({ "amount": minor.to_string(), "currency": "GHS" })
}

/// An amount from the wire, for people: `2000.00 GHS`.
pub fn amount(wire: &Value) -> String {
    events::Money::deserialize(wire).map_or_else(|_| "nothing".to_owned(), |amount| amount.to_string())
}

/// The terms of a bid with these milestones.
pub fn offer(letter: &str, milestones: &[(&str, i64)]) -> Value {
    let total = milestones.iter().map(|(_, minor)| minor).sum();
    let milestones: Vec<Value> =
        milestones.iter().map(|(title, minor)| json!({ "title": title, "amount": cedis(*minor) })).collect();
    json!({ "amount": cedis(total), "milestones": milestones, "cover_letter": letter })
}

/// The terms of a job with this budget.
pub fn job(title: &str, description: &str, skills: &[&str], budget: (i64, i64)) -> Value {
    json!({
        "title": title,
        "description": description,
        "category": "web-development",
        "skills": skills,
        "budget": { "min": cedis(budget.0), "max": cedis(budget.1) },
    })
}
