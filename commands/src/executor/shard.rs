//! The deciding threads: each owns the streams that hash to it, so a stream's commands need no lock.

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use events::{
    StreamId,
    log::{AppendError, Appended, EventLog},
    snapshots::SnapshotStore,
    time::DomainClock,
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
};

use super::{
    CommandError, Conflict, ExecutorSettings, ExecutorStats, Outage,
    decide::{Answer, Decided, Waiting, decide},
    states::{Folded, States},
};
use crate::{aggregate::Aggregate, policy::Policy};

/// Tasks a thread takes in at once, so that commands which arrive together are decided together.
const TASKS_A_TURN: usize = 256;

/// What all threads share.
pub(super) struct Core {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) policy: Arc<Policy>,
    pub(super) clock: DomainClock,
    pub(super) settings: ExecutorSettings,
    pub(super) states: States,
    /// One for each command under way.
    pub(super) permits: Arc<Semaphore>,
    runtime: Handle,
    commands: AtomicU64,
    commits: AtomicU64,
    conflicts: AtomicU64,
}

impl Core {
    pub(super) fn new(
        log: Arc<dyn EventLog>,
        policy: Arc<Policy>,
        clock: DomainClock,
        snapshots: Option<Arc<SnapshotStore>>,
        settings: ExecutorSettings,
    ) -> Arc<Self> {
        let states = States::new(Arc::clone(&log), snapshots, &settings);
        let permits = Arc::new(Semaphore::new(settings.waiting_max));
        let runtime = Handle::current();
        let [commands, commits, conflicts] = [const { AtomicU64::new(0) }; 3];
        Arc::new(Self {
            log,
            policy,
            clock,
            settings,
            states,
            permits,
            runtime,
            commands,
            commits,
            conflicts,
        })
    }

    pub(super) fn stats(&self) -> ExecutorStats {
        ExecutorStats {
            commands: self.commands.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
            waiting: (self.settings.waiting_max - self.permits.available_permits()) as u64,
        }
    }
}

/// Something to do on the thread that owns a stream.
type Work = Box<dyn FnOnce(&mut Shard) + Send>;

struct Task {
    stream: StreamId,
    work: Work,
}

