//! A copy's index comes behind its commits, and nobody can tell: not who reads it, not who opens it after a crash.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use events::{
    StreamId, Version,
    envelope::NewCommit,
    ids::CommandId,
    log::{EventLog, LogOptions, StoredCommit},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    contract::{Engine, contract},
    support::{ALL, JOBS, append, clock, commit, commit_of, job, stamp, stamp_of, wait_until_seen},
};

/// The embedded engine with an index that is swept nearly all the time.
struct Sweeping(TempDir);

impl Engine for Sweeping {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Arc<dyn EventLog> {
        open(self.0.path(), 3)
    }

    fn open_with_queue(&self, queue_bytes_max: usize) -> Arc<dyn EventLog> {
        let options = LogOptions { queue_bytes_max, unindexed_rows_max: 3, ..options(self.0.path(), 3) };
        events::open(&options).unwrap()
    }
}

contract!(Sweeping);

fn options(folder: &Path, unindexed_rows_max: usize) -> LogOptions {
    LogOptions { unindexed_rows_max, ..LogOptions::embedded(folder) }
}

fn open(folder: &Path, unindexed_rows_max: usize) -> Arc<dyn EventLog> {
    events::open(&options(folder, unindexed_rows_max)).unwrap()
}

/// What was appended.
#[derive(Default)]
struct Written {
    streams: BTreeMap<StreamId, Vec<StoredCommit>>,
    commands: Vec<(StreamId, CommandId, Version, u32)>,
}

impl Written {
    fn write(&mut self, log: &Arc<dyn EventLog>, commit: NewCommit) {
        let (stream, commands) = (commit.stream, commit.commands.clone());
        let appended = append(log, commit).unwrap();
        wait_until_seen(log, appended.position);
        let known = self.streams.entry(stream).or_default();
        let after = known.last().map_or(0, StoredCommit::last_version);
        known.extend(log.load(stream, after, 2).unwrap());
        assert_eq!(known.last().unwrap().position, appended.position);
        let spans = commands.iter();
        self.commands.extend(spans.map(|span| (stream, span.command_id, span.first_version, span.count)));
    }

    fn check(&self, log: &dyn EventLog, random: &mut StdRng) {
        for (stream, commits) in &self.streams {
            let head = commits.last().unwrap().last_version();
            assert_eq!(log.head(*stream).unwrap(), head);
            assert_eq!(log.load(*stream, 0, 1000).unwrap(), *commits);
            let (after, limit) = (random.random_range(0..=head), random.random_range(1..4));
            let expected = commits.iter().filter(|commit| commit.last_version() > after).take(limit);
            assert!(log.load(*stream, after, limit).unwrap().iter().eq(expected), "{after} {limit}");
            assert_eq!(log.find_command(*stream, CommandId::fresh()).unwrap(), None);
        }
        for (stream, command, first_version, count) in &self.commands {
            let known = log.find_command(*stream, *command).unwrap().unwrap();
            assert_eq!((known.first_version, known.count), (*first_version, *count));
        }
        let report = log.verify().unwrap();
        let commits: usize = self.streams.values().map(Vec::len).sum();
        assert_eq!((report.streams, report.commits), (self.streams.len() as u64, commits as u64));
    }
}

/// The files as a process leaves them that dies now.
fn killed(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in ["log.db", "log.db-wal"] {
        if folder.join(file).exists() {
            fs::copy(folder.join(file), copy.path().join(file)).unwrap();
        }
    }
    copy
}

#[test]
fn whatever_part_of_the_index_is_written_every_reader_finds_everything_also_after_a_crash() {
    for seed in 0..12 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut folder = tempfile::tempdir().unwrap();
        let streams: Vec<StreamId> = (0..6).map(|n| if n % 3 == 0 { clock() } else { job() }).collect();
        let mut written = Written::default();
        let mut log = open(folder.path(), 0);
        let mut beside = open_beside(folder.path());
        for _ in 0..60 {
            match random.random_range(0..20) {
                0 => {
                    log.close();
                    log = open(folder.path(), random.random_range(0..80));
                }
                1 => {
                    let files = killed(folder.path());
                    log.close();
                    beside.close();
                    folder = files;
                    log = open(folder.path(), random.random_range(0..80));
                    beside = open_beside(folder.path());
                }
                2 => beside = open_beside(folder.path()),
                3 => {
                    written.check(log.as_ref(), &mut random);
                    // Opened before much of it was written.
                    written.check(beside.as_ref(), &mut random);
                }
                _ => {
                    let stream = streams[random.random_range(0..streams.len())];
                    let first = log.head(stream).unwrap() + 1;
                    let commands: Vec<_> = (0..random.random_range(1..4))
                        .map(|_| (stamp(), random.random_range(1..3)))
                        .collect();
                    written.write(&log, commit_of(stream, first, &commands));
                }
            }
        }
        written.check(log.as_ref(), &mut random);
        log.close();
        // In a log that was closed the index is whole.
        let file = Connection::open(folder.path().join("log.db")).unwrap();
        let count = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let commits: usize = written.streams.values().map(Vec::len).sum();
        assert_eq!(count("SELECT count(*) FROM entries WHERE hash IS NULL"), commits as i64);
        assert_eq!(count("SELECT count(*) FROM entries WHERE hash NOT NULL"), written.commands.len() as i64);
        let behind = "SELECT count(*) FROM partitions p WHERE EXISTS (SELECT 1 FROM commits c
             WHERE c.position > (p.key << 48) + p.indexed_offset AND c.position < (p.key + 1) << 48)";
        assert_eq!(count(behind), 0);
    }
}

