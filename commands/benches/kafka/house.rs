//! The log on Kafka with an executor over it, and clients that use them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use commands::{CommandError, Conflict, Executor, ExecutorSettings, Policy};
use events::{
    Category, CommandStamp, CommitBuilder, DomainClock, Id, StreamId, Timestamp,
    envelope::{CommandHash, NewCommit},
    ids::{CommandId, TestClockId},
    log::{EventLog, KafkaOptions, LogOptions},
    vocabulary::admin::{TestClockEvent, TestClockMoved},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::{advance::advance, partitions};

/// Which aggregate.
pub(super) type StreamKey = TestClockId;

/// So many aggregates that do not exist yet.
pub(super) fn ids(count: usize) -> Vec<StreamKey> {
    (0..count).map(|_| TestClockId::from_uuid(Uuid::now_v7())).collect()
}

/// The same ids in an order of each client's own.
pub(super) fn shuffled(ids: &[StreamKey], client: usize) -> Vec<StreamKey> {
    let start = client * ids.len() / 64 % ids.len();
    let stride = [7, 11, 13, 17, 19, 23, 29, 31][client % 8];
    (0..ids.len()).map(|index| ids[(start + index * stride) % ids.len()]).collect()
}

/// How long each call took.
#[derive(Default)]
pub(super) struct Sample {
    pub(super) waits: Vec<Duration>,
}

impl Sample {
    pub(super) fn p50_ms(&mut self) -> f64 {
        self.percentile_ms(0.5)
    }

    pub(super) fn percentile_ms(&mut self, share: f64) -> f64 {
        self.waits.sort_unstable();
        let index = ((self.waits.len() as f64 * share) as usize).min(self.waits.len().saturating_sub(1));
        self.waits.get(index).map_or(0.0, |wait| wait.as_secs_f64() * 1000.0)
    }
}

/// One process' log and executor, without HTTP.
pub(super) struct House {
    pub(super) log: Arc<dyn EventLog>,
    executor: Executor,
    _folder: TempDir,
}

impl House {
    pub(super) fn open(runtime: &Runtime, brokers: &str, prefix: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let topics = KafkaOptions {
            topic_prefix: prefix.to_owned(),
            partitions: partitions(),
            ..KafkaOptions::default()
        };
        let options = LogOptions { kafka: topics, ..LogOptions::kafka(brokers, folder.path()) };
        let log = events::open(&options).unwrap();
        let _inside = runtime.enter();
        let (policy, clock) = (Arc::new(Policy::default()), DomainClock::new());
        // A command that lost many races goes on: how often it does is measured, not hidden.
        let settings = ExecutorSettings { attempts_max: 100, ..ExecutorSettings::default() };
        let executor = Executor::start(Arc::clone(&log), policy, clock, None, settings);
        Self { log, executor, _folder: folder }
    }

    /// Appends one event after the other to a few streams, as the executor would.
    pub(super) async fn appending_client(&self, round: Duration) -> Sample {
        let ids = ids(100);
        let (started, mut sample) = (Instant::now(), Sample::default());
        let mut number = 0;
        while started.elapsed() < round {
            let commit = commit(ids[number % ids.len()], (number / ids.len()) as u64 + 1);
            let asked = Instant::now();
            self.log.append(commit).await.unwrap();
            sample.waits.push(asked.elapsed());
            number += 1;
        }
        sample
    }

    /// Executes one command after the other, on the ids in turn.
    pub(super) async fn executing_client(&self, ids: Vec<StreamKey>, round: Duration) -> Sample {
        let (started, mut sample) = (Instant::now(), Sample::default());
        let mut number = 0;
        while started.elapsed() < round {
            let request = advance(ids[number % ids.len()]);
            let asked = Instant::now();
            match self.executor.execute(request).await {
                Ok(_) => sample.waits.push(asked.elapsed()),
                Err(CommandError::Conflict(Conflict::Contended)) => {}
                Err(error) => panic!("{error}"),
            }
            number += 1;
        }
        sample
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.log.close();
    }
}

fn commit(id: StreamKey, version: u64) -> NewCommit {
    let mut builder = CommitBuilder::new(StreamId::new(Category::TestClock, id), version);
    let stamp = CommandStamp {
        command_id: CommandId::fresh(),
        command_hash: CommandHash([7; 16]),
        correlation_id: "3f2a9c1e5b7d4860".into(),
        causation_id: None,
        actor: "system".into(),
        traceparent: None,
        time: Timestamp::from_micros(1_700_000_000_000_000),
    };
    let event = TestClockEvent::from(TestClockMoved { offset_ms: 1 });
    builder.push(&stamp, std::slice::from_ref(&event));
    builder.finish().unwrap()
}

/// So many bodies as the log would write them.
pub(super) fn bodies(count: usize) -> Vec<Vec<u8>> {
    ids(count).into_iter().map(|id| commit(id, 1).body).collect()
}
