//! The key ring: the keys of personal data, in a file of their own, so that erasing a person is erasing a few bytes.
//!
//! - A [`KeyRecord`] is immutable: subject, purpose, kid, and the key wrapped by the master key. It is durable before
//!   the first value sealed with it leaves this ring, and it ends only in an explicit *erased* marker.
//! - A key that is not here is *absent*, which means "not here yet": readers wait for it
//!   ([`crate::Personal::open_waiting`]) and never take it for erased.
//! - A subject may have several keys, since two nodes may make the first one at the same moment. All of them open; the
//!   newest by kid seals.
//! - One process holds the file (the data folder is locked). A ring of one process alone makes keys in its file. Where
//!   several nodes share a log they share its keys by a compacted topic ([`KeyRing::open_shared`]): what is made is on
//!   the topic before it is used, the file follows the topic, and an erasure there reaches every node's file.
//! - A ring takes over what another one holds by [`KeyRing::records_after`] and [`KeyRing::import_all`].
//!
//! ```
//! use events::{Personal, ids::AccountId, keys::KeyRing, personal::Opened};
//!
//! # fn main() -> Result<(), events::keys::KeyError> {
//! let keys = KeyRing::in_memory()?;
//! let ama = AccountId::fresh();
//! let name = Personal::seal(&keys, ama, &"Ama".to_owned())?;
//! assert_eq!(name.open(&keys)?, Opened::Value("Ama".to_owned()));
//! keys.erase(ama)?;
//! assert_eq!(name.open(&keys)?, Opened::Erased);
//! # Ok(())
//! # }
//! ```

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use data_encoding::BASE64URL_NOPAD;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;
use uuid::Builder;

use crate::{
    envelope::CommandHash,
    ids::{AccountId, Id, KeyId, LoginId, hash_parts},
    log::{Engine, LogOptions},
    personal::{Opened, Sealed},
    stream::LogId,
};

pub mod backup;
mod cipher;
mod exchange;
mod file;
mod follow;
mod kafka;
mod mirror;
mod post;
mod progress;
mod record;
mod shared;
#[cfg(feature = "simulation")]
pub mod simulated;
mod vault;

pub use cipher::MasterKey;
pub use record::{KeyPurpose, KeyRecord, NumberedRecord, WrappedKey};

use exchange::Exchange;
use kafka::KafkaExchange;
use shared::Shared;
use vault::{SubjectKeys, Vault};

/// Why a value could not be sealed or opened, or a key not be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// The key file was made with another master key.
    #[error("the master key is not the one the key file was made with")]
    WrongMasterKey,
    /// The text is not a master key: 64 hexadecimal digits, not all the same byte.
    #[error("a master key is 32 random bytes, written as 64 hexadecimal digits")]
    InvalidMasterKey,
    /// The key file is of another format or is no key file, a record contradicts one that is here, or the topic is not
    /// the one it must be.
    #[error("refused: {0}")]
    Refused(String),
    /// The topic of keys cannot be reached, or does not show what was put on it: no first key can be made and nobody erased
    /// now. It may have happened all the same; repeating it is safe.
    #[error("the exchange of keys is away: {0}")]
    Away(String),
}

/// Opens the ring that belongs to the log `log` that was opened with `options`: for this process alone where the log is
/// embedded, shared with the other nodes where it is on Kafka. The file at `path` is made when there is none.
///
/// # Errors
/// As [`KeyRing::open`] and [`KeyRing::open_shared`].
pub fn open(path: &Path, master: &MasterKey, log: LogId, options: &LogOptions) -> Result<KeyRing, KeyError> {
    match engine(options)? {
        Engine::Embedded => KeyRing::open(path, master),
        Engine::Kafka(_) => KeyRing::open_shared(path, master, log, options),
    }
}

fn engine(options: &LogOptions) -> Result<Engine, KeyError> {
    options.engine().map_err(|error| KeyError::Refused(error.to_string()))
}

/// How long records that are taken over may be on their way.
const IMPORT_PATIENCE: Duration = Duration::from_secs(60);

/// What a key file knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStanding {
    /// It is here.
    Known,
    /// Its subject was erased.
    Erased,
    /// It is not here, and its subject was not erased.
    Absent,
}

