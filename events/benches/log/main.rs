//! How fast the embedded log takes durable commits, measured against bare SQLite and against itself when it is small.
//!
//! Everything is measured in one run, in interleaved rounds, and told as the median of the rounds' ratios. 64 writers each append one event
//! of about 400 bytes, wait for its answer and append the next. Folders are made in the system's folder for temporary files
//! (`TMPDIR`), which should lie on the disk that is meant.
//!
//! `GUILDHALL_BENCH_EVENTS` is the size of the large log (3,000,000), `GUILDHALL_BENCH_ROUND` the commits of a round
//! (30,000), `GUILDHALL_BENCH_ROUNDS` how many rounds there are (7).
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]
#![allow(clippy::print_stdout, reason = "its figures are its output")]
#![allow(clippy::float_arithmetic, reason = "rates and ratios")]

mod bare;
mod streams;

use std::{path::Path, sync::Arc, time::Instant};

use events::log::{EventLog, LogOptions};
use tokio::runtime::Runtime;

use self::{bare::Bare, streams::Streams};

/// Writers of a measured round.
const WRITERS: usize = 64;
/// Writers that fill a log before it is measured.
const FILLING_WRITERS: usize = 512;
/// The small log.
const SMALL: usize = 100_000;

fn main() {
    let setting = |name: &str, default: usize| -> usize {
        std::env::var(name).ok().and_then(|value| value.replace('_', "").parse().ok()).unwrap_or(default)
    };
    let large = setting("GUILDHALL_BENCH_EVENTS", 3_000_000);
    let round = setting("GUILDHALL_BENCH_ROUND", 30_000);
    let rounds = setting("GUILDHALL_BENCH_ROUNDS", 7).max(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();

    let against_bare = against_bare(&runtime, round, rounds);
    let against_small = against_small(&runtime, large, round, rounds);

    println!("ratio append_vs_bare_group_commit {against_bare:.2} goal >= 0.5");
    println!("ratio append_at_3m_vs_100k {against_small:.2} goal >= 0.7");
}

/// Appends to a log and to a bare table, both starting empty, both growing by the same rows.
fn against_bare(runtime: &Runtime, round: usize, rounds: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder.path().join("log"));
    let bare = Arc::new(Bare::open(&folder.path().join("bare.db")));
    let (mut ours, mut theirs) = (Streams::of(WRITERS), Streams::of(WRITERS));
    println!("append against a bare group commit, {WRITERS} writers, {round} commits a round");
    println!("  one body has {} bytes", streams::body_bytes());
    let (mut log_rates, mut bare_rates) = (Vec::new(), Vec::new());
    for number in 1..=rounds {
        log_rates.push(append_round(runtime, &log, &mut ours, round));
        bare_rates.push(bare_round(runtime, &bare, &mut theirs, round));
        let (log_rate, bare_rate) = (log_rates[number - 1], bare_rates[number - 1]);
        println!("  round {number}: log {log_rate:.0}/s, bare {bare_rate:.0}/s");
    }
    log.close();
    ratio(&log_rates, &bare_rates)
}

/// Appends to a small log and to a large one.
fn against_small(runtime: &Runtime, large: usize, round: usize, rounds: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    println!("append to a log of {SMALL} events and to one of {large}");
    let (small_log, mut small_streams) = fill(runtime, &folder.path().join("small"), SMALL);
    let (large_log, mut large_streams) = fill(runtime, &folder.path().join("large"), large);
    let (mut small_rates, mut large_rates) = (Vec::new(), Vec::new());
    for number in 1..=rounds {
        small_rates.push(append_round(runtime, &small_log, &mut small_streams, round));
        large_rates.push(append_round(runtime, &large_log, &mut large_streams, round));
        let (small_rate, large_rate) = (small_rates[number - 1], large_rates[number - 1]);
        println!("  round {number}: small {small_rate:.0}/s, large {large_rate:.0}/s");
    }
    small_log.close();
    large_log.close();
    ratio(&large_rates, &small_rates)
}

fn open(folder: &Path) -> Arc<dyn EventLog> {
    events::open(&LogOptions::embedded(folder)).unwrap()
}

/// Fills a log as the product would, closes it so that nothing of the filling is left to do, and opens it again. Its streams
/// are dealt out to the writers of the rounds.
fn fill(runtime: &Runtime, folder: &Path, events: usize) -> (Arc<dyn EventLog>, Streams) {
    let log = open(folder);
    let mut streams = Streams::of(FILLING_WRITERS);
    let rate = append_round(runtime, &log, &mut streams, events);
    let resident = resident_mib();
    println!(
        "  filled with {events} events at {rate:.0}/s by {FILLING_WRITERS} writers; resident {resident} MiB"
    );
    log.close();
    (open(folder), streams.deal(WRITERS))
}

/// Commits a second, over `commits` appends by all writers together.
fn append_round(runtime: &Runtime, log: &Arc<dyn EventLog>, streams: &mut Streams, commits: usize) -> f64 {
    let each = commits / streams.writers.len();
    let started = Instant::now();
    let tasks: Vec<_> = std::mem::take(&mut streams.writers)
        .into_iter()
        .map(|mut writer| {
            let log = Arc::clone(log);
            runtime.spawn(async move {
                for _ in 0..each {
                    let commit = writer.next_commit();
                    log.append(commit).await.unwrap();
                }
                writer
            })
        })
        .collect();
    streams.writers = tasks.into_iter().map(|task| runtime.block_on(task).unwrap()).collect();
    rate(each * streams.writers.len(), started)
}

/// The same rows into the bare table.
fn bare_round(runtime: &Runtime, bare: &Arc<Bare>, streams: &mut Streams, commits: usize) -> f64 {
    let each = commits / streams.writers.len();
    let started = Instant::now();
    let tasks: Vec<_> = std::mem::take(&mut streams.writers)
        .into_iter()
        .map(|mut writer| {
            let bare = Arc::clone(bare);
            runtime.spawn(async move {
                for _ in 0..each {
                    let (stream, version, body) = writer.next_row();
                    bare.append(stream, version, body).await;
                }
                writer
            })
        })
        .collect();
    streams.writers = tasks.into_iter().map(|task| runtime.block_on(task).unwrap()).collect();
    rate(each * streams.writers.len(), started)
}

fn rate(commits: usize, started: Instant) -> f64 {
    commits as f64 / started.elapsed().as_secs_f64()
}

/// The median of the rounds' ratios: neighbouring rounds share whatever else the machine is doing.
fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    println!("  medians: {:.0}/s and {:.0}/s", median(ours.to_vec()), median(theirs.to_vec()));
    median(ratios)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Memory of this process that is in use, where the system tells it.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
