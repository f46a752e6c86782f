//! The devices on which an account is or was logged in, newest first.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Event, Id, Personal, RecordedEvent, Service, Timestamp, Version,
    ids::{AccountId, SessionId},
    vocabulary::identity::{SessionEnd, SessionEvent},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View,
};

/// Name and version.
pub const ID: (&str, u32) = ("sessions", 1);

/// One logged-in device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub account: AccountId,
    /// What the device calls itself, sealed.
    pub device: Personal<String>,
    /// When somebody logged in.
    pub started_at: Timestamp,
    /// When its token was exchanged last.
    pub refreshed_at: Timestamp,
    /// It ends then at the latest.
    pub expires_at: Timestamp,
    /// An old token was shown again.
    pub token_reused: bool,
    /// When and why it ended before its time.
    pub revoked: Option<Revocation>,
    /// The version of its stream.
    pub version: Version,
}

/// The end of a session before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: SessionEnd,
}

/// Sessions by session id.
pub const SESSIONS: Collection<Session> =
    Collection::new("sessions", &[Index { name: "by_account", fields: &["account", "started_at"] }]);

/// Folds sessions.
#[derive(Clone, Copy, Debug)]
pub struct Sessions;

impl Projection for Sessions {
    fn name(&self) -> &'static str {
        ID.0
    }
    fn version(&self) -> u32 {
        ID.1
    }
    fn topics(&self) -> &'static [Service] {
        &[Service::Identity]
    }
    fn shape(&self) -> Shape {
        Shape::Partitioned
    }
    fn collections(&self) -> &'static [CollectionSpec] {
        const { &[SESSIONS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let Event::Session(payload) = &event.payload else {
            return Ok(Applied::Skipped("not a session's event"));
        };
        let session = SessionId::from_uuid(event.stream.uuid);
        let (key, now, version) = (session.to_string(), event.stamp.time, event.version);
        match payload {
            SessionEvent::SessionStarted(started) => {
                let document = Session {
                    session,
                    account: started.account,
                    device: started.device.clone(),
                    started_at: now,
                    refreshed_at: now,
                    expires_at: started.expires_at,
                    token_reused: false,
                    revoked: None,
                    version,
                };
                view.put(&SESSIONS, &key, &document)?;
            }
            SessionEvent::SessionRotated(_) => view.update(&SESSIONS, &key, |session| {
                session.refreshed_at = now;
                session.version = version;
            })?,
            SessionEvent::TokenReuseDetected(_) => view.update(&SESSIONS, &key, |session| {
                session.token_reused = true;
                session.version = version;
            })?,
            SessionEvent::SessionRevoked(revoked) => view.update(&SESSIONS, &key, |session| {
                session.revoked = Some(Revocation { at: now, reason: revoked.reason });
                session.version = version;
            })?,
        }
        Ok(Applied::Changed)
    }
}

/// The sessions of `account`, newest first, ended ones included.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    account: AccountId,
    page: PageRequest,
) -> Result<Page<Session>, StoreError> {
    let filters = vec![Filter::Is("account", account.to_string().into())];
    Reader::new(store, ID, &SESSIONS).find(filters, Order::descending("started_at"), page).await
}
