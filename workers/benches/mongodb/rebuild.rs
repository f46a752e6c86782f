//! Another build of a read model beside the live one, in a process of its own, whose memory is watched; and the driver alone
//! with the same documents.

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{log::EventLog, stream::BEFORE_FIRST};
use projections::{BareCollections, Projection, ProjectionId, ReadStore, board::Board};
use workers::Workers;

use crate::{
    ABREAST, history, median,
    place::{JOBS, clear, embedded_log, fresh_prefix, mongodb, settings, start},
    ratio,
    recording::Recording,
    rounds,
    spool::{Batches, Spool},
};

/// Events of one job of the history.
const EVENTS_PER_JOB: usize = 21;
/// Names the log's folder to the process that rebuilds.
const FOLDER: &str = "GUILDHALL_BENCH_REBUILD_FOLDER";
/// Names the databases to the process that rebuilds.
const PREFIX: &str = "GUILDHALL_BENCH_REBUILD_PREFIX";
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What the process that rebuilds tells.
struct Told {
    time: Duration,
    quarter_mib: f64,
    whole_mib: f64,
}

/// Prints how near a rebuild comes to the driver alone, and what memory it takes.
pub(crate) async fn measure(events: usize) {
    let folder = tempfile::tempdir().unwrap();
    let (spooled, prefix) = (folder.path().join("batches"), fresh_prefix());
    let log = embedded_log(&folder.path().join("log"));
    let written = history::write(&log, events.div_ceil(EVENTS_PER_JOB), ABREAST).await;
    println!("{written} events on the log");
    make_live(&log, &prefix, &spooled).await;
    log.close();
    drop(log);
    let (mut rebuilds, mut bare, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds() {
        let told = in_a_process_of_its_own(folder.path(), &prefix);
        rebuilds.push(told.time);
        bare.push(write_bare(&spooled).await);
        println!(
            "rebuilt {:.0} events/s, bare transactions {:.0}; {:.1} MiB after a quarter, {:.1} MiB at the most",
            written as f64 / told.time.as_secs_f64(),
            written as f64 / bare[bare.len() - 1].as_secs_f64(),
            told.quarter_mib,
            told.whole_mib
        );
        memory.push(told.whole_mib / told.quarter_mib);
    }
    memory.sort_by(f64::total_cmp);
    println!("ratio rebuild_vs_bare_transaction {:.2} goal >= 0.5", ratio(median(bare), median(rebuilds)));
    println!("ratio rebuild_memory_whole_vs_quarter {:.2} goal <= 1.5", memory[memory.len() / 2]);
    clear(projections::open(&mongodb(&prefix)).unwrap().as_ref()).await;
}

/// Builds what is to be live, and notes what is written on the way.
async fn make_live(log: &Arc<dyn EventLog>, prefix: &str, spooled: &Path) {
    let store = projections::open(&mongodb(prefix)).unwrap();
    workers::prepare_live(store.as_ref(), &Board).await.unwrap();
    let recording = Arc::new(Recording::new(Arc::clone(&store), Board.collections()));
    let workers = workers_for(log, Arc::clone(&recording) as _);
    let (mut progress, mut spool) = (workers.progress(), Spool::create(spooled));
    while recording.reached() < log.end(JOBS).unwrap() {
        progress.changed().await.unwrap();
        recording.take().iter().for_each(|batch| spool.push(&batch.writes));
    }
    workers.shutdown().await;
    recording.take().iter().for_each(|batch| spool.push(&batch.writes));
    spool.finish();
}

fn workers_for(log: &Arc<dyn EventLog>, store: Arc<dyn ReadStore>) -> Workers {
    start(vec![Arc::new(Board)], log, store, settings(1))
}

fn in_a_process_of_its_own(folder: &Path, prefix: &str) -> Told {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.env(FOLDER, folder.join("log")).env(PREFIX, prefix).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let numbers: Vec<f64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [seconds, quarter_mib, whole_mib] = numbers[..] else { panic!("{said}") };
    Told { time: Duration::from_secs_f64(seconds), quarter_mib, whole_mib }
}

/// Whether this process is one that rebuilds, and nothing else.
pub(crate) fn is_asked_of_this_process() -> bool {
    std::env::var_os(FOLDER).is_some()
}

/// Rebuilds up to where the log ended, tells what it took, and drops the build again.
pub(crate) async fn carry_out() {
    let log = embedded_log(Path::new(&std::env::var_os(FOLDER).unwrap()));
    let store = projections::open(&mongodb(&std::env::var(PREFIX).unwrap())).unwrap();
    workers::prepare_live(store.as_ref(), &Board).await.unwrap();
    let workers = workers_for(&log, Arc::clone(&store));
    let (end, live) = (log.end(JOBS).unwrap(), Board.id());
    while !workers.status().runners.iter().any(|runner| matches!(runner.state, workers::RunState::Waiting)) {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    assert_eq!(reached(store.as_ref(), &live).await, end, "the live build has read all");
    let began = Instant::now();
    let build = workers.builds().rebuild(Board.name(), "a benchmark", false).await.unwrap();
    let (mut quarter_mib, mut whole_mib) = (0.0_f64, 0.0_f64);
    loop {
        let place = reached(store.as_ref(), &build).await;
        let resident = resident_mib();
        whole_mib = whole_mib.max(resident);
        if place <= end / 4 {
            quarter_mib = quarter_mib.max(resident);
        }
        if place >= end {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    println!("{} {quarter_mib} {whole_mib}", began.elapsed().as_secs_f64());
    while workers.builds().drop_build(&build).await.is_err() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    workers.shutdown().await;
    store.drop_projection(&build).await.unwrap();
    log.close();
}

async fn reached(store: &dyn ReadStore, id: &ProjectionId) -> events::Offset {
    store.checkpoint(id, JOBS).await.unwrap().map_or(BEFORE_FIRST, |checkpoint| checkpoint.offset)
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}

async fn write_bare(spooled: &Path) -> Duration {
    let collections = Board.collections();
    let bare = BareCollections::create(&mongodb(&fresh_prefix()), collections, true).await.unwrap();
    let mut time = Duration::ZERO;
    for writes in Batches::of(spooled, collections) {
        let ready = bare.batch(&writes, true).unwrap();
        let began = Instant::now();
        bare.write_in_transaction(ready).await.unwrap();
        time += began.elapsed();
    }
    bare.clear().await.unwrap();
    time
}
