//! An upstream in memory that behaves like Kafka on a bad day, by seed: several writers, void commits, doubt, delay, loss,
//! duplicates, gaps in offsets, a broker that goes away. For tests.
//!
//! Open several logs on one [`SimulatedBroker`], each on a folder of its own: they are the processes of a cluster. A log is
//! opened with a thread of its own ([`SimulatedBroker::open`]) or to be driven turn by turn by the test
//! ([`SimulatedBroker::open_stepped`]), which makes a run a function of its seed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use super::{
    EventLog, LogError, LogOptions,
    clock::Clock,
    judge::FORMAT,
    tail::Tail,
    tailed::Tailed,
    upstream::{Away, Polled, Record, SourceRecord, Upstream},
    write_behind::WriteBehind,
};
use crate::{
    ids::CommitId,
    stream::{BEFORE_FIRST, LogId, Offset, Partition, Service, StreamId},
};

pub mod histories;

/// What goes wrong, each in so many of a thousand publications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimulatedFaults {
    /// The record is lost and said to be lost.
    pub lost: u32,
    /// The record is lost and nothing is said.
    pub lost_silently: u32,
    /// The record arrives and is said to be lost.
    pub lied: u32,
    /// The record arrives twice.
    pub duplicated: u32,
    /// The record is overtaken by others, of its own writer too.
    pub delayed: u32,
    /// Offsets are left out before the record.
    pub gaps: u32,
}

impl SimulatedFaults {
    /// Everything, often.
    pub fn wild() -> Self {
        Self { lost: 80, lost_silently: 50, lied: 100, duplicated: 100, delayed: 500, gaps: 150 }
    }
}

/// How long a poll that found nothing waits on a bad day before it looks again.
const NAP: Duration = Duration::from_millis(1);

/// The broker and its topics.
pub struct SimulatedBroker {
    log: LogId,
    services: Vec<Service>,
    partitions_per_service: u16,
    state: Mutex<State>,
    arrived: Condvar,
    /// For the logs that are driven turn by turn.
    clock: Clock,
}

struct State {
    random: StdRng,
    faults: SimulatedFaults,
    away: bool,
    topics: BTreeMap<Partition, Vec<SourceRecord>>,
    /// Published and not arrived.
    in_flight: Vec<Flight>,
    /// Failures to be told, by process.
    failed: HashMap<u64, Vec<CommitId>>,
    processes: u64,
}

struct Flight {
    process: u64,
    partition: Partition,
    record: Record,
    commit: CommitId,
}

impl SimulatedBroker {
    /// An empty broker with so many partitions a service (at least one). The same seed gives the same faults.
    pub fn new(seed: u64, partitions_per_service: u16, faults: SimulatedFaults) -> Arc<Self> {
        Self::of(Service::ALL, seed, partitions_per_service, faults)
    }

