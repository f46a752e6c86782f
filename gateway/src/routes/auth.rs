//! Registering, logging in and out.

use std::{collections::BTreeSet, sync::Arc};

use aws_lc_rs::{digest, rand};
use axum::extract::State;
use commands::{
    Actor,
    account::Account,
    login::Login,
    session::{Session, SessionCommand},
};
use data_encoding::HEXLOWER;
use events::{
    ids::{AccountId, CommandId, SessionId},
    vocabulary::identity::{Role, SessionEnd},
};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    commanding::{NOTHING, Order},
    consistency::Seen,
    http::{Answer, Body, Code, Created, Intent, Problem, Route, context::Accompanied, post},
    registering::{Newcomer, Registering},
    security::Person,
};

/// Registering, logging in and out.
pub fn routes() -> Vec<Route> {
    vec![
        post("/api/v1/auth/register", register).named("register", "Register an account").rejects(),
        post("/api/v1/auth/login", log_in)
            .named(
                "logIn",
                "Log in on a device; an Idempotency-Key is ignored, every login is a session of its own",
            )
            .problems([Code::InvalidCredentials, Code::AccountSuspended, Code::Overloaded]),
        post("/api/v1/auth/logout", log_out).named("logOut", "End this session").rejects(),
    ]
}

/// An account was registered.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Registered {
    /// The account.
    account: AccountId,
    /// What it may do.
    roles: BTreeSet<Role>,
}

async fn register(
    State(app): State<App>,
    intent: Intent,
    Body(newcomer): Body<Newcomer>,
) -> Result<Created<Registered>, Problem> {
    // The newcomer is nobody yet: the address stands for the caller.
    let caller = format!("registration:{}", app.keys.reservation_id(&newcomer.email));
    let command_id = intent.command_id_of(&caller);
    let registering =
        Registering { newcomer: &newcomer, command_id, by_system: false, context: &intent.context };
    let account = registering.account();
    let (outcome, places) = registering.register(&app).await?;
    let token = intent.seen.token_with(&app, places);
    let registered = Registered { account, roles: newcomer.roles };
    let answer = Answer::new(registered).at(outcome.version).consistent(token);
    Ok(Created::new("/api/v1/me".into(), answer))
}

/// Who wants to log in.
#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    /// The e-mail address.
    #[garde(length(max = 254))]
    #[schemars(length(max = 254))]
    email: String,
    /// The password.
    #[garde(length(chars, max = 128))]
    #[schemars(length(max = 128))]
    password: String,
    /// What the device calls itself.
    #[garde(length(chars, max = 100))]
    #[schemars(length(max = 100))]
    device: Option<String>,
}

/// Somebody is logged in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LoggedIn {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds for which the token is good.
    expires_in: u64,
    /// The account.
    account: AccountId,
    /// The session.
    session: SessionId,
}

async fn log_in(
    State(app): State<App>,
    Accompanied(context): Accompanied,
    seen: Seen,
    Body(asked): Body<LogIn>,
) -> Result<Answer<LoggedIn>, Problem> {
    let intent = Intent::without_key(context, seen);
    let (account, state) = check_password(&app, &asked).await?;
    if state.is_suspended() {
        return Err(Problem::new(Code::AccountSuspended, "an administrator suspended it"));
    }
    let roles = state.roles().clone();
    let device = asked.device.as_deref().unwrap_or("unnamed").to_owned();
    let [device] = app.seal(account, [device]).await?;
    let command_id = CommandId::fresh();
    let session: SessionId = command_id.derive(0);
    let outcome = app
        .command::<Session, _>(Order {
            intent: &intent,
            actor: &Actor::Account { id: account, roles: roles.clone() },
            command_id,
            id: session,
            command: SessionCommand::Start { account, device, refresh_hash: refresh_hash()? },
            expected: None,
            asked: &NOTHING,
        })
        .await?;
    let access_token =
        app.tokens.for_session(account, session, &roles).map_err(|error| Problem::internal(&error))?;
    let expires_in = app.tokens.lifetime_s();
    let logged_in = LoggedIn { access_token, token_type: "Bearer", expires_in, account, session };
    let token = app.consistency_token::<Session>(&intent.seen, session, &outcome);
    Ok(Answer::new(logged_in).at(outcome.version).consistent(token))
}

/// The account of these credentials. An unknown address takes as long as a wrong password.
async fn check_password(app: &App, asked: &LogIn) -> Result<(AccountId, Arc<Account>), Problem> {
    let login = app.keys.reservation_id(&asked.email);
    let holder = app.executor.load::<Login>(login).await?.state.account();
    let found = match holder {
        Some(account) => Some((account, app.executor.load::<Account>(account).await?.state)),
        None => None,
    };
    let sealed = found.as_ref().and_then(|(_, state)| state.password_hash());
    let hash = match sealed {
        Some(sealed) => app.open(sealed).await?,
        None => None,
    };
    let fits = app.passwords.verify(asked.password.clone(), hash).await?;
    found.filter(|_| fits).ok_or_else(|| {
        Problem::new(Code::InvalidCredentials, "the address and the password do not belong together")
    })
}

/// The hash of a refresh token that is given to nobody: sessions cannot be refreshed yet, so they end with the access
/// token, and the hash only has to be one that nobody can meet.
fn refresh_hash() -> Result<String, Problem> {
    let mut token = [0; 32];
    rand::fill(&mut token).map_err(|error| Problem::internal(&error))?;
    Ok(HEXLOWER.encode(digest::digest(&digest::SHA256, &token).as_ref()))
}

/// A session is over.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LoggedOut {
    /// The session.
    session: SessionId,
}

async fn log_out(
    State(app): State<App>,
    person: Person,
    intent: Intent,
) -> Result<Answer<LoggedOut>, Problem> {
    let session = person.session;
    let outcome = app
        .command::<Session, _>(Order {
            intent: &intent,
            actor: &person.actor,
            command_id: intent.command_id(&person.actor),
            id: session,
            command: SessionCommand::Revoke { reason: SessionEnd::LoggedOut },
            expected: None,
            asked: &NOTHING,
        })
        .await?;
    let token = app.consistency_token::<Session>(&intent.seen, session, &outcome);
    Ok(Answer::new(LoggedOut { session }).at(outcome.version).consistent(token))
}
