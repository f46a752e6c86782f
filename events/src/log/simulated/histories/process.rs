//! One process: the product's intake, tail, judging and memory over a file that outlives it, and a model of the executor that
//! decides commands, with the bug that was sown.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    SeededBug, SimulatedBroker,
    memory::MemoryFile,
    oracle::Oracle,
    rules::{self, Claimed, Draft, Operation},
};
use crate::{
    envelope::NewCommit,
    ids::{CommandId, CommitId},
    log::{
        AppendError, Verdict,
        freshness::Freshness,
        intake::Intake,
        judge::FORMAT,
        judging::Judging,
        pending::PendingAppends,
        progress::Progress,
        tail::{Shared, Tail},
        unwritten::{Bounds, Unwritten},
        upstream::{Record, Upstream},
        view::JudgedView,
    },
    stream::{Offset, Partition, StreamId, Version},
};

/// A command on its way through a process.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) command: CommandId,
    pub(super) stream: StreamId,
    pub(super) operation: Operation,
    /// Where the stream stood here when it came.
    pub(super) floor: Version,
    /// Where the stream stood here when it was looked up and decided last.
    pub(super) decided_at: Version,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is part of history, now or since long.
    Applied,
    /// The rules say no.
    Rejected,
    /// Not known, not now: send it again.
    Unavailable,
}

pub(super) type Answered = (Request, Answer);

/// A commit whose verdict is awaited, with all answers that rest on it.
struct Flight {
    commit: CommitId,
    verdict: Verdict,
    held: Vec<Answered>,
    first_version: Version,
    /// The stream with it, if it is valid.
    version: Version,
    state: Claimed,
}

/// A process that runs.
pub(super) struct Process {
    bug: Option<SeededBug>,
    file: Arc<MemoryFile>,
    view: JudgedView,
    pending: Arc<PendingAppends>,
    freshness: Arc<Freshness>,
    intake: Arc<Intake>,
    upstream: Arc<dyn Upstream>,
    tail: Tail,
    queues: HashMap<StreamId, VecDeque<Request>>,
    flights: BTreeMap<StreamId, Flight>,
    /// The commands that it wrote in this life: what a careless process remembers instead of asking the log.
    written_here: HashSet<CommandId>,
    /// Where the upstream ended when it started.
    pub(super) start: HashMap<Partition, Offset>,
}

impl Process {
    pub(super) fn start(
        broker: &Arc<SimulatedBroker>,
        file: &Arc<MemoryFile>,
        bug: Option<SeededBug>,
    ) -> Result<Self, String> {
        let upstream = broker.connect();
        let source = file.source(upstream.partitions());
        let bounds = Bounds { commits_max: 8, bytes_max: usize::MAX };
        let unwritten = Arc::new(Unwritten::new(bounds, &source));
        let view = JudgedView::new(unwritten, Arc::<MemoryFile>::clone(file));
        let pending = Arc::new(PendingAppends::new(broker.clock.clone()));
        let progress = Arc::new(Progress::default());
        let freshness = Arc::new(Freshness::new(&source));
        let intake = Intake::new(
            view.clone(),
            Arc::clone(&upstream),
            Arc::clone(&pending),
            Arc::clone(&progress),
            1 << 20,
        );
        let judging = Judging::new(view.clone(), Arc::clone(&pending), Arc::clone(&progress), source);
        let shared = Shared {
            upstream: Arc::clone(&upstream),
            pending: Arc::clone(&pending),
            progress,
            freshness: Arc::clone(&freshness),
        };
        let tail = Tail::new(judging, rules::read, shared).map_err(|error| error.to_string())?;
        let state = broker.lock();
        let start = upstream.partitions().into_iter().map(|partition| (partition, state.end(partition)));
        Ok(Self {
            bug,
            file: Arc::clone(file),
            view,
            pending,
            freshness,
            intake,
            tail,
            queues: HashMap::new(),
            flights: BTreeMap::new(),
            written_here: HashSet::new(),
            start: start.collect(),
            upstream,
        })
    }

    fn has(&self, bug: SeededBug) -> bool {
        self.bug == Some(bug)
    }

    /// Where a stream stands here.
    pub(super) fn head(&self, stream: StreamId) -> Result<Version, String> {
        self.view.head(stream).map_err(|error| error.to_string())
    }

    /// Takes a command in.
    pub(super) fn take(&mut self, request: Request) {
        self.queues.entry(request.stream).or_default().push_back(request);
    }

    /// Polls, judges and answers; gives how many records were judged.
    pub(super) fn turn(&mut self) -> Result<usize, String> {
        self.tail
            .turn(Duration::ZERO)
            .map(|turn| turn.records)
            .map_err(|error| format!("a copy stopped: {error}"))
    }

    /// Publishes again what has not been seen.
    pub(super) fn republish(&self) {
        self.tail.republish_silent(Duration::ZERO);
    }

    /// Writes so many of the judged commits to the file.
    pub(super) fn write(&self, commits_max: usize) -> Result<(), String> {
        let unwritten = self.view.unwritten();
        if let Some(batch) = unwritten.take_now(commits_max) {
            self.file.write(&batch)?;
            unwritten.written(&batch);
        }
        Ok(())
    }

