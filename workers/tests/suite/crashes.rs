//! A worker that is killed again and again, at moments that nobody has chosen, leaves what was never interrupted: over every
//! engine of the read store, while the log hands out every tenth record twice.
//!
//! Each life has a runtime of its own, which is thrown away in the middle of what it does: nothing is finished, nothing is
//! taken back, and what was open on a server stays open.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::projections::{
    Projection, ReadStore, StoreOptions, bids_by_worker::BidsByWorker, board::Board,
    contract_detail::ContractDetails, job_detail::JobDetails, open, timers::Timers,
};
use events::{
    log::{
        EventLog, LogOptions,
        simulated::{SimulatedBroker, SimulatedFaults},
    },
    time::DomainClock,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use workers::{WorkerSettings, Workers, rebuild_and_compare};

use crate::{
    history,
    support::{Nobody, mongodb, settings, until_caught_up},
};

/// Of a thousand: how many records arrive twice.
const TWICE: u32 = 100;

/// How often the worker is killed: 50 times, or as often as `CRASHES` says.
fn crashes() -> usize {
    std::env::var("CRASHES").ok().and_then(|crashes| crashes.parse().ok()).unwrap_or(50)
}

fn folded() -> Vec<Arc<dyn Projection>> {
    vec![
        Arc::new(Board),
        Arc::new(JobDetails),
        Arc::new(BidsByWorker),
        Arc::new(ContractDetails),
        Arc::new(Timers),
    ]
}

fn start(log: &Arc<dyn EventLog>, store: Arc<dyn ReadStore>, batch_commits_max: usize) -> Workers {
    let settings = WorkerSettings { batch_commits_max, backoff_max_ms: 100, ..settings() };
    Workers::start(folded(), Arc::new(Nobody), None, Arc::clone(log), store, DomainClock::new(), settings)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// One life, and its sudden end.
fn live_and_die(
    log: &Arc<dyn EventLog>,
    options: &StoreOptions,
    random: &mut StdRng,
    longest_ms: u64,
) -> u64 {
    let life = runtime();
    let (batch, length_ms) = (random.random_range(1..40), random.random_range(0..longest_ms));
    let (workers, written) = life.block_on(async {
        let workers = start(log, open(options).unwrap(), batch);
        tokio::time::sleep(Duration::from_millis(length_ms)).await;
        let written = *workers.progress().borrow();
        (workers, written)
    });
    // First the ground beneath them, so that nothing that they would still do is done.
    life.shutdown_background();
    drop(workers);
    written
}

/// Kills workers on the store of these options; then everything must be as if none had ever been killed.
fn kill_again_and_again(seed: u64, options: &StoreOptions, longest_ms: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let broker =
        SimulatedBroker::new(seed, 2, SimulatedFaults { duplicated: TWICE, ..SimulatedFaults::default() });
    let log = broker.open(&LogOptions::embedded(folder.path().join("copy"))).unwrap();
    let (ends, writing) = (Arc::new(AtomicBool::new(false)), runtime());
    let (told, log_of_writer) = (Arc::clone(&ends), Arc::clone(&log));
    let writer = writing.spawn(async move {
        let mut written = 0;
        while !told.load(Ordering::SeqCst) {
            written += history::write(&log_of_writer, 4, 4).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        written
    });
    let written: u64 = (0..crashes()).map(|_| live_and_die(&log, options, &mut random, longest_ms)).sum();
    ends.store(true, Ordering::SeqCst);
    let events = writing.block_on(writer).unwrap();
    assert!(written > 50, "only {written} transactions in all lives: this test has gone blind");
    writing.block_on(async {
        let store = open(options).unwrap();
        let workers = start(&log, Arc::clone(&store), 500);
        until_caught_up(&workers, log.as_ref()).await;
        workers.shutdown().await;
        for projection in folded() {
            let (name, scratch) = (projection.name(), tempfile::tempdir().unwrap());
            let rebuilt = open(&StoreOptions::at(format!("embedded:{}", scratch.path().display()))).unwrap();
            let compared =
                rebuild_and_compare(projection, Arc::clone(&log), store.as_ref(), rebuilt, 3).await;
            let differences: Vec<_> = compared.unwrap().iter().map(ToString::to_string).collect();
            assert!(differences.is_empty(), "seed {seed}, {name} of {events} events: {differences:#?}");
        }
    });
    log.close();
}

#[test]
fn sqlite_holds_what_a_worker_that_was_never_killed_would_have_written() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::at(format!("embedded:{}", folder.path().display()));
    kill_again_and_again(rand::random(), &options, 120);
}

#[test]
#[ignore = "needs the stack"]
fn mongodb_holds_what_a_worker_that_was_never_killed_would_have_written() {
    let store = mongodb::fresh();
    kill_again_and_again(rand::random(), &store.options, 1500);
    runtime().block_on(store.clear());
}
