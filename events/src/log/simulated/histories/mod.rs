//! Histories in memory, by seed: clients, several processes and a bad broker, thousands of them a second.
//!
//! Everything that decides over commits is the product's own: intake, turns, pending appends, tail, judging, what is unwritten
//! and how it is read with the file. Modelled are the broker ([`SimulatedBroker`]), the file, which keeps whole batches or
//! nothing, and the executor with its clients. After every step it is checked that what clients were told is true, at the end
//! that all copies are what an independent fold of the log says.
//!
//! To know that it would find something, it can be run with a [`SeededBug`].

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use self::{
    memory::MemoryFile,
    oracle::Oracle,
    process::{Answer, Answered, Process, Request},
    rules::Operation,
};
use super::{SimulatedBroker, SimulatedFaults};
use crate::{
    ids::{CommandId, CommitId, Id},
    stream::{Category, Service, StreamId},
};

mod memory;
mod oracle;
mod process;
mod rules;

const PROCESSES: usize = 3;
const CLIENTS: usize = 6;
const STREAMS: usize = 2;
const STEPS: usize = 80;
/// So many turns settle every history.
const SETTLING_MAX: usize = 500;

/// Something that processes of ours must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeededBug {
    /// A process remembers the commands of its own life instead of looking them up in the log.
    NoLookUpAfterRestart,
    /// A rejection that rests on a commit in the making is answered before that commit is judged.
    RejectionBeforeVerdict,
    /// A commit is answered when it arrived at the broker.
    AnswerOnDelivery,
    /// A second commit is decided on a stream, and published, while the first is undecided.
    SecondUndecidedCommit,
    /// A process decides before it has reached what the upstream held when it started.
    DecisionBeforeCaughtUp,
}

/// What happened in a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryCounts {
    /// Commands that clients were told to be carried out.
    pub applied: usize,
    /// Commands that were rejected.
    pub rejected: usize,
    /// Records that were void.
    pub voids: usize,
    /// Processes that were killed.
    pub crashes: usize,
}

/// Runs the history with this seed.
///
/// # Errors
/// Which promise was broken.
pub fn run(seed: u64, bug: Option<SeededBug>) -> Result<HistoryCounts, String> {
    let mut world = World::new(seed, bug);
    for _ in 0..STEPS {
        world.step()?;
    }
    world.settle()?;
    world.check_copies()?;
    world.counts.voids = world.oracle.voids;
    Ok(world.counts)
}

/// Somebody with one command at a time, which is sent until it is answered.
#[derive(Default)]
struct Client {
    wants: Option<(CommandId, StreamId, Operation)>,
    /// The process that was asked last, while an answer is awaited.
    waits_for: Option<usize>,
}

struct World {
    random: StdRng,
    bug: Option<SeededBug>,
    broker: Arc<SimulatedBroker>,
    oracle: Oracle,
    files: Vec<Arc<MemoryFile>>,
    processes: Vec<Option<Process>>,
    clients: Vec<Client>,
    streams: Vec<StreamId>,
    counts: HistoryCounts,
}

impl World {
    fn new(seed: u64, bug: Option<SeededBug>) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut stream = || StreamId { category: Category::Job, uuid: Uuid::from_u128(random.random()) };
        let streams = (0..STREAMS).map(|_| stream()).collect();
        Self {
            random,
            bug,
            broker: SimulatedBroker::of(&[Service::Jobs], seed, 2, SimulatedFaults::wild()),
            oracle: Oracle::default(),
            files: (0..PROCESSES).map(|_| Arc::default()).collect(),
            processes: (0..PROCESSES).map(|_| None).collect(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            streams,
            counts: HistoryCounts::default(),
        }
    }

    fn step(&mut self) -> Result<(), String> {
        let passed_micros = self.random.random_range(0..3000);
        self.broker.advance(Duration::from_micros(passed_micros));
        let index = self.random.random_range(0..PROCESSES);
        match self.random.random_range(0..100) {
            0..25 => self.ask()?,
            25..45 => {
                let stream = self.streams[self.random.random_range(0..STREAMS)];
                self.decide(index, stream)?;
            }
            45..75 => {
                self.started(index)?.turn()?;
            }
            75..85 => {
                let commits_max = self.random.random_range(1..5);
                self.started(index)?.write(commits_max)?;
            }
            85..88 => self.crash(index),
            88..89 => self.broker.set_away(true),
            89..95 => self.broker.set_away(false),
            _ => self.started(index)?.republish(),
        }
        self.collect()
    }

    fn started(&mut self, index: usize) -> Result<&mut Process, String> {
        let process = &mut self.processes[index];
        if process.is_none() {
            *process = Some(Process::start(&self.broker, &self.files[index], self.bug)?);
        }
        process.as_mut().ok_or_else(|| "just started".into())
    }

