//! People in a backup: their keys are elsewhere, and who was erased stays erased, whichever of the two is older.

use std::fs;

use events::{
    Category, CommitBuilder, Personal, StreamId,
    ids::AccountId,
    keys::KeyRing,
    personal::Opened,
    vocabulary::identity::{AccountErased, AccountEvent, AccountSuspended},
};

use super::{Log, Places, files, master};
use crate::log::support::{append, stamp};

/// An event about somebody, with something sealed in it.
fn suspend(log: &Log, keys: &KeyRing, person: AccountId) -> Personal<String> {
    let stream = StreamId::new(Category::Account, person);
    let reason = Personal::seal(keys, person, &"late again".to_owned()).unwrap();
    write(log, stream, AccountSuspended { reason: reason.clone() }.into());
    reason
}

fn erase(log: &Log, person: AccountId) {
    write(log, StreamId::new(Category::Account, person), AccountErased {}.into());
}

fn write(log: &Log, stream: StreamId, event: AccountEvent) {
    let mut builder = CommitBuilder::new(stream, log.head(stream).unwrap() + 1);
    builder.push(&stamp(), &[event]);
    append(log, builder.finish().unwrap()).unwrap();
}

fn restored_keys(places: &Places) -> KeyRing {
    KeyRing::open(&places.restored.join("keys.db"), &master()).unwrap()
}

#[test]
fn who_was_erased_stays_erased_when_an_older_log_is_restored_with_todays_keys() {
    let places = Places::new();
    let (log, keys) = (places.log(), places.key_ring());
    let (ama, kofi) = (AccountId::fresh(), AccountId::fresh());
    let [hers, his] = [ama, kofi].map(|person| suspend(&log, &keys, person));
    places.take().unwrap();
    keys.erase(ama).unwrap();
    // The keys of the data folder, in use.
    places.restore(&places.data).unwrap();
    let keys = restored_keys(&places);
    assert_eq!(hers.open(&keys), Ok(Opened::Erased));
    assert_eq!(his.open(&keys), Ok(Opened::Value("late again".to_owned())));
}

#[test]
fn who_the_log_knows_to_be_erased_is_not_brought_back_by_older_keys() {
    let places = Places::new();
    let (log, keys) = (places.log(), places.key_ring());
    let (ama, kofi) = (AccountId::fresh(), AccountId::fresh());
    let [hers, his] = [ama, kofi].map(|person| suspend(&log, &keys, person));
    places.take().unwrap();
    let older = tempfile::tempdir().unwrap();
    for file in files(&places.keys) {
        fs::copy(&file, older.path().join(file.file_name().unwrap())).unwrap();
    }
    erase(&log, ama);
    keys.erase(ama).unwrap();
    let taken = places.take().unwrap().keys.unwrap();
    assert_eq!((taken.keys, taken.erased), (1, 1));
    places.restore(older.path()).unwrap();
    let keys = restored_keys(&places);
    assert_eq!(hers.open(&keys), Ok(Opened::Erased));
    assert_eq!(his.open(&keys), Ok(Opened::Value("late again".to_owned())));
}

#[test]
fn keys_that_are_older_than_the_log_are_refused_by_the_place_of_the_first_value() {
    let places = Places::new();
    let (log, keys) = (places.log(), places.key_ring());
    suspend(&log, &keys, AccountId::fresh());
    places.take().unwrap();
    let older = tempfile::tempdir().unwrap();
    for file in files(&places.keys) {
        fs::copy(&file, older.path().join(file.file_name().unwrap())).unwrap();
    }
    suspend(&log, &keys, AccountId::fresh());
    places.take().unwrap();
    let refused = places.restore(older.path()).unwrap_err().to_string();
    assert!(refused.contains("1 of 2 sealed values") && refused.contains("identity/0/1"), "{refused}");
    places.restore(&places.keys).unwrap();
}

#[test]
fn an_erased_persons_key_is_in_no_file_of_the_next_backup() {
    let places = Places::new();
    let (log, keys) = (places.log(), places.key_ring());
    let ama = AccountId::fresh();
    suspend(&log, &keys, ama);
    let record = keys.records_after(0, 1).unwrap().remove(0).record;
    let events::keys::KeyRecord::Key { wrapped, .. } = record else { panic!("{record:?}") };
    let holds = || {
        let holds = |file: &std::path::PathBuf| {
            fs::read(file).unwrap().windows(wrapped.0.len()).any(|window| window == wrapped.0)
        };
        (files(&places.keys).iter().filter(|file| holds(file)).count(), files(&places.to).iter().any(holds))
    };
    places.take().unwrap();
    assert_eq!(holds(), (1, false), "keys are apart from the log");
    keys.erase(ama).unwrap();
    places.take().unwrap();
    assert_eq!(holds(), (0, false));
    assert_eq!(files(&places.keys).len(), 2, "the description and one file");
}

#[test]
fn fewer_keys_never_take_the_place_of_more() {
    let places = Places::new();
    let (log, keys) = (places.log(), places.key_ring());
    suspend(&log, &keys, AccountId::fresh());
    places.take().unwrap();
    drop(keys);
    for name in ["keys.db", "keys.db-wal", "keys.db-shm"] {
        let _ = fs::remove_file(places.data.join(name));
    }
    let refused = places.take().unwrap_err().to_string();
    assert!(refused.contains("holds newer keys than there are"), "{refused}");
    places.restore(&places.keys).unwrap();
}
