//! Access tokens: JWT, HS256, short-lived; they name a session, and the session is what counts.

use std::collections::BTreeSet;

use events::{
    ids::{AccountId, SessionId},
    vocabulary::identity::Role,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quick_cache::sync::Cache;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::{
    http::{Code, Problem},
    settings::AuthSettings,
};

/// What stands before a service's name in `sub`.
const SERVICE_PREFIX: &str = "service:";

/// Tokens that are remembered once their signature was checked: callers come back with the same one for minutes.
const KNOWN_MAX: usize = 10_000;

/// Signs and reads access tokens. The keys are prepared once.
pub struct Tokens {
    /// Whom a token speaks for, and when it runs out, seconds since the epoch.
    known: Cache<Box<str>, (Subject, u64)>,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuer: String,
    audience: String,
    /// Seconds.
    lifetime_s: u64,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
    roles: BTreeSet<Role>,
    iat: u64,
    exp: u64,
    iss: String,
    aud: String,
}

/// Whom a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A person, in one session. The roles in the token are for the client to read: the account's own count.
    Account {
        /// Who.
        account: AccountId,
        /// In which session.
        session: SessionId,
    },
    /// A program; its roles are the token's.
    Service {
        /// Its name.
        name: String,
        /// What it may do.
        roles: BTreeSet<Role>,
    },
}

impl Tokens {
    /// Prepares the keys.
    pub fn new(settings: &AuthSettings) -> Self {
        let secret = settings.token_secret.expose_secret().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 5;
        validation.set_audience(&[&settings.token_audience]);
        validation.set_issuer(&[&settings.token_issuer]);
        validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
        Self {
            known: Cache::new(KNOWN_MAX),
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            issuer: settings.token_issuer.clone(),
            audience: settings.token_audience.clone(),
            lifetime_s: settings.token_lifetime_s,
        }
    }

    /// Seconds for which a person's token is good.
    pub fn lifetime_s(&self) -> u64 {
        self.lifetime_s
    }

    /// A token for a person in a session.
    ///
    /// # Errors
    /// What the signing library says.
    pub fn for_session(
        &self,
        account: AccountId,
        session: SessionId,
        roles: &BTreeSet<Role>,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign(account.to_string(), Some(session), roles.clone(), self.lifetime_s)
    }

    /// A token for a program, good for `lifetime_s` seconds.
    ///
    /// # Errors
    /// What the signing library says.
    pub fn for_service(
        &self,
        name: &str,
        role: Role,
        lifetime_s: u64,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign(format!("{SERVICE_PREFIX}{name}"), None, BTreeSet::from([role]), lifetime_s)
    }

    fn sign(
        &self,
        sub: String,
        sid: Option<SessionId>,
        roles: BTreeSet<Role>,
        lifetime_s: u64,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let iat = jsonwebtoken::get_current_timestamp();
        let exp = iat.saturating_add(lifetime_s);
        let claims =
            Claims { sub, sid, roles, iat, exp, iss: self.issuer.clone(), aud: self.audience.clone() };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }

    /// Whom the token speaks for. That says nothing of their session and account, which change while it is good.
    ///
    /// # Errors
    /// 401 for whatever is no token of ours that is still good.
    pub fn read(&self, token: &str) -> Result<Subject, Problem> {
        if let Some((subject, runs_out)) = self.known.get(token)
            && jsonwebtoken::get_current_timestamp() < runs_out
        {
            return Ok(subject);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|_| Problem::new(Code::Unauthenticated, "the access token is not ours or has run out"))?
            .claims;
        let runs_out = claims.exp;
        let subject = subject_of(claims)?;
        self.known.insert(token.into(), (subject.clone(), runs_out));
        Ok(subject)
    }
}

fn subject_of(claims: Claims) -> Result<Subject, Problem> {
    if let Some(name) = claims.sub.strip_prefix(SERVICE_PREFIX) {
        return Ok(Subject::Service { name: name.to_owned(), roles: claims.roles });
    }
    match (claims.sub.parse(), claims.sid) {
        (Ok(account), Some(session)) => Ok(Subject::Account { account, session }),
        _ => Err(Problem::new(Code::Unauthenticated, "the access token names nobody")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Layers;

    fn tokens() -> Tokens {
        Tokens::new(&Layers::defaults().settings().expect("the defaults hold").auth)
    }

    #[test]
    fn a_token_is_read_the_same_the_second_time() {
        let (tokens, account, session) = (tokens(), AccountId::fresh(), SessionId::fresh());
        let token = tokens.for_session(account, session, &BTreeSet::new()).expect("it signs");
        for _ in 0..2 {
            assert_eq!(tokens.read(&token).expect("it is good"), Subject::Account { account, session });
        }
    }

    #[test]
    fn a_token_that_is_known_runs_out_all_the_same() {
        let tokens = tokens();
        let past = jsonwebtoken::get_current_timestamp() - 60;
        let claims = Claims {
            sub: "service:watchman".into(),
            sid: None,
            roles: BTreeSet::new(),
            iat: past - 60,
            exp: past,
            iss: tokens.issuer.clone(),
            aud: tokens.audience.clone(),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &tokens.encoding);
        let token = token.expect("it signs");
        let watchman = Subject::Service { name: "watchman".into(), roles: BTreeSet::new() };
        tokens.known.insert(token.as_str().into(), (watchman, past));
        assert_eq!(tokens.read(&token).expect_err("it ran out").code(), Code::Unauthenticated.code());
    }
}
