//! Several processes on one upstream that loses, delays, doubles and lies, crashing and starting again, by seed: all copies
//! end equal, each equal to an independent fold of the upstream, and nothing acknowledged is missing.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use events::{
    CommandStamp, Offset, Partition, StreamId, Version,
    envelope::parse_body,
    log::{
        AppendError, ChainHash, EventLog, LogOptions, Verdict,
        simulated::{SimulatedBroker, SimulatedFaults, SteppedTail},
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use super::support::{commit_of, history, job, stamp};

const PROCESSES: usize = 3;
const STREAMS: usize = 5;
const STEPS: usize = 120;
const SEEDS: usize = 160;
const THREADS: usize = 4;

/// An append whose verdict is awaited.
struct Awaited {
    stream: StreamId,
    first_version: Version,
    stamp: CommandStamp,
    verdict: Verdict,
}

/// A process: its folder outlives it.
struct Process {
    folder: TempDir,
    running: Option<(Arc<dyn EventLog>, SteppedTail)>,
    awaited: Vec<Awaited>,
}

/// An append that was answered with Ok.
struct Acknowledged {
    stream: StreamId,
    first_version: Version,
    stamp: CommandStamp,
    partition: Partition,
    offset: Offset,
}

struct World {
    random: StdRng,
    broker: Arc<SimulatedBroker>,
    processes: Vec<Process>,
    streams: Vec<StreamId>,
    acknowledged: Vec<Acknowledged>,
    conflicts: usize,
}

impl Process {
    fn start(&mut self, broker: &Arc<SimulatedBroker>) {
        let options = LogOptions::embedded(self.folder.path());
        self.running.get_or_insert_with(|| broker.open_stepped(&options).unwrap());
    }

    fn crash(&mut self) {
        self.running = None;
        self.awaited.clear();
    }
}

impl World {
    fn new(seed: usize) -> Self {
        let seed = seed as u64;
        let process =
            |_| Process { folder: tempfile::tempdir().unwrap(), running: None, awaited: Vec::new() };
        Self {
            random: StdRng::seed_from_u64(seed),
            broker: SimulatedBroker::new(seed, 2, SimulatedFaults::wild()),
            processes: (0..PROCESSES).map(process).collect(),
            streams: (0..STREAMS).map(|_| job()).collect(),
            acknowledged: Vec::new(),
            conflicts: 0,
        }
    }

    fn step(&mut self) {
        self.broker.advance(Duration::from_micros(self.random.random_range(0..3000)));
        let index = self.random.random_range(0..PROCESSES);
        let broker = Arc::clone(&self.broker);
        match self.random.random_range(0..100) {
            0..40 => self.append(index),
            40..75 => self.turn(index),
            75..85 => self.write(index),
            85..90 => self.processes[index].crash(),
            90..93 => broker.set_away(true),
            93..97 => broker.set_away(false),
            _ => {
                if let Some((_, tail)) = &mut self.processes[index].running {
                    tail.republish();
                }
            }
        }
        self.collect();
    }

    /// Appends to a stream of which this process awaits no verdict, as the port asks.
    fn append(&mut self, index: usize) {
        let stream = self.streams[self.random.random_range(0..STREAMS)];
        let events = self.random.random_range(1..4);
        let process = &mut self.processes[index];
        process.start(&self.broker);
        let Some((log, _)) = &process.running else { return };
        if process.awaited.iter().any(|awaited| awaited.stream == stream) {
            return;
        }
        let first_version = log.head(stream).unwrap() + 1;
        let stamp = stamp();
        let verdict = log.append(commit_of(stream, first_version, &[(stamp.clone(), events)]));
        process.awaited.push(Awaited { stream, first_version, stamp, verdict });
    }

    fn turn(&mut self, index: usize) {
        let process = &mut self.processes[index];
        process.start(&self.broker);
        if let Some((_, tail)) = &mut process.running {
            tail.turn().unwrap();
        }
    }

    fn write(&mut self, index: usize) {
        if let Some((_, tail)) = &mut self.processes[index].running {
            tail.write().unwrap();
        }
    }

    /// Takes the verdicts that are there.
    fn collect(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        for process in &mut self.processes {
            let awaited = std::mem::take(&mut process.awaited);
            for mut one in awaited {
                match one.verdict.as_mut().poll(&mut context) {
                    Poll::Pending => process.awaited.push(one),
                    Poll::Ready(Ok(appended)) => {
                        let Awaited { stream, first_version, stamp, .. } = one;
                        let (log, _) = process.running.as_ref().expect("a crash clears what is awaited");
                        let known = log.find_command(stream, stamp.command_id).unwrap().unwrap();
                        assert_eq!((known.first_version, known.position), (first_version, appended.position));
                        assert_eq!(whole_stream(log, stream), log.head(stream).unwrap());
                        let (partition, offset) = (appended.position.partition, appended.position.offset);
                        self.acknowledged.push(Acknowledged {
                            stream,
                            first_version,
                            stamp,
                            partition,
                            offset,
                        });
                    }
                    Poll::Ready(Err(AppendError::Conflict { head })) => {
                        assert!(head >= one.first_version, "a conflict means that the stream went on");
                        self.conflicts += 1;
                    }
                    Poll::Ready(Err(other)) => panic!("{other}"),
                }
            }
        }
    }

    /// Ends the bad day, starts everyone, and lets everything be judged.
    fn settle(&mut self) {
        self.broker.set_faults(SimulatedFaults::default());
        self.broker.set_away(false);
        self.broker.land();
        loop {
            self.broker.advance(Duration::from_millis(10));
            let mut judged = 0;
            for index in 0..PROCESSES {
                self.turn(index);
                if let Some((_, tail)) = &mut self.processes[index].running {
                    tail.republish();
                    judged += tail.turn().unwrap();
                    tail.write().unwrap();
                }
            }
            self.collect();
            if judged == 0 && self.processes.iter().all(|process| process.awaited.is_empty()) {
                return;
            }
        }
    }

    /// What the upstream says, by the rule alone: the first record at a stream's next version counts.
    fn fold(&self, partition: Partition) -> Vec<(Offset, Arc<[u8]>)> {
        let mut heads: HashMap<StreamId, Version> = HashMap::new();
        let mut valid = Vec::new();
        for (offset, body) in self.broker.records(partition) {
            let events = parse_body(&body).unwrap();
            let head = heads.entry(events[0].subject).or_default();
            if events[0].streamversion == *head + 1 {
                *head += events.len() as u64;
                drop(events);
                valid.push((offset, body));
            }
        }
        valid
    }

    fn check(&self) {
        let logs: Vec<&Arc<dyn EventLog>> =
            self.processes.iter().map(|process| &process.running.as_ref().unwrap().0).collect();
        for partition in self.broker.partitions() {
            let first = history(logs[0], partition);
            let bodies: Vec<_> =
                first.iter().map(|commit| (commit.position.offset, Arc::clone(&commit.body))).collect();
            assert_eq!(bodies, self.fold(partition), "the copy is what the rule says");
            for other in &logs[1..] {
                assert_eq!(history(other, partition), first, "all copies are equal");
            }
        }
        for log in logs {
            log.verify().unwrap();
            for Acknowledged { stream, first_version, stamp, partition, offset } in &self.acknowledged {
                let known =
                    log.find_command(*stream, stamp.command_id).unwrap().expect("an acknowledged command");
                assert_eq!(known.first_version, *first_version);
                assert_eq!((known.position.partition, known.position.offset), (*partition, *offset));
            }
        }
    }
}

/// Loads a stream, written or not, and gives the version that it ends with; its versions and chain are without a gap.
fn whole_stream(log: &Arc<dyn EventLog>, stream: StreamId) -> Version {
    let (mut version, mut chain) = (0, ChainHash::default());
    for commit in log.load(stream, 0, usize::MAX).unwrap() {
        assert_eq!((commit.first_version, commit.chain), (version + 1, chain.link(&commit.body)));
        (version, chain) = (commit.last_version(), commit.chain);
    }
    version
}

/// Gives how many appends were acknowledged and how many were conflicts.
fn run(seed: usize) -> (usize, usize) {
    let counts = std::panic::catch_unwind(|| {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
        world.check();
        (world.acknowledged.len(), world.conflicts)
    });
    counts.unwrap_or_else(|_| panic!("seed {seed} breaks a promise"))
}

#[test]
fn copies_agree_and_nothing_acknowledged_is_lost_whatever_happens() {
    let counts: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || (thread..SEEDS).step_by(THREADS).map(run).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let acknowledged: usize = counts.iter().map(|(acknowledged, _)| acknowledged).sum();
    let conflicts: usize = counts.iter().map(|(_, conflicts)| conflicts).sum();
    assert!(acknowledged > 10 * SEEDS && conflicts > SEEDS, "the runs were rich: {acknowledged} {conflicts}");
}
