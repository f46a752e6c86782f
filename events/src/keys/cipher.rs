//! The cryptography of the key ring: AES-256-GCM with random nonces, HKDF and HMAC with SHA-256.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf, hmac, rand,
};
use data_encoding::HEXLOWER_PERMISSIVE;
use secrecy::{ExposeSecret, SecretBox};

use super::{KeyError, record::WrappedKey};

/// The key that wraps all keys: 32 bytes from outside (a setting, a vault). It is never written down here, never
/// printed, and zeroised when dropped.
pub struct MasterKey(SecretBox<[u8; 32]>);

impl MasterKey {
    /// The master key with these bytes.
    ///
    /// # Errors
    /// [`KeyError::InvalidMasterKey`] when all bytes are the same, which no random key is.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(KeyError::InvalidMasterKey);
        }
        Ok(Self(SecretBox::new(Box::new(bytes))))
    }

    /// The master key that 64 hexadecimal digits spell.
    ///
    /// # Errors
    /// [`KeyError::InvalidMasterKey`].
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let bytes =
            HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).map_err(|_| KeyError::InvalidMasterKey)?;
        Self::from_bytes(bytes.try_into().map_err(|_| KeyError::InvalidMasterKey)?)
    }

    /// The master key of [`super::KeyRing::in_memory`].
    pub(super) fn for_tests() -> Self {
        Self(SecretBox::new(Box::new(*b"for tests and nothing but tests!")))
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// What the master key is used for, each by a key of its own (HKDF with a label). The labels are frozen.
pub(super) struct RootKeys {
    wrapping: DataKey,
    reservations: hmac::Key,
    commands: hmac::Key,
}

/// What the canary in the file says once opened.
const CANARY: &[u8] = b"guildhall key file";

impl RootKeys {
    pub(super) fn derive(master: &MasterKey) -> Self {
        let root = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, master.0.expose_secret());
        let derive = |label: &[u8]| {
            let mut bytes = [0; 32];
            root.expand(&[label], hkdf::HKDF_SHA256)
                .and_then(|output| output.fill(&mut bytes))
                .expect("HKDF-SHA256 gives 32 bytes");
            bytes
        };
        Self {
            wrapping: DataKey::from_bytes(&derive(b"guildhall wrapping 1")),
            reservations: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"guildhall reservations 1")),
            commands: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"guildhall commands 1")),
        }
    }

    /// A fresh random key, wrapped, bound to `context`. The key itself is not kept: it is unwrapped when needed.
    pub(super) fn wrap_fresh_key(&self, context: &[u8]) -> WrappedKey {
        let mut key = vec![0; 32];
        // The wrapping encrypts in place, so the plain key is overwritten here; room for the tag keeps it in place.
        key.reserve_exact(AES_256_GCM.tag_len());
        fill_random(&mut key);
        WrappedKey::from_slice(&self.wrapping.seal(key, context)).expect("32 bytes seal to 60")
    }

    /// The key in `wrapped`; `None` when it was wrapped by another master key or for another context.
    pub(super) fn unwrap(&self, wrapped: &WrappedKey, context: &[u8]) -> Option<DataKey> {
        let mut bytes = self.wrapping.open(wrapped.0.to_vec(), context)?;
        let key = bytes.as_slice().try_into().ok().map(DataKey::from_bytes);
        bytes.fill(0);
        key
    }

    /// What a new key file keeps, to know its master key again.
    pub(super) fn canary(&self) -> Vec<u8> {
        self.wrapping.seal(CANARY.to_vec(), b"canary")
    }

    pub(super) fn knows_canary(&self, canary: Vec<u8>) -> bool {
        self.wrapping.open(canary, b"canary").is_some_and(|plain| plain == CANARY)
    }

    pub(super) fn reservation(&self, bytes: &[u8]) -> [u8; 16] {
        truncated(&hmac::sign(&self.reservations, bytes))
    }

    pub(super) fn command(&self, bytes: &[u8]) -> [u8; 16] {
        truncated(&hmac::sign(&self.commands, bytes))
    }
}

fn truncated(tag: &hmac::Tag) -> [u8; 16] {
    let mut bits = [0; 16];
    bits.copy_from_slice(&tag.as_ref()[..16]);
    bits
}

/// One AES-256-GCM key. The library zeroises it when dropped.
pub(super) struct DataKey(LessSafeKey);

impl DataKey {
    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes).expect("AES-256 takes 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Nonce, ciphertext and tag of `plain`, bound to `context`. A random nonce of 96 bits is safe for the 2³² values
    /// that one person will never have.
    pub(super) fn seal(&self, mut plain: Vec<u8>, context: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        fill_random(&mut nonce);
        let sealed = &mut plain;
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), sealed)
            .expect("AES-GCM seals anything below 64 GiB");
        [nonce.as_slice(), sealed].concat()
    }

    /// What was sealed; `None` when `bytes` or `context` are not what they were.
    pub(super) fn open(&self, mut bytes: Vec<u8>, context: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = self.0.open_in_place(nonce, Aad::from(context), sealed).ok()?.len();
        bytes.copy_within(NONCE_LEN..NONCE_LEN + length, 0);
        bytes.truncate(length);
        Some(bytes)
    }
}

fn fill_random(bytes: &mut [u8]) {
    rand::fill(bytes).expect("the system gives random bytes");
}
