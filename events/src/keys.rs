//! The key ring: the keys of personal data, in a file of their own.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    ids::AccountId,
    personal::{Opened, Sealed},
};

/// Why a value could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The subject was erased: nothing new is sealed for them.
    #[error("the person was erased")]
    Erased,
    /// The sealed bytes were changed, or are not of the type asked for.
    #[error("the sealed value is damaged: {0}")]
    Damaged(String),
    /// The key file cannot be read or written.
    #[error("the key file failed: {0}")]
    File(String),
}

/// All keys this process knows.
#[derive(Debug)]
pub struct KeyRing {}

impl KeyRing {
    /// See [`crate::Personal::seal`].
    pub(crate) fn seal<T: Serialize>(&self, _subject: AccountId, _value: &T) -> Result<Sealed, KeyError> {
        Err(KeyError::File("not there yet".into()))
    }

    /// See [`crate::Personal::open`].
    pub(crate) fn open_sealed<T: DeserializeOwned>(&self, _sealed: &Sealed) -> Result<Opened<T>, KeyError> {
        Err(KeyError::File("not there yet".into()))
    }
}
