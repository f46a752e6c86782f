//! Accounts, logins (reservations of e-mail addresses), sessions, and the registration process manager.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{StepChange, StepOutcome, TimerChange, vocabulary};
use crate::{
    ids::{AccountId, LoginId},
    personal::Personal,
    time::Timestamp,
};

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Posts jobs and signs contracts as the paying side.
    Client,
    /// Bids and signs contracts as the working side.
    Worker,
    /// Administers users and content.
    Admin,
    /// Reads history.
    Analyst,
    /// Keeps the machinery healthy.
    Operator,
    /// A program with a token of its own.
    Service,
}

// ---- account ----

/// A person or organisation has an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountRegistered {
    /// The reservation of its e-mail address.
    pub login: LoginId,
    /// The e-mail address, as typed.
    pub email: Personal<String>,
    /// The name shown to others.
    pub display_name: Personal<String>,
    /// Argon2id, in PHC string format. Sealed, so that it goes with the person.
    pub password_hash: Personal<String>,
    /// What it may do from the start.
    pub roles: BTreeSet<Role>,
}

/// The holder of the account has shown that the e-mail address is theirs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmailVerified {}

/// The account has a new password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordChanged {
    /// Argon2id, in PHC string format.
    pub password_hash: Personal<String>,
}

/// The account can also log in through an identity provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdentityLinked {
    /// The issuer's URL.
    pub issuer: String,
    /// Whom the issuer knows the person as.
    pub subject: Personal<String>,
}

/// The account's roles were changed by an administrator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoleAssigned {
    /// The role it has from now on, beside the others.
    pub role: Role,
}

/// The account may do nothing until it is reinstated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountSuspended {
    /// Why, in words for the audit trail.
    pub reason: Personal<String>,
}

/// The account may act again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountReinstated {}

/// The person asked to be forgotten, or never finished registering: their keys go, what was sealed with them can no
/// longer be read. As the first event of an account: it was never registered, and never will be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountErased {}

vocabulary! {
    /// The history of one account.
    pub enum AccountEvent in Account {
        AccountRegistered = 1,
        EmailVerified = 1,
        PasswordChanged = 1,
        IdentityLinked = 1,
        RoleAssigned = 1,
        AccountSuspended = 1,
        AccountReinstated = 1,
        AccountErased = 1,
    }
}

// ---- login: the reservation of an e-mail address ----

/// An e-mail address is taken, for now, by an account that is being registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmailReserved {
    /// The account it is for.
    pub account: AccountId,
    /// The e-mail address, as typed.
    pub email: Personal<String>,
    /// The name shown to others.
    pub display_name: Personal<String>,
    /// Argon2id, in PHC string format.
    pub password_hash: Personal<String>,
    /// What the account may do from the start.
    pub roles: BTreeSet<Role>,
}

/// The account exists: the address is its own until it is released.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmailClaimed {
    /// The account.
    pub account: AccountId,
}

/// The address is free again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmailReleased {
    /// Whose it was.
    pub account: AccountId,
}

vocabulary! {
    /// The history of one e-mail address; the stream's id is an HMAC of the address.
    pub enum LoginEvent in Login { EmailReserved = 1, EmailClaimed = 1, EmailReleased = 1 }
}

// ---- session ----

/// Somebody logged in on a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionStarted {
    /// Who.
    pub account: AccountId,
    /// What the device calls itself.
    pub device: Personal<String>,
    /// SHA-256 of the refresh token, hexadecimal.
    pub refresh_hash: String,
    /// The session ends then at the latest.
    pub expires_at: Timestamp,
}

/// The refresh token was exchanged for a new one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRotated {
    /// SHA-256 of the new refresh token, hexadecimal.
    pub refresh_hash: String,
    /// Until then the previous token is still taken for a late retry, not for theft.
    pub grace_until: Timestamp,
}

/// A refresh token that had been exchanged long ago was shown again: the session ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenReuseDetected {}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// The person logged out.
    LoggedOut,
    /// An old refresh token was used again.
    TokenReuse,
    /// The password was changed.
    PasswordChanged,
    /// An administrator ended it.
    ByAdmin,
}

/// The session is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRevoked {
    /// Why.
    pub reason: SessionEnd,
}

vocabulary! {
    /// The history of one logged-in device.
    pub enum SessionEvent in Session {
        SessionStarted = 1,
        SessionRotated = 1,
        TokenReuseDetected = 1,
        SessionRevoked = 1,
    }
}

// ---- registration: a process manager ----

/// An e-mail address was reserved: an account is to be registered for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationStarted {
    /// The reservation.
    pub login: LoginId,
    /// The account to be.
    pub account: AccountId,
    /// See [`AccountRegistered::email`].
    pub email: Personal<String>,
    /// See [`AccountRegistered::display_name`].
    pub display_name: Personal<String>,
    /// See [`AccountRegistered::password_hash`].
    pub password_hash: Personal<String>,
    /// See [`AccountRegistered::roles`].
    pub roles: BTreeSet<Role>,
}

/// What a registration asks of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationStep {
    /// Register the account.
    RegisterAccount,
    /// Settle that the account will never be registered; refused when it already is.
    AbandonAccount,
    /// Make the reservation final.
    ClaimEmail,
    /// Free the address.
    ReleaseEmail,
}

/// A step is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationStepRequested {
    /// Its number within this run, from 1.
    pub number: u32,
    /// What is to be done.
    pub step: RegistrationStep,
}

/// A step was done or refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationStepSettled {
    /// Its number.
    pub number: u32,
    /// What became of it.
    pub outcome: StepOutcome,
}

/// A timer runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationTimerStarted {
    /// Its name.
    pub timer: String,
    /// When it fires, domain time.
    pub due_at: Timestamp,
}

/// A timer fired or is not needed any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationTimerStopped {
    /// Its name.
    pub timer: String,
}

/// How a registration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationResult {
    /// There is an account, and the address is its own.
    Registered,
    /// There is none, and the address is free again.
    Abandoned,
}

/// The registration is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationEnded {
    /// How.
    pub result: RegistrationResult,
}

vocabulary! {
    /// The history of one registration.
    pub enum RegistrationEvent in Registration {
        RegistrationStarted = 1,
        RegistrationStepRequested = 1,
        RegistrationStepSettled = 1,
        RegistrationTimerStarted = 1,
        RegistrationTimerStopped = 1,
        RegistrationEnded = 1,
    }
}

impl RegistrationEvent {
    /// See [`super::Event::timer_changes`].
    pub fn timer_changes(&self) -> Vec<TimerChange> {
        match self {
            Self::RegistrationTimerStarted(started) => {
                vec![TimerChange::Start { timer: started.timer.clone(), due_at: started.due_at }]
            }
            Self::RegistrationTimerStopped(stopped) => {
                vec![TimerChange::Stop { timer: stopped.timer.clone() }]
            }
            Self::RegistrationStarted(_)
            | Self::RegistrationStepRequested(_)
            | Self::RegistrationStepSettled(_)
            | Self::RegistrationEnded(_) => Vec::new(),
        }
    }

    /// See [`super::Event::step_change`].
    pub fn step_change(&self) -> Option<StepChange> {
        match self {
            Self::RegistrationStepRequested(requested) => Some(StepChange::Requested(requested.number)),
            Self::RegistrationStepSettled(settled) => Some(StepChange::Settled(settled.number)),
            Self::RegistrationStarted(_)
            | Self::RegistrationTimerStarted(_)
            | Self::RegistrationTimerStopped(_)
            | Self::RegistrationEnded(_) => None,
        }
    }
}
