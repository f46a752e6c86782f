//! What one process knows of keys: the file, and a cache of unwrapped keys over it.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quick_cache::sync::Cache;
use tokio::sync::watch;

use super::{
    KeyError,
    cipher::{DataKey, MasterKey, RootKeys},
    file::{KeyFile, StoredKeys},
    follow::{Applied, Following},
    post::Meaning,
    record::{self, KeyPurpose, KeyRecord, WrappedKey},
};
use crate::ids::{AccountId, KeyId};

/// How many subjects' unwrapped keys stay in memory.
const CACHED_SUBJECTS: usize = 10_000;

/// The file of keys and what memory holds of it.
pub(super) struct Vault {
    pub(super) roots: RootKeys,
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
pub(super) enum SubjectKeys {
    Erased,
    /// Sorted by kid, oldest first; never empty in the cache.
    Known(Vec<(KeyId, DataKey)>),
}

impl Vault {
    pub(super) fn open(path: &Path, master: &MasterKey) -> Result<Self, KeyError> {
        let roots = RootKeys::derive(master);
        let writer = KeyFile::open(path, &roots)?;
        let reader = KeyFile::open_reader(path)?;
        Ok(Self::new(roots, writer, reader))
    }

    pub(super) fn in_memory() -> Result<Self, KeyError> {
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

    /// The file, for writing.
    pub(super) fn writer(&self) -> MutexGuard<'_, KeyFile> {
        lock(&self.writer)
    }

    /// The file, for reading.
    pub(super) fn reader(&self) -> MutexGuard<'_, KeyFile> {
        lock(&self.reader)
    }

    /// Ticks whenever keys were made, arrived or were erased.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The keys of `subject`; `None` when there are none here and none were erased.
    pub(super) fn subject_keys(&self, subject: AccountId) -> Result<Option<Arc<SubjectKeys>>, KeyError> {
        if let Some(keys) = self.cache.get(&subject) {
            return Ok(Some(keys));
        }
        let reader = self.reader();
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
    pub(super) fn first_key(&self, subject: AccountId) -> Result<Arc<SubjectKeys>, KeyError> {
        lock(&self.wanted).insert(subject);
        let mut writer = self.writer();
        if let Some(made_meanwhile) = self.subject_keys(subject)? {
            return Ok(made_meanwhile);
        }
        let mut subjects = std::mem::take(&mut *lock(&self.wanted));
        // Another writer may have taken it off the list and failed.
        subjects.insert(subject);
        let records: Vec<_> = subjects.into_iter().map(|subject| self.fresh_key(subject)).collect();
        writer.insert_first_keys(&records)?;
        drop(writer);
        self.tick();
        self.subject_keys(subject)?
            .ok_or_else(|| KeyError::File("a key that was written is not there".into()))
    }

    /// A fresh key for `subject`, which is nowhere yet.
    pub(super) fn fresh_key(&self, subject: AccountId) -> (AccountId, KeyPurpose, KeyId, WrappedKey) {
        let (purpose, kid) = (KeyPurpose::PersonalData, KeyId::fresh());
        let wrapped = self.roots.wrap_fresh_key(&record::wrapping_context(subject, purpose, kid));
        (subject, purpose, kid, wrapped)
    }

    /// Erases the keys of `subject` here.
    pub(super) fn erase(&self, subject: AccountId) -> Result<(), KeyError> {
        let mut writer = self.writer();
        let erased = writer.erase(subject)?;
        self.forget([subject]);
        // The reader is held still, so that no old snapshot keeps the write-ahead log from being emptied.
        let _still = self.reader();
        writer.expunge(&erased)
    }

    /// Erases the keys of all these people here, and only here, with one look through the file's bytes; gives how many had
    /// some.
    pub(super) fn erase_here(&self, people: &BTreeSet<AccountId>) -> Result<u64, KeyError> {
        let (mut wrapped, mut erased) = (Vec::new(), BTreeSet::new());
        for person in people {
            let following = self.reader().following()?;
            let theirs = match following {
                None => self.writer().erase(*person)?,
                // Nothing of theirs is here: the marker is the topic's to bring.
                Some(_) if self.subject_keys(*person)?.is_none() => Vec::new(),
                Some(Following { next, unswept_ms, .. }) => {
                    let marker = Meaning::Record(KeyRecord::Erased { subject: *person });
                    self.writer().apply(&[(next, marker)], next, unswept_ms)?.erased
                }
            };
            erased.extend(theirs.iter().map(|(person, _)| *person));
            wrapped.extend(theirs);
        }
        self.forget(people.iter().copied());
        self.expunge(&wrapped)?;
        Ok(erased.len() as u64)
    }

    /// Takes over a record here; whether it was news.
    pub(super) fn import(&self, record: &KeyRecord) -> Result<bool, KeyError> {
        match record {
            KeyRecord::Key { subject, purpose, kid, wrapped } => {
                let context = record::wrapping_context(*subject, *purpose, *kid);
                self.roots.unwrap(wrapped, &context).ok_or(KeyError::WrongMasterKey)?;
                let news = self.writer().import_key(*subject, *purpose, *kid, wrapped)?;
                self.forget([*subject]);
                Ok(news)
            }
            KeyRecord::Erased { subject } => {
                let known = self.reader().is_erased(*subject)?;
                self.erase(*subject)?;
                Ok(!known)
            }
        }
    }

    /// Whether a record says what is not known here.
    ///
    /// # Errors
    /// As [`Vault::import`].
    pub(super) fn is_news(&self, record: &KeyRecord) -> Result<bool, KeyError> {
        match record {
            KeyRecord::Key { subject, purpose, kid, wrapped } => {
                let context = record::wrapping_context(*subject, *purpose, *kid);
                self.roots.unwrap(wrapped, &context).ok_or(KeyError::WrongMasterKey)?;
                match self.reader().keys_of(*subject)? {
                    StoredKeys::Erased => Ok(false),
                    StoredKeys::Known(known) => match known.iter().find(|(other, _, _)| other == kid) {
                        Some((_, _, same)) if same == wrapped => Ok(false),
                        Some(_) => Err(KeyError::Refused(format!("another key is known as {kid}"))),
                        None => Ok(true),
                    },
                }
            }
            KeyRecord::Erased { subject } => Ok(!self.reader().is_erased(*subject)?),
        }
    }

    /// Takes over a batch of a topic, see [`KeyFile::apply`]. What it says of erased keys is still to be expunged.
    pub(super) fn apply(
        &self,
        batch: &[(u64, Meaning)],
        behind: u64,
        unswept_ms: Option<i64>,
    ) -> Result<Applied, KeyError> {
        let applied = self.writer().apply(batch, behind, unswept_ms)?;
        if !applied.subjects.is_empty() {
            self.forget(applied.subjects.iter().copied());
        }
        Ok(applied)
    }

    /// Makes sure that no byte of erased keys is left in the file, see [`KeyFile::expunge`].
    pub(super) fn expunge(&self, erased: &[(AccountId, WrappedKey)]) -> Result<(), KeyError> {
        let mut writer = self.writer();
        let _still = self.reader();
        writer.expunge(erased)
    }

    /// Drops what memory holds of `subjects`; the next use reads the file.
    fn forget(&self, subjects: impl IntoIterator<Item = AccountId>) {
        let held = self.reader();
        for subject in subjects {
            self.cache.remove(&subject);
        }
        drop(held);
        self.tick();
    }

    fn tick(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// A panic elsewhere leaves the file as SQLite's transactions leave it, whole: the lock is taken all the same.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
