//! Personal data is sealed; erased reads as erased, absent waits, and nothing else opens it.

use std::{path::Path, sync::Arc, time::Duration};

use events::{
    Personal,
    ids::{AccountId, KeyId},
    keys::{KeyError, KeyPurpose, KeyRecord, KeyRing, MasterKey, WrappedKey},
    personal::{Opened, Sealed},
};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

fn master() -> MasterKey {
    MasterKey::from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
        .expect("64 digits")
}

fn open(folder: &TempDir) -> KeyRing {
    KeyRing::open(&folder.path().join("keys.db"), &master()).expect("the key file opens")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn seal(keys: &KeyRing, subject: AccountId, text: &str) -> Personal<String> {
    Personal::seal(keys, subject, &text.to_owned()).expect("sealed")
}

fn value(text: &str) -> Opened<String> {
    Opened::Value(text.to_owned())
}

fn records(keys: &KeyRing) -> Vec<KeyRecord> {
    keys.records_after(0, usize::MAX).expect("records").into_iter().map(|numbered| numbered.record).collect()
}

fn wrapped_keys(keys: &KeyRing, of: AccountId) -> Vec<WrappedKey> {
    let wrapped = |record| match record {
        KeyRecord::Key { subject, wrapped, .. } => (subject == of).then_some(wrapped),
        KeyRecord::Erased { .. } => None,
    };
    records(keys).into_iter().filter_map(wrapped).collect()
}

fn files_contain(folder: &Path, wrapped: &WrappedKey) -> bool {
    std::fs::read_dir(folder).expect("the folder").any(|entry| {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        bytes.windows(WrappedKey::BYTES).any(|window| window == wrapped.0)
    })
}

#[test]
fn what_was_sealed_opens_after_the_file_was_closed_and_opened_again() {
    let (folder, ama) = (folder(), AccountId::fresh());
    let sealed = seal(&open(&folder), ama, "ama@example.org");
    let keys = open(&folder);
    assert_eq!(sealed.open(&keys), Ok(value("ama@example.org")));
    let again = seal(&keys, ama, "ama@example.org");
    assert_eq!(again.sealed().kid, sealed.sealed().kid, "one key for all that is sealed for one person");
    assert_ne!(again.sealed().sealed, sealed.sealed().sealed, "equal values do not look equal");
}

#[test]
fn the_sealed_form_never_contains_the_plain_text() {
    let keys = KeyRing::in_memory().expect("a ring");
    let sealed = seal(&keys, AccountId::fresh(), "Ama Mensah");
    let json = serde_json::to_string(&sealed).expect("json");
    assert!(!json.contains("Ama") && !json.contains("Mensah"));
    assert!(!format!("{sealed:?} {keys:?} {:?}", master()).contains("Ama"));
    let read: Personal<String> = serde_json::from_str(&json).expect("reads back");
    assert_eq!(read.open(&keys), Ok(value("Ama Mensah")));
}

#[test]
fn erased_reads_as_erased_in_every_copy_and_stays_so() {
    let (folder, ama, kofi) = (folder(), AccountId::fresh(), AccountId::fresh());
    let keys = open(&folder);
    let (name, email, other) =
        (seal(&keys, ama, "Ama"), seal(&keys, ama, "a@b.c"), seal(&keys, kofi, "Kofi"));
    keys.erase(ama).expect("erased");
    keys.erase(ama).expect("erased again");
    for keys in [keys, open(&folder)] {
        assert_eq!(name.open(&keys), Ok(Opened::Erased));
        assert_eq!(email.clone().open(&keys), Ok(Opened::Erased));
        assert_eq!(other.open(&keys), Ok(value("Kofi")));
        assert_eq!(Personal::seal(&keys, ama, &"Ama".to_owned()), Err(KeyError::Erased));
    }
}

#[test]
fn a_person_without_keys_can_be_erased_before_anything_is_sealed() {
    let (folder, ama) = (folder(), AccountId::fresh());
    open(&folder).erase(ama).expect("erased");
    let keys = open(&folder);
    assert_eq!(Personal::seal(&keys, ama, &1), Err(KeyError::Erased));
    assert_eq!(records(&keys), [KeyRecord::Erased { subject: ama }]);
}

#[test]
fn a_key_that_arrives_after_its_erasure_opens_nothing() {
    let (here, there, ama) = (ring(), ring(), AccountId::fresh());
    let sealed = seal(&there, ama, "Ama");
    here.erase(ama).expect("erased");
    for record in records(&there) {
        assert_eq!(here.import(&record), Ok(false));
    }
    assert_eq!(sealed.open(&here), Ok(Opened::Erased));
    let marker = KeyRecord::Erased { subject: ama };
    assert_eq!((there.import(&marker), there.import(&marker)), (Ok(true), Ok(false)));
    assert_eq!(sealed.open(&there), Ok(Opened::Erased));
}

fn ring() -> KeyRing {
    KeyRing::in_memory().expect("a ring")
}

#[tokio::test]
async fn absent_is_absent_and_waits_until_the_key_arrives() {
    let (here, there, ama) = (Arc::new(ring()), ring(), AccountId::fresh());
    let sealed = seal(&there, ama, "Ama");
    assert_eq!(sealed.open(&here), Ok(Opened::Absent));
    assert_eq!(sealed.open_waiting(&here, Duration::ZERO).await, Ok(Opened::Absent));

    let (keys, waiting) = (Arc::clone(&here), sealed.clone());
    let waiter = tokio::spawn(async move { waiting.open_waiting(&keys, LONG).await });
    // Somebody else's key is no reason to stop waiting.
    seal(&here, AccountId::fresh(), "Kofi");
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished());
    for record in records(&there) {
        assert_eq!(here.import(&record), Ok(true));
    }
    assert_eq!(waiter.await.expect("no panic"), Ok(value("Ama")));
}

