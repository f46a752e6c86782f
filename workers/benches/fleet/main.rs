//! Two workers against one over the same read store, where the store is not the limit: each worker is as slow as a machine
//! whose transactions take a fixed time, one after the other. What is measured is how well the work is spread and what the
//! fleet costs; on one machine with few cores nothing else could show it.
//!
//! `GUILDHALL_BENCH_COMMITS` says how many commits there are (8000 unless set).
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::float_arithmetic, reason = "a benchmark")]

#[path = "../nobody/mod.rs"]
mod nobody;
mod slow;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    Category, CommandStamp, CommitBuilder, Id, RecordedEvent, Service, StreamId, Timestamp,
    envelope::CommandHash,
    ids::{CommandId, JobId},
    log::{
        EventLog, LogOptions,
        simulated::{SimulatedBroker, SimulatedFaults},
    },
    time::DomainClock,
    vocabulary::jobs::{JobEvent, JobExpired},
};
use nobody::Nobody;
use projections::{
    Applied, ApplyError, Collection, CollectionSpec, Projection, ReadStore, Shape, StoreOptions, View,
};
use serde::{Deserialize, Serialize};
use slow::Slow;
use tokio::sync::watch;
use uuid::Uuid;
use workers::{RunState, WorkerSettings, Workers};

const PARTITIONS: u16 = 8;
const STREAMS: u128 = 400;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() {
    let commits =
        std::env::var("GUILDHALL_BENCH_COMMITS").ok().and_then(|text| text.parse().ok()).unwrap_or(8000);
    let (mut one, mut two) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        one = one.min(measure(1, commits).await);
        two = two.min(measure(2, commits).await);
    }
    let rate = |time: Duration| f64::from(commits) / time.as_secs_f64();
    println!("one worker {:.0} commits/s, two {:.0} commits/s", rate(one), rate(two));
    println!("ratio two_workers_vs_one {:.2} goal >= 1.6", one.as_secs_f64() / two.as_secs_f64());
}

/// How long so many workers take for what was written while their stores stood still.
async fn measure(workers: usize, commits: u32) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let broker = SimulatedBroker::new(1, PARTITIONS, SimulatedFaults::default());
    let log: Arc<dyn EventLog> = broker.open(&LogOptions::embedded(folder.path().join("copy"))).unwrap();
    let at = format!("embedded:{}", folder.path().join("read").display());
    let store = projections::open(&StoreOptions::at(at)).unwrap();
    let open = watch::Sender::new(true);
    let fleet: Vec<Workers> = (0..workers).map(|_| hire(&log, &store, &open)).collect();
    let held = |workers: &Workers| {
        let states = workers.status().runners.into_iter().map(|runner| runner.state);
        states.filter(|state| matches!(state, RunState::Waiting | RunState::Running)).count()
    };
    let share = usize::from(PARTITIONS) / workers;
    while fleet.iter().any(|workers| held(workers) != share) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    open.send_replace(false);
    write(&log, commits).await;
    let began = Instant::now();
    open.send_replace(true);
    while !all_read(&log, store.as_ref()).await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let time = began.elapsed();
    for workers in fleet {
        workers.shutdown().await;
    }
    time
}

fn hire(log: &Arc<dyn EventLog>, store: &Arc<dyn ReadStore>, open: &watch::Sender<bool>) -> Workers {
    // Small batches, so that there are many of the transactions that take their time.
    let settings = WorkerSettings {
        processes: false,
        shared: true,
        heartbeat_ms: 200,
        batch_commits_max: 16,
        ..WorkerSettings::default()
    };
    let store = Arc::new(Slow::new(Arc::clone(store), open.subscribe()));
    let clock = DomainClock::new();
    Workers::start(vec![Arc::new(Counts)], Arc::new(Nobody), None, Arc::clone(log), store, clock, settings)
}

async fn write(log: &Arc<dyn EventLog>, commits: u32) {
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..STREAMS {
        let (log, stream) = (Arc::clone(log), stream(number));
        let commits = u64::from(commits) / u64::try_from(STREAMS).unwrap();
        writers.spawn(async move {
            for version in 1..=commits {
                let mut builder = CommitBuilder::new(stream, version);
                builder.push(&stamp(), &[JobEvent::JobExpired(JobExpired {})]);
                log.append(builder.finish().unwrap()).await.unwrap();
            }
        });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
}

async fn all_read(log: &Arc<dyn EventLog>, store: &dyn ReadStore) -> bool {
    for partition in log.partitions().into_iter().filter(|partition| partition.service == Service::Jobs) {
        let checkpoint = store.checkpoint(&Counts.id(), partition).await.unwrap();
        if checkpoint.map(|checkpoint| checkpoint.offset) != Some(log.end(partition).unwrap()) {
            return false;
        }
    }
    true
}

fn stream(number: u128) -> StreamId {
    StreamId::new(Category::Job, JobId::from_uuid(Uuid::from_u128(number)))
}

fn stamp() -> CommandStamp {
    CommandStamp {
        command_id: CommandId::fresh(),
        command_hash: CommandHash([7; 16]),
        correlation_id: "a-benchmark".to_owned(),
        causation_id: None,
        actor: "system".to_owned(),
        traceparent: None,
        time: Timestamp::now(),
    }
}

/// How many events a stream has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Count {
    events: u64,
}

const COUNTS: Collection<Count> = Collection::new("counts", &[]);

struct Counts;

impl Projection for Counts {
    fn name(&self) -> &'static str {
        "counts"
    }
    fn version(&self) -> u32 {
        1
    }
    fn topics(&self) -> &'static [Service] {
        &[Service::Jobs]
    }
    fn shape(&self) -> Shape {
        Shape::Partitioned
    }
    fn collections(&self) -> &'static [CollectionSpec] {
        const { &[COUNTS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let key = event.stream.to_string();
        let mut count = view.get(&COUNTS, &key)?.unwrap_or_default();
        count.events += 1;
        view.put(&COUNTS, &key, &count)?;
        Ok(Applied::Changed)
    }
}
