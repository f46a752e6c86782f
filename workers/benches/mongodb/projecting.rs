//! The workers from an empty read store to the end of a log, and the driver alone with the same documents.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use events::log::EventLog;
use projections::{BareCollections, Projection, board::Board, job_detail::JobDetails};
use workers::RunState;

use crate::{
    ABREAST, history, median,
    place::{JOBS, clear, embedded_log, fresh_prefix, mongodb, settings, start},
    ratio,
    recording::{Recorded, Recording},
    rounds,
};

/// What each way took, round by round.
#[derive(Default)]
struct Times {
    whole: Vec<Duration>,
    transactions: Vec<Duration>,
    bulks: Vec<Duration>,
    unindexed: Vec<Duration>,
}

/// Prints how near the workers come to the driver alone.
pub(crate) async fn measure(jobs: usize) {
    let folder = tempfile::tempdir().unwrap();
    let log = embedded_log(folder.path());
    let events = history::write(&log, jobs, ABREAST).await;
    println!("{events} events of {jobs} jobs on the log");
    let measured: [Arc<dyn Projection>; 2] = [Arc::new(Board), Arc::new(JobDetails)];
    let mut sums = [Duration::ZERO; 4];
    for projection in &measured {
        let medians = compare(&log, projection, events).await;
        for (sum, median) in sums.iter_mut().zip(medians) {
            *sum += median;
        }
    }
    let [whole, transactions, bulks, unindexed] = sums;
    println!("ratio projecting_vs_bare_transaction {:.2} goal >= 0.6", ratio(transactions, whole));
    println!("ratio projecting_vs_bare_bulk {:.2} goal >= 0.8", ratio(bulks, whole));
    println!("ratio bare_transaction_vs_bare_bulk {:.2}", ratio(bulks, transactions));
    println!("no index: a bare transaction would be {:.2} of projecting", ratio(unindexed, whole));
}

/// The medians of projecting, bare transactions, bare bulks and bare transactions without an index.
async fn compare(log: &Arc<dyn EventLog>, projection: &Arc<dyn Projection>, events: usize) -> [Duration; 4] {
    let mut times = Times::default();
    for _ in 0..rounds() {
        let (whole, batches) = project(log, projection).await;
        times.whole.push(whole);
        let collections = projection.collections();
        times.transactions.push(bare(collections, &batches, true, true).await);
        times.bulks.push(bare(collections, &batches, true, false).await);
        times.unindexed.push(bare(collections, &batches, false, true).await);
        if times.whole.len() == 1 {
            let documents: usize = batches.iter().map(|batch| batch.writes.len()).sum();
            println!(
                "{:<12} {events} events make {documents} upserts in {} batches",
                projection.name(),
                batches.len()
            );
        }
    }
    let Times { whole, transactions, bulks, unindexed } = times;
    let medians = [whole, transactions, bulks, unindexed].map(median);
    let rate = |time: Duration| events as f64 / time.as_secs_f64();
    println!(
        "{:<12} projected at {:>7.0} events/s, bare transactions {:>7.0}, bare bulks {:>7.0}, no index {:>7.0}",
        projection.name(),
        rate(medians[0]),
        rate(medians[1]),
        rate(medians[2]),
        rate(medians[3]),
    );
    medians
}

/// How long the product takes from nothing to the end of the log, and what it wrote.
async fn project(log: &Arc<dyn EventLog>, projection: &Arc<dyn Projection>) -> (Duration, Vec<Recorded>) {
    let store = projections::open(&mongodb(&fresh_prefix())).unwrap();
    store.prepare(&projection.id(), &workers::collections_with_ours(projection.collections())).await.unwrap();
    let recording = Arc::new(Recording::new(Arc::clone(&store), projection.collections()));
    let end = log.end(JOBS).unwrap();
    // Alone in its fleet: of its scope it need not wait to be told.
    let settings = workers::WorkerSettings { shared: false, ..settings(1) };
    let began = Instant::now();
    let workers = start(vec![Arc::clone(projection)], log, Arc::clone(&recording) as _, settings);
    let mut progress = workers.progress();
    while recording.reached() < end {
        progress.changed().await.unwrap();
        let state = workers.status().runners.remove(0).state;
        assert!(!matches!(state, RunState::Stopped { .. }), "{state:?}");
    }
    let time = began.elapsed();
    workers.shutdown().await;
    assert_eq!(workers.status().runners.remove(0).verdicts.parked, 0);
    clear(store.as_ref()).await;
    let batches = recording.take();
    assert_eq!(batches.last().map(|batch| batch.to), Some(end));
    (time, batches)
}

/// How long the driver alone takes for the same documents in the same batches.
async fn bare(
    collections: &[projections::CollectionSpec],
    batches: &[Recorded],
    indexed: bool,
    in_transactions: bool,
) -> Duration {
    let bare = BareCollections::create(&mongodb(&fresh_prefix()), collections, indexed).await.unwrap();
    let mut time = Duration::ZERO;
    for batch in batches {
        let ready = bare.batch(&batch.writes, in_transactions).unwrap();
        let began = Instant::now();
        if in_transactions {
            bare.write_in_transaction(ready).await.unwrap();
        } else {
            bare.write_unordered(ready).await.unwrap();
        }
        time += began.elapsed();
    }
    bare.clear().await.unwrap();
    time
}
