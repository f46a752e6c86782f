//! Seals personal values on their way in, and opens them at the last moment, on their way out.

use std::{sync::Arc, time::Duration};

use events::{Personal, ids::AccountId, keys::KeyError, personal::Opened};

use crate::{
    app::App,
    http::{Code, Problem},
};

impl App {
    /// The values, sealed for `subject`. Their first key may have to be made, which waits for the disk, or for a round trip to
    /// the other nodes: not on a thread that others wait for.
    ///
    /// # Errors
    /// 503 when no key can be made now.
    pub async fn seal<const N: usize>(
        &self,
        subject: AccountId,
        values: [String; N],
    ) -> Result<[Personal<String>; N], Problem> {
        Ok(self.try_to_seal(subject, values).await??)
    }

    /// The value, sealed for `subject`; nothing when that person was erased.
    ///
    /// # Errors
    /// 503 when no key can be made now.
    pub async fn seal_unless_erased(
        &self,
        subject: AccountId,
        value: String,
    ) -> Result<Option<Personal<String>>, Problem> {
        match self.try_to_seal(subject, [value]).await? {
            Ok([sealed]) => Ok(Some(sealed)),
            Err(KeyError::Erased) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn try_to_seal<const N: usize>(
        &self,
        subject: AccountId,
        values: [String; N],
    ) -> Result<Result<[Personal<String>; N], KeyError>, Problem> {
        let keys = Arc::clone(&self.keys);
        let sealing = tokio::task::spawn_blocking(move || {
            let sealed: Result<Vec<_>, KeyError> =
                values.iter().map(|value| Personal::seal(&keys, subject, value)).collect();
            sealed.map(|sealed| sealed.try_into().expect("as many as there were values"))
        });
        sealing.await.map_err(|error| Problem::internal(&error))
    }

    /// The value; `None` when the person was erased.
    ///
    /// # Errors
    /// 503 when the key does not arrive within the bound; 500 when the value is damaged.
    pub async fn open(&self, sealed: &Personal<String>) -> Result<Option<String>, Problem> {
        let patience = Duration::from_millis(self.settings.http.personal_wait_ms);
        let opened = match sealed.open(&self.keys) {
            Ok(Opened::Absent) => sealed.open_waiting(&self.keys, patience).await,
            opened => opened,
        };
        match opened {
            Ok(Opened::Value(value)) => Ok(Some(value)),
            Ok(Opened::Erased) => Ok(None),
            Ok(Opened::Absent) => Err(Problem::new(
                Code::Unavailable,
                "a key of this answer has not arrived here yet; try again",
            )),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match &error {
            // Who was erased meanwhile is told by their account when they try again.
            KeyError::Away(_) | KeyError::File(_) | KeyError::Erased => Self::unavailable(&error),
            KeyError::Damaged(_)
            | KeyError::Refused(_)
            | KeyError::WrongMasterKey
            | KeyError::InvalidMasterKey => Self::internal(&error),
        }
    }
}