/// All keys this process knows. Shared by reference; every method may be called from many threads at once.
///
/// Methods block for microseconds on a local file. Where a subject's first key is made they block for one durable write, or
/// for a round trip to the topic; first keys that are asked for at the same time share it. What is waited for is bounded,
/// and refused at once while the topic is known to be away. Dropping a shared ring ends its thread.
pub struct KeyRing {
    vault: Arc<Vault>,
    shared: Option<Shared>,
}

/// How a ring that is shared is, for readiness and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRingStatus {
    /// Why nothing more is taken from the topic, and what to do: keys and erasures of other nodes do not arrive.
    pub stopped: Option<String>,
    /// Why the topic cannot be reached now: no first keys, no erasures. What is here goes on opening and sealing.
    pub away: Option<String>,
    /// Records that the topic was last known to hold and this ring has not taken yet.
    pub behind: u64,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Opens the key file at `path`, which is made when there is none, for this process alone.
    ///
    /// # Errors
    /// [`KeyError::WrongMasterKey`] when the file was made with another; [`KeyError::Refused`] when it is of another
    /// format, no key file, or follows a topic; [`KeyError::File`].
    pub fn open(path: &Path, master: &MasterKey) -> Result<Self, KeyError> {
        let ring = Self::open_copy(path, master)?;
        if ring.vault.reader().following()?.is_some() {
            return Err(KeyError::Refused(
                "the key file follows a topic of Kafka: a key made here alone would never reach the other nodes".into(),
            ));
        }
        Ok(ring)
    }

    /// Opens a node's ring for the log `log` on Kafka: its key file at `path` follows the topic `<prefix>.keys`, which is
    /// made when there is none. A file that follows the topic already is opened also while Kafka is away.
    ///
    /// # Errors
    /// [`KeyError::WrongMasterKey`] when file or topic was made with another; [`KeyError::Refused`] when the topic could
    /// keep or lose what it must not, was made anew, has lost records or belongs to another log, when the file does, or
    /// holds keys that the topic has never seen; [`KeyError::Away`] when a file that is new finds no Kafka;
    /// [`KeyError::File`].
    pub fn open_shared(
        path: &Path,
        master: &MasterKey,
        log: LogId,
        options: &LogOptions,
    ) -> Result<Self, KeyError> {
        match engine(options)? {
            Engine::Embedded => Err(KeyError::Refused("an embedded log has no topic of keys".into())),
            Engine::Kafka(brokers) => {
                Self::follow(path, master, Arc::new(KafkaExchange::new(log, &brokers, options)?))
            }
        }
    }

    /// Opens a key file of either kind so that another ring can take over what it holds. Nothing must be sealed or
    /// erased with it.
    ///
    /// # Errors
    /// As [`KeyRing::open`].
    pub fn open_copy(path: &Path, master: &MasterKey) -> Result<Self, KeyError> {
        Ok(Self { vault: Arc::new(Vault::open(path, master)?), shared: None })
    }

    /// A ring that keeps nothing, for tests: always the same master key, so that two of them can exchange records.
    ///
    /// # Errors
    /// [`KeyError::File`] when there is no memory for it.
    pub fn in_memory() -> Result<Self, KeyError> {
        Ok(Self { vault: Arc::new(Vault::in_memory()?), shared: None })
    }

    /// One turn of a ring that [`simulated::SimulatedExchange::open_stepped`] opened.
    ///
    /// # Errors
    /// When the ring can never go on.
    #[cfg(feature = "simulation")]
    pub fn step(&self) -> Result<(), KeyError> {
        self.shared.as_ref().map_or(Ok(()), Shared::step)
    }

    /// A ring whose file at `path` follows `exchange`.
    fn follow(path: &Path, master: &MasterKey, exchange: Arc<dyn Exchange>) -> Result<Self, KeyError> {
        let vault = Arc::new(Vault::open(path, master)?);
        let shared = Shared::start(Arc::clone(&vault), exchange)?;
        Ok(Self { vault, shared: Some(shared) })
    }

    /// See [`crate::Personal::seal`].
    pub(crate) fn seal<T: Serialize>(&self, subject: AccountId, value: &T) -> Result<Sealed, KeyError> {
        let keys = match (self.vault.subject_keys(subject)?, &self.shared) {
            (Some(keys), _) => keys,
            (None, Some(shared)) => shared.first_key(subject)?,
            (None, None) => self.vault.first_key(subject)?,
        };
        let SubjectKeys::Known(known) = &*keys else { return Err(KeyError::Erased) };
        let (kid, key) = known.last().ok_or(KeyError::Erased)?;
        let plain = serde_json::to_vec(value).map_err(|error| KeyError::Damaged(error.to_string()))?;
        let sealed = BASE64URL_NOPAD.encode(&key.seal(plain, &sealed_context(subject, *kid)));
        Ok(Sealed { subject, kid: *kid, sealed })
    }

    /// See [`crate::Personal::open`].
    pub(crate) fn open_sealed<T: DeserializeOwned>(&self, sealed: &Sealed) -> Result<Opened<T>, KeyError> {
        let Some(keys) = self.vault.subject_keys(sealed.subject)? else { return Ok(Opened::Absent) };
        let SubjectKeys::Known(known) = &*keys else { return Ok(Opened::Erased) };
        let Ok(place) = known.binary_search_by_key(&sealed.kid, |(kid, _)| *kid) else {
            return Ok(Opened::Absent);
        };
        let damaged = |reason: &str| KeyError::Damaged(reason.to_owned());
        let bytes = BASE64URL_NOPAD.decode(sealed.sealed.as_bytes()).map_err(|_| damaged("not base64url"))?;
        let plain = known[place]
            .1
            .open(bytes, &sealed_context(sealed.subject, sealed.kid))
            .ok_or_else(|| damaged("the bytes are not what was sealed with this key for this person"))?;
        let value = serde_json::from_slice(&plain).map_err(|_| damaged("not of the type asked for"))?;
        Ok(Opened::Value(value))
    }

    /// See [`crate::Personal::open_waiting`].
    pub(crate) async fn open_sealed_waiting<T: DeserializeOwned>(
        &self,
        sealed: &Sealed,
        patience: Duration,
    ) -> Result<Opened<T>, KeyError> {
        let deadline = tokio::time::Instant::now() + patience;
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            let opened = self.open_sealed(sealed)?;
            if !matches!(opened, Opened::Absent) {
                return Ok(opened);
            }
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Ok(Opened::Absent),
            }
        }
    }

    /// Ticks whenever keys were made, arrived or were erased.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.vault.changes()
    }

    /// Erases all keys of `subject` for good and leaves a marker, so that nothing new is sealed for them. Also when
    /// they have no key here; repeating it changes nothing. When it returns, the wrapped keys are in none of this node's
    /// file's bytes, the write-ahead log's included; where the ring is shared the marker and the end of each key are on the
    /// topic, and the other nodes follow. (Copies made of the file before are the operator's to expire.)
    ///
    /// # Errors
    /// [`KeyError::File`] and [`KeyError::Away`]: the marker may be set already; repeat it until it succeeds.
    pub fn erase(&self, subject: AccountId) -> Result<(), KeyError> {
        match &self.shared {
            Some(shared) => shared.erase(subject),
            None => self.vault.erase(subject),
        }
    }

    /// Erases all keys of these people in this file alone, for a copy of it that nobody uses yet: as the log says, whose
    /// erasures came after the copy. Gives how many of them had keys here. In a file that follows a topic it is as if the
    /// topic's markers had been read; should the topic not have one yet, the node that goes on with the file adds it.
    ///
    /// # Errors
    /// [`KeyError::File`]: some may be erased already; repeat it until it succeeds.
    pub fn erase_in_copy(&self, people: &BTreeSet<AccountId>) -> Result<u64, KeyError> {
        self.vault.erase_here(people)
    }

    /// What this file knows of a key.
    ///
    /// # Errors
    /// [`KeyError::File`], and [`KeyError::Damaged`] when it cannot be unwrapped.
    pub fn standing(&self, subject: AccountId, kid: KeyId) -> Result<KeyStanding, KeyError> {
        Ok(match self.vault.subject_keys(subject)?.as_deref() {
            None => KeyStanding::Absent,
            Some(SubjectKeys::Erased) => KeyStanding::Erased,
            Some(SubjectKeys::Known(known)) => {
                let known = known.binary_search_by_key(&kid, |(kid, _)| *kid).is_ok();
                if known { KeyStanding::Known } else { KeyStanding::Absent }
            }
        })
    }

    /// The log whose topic of keys the file follows; `None` when it belongs to one process alone.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub fn follows(&self) -> Result<Option<LogId>, KeyError> {
        Ok(self.vault.reader().following()?.map(|following| following.log))
    }

    /// Takes over a record made elsewhere. Returns whether it was news.
    ///
    /// # Errors
    /// [`KeyError::WrongMasterKey`] when its key cannot be unwrapped here; [`KeyError::Refused`] when another key is
    /// known under the same kid; [`KeyError::File`] and [`KeyError::Away`].
    pub fn import(&self, record: &KeyRecord) -> Result<bool, KeyError> {
        match &self.shared {
            Some(_) => Ok(self.import_all(std::slice::from_ref(record))? > 0),
            None => self.vault.import(record),
        }
    }

    /// As [`KeyRing::import`], of many at once: where the ring is shared, they go over the topic together. Repeating it
    /// changes nothing. Returns how many were news.
    ///
    /// # Errors
    /// As [`KeyRing::import`]; some of them may have been taken over.
    pub fn import_all(&self, records: &[KeyRecord]) -> Result<u64, KeyError> {
        let mut news = Vec::new();
        if let Some(shared) = &self.shared {
            // Only then can it be said what is news.
            shared.catch_up(IMPORT_PATIENCE)?;
        }
        for record in records {
            match &self.shared {
                None if self.vault.import(record)? => news.push(record.clone()),
                Some(_) if self.vault.is_news(record)? => news.push(record.clone()),
                None | Some(_) => {}
            }
        }
        if let Some(shared) = self.shared.as_ref().filter(|_| !news.is_empty()) {
            shared.import(&news, IMPORT_PATIENCE)?;
        }
        Ok(news.len() as u64)
    }

    /// The records after number `after` (0 for all), in the order in which they came here, at most `limit`. Keys that
    /// were erased since are left out: their subject's marker follows.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub fn records_after(&self, after: u64, limit: usize) -> Result<Vec<NumberedRecord>, KeyError> {
        self.vault.reader().records_after(after, limit)
    }

    /// Waits until the ring has taken what the topic held when it was opened; returns at once where it is not shared.
    ///
    /// # Errors
    /// [`KeyError::Away`] when that takes longer than `patience`, when the topic cannot be reached or the ring stopped.
    pub fn catch_up(&self, patience: Duration) -> Result<(), KeyError> {
        self.shared.as_ref().map_or(Ok(()), |shared| shared.catch_up(patience))
    }

    /// How the ring is; always well where it is not shared.
    pub fn status(&self) -> KeyRingStatus {
        self.shared.as_ref().map(Shared::status).unwrap_or_default()
    }

    /// The reservation of an e-mail address: 122 bits of HMAC-SHA256 over its canonical form, under a key of the
    /// whole installation.
    ///
    /// The canonical form is the address without surrounding white space, in lower case (Unicode's simple, locale-free
    /// mapping). Nothing else is done to it: dots and `+tags` count, and no Unicode normalisation is applied, so the
    /// gateway must admit only addresses that have one spelling. It is frozen: changing it would let a taken address
    /// be taken again.
    pub fn reservation_id(&self, email: &str) -> LoginId {
        let canonical = email.trim().to_lowercase();
        let bits = self.vault.roots.reservation(canonical.as_bytes());
        // Marked as a custom UUID (version 8), so that nobody reads a time out of its first bits.
        LoginId::from_uuid(Builder::from_custom_bytes(bits).into_uuid())
    }

    /// What the log remembers of a command: 128 bits of HMAC-SHA256 over the operation and the canonical form of what
    /// was asked, secrets left out.
    pub fn command_hash(&self, operation: &str, canonical: &[u8]) -> CommandHash {
        CommandHash(self.vault.roots.command(&hash_parts(&[operation.as_bytes(), canonical])))
    }
}

/// What a sealed value is bound to: it opens for this subject and this key only.
fn sealed_context(subject: AccountId, kid: KeyId) -> Vec<u8> {
    let (subject, kid) = (subject.uuid(), kid.uuid());
    [b"guildhall sealed 1".as_slice(), subject.as_bytes(), kid.as_bytes()].concat()
}
