//! What a backup holds, what the next one adds, and what is left of one that breaks off.

use std::fs;

use events::{
    ids::{AccountId, CommandId},
    log::{LogError, LogOptions, backup::LogKind},
    personal::{Opened, Personal},
};

use super::{Places, all, files, fill, master, while_written};
use crate::log::support::{JOBS, append, commit, commit_of, history, job, stamp_of};

#[test]
fn a_backup_of_a_log_that_is_written_is_one_moment_of_it_with_its_keys() {
    let places = Places::new();
    let person = AccountId::fresh();
    let name = Personal::seal(&places.key_ring(), person, &"Ama".to_owned()).unwrap();
    let log = places.log();
    let taken = while_written(&log, || places.take().unwrap());
    assert_eq!((taken.manifest.log, taken.manifest.kind), (log.id(), LogKind::Embedded));
    assert_eq!(taken.keys.as_ref().map(|keys| (keys.keys, keys.erased)), Some((1, 0)));
    places.check().unwrap();
    let restored = places.restore(&places.keys).unwrap();
    assert_eq!(restored.found.commits, taken.manifest.totals().0);
    let again = places.restored_log();
    let commits = history(&again, JOBS);
    assert!(commits.len() >= 100);
    assert_eq!(commits, history(&log, JOBS)[..commits.len()], "positions, chains, bodies");
    assert_eq!(again.verify().unwrap(), restored.found);
    let keys = events::keys::KeyRing::open(&places.restored.join("keys.db"), &master()).unwrap();
    assert_eq!(name.open(&keys), Ok(Opened::Value("Ama".to_owned())));
    append(&again, commit(job(), 1, 1)).unwrap();
    again.verify().unwrap();
}

#[test]
fn the_restored_log_has_an_id_of_its_own_and_knows_every_command() {
    let places = Places::new();
    let log = places.log();
    let (stream, command) = (job(), CommandId::fresh());
    append(&log, commit(stream, 1, 2)).unwrap();
    append(&log, commit_of(stream, 3, &[(stamp_of(command), 3)])).unwrap();
    places.take().unwrap();
    let restored = places.restore(&places.keys).unwrap();
    let again = places.restored_log();
    assert_eq!(again.id(), restored.log);
    assert_ne!(again.id(), log.id(), "from here on its history is another one");
    assert_eq!(again.find_command(stream, command), log.find_command(stream, command));
    assert!(again.find_command(stream, command).unwrap().is_some());
}

#[test]
fn the_next_backup_only_adds_what_is_new_and_is_a_backup_of_all() {
    let places = Places::new();
    let log = places.log();
    fill(&log, 40);
    let first = places.take().unwrap();
    let full = files(&places.to.join("log"));
    let before: Vec<Vec<u8>> = full.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(full.len() > 4, "{full:?}");
    fill(&log, 30);
    let second = places.take().unwrap();
    assert_eq!((first.added, second.added), (80, 60));
    assert_eq!((first.manifest.run, second.manifest.run), (1, 2));
    for (file, held) in full.iter().zip(before) {
        assert!(fs::read(file).unwrap().starts_with(&held), "{} was only added to", file.display());
    }
    assert_eq!(places.take().unwrap().added, 0);
    places.check().unwrap();
    places.restore(&places.keys).unwrap();
    assert_eq!(all(&places.restored_log()), all(&log));
}

/// Kills of real processes are tried elsewhere: here, all that one can leave behind.
#[test]
fn what_a_backup_that_broke_off_left_behind_is_cut_off_and_gone_on_with() {
    let places = Places::new();
    let log = places.log();
    fill(&log, 40);
    places.take().unwrap();
    let whole = fs::read(places.to.join("manifest.json")).unwrap();
    fill(&log, 30);
    places.take().unwrap();
    // As if it had been killed before the end: the manifest is the first one's, files go on behind what it names, and what
    // was known of the second one is there.
    let second = fs::read(places.to.join("manifest.json")).unwrap();
    fs::write(places.to.join("unfinished.json"), second).unwrap();
    fs::write(places.to.join("manifest.json"), &whole).unwrap();
    for file in files(&places.to.join("log")) {
        let mut bytes = fs::read(&file).unwrap();
        bytes.extend(b"{\"offset\":9000,\"str");
        fs::write(&file, bytes).unwrap();
    }
    places.check().expect("the first one is whole");
    fill(&log, 3);
    let third = places.take().unwrap();
    assert_eq!((third.manifest.run, third.added), (2, 6), "what was written is not written again");
    places.check().unwrap();
    places.restore(&places.keys).unwrap();
    assert_eq!(all(&places.restored_log()), all(&log));
}

#[test]
fn one_that_never_got_to_its_end_is_no_backup_and_the_next_begins_where_it_was() {
    let places = Places::new();
    let log = places.log();
    fill(&log, 40);
    places.take().unwrap();
    fs::rename(places.to.join("manifest.json"), places.to.join("unfinished.json")).unwrap();
    let refused = places.check().unwrap_err().to_string();
    assert!(refused.contains("was never finished"), "{refused}");
    assert_eq!(places.restore(&places.keys).unwrap_err().to_string(), refused);
    assert!(!places.restored.exists());
    assert_eq!(places.take().unwrap().added, 0, "all was there, but for the end");
    places.check().unwrap();
}

#[test]
fn a_restore_that_broke_off_is_no_log_and_begins_anew() {
    let places = Places::new();
    let log = places.log();
    fill(&log, 10);
    places.take().unwrap();
    let broken = events::log::backup::Restoration::begin(&places.restored).unwrap();
    fs::write(broken.folder().join("log.db"), "half of it").unwrap();
    // Its end may have put some of it in its place already.
    fs::write(places.restored.join("keys.db"), "half of it").unwrap();
    drop(broken);
    let opened = events::open(&LogOptions::embedded(&places.restored)).map(drop);
    let Err(LogError::Refused(reason)) = opened else { panic!("{opened:?}") };
    assert!(reason.contains("was not finished: run it again"), "{reason}");
    places.restore(&places.keys).unwrap();
    assert_eq!(all(&places.restored_log()), all(&log));
    assert!(!places.restored.join("restoring").exists());
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_a_backup() {
    let places = Places::new();
    fill(&places.log(), 3);
    places.take().unwrap();
    for file in files(&places.to).into_iter().chain(files(&places.keys)) {
        let mode = fs::metadata(&file).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o077, 0, "{}", file.display());
    }
}
