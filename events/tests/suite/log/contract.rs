//! What every engine promises. Each test is written once and runs over every engine.

use std::{collections::BTreeSet, sync::Arc};

use events::{
    CommandStamp, Timestamp, Version,
    log::{AppendError, EventLog, LogError, ReadLimit},
    stream::BEFORE_FIRST,
};

use super::support::{
    ALL, JOBS, append, clock, commit, commit_of, history, job, stamp, wait, wait_until_seen,
};

/// One log that can be opened, closed and opened again.
pub(crate) trait Engine {
    /// A log of its own with nothing in it.
    fn new() -> Self;
    /// Opens it; everything that was appended before is there.
    fn open(&self) -> Arc<dyn EventLog>;
    /// Opens it with room for so many bytes of waiting commits.
    fn open_with_queue(&self, queue_bytes_max: usize) -> Arc<dyn EventLog>;
}

/// Runs every promise over an engine. Attributes before its name go to every test.
macro_rules! contract {
    ($(#[$attribute:meta])* $engine:ty) => {
        crate::log::contract::contract!(
            $(#[$attribute])* $engine;
            a_commit_is_appended_where_the_stream_stands
            a_stale_version_is_refused_with_the_head
            a_version_ahead_of_the_head_is_refused_with_the_head
            versions_are_dense_and_a_stream_is_loaded_from_any_of_them
            a_partition_is_read_in_order_from_any_position
            reads_keep_their_limits
            a_head_in_memory_is_the_head_or_unknown
            a_command_is_found_with_what_it_wrote
            streams_of_one_service_stay_out_of_the_partition_of_another
            a_waiting_reader_is_woken
            an_oversized_commit_is_refused_before_it_is_sent
            a_commit_that_contradicts_itself_is_refused
            of_concurrent_writers_of_a_version_exactly_one_wins
            many_writers_wait_for_room_and_all_get_through
            everything_is_there_after_opening_again
            a_dropped_append_takes_nothing_back
            a_closed_log_takes_nothing_and_says_so
            every_chain_verifies
        );
    };
    ($(#[$attribute:meta])* $engine:ty; $($promise:ident)*) => {
        crate::log::contract::contract!(@ { $(#[$attribute])* } $engine; $($promise)*);
    };
    (@ $attributes:tt $engine:ty; $($promise:ident)*) => {
        $(crate::log::contract::contract!(@one $attributes $engine; $promise);)*
    };
    (@one { $(#[$attribute:meta])* } $engine:ty; $promise:ident) => {
        #[test]
        $(#[$attribute])*
        fn $promise() {
            crate::log::contract::$promise(&<$engine as crate::log::contract::Engine>::new());
        }
    };
}
pub(crate) use contract;

pub(crate) fn a_commit_is_appended_where_the_stream_stands(engine: &impl Engine) {
    let log = engine.open();
    let stream = job();
    assert_eq!(log.head(stream), Ok(0));
    assert_eq!(log.load(stream, 0, 10), Ok(Vec::new()));
    let wanted = commit(stream, 1, 2);
    let appended = append(&log, wanted.clone()).unwrap();
    assert_eq!(log.head(stream), Ok(2));
    let loaded = log.load(stream, 0, 10).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].position, appended.position);
    assert_eq!((loaded[0].stream, loaded[0].first_version, loaded[0].count), (stream, 1, 2));
    assert_eq!(*loaded[0].body, *wanted.body);
    assert_eq!(loaded[0].chain, events::log::ChainHash::default().link(&wanted.body));
    let events = loaded[0].events().unwrap();
    let versions: Vec<Version> = events.into_iter().map(|event| event.unwrap().version).collect();
    assert_eq!(versions, [1, 2]);
    assert_eq!(log.status().commits, 1);
    assert_eq!(log.status().events, 2);
}

pub(crate) fn a_stale_version_is_refused_with_the_head(engine: &impl Engine) {
    let log = engine.open();
    let stream = job();
    let appended = append(&log, commit(stream, 1, 3)).unwrap();
    for stale in 1..=3 {
        assert_eq!(append(&log, commit(stream, stale, 1)), Err(AppendError::Conflict { head: 3 }));
    }
    assert_eq!(log.head(stream), Ok(3));
    wait_until_seen(&log, appended.position);
    assert_eq!(history(&log, JOBS).len(), 1);
    assert_eq!(log.status().conflicts, 3);
}

pub(crate) fn a_version_ahead_of_the_head_is_refused_with_the_head(engine: &impl Engine) {
    let log = engine.open();
    let stream = job();
    assert_eq!(append(&log, commit(stream, 2, 1)), Err(AppendError::Conflict { head: 0 }));
    append(&log, commit(stream, 1, 1)).unwrap();
    assert_eq!(append(&log, commit(stream, 3, 1)), Err(AppendError::Conflict { head: 1 }));
    assert_eq!(log.status().stopped, None);
}

pub(crate) fn versions_are_dense_and_a_stream_is_loaded_from_any_of_them(engine: &impl Engine) {
    let log = engine.open();
    let (stream, other) = (job(), job());
    let mut next = 1;
    for count in [1, 3, 2, 1] {
        append(&log, commit(stream, next, count)).unwrap();
        append(&log, commit(other, next, count)).unwrap();
        next += Version::from(count);
    }
    let all = log.load(stream, 0, usize::MAX).unwrap();
    let mut expected = 1;
    for commit in &all {
        assert_eq!(commit.first_version, expected);
        expected = commit.last_version() + 1;
    }
    assert_eq!(expected, next);
    for after in 0..next + 2 {
        let tail = log.load(stream, after, usize::MAX).unwrap();
        let wanted: Vec<_> = all.iter().filter(|commit| commit.last_version() > after).cloned().collect();
        assert_eq!(tail, wanted);
        assert_eq!(log.load(stream, after, 1).unwrap(), wanted.into_iter().take(1).collect::<Vec<_>>());
    }
}

pub(crate) fn a_partition_is_read_in_order_from_any_position(engine: &impl Engine) {
    let log = engine.open();
    assert_eq!(log.end(JOBS), Ok(BEFORE_FIRST));
    let mut positions = Vec::new();
    for _ in 0..20 {
        positions.push(append(&log, commit(job(), 1, 1)).unwrap().position);
    }
    assert!(positions.is_sorted());
    wait_until_seen(&log, positions[19]);
    assert_eq!(log.end(JOBS), Ok(positions[19].offset));
    let all = history(&log, JOBS);
    assert_eq!(all.iter().map(|commit| commit.position).collect::<Vec<_>>(), positions);
    for (index, position) in positions.iter().enumerate() {
        assert_eq!(log.read(JOBS, position.offset, ALL).unwrap(), all[index + 1..]);
    }
}

pub(crate) fn reads_keep_their_limits(engine: &impl Engine) {
    let log = engine.open();
    for _ in 0..5 {
        let appended = append(&log, commit(job(), 1, 1)).unwrap();
        wait_until_seen(&log, appended.position);
    }
    let all = history(&log, JOBS);
    let body = all[0].body.len();
    let read = |commits, bytes| log.read(JOBS, BEFORE_FIRST, ReadLimit { commits, bytes }).unwrap();
    assert_eq!(read(3, usize::MAX), all[..3]);
    assert_eq!(read(0, usize::MAX), []);
    assert_eq!(read(5, 0), all[..1]);
    assert_eq!(read(5, body), all[..2]);
    assert_eq!(read(5, 2 * body - 1), all[..2]);
    assert_eq!(read(50, usize::MAX), all);
}

pub(crate) fn a_head_in_memory_is_the_head_or_unknown(engine: &impl Engine) {
    let stream = job();
    let log = engine.open();
    assert_eq!(log.head_in_memory(stream), None);
    for version in 1..=3 {
        append(&log, commit(stream, version, 1)).unwrap();
        assert_eq!(log.head_in_memory(stream), Some(version));
    }
    log.close();
    let again = engine.open();
    // It has events, and yet nobody has it in memory: that is not version 0.
    assert_eq!((again.head_in_memory(stream), again.head(stream)), (None, Ok(3)));
    append(&again, commit(stream, 4, 2)).unwrap();
    assert_eq!(again.head_in_memory(stream), Some(5));
}

pub(crate) fn a_command_is_found_with_what_it_wrote(engine: &impl Engine) {
    let stream = job();
    let commands: Vec<(CommandStamp, u32)> = vec![(stamp(), 2), (stamp(), 1), (stamp(), 3)];
    let log = engine.open();
    append(&log, commit(stream, 1, 1)).unwrap();
    let appended = append(&log, commit_of(stream, 2, &commands)).unwrap();
    let check = |log: &Arc<dyn EventLog>| {
        let mut next = 2;
        for (stamp, count) in &commands {
            let known = log.find_command(stream, stamp.command_id).unwrap().unwrap();
            assert_eq!(known.command_hash, stamp.command_hash);
            assert_eq!((known.first_version, known.count), (next, *count));
            assert_eq!(known.position, appended.position);
            next += Version::from(*count);
            assert_eq!(log.find_command(job(), stamp.command_id), Ok(None));
        }
        assert_eq!(log.find_command(stream, stamp().command_id), Ok(None));
    };
    check(&log);
    log.close();
    drop(log);
    check(&engine.open());
}

pub(crate) fn streams_of_one_service_stay_out_of_the_partition_of_another(engine: &impl Engine) {
    let log = engine.open();
    let (here, there) = (job(), clock());
    let appended = append(&log, commit(there, 1, 1)).unwrap();
    let other = append(&log, commit(here, 1, 1)).unwrap();
    wait_until_seen(&log, appended.position);
    wait_until_seen(&log, other.position);
    assert_eq!(appended.position.partition.service, there.category.service());
    assert!(log.partitions().contains(&appended.position.partition) && log.partitions().is_sorted());
    assert_eq!(history(&log, JOBS).len(), 1);
    assert_eq!(history(&log, appended.position.partition)[0].stream, there);
}

pub(crate) fn a_waiting_reader_is_woken(engine: &impl Engine) {
    let log = engine.open();
    let mut changes = log.changes();
    changes.mark_unchanged();
    let reader = std::thread::spawn({
        let log = Arc::clone(&log);
        move || {
            let mut seen = Vec::new();
            let mut after = BEFORE_FIRST;
            while seen.len() < 10 {
                let found = log.read(JOBS, after, ALL).unwrap();
                after = found.last().map_or(after, |commit| commit.position.offset);
                if found.is_empty() {
                    wait(changes.changed()).unwrap();
                }
                seen.extend(found);
            }
            seen
        }
    });
    for _ in 0..10 {
        append(&log, commit(job(), 1, 1)).unwrap();
    }
    assert_eq!(reader.join().unwrap(), history(&log, JOBS));
}

pub(crate) fn an_oversized_commit_is_refused_before_it_is_sent(engine: &impl Engine) {
    let log = engine.open();
    let stream = job();
    let mut large = commit(stream, 1, 1);
    let limit = log.commit_bytes_max();
    large.body.resize(limit + 1, b' ');
    assert_eq!(append(&log, large.clone()), Err(AppendError::TooLarge { bytes: limit + 1, limit }));
    assert_eq!(log.head(stream), Ok(0));
    large.body.truncate(limit);
    append(&log, large).unwrap();
    assert_eq!(log.load(stream, 0, 1).unwrap()[0].body.len(), limit);
}

pub(crate) fn a_commit_that_contradicts_itself_is_refused(engine: &impl Engine) {
    let log = engine.open();
    let stream = job();
    let mut counts = commit(stream, 1, 2);
    counts.count = 3;
    let mut starts = commit(stream, 1, 2);
    starts.first_version = 0;
    let mut lost = commit(stream, 1, 2);
    lost.commands.clear();
    let twice = stamp();
    let repeated = commit_of(stream, 1, &[(twice.clone(), 1), (twice, 1)]);
    for wrong in [counts, starts, lost, repeated] {
        assert!(matches!(append(&log, wrong), Err(AppendError::Unavailable(_))));
    }
    assert_eq!(log.head(stream), Ok(0));
}

pub(crate) fn of_concurrent_writers_of_a_version_exactly_one_wins(engine: &impl Engine) {
    const WRITERS: usize = 4;
    const WINS: usize = 10;
    let log = engine.open();
    let stream = job();
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                let mut won = Vec::new();
                let mut head = 0;
                while won.len() < WINS {
                    match append(&log, commit(stream, head + 1, 1)) {
                        Ok(_) => {
                            head += 1;
                            won.push(head);
                        }
                        Err(AppendError::Conflict { head: stands }) => {
                            assert!(stands > head, "a conflict shows a newer head");
                            head = stands;
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
                won
            })
        })
        .collect();
    let won: Vec<Version> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    assert_eq!(won.len(), WRITERS * WINS);
    assert_eq!(won.iter().collect::<BTreeSet<_>>().len(), won.len(), "no version was won twice");
    assert_eq!(log.head(stream), Ok(won.len() as Version));
}

pub(crate) fn many_writers_wait_for_room_and_all_get_through(engine: &impl Engine) {
    let log = engine.open_with_queue(1);
    let verdicts: Vec<_> = (0..50).map(|_| log.append(commit(job(), 1, 1))).collect();
    let waiting: Vec<_> = verdicts.into_iter().map(|verdict| std::thread::spawn(|| wait(verdict))).collect();
    for verdict in waiting {
        wait_until_seen(&log, verdict.join().unwrap().unwrap().position);
    }
    assert_eq!(history(&log, JOBS).len(), 50);
}

pub(crate) fn everything_is_there_after_opening_again(engine: &impl Engine) {
    let (stream, mut before, mut id) = (job(), Vec::new(), None);
    for round in 0..4 {
        let log = engine.open();
        assert_eq!(log.id(), *id.get_or_insert(log.id()), "the log keeps its id");
        assert_eq!(history(&log, JOBS), before);
        assert_eq!(log.head(stream), Ok(2 * round));
        append(&log, commit(stream, 2 * round + 1, 2)).unwrap();
        wait_until_seen(&log, append(&log, commit(job(), 1, 1)).unwrap().position);
        before = history(&log, JOBS);
        assert_eq!(before.len() as u64, 2 * (round + 1));
        if round % 2 == 0 {
            log.close();
        }
    }
}

pub(crate) fn a_dropped_append_takes_nothing_back(engine: &impl Engine) {
    let log = engine.open();
    let stream = job();
    drop(log.append(commit(stream, 1, 1)));
    // The commit is under way: its place is taken, or is about to be.
    loop {
        match append(&log, commit(stream, 2, 1)) {
            Ok(_) => break,
            Err(AppendError::Conflict { head: 0 }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(log.head(stream), Ok(2));
}

pub(crate) fn a_closed_log_takes_nothing_and_says_so(engine: &impl Engine) {
    let log = engine.open();
    let stream = job();
    append(&log, commit(stream, 1, 1)).unwrap();
    assert_eq!(log.status().stopped, None);
    log.close();
    log.close();
    assert_eq!(log.status().stopped.as_deref(), Some("the log is closed"));
    assert!(matches!(append(&log, commit(stream, 2, 1)), Err(AppendError::Unavailable(_))));
    assert!(matches!(log.load(stream, 0, 1), Err(LogError::File(_))));
    let again = engine.open();
    assert_eq!((again.head(stream), again.status().stopped), (Ok(1), None));
}

pub(crate) fn every_chain_verifies(engine: &impl Engine) {
    let log = engine.open();
    let streams: Vec<_> = (0..30).map(|_| job()).collect();
    let one = stamp();
    for round in 0..12 {
        for stream in &streams {
            // The same command twice on one stream: the first outcome stands, and the walk knows that.
            let commands =
                [(CommandStamp { time: Timestamp::from_micros(round), ..one.clone() }, 1), (stamp(), 1)];
            append(&log, commit_of(*stream, 2 * round.cast_unsigned() + 1, &commands)).unwrap();
        }
    }
    wait_until_seen(&log, append(&log, commit(clock(), 1, 4)).unwrap().position);
    let report = log.verify().unwrap();
    assert_eq!((report.streams, report.commits, report.events), (31, 361, 724));
}
