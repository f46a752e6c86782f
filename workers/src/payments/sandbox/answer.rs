//! What an answer of the sandbox, or the lack of one, means for what was asked.

use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};

use crate::payments::{ProviderError, bounded};

use super::http_client::{Answer, NoAnswer};

/// Whether what was asked may have changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It may: without an answer it is in doubt.
    ToDo,
    /// It cannot.
    ToTell,
}

/// An answer that says yes.
pub(super) struct Reply {
    asked: Asked,
    body: Vec<u8>,
}

impl Reply {
    /// What was done is done, also when we cannot read what was said about it.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| unsure(self.asked, format!("the answer cannot be read: {error}")))
    }
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: String,
}

/// Codes with which the sandbox says that it did nothing and might do it later.
const PASSING_CODES: &[&str] = &["unavailable", "overloaded", "books_full"];

/// The answer, if it says yes; else why not, and what is sure about it.
pub(super) fn judge(asked: Asked, answer: Result<Answer, NoAnswer>) -> Result<Reply, ProviderError> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(NoAnswer::NotSent(reason)) => return Err(ProviderError::Unavailable(reason)),
        Err(NoAnswer::Lost(reason)) => return Err(unsure(asked, reason)),
    };
    if answer.status.is_success() {
        return Ok(Reply { asked, body: answer.body });
    }
    let status = answer.status.as_u16();
    // Whoever else answers on the way (a proxy, another server) knows no codes, and nothing about our order.
    let Ok(Problem { code, detail }) = serde_json::from_slice(&answer.body) else {
        return Err(unsure(asked, format!("answered {status}, without a code")));
    };
    let (code, detail) = (bounded(&code), detail.chars().take(200).collect::<String>());
    if PASSING_CODES.contains(&code.as_str()) {
        return Err(ProviderError::Unavailable(format!("{code}: {detail}")));
    }
    match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            Err(ProviderError::Unavailable(format!("answered {status} {code}: {detail}")))
        }
        refused if refused.is_client_error() => Err(ProviderError::Refused { code, detail }),
        _ => Err(unsure(asked, format!("answered {status} {code}: {detail}"))),
    }
}

fn unsure(asked: Asked, reason: String) -> ProviderError {
    match asked {
        Asked::ToDo => ProviderError::InDoubt(reason),
        Asked::ToTell => ProviderError::Unavailable(reason),
    }
}