#[tokio::test]
async fn an_erasure_ends_the_wait() {
    let (here, ama) = (Arc::new(ring()), AccountId::fresh());
    let sealed = seal(&ring(), ama, "Ama");
    let keys = Arc::clone(&here);
    let waiter = tokio::spawn(async move { sealed.open_waiting(&keys, LONG).await });
    tokio::task::yield_now().await;
    here.erase(ama).expect("erased");
    assert_eq!(waiter.await.expect("no panic"), Ok(Opened::Erased));
}

#[test]
fn a_changed_byte_is_damage() {
    let (keys, ama) = (ring(), AccountId::fresh());
    let sealed = seal(&keys, ama, "Ama").sealed().clone();
    for place in 0..sealed.sealed.len() {
        let mut text = sealed.sealed.clone().into_bytes();
        text[place] = if text[place] == b'A' { b'B' } else { b'A' };
        let changed = Sealed { sealed: String::from_utf8(text).expect("ascii"), ..sealed.clone() };
        let opened = Personal::<String>::from_sealed(changed).open(&keys);
        assert!(matches!(opened, Err(KeyError::Damaged(_))), "byte {place}: {opened:?}");
    }
    for text in ["", "AAAA", "not base64!"] {
        let short = Sealed { sealed: text.to_owned(), ..sealed.clone() };
        let opened = Personal::<String>::from_sealed(short).open(&keys);
        assert!(matches!(opened, Err(KeyError::Damaged(_))), "{text:?}: {opened:?}");
    }
    let opened = Personal::<u64>::from_sealed(sealed).open(&keys);
    assert!(matches!(opened, Err(KeyError::Damaged(_))), "a value of another type: {opened:?}");
}

#[test]
fn a_value_does_not_open_as_somebody_elses() {
    let (keys, ama, kofi) = (ring(), AccountId::fresh(), AccountId::fresh());
    let (hers, his) = (seal(&keys, ama, "Ama"), seal(&keys, kofi, "Kofi"));
    let swapped = Sealed { sealed: hers.sealed().sealed.clone(), ..his.sealed().clone() };
    let opened = Personal::<String>::from_sealed(swapped).open(&keys);
    assert!(matches!(opened, Err(KeyError::Damaged(_))), "{opened:?}");
    let renamed = Sealed { subject: kofi, ..hers.sealed().clone() };
    assert_eq!(Personal::<String>::from_sealed(renamed).open(&keys), Ok(Opened::Absent));
}

