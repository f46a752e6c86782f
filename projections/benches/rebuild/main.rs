//! Rebuilds read models from a log and compares that with the least that could be done: reading and decoding the same
//! events, and writing the same documents, in the same batches, to a bare table.
//!
//! What is measured is [`Folding`], as the runner in `workers` uses it, without what the runner does beside: the ratio is
//! a bound for it, not its figure.
//!
//! `GUILDHALL_BENCH_JOBS` says how many jobs the history has (20 000 unless set, some 20 events each).
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::float_arithmetic, reason = "a benchmark")]

mod history;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    RecordedEvent, Service,
    log::{EventLog, LogOptions, ReadLimit, open},
    stream::{BEFORE_FIRST, Offset, Partition},
};
use projections::{
    Advance, Batch, Checkpoint, Folding, Projection, StoreOptions, Write, board::Board,
    job_detail::JobDetails,
};

const PARTITION: Partition = Partition { service: Service::Jobs, number: 0 };
const LIMIT: ReadLimit = ReadLimit { commits: 2048, bytes: 2 * 1024 * 1024 };
const REMEMBERED_BYTES: usize = 8 * 1024 * 1024;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() {
    let jobs =
        std::env::var("GUILDHALL_BENCH_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(20_000);
    let folder = tempfile::tempdir().unwrap();
    let log = open(&LogOptions::embedded(folder.path())).unwrap();
    let written = history::write(&log, jobs).await;
    println!("{written} events of {jobs} jobs on the log");

    let (mut rebuilding, mut bare) = (Duration::ZERO, Duration::ZERO);
    let measured: [Arc<dyn Projection>; 2] = [Arc::new(Board), Arc::new(JobDetails)];
    for projection in &measured {
        let (whole, least) = compare(&log, projection).await;
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

/// The shortest of several rebuilds, and of as many bare runs, in turns.
async fn compare(log: &Arc<dyn EventLog>, projection: &Arc<dyn Projection>) -> (Duration, Duration) {
    let (mut whole, mut least) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        let mut batches = Vec::new();
        whole = whole.min(rebuild(log, projection, folder.path(), &mut batches).await);
        let folder = tempfile::tempdir().unwrap();
        least = least.min(write_bare(log, folder.path(), &batches));
    }
    (whole, least)
}

/// Read, decode, fold, commit with the checkpoint, batch by batch; the next batch is read and decoded while one is
/// applied.
async fn rebuild(
    log: &Arc<dyn EventLog>,
    projection: &Arc<dyn Projection>,
    folder: &Path,
    batches: &mut Vec<Vec<Write>>,
) -> Duration {
    let store = projections::open(&StoreOptions::at(format!("embedded:{}", folder.display()))).unwrap();
    store.prepare(&projection.id(), projection.collections()).await.unwrap();
    let began = Instant::now();
    let mut folding = Folding::new(Arc::clone(projection), Arc::clone(&store), REMEMBERED_BYTES);
    let mut checkpoint = None;
    let mut ahead = read_ahead(log, BEFORE_FIRST);
    while let Some((events, to)) = ahead.await.unwrap() {
        ahead = read_ahead(log, to);
        folding.expect(&events.iter().collect::<Vec<_>>()).await.unwrap();
        for event in &events {
            folding.apply(event).await.unwrap();
        }
        let writes = folding.writes();
        let reached = Checkpoint { log: log.id(), offset: to };
        let advance = Advance { partition: PARTITION, from: checkpoint, to: reached };
        let (advances, unchanged) = (vec![advance], Vec::new());
        let batch = Batch { projection: projection.id(), writes: writes.clone(), advances, unchanged };
        store.commit(batch).await.unwrap();
        folding.settle();
        batches.push(writes);
        checkpoint = Some(reached);
    }
    began.elapsed()
}

fn read_ahead(
    log: &Arc<dyn EventLog>,
    after: Offset,
) -> tokio::task::JoinHandle<Option<(Vec<RecordedEvent>, Offset)>> {
    let log = Arc::clone(log);
    tokio::task::spawn_blocking(move || next(&log, after))
}

/// The next events, decoded, and the offset they reach to.
fn next(log: &Arc<dyn EventLog>, after: Offset) -> Option<(Vec<RecordedEvent>, Offset)> {
    let commits = log.read(PARTITION, after, LIMIT).unwrap();
    let last = commits.last()?.position.offset;
    let decoded = commits.iter().flat_map(|commit| commit.events().unwrap());
    Some((decoded.map(|event| event.unwrap()).collect(), last))
}

/// The least: the same events read and decoded, the same documents put into one table by key.
fn write_bare(log: &Arc<dyn EventLog>, folder: &Path, batches: &[Vec<Write>]) -> Duration {
    let mut connection = rusqlite::Connection::open(folder.join("bare.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -8192;
             CREATE TABLE documents (key TEXT PRIMARY KEY, document TEXT NOT NULL)",
        )
        .unwrap();
    let began = Instant::now();
    let mut after = BEFORE_FIRST;
    for writes in batches {
        let (events, to) = next(log, after).unwrap();
        std::hint::black_box(events);
        let transaction = connection.transaction().unwrap();
        {
            let mut put = transaction
                .prepare_cached(
                    "INSERT INTO documents VALUES (?, ?) \
                     ON CONFLICT (key) DO UPDATE SET document = excluded.document",
                )
                .unwrap();
            let mut delete = transaction.prepare_cached("DELETE FROM documents WHERE key = ?").unwrap();
            for write in writes {
                let key = format!("{}/{}", write.document.collection, write.document.key);
                match &write.value {
                    Some(json) => put.execute([key.as_str(), json.text()]).unwrap(),
                    None => delete.execute([key.as_str()]).unwrap(),
                };
            }
        }
        transaction.commit().unwrap();
        after = to;
    }
    began.elapsed()
}
