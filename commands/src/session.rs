//! One logged-in device: its refresh token rotates, and an old one that comes back ends the session.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use events::{
    Category, Personal, Timestamp,
    ids::{AccountId, SessionId},
    vocabulary::identity::{
        Role, SessionEnd, SessionEvent, SessionRevoked, SessionRotated, SessionStarted, TokenReuseDetected,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    rejection::rejections,
};

/// Rotations of one session; then one logs in again. Bounds what is remembered of retired tokens.
const ROTATIONS_MAX: usize = 10_000;

/// A device that is, or was, logged in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    started: Option<Started>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Started {
    account: AccountId,
    refresh_hash: String,
    expires_at: Timestamp,
    /// Every token there was before the current one, by the first 64 bits of its hash, with the end of its grace.
    /// All are kept: a thief who rotates often must not make the owner's token look unknown.
    retired: BTreeMap<u64, Timestamp>,
    ended: Option<SessionEnd>,
}

impl Session {
    /// Whose it is; `None` when it never started.
    pub fn account(&self) -> Option<AccountId> {
        self.started.as_ref().map(|started| started.account)
    }

    /// The session ends then at the latest.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.started.as_ref().map(|started| started.expires_at)
    }

    /// Why it was ended before its time.
    pub fn ended(&self) -> Option<SessionEnd> {
        self.started.as_ref().and_then(|started| started.ended)
    }

    /// Started, not ended, and not expired at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.started.as_ref().is_some_and(|started| started.ended.is_none() && now < started.expires_at)
    }
}

/// What can be asked of a session.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionCommand {
    /// Log in on a device. By the account itself, or internal.
    Start {
        /// Who.
        account: AccountId,
        /// What the device calls itself.
        device: Personal<String>,
        /// SHA-256 of the refresh token, 64 lower-case hexadecimal digits.
        refresh_hash: String,
    },
    /// Exchange the refresh token. The answer is `SessionRotated`, or, when the token had been exchanged long ago,
    /// `TokenReuseDetected` and `SessionRevoked`: then nothing was exchanged and the session is over.
    Rotate {
        /// SHA-256 of the token that was shown, 64 lower-case hexadecimal digits.
        presented_hash: String,
        /// SHA-256 of the new token, 64 lower-case hexadecimal digits.
        refresh_hash: String,
    },
    /// End the session. The account logs out or changed its password; administrators end any.
    Revoke {
        /// Why.
        reason: SessionEnd,
    },
}

rejections! {
    /// Why a session says no.
    pub enum SessionRejection {
        NotFound = NotFound "session_not_found": "there is no such session",
        AlreadyStarted = State "session_already_started": "the session has started already",
        Revoked = State "session_revoked": "the session was ended",
        Expired = State "session_expired": "the session has expired",
        WornOut = State "session_worn_out": "the session was refreshed too often: log in again",
        TokenNotFresh = Invalid "token_not_fresh": "the new token was used before",
        TokenUnknown = Forbidden "token_unknown": "this token is none of this session",
        NotYourSession = Forbidden "not_your_session": "a session is its account's own",
        HashMalformed = Invalid "token_hash_malformed": "a token's hash has 64 lower-case hexadecimal digits",
    }
}

impl Aggregate for Session {
    const CATEGORY: Category = Category::Session;
    const FOLD_VERSION: u16 = 1;
    type Id = SessionId;
    type Command = SessionCommand;
    type Event = SessionEvent;
    type Rejection = SessionRejection;

    fn decide(
        &self,
        command: &SessionCommand,
        context: &Context,
    ) -> Result<Vec<SessionEvent>, SessionRejection> {
        match command {
            SessionCommand::Start { account, device, refresh_hash } => {
                if !context.actor.is_internal() && context.actor.account() != Some(*account) {
                    return Err(SessionRejection::NotYourSession);
                }
                if self.started.is_some() {
                    return Err(SessionRejection::AlreadyStarted);
                }
                digest(refresh_hash)?;
                let started = SessionStarted {
                    account: *account,
                    device: device.clone(),
                    refresh_hash: refresh_hash.clone(),
                    expires_at: context.now.plus_millis(context.policy.session_lifetime_ms),
                };
                Ok(vec![started.into()])
            }
            SessionCommand::Rotate { presented_hash, refresh_hash } => {
                self.started()?.rotate(presented_hash, refresh_hash, context)
            }
            SessionCommand::Revoke { reason } => self.started()?.revoke(*reason, context),
        }
    }