#[test]
fn another_master_key_is_refused() {
    let folder = folder();
    seal(&open(&folder), AccountId::fresh(), "Ama");
    let other = MasterKey::from_hex(&"0123456789abcdef".repeat(4)).expect("64 digits");
    let refused = KeyRing::open(&folder.path().join("keys.db"), &other).map(drop);
    assert_eq!(refused, Err(KeyError::WrongMasterKey));
    assert_eq!(MasterKey::from_hex("abc").map(drop), Err(KeyError::InvalidMasterKey));
    assert_eq!(MasterKey::from_bytes([0; 32]).map(drop), Err(KeyError::InvalidMasterKey));
}

#[test]
fn a_file_that_is_no_key_file_or_of_another_format_is_refused() {
    let folder = folder();
    let text = folder.path().join("text.db");
    std::fs::write(
        &text,
        "not a database, but long enough to be mistaken for the header of one, perhaps".repeat(9),
    )
    .expect("written");
    let foreign = folder.path().join("foreign.db");
    let connection = rusqlite::Connection::open(&foreign).expect("a database");
    connection.execute_batch("CREATE TABLE other (x)").expect("a table");
    let newer = folder.path().join("newer.db");
    drop(KeyRing::open(&newer, &master()).expect("a key file"));
    rusqlite::Connection::open(&newer)
        .and_then(|connection| connection.pragma_update(None, "user_version", 3))
        .expect("changed");
    for path in [text, foreign, newer] {
        let refused = KeyRing::open(&path, &master()).map(drop);
        assert!(matches!(refused, Err(KeyError::Refused(_))), "{}: {refused:?}", path.display());
    }
}

#[test]
fn the_key_is_nowhere_in_the_files_once_erased() {
    // So many that pages are split, which is where stale copies of rows stay behind.
    let (folder, people) = (folder(), std::iter::repeat_with(AccountId::fresh).take(120).collect::<Vec<_>>());
    let keys = open(&folder);
    people.iter().for_each(|person| drop(seal(&keys, *person, "name")));
    for person in people {
        let wrapped = wrapped_keys(&keys, person);
        assert!(
            wrapped.len() == 1 && files_contain(folder.path(), &wrapped[0]),
            "the test looks where keys are"
        );
        keys.erase(person).expect("erased");
        assert!(!files_contain(folder.path(), &wrapped[0]));
        assert!(wrapped_keys(&keys, person).is_empty());
    }
}

#[test]
fn an_erasure_that_a_crash_cut_short_is_finished_at_the_next_start() {
    let (folder, ama, kofi) = (folder(), AccountId::fresh(), AccountId::fresh());
    let keys = open(&folder);
    let (gone, kept) = (seal(&keys, ama, "Ama"), seal(&keys, kofi, "Kofi"));
    keys.erase(ama).expect("erased");
    drop(keys);
    let file = rusqlite::Connection::open(folder.path().join("keys.db")).expect("the key file");
    file.execute("INSERT INTO unfinished_erasures VALUES (zeroblob(16))", []).expect("as a crash leaves it");
    let keys = open(&folder);
    let unfinished = file.query_row("SELECT count(*) FROM unfinished_erasures", [], |row| row.get(0));
    assert_eq!(unfinished, Ok(0));
    assert_eq!((gone.open(&keys), kept.open(&keys)), (Ok(Opened::Erased), Ok(value("Kofi"))));
}

#[test]
fn two_first_keys_made_at_once_both_open_and_the_newest_seals() {
    let (here, there, ama) = (ring(), ring(), AccountId::fresh());
    let (first, second) = (seal(&here, ama, "here"), seal(&there, ama, "there"));
    let (from_here, from_there) = (records(&here), records(&there));
    from_there.iter().for_each(|record| assert_eq!(here.import(record), Ok(true)));
    from_here.iter().for_each(|record| assert_eq!(there.import(record), Ok(true)));
    from_here.iter().for_each(|record| assert_eq!(there.import(record), Ok(false)));
    let newest = first.sealed().kid.max(second.sealed().kid);
    for keys in [&here, &there] {
        assert_eq!(first.open(keys), Ok(value("here")));
        assert_eq!(second.open(keys), Ok(value("there")));
        assert_eq!(seal(keys, ama, "after").sealed().kid, newest);
    }
}

