//! A byte that was changed is found, in whichever file it is.

use std::fs;

use events::log::backup::{BackupError, BackupOptions};

use super::{Places, files, fill};

#[test]
fn a_changed_byte_is_found_in_every_file_and_is_not_restored() {
    let places = Places::new();
    fill(&places.log(), 30);
    places.take().unwrap();
    let files = files(&places.to);
    assert!(files.len() > 5, "{files:?}");
    for file in files.iter().filter(|file| !file.ends_with("backup.lock")) {
        let whole = fs::read(file).unwrap();
        for part in [0, 1, 2, 3] {
            let mut changed = whole.clone();
            let place = (whole.len() - 1) * part / 3;
            changed[place] ^= 0x14;
            fs::write(file, &changed).unwrap();
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            for found in [places.check(), places.restore(&places.keys).map(drop)] {
                let Err(BackupError::Damaged { file, .. }) = &found else {
                    panic!("{name} at {place}: {found:?}")
                };
                assert_eq!(*file, name, "{found:?}");
            }
        }
        fs::write(file, whole).unwrap();
    }
    places.check().unwrap();
    places.restore(&places.keys).unwrap();
}

#[test]
fn a_changed_byte_in_the_keys_is_found() {
    let places = Places::new();
    fill(&places.log(), 3);
    places.take().unwrap();
    for file in files(&places.keys) {
        let whole = fs::read(&file).unwrap();
        for place in [0, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[place] ^= 0x14;
            fs::write(&file, &changed).unwrap();
            let found = places.restore(&places.keys).unwrap_err().to_string();
            assert!(found.contains("the backup of the keys is damaged"), "{found}");
        }
        fs::write(&file, whole).unwrap();
    }
    places.restore(&places.keys).unwrap();
}

#[test]
fn a_file_that_is_gone_or_shorter_is_named() {
    let places = Places::new();
    fill(&places.log(), 30);
    places.take().unwrap();
    let file = files(&places.to.join("log")).swap_remove(1);
    let (whole, name) = (fs::read(&file).unwrap(), file.file_name().unwrap().to_str().unwrap().to_owned());
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let found = places.check().unwrap_err().to_string();
    assert!(found.contains(&name) && found.contains("shorter"), "{found}");
    fs::remove_file(&file).unwrap();
    let found = places.check().unwrap_err().to_string();
    assert!(found.contains(&name) && found.contains("cannot be opened"), "{found}");
}

#[test]
fn a_damaged_file_is_not_gone_on_with() {
    let places = Places::new();
    let log = places.log();
    fill(&log, 2);
    let one_file = BackupOptions { segment_bytes_max: 1 << 20, ..places.options() };
    drop(places.key_ring());
    let take = || events::log::backup::take(&one_file, &events::log::backup::BackupGauge::default());
    take().unwrap();
    let file = files(&places.to.join("log")).remove(0);
    let mut changed = fs::read(&file).unwrap();
    let place = changed.len() / 2;
    changed[place] ^= 1;
    fs::write(&file, &changed).unwrap();
    fill(&log, 6);
    let refused = take().unwrap_err();
    assert!(matches!(refused, BackupError::Damaged { .. }), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), changed, "it is left as it was");
}
