//! How fast commands become history on a real Kafka, against bare produces of the same records in the same run.
//!
//! Run it against a stack: `compose/stack run --only kafka -- cargo bench -p commands --bench kafka`. Everything is measured in
//! interleaved rounds and told as the median of the rounds' ratios. `GUILDHALL_BENCH_SECONDS` is the length of a round (3),
//! `GUILDHALL_BENCH_ROUNDS` their number (5), `GUILDHALL_BENCH_PARTITIONS` the partitions of a topic (as many as a new log
//! gets), `GUILDHALL_BENCH_ONLY` the parts to run (all of
//! `one,64,256,hot,turns`).
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]
#![allow(clippy::print_stdout, reason = "its figures are its output")]
#![allow(clippy::float_arithmetic, reason = "rates and ratios")]

#[path = "../advance/mod.rs"]
mod advance;
mod house;
mod processor;
mod turns;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use events::{baseline::BareTopic, log::KafkaOptions};
use tokio::runtime::Runtime;
use uuid::Uuid;

use self::{
    house::{House, Sample, bodies},
    processor::Used,
};

/// The product's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Streams that count as spread.
const STREAMS: usize = 10_000;

fn main() {
    let Ok(brokers) = std::env::var("GUILDHALL_STACK_KAFKA") else {
        println!(
            "there is no Kafka: compose/stack run --only kafka -- cargo bench -p commands --bench kafka"
        );
        std::process::exit(1);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if turns::is_second_process() {
        return turns::second_process(&runtime, &brokers);
    }
    let replicas = brokers.split(',').count();
    let round = Duration::from_secs(setting("GUILDHALL_BENCH_SECONDS", 3));
    let rounds = setting("GUILDHALL_BENCH_ROUNDS", 5).max(1);
    println!(
        "{replicas} broker(s), {STREAMS} streams, {} partitions, rounds of {} s",
        partitions(),
        round.as_secs()
    );

    let bare = Arc::new(runtime.block_on(BareTopic::create(&brokers, partitions())).unwrap());
    let house = Arc::new(House::open(&runtime, &brokers, &format!("bench-{}", Uuid::now_v7().simple())));
    let ids = house::ids(STREAMS);
    println!("one record has {} bytes", bodies(1)[0].len());

    let mut ratios = Vec::new();
    if wanted("one") {
        let goal = if replicas >= 3 { 1.4 } else { 1.8 };
        let one = one_client(&runtime, &house, &bare, round, rounds);
        ratios.push(format!("kafka_append_p50_vs_bare_produce {one:.2} goal <= {goal}"));
    }
    for (clients, goal) in [(64, 0.3), (256, 0.22)] {
        if wanted(&clients.to_string()) {
            let spread = against_bare(&runtime, &house, &bare, &ids, clients, round, rounds);
            ratios.push(format!("kafka_{clients}_clients_vs_bare {spread:.2} goal >= {goal}"));
        }
    }
    if wanted("hot") {
        let (hot, commands_a_commit) = hot_stream(&runtime, &house, &ids, round, rounds);
        ratios.push(format!("kafka_hot_stream_vs_spread {hot:.2} goal >= 1.5"));
        ratios.push(format!("kafka_hot_stream_commands_a_commit {commands_a_commit:.1} goal >= 20"));
    }
    let status = house.log.status();
    println!("the log: {} commits, {} events, {} void", status.commits, status.events, status.voids);
    drop(house);
    if wanted("turns") {
        let void = turns::measure(&runtime, &brokers, round * 2);
        ratios.push(format!("kafka_void_with_two_processes {void:.3} goal <= 0.20"));
    }
    ratios.iter().for_each(|ratio| println!("ratio {ratio}"));
}

/// Whether a part of the benchmark is asked for; all are where none is named.
fn wanted(part: &str) -> bool {
    std::env::var("GUILDHALL_BENCH_ONLY").map_or(true, |parts| parts.split(',').any(|named| named == part))
}

/// Partitions of every topic here.
fn partitions() -> u16 {
    u16::try_from(setting("GUILDHALL_BENCH_PARTITIONS", KafkaOptions::default().partitions.into())).unwrap()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A lone client: the median of its waits, appending to the log and producing bare.
fn one_client(
    runtime: &Runtime,
    house: &Arc<House>,
    bare: &Arc<BareTopic>,
    round: Duration,
    rounds: u64,
) -> f64 {
    println!("one client");
    let mut ratios = Vec::new();
    for number in 0..=rounds {
        let theirs = runtime.block_on(bare_client(Arc::clone(bare), round));
        let ours = runtime.block_on(house.appending_client(round));
        let command = runtime.block_on(house.executing_client(house::ids(100), round));
        let [ours, theirs, command] = [ours, theirs, command].map(|mut sample| sample.p50_ms());
        println!("  round {number}: produce {theirs:.3} ms, append {ours:.3} ms, command {command:.3} ms");
        // The first round warms everything up.
        if number > 0 {
            ratios.push(ours / theirs);
        }
    }
    median(ratios)
}

/// Many clients over many streams, executing commands and producing bare.
fn against_bare(
    runtime: &Runtime,
    house: &Arc<House>,
    bare: &Arc<BareTopic>,
    ids: &[house::StreamKey],
    clients: usize,
    round: Duration,
    rounds: u64,
) -> f64 {
    println!("{clients} clients, {} streams", ids.len());
    let mut ratios = Vec::new();
    for number in 0..=rounds {
        let bare_rate = all(runtime, clients, |_| bare_client(Arc::clone(bare), round));
        let rate = all(runtime, clients, |client| {
            let (house, ids) = (Arc::clone(house), house::shuffled(ids, client));
            async move { house.executing_client(ids, round).await }
        });
        println!("  round {number}: produce {bare_rate}, commands {rate}");
        if number > 0 {
            ratios.push(rate.rate / bare_rate.rate);
        }
    }
    median(ratios)
}

/// 64 clients on one stream, and on many: the ratio of their rates, and how many commands a commit holds on the one.
fn hot_stream(
    runtime: &Runtime,
    house: &Arc<House>,
    ids: &[house::StreamKey],
    round: Duration,
    rounds: u64,
) -> (f64, f64) {
    println!("64 clients on one stream");
    let (mut ratios, mut batches) = (Vec::new(), Vec::new());
    for number in 0..=rounds {
        let spread = all(runtime, 64, |client| {
            let (house, ids) = (Arc::clone(house), house::shuffled(ids, client));
            async move { house.executing_client(ids, round).await }
        });
        let before = house.log.status();
        let one = house::ids(1);
        let hot = all(runtime, 64, |_| {
            let (house, one) = (Arc::clone(house), one.clone());
            async move { house.executing_client(one, round).await }
        });
        let after = house.log.status();
        let batch = (after.events - before.events) as f64 / (after.commits - before.commits).max(1) as f64;
        println!("  round {number}: spread {spread}, one stream {hot}, {batch:.1} commands a commit");
        if number > 0 {
            ratios.push(hot.rate / spread.rate);
            batches.push(batch);
        }
    }
    (median(ratios), median(batches))
}

/// Produces one record after the other.
async fn bare_client(bare: Arc<BareTopic>, round: Duration) -> Sample {
    let bodies = bodies(64);
    let (started, mut sample) = (Instant::now(), Sample::default());
    let mut number = usize::from(Uuid::now_v7().as_bytes()[15]);
    while started.elapsed() < round {
        let body = &bodies[number % bodies.len()];
        let asked = Instant::now();
        bare.produce(number, "test_clock-0192f0c1a2b37c4d8e5f60718293a4b5", body).await.unwrap();
        sample.waits.push(asked.elapsed());
        number += 1;
    }
    sample
}

/// What all clients of a round did together.
struct Together {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// See [`Used::per_command_us`].
    processor_us: (f64, f64),
}

impl std::fmt::Display for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (ours, brokers) = self.processor_us;
        write!(
            f,
            "{:.0}/s (p50 {:.2} ms, p99 {:.2} ms; {ours:.0} us here and {brokers:.0} us of the brokers each)",
            self.rate, self.p50_ms, self.p99_ms
        )
    }
}

/// Runs so many clients at once.
fn all<F>(runtime: &Runtime, clients: usize, client: impl Fn(usize) -> F) -> Together
where
    F: Future<Output = Sample> + Send + 'static,
{
    let (started, used) = (Instant::now(), Used::now());
    let tasks: Vec<_> = (0..clients).map(|number| runtime.spawn(client(number))).collect();
    let mut sample = Sample::default();
    for task in tasks {
        sample.waits.extend(runtime.block_on(task).unwrap().waits);
    }
    let rate = sample.waits.len() as f64 / started.elapsed().as_secs_f64();
    let processor_us = used.per_command_us(sample.waits.len());
    Together { rate, p50_ms: sample.p50_ms(), p99_ms: sample.percentile_ms(0.99), processor_us }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
