//! The devices on which one is logged in.

use axum::extract::State;
use events::{Timestamp, ids::SessionId, vocabulary::identity::SessionEnd};
use garde::Validate;
use projections::sessions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    consistency::Seen,
    http::{Answer, Problem, Query, Route, cursor::Items, cursor::Paging, get},
    security::Person,
};

/// One's sessions.
pub fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/sessions", list)
            .named("listSessions", "My devices, newest login first, ended ones included"),
    ]
}

/// Which page of one's sessions.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ListSessions {
    /// At most this many, 20 unless said otherwise.
    #[garde(range(min = 1, max = 100))]
    #[schemars(range(min = 1, max = 100))]
    #[serde(skip_serializing)]
    limit: Option<u16>,
    /// `next` of the page before.
    #[garde(length(max = 1000))]
    #[serde(skip_serializing)]
    cursor: Option<String>,
}

/// A device.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionItem {
    /// The session.
    session: SessionId,
    /// It is the one that asks.
    current: bool,
    /// What the device calls itself; null once erased.
    device: Option<String>,
    /// When somebody logged in.
    started_at: Timestamp,
    /// It ends then at the latest.
    expires_at: Timestamp,
    /// When it was ended before its time.
    revoked_at: Option<Timestamp>,
    /// Why.
    revoked_because: Option<SessionEnd>,
}

async fn list(
    State(app): State<App>,
    person: Person,
    seen: Seen,
    Query(asked): Query<ListSessions>,
) -> Result<Answer<Items<SessionItem>>, Problem> {
    app.catch_up(seen, &sessions::Sessions).await?;
    let paging = Paging::new(&app.links, "sessions", &person.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    let page = sessions::list(&*app.store, person.id, request).await?;
    let Items { items, next } = paging.answer(page);
    let mut answered = Vec::with_capacity(items.len());
    for session in items {
        answered.push(SessionItem {
            session: session.session,
            current: session.session == person.session,
            device: app.open(&session.device).await?,
            started_at: session.started_at,
            expires_at: session.expires_at,
            revoked_at: session.revoked.map(|revoked| revoked.at),
            revoked_because: session.revoked.map(|revoked| revoked.reason),
        });
    }
    Ok(Answer::new(Items { items: answered, next }))
}
