//! Rebuilds read models from a log and compares that with the least that could be done: reading and decoding the same
//! events, and writing the same documents, in the same batches, to a bare table.
//!
//! What is measured is the product: [`Workers`] with one projection, from an empty read store to the end of the log,
//! with all that a runner does beside folding: reading ahead, verdicts, letters, turns, checkpoints. The ledger, where every
//! entry meets the same few accounts, is measured against the board, whose documents are of one job each.
//!
//! `GUILDHALL_BENCH_JOBS` says how many jobs the history has (20 000 unless set, some 20 events each). There is a third as
//! many milestones that are paid for, some 60 events each.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::float_arithmetic, reason = "a benchmark")]

mod history;
mod money;
#[path = "../nobody/mod.rs"]
mod nobody;
mod recording;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    RecordedEvent, Service,
    log::{EventLog, LogOptions, ReadLimit, open},
    stream::{BEFORE_FIRST, Offset, Partition},
    time::DomainClock,
};
use nobody::Nobody;
use projections::{
    BareTable, Projection, ReadStore, Shape, StoreOptions,
    board::Board,
    job_detail::JobDetails,
    money::{journal::entry_of, ledger::Ledger},
};
use recording::{Recorded, Recording};
use workers::{RunState, WorkerSettings, Workers};

const JOBS: Partition = Partition { service: Service::Jobs, number: 0 };
const PAYMENTS: Partition = Partition { service: Service::Payments, number: 0 };
const ROUNDS: usize = 3;
/// Jobs that are under way at the same time.
const ABREAST: usize = 250;
/// The page cache of the bare table, KiB: as much as the read store's writer has.
const CACHE_KIB: u32 = 8192;

/// The product's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let jobs =
        std::env::var("GUILDHALL_BENCH_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(20_000);
    let folder = tempfile::tempdir().unwrap();
    let log = open(&LogOptions::embedded(folder.path())).unwrap();
    let written = history::write(&log, jobs, ABREAST).await;
    println!("{written} events of {jobs} jobs on the log");
    compare_with_bare(&log, written).await;
    let milestones = jobs.div_ceil(3);
    let of_money = money::write(&log, milestones).await;
    println!("{of_money} events of {milestones} milestones on the log");
    compare_ledger_with_board(&log, written, of_money).await;
}

async fn compare_with_bare(log: &Arc<dyn EventLog>, written: usize) {
    let (mut rebuilding, mut bare) = (Duration::ZERO, Duration::ZERO);
    let measured: [Arc<dyn Projection>; 2] = [Arc::new(Board), Arc::new(JobDetails)];
    for projection in &measured {
        let (whole, least) = compare(log, projection).await;
        let rate = |time: Duration| written as f64 / time.as_secs_f64();
        println!(
            "{:<12} rebuilt at {:>8.0} events/s, bare at {:>8.0} events/s: {:.2}",
            projection.name(),
            rate(whole),
            rate(least),
            least.as_secs_f64() / whole.as_secs_f64()
        );
        rebuilding += whole;
        bare += least;
    }
    println!("ratio rebuild_vs_bare {:.2} goal >= 0.4", bare.as_secs_f64() / rebuilding.as_secs_f64());
}

/// The shortest of several rebuilds of each, in turns. What an event costs is what its topic's events cost on average:
/// both topics have events that their read model passes over.
async fn compare_ledger_with_board(log: &Arc<dyn EventLog>, of_jobs: usize, of_money: usize) {
    let (board, ledger): (Arc<dyn Projection>, Arc<dyn Projection>) = (Arc::new(Board), Arc::new(Ledger));
    let (mut boarding, mut entering) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        boarding = boarding.min(rebuild(log, JOBS, &board, folder.path()).await.0);
        let folder = tempfile::tempdir().unwrap();
        entering = entering.min(rebuild(log, PAYMENTS, &ledger, folder.path()).await.0);
    }
    let rate = |events: usize, time: Duration| events as f64 / time.as_secs_f64();
    let (boarded, entered) = (rate(of_jobs, boarding), rate(of_money, entering));
    let entries = rate(count_entries(log), entering);
    println!("board        rebuilt at {boarded:>8.0} events/s");
    println!("ledger       rebuilt at {entered:>8.0} events/s, {entries:.0} entries/s");
    println!("ratio ledger_vs_board {:.2} goal >= 0.7", entered / boarded);
}

