//! What the embedded log does with torn, damaged, full and foreign files.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use events::{
    Position, StreamId,
    envelope::NewCommit,
    log::{AppendError, EventLog, LogError, LogOptions, ReadLimit, StoredCommit},
    stream::BEFORE_FIRST,
};
use rusqlite::Connection;
use tempfile::TempDir;

use super::support::{ALL, JOBS, append, clock, commit, history, job, wait};

fn options(folder: &Path) -> LogOptions {
    LogOptions::embedded(folder)
}

fn open(folder: &Path) -> Result<Arc<dyn EventLog>, LogError> {
    events::open(&options(folder))
}

/// Appends all at once, so that they share transactions, and waits for all.
fn append_all(log: &Arc<dyn EventLog>, commits: Vec<NewCommit>) -> Vec<Position> {
    let verdicts: Vec<_> = commits.into_iter().map(|commit| log.append(commit)).collect();
    verdicts.into_iter().map(|verdict| wait(verdict).unwrap().position).collect()
}

/// A log of so many commits, closed, with everything in its main file.
fn closed_log(commits: usize) -> (TempDir, Vec<StoredCommit>) {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    append_all(&log, (0..commits).map(|_| commit(job(), 1, 1)).collect());
    let all = history(&log, JOBS);
    log.close();
    (folder, all)
}

/// Changes one byte of a commit's body in the main file.
fn flip_in_body(folder: &Path, commit: &StoredCommit) {
    let path = folder.join("log.db");
    let mut file = fs::read(&path).unwrap();
    let place = file.windows(commit.body.len()).position(|window| *window == *commit.body).unwrap();
    file[place + commit.body.len() / 2] ^= 1;
    fs::write(&path, file).unwrap();
}

fn is_damaged<T>(result: &Result<T, LogError>, at: Position) -> bool {
    matches!(result, Err(LogError::Damaged { position, .. }) if *position == at)
}

#[test]
fn a_torn_end_is_cut_back_to_whole_commits_and_what_was_acknowledged_before_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    let wal = folder.path().join("log.db-wal");
    let (first, mut acknowledged) = (job(), Vec::new());
    let length = || fs::metadata(&wal).unwrap().len();
    let start = length();
    for number in 1..=12 {
        append(&log, commit(first, number, 1)).unwrap();
        acknowledged.push(length());
    }
    let whole = history(&log, JOBS);
    let bytes = fs::read(&wal).unwrap();
    let main = fs::read(folder.path().join("log.db")).unwrap();
    assert_eq!(bytes.len() as u64, *acknowledged.last().unwrap(), "the log grows with every commit");
    let cuts = (start..=bytes.len() as u64).step_by(1777).chain(acknowledged.iter().copied());
    for cut in cuts {
        for garbage in [0, 700] {
            let torn = tempfile::tempdir().unwrap();
            let mut kept = bytes[..cut as usize].to_vec();
            kept.extend((0..garbage).map(|byte| byte as u8));
            fs::write(torn.path().join("log.db"), &main).unwrap();
            fs::write(torn.path().join("log.db-wal"), kept).unwrap();
            let read_only = LogOptions { read_only: true, ..options(torn.path()) };
            let looked_at = history(&events::open(&read_only).unwrap(), JOBS);
            let log = open(torn.path()).unwrap();
            let found = history(&log, JOBS);
            assert_eq!(looked_at, found, "who only looks sees the same");
            assert_eq!(found, whole[..found.len()], "a prefix of whole commits");
            let durable = acknowledged.iter().filter(|length| **length <= cut).count();
            assert!(found.len() >= durable, "{} of {durable} commits at {cut}", found.len());
            log.verify().unwrap();
            append(&log, commit(first, found.len() as u64 + 1, 1)).unwrap();
        }
    }
}

#[test]
fn a_log_whose_making_was_interrupted_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    let making = fs::read(folder.path().join("log.db-wal")).unwrap();
    let main = fs::read(folder.path().join("log.db")).unwrap();
    for cut in (0..making.len()).step_by(3001) {
        let torn = tempfile::tempdir().unwrap();
        fs::write(torn.path().join("log.db"), &main).unwrap();
        fs::write(torn.path().join("log.db-wal"), &making[..cut]).unwrap();
        let made = open(torn.path()).unwrap();
        assert_ne!(made.id(), log.id());
        append(&made, commit(job(), 1, 1)).unwrap();
        made.verify().unwrap();
    }
}