/// All threads. The queues are unbounded, what is in them is not: every command holds one of the bounded permits, and
/// a stream has one verdict under way at most.
pub(super) struct Shards {
    core: Arc<Core>,
    /// Emptied when the executor closes.
    queues: RwLock<Vec<mpsc::UnboundedSender<Task>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Shards {
    pub(super) fn start(core: Arc<Core>) -> Self {
        let mut queues = Vec::new();
        let mut threads = Vec::new();
        for number in 0..core.settings.threads.max(1) {
            let (sender, receiver) = mpsc::unbounded_channel();
            let shard = Shard {
                core: Arc::clone(&core),
                slots: HashMap::new(),
                ready: Vec::new(),
                verdicts: sender.downgrade(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("decide-{number}"))
                .spawn(move || shard.run(receiver))
                .expect("a thread can be started while the process starts");
            queues.push(sender);
            threads.push(thread);
        }
        Self { core, queues: RwLock::new(queues), threads: Mutex::new(threads) }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Hands work to the thread that owns `stream`; false when the executor is closed.
    pub(super) fn send(&self, stream: StreamId, work: Work) -> bool {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        if queues.is_empty() {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        let queue = &queues[(hasher.finish() % queues.len() as u64) as usize];
        queue.send(Task { stream, work }).is_ok()
    }

    pub(super) async fn close(&self, patience: Duration) {
        let all = self.core.settings.waiting_max as u32;
        // Whoever holds a permit is under way; when all can be had, nobody is. They are kept until nobody gets in.
        let drained = tokio::time::timeout(patience, self.core.permits.acquire_many(all)).await;
        if drained.is_err() {
            tracing::warn!("the executor closes with commands still under way");
        }
        self.core.permits.close();
        self.queues.write().unwrap_or_else(PoisonError::into_inner).clear();
        drop(drained);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(|| threads.into_iter().for_each(|t| drop(t.join())));
        let _ = tokio::time::timeout(patience, joined).await;
    }
}

/// The commands of one stream: those that wait, and those whose commit is not judged yet.
struct Slot<A: Aggregate> {
    waiting: VecDeque<Waiting<A>>,
    unjudged: Option<Unjudged<A>>,
    /// A turn to decide is due already.
    scheduled: bool,
}

struct Unjudged<A: Aggregate> {
    held: Vec<(Waiting<A>, Answer<A>)>,
    folded: Folded<A>,
}

/// Brings a verdict back to its thread, whatever ends the wait for it: a stream whose verdict never came would stand
/// still for ever.
struct Returning {
    verdicts: mpsc::UnboundedSender<Task>,
    stream: StreamId,
    verdict: Option<Result<Appended, AppendError>>,
    judged: fn(&mut Shard, StreamId, Result<Appended, AppendError>),
}

impl Returning {
    fn with(mut self, verdict: Result<Appended, AppendError>) {
        self.verdict = Some(verdict);
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        let broken_off = || Err(AppendError::InDoubt("the wait for the verdict broke off".into()));
        let (stream, judged) = (self.stream, self.judged);
        let verdict = self.verdict.take().unwrap_or_else(broken_off);
        // The thread outlives its queue's senders, of which this is one.
        let work: Work = Box::new(move |shard| judged(shard, stream, verdict));
        let _ = self.verdicts.send(Task { stream, work });
    }
}

/// One thread's streams.
pub(super) struct Shard {
    core: Arc<Core>,
    slots: HashMap<StreamId, Box<dyn Any + Send>>,
    /// Streams to decide when all that has arrived has been taken in.
    ready: Vec<Task>,
    /// Where verdicts come back; weak, so that the queue ends when the executor lets go of it and none is under way.
    verdicts: mpsc::WeakUnboundedSender<Task>,
}

impl Shard {
    fn run(mut self, mut queue: mpsc::UnboundedReceiver<Task>) {
        let mut tasks = Vec::with_capacity(TASKS_A_TURN);
        while queue.blocking_recv_many(&mut tasks, TASKS_A_TURN) > 0 {
            for task in tasks.drain(..) {
                self.perform(task);
            }
            // A turn may make another one ready: each takes commands out of a bounded number that wait.
            while !self.ready.is_empty() {
                for task in std::mem::take(&mut self.ready) {
                    self.perform(task);
                }
            }
        }
    }

    /// A panic in a decider breaks off the commands of its own stream and nothing else.
    fn perform(&mut self, Task { stream, work }: Task) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            tracing::error!(%stream, "a decision panicked; the commands waiting for the stream are broken off");
            self.slots.remove(&stream);
        }
    }

    fn slot<A: Aggregate>(&mut self, stream: StreamId) -> &mut Slot<A> {
        let slot = self.slots.entry(stream).or_insert_with(|| {
            Box::new(Slot::<A> { waiting: VecDeque::new(), unjudged: None, scheduled: false })
        });
        slot.downcast_mut().expect("a stream's category has one aggregate")
    }

    /// Takes a command in.
    pub(super) fn accept<A: Aggregate>(&mut self, stream: StreamId, waiting: Waiting<A>) {
        self.core.commands.fetch_add(1, Ordering::Relaxed);
        // Behind a commit that is on its way to a log that is away there is nothing to wait for.
        if self.slot::<A>(stream).unjudged.is_some()
            && let Some(reason) = self.core.log.status().away
        {
            return waiting.answer(Err(CommandError::Outage(Outage::Unavailable(reason))));
        }
        self.slot::<A>(stream).waiting.push_back(waiting);
        self.schedule::<A>(stream);
    }

    /// Makes a turn ready when there is something to decide; forgets a stream for which nothing waits.
    fn schedule<A: Aggregate>(&mut self, stream: StreamId) {
        let slot = self.slot::<A>(stream);
        if slot.unjudged.is_some() || slot.scheduled {
            return;
        }
        if slot.waiting.is_empty() {
            self.slots.remove(&stream);
            return;
        }
        slot.scheduled = true;
        self.ready.push(Task { stream, work: Box::new(move |shard| shard.turn::<A>(stream)) });
    }

    /// Decides what waits for the stream, and sends the commit on its way.
    fn turn<A: Aggregate>(&mut self, stream: StreamId) {
        let batch_max = self.core.settings.batch_commands_max.max(1);
        let slot = self.slot::<A>(stream);
        slot.scheduled = false;
        let count = slot.waiting.len().min(batch_max);
        let batch: Vec<_> = slot.waiting.drain(..count).collect();
        let core = Arc::clone(&self.core);
        let Some(decided) = decide::<A>(&core, stream, batch) else {
            return self.schedule::<A>(stream);
        };
        let Decided { commit, held, postponed, folded } = decided;
        let slot = self.slot::<A>(stream);
        for waiting in postponed.into_iter().rev() {
            slot.waiting.push_front(waiting);
        }
        let Some(commit) = commit else { return self.schedule::<A>(stream) };
        slot.unjudged = Some(Unjudged { held, folded });
        // The executor was closed and waits no longer: what is held ends with this thread.
        let Some(verdicts) = self.verdicts.upgrade() else { return };
        let returning = Returning { verdicts, stream, verdict: None, judged: Shard::judged::<A> };
        // What is not sent to a log that is away is certainly not carried out, and can be said so at once.
        if let Some(reason) = self.core.log.status().away {
            return returning.with(Err(AppendError::Unavailable(reason)));
        }
        let answer = Box::new(move |verdict| returning.with(verdict));
        if let Some(room) = self.core.log.append_then(commit, answer) {
            self.core.runtime.spawn(room);
        }
    }

    /// The verdict on the stream's commit has come.
    fn judged<A: Aggregate>(&mut self, stream: StreamId, verdict: Result<Appended, AppendError>) {
        let attempts_max = self.core.settings.attempts_max;
        let Some(Unjudged { held, folded }) = self.slot::<A>(stream).unjudged.take() else { return };
        match verdict {
            Ok(appended) => {
                self.core.commits.fetch_add(1, Ordering::Relaxed);
                self.core.states.keep(stream, folded);
                for (waiting, answer) in held {
                    waiting.answer(answer.map(|mut outcome| {
                        outcome.position = Some(appended.position).filter(|_| !outcome.events.is_empty());
                        outcome
                    }));
                }
            }
            Err(AppendError::Conflict { .. }) => {
                self.core.conflicts.fetch_add(1, Ordering::Relaxed);
                let slot = self.slot::<A>(stream);
                for (mut waiting, _) in held.into_iter().rev() {
                    waiting.attempts += 1;
                    if waiting.attempts >= attempts_max {
                        waiting.answer(Err(CommandError::Conflict(Conflict::Contended)));
                    } else {
                        slot.waiting.push_front(waiting);
                    }
                }
            }
            Err(error) => {
                let outage = match error {
                    AppendError::TooLarge { bytes, limit } => Outage::TooLarge { bytes, limit },
                    AppendError::Unavailable(reason) => Outage::Unavailable(reason),
                    AppendError::InDoubt(reason) => Outage::InDoubt(reason),
                    AppendError::Conflict { .. } => Outage::InDoubt("conflicts are decided again".into()),
                };
                for (waiting, _) in held {
                    waiting.answer(Err(CommandError::Outage(outage.clone())));
                }
            }
        }
        self.schedule::<A>(stream);
    }
}
