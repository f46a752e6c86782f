//! Nodes with a key file each, and what their files and the topic hold.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use events::{
    Personal,
    ids::AccountId,
    keys::{
        KeyError, KeyRecord, KeyRing, MasterKey, WrappedKey,
        simulated::{ExchangeRecord, SimulatedExchange},
    },
    personal::Opened,
};
use tempfile::TempDir;

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(60);

pub fn master() -> MasterKey {
    MasterKey::from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap()
}

/// A node's data folder.
pub struct Node {
    pub folder: TempDir,
}

impl Node {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("keys.db")
    }

    pub fn open(&self, exchange: &std::sync::Arc<SimulatedExchange>) -> KeyRing {
        exchange.open(&self.path(), &master()).unwrap()
    }
}

pub fn seal(keys: &KeyRing, subject: AccountId, text: &str) -> Personal<String> {
    Personal::seal(keys, subject, &text.to_owned()).unwrap()
}

pub fn value(text: &str) -> Opened<String> {
    Opened::Value(text.to_owned())
}

/// Waits until `value` opens as `expected`.
pub fn opens_as(value: &Personal<String>, keys: &KeyRing, expected: &Opened<String>) {
    eventually(&format!("{value:?} opens as {expected:?}"), || value.open(keys).as_ref() == Ok(expected));
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The wrapped keys that a ring knows.
pub fn wrapped_keys(keys: &KeyRing) -> Vec<(AccountId, WrappedKey)> {
    let records = keys.records_after(0, usize::MAX).unwrap();
    let wrapped = |record| match record {
        KeyRecord::Key { subject, wrapped, .. } => Some((subject, wrapped)),
        KeyRecord::Erased { .. } => None,
    };
    records.into_iter().filter_map(|numbered| wrapped(numbered.record)).collect()
}

/// Whether the bytes stand in any file of the folder.
pub fn files_contain(folder: &Path, wrapped: &WrappedKey) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(WrappedKey::BYTES).any(|window| window == wrapped.0)
    })
}

/// The keys that stand on the topic, as strangers would find them there.
pub fn keys_on(records: &[ExchangeRecord]) -> Vec<(AccountId, WrappedKey)> {
    let read =
        |record: &ExchangeRecord| match serde_json::from_slice::<KeyRecord>(record.value.as_deref()?).ok()? {
            KeyRecord::Key { subject, wrapped, .. } => Some((subject, wrapped)),
            KeyRecord::Erased { .. } => None,
        };
    records.iter().filter_map(read).collect()
}

/// Whether the topic has the marker of `subject`.
pub fn is_marked(records: &[ExchangeRecord], subject: AccountId) -> bool {
    let key = subject.to_string();
    records.iter().any(|record| record.key == key && record.value.is_some())
}

pub fn is_away<T: std::fmt::Debug>(result: &Result<T, KeyError>) -> bool {
    matches!(result, Err(KeyError::Away(_)))
}

/// How many records were news.
pub fn take_over(from: &KeyRing, to: &KeyRing) -> u64 {
    events::log::transfer::transfer_keys(from, to).unwrap().news
}
