//! What is refused, with a sentence that says what to do.

use std::fs;

use events::log::backup::{BackupError, BackupGauge, BackupOptions, take};

use super::{Places, fill};
use crate::log::support::{append, commit, job};

fn refusal<T: std::fmt::Debug>(outcome: Result<T, BackupError>) -> String {
    match outcome {
        Err(error) => error.to_string(),
        Ok(done) => panic!("{done:?}"),
    }
}

#[test]
fn the_folder_of_another_logs_backup_is_refused() {
    let (places, other) = (Places::new(), Places::new());
    fill(&places.log(), 3);
    fill(&other.log(), 3);
    other.take().unwrap();
    drop(places.key_ring());
    let into = |to: &Places, keys: &Places| {
        let options = BackupOptions::new(&places.data, &to.to, Some(keys.keys.clone()));
        refusal(take(&options, &BackupGauge::default()))
    };
    assert!(into(&other, &places).contains("holds a backup of the log"));
    assert!(into(&places, &other).contains("holds the keys of the log"));
    other.check().unwrap();
    other.restore(&other.keys).unwrap();
}

#[test]
fn a_log_that_went_on_from_an_older_state_is_not_added_to_its_backup() {
    let places = Places::new();
    let log = places.log();
    fill(&log, 5);
    log.close();
    let older = fs::read(places.data.join("log.db")).unwrap();
    let log = places.log();
    append(&log, commit(job(), 1, 1)).unwrap();
    places.take().unwrap();
    log.close();
    // Somebody puts an old file back by hand.
    fs::write(places.data.join("log.db"), older).unwrap();
    let log = places.log();
    assert!(refusal(places.take()).contains("went on from an older state"));
    // Also when it has overtaken the backup meanwhile.
    append(&log, commit(job(), 1, 1)).unwrap();
    append(&log, commit(job(), 1, 1)).unwrap();
    assert!(refusal(places.take()).contains("went on from an older state"));
    places.check().unwrap();
}

#[test]
fn folders_that_hold_something_else_or_lie_in_each_other_are_refused() {
    let places = Places::new();
    drop(places.key_ring());
    let take = |options: BackupOptions| refusal(take(&options, &BackupGauge::default()));
    assert!(take(places.options()).contains("there is no log"));
    fill(&places.log(), 1);
    let within = BackupOptions::new(&places.data, &places.to, Some(places.to.join("keys")));
    assert!(take(within).contains("each needs a folder of its own"));
    let same = BackupOptions::new(&places.data, &places.data, None);
    assert!(take(same).contains("each needs a folder of its own"));
    for folder in [&places.to, &places.keys] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("letter.txt"), "not mine").unwrap();
        assert!(take(places.options()).contains("letter.txt"));
        fs::remove_dir_all(folder).unwrap();
    }
    places.take().unwrap();
}

#[test]
fn a_log_is_restored_into_an_empty_folder_and_no_other() {
    let places = Places::new();
    fill(&places.log(), 1);
    places.take().unwrap();
    fs::create_dir_all(&places.restored).unwrap();
    fs::write(places.restored.join("read.db"), "of another life").unwrap();
    assert!(refusal(places.restore(&places.keys)).contains("is not empty, it holds read.db"));
    fs::remove_file(places.restored.join("read.db")).unwrap();
    places.restore(&places.keys).unwrap();
    assert!(refusal(places.restore(&places.keys)).contains("is not empty, it holds"));
    let nowhere = Places::new();
    assert!(refusal(nowhere.restore(&places.keys)).contains("there is no backup in"));
    let without = places.restore(&nowhere.data);
    assert!(refusal(without).contains("is not empty"));
    fs::remove_dir_all(&places.restored).unwrap();
    assert!(refusal(places.restore(&nowhere.data)).contains("there are no keys in"));
}

#[test]
fn two_backups_do_not_write_one_folder_at_the_same_time() {
    let places = Places::new();
    fill(&places.log(), 1);
    places.take().unwrap();
    let held = fs::File::open(places.to.join("backup.lock")).unwrap();
    held.try_lock().unwrap();
    assert!(refusal(places.take()).contains("another backup is being written"));
    drop(held);
    places.take().unwrap();
}