    /// Nothing is under way here.
    pub(super) fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.queues.values().all(VecDeque::is_empty) && self.pending.is_empty()
    }

    /// Decides what waits for a stream, on what was judged: together, in order, into one commit.
    pub(super) fn decide(&mut self, stream: StreamId, commit: CommitId) -> Result<Vec<Answered>, String> {
        let undecided = self.flights.get(&stream).map(|flight| (flight.version, flight.state));
        if undecided.is_some() && !self.has(SeededBug::SecondUndecidedCommit) {
            return Ok(Vec::new());
        }
        let waiting = std::mem::take(self.queues.entry(stream).or_default());
        let is_stale = self.freshness.stale().is_some() && !self.has(SeededBug::DecisionBeforeCaughtUp);
        let judged = self.judged(stream)?;
        let (version, mut state) = undecided.unwrap_or(judged);
        let mut draft = Draft::new(commit, stream, version + 1);
        let (mut answered, mut held) = (Vec::new(), Vec::new());
        let mut batch = HashSet::new();
        for mut request in waiting {
            if !batch.insert(request.command) {
                self.take(request);
                continue;
            }
            request.decided_at = judged.0;
            if self.is_known(&request)? {
                answered.push((request, Answer::Applied));
            } else if is_stale {
                answered.push((request, Answer::Unavailable));
            } else if !state.rejects(request.operation) {
                draft.push(request.command, request.operation);
                state = state.after(request.operation);
                held.push((request, Answer::Applied));
            } else if draft.is_empty() || self.has(SeededBug::RejectionBeforeVerdict) {
                answered.push((request, Answer::Rejected));
            } else {
                held.push((request, Answer::Rejected));
            }
        }
        if !draft.is_empty() {
            self.append(draft.finish(), held, state, undecided.is_some());
        }
        Ok(answered)
    }

    fn append(&mut self, commit: NewCommit, held: Vec<Answered>, state: Claimed, blindly: bool) {
        let (id, stream) = (commit.id, commit.stream);
        if blindly {
            // The intake would refuse it. What rests on it is never answered.
            let record = Record { key: stream.to_string(), format: FORMAT, body: Arc::from(commit.body) };
            self.upstream.publish(self.upstream.partition_of(stream), record, id);
            return;
        }
        let first_version = commit.first_version;
        let version = first_version + u64::from(commit.count) - 1;
        let verdict = self.intake.append(commit);
        self.flights.insert(stream, Flight { commit: id, verdict, held, first_version, version, state });
    }

    /// A stream's version and state as they were judged; the parts of the view must agree on them.
    fn judged(&self, stream: StreamId) -> Result<(Version, Claimed), String> {
        let (mut version, mut state) = (0, Claimed::default());
        let mut chain = crate::log::ChainHash::default();
        for commit in self.view.load(stream, 0, usize::MAX).map_err(|error| error.to_string())? {
            chain = chain.link(&commit.body);
            if commit.first_version != version + 1 || commit.chain != chain {
                return Err(format!(
                    "a stream is loaded with a gap or a break before {}",
                    commit.first_version
                ));
            }
            version = commit.last_version();
            let found = rules::find(&commit.body).ok_or("a loaded commit is none of the model")?;
            state = found.commands.iter().fold(state, |state, (_, operation)| state.after(*operation));
        }
        if self.head(stream)? != version {
            return Err(format!("a stream ends at {version} and stands elsewhere"));
        }
        Ok((version, state))
    }

    fn is_known(&self, request: &Request) -> Result<bool, String> {
        if self.has(SeededBug::NoLookUpAfterRestart) {
            return Ok(self.written_here.contains(&request.command));
        }
        let known = self.view.find_command(request.stream, request.command);
        Ok(known.map_err(|error| error.to_string())?.is_some())
    }

    /// Gives the answers whose verdicts have come, and takes back what must be decided again.
    pub(super) fn collect(&mut self, oracle: &Oracle) -> Result<Vec<Answered>, String> {
        let mut context = Context::from_waker(Waker::noop());
        let mut answered = Vec::new();
        for (stream, mut flight) in std::mem::take(&mut self.flights) {
            if self.has(SeededBug::AnswerOnDelivery) && oracle.has_arrived(flight.commit) {
                answered.extend(flight.held);
                continue;
            }
            match flight.verdict.as_mut().poll(&mut context) {
                Poll::Pending => {
                    self.flights.insert(stream, flight);
                }
                Poll::Ready(Ok(_)) => {
                    self.written_here.extend(flight.held.iter().map(|(request, _)| request.command));
                    answered.extend(flight.held);
                }
                Poll::Ready(Err(AppendError::Conflict { head })) => {
                    if head < flight.first_version {
                        return Err("a conflict although the stream did not go on".into());
                    }
                    let queue = self.queues.entry(stream).or_default();
                    flight.held.into_iter().rev().for_each(|(request, _)| queue.push_front(request));
                }
                Poll::Ready(Err(other)) => return Err(format!("an append failed: {other}")),
            }
        }
        Ok(answered)
    }
}
