//! Copying a log into another: what goes over, what is refused, and what happens when it breaks off.

use std::{sync::Arc, time::Duration};

use events::{
    CommandStamp, StreamId,
    ids::{AccountId, CommandId},
    keys::KeyRing,
    log::{
        AppendError, EventLog, LogOptions,
        simulated::{SimulatedBroker, SimulatedFaults},
        transfer::{
            KeysTransferred, TransferError, TransferGauge, TransferOptions, TransferReport, transfer,
            transfer_keys,
        },
    },
    personal::{Opened, Personal},
};
use tempfile::TempDir;

use super::support::{append, clock, commit, commit_of, job, stamp, stamp_of, wait};

type Log = Arc<dyn EventLog>;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn embedded(folder: &TempDir) -> Log {
    events::open(&LogOptions::embedded(folder.path())).unwrap()
}

fn upstream(broker: &Arc<SimulatedBroker>, folder: &TempDir) -> Log {
    let quick = LogOptions {
        republish_after: Duration::from_millis(5),
        close_wait: Duration::ZERO,
        ..LogOptions::embedded(folder.path())
    };
    broker.open(&quick).unwrap()
}

async fn copy(source: &Log, target: &Log) -> Result<TransferReport, TransferError> {
    transfer(source, target, &TransferOptions::default(), &TransferGauge::default()).await
}

/// Streams of two services with commits of one and of several commands.
async fn fill(log: &Log, streams: usize) -> Vec<StreamId> {
    let mut made = Vec::new();
    for number in 0..streams {
        let stream = if number % 5 == 0 { clock() } else { job() };
        let mut version = 1;
        for step in 0..1 + number % 4 {
            let commands = [(stamp(), 1), (stamp(), 1 + u32::try_from(step).unwrap())];
            log.append(commit_of(stream, version, &commands)).await.unwrap();
            version += 2 + step as u64;
        }
        made.push(stream);
    }
    made
}

fn assert_same(source: &Log, target: &Log, streams: &[StreamId]) {
    for stream in streams {
        let (original, held) = (source.load(*stream, 0, 100).unwrap(), target.load(*stream, 0, 100).unwrap());
        let of = |commits: &[events::log::StoredCommit]| -> Vec<_> {
            commits.iter().map(|c| (c.first_version, c.count, c.chain, Arc::clone(&c.body))).collect()
        };
        assert_eq!(of(&original), of(&held), "{stream}");
        assert!(!held.is_empty());
    }
}

#[tokio::test]
async fn a_copy_holds_every_stream_byte_for_byte_whatever_the_engines() {
    let folders = [folder(), folder(), folder()];
    let source = embedded(&folders[0]);
    let streams = fill(&source, 60).await;
    let broker = SimulatedBroker::new(5, 3, SimulatedFaults::default());
    let middle = upstream(&broker, &folders[1]);
    let report = copy(&source, &middle).await.unwrap();
    assert_eq!((report.streams, report.appended, report.grown), (60, report.commits, false));
    assert_same(&source, &middle, &streams);
    let back = embedded(&folders[2]);
    assert_eq!(copy(&middle, &back).await.unwrap().commits, report.commits);
    assert_same(&source, &back, &streams);
    let ids = [source.id(), middle.id(), back.id()];
    assert!(
        ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2],
        "every log has an id of its own: {ids:?}"
    );
}

#[tokio::test]
async fn a_command_that_the_source_knew_is_known_in_the_copy() {
    let folders = [folder(), folder()];
    let (source, target) = (embedded(&folders[0]), embedded(&folders[1]));
    let (stream, known) = (job(), CommandId::fresh());
    source.append(commit(stream, 1, 2)).await.unwrap();
    let asked: [(CommandStamp, u32); 2] = [(stamp(), 1), (stamp_of(known), 3)];
    source.append(commit_of(stream, 3, &asked)).await.unwrap();
    copy(&source, &target).await.unwrap();
    let (original, copied) =
        (source.find_command(stream, known).unwrap().unwrap(), target.find_command(stream, known).unwrap());
    let copied = copied.unwrap();
    assert_eq!(
        (copied.command_hash, copied.first_version, copied.count),
        (original.command_hash, original.first_version, original.count)
    );
}

#[tokio::test]
async fn a_copy_that_breaks_off_anywhere_is_taken_up_where_it_was() {
    let folders = [folder(), folder()];
    let source = embedded(&folders[0]);
    let streams = fill(&source, 300).await;
    let broker =
        SimulatedBroker::new(11, 2, SimulatedFaults { lied: 100, duplicated: 100, ..Default::default() });
    let mut broken_off = 0;
    let report = loop {
        let target = upstream(&broker, &folders[1]);
        let patience = Duration::from_millis(10 + 10 * broken_off);
        let report = tokio::time::timeout(patience, copy(&source, &target)).await;
        // What is under way is left to its fate, as in a crash.
        target.close();
        match report {
            Ok(report) => break report.unwrap(),
            Err(_) => broken_off += 1,
        }
    };
    assert!(report.appended <= report.commits);
    assert_eq!(report.streams, 300);
    let target = upstream(&broker, &folders[1]);
    assert_same(&source, &target, &streams);
    let again = copy(&source, &target).await.unwrap();
    assert_eq!((again.appended, again.commits), (0, report.commits));
}

