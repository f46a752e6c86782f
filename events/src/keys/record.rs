//! Key records: what the file keeps, and what nodes send each other.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{AccountId, Id, KeyId};

/// What a key is for. Keys of one purpose never open what another sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPurpose {
    /// Seals [`crate::Personal`] values.
    PersonalData,
}

impl KeyPurpose {
    /// The name that is stored and authenticated.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PersonalData => "personal_data",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::PersonalData].into_iter().find(|purpose| purpose.name() == name)
    }
}

/// A key, wrapped by the master key: nonce, ciphertext and tag of AES-256-GCM.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WrappedKey(pub [u8; Self::BYTES]);

impl WrappedKey {
    /// Nonce 12, key 32, tag 16.
    pub const BYTES: usize = 60;

    /// These bytes, when they are as many as a wrapped key has.
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl std::fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WrappedKey(…)")
    }
}

impl Serialize for WrappedKey {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for WrappedKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        Self::from_slice(&bytes).ok_or_else(|| serde::de::Error::custom("not a wrapped key"))
    }
}

/// An immutable statement about one subject's keys, as nodes exchange them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum KeyRecord {
    /// The subject has this key, from now until erasure.
    Key {
        /// Whose it is.
        subject: AccountId,
        /// What it is for.
        purpose: KeyPurpose,
        /// Its id.
        kid: KeyId,
        /// The key itself.
        wrapped: WrappedKey,
    },
    /// All keys of the subject, known and unknown, are gone for good.
    Erased {
        /// Who was erased.
        subject: AccountId,
    },
}

/// A record with its number in this ring: 1, 2, 3…, growing, with gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedRecord {
    /// Its number; it means nothing on another node.
    pub number: u64,
    /// The record.
    pub record: KeyRecord,
}

/// What a wrapped key is bound to: it unwraps as this subject's key of this purpose and kid only.
pub(super) fn wrapping_context(subject: AccountId, purpose: KeyPurpose, kid: KeyId) -> Vec<u8> {
    let (subject, kid) = (subject.uuid(), kid.uuid());
    [b"guildhall key 1".as_slice(), subject.as_bytes(), kid.as_bytes(), purpose.name().as_bytes()].concat()
}