#[test]
fn a_record_that_contradicts_another_or_comes_from_another_master_key_is_refused() {
    let (keys, ama) = (ring(), AccountId::fresh());
    seal(&keys, ama, "Ama");
    let KeyRecord::Key { kid, wrapped, .. } = records(&keys)[0] else { panic!("a key") };
    let purpose = KeyPurpose::PersonalData;
    let moved = KeyRecord::Key { subject: AccountId::fresh(), purpose, kid, wrapped };
    assert_eq!(keys.import(&moved), Err(KeyError::WrongMasterKey), "a wrapped key is bound to its subject");
    let renamed = KeyRecord::Key { subject: ama, purpose, kid: KeyId::fresh(), wrapped };
    assert_eq!(keys.import(&renamed), Err(KeyError::WrongMasterKey), "and to its kid");
    let folder = folder();
    let foreign = open(&folder);
    seal(&foreign, ama, "Ama");
    assert_eq!(keys.import(&records(&foreign)[0]), Err(KeyError::WrongMasterKey));
}

#[test]
fn records_travel_as_json_and_are_read_in_pages() {
    let (keys, people) = (ring(), [AccountId::fresh(), AccountId::fresh(), AccountId::fresh()]);
    people.iter().for_each(|person| drop(seal(&keys, *person, "name")));
    keys.erase(people[1]).expect("erased");
    let mut after = 0;
    let mut seen = Vec::new();
    while let [next] = keys.records_after(after, 1).expect("a page").as_slice() {
        assert!(next.number > after);
        after = next.number;
        let json = serde_json::to_string(&next.record).expect("json");
        seen.push(serde_json::from_str::<KeyRecord>(&json).expect("reads back"));
    }
    assert_eq!(seen, records(&keys));
    assert_eq!(seen.len(), 3, "two keys and one marker");
    assert_eq!(seen[2], KeyRecord::Erased { subject: people[1] });
}

#[test]
fn concurrent_first_seals_make_one_usable_key_each() {
    let (folder, people) = (folder(), [AccountId::fresh(), AccountId::fresh(), AccountId::fresh()]);
    let keys = open(&folder);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for person in people {
                    let sealed = seal(&keys, person, "name");
                    assert_eq!(sealed.open(&keys), Ok(value("name")));
                }
            });
        }
    });
    people.iter().for_each(|person| assert_eq!(wrapped_keys(&keys, *person).len(), 1));
}

#[test]
fn an_erasure_amid_sealing_leaves_nothing_readable() {
    let (folder, ama) = (folder(), AccountId::fresh());
    let keys = open(&folder);
    let before = seal(&keys, ama, "before");
    let erased = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    // Read first: what fails to open afterwards must have been erased.
                    let was_erased = erased.load(std::sync::atomic::Ordering::SeqCst);
                    let opened = before.open(&keys);
                    assert!(!was_erased || opened == Ok(Opened::Erased), "{opened:?} after the erasure");
                    if opened == Ok(Opened::Erased) {
                        return;
                    }
                    assert_eq!(opened, Ok(value("before")));
                }
            });
        }
        keys.erase(ama).expect("erased");
        erased.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}

#[test]
fn an_address_has_one_reservation_however_it_is_typed() {
    let (folder, other) = (folder(), ring());
    let keys = open(&folder);
    let id = keys.reservation_id("Ama.Mensah@Example.org");
    assert_eq!(id, keys.reservation_id("  ama.mensah@example.ORG\n"));
    assert_eq!(id, open(&folder).reservation_id("ama.mensah@example.org"), "the same after a restart");
    assert_ne!(id, keys.reservation_id("amamensah@example.org"));
    assert_ne!(id, other.reservation_id("ama.mensah@example.org"), "another installation, another id");
}

#[test]
fn a_command_hash_tells_operations_and_contents_apart() {
    let keys = ring();
    let hash = keys.command_hash("job.create", b"{}");
    assert_eq!(hash, keys.command_hash("job.create", b"{}"));
    assert_ne!(hash, keys.command_hash("job.edit", b"{}"));
    assert_ne!(hash, keys.command_hash("job.create", b"{ }"));
    assert_ne!(keys.command_hash("ab", b"c"), keys.command_hash("a", b"bc"));
}