#[test]
fn a_damaged_body_is_refused_with_its_position_wherever_it_is_read() {
    let (folder, all) = closed_log(1200);
    flip_in_body(folder.path(), &all[7]);
    let log = open(folder.path()).unwrap();
    let at = all[7].position;
    assert!(is_damaged(&log.load(all[7].stream, 0, 10), at));
    assert!(is_damaged(&log.read(JOBS, BEFORE_FIRST, ALL), at));
    assert!(is_damaged(&log.read(JOBS, at.offset - 1, ALL), at));
    assert!(is_damaged(&log.verify(), at));
    let before = ReadLimit { commits: 7, bytes: usize::MAX };
    assert_eq!(log.read(JOBS, BEFORE_FIRST, before).unwrap(), all[..7]);
    assert_eq!(log.read(JOBS, at.offset, ALL).unwrap(), all[8..]);
    assert_eq!(log.load(all[8].stream, 0, 10).unwrap(), all[8..9]);
}

#[test]
fn damage_among_the_last_commits_is_found_when_the_log_is_opened() {
    let (folder, all) = closed_log(30);
    flip_in_body(folder.path(), &all[11]);
    assert!(is_damaged(&open(folder.path()).map(drop), all[11].position));
}

/// Runs SQL on the file of a closed log, opens it again and verifies.
fn tampered(folder: &Path, sql: &str) -> Result<events::log::VerifyReport, LogError> {
    let changed = Connection::open(folder.join("log.db")).unwrap().execute(sql, []).unwrap();
    assert_eq!(changed, 1, "{sql}");
    open(folder)?.verify()
}

#[test]
fn whatever_is_changed_in_the_file_the_walk_finds_it() {
    // Far enough back that opening does not look at it.
    const TAMPERED: usize = 5;
    for sql in [
        "DELETE FROM commits WHERE position = {row}",
        "DELETE FROM entries WHERE position = {row} AND hash IS NULL",
        "DELETE FROM entries WHERE position = {row} AND hash IS NOT NULL",
        "UPDATE entries SET hash = zeroblob(16) WHERE position = {row} AND hash IS NOT NULL",
        "UPDATE entries SET first_version = 2 WHERE position = {row} AND hash IS NOT NULL",
        "UPDATE entries SET position = position + 1 WHERE position = {row} AND hash IS NULL",
        "UPDATE commits SET chain = zeroblob(32) WHERE position = {row}",
        "UPDATE commits SET count = 2 WHERE position = {row}",
        "UPDATE commits SET first_version = 9 WHERE position = {row}",
        "UPDATE commits SET stream = stream + 1 WHERE position = {row}",
        "UPDATE streams SET uuid = zeroblob(16) WHERE key = (SELECT stream FROM commits WHERE position = {row})",
        "INSERT INTO entries SELECT stream, zeroblob(16), position, hash, first_version, count FROM entries
            WHERE position = {row} AND hash IS NOT NULL",
        "INSERT INTO commits SELECT {row} + (1 << 40), stream, first_version, count, checksum, chain, body
            FROM commits WHERE position = {row}",
    ] {
        let (folder, all) = closed_log(1010);
        let row: i64 = {
            let file = Connection::open(folder.path().join("log.db")).unwrap();
            let offset = all[TAMPERED].position.offset;
            let by_offset = "SELECT position FROM commits WHERE position & 0xffffffffffff = ?1";
            file.query_row(by_offset, [offset], |row| row.get(0)).unwrap()
        };
        let sql = sql.replace("{row}", &row.to_string());
        let found = tampered(folder.path(), &sql);
        assert!(matches!(found, Err(LogError::Damaged { .. })), "{sql}: {found:?}");
    }
}

#[test]
fn a_body_that_was_replaced_with_its_checksum_still_breaks_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    let stream = job();
    append(&log, commit(stream, 1, 1)).unwrap();
    append_all(&log, (0..1010).map(|_| commit(job(), 1, 1)).collect());
    let first = history(&log, JOBS)[0].clone();
    log.close();
    let forged = commit(stream, 1, 1).body;
    let mut checksum = crc32fast::Hasher::new_with_initial(crc32fast::hash(&forged));
    checksum.update(stream.uuid.as_bytes());
    checksum.update(b"job");
    checksum.update(&1_u64.to_be_bytes());
    checksum.update(&1_u32.to_be_bytes());
    let file = Connection::open(folder.path().join("log.db")).unwrap();
    let forge = "UPDATE commits SET body = ?1, checksum = ?2 WHERE body = ?3";
    assert_eq!(file.execute(forge, (&forged, checksum.finalize(), &*first.body)).unwrap(), 1);
    drop(file);
    let log = open(folder.path()).unwrap();
    assert_eq!(*log.load(stream, 0, 1).unwrap()[0].body, *forged, "the checksum alone does not notice");
    assert!(is_damaged(&log.verify(), first.position));
}

