//! The caller of a request: the token says who, the aggregates say whether and what.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::extract::FromRequestParts;
use commands::{Actor, account::Account, session::Session};
use events::{
    ids::{AccountId, SessionId},
    vocabulary::identity::Role,
};
use http::{header, request::Parts};
use tokio::time::Instant;

use super::tokens::Subject;
use crate::{
    app::App,
    consistency::Seen,
    http::{
        Code, Problem,
        operation::{Access, Input, Operation},
    },
};

/// Somebody who showed a good token: a person in a live session, or a program.
#[derive(Clone, Debug)]
pub struct Caller {
    /// As deciders see them.
    pub actor: Actor,
    /// A person's session.
    pub session: Option<SessionId>,
    /// What a program may do, as its token says; nothing for a person, whose roles are the actor's.
    service_roles: BTreeSet<Role>,
}

impl Caller {
    /// A person or a program with this role.
    pub fn has_role(&self, role: Role) -> bool {
        self.actor.has_role(role) || self.service_roles.contains(&role)
    }

    /// One of these people, or an administrator.
    pub fn may_see(&self, parties: &[AccountId]) -> bool {
        let is_party = self.actor.account().is_some_and(|account| parties.contains(&account));
        is_party || self.has_role(Role::Admin)
    }

    /// Checks the token, then session and account on their aggregates.
    async fn of(parts: &Parts, app: &App) -> Result<Option<Self>, Problem> {
        let Some(value) = parts.headers.get(header::AUTHORIZATION) else { return Ok(None) };
        // A client that has just logged in elsewhere says so: then this process has to know of it first.
        Seen::of(parts, app).await?;
        let token = value.to_str().ok().and_then(bearer).ok_or_else(|| {
            Problem::new(Code::Unauthenticated, "send Authorization: Bearer and an access token")
        })?;
        match app.tokens.read(token)? {
            Subject::Service { name, roles } => {
                Ok(Some(Self { actor: Actor::Service { name }, session: None, service_roles: roles }))
            }
            Subject::Account { account, session } => Self::person(app, account, session).await.map(Some),
        }
    }

    async fn person(app: &App, account: AccountId, session: SessionId) -> Result<Self, Problem> {
        app.require_fresh()?;
        let loaded = known_session(app, session).await?;
        if loaded.account() != Some(account) || !loaded.is_live(app.executor.now()) {
            return Err(Problem::new(Code::SessionEnded, "log in again"));
        }
        let state = app.executor.load::<Account>(account).await?.state;
        if state.is_suspended() {
            return Err(Problem::new(Code::AccountSuspended, "an administrator suspended it"));
        }
        if !state.is_active() {
            return Err(Problem::new(Code::SessionEnded, "the account is no more"));
        }
        let actor = Actor::Account { id: account, roles: state.roles().clone() };
        Ok(Self { actor, session: Some(session), service_roles: BTreeSet::new() })
    }
}

/// The session that a token of ours names. It was started before the token was made, so a copy that does not know of it
/// lags behind: waited for, within bounds.
async fn known_session(app: &App, session: SessionId) -> Result<Arc<Session>, Problem> {
    let deadline = Instant::now() + Duration::from_millis(app.settings.http.consistency_wait_ms);
    let mut changes = app.log.changes();
    loop {
        changes.mark_unchanged();
        let loaded = app.executor.load::<Session>(session).await?;
        if loaded.version > 0 || !app.settings.log.is_shared() {
            return Ok(loaded.state);
        }
        let changed = tokio::time::timeout_at(deadline, changes.changed()).await;
        if !matches!(changed, Ok(Ok(()))) {
            return Ok(loaded.state);
        }
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn log_in_first() -> Problem {
    Problem::new(Code::Unauthenticated, "send Authorization: Bearer and an access token")
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Self::of(parts, app).await?.ok_or_else(log_in_first)
    }
}

impl Input for Caller {
    fn describe(operation: &mut Operation) {
        operation.access = Access::Bearer;
        operation.problems.extend([Code::Unauthenticated, Code::SessionEnded, Code::AccountSuspended]);
    }
}

/// A caller who is a person.
#[derive(Clone, Debug)]
pub struct Person {
    /// As deciders see them.
    pub actor: Actor,
    /// Who.
    pub id: AccountId,
    /// In which session.
    pub session: SessionId,
}

impl FromRequestParts<App> for Person {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Caller { actor, session, .. } = Caller::from_request_parts(parts, app).await?;
        match (actor.account(), session) {
            (Some(id), Some(session)) => Ok(Self { actor, id, session }),
            _ => Err(Problem::new(Code::Forbidden, "this is for people, not for services")),
        }
    }
}

impl Input for Person {
    fn describe(operation: &mut Operation) {
        Caller::describe(operation);
        operation.problems.insert(Code::Forbidden);
    }
}

/// Somebody, if they showed a token. A bad token is refused, not ignored.
#[derive(Clone, Debug)]
pub struct MaybeCaller(pub Option<Caller>);

impl FromRequestParts<App> for MaybeCaller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Caller::of(parts, app).await.map(Self)
    }
}

impl Input for MaybeCaller {
    fn describe(operation: &mut Operation) {
        Caller::describe(operation);
        operation.access = Access::Optional;
    }
}

/// An operator, an administrator, or a service with such a role.
#[derive(Clone, Debug)]
pub struct OperatorCaller(pub Caller);

impl FromRequestParts<App> for OperatorCaller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        if caller.has_role(Role::Operator) || caller.has_role(Role::Admin) {
            return Ok(Self(caller));
        }
        Err(Problem::new(Code::Forbidden, "this is for operators and administrators"))
    }
}

impl Input for OperatorCaller {
    fn describe(operation: &mut Operation) {
        Caller::describe(operation);
        operation.access = Access::Operator;
        operation.problems.insert(Code::Forbidden);
    }
}