fn count_entries(log: &Arc<dyn EventLog>) -> usize {
    let (mut after, mut entries) = (BEFORE_FIRST, 0);
    while after < log.end(PAYMENTS).unwrap() {
        let (events, to) = next(log, PAYMENTS, after);
        entries += events.iter().filter(|event| entry_of(&event.payload).unwrap().is_some()).count();
        after = to;
    }
    entries
}

/// The shortest of several rebuilds, and of as many bare runs, in turns.
async fn compare(log: &Arc<dyn EventLog>, projection: &Arc<dyn Projection>) -> (Duration, Duration) {
    let (mut whole, mut least) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        let (time, batches) = rebuild(log, JOBS, projection, folder.path()).await;
        whole = whole.min(time);
        let folder = tempfile::tempdir().unwrap();
        least = least.min(write_bare(log, folder.path(), &batches));
    }
    (whole, least)
}

/// What a projector runs with when all others run beside it, as they do in the product.
fn settings() -> WorkerSettings {
    let all = WorkerSettings::default();
    let runners = |projection: &Arc<dyn Projection>| match projection.shape() {
        Shape::Partitioned => projection.topics().len(),
        Shape::Joined => 1,
    };
    let runners: usize = projections::all().iter().map(runners).sum();
    let share = all.documents_remembered_bytes_max / runners;
    WorkerSettings { processes: false, documents_remembered_bytes_max: share, ..all }
}

/// How long the product takes from nothing to the end of the log, and what it wrote.
async fn rebuild(
    log: &Arc<dyn EventLog>,
    partition: Partition,
    projection: &Arc<dyn Projection>,
    folder: &Path,
) -> (Duration, Vec<Recorded>) {
    let store = projections::open(&StoreOptions::at(format!("embedded:{}", folder.display()))).unwrap();
    store.prepare(&projection.id(), &workers::collections_with_ours(projection.collections())).await.unwrap();
    let recording = Arc::new(Recording::new(store, projection.collections()));
    let end = log.end(partition).unwrap();
    let began = Instant::now();
    let workers = Workers::start(
        vec![Arc::clone(projection)],
        Arc::new(Nobody),
        None,
        Arc::clone(log),
        Arc::clone(&recording) as Arc<dyn ReadStore>,
        DomainClock::new(),
        settings(),
    );
    let mut progress = workers.progress();
    while recording.reached() < end {
        progress.changed().await.unwrap();
        let state = workers.status().runners.remove(0).state;
        assert!(!matches!(state, RunState::Stopped { .. }), "{state:?}");
    }
    let time = began.elapsed();
    workers.shutdown().await;
    let verdicts = workers.status().runners.remove(0).verdicts;
    assert_eq!((verdicts.parked, verdicts.stopped), (0, 0));
    (time, recording.take())
}

/// The least: the same events read and decoded, the same documents put into one table by key.
fn write_bare(log: &Arc<dyn EventLog>, folder: &Path, batches: &[Recorded]) -> Duration {
    let mut table = BareTable::create(folder, CACHE_KIB).unwrap();
    let began = Instant::now();
    let mut after = BEFORE_FIRST;
    for batch in batches {
        let (events, to) = next(log, JOBS, after);
        assert_eq!(to, batch.to, "the same events");
        std::hint::black_box(events);
        table.write(&batch.writes).unwrap();
        after = to;
    }
    began.elapsed()
}

/// The events of the next batch, decoded, and the offset they reach to.
fn next(log: &Arc<dyn EventLog>, partition: Partition, after: Offset) -> (Vec<RecordedEvent>, Offset) {
    let WorkerSettings { batch_commits_max: commits, batch_bytes_max: bytes, .. } = settings();
    let commits = log.read(partition, after, ReadLimit { commits, bytes }).unwrap();
    let to = commits.last().unwrap().position.offset;
    let decoded = commits.iter().flat_map(|commit| commit.events().unwrap());
    (decoded.map(|event| event.unwrap()).collect(), to)
}