#[tokio::test]
async fn a_copy_over_a_broker_on_a_bad_day_is_whole() {
    let folders = [folder(), folder(), folder()];
    let source = embedded(&folders[0]);
    let streams = fill(&source, 40).await;
    let hot = job();
    for version in 1..=30 {
        source.append(commit(hot, version, 1)).await.unwrap();
    }
    let broker = SimulatedBroker::new(17, 2, SimulatedFaults::wild());
    let target = upstream(&broker, &folders[1]);
    copy(&source, &target).await.unwrap();
    assert_same(&source, &target, &streams);
    assert_same(&source, &target, &[hot]);
}

#[tokio::test]
async fn a_target_that_holds_anything_else_is_refused_by_the_streams_name() {
    let folders = [folder(), folder(), folder(), folder()];
    let source = embedded(&folders[0]);
    let streams = fill(&source, 3).await;
    let foreign = embedded(&folders[1]);
    let stranger = job();
    foreign.append(commit(stranger, 1, 1)).await.unwrap();
    assert_eq!(copy(&source, &foreign).await, Err(TransferError::ForeignStream { stream: stranger }));

    let other = embedded(&folders[2]);
    other.append(commit(streams[1], 1, 1)).await.unwrap();
    let refused = copy(&source, &other).await.unwrap_err();
    assert_eq!(refused, TransferError::OtherContent { stream: streams[1], version: 1 });
    assert!(refused.to_string().contains(&streams[1].to_string()), "{refused}");

    let ahead = embedded(&folders[3]);
    copy(&source, &ahead).await.unwrap();
    let head = ahead.head(streams[2]).unwrap();
    ahead.append(commit(streams[2], head + 1, 1)).await.unwrap();
    let refused = copy(&source, &ahead).await;
    assert_eq!(refused, Err(TransferError::OtherContent { stream: streams[2], version: head + 1 }));
    assert_eq!(copy(&source, &source).await, Err(TransferError::SameLog(source.id())));
}

#[tokio::test]
async fn a_source_that_is_written_meanwhile_is_copied_to_the_end_it_had_and_to_its_new_one_later() {
    let folders = [folder(), folder()];
    let (source, target) = (embedded(&folders[0]), embedded(&folders[1]));
    let mut streams = fill(&source, 50).await;
    let reading =
        events::open(&LogOptions { read_only: true, ..LogOptions::embedded(folders[0].path()) }).unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (source, stop, grown) = (Arc::clone(&source), Arc::clone(&stop), streams[1]);
        move || {
            let mut made = Vec::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                made.extend(wait(fill(&source, 2)));
                append(&source, commit(grown, source.head(grown).unwrap() + 1, 1)).unwrap();
            }
            made
        }
    });
    let first = copy(&reading, &target).await.unwrap();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    streams.extend(writer.join().unwrap());
    assert!(first.streams >= 50);
    let last = copy(&reading, &target).await.unwrap();
    assert_eq!((last.streams, last.grown), (u64::try_from(streams.len()).unwrap(), false));
    assert_same(&source, &target, &streams);
}

#[tokio::test]
async fn a_commit_that_the_target_cannot_take_is_named() {
    let folders = [folder(), folder()];
    let source = embedded(&folders[0]);
    let stream = job();
    source.append(commit(stream, 1, 20)).await.unwrap();
    let small = LogOptions { commit_bytes_max: 1000, ..LogOptions::embedded(folders[1].path()) };
    let target = events::open(&small).unwrap();
    let refused = copy(&source, &target).await.unwrap_err();
    let TransferError::Append { stream: named, version: 1, error: AppendError::TooLarge { .. } } = refused
    else {
        panic!("{refused}")
    };
    assert_eq!(named, stream);
}

#[tokio::test]
async fn an_upstream_that_stays_away_ends_the_copy_with_a_sentence() {
    let folders = [folder(), folder()];
    let source = embedded(&folders[0]);
    fill(&source, 3).await;
    let broker = SimulatedBroker::new(1, 1, SimulatedFaults::default());
    let target = upstream(&broker, &folders[1]);
    broker.set_away(true);
    while target.status().away.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let options = TransferOptions { away_max: Duration::from_millis(20), ..Default::default() };
    let refused = transfer(&source, &target, &options, &TransferGauge::default()).await.unwrap_err();
    assert!(refused.to_string().starts_with("the target cannot be reached: "), "{refused}");
}

#[test]
fn keys_go_with_the_log_and_who_was_erased_stays_erased() {
    let (source, target) = (KeyRing::in_memory().unwrap(), KeyRing::in_memory().unwrap());
    let people: Vec<AccountId> = (0..30).map(|_| AccountId::fresh()).collect();
    let names: Vec<_> =
        people.iter().map(|person| Personal::seal(&source, *person, &"Ama".to_owned()).unwrap()).collect();
    source.erase(people[0]).unwrap();
    let all = KeysTransferred { keys: 29, erased: 1, news: 30 };
    assert_eq!(transfer_keys(&source, &target), Ok(all));
    assert_eq!(transfer_keys(&source, &target), Ok(KeysTransferred { news: 0, ..all }));
    source.erase(people[1]).unwrap();
    transfer_keys(&source, &target).unwrap();
    for (index, name) in names.iter().enumerate() {
        let wanted = if index < 2 { Opened::Erased } else { Opened::Value("Ama".to_owned()) };
        assert_eq!(name.open(&target).unwrap(), wanted);
    }
}
