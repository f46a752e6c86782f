//! A person or organisation that can log in: who they are, what they may do, whether they may act at all.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};

use events::{
    Category, Personal,
    ids::{AccountId, LoginId},
    vocabulary::identity::{
        AccountErased, AccountEvent, AccountRegistered, AccountReinstated, AccountSuspended, EmailVerified,
        IdentityLinked, PasswordChanged, Role, RoleAssigned,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Actor, Aggregate, Context},
    rejection::rejections,
};

/// Identity providers one account can be linked to.
const IDENTITIES_MAX: usize = 10;

/// An account, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    registered: Option<Registered>,
    roles: BTreeSet<Role>,
    suspended: bool,
    erased: bool,
}

/// What is known of a registered account until it is erased.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Registered {
    login: LoginId,
    email: Personal<String>,
    display_name: Personal<String>,
    password_hash: Personal<String>,
    email_verified: bool,
    identities: BTreeMap<String, Personal<String>>,
}

impl Account {
    /// It was registered and has not been erased.
    pub fn is_registered(&self) -> bool {
        self.registered.is_some()
    }

    /// It may do nothing until it is reinstated.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// The person asked to be forgotten, or never finished registering.
    pub fn is_erased(&self) -> bool {
        self.erased
    }

    /// Registered, not suspended, not erased: it may log in and act.
    pub fn is_active(&self) -> bool {
        self.is_registered() && !self.suspended
    }

    /// What it may do; nothing once erased.
    pub fn roles(&self) -> &BTreeSet<Role> {
        &self.roles
    }

    /// The reservation of its e-mail address.
    pub fn login(&self) -> Option<LoginId> {
        self.registered.as_ref().map(|registered| registered.login)
    }

    /// The e-mail address, as typed.
    pub fn email(&self) -> Option<&Personal<String>> {
        self.registered.as_ref().map(|registered| &registered.email)
    }

    /// Its holder has shown that the address is theirs.
    pub fn is_email_verified(&self) -> bool {
        self.registered.as_ref().is_some_and(|registered| registered.email_verified)
    }

    /// The name shown to others.
    pub fn display_name(&self) -> Option<&Personal<String>> {
        self.registered.as_ref().map(|registered| &registered.display_name)
    }

    /// Argon2id, in PHC string format.
    pub fn password_hash(&self) -> Option<&Personal<String>> {
        self.registered.as_ref().map(|registered| &registered.password_hash)
    }

    /// Issuer and subject of each linked identity provider.
    pub fn identities(&self) -> impl Iterator<Item = (&str, &Personal<String>)> {
        let identities = self.registered.iter().flat_map(|registered| &registered.identities);
        identities.map(|(issuer, subject)| (issuer.as_str(), subject))
    }
}

/// What can be asked of an account.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountCommand {
    /// Bring it into being. Internal: the first step of a registration, see [`crate::registration::first_step`].
    Register {
        /// The reservation of its e-mail address.
        login: LoginId,
        /// The e-mail address, as typed.
        email: Personal<String>,
        /// The name shown to others.
        display_name: Personal<String>,
        /// Argon2id, in PHC string format.
        password_hash: Personal<String>,
        /// What it may do from the start.
        roles: BTreeSet<Role>,
    },
    /// It will never be registered for this address; refused when it is already. Internal.
    Abandon {
        /// The reservation that was abandoned.
        login: LoginId,
    },
    /// The holder has shown that the e-mail address is theirs. By itself, or internal.
    VerifyEmail,
    /// By itself (the old password was checked before), or internal.
    ChangePassword {
        /// Argon2id, in PHC string format.
        password_hash: Personal<String>,
    },
    /// Let it log in through an identity provider too. By itself, or internal.
    LinkIdentity {
        /// The issuer's URL.
        issuer: String,
        /// Whom the issuer knows the person as.
        subject: Personal<String>,
    },
    /// Give it one more role. By an administrator or the command line.
    AssignRole {
        /// The role.
        role: Role,
    },
    /// It may do nothing until it is reinstated. By an administrator, or internal.
    Suspend {
        /// Why, in words for the audit trail.
        reason: Personal<String>,
    },
    /// It may act again. By an administrator, or internal.
    Reinstate,
    /// Forget the person. By itself, an administrator, or internal.
    Erase,
}