#[test]
fn a_full_disk_stops_the_writer_and_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let full = LogOptions { pages_max: Some(60), ..options(folder.path()) };
    let log = events::open(&full).unwrap();
    let mut acknowledged: Vec<StreamId> = Vec::new();
    let in_doubt = loop {
        let stream = job();
        match append(&log, commit(stream, 1, 3)) {
            Ok(_) => acknowledged.push(stream),
            Err(AppendError::InDoubt(reason)) => break reason,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(in_doubt.contains("full"), "{in_doubt}");
    assert!(acknowledged.len() > 10);
    assert_eq!(log.status().stopped, Some(in_doubt));
    assert!(matches!(append(&log, commit(job(), 1, 1)), Err(AppendError::Unavailable(_))));
    assert_eq!(log.head(acknowledged[0]), Ok(3), "reads go on");
    log.close();
    let log = open(folder.path()).unwrap();
    for stream in &acknowledged {
        assert_eq!(log.head(*stream), Ok(3));
    }
    assert_eq!(log.verify().unwrap().commits, history(&log, JOBS).len() as u64);
    append(&log, commit(job(), 1, 3)).unwrap();
}

#[test]
fn a_folder_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    assert_eq!(open(folder.path()).map(drop), Err(LogError::Locked));
    log.close();
    open(folder.path()).unwrap();
}

#[test]
fn a_log_is_verified_while_a_server_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let read_only = LogOptions { read_only: true, ..options(folder.path()) };
    assert!(matches!(events::open(&read_only).map(drop), Err(LogError::Refused(_))));
    let log = open(folder.path()).unwrap();
    append(&log, commit(job(), 1, 1)).unwrap();
    let beside = events::open(&read_only).unwrap();
    assert_eq!(beside.id(), log.id());
    let position = append(&log, commit(job(), 1, 1)).unwrap().position;
    append(&log, commit(clock(), 1, 1)).unwrap();
    assert_eq!(beside.end(JOBS), Ok(position.offset));
    assert_eq!(beside.verify().unwrap().commits, 3);
    assert_eq!(history(&beside, JOBS), history(&log, JOBS));
    assert!(matches!(append(&beside, commit(job(), 1, 1)), Err(AppendError::Unavailable(_))));
    log.close();
    assert_eq!(beside.verify().unwrap().commits, 3);
    assert_eq!(events::open(&read_only).unwrap().verify().unwrap().commits, 3);
}

#[test]
fn the_write_ahead_log_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let log = events::open(&LogOptions { wal_bytes_max: 256 << 10, ..options(folder.path()) }).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Readers keep the log from being started anew only for as long as each of their reads takes.
        let some = ReadLimit { commits: 50, bytes: usize::MAX };
        for _ in 0..2 {
            let (log, done) = (&log, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    log.read(JOBS, BEFORE_FIRST, some).unwrap();
                }
            });
        }
        for _ in 0..40 {
            append_all(&log, (0..100).map(|_| commit(job(), 1, 1)).collect());
        }
        done.store(true, Ordering::Relaxed);
    });
    let wal = fs::metadata(folder.path().join("log.db-wal")).unwrap().len();
    let main = fs::metadata(folder.path().join("log.db")).unwrap().len();
    assert!(wal < 4 << 20 && main > 2 << 20, "{wal} bytes of write-ahead log, {main} bytes of log");
    assert_eq!(log.verify().unwrap().commits, 4000);
}

#[test]
fn foreign_files_are_refused_with_a_reason() {
    let with_file = |make: &dyn Fn(PathBuf)| {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path().join("log.db"));
        open(folder.path()).map(drop).unwrap_err()
    };
    let sql =
        |sql: &'static str| move |path: PathBuf| Connection::open(path).unwrap().execute_batch(sql).unwrap();
    let other = with_file(&sql("CREATE TABLE cats (name)"));
    assert!(matches!(other, LogError::Refused(_)), "{other}");
    let garbage = with_file(&|path| {
        fs::write(path, "no database at all, only words, words, words".repeat(100)).unwrap()
    });
    assert!(matches!(garbage, LogError::File(_)), "{garbage}");
    let (folder, _) = closed_log(1);
    let file = Connection::open(folder.path().join("log.db")).unwrap();
    file.execute("UPDATE meta SET value = 99 WHERE name = 'format'", []).unwrap();
    drop(file);
    let newer = open(folder.path()).map(drop);
    assert!(matches!(&newer, Err(LogError::Refused(reason)) if reason.contains("99")), "{newer:?}");
}
