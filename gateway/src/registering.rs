//! Making an account: the reservation of its address, then the first step of its registration.
//!
//! The step has the command id that the registration's process manager would use, so the account is there when the
//! answer is given, and the manager's own attempt finds it done.

use std::collections::BTreeSet;

use commands::{
    Actor, Outcome, Request,
    account::Account,
    login::{Login, LoginCommand, LoginRejection},
    process::Origin,
    registration,
};
use events::{
    ids::{AccountId, CommandId, LoginId},
    vocabulary::identity::{AccountEvent, EmailReserved, LoginEvent, Role},
};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    commanding::place_of,
    http::{
        Problem, RequestContext,
        input::{ascii, not_blank},
    },
    security::links::Place,
};

/// Who wants an account.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Register")]
pub struct Newcomer {
    /// An e-mail address, in ASCII.
    #[garde(email, length(max = 254), custom(ascii))]
    #[schemars(email, length(max = 254))]
    pub email: String,
    /// 10 to 128 characters.
    #[garde(length(chars, min = 10, max = 128))]
    #[schemars(length(min = 10, max = 128))]
    #[serde(skip_serializing)]
    pub password: String,
    /// The name shown to others.
    #[garde(length(chars, max = 100), custom(not_blank))]
    #[schemars(length(min = 1, max = 100))]
    pub display_name: String,
    /// `client`, `worker` or both.
    #[garde(length(min = 1, max = 6))]
    #[schemars(length(min = 1))]
    pub roles: BTreeSet<Role>,
}

/// A registration under way.
#[derive(Debug)]
pub struct Registering<'a> {
    /// Who wants the account.
    pub newcomer: &'a Newcomer,
    /// The command that reserves the address; the account's id derives from it.
    pub command_id: CommandId,
    /// The newcomer; at the command line of the machine itself, the system, which may give any role.
    pub by_system: bool,
    /// What accompanies it.
    pub context: &'a RequestContext,
}

impl Registering<'_> {
    /// The account to be.
    pub fn account(&self) -> AccountId {
        self.command_id.derive(0)
    }

    /// Reserves the address and registers the account; repeated, it gives the same answer. Both write: what they wrote
    /// stands at the places given back.
    ///
    /// # Errors
    /// What the rules refuse, foremost an address that is taken.
    pub async fn register(self, app: &App) -> Result<(Outcome<AccountEvent>, Vec<Place>), Problem> {
        let login = app.keys.reservation_id(&self.newcomer.email);
        let holder = app.executor.load::<Login>(login).await?.state.account();
        if holder.is_some_and(|holder| holder != self.account()) {
            return Err(Problem::rejected(&LoginRejection::EmailTaken));
        }
        let (reserved, place) = self.reserve(app, login).await?;
        let origin = Origin {
            correlation_id: self.context.correlation_id.clone(),
            causation_id: None,
            traceparent: Some(self.context.traceparent.clone()),
        };
        let account = self.account();
        let step = registration::first_step(login, &reserved, origin);
        let outcome = app.executor.execute::<Account>(step).await?;
        let places = place.into_iter().chain(place_of::<Account>(account, &outcome)).collect();
        Ok((outcome, places))
    }

    /// Takes the address for the account to be, and gives back the event as it was written.
    async fn reserve(&self, app: &App, login: LoginId) -> Result<(EmailReserved, Option<Place>), Problem> {
        let (account, roles) = (self.account(), self.newcomer.roles.clone());
        let hash = app.passwords.hash(self.newcomer.password.clone()).await?;
        let values = [self.newcomer.email.clone(), self.newcomer.display_name.clone(), hash];
        let [email, display_name, password_hash] = app.seal(account, values).await?;
        let canonical = serde_json::to_vec(self.newcomer).map_err(|error| Problem::internal(&error))?;
        let actor =
            if self.by_system { Actor::System } else { Actor::Account { id: account, roles: roles.clone() } };
        let outcome = app
            .executor
            .execute::<Login>(Request {
                id: login,
                command: LoginCommand::Reserve { account, email, display_name, password_hash, roles },
                command_id: self.command_id,
                command_hash: app.keys.command_hash(&self.context.operation, &canonical),
                actor,
                expected: None,
                correlation_id: self.context.correlation_id.clone(),
                causation_id: None,
                traceparent: Some(self.context.traceparent.clone()),
            })
            .await?;
        let place = place_of::<Login>(login, &outcome);
        let reserved = outcome.events.into_iter().find_map(|event| match event {
            LoginEvent::EmailReserved(reserved) => Some(reserved),
            LoginEvent::EmailClaimed(_) | LoginEvent::EmailReleased(_) => None,
        });
        let reserved = reserved.ok_or_else(|| Problem::internal(&"a reservation without its event"))?;
        Ok((reserved, place))
    }
}