rejections! {
    /// Why an account says no.
    pub enum AccountRejection {
        NotFound = NotFound "account_not_found": "there is no such account",
        AlreadyExists = State "account_already_exists": "the account was registered for another address",
        AlreadyRegistered = State "account_already_registered": "the account was registered for this address",
        Erased = State "account_erased": "the account was erased",
        Suspended = Forbidden "account_suspended": "the account is suspended",
        IdentityAlreadyLinked = State "identity_already_linked": "another identity of this issuer is linked",
        TooManyIdentities = State "too_many_identities": "no more identity providers can be linked",
        RolesMissing = Invalid "roles_missing": "an account has at least one role",
        NotYourAccount = Forbidden "not_your_account": "an account is its holder's own",
        NotAnAdministrator = Forbidden "not_an_administrator": "only administrators do this",
        InternalOnly = Forbidden "internal_only": "only the machinery itself does this",
    }
}

impl Aggregate for Account {
    const CATEGORY: Category = Category::Account;
    const FOLD_VERSION: u16 = 1;
    type Id = AccountId;
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Rejection = AccountRejection;

    fn decide(
        &self,
        command: &AccountCommand,
        context: &Context,
    ) -> Result<Vec<AccountEvent>, AccountRejection> {
        match command {
            AccountCommand::Register { login, email, display_name, password_hash, roles } => {
                let registered = AccountRegistered {
                    login: *login,
                    email: email.clone(),
                    display_name: display_name.clone(),
                    password_hash: password_hash.clone(),
                    roles: roles.clone(),
                };
                self.register(registered, context)
            }
            AccountCommand::Abandon { login } => self.abandon(*login, context),
            AccountCommand::VerifyEmail => {
                let registered = self.acting(context)?;
                Ok(unless(registered.email_verified, EmailVerified {}))
            }
            AccountCommand::ChangePassword { password_hash } => {
                let registered = self.acting(context)?;
                let same = registered.password_hash == *password_hash;
                Ok(unless(same, PasswordChanged { password_hash: password_hash.clone() }))
            }
            AccountCommand::LinkIdentity { issuer, subject } => self.link(issuer, subject, context),
            AccountCommand::AssignRole { role } => {
                self.administered(context, context.actor == Actor::System)?;
                Ok(unless(self.roles.contains(role), RoleAssigned { role: *role }))
            }
            AccountCommand::Suspend { reason } => {
                self.administered(context, context.actor.is_internal())?;
                Ok(unless(self.suspended, AccountSuspended { reason: reason.clone() }))
            }
            AccountCommand::Reinstate => {
                self.administered(context, context.actor.is_internal())?;
                Ok(unless(!self.suspended, AccountReinstated {}))
            }
            AccountCommand::Erase => self.erase(context),
        }
    }

    fn evolve(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::AccountRegistered(registered) => {
                self.roles = registered.roles.clone();
                self.registered = Some(Registered {
                    login: registered.login,
                    email: registered.email.clone(),
                    display_name: registered.display_name.clone(),
                    password_hash: registered.password_hash.clone(),
                    email_verified: false,
                    identities: BTreeMap::new(),
                });
            }
            AccountEvent::EmailVerified(EmailVerified {}) => {
                if let Some(registered) = &mut self.registered {
                    registered.email_verified = true;
                }
            }
            AccountEvent::PasswordChanged(PasswordChanged { password_hash }) => {
                if let Some(registered) = &mut self.registered {
                    registered.password_hash = password_hash.clone();
                }
            }
            AccountEvent::IdentityLinked(IdentityLinked { issuer, subject }) => {
                if let Some(registered) = &mut self.registered {
                    registered.identities.insert(issuer.clone(), subject.clone());
                }
            }
            AccountEvent::RoleAssigned(RoleAssigned { role }) => {
                self.roles.insert(*role);
            }
            AccountEvent::AccountSuspended(AccountSuspended { .. }) => self.suspended = true,
            AccountEvent::AccountReinstated(AccountReinstated {}) => self.suspended = false,
            AccountEvent::AccountErased(AccountErased {}) => {
                *self = Self { erased: true, ..Self::default() };
            }
        }
    }
}