/// Reads the files beside the process that writes them.
fn open_beside(folder: &Path) -> Arc<dyn EventLog> {
    events::open(&LogOptions { read_only: true, ..LogOptions::embedded(folder) }).unwrap()
}

#[test]
fn a_crash_leaves_entries_unwritten_and_a_sweep_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), 1000);
    let (stream, mut written) = (job(), Written::default());
    for version in 1..=20 {
        written.write(&log, commit(stream, version, 1));
    }
    let entries = |folder: &Path| {
        let file = Connection::open(folder.join("log.db")).unwrap();
        file.query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let files = killed(folder.path());
    assert_eq!(entries(files.path()), 0, "this test has gone blind");
    let again = open(files.path(), 10);
    written.check(again.as_ref(), &mut StdRng::seed_from_u64(1));
    for version in 21..=25 {
        written.write(&again, commit(stream, version, 1));
    }
    let swept = killed(files.path());
    assert!(entries(swept.path()) >= 40, "{}", entries(swept.path()));
    written.check(again.as_ref(), &mut StdRng::seed_from_u64(2));
}

#[test]
fn a_file_of_the_format_before_is_brought_up_when_it_is_opened_for_writing() {
    let folder = tempfile::tempdir().unwrap();
    let (log, mut written, stream) = (open(folder.path(), 10), Written::default(), job());
    for version in 1..=30 {
        written.write(&log, commit(stream, version, 1));
    }
    written.write(&log, commit(clock(), 1, 1));
    log.close();
    let file = Connection::open(folder.path().join("log.db")).unwrap();
    file.execute_batch(
        "ALTER TABLE partitions DROP COLUMN indexed_offset; UPDATE meta SET value = 1 WHERE name = 'format'",
    )
    .unwrap();
    drop(file);
    // Who only reads it reads it as it is, again and again.
    for seed in 0..2 {
        written.check(open_beside(folder.path()).as_ref(), &mut StdRng::seed_from_u64(seed));
    }
    let log = open(folder.path(), 10);
    for version in 31..=40 {
        written.write(&log, commit(stream, version, 1));
    }
    written.check(log.as_ref(), &mut StdRng::seed_from_u64(3));
    log.close();
    written.check(open_beside(folder.path()).as_ref(), &mut StdRng::seed_from_u64(4));
}

#[test]
fn a_command_that_is_written_twice_keeps_its_first_outcome_through_sweeps_and_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let (stream, twice) = (job(), CommandId::fresh());
    let mut log = open(folder.path(), 1000);
    append(&log, commit_of(stream, 1, &[(stamp_of(twice), 2)])).unwrap();
    append(&log, commit_of(stream, 3, &[(stamp_of(twice), 1)])).unwrap();
    let is_the_first = |log: &Arc<dyn EventLog>| {
        let known = log.find_command(stream, twice).unwrap().unwrap();
        (known.first_version, known.count) == (1, 2)
    };
    assert!(is_the_first(&log));
    let files = killed(folder.path());
    log = open(files.path(), 0);
    assert!(is_the_first(&log));
    // Swept in the meantime: what comes now stands beside the file's entry.
    append(&log, commit(clock(), 1, 1)).unwrap();
    append(&log, commit_of(stream, 4, &[(stamp_of(twice), 3)])).unwrap();
    assert!(is_the_first(&log));
    log.close();
    log = open(files.path(), 0);
    assert!(is_the_first(&log));
    assert_eq!(log.verify().unwrap().commits, 4);
}

#[test]
fn who_reads_while_the_index_is_swept_finds_whatever_was_answered_whole_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), 40);
    let streams: Vec<StreamId> = (0..8).map(|_| job()).collect();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reads: Vec<_> = (0..3_usize)
            .map(|reader| {
                let (log, streams, ended, folder) = (&log, &streams, &ended, folder.path());
                scope.spawn(move || {
                    let mut reads = 0;
                    while !ended.load(Ordering::SeqCst) {
                        let opened = (reader == 2).then(|| open_beside(folder));
                        let log = opened.as_ref().unwrap_or(log);
                        for stream in streams {
                            let head = log.head(*stream).unwrap();
                            let found = log.load(*stream, 0, usize::MAX).unwrap();
                            let end = found.last().map_or(0, StoredCommit::last_version);
                            assert!(end >= head, "{end} behind {head}");
                        }
                        for known in log.read(JOBS, events::stream::BEFORE_FIRST, ALL).unwrap() {
                            assert!(log.head(known.stream).unwrap() >= known.last_version());
                        }
                        log.verify().unwrap();
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for version in 1..=60 {
            for stream in &streams {
                append(&log, commit(*stream, version, 1)).unwrap();
                assert_eq!(log.load(*stream, version - 1, 2).unwrap().len(), 1);
            }
        }
        ended.store(true, Ordering::SeqCst);
        for read in reads {
            assert!(read.join().unwrap() > 0);
        }
    });
}