    /// As [`Self::new`], with the topics of these services alone.
    fn of(
        services: &[Service],
        seed: u64,
        partitions_per_service: u16,
        faults: SimulatedFaults,
    ) -> Arc<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let log = LogId(Uuid::from_u128(random.random()));
        let state = State {
            random,
            faults,
            away: false,
            topics: BTreeMap::new(),
            in_flight: Vec::new(),
            failed: HashMap::new(),
            processes: 0,
        };
        Arc::new(Self {
            log,
            services: services.to_vec(),
            partitions_per_service: partitions_per_service.max(1),
            state: Mutex::new(state),
            arrived: Condvar::new(),
            clock: Clock::simulated(),
        })
    }

    /// Opens a log of this broker with its copy in the folder of `options`, tailed by a thread of its own.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn open(self: &Arc<Self>, options: &LogOptions) -> Result<Arc<dyn EventLog>, LogError> {
        Ok(Arc::new(Tailed::open(&options.folder, options, self.connect())?))
    }

    /// Opens a log of this broker that moves only when it is told to.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn open_stepped(
        self: &Arc<Self>,
        options: &LogOptions,
    ) -> Result<(Arc<dyn EventLog>, SteppedTail), LogError> {
        let (engine, tail, writer) =
            Tailed::prepare(&options.folder, options, self.connect(), self.clock.clone())?;
        Ok((Arc::new(engine), SteppedTail { tail: Some(tail), writer: Some(writer) }))
    }

    fn connect(self: &Arc<Self>) -> Arc<dyn Upstream> {
        let mut state = self.lock();
        state.processes += 1;
        Arc::new(Connection { broker: Arc::clone(self), process: state.processes })
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: SimulatedFaults) {
        self.lock().faults = faults;
    }

    /// Takes the broker away, or brings it back. What is published meanwhile is kept and sent later.
    pub fn set_away(&self, away: bool) {
        let mut state = self.lock();
        state.away = away;
        state.deliver();
        drop(state);
        self.arrived.notify_all();
    }

    /// Lets time pass for the logs that are driven turn by turn.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Everything that is still under way arrives, or is lost, now.
    pub fn land(&self) {
        let mut state = self.lock();
        while !state.away && !state.in_flight.is_empty() {
            let waiting = state.in_flight.len();
            let index = state.random_below(waiting);
            state.arrive(index);
        }
        drop(state);
        self.arrived.notify_all();
    }

    /// Puts a record on the log that no process of ours published. `format` 0 stands for a record that names none.
    pub fn inject(&self, partition: Partition, key: &str, format: u16, body: &[u8]) {
        let record = Record { key: key.to_owned(), format, body: Arc::from(body) };
        let mut state = self.lock();
        state.add(partition, record, None);
        drop(state);
        self.arrived.notify_all();
    }

    /// Cuts a partition down to its first `records`, as a broker with unsafe settings might.
    pub fn truncate(&self, partition: Partition, records: usize) {
        if let Some(topic) = self.lock().topics.get_mut(&partition) {
            topic.truncate(records);
        }
    }

    /// The format that processes of this release write.
    pub fn format(&self) -> u16 {
        FORMAT
    }

    /// The bodies on a partition with their offsets, in order, valid or not.
    pub fn records(&self, partition: Partition) -> Vec<(Offset, Arc<[u8]>)> {
        let state = self.lock();
        let records = state.topics.get(&partition).into_iter().flatten();
        records.map(|record| (record.offset, Arc::clone(&record.record.body))).collect()
    }

    /// The records of a partition as anybody can read them, in order: offset, key, format, body.
    pub fn dump(&self, partition: Partition) -> Vec<(Offset, String, u16, Arc<[u8]>)> {
        let state = self.lock();
        let records = state.topics.get(&partition).into_iter().flatten();
        let dumped = records.map(|SourceRecord { offset, record, .. }| {
            (*offset, record.key.clone(), record.format, Arc::clone(&record.body))
        });
        dumped.collect()
    }

    /// All partitions.
    pub fn partitions(&self) -> Vec<Partition> {
        let numbers = 0..self.partitions_per_service;
        self.services
            .iter()
            .flat_map(|service| numbers.clone().map(|number| Partition { service: *service, number }))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn random_below(&mut self, bound: usize) -> usize {
        self.random.random_range(0..bound)
    }

    fn chance(&mut self, of_a_thousand: u32) -> bool {
        self.random.random_range(0..1000) < of_a_thousand
    }

    /// Lets what is under way arrive; some of it later, when records are delayed.
    fn deliver(&mut self) {
        let mut waiting = self.in_flight.len();
        while !self.away && waiting > 0 {
            waiting -= 1;
            let delayed = self.faults.delayed;
            if self.chance(delayed) {
                continue;
            }
            let index = if delayed > 0 { self.random_below(self.in_flight.len()) } else { 0 };
            self.arrive(index);
        }
    }

    fn arrive(&mut self, index: usize) {
        let Flight { process, partition, record, commit } = self.in_flight.remove(index);
        let faults = self.faults;
        let fate = self.random.random_range(0..1000);
        if fate < faults.lost {
            self.failed.entry(process).or_default().push(commit);
            return;
        }
        if fate < faults.lost + faults.lost_silently {
            return;
        }
        if self.chance(faults.duplicated) {
            self.add(partition, record.clone(), Some(commit));
        }
        self.add(partition, record, Some(commit));
        if self.chance(faults.lied) {
            self.failed.entry(process).or_default().push(commit);
        }
    }

    fn add(&mut self, partition: Partition, record: Record, commit: Option<CommitId>) {
        let gap = if self.chance(self.faults.gaps) { self.random.random_range(1..4) } else { 0 };
        let offset = self.end(partition) + 1 + gap;
        self.topics.entry(partition).or_default().push(SourceRecord { partition, offset, record, commit });
    }

    fn end(&self, partition: Partition) -> Offset {
        self.topics.get(&partition).and_then(|topic| topic.last()).map_or(BEFORE_FIRST, |last| last.offset)
    }

    /// Records behind the given offsets, cut short at random where things go wrong.
    fn behind(&mut self, after: &[(Partition, Offset)], records_max: usize) -> Vec<SourceRecord> {
        let mut found = Vec::new();
        for (partition, offset) in after {
            let Some(topic) = self.topics.get(partition) else { continue };
            let start = topic.partition_point(|record| record.offset <= *offset);
            let available = (topic.len() - start).min(records_max - found.len());
            let count = if self.faults.delayed > 0 && available > 0 {
                self.random.random_range(0..=available)
            } else {
                available
            };
            found.extend_from_slice(&topic[start..start + count]);
        }
        found
    }
}

