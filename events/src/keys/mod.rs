//! The key ring: the keys of personal data, in a file of their own, so that erasing a person is erasing a few bytes.
//!
//! - A [`KeyRecord`] is immutable: subject, purpose, kid, and the key wrapped by the master key. It is durable before
//!   the first value sealed with it leaves this ring, and it ends only in an explicit *erased* marker.
//! - A key that is not here is *absent*, which means "not here yet": readers wait for it
//!   ([`crate::Personal::open_waiting`]) and never take it for erased.
//! - A subject may have several keys, since two nodes may make the first one at the same moment. All of them open; the
//!   newest by kid seals.
//! - One process holds the file (the data folder is locked); its records reach other nodes by
//!   [`KeyRing::records_after`] and [`KeyRing::import`].
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

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use data_encoding::BASE64URL_NOPAD;
use quick_cache::sync::Cache;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;
use uuid::Builder;

use crate::{
    envelope::CommandHash,
    ids::{AccountId, Id, KeyId, LoginId, hash_parts},
    personal::{Opened, Sealed},
};

mod cipher;
mod file;
mod record;

pub use cipher::MasterKey;
pub use record::{KeyPurpose, KeyRecord, NumberedRecord, WrappedKey};

use cipher::{DataKey, RootKeys};
use file::{KeyFile, StoredKeys};

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
    /// The key file is of another format or is no key file, or a record contradicts one that is here.
    #[error("refused: {0}")]
    Refused(String),
}

/// How many subjects' unwrapped keys stay in memory.
const CACHED_SUBJECTS: usize = 10_000;

/// All keys this process knows. Shared by reference; every method may be called from many threads at once.
///
/// Methods block for microseconds on a local file, and for one durable write when a subject's first key is made;
/// first keys that are asked for at the same time share that write.
pub struct KeyRing {
    roots: RootKeys,
    cache: Cache<AccountId, Arc<SubjectKeys>>,
    /// Writes, one at a time.
    writer: Mutex<KeyFile>,
    /// Reads of what the cache has not. Whoever fills or clears the cache holds it, so that what was erased cannot
    /// come back into the cache by a reader that was under way.
    reader: Mutex<KeyFile>,
    /// Subjects that wait for their first key: whoever gets the writer next makes one for each.
    wanted: Mutex<BTreeSet<AccountId>>,
    changes: watch::Sender<u64>,
}

/// The unwrapped keys of one subject.
enum SubjectKeys {
    Erased,
    /// Sorted by kid, oldest first; never empty in the cache.
    Known(Vec<(KeyId, DataKey)>),
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Opens the key file at `path`, which is made when there is none.
    ///
    /// # Errors
    /// [`KeyError::WrongMasterKey`] when the file was made with another; [`KeyError::Refused`] when it is of another
    /// format or no key file; [`KeyError::File`].
    pub fn open(path: &Path, master: &MasterKey) -> Result<Self, KeyError> {
        let roots = RootKeys::derive(master);
        let writer = KeyFile::open(path, &roots)?;
        let reader = KeyFile::open_reader(path)?;
        Ok(Self::new(roots, writer, reader))
    }

    /// A ring that keeps nothing, for tests: always the same master key, so that two of them can exchange records.
    ///
    /// # Errors
    /// [`KeyError::File`] when there is no memory for it.
    pub fn in_memory() -> Result<Self, KeyError> {
        let roots = RootKeys::derive(&MasterKey::for_tests());
        let (writer, reader) = KeyFile::in_memory(&roots)?;
        Ok(Self::new(roots, writer, reader))
    }

    fn new(roots: RootKeys, writer: KeyFile, reader: KeyFile) -> Self {
        Self {
            roots,
            cache: Cache::new(CACHED_SUBJECTS),
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            wanted: Mutex::new(BTreeSet::new()),
            changes: watch::Sender::new(0),
        }
    }

    /// See [`crate::Personal::seal`].
    pub(crate) fn seal<T: Serialize>(&self, subject: AccountId, value: &T) -> Result<Sealed, KeyError> {
        let keys = match self.subject_keys(subject)? {
            Some(keys) => keys,
            None => self.first_key(subject)?,
        };
        let SubjectKeys::Known(known) = &*keys else { return Err(KeyError::Erased) };
        let (kid, key) = known.last().ok_or(KeyError::Erased)?;
        let plain = serde_json::to_vec(value).map_err(|error| KeyError::Damaged(error.to_string()))?;
        let sealed = BASE64URL_NOPAD.encode(&key.seal(plain, &sealed_context(subject, *kid)));
        Ok(Sealed { subject, kid: *kid, sealed })
    }

    /// See [`crate::Personal::open`].
    pub(crate) fn open_sealed<T: DeserializeOwned>(&self, sealed: &Sealed) -> Result<Opened<T>, KeyError> {
        let Some(keys) = self.subject_keys(sealed.subject)? else { return Ok(Opened::Absent) };
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
        self.changes.subscribe()
    }

