//! Who one is.

use std::collections::BTreeSet;

use axum::extract::State;
use commands::account::Account;
use events::{
    Version,
    ids::{AccountId, SessionId},
    vocabulary::identity::Role,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    app::App,
    http::{Answer, Document, Problem, Route, get},
    security::Person,
};

/// Who one is.
pub fn routes() -> Vec<Route> {
    vec![get("/api/v1/me", me).named("me", "The account that is logged in")]
}

/// One's own account.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Me {
    /// The account.
    account: AccountId,
    /// The session of the token.
    session: SessionId,
    /// The e-mail address; null once erased.
    email: Option<String>,
    /// Whether the address was shown to be one's own.
    email_verified: bool,
    /// The name shown to others; null once erased.
    display_name: Option<String>,
    /// What the account may do.
    roles: BTreeSet<Role>,
    /// The account's version.
    version: Version,
}

async fn me(State(app): State<App>, person: Person) -> Result<Document<Me>, Problem> {
    let loaded = app.executor.load::<Account>(person.id).await?;
    let (state, version) = (loaded.state, loaded.version);
    let email = match state.email() {
        Some(email) => app.open(email).await?,
        None => None,
    };
    let display_name = match state.display_name() {
        Some(name) => app.open(name).await?,
        None => None,
    };
    let me = Me {
        account: person.id,
        session: person.session,
        email,
        email_verified: state.is_email_verified(),
        display_name,
        roles: state.roles().clone(),
        version,
    };
    Ok(Document(Answer::new(me).at(version)))
}
