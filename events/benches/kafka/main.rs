//! How fast an empty copy is filled from a real Kafka, and how much memory that takes.
//!
//! Run it against a stack: `compose/stack run --only kafka -- cargo bench -p events --bench kafka`. One process writes
//! `GUILDHALL_BENCH_COMMITS` commits (500,000) to `GUILDHALL_BENCH_STREAMS` streams (as many). Then, in interleaved rounds
//! (`GUILDHALL_BENCH_ROUNDS`, 3): the topic is read by a bare consumer, a new copy is filled by a process of its own, and the
//! same rows are written to a bare SQLite file in batches of the same size.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]
#![allow(clippy::print_stdout, reason = "its figures are its output")]
#![allow(clippy::float_arithmetic, reason = "rates and ratios")]

mod filling;
mod rows;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    Category, CommandStamp, CommitBuilder, StreamId, Timestamp,
    baseline::BareTopic,
    envelope::{CommandHash, NewCommit},
    ids::CommandId,
    log::{EventLog, KafkaOptions, LogOptions},
    vocabulary::admin::{TestClockEvent, TestClockMoved},
};
use uuid::Uuid;

/// The product's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Partitions of every topic here, as many as a new log gets.
const PARTITIONS: u16 = 3;
/// Appends under way at once while the topic is filled.
const WRITERS: usize = 512;

fn main() {
    if filling::is_filling_process() {
        return filling::fill();
    }
    let Ok(brokers) = std::env::var("GUILDHALL_STACK_KAFKA") else {
        println!("there is no Kafka: compose/stack run --only kafka -- cargo bench -p events --bench kafka");
        std::process::exit(1);
    };
    let commits = setting("GUILDHALL_BENCH_COMMITS", 500_000);
    let streams = setting("GUILDHALL_BENCH_STREAMS", commits).clamp(1, commits);
    let rounds = setting("GUILDHALL_BENCH_ROUNDS", 3).max(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let prefix = format!("fill-{}", Uuid::now_v7().simple());

    let folder = tempfile::tempdir().unwrap();
    let log = open(&brokers, &prefix, folder.path());
    let started = Instant::now();
    runtime.block_on(write(&log, commits, streams));
    println!("{commits} commits to {streams} streams at {:.0}/s", rate(commits, started.elapsed()));
    wait_for(&log, commits);
    log.close();
    let written = LogOptions { read_only: true, ..LogOptions::embedded(folder.path()) };
    let rows = rows::rows(&events::open(&written).unwrap());
    assert_eq!(rows.len(), commits);
    let topic = format!("{prefix}.admin.events");

    let (mut of_consumption, mut of_rows, mut of_memory) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let consumed = BareTopic::consume(&brokers, &topic, PARTITIONS, commits as u64).unwrap();
        let filled = filling::measure(&brokers, &prefix, commits);
        let bare = rows::write(&rows);
        println!(
            "round {round}: consume {:.0}/s, fill {:.0}/s, bare rows {:.0}/s; resident {} MiB after a quarter, {} MiB at most",
            rate(commits, consumed),
            rate(commits, filled.time),
            rate(commits, bare),
            filled.resident_quarter_mib,
            filled.resident_max_mib,
        );
        of_consumption.push(consumed.as_secs_f64() / filled.time.as_secs_f64());
        of_rows.push(bare.as_secs_f64() / filled.time.as_secs_f64());
        of_memory.push(filled.resident_max_mib as f64 / filled.resident_quarter_mib.max(1) as f64);
    }
    println!("ratio kafka_fill_vs_bare_consumption {:.3} goal >= 0.12", median(of_consumption));
    println!("ratio kafka_fill_vs_bare_rows {:.2} goal >= 0.7", median(of_rows));
    println!("ratio kafka_fill_memory_vs_first_quarter {:.2} goal <= 1.5", median(of_memory));
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.replace('_', "").parse().ok()).unwrap_or(default)
}

fn rate(commits: usize, time: Duration) -> f64 {
    commits as f64 / time.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn open(brokers: &str, prefix: &str, folder: &Path) -> Arc<dyn EventLog> {
    let topics =
        KafkaOptions { topic_prefix: prefix.to_owned(), partitions: PARTITIONS, ..KafkaOptions::default() };
    events::open(&LogOptions { kafka: topics, ..LogOptions::kafka(brokers, folder) }).unwrap()
}

/// Writes one event a commit, to the streams in turn.
async fn write(log: &Arc<dyn EventLog>, commits: usize, streams: usize) {
    let first = Uuid::now_v7().as_u128();
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let log = Arc::clone(log);
            // A stream belongs to one writer, so that nobody waits for a conflict.
            let own = (writer..streams).step_by(WRITERS).count();
            let count = (writer..commits).step_by(WRITERS).count();
            tokio::spawn(async move {
                for number in 0..count.min(count * own) {
                    let stream = Uuid::from_u128(first + (writer + number % own * WRITERS) as u128);
                    log.append(commit(stream, (number / own) as u64 + 1)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn commit(uuid: Uuid, version: u64) -> NewCommit {
    let mut builder = CommitBuilder::new(StreamId { category: Category::TestClock, uuid }, version);
    let stamp = CommandStamp {
        command_id: CommandId::fresh(),
        command_hash: CommandHash([7; 16]),
        correlation_id: "3f2a9c1e5b7d4860".into(),
        causation_id: None,
        actor: "account:acc_0192f0c1a2b37c4d8e5f60718293a4b5".into(),
        traceparent: None,
        time: Timestamp::from_micros(1_700_000_000_000_000),
    };
    let event = TestClockEvent::from(TestClockMoved { offset_ms: 1 });
    builder.push(&stamp, std::slice::from_ref(&event));
    builder.finish().unwrap()
}

/// Waits until so many commits were judged.
fn wait_for(log: &Arc<dyn EventLog>, commits: usize) {
    let mut patience = Instant::now();
    let (mut held, mut seen) = (0, 0);
    while held < commits as u64 {
        held = log.status().commits;
        if held > seen {
            (seen, patience) = (held, Instant::now());
        }
        assert!(patience.elapsed() < Duration::from_secs(60), "the copy stands still at {held} commits");
        std::thread::sleep(Duration::from_millis(5));
    }
}
