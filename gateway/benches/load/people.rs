//! Those in whose name requests are made.

use std::net::SocketAddr;

use gateway::demo::Client;
use serde_json::json;

const PASSWORD: &str = "correct horse battery staple";

/// Registers somebody in this role; the account's id.
///
/// # Panics
/// When the server does not.
pub async fn register(address: SocketAddr, email: &str, role: &str) -> String {
    let account = json!({ "email": email, "password": PASSWORD, "display_name": "Bench", "roles": [role] });
    let registered = at(address).post("/api/v1/auth/register", account).await.expect("an answer");
    assert!(registered.status.is_success(), "{}", registered.body);
    registered.text("/account").to_owned()
}

/// A token of theirs; `None` when the server gives none.
pub async fn log_in(address: SocketAddr, email: &str) -> Option<String> {
    let credentials = json!({ "email": email, "password": PASSWORD, "device": "bench" });
    let session = at(address).post("/api/v1/auth/login", credentials).await.ok()?;
    session.body["access_token"].as_str().map(str::to_owned)
}

fn at(address: SocketAddr) -> Client {
    Client::new(&[format!("http://{address}")])
}