    /// Erases all keys of `subject` for good and leaves a marker, so that nothing new is sealed for them. Also when
    /// they have no key here; repeating it changes nothing. When it returns, the wrapped keys are in none of the
    /// file's bytes, the write-ahead log's included. (Copies made of the file before are the operator's to expire.)
    ///
    /// # Errors
    /// [`KeyError::File`]: the marker may be set already; repeat it until it succeeds.
    pub fn erase(&self, subject: AccountId) -> Result<(), KeyError> {
        let mut writer = lock(&self.writer);
        let wrapped = writer.erase(subject)?;
        self.forget(subject);
        // The reader is held still, so that no old snapshot keeps the write-ahead log from being emptied.
        let _still = lock(&self.reader);
        writer.expunge(subject, &wrapped)
    }

    /// Takes over a record made by another node. Returns whether it was news.
    ///
    /// # Errors
    /// [`KeyError::WrongMasterKey`] when its key cannot be unwrapped here; [`KeyError::Refused`] when another key is
    /// known under the same kid; [`KeyError::File`].
    pub fn import(&self, record: &KeyRecord) -> Result<bool, KeyError> {
        match record {
            KeyRecord::Key { subject, purpose, kid, wrapped } => {
                let context = record::wrapping_context(*subject, *purpose, *kid);
                self.roots.unwrap(wrapped, &context).ok_or(KeyError::WrongMasterKey)?;
                let news = lock(&self.writer).import_key(*subject, *purpose, *kid, wrapped)?;
                self.forget(*subject);
                Ok(news)
            }
            KeyRecord::Erased { subject } => {
                let known = lock(&self.reader).is_erased(*subject)?;
                self.erase(*subject)?;
                Ok(!known)
            }
        }
    }

    /// The records after number `after` (0 for all), in the order in which they came here, at most `limit`. Keys that
    /// were erased since are left out: their subject's marker follows.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub fn records_after(&self, after: u64, limit: usize) -> Result<Vec<NumberedRecord>, KeyError> {
        lock(&self.reader).records_after(after, limit)
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
        let bits = self.roots.reservation(canonical.as_bytes());
        // Marked as a custom UUID (version 8), so that nobody reads a time out of its first bits.
        LoginId::from_uuid(Builder::from_custom_bytes(bits).into_uuid())
    }

    /// What the log remembers of a command: 128 bits of HMAC-SHA256 over the operation and the canonical form of what
    /// was asked, secrets left out.
    pub fn command_hash(&self, operation: &str, canonical: &[u8]) -> CommandHash {
        CommandHash(self.roots.command(&hash_parts(&[operation.as_bytes(), canonical])))
    }

    /// The keys of `subject`; `None` when there are none here and none were erased.
    fn subject_keys(&self, subject: AccountId) -> Result<Option<Arc<SubjectKeys>>, KeyError> {
        if let Some(keys) = self.cache.get(&subject) {
            return Ok(Some(keys));
        }
        let reader = lock(&self.reader);
        let keys = match reader.keys_of(subject)? {
            StoredKeys::Erased => SubjectKeys::Erased,
            StoredKeys::Known(stored) if stored.is_empty() => return Ok(None),
            StoredKeys::Known(stored) => {
                let mut known = Vec::with_capacity(stored.len());
                for (kid, purpose, wrapped) in stored {
                    let context = record::wrapping_context(subject, purpose, kid);
                    let unwrapped = self.roots.unwrap(&wrapped, &context);
                    let key = unwrapped.ok_or_else(|| KeyError::Damaged(format!("the wrapped key {kid}")))?;
                    known.push((kid, key));
                }
                SubjectKeys::Known(known)
            }
        };
        let keys = Arc::new(keys);
        self.cache.insert(subject, Arc::clone(&keys));
        Ok(Some(keys))
    }

    /// Makes the first key of `subject`, and with the same durable write those of all who wait for theirs.
    fn first_key(&self, subject: AccountId) -> Result<Arc<SubjectKeys>, KeyError> {
        lock(&self.wanted).insert(subject);
        let mut writer = lock(&self.writer);
        if let Some(made_meanwhile) = self.subject_keys(subject)? {
            return Ok(made_meanwhile);
        }
        let mut subjects = std::mem::take(&mut *lock(&self.wanted));
        // Another writer may have taken it off the list and failed.
        subjects.insert(subject);
        let records: Vec<_> = subjects.into_iter().map(|subject| self.fresh_record(subject)).collect();
        writer.insert_first_keys(&records)?;
        drop(writer);
        self.tick();
        self.subject_keys(subject)?
            .ok_or_else(|| KeyError::File("a key that was written is not there".into()))
    }

    fn fresh_record(&self, subject: AccountId) -> (AccountId, KeyPurpose, KeyId, WrappedKey) {
        let (purpose, kid) = (KeyPurpose::PersonalData, KeyId::fresh());
        let wrapped = self.roots.wrap_fresh_key(&record::wrapping_context(subject, purpose, kid));
        (subject, purpose, kid, wrapped)
    }

    /// Drops what memory holds of `subject`; the next use reads the file.
    fn forget(&self, subject: AccountId) {
        let held = lock(&self.reader);
        self.cache.remove(&subject);
        drop(held);
        self.tick();
    }

    fn tick(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// What a sealed value is bound to: it opens for this subject and this key only.
fn sealed_context(subject: AccountId, kid: KeyId) -> Vec<u8> {
    let (subject, kid) = (subject.uuid(), kid.uuid());
    [b"guildhall sealed 1".as_slice(), subject.as_bytes(), kid.as_bytes()].concat()
}

/// A panic elsewhere leaves the file as SQLite's transactions leave it, whole: the lock is taken all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