/// One process's connection to the broker.
struct Connection {
    broker: Arc<SimulatedBroker>,
    process: u64,
}

impl Upstream for Connection {
    fn log(&self) -> LogId {
        self.broker.log
    }

    fn partitions(&self) -> Vec<Partition> {
        self.broker.partitions()
    }

    fn partition_of(&self, stream: StreamId) -> Partition {
        let number = stream.uuid.as_u128() % u128::from(self.broker.partitions_per_service);
        let number = u16::try_from(number).expect("less than the number of partitions, which is 16 bits");
        Partition { service: stream.category.service(), number }
    }

    fn publish(&self, partition: Partition, record: Record, commit: CommitId) {
        let mut state = self.broker.lock();
        state.in_flight.push(Flight { process: self.process, partition, record, commit });
        state.deliver();
        drop(state);
        self.broker.arrived.notify_all();
    }

    fn poll(
        &self,
        after: &[(Partition, Offset)],
        records_max: usize,
        wait: Duration,
    ) -> Result<Polled, Away> {
        let deadline = Instant::now() + wait;
        let mut state = self.broker.lock();
        loop {
            if state.away {
                return Err(Away("the simulated broker was taken away".into()));
            }
            state.deliver();
            let records = state.behind(after, records_max);
            let failed = state.failed.remove(&self.process).unwrap_or_default();
            let left = deadline.saturating_duration_since(Instant::now());
            if !records.is_empty() || !failed.is_empty() || left.is_zero() {
                return Ok(Polled { records, failed });
            }
            // What is late arrives by itself, not because somebody publishes.
            let nap = if state.faults == SimulatedFaults::default() { left } else { left.min(NAP) };
            state = self.broker.arrived.wait_timeout(state, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn end(&self, partition: Partition) -> Result<Offset, Away> {
        let state = self.broker.lock();
        if state.away {
            Err(Away("the simulated broker was taken away".into()))
        } else {
            Ok(state.end(partition))
        }
    }

    fn record_at(&self, partition: Partition, offset: Offset) -> Result<Option<Record>, Away> {
        let state = self.broker.lock();
        if state.away {
            return Err(Away("the simulated broker was taken away".into()));
        }
        let mut records = state.topics.get(&partition).into_iter().flatten();
        Ok(records.find(|record| record.offset == offset).map(|record| record.record.clone()))
    }
}

/// The tail of a log that is driven by a test. Dropping it and the log is a crash: nothing is awaited.
pub struct SteppedTail {
    tail: Option<Tail>,
    writer: Option<WriteBehind>,
}

impl SteppedTail {
    /// Polls once, judges, answers; gives how many records were judged.
    ///
    /// # Errors
    /// When the copy stopped, now or before.
    pub fn turn(&mut self) -> Result<usize, LogError> {
        let tail = self.tail.as_mut().ok_or_else(|| LogError::File("the copy has stopped".into()))?;
        match tail.turn(Duration::ZERO) {
            Ok(turn) => Ok(turn.records),
            Err(error) => {
                if let Some(tail) = self.tail.take() {
                    tail.stop(&error);
                }
                Err(error)
            }
        }
    }

    /// Writes to the copy what was judged; gives how many commits that were.
    ///
    /// # Errors
    /// When the copy's file failed, now or before.
    pub fn write(&mut self) -> Result<usize, LogError> {
        let writer =
            self.writer.as_mut().ok_or_else(|| LogError::File("the copy's writer has stopped".into()))?;
        writer.step().inspect_err(|error| {
            if let Some(writer) = self.writer.take() {
                writer.fail(error.clone());
            }
        })
    }

    /// Publishes again what has not been seen, as after a long silence.
    pub fn republish(&mut self) {
        if let Some(tail) = &self.tail {
            tail.republish_silent(Duration::ZERO);
        }
    }
}