impl Account {
    /// There is such an account, whoever asks.
    fn existing(&self) -> Result<&Registered, AccountRejection> {
        if self.erased {
            return Err(AccountRejection::Erased);
        }
        self.registered.as_ref().ok_or(AccountRejection::NotFound)
    }

    /// The account itself asks (or the machinery for it), and may act.
    fn acting(&self, context: &Context) -> Result<&Registered, AccountRejection> {
        let registered = self.existing()?;
        if context.actor.is_internal() {
            return Ok(registered);
        }
        if context.actor.account() != Some(context.own_id()) {
            return Err(AccountRejection::NotYourAccount);
        }
        if self.suspended {
            return Err(AccountRejection::Suspended);
        }
        Ok(registered)
    }

    /// An administrator asks, or somebody who is `trusted` anyway.
    fn administered(&self, context: &Context, trusted: bool) -> Result<&Registered, AccountRejection> {
        if !trusted && !context.actor.has_role(Role::Admin) {
            return Err(AccountRejection::NotAnAdministrator);
        }
        self.existing()
    }

    /// Registering an account again for the same address has nothing left to do: the address is what decides whether
    /// the registration may claim it.
    fn register(
        &self,
        registered: AccountRegistered,
        context: &Context,
    ) -> Result<Vec<AccountEvent>, AccountRejection> {
        if !context.actor.is_internal() {
            return Err(AccountRejection::InternalOnly);
        }
        if self.erased {
            return Err(AccountRejection::Erased);
        }
        match self.login() {
            Some(login) if login == registered.login => Ok(Vec::new()),
            Some(_) => Err(AccountRejection::AlreadyExists),
            None if registered.roles.is_empty() => Err(AccountRejection::RolesMissing),
            None => Ok(vec![registered.into()]),
        }
    }

    /// Accepted exactly when this account does not have, and from now on cannot get, this address: so the address may
    /// be released. It is this stream that settles the race between registering and giving up.
    fn abandon(&self, login: LoginId, context: &Context) -> Result<Vec<AccountEvent>, AccountRejection> {
        if !context.actor.is_internal() {
            return Err(AccountRejection::InternalOnly);
        }
        match self.login() {
            Some(own) if own == login => Err(AccountRejection::AlreadyRegistered),
            Some(_) => Ok(Vec::new()),
            None => Ok(unless(self.erased, AccountErased {})),
        }
    }

    fn link(
        &self,
        issuer: &str,
        subject: &Personal<String>,
        context: &Context,
    ) -> Result<Vec<AccountEvent>, AccountRejection> {
        let registered = self.acting(context)?;
        match registered.identities.get(issuer) {
            Some(linked) if linked == subject => Ok(Vec::new()),
            Some(_) => Err(AccountRejection::IdentityAlreadyLinked),
            None if registered.identities.len() >= IDENTITIES_MAX => Err(AccountRejection::TooManyIdentities),
            None => Ok(vec![IdentityLinked { issuer: issuer.to_owned(), subject: subject.clone() }.into()]),
        }
    }

    fn erase(&self, context: &Context) -> Result<Vec<AccountEvent>, AccountRejection> {
        let by_itself = context.actor.account() == Some(context.own_id());
        if !by_itself && !context.actor.is_internal() && !context.actor.has_role(Role::Admin) {
            return Err(AccountRejection::NotYourAccount);
        }
        if self.erased {
            return Ok(Vec::new());
        }
        self.existing()?;
        if self.suspended && by_itself && !context.actor.has_role(Role::Admin) {
            return Err(AccountRejection::Suspended);
        }
        Ok(vec![AccountErased {}.into()])
    }
}

/// The event, unless there is nothing left to do.
fn unless(done: bool, event: impl Into<AccountEvent>) -> Vec<AccountEvent> {
    if done { Vec::new() } else { vec![event.into()] }
}
