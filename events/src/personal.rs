//! [`Personal<T>`]: a person's data, sealed with a key of theirs before it reaches the log.
//!
//! Everywhere below the gateway a `Personal<T>` is opaque: events, commands, snapshots, documents and letters carry it
//! sealed. Only the gateway opens it, at the last moment. When the subject's keys are erased, every copy of it, in
//! every backup of the log, can no longer be read.

use std::{borrow::Cow, marker::PhantomData, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    ids::{AccountId, KeyId},
    keys::{KeyError, KeyRing},
};

/// A sealed value of type `T` about one person. On the wire `{"subject", "kid", "sealed"}`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal<T> {
    envelope: Sealed,
    #[serde(skip)]
    of: PhantomData<fn() -> T>,
}

/// What a sealed value looks like outside: whose it is, which key opens it, and the sealed bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The person it is about; erasing them erases it.
    pub subject: AccountId,
    /// The key that opens it.
    pub kid: KeyId,
    /// Nonce and AES-256-GCM ciphertext of the value's JSON, base64url without padding.
    pub sealed: String,
}

/// What became of a sealed value when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened<T> {
    /// The value.
    Value(T),
    /// The person's keys were erased: the value is gone for good.
    Erased,
    /// The key has not arrived here yet: wait, and never take it for erased.
    Absent,
}

impl<T> Personal<T> {
    /// What is stored and sent.
    pub fn sealed(&self) -> &Sealed {
        &self.envelope
    }

    /// The person it is about.
    pub fn subject(&self) -> AccountId {
        self.envelope.subject
    }

    /// A value that was sealed elsewhere.
    pub fn from_sealed(envelope: Sealed) -> Self {
        Self { envelope, of: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned> Personal<T> {
    /// Seals `value` with the current key of `subject`, which is made (and made durable) when there is none.
    ///
    /// # Errors
    /// [`KeyError::Erased`] when the subject was erased, otherwise what the key file reports.
    pub fn seal(keys: &KeyRing, subject: AccountId, value: &T) -> Result<Self, KeyError> {
        Ok(Self::from_sealed(keys.seal(subject, value)?))
    }

    /// Opens the value with the key it names.
    ///
    /// # Errors
    /// A value that was changed, or a key file that cannot be read. Erased and absent keys are no errors.
    pub fn open(&self, keys: &KeyRing) -> Result<Opened<T>, KeyError> {
        keys.open_sealed(&self.envelope)
    }

    /// Opens the value, and waits at most `patience` for a key that is not here yet: [`Opened::Absent`] means that it
    /// did not come.
    ///
    /// # Errors
    /// See [`Personal::open`].
    pub async fn open_waiting(&self, keys: &KeyRing, patience: Duration) -> Result<Opened<T>, KeyError> {
        keys.open_sealed_waiting(&self.envelope, patience).await
    }
}

impl<T> Clone for Personal<T> {
    fn clone(&self) -> Self {
        Self::from_sealed(self.envelope.clone())
    }
}

impl<T> PartialEq for Personal<T> {
    fn eq(&self, other: &Self) -> bool {
        self.envelope == other.envelope
    }
}

impl<T> Eq for Personal<T> {}

impl<T> std::fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Personal({})", self.envelope.subject)
    }
}

impl<T> JsonSchema for Personal<T> {
    fn schema_name() -> Cow<'static, str> {
        "Personal".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Sealed::json_schema(generator)
    }
}
