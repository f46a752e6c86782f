//! The reservation of one e-mail address: at most one account holds it.
//!
//! The stream's id is an HMAC of the address, so "the address is free" is a question to one aggregate.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;

use events::{
    Category, Personal,
    ids::{AccountId, LoginId},
    vocabulary::identity::{EmailClaimed, EmailReleased, EmailReserved, LoginEvent, Role},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    rejection::rejections,
};

/// Who holds an e-mail address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Login {
    holder: Option<Holder>,
}

/// The account that holds the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    account: AccountId,
    claimed: bool,
}

impl Login {
    /// The account that holds the address; `None` while it is free.
    pub fn account(&self) -> Option<AccountId> {
        self.holder.map(|holder| holder.account)
    }

    /// The account exists, and the address is its own for good.
    pub fn is_claimed(&self) -> bool {
        self.holder.is_some_and(|holder| holder.claimed)
    }
}

/// What can be asked of a login.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginCommand {
    /// Take the address for an account that is being registered. By that very account, or internal.
    Reserve {
        /// The account to be.
        account: AccountId,
        /// The e-mail address, as typed.
        email: Personal<String>,
        /// The name shown to others.
        display_name: Personal<String>,
        /// Argon2id, in PHC string format.
        password_hash: Personal<String>,
        /// What the account may do from the start; beyond client and worker only when internal.
        roles: BTreeSet<Role>,
    },
    /// The account exists: the address is its own. Internal.
    Claim {
        /// The account.
        account: AccountId,
    },
    /// The account will never exist: free the address. Internal.
    Release {
        /// The account it was held for.
        account: AccountId,
    },
}

rejections! {
    /// Why a login says no.
    pub enum LoginRejection {
        EmailTaken = State "email_taken": "an account with this e-mail address exists already",
        NotTheHolder = State "not_the_holder": "the address is not held by this account",
        LoginClaimed = State "login_claimed": "the address belongs to an account and is not released",
        RolesMissing = Invalid "roles_missing": "an account has at least one role",
        RoleNotAllowed = Forbidden "role_not_allowed": "nobody gives themselves a role beyond client and worker",
        NotYourAccount = Forbidden "not_your_account": "an address is reserved for one's own account only",
        InternalOnly = Forbidden "internal_only": "only the machinery itself does this",
    }
}

impl Aggregate for Login {
    const CATEGORY: Category = Category::Login;
    const FOLD_VERSION: u16 = 1;
    type Id = LoginId;
    type Command = LoginCommand;
    type Event = LoginEvent;
    type Rejection = LoginRejection;

    fn decide(&self, command: &LoginCommand, context: &Context) -> Result<Vec<LoginEvent>, LoginRejection> {
        match command {
            LoginCommand::Reserve { account, email, display_name, password_hash, roles } => {
                may_reserve(*account, roles, context)?;
                if self.holder.is_some() {
                    return Err(LoginRejection::EmailTaken);
                }
                let reserved = EmailReserved {
                    account: *account,
                    email: email.clone(),
                    display_name: display_name.clone(),
                    password_hash: password_hash.clone(),
                    roles: roles.clone(),
                };
                Ok(vec![reserved.into()])
            }
            LoginCommand::Claim { account } => {
                internal(context)?;
                match self.held_by(*account) {
                    Some(Holder { claimed: true, .. }) => Ok(Vec::new()),
                    Some(Holder { claimed: false, .. }) => {
                        Ok(vec![EmailClaimed { account: *account }.into()])
                    }
                    None => Err(LoginRejection::NotTheHolder),
                }
            }
            LoginCommand::Release { account } => {
                internal(context)?;
                match self.held_by(*account) {
                    Some(Holder { claimed: true, .. }) => Err(LoginRejection::LoginClaimed),
                    Some(Holder { claimed: false, .. }) => {
                        Ok(vec![EmailReleased { account: *account }.into()])
                    }
                    None => Ok(Vec::new()),
                }
            }
        }
    }

    fn evolve(&mut self, event: &LoginEvent) {
        self.holder = match event {
            LoginEvent::EmailReserved(EmailReserved { account, .. }) => {
                Some(Holder { account: *account, claimed: false })
            }
            LoginEvent::EmailClaimed(EmailClaimed { account }) => {
                Some(Holder { account: *account, claimed: true })
            }
            LoginEvent::EmailReleased(EmailReleased { .. }) => None,
        };
    }
}

impl Login {
    fn held_by(&self, account: AccountId) -> Option<Holder> {
        self.holder.filter(|holder| holder.account == account)
    }
}

fn internal(context: &Context) -> Result<(), LoginRejection> {
    if context.actor.is_internal() { Ok(()) } else { Err(LoginRejection::InternalOnly) }
}

/// One's own account, with the roles that anybody may have; the command line may create any.
fn may_reserve(account: AccountId, roles: &BTreeSet<Role>, context: &Context) -> Result<(), LoginRejection> {
    if roles.is_empty() {
        return Err(LoginRejection::RolesMissing);
    }
    if context.actor.is_internal() {
        return Ok(());
    }
    if context.actor.account() != Some(account) {
        return Err(LoginRejection::NotYourAccount);
    }
    if roles.iter().any(|role| !matches!(role, Role::Client | Role::Worker)) {
        return Err(LoginRejection::RoleNotAllowed);
    }
    Ok(())
}