    /// A client sends its command: a new one, or the one that it got no answer to, to whatever process.
    fn ask(&mut self) -> Result<(), String> {
        let index = self.random.random_range(0..CLIENTS);
        let impatient = self.random.random_range(0..8) == 0;
        let (command, operation) = (self.random.random(), self.random.random());
        let stream = self.streams[self.random.random_range(0..STREAMS)];
        let place = self.random.random_range(0..PROCESSES);
        let client = &mut self.clients[index];
        if client.waits_for.is_some() && !impatient {
            return Ok(());
        }
        client.waits_for = Some(place);
        let new = (CommandId::from_uuid(Uuid::from_u128(command)), stream, Operation::random(operation));
        let (command, stream, operation) = *client.wants.get_or_insert(new);
        let process = self.started(place)?;
        let floor = process.head(stream)?;
        process.take(Request { command, stream, operation, floor, decided_at: 0 });
        Ok(())
    }

    fn decide(&mut self, index: usize, stream: StreamId) -> Result<(), String> {
        let commit = CommitId::from_uuid(Uuid::from_u128(self.random.random()));
        let answered = self.started(index)?.decide(stream, commit)?;
        self.answer(index, answered)
    }

    fn crash(&mut self, index: usize) {
        if self.processes[index].take().is_some() {
            self.counts.crashes += 1;
        }
        let waiting = self.clients.iter_mut().filter(|client| client.waits_for == Some(index));
        waiting.for_each(|client| client.waits_for = None);
    }

    fn collect(&mut self) -> Result<(), String> {
        self.oracle.follow(&self.broker)?;
        for index in 0..PROCESSES {
            let Some(process) = &mut self.processes[index] else { continue };
            let answered = process.collect(&self.oracle)?;
            self.answer(index, answered)?;
        }
        Ok(())
    }

    /// Checks what a process says, and tells the client.
    fn answer(&mut self, index: usize, answered: Vec<Answered>) -> Result<(), String> {
        self.oracle.follow(&self.broker)?;
        for (request, answer) in answered {
            match answer {
                Answer::Applied => self.check_applied(&request)?,
                Answer::Rejected => self.check_rejected(index, &request)?,
                Answer::Unavailable => {}
            }
            let asked = |client: &&mut Client| {
                client.wants.is_some_and(|(command, ..)| command == request.command)
                    && client.waits_for == Some(index)
            };
            let Some(client) = self.clients.iter_mut().find(asked) else { continue };
            client.waits_for = None;
            match answer {
                Answer::Applied => self.counts.applied += 1,
                Answer::Rejected => self.counts.rejected += 1,
                Answer::Unavailable => continue,
            }
            client.wants = None;
        }
        Ok(())
    }

    fn check_applied(&self, request: &Request) -> Result<(), String> {
        let applied = self.oracle.applied(request.command);
        applied.map(drop).ok_or_else(|| "an acknowledged commit is void".into())
    }

    fn check_rejected(&self, index: usize, request: &Request) -> Result<(), String> {
        if !self.oracle.justifies(request.stream, request.floor, request.operation) {
            return Err("a command was rejected by a state that never was".into());
        }
        let Some((partition, offset, version)) = self.oracle.applied(request.command) else { return Ok(()) };
        if version <= request.decided_at {
            return Err("a command was rejected that the process had seen carried out".into());
        }
        let start = self.processes[index].as_ref().and_then(|process| process.start.get(&partition));
        if start.is_some_and(|start| offset <= *start) {
            return Err("a command was rejected that was carried out before the process started".into());
        }
        Ok(())
    }

    /// Ends the bad day and lets everything come to an end.
    fn settle(&mut self) -> Result<(), String> {
        self.broker.set_faults(SimulatedFaults::default());
        self.broker.set_away(false);
        for _ in 0..SETTLING_MAX {
            self.broker.land();
            self.broker.advance(Duration::from_millis(20));
            let mut judged = 0;
            for index in 0..PROCESSES {
                let process = self.started(index)?;
                process.republish();
                judged += process.turn()?;
                process.write(usize::MAX)?;
                self.collect()?;
                for stream in self.streams.clone() {
                    self.decide(index, stream)?;
                }
            }
            if judged == 0 && self.processes.iter().flatten().all(Process::is_idle) {
                return Ok(());
            }
        }
        Err("the processes never come to an end".into())
    }

    /// Every copy is what the rule alone makes of the upstream.
    fn check_copies(&self) -> Result<(), String> {
        for partition in self.broker.partitions() {
            let truth = self.oracle.partition(partition);
            let copies = self.files.iter().map(|file| file.partition(partition));
            let copies: Vec<_> = copies.collect();
            if copies.iter().any(|copy| *copy != copies[0]) {
                return Err("two copies differ".into());
            }
            let same = copies[0].len() == truth.len()
                && copies[0].iter().zip(truth).all(|(commit, (offset, body))| {
                    commit.position.offset == *offset && commit.body == *body
                });
            if !same {
                return Err("a copy is not what the upstream says".into());
            }
        }
        Ok(())
    }
}