    fn evolve(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::SessionStarted(started) => {
                self.started = Some(Started {
                    account: started.account,
                    refresh_hash: started.refresh_hash.clone(),
                    expires_at: started.expires_at,
                    retired: BTreeMap::new(),
                    ended: None,
                });
            }
            SessionEvent::SessionRotated(SessionRotated { refresh_hash, grace_until }) => {
                if let Some(started) = &mut self.started {
                    let retired = std::mem::replace(&mut started.refresh_hash, refresh_hash.clone());
                    if let Ok(digest) = digest(&retired) {
                        started.retired.insert(digest, *grace_until);
                    }
                }
            }
            // The revocation that follows it is what ends the session.
            SessionEvent::TokenReuseDetected(TokenReuseDetected {}) => {}
            SessionEvent::SessionRevoked(SessionRevoked { reason }) => {
                if let Some(started) = &mut self.started {
                    started.ended = Some(*reason);
                }
            }
        }
    }
}

impl Session {
    fn started(&self) -> Result<&Started, SessionRejection> {
        self.started.as_ref().ok_or(SessionRejection::NotFound)
    }
}

impl Started {
    fn is_owned_by(&self, context: &Context) -> bool {
        context.actor.is_internal() || context.actor.account() == Some(self.account)
    }

    fn rotate(
        &self,
        presented_hash: &str,
        refresh_hash: &str,
        context: &Context,
    ) -> Result<Vec<SessionEvent>, SessionRejection> {
        if !self.is_owned_by(context) {
            return Err(SessionRejection::NotYourSession);
        }
        let presented = digest(presented_hash)?;
        let fresh = digest(refresh_hash)?;
        if self.ended.is_some() {
            return Err(SessionRejection::Revoked);
        }
        if context.now >= self.expires_at {
            return Err(SessionRejection::Expired);
        }
        let current = presented_hash == self.refresh_hash;
        match self.retired.get(&presented) {
            None if !current => return Err(SessionRejection::TokenUnknown),
            Some(grace_until) if !current && context.now > *grace_until => {
                let revoked = SessionRevoked { reason: SessionEnd::TokenReuse };
                return Ok(vec![TokenReuseDetected {}.into(), revoked.into()]);
            }
            None | Some(_) => {}
        }
        if self.retired.len() >= ROTATIONS_MAX {
            return Err(SessionRejection::WornOut);
        }
        // A new token that is an old one would be taken for theft at its next use.
        if refresh_hash == self.refresh_hash || self.retired.contains_key(&fresh) {
            return Err(SessionRejection::TokenNotFresh);
        }
        let rotated = SessionRotated {
            refresh_hash: refresh_hash.to_owned(),
            grace_until: context.now.plus_millis(context.policy.session_rotation_grace_ms),
        };
        Ok(vec![rotated.into()])
    }

    fn revoke(&self, reason: SessionEnd, context: &Context) -> Result<Vec<SessionEvent>, SessionRejection> {
        let own = context.actor.account() == Some(self.account);
        let allowed = context.actor.is_internal()
            || match reason {
                SessionEnd::LoggedOut | SessionEnd::PasswordChanged => own,
                SessionEnd::ByAdmin => context.actor.has_role(Role::Admin),
                SessionEnd::TokenReuse => false,
            };
        if !allowed {
            return Err(SessionRejection::NotYourSession);
        }
        if self.ended.is_some() {
            return Ok(Vec::new());
        }
        Ok(vec![SessionRevoked { reason }.into()])
    }
}

/// The first 64 bits of a SHA-256 in hexadecimal.
fn digest(hash: &str) -> Result<u64, SessionRejection> {
    let well_formed = hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !well_formed {
        return Err(SessionRejection::HashMalformed);
    }
    u64::from_str_radix(&hash[..16], 16).map_err(|_| SessionRejection::HashMalformed)
}
