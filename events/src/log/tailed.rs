//! An engine over an upstream: many processes publish, every copy judges what it reads there, all come to the same history.
//!
//! An append publishes its commit and is answered when this process, tailing the upstream, has reached that record and judged
//! it in memory. Nothing else is trusted: no delivery report settles anything. A commit whose delivery is said to have failed,
//! or of which nothing was heard for long, is published again as it is; when both arrive, the second is void. A commit whose
//! stream was passed by another can only become void, and is a conflict at once.
//!
//! The copy is written behind the answers, by a thread of its own, with the upstream's offsets in the same transaction. Until
//! then what was judged is read from memory by all who decide; subscribers see it when it is written. The hand-over is
//! bounded: when the file lags too far the tail stops polling, and when that lasts commits are refused.
//!
//! When a process dies, its copy may lack commits that it had answered. They are on the upstream, and are judged again with
//! the same verdict when the process comes back. Until it has reached the end that the upstream had then, it does not know
//! what its own clients were told: a command that is repeated would not be found. The version rule forbids that it is applied
//! twice: whatever is decided on an older state is void. But it could be rejected by an older state although it was carried
//! out. So [`EventLog::stale`] tells those who decide to wait for the end; the same when the copy has not been seen to be at
//! the upstream's end for [`super::freshness::STALE_AFTER`], because the upstream is away, this process was frozen, or its
//! file does not keep up. Within that bound rejections may be stale.

use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    Answer, EventLog, KnownCommand, LogError, LogOptions, LogStatus, ReadLimit, Room, StoredCommit, Verdict,
    VerifyReport,
    clock::Clock,
    copy::{self, CopyPlan, CopyReader, Durability},
    embedded::check_new,
    freshness::Freshness,
    intake::Intake,
    judge::parse,
    judging::Judging,
    pending::PendingAppends,
    progress::{CLOSED, Progress},
    readers::Readers,
    tail::{Shared, Tail},
    unwritten::{Bounds, Unwritten},
    upstream::Upstream,
    view::JudgedView,
    write_behind::WriteBehind,
};
use crate::{
    envelope::NewCommit,
    ids::CommandId,
    stream::{LogId, Offset, Partition, StreamId, Version},
};

/// How long one poll waits for the first record.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// How long the tail rests when the upstream is away or only says that deliveries failed.
const REST: Duration = Duration::from_millis(20);
/// How often the upstream is asked for its ends.
const ENDS_EVERY: Duration = Duration::from_secs(1);

/// The port over an upstream and a copy of it.
pub(super) struct Tailed {
    intake: Arc<Intake>,
    view: JudgedView,
    reader: Arc<CopyReader>,
    pending: Arc<PendingAppends>,
    progress: Arc<Progress>,
    freshness: Arc<Freshness>,
    readers: Arc<Readers>,
    unwritten: Arc<Unwritten>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    closing: Arc<Closing>,
    commit_bytes_max: usize,
}

/// Wakes the thread that asks for ends when the log is closed.
#[derive(Default)]
struct Closing {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Tailed {
    /// Opens the copy in `folder`, a tail and a writer that somebody has to drive.
    pub(super) fn prepare(
        folder: &Path,
        options: &LogOptions,
        upstream: Arc<dyn Upstream>,
        clock: Clock,
    ) -> Result<(Self, Tail, WriteBehind), LogError> {
        let plan = CopyPlan {
            log: Some(upstream.log()),
            partitions: upstream.partitions(),
            durability: Durability::Refillable,
        };
        let copy = copy::open(folder, options, &plan)?;
        let reader = Arc::clone(copy.reader());
        let source: Vec<_> = reader.rows().iter().map(|row| (row.partition, row.source_offset)).collect();
        let bounds =
            Bounds { commits_max: options.unwritten_commits_max, bytes_max: options.unwritten_bytes_max };
        let unwritten = Arc::new(Unwritten::new(bounds, &source));
        let (pending, progress) = (Arc::new(PendingAppends::new(clock)), Arc::new(Progress::default()));
        let freshness = Arc::new(Freshness::new(&source));
        let view = JudgedView::new(Arc::clone(&unwritten), Arc::<CopyReader>::clone(&reader));
        let writer = WriteBehind::new(
            folder,
            options.wal_bytes_max,
            copy,
            Arc::clone(&unwritten),
            Arc::clone(&progress),
        )?;
        let judging = Judging::new(view.clone(), Arc::clone(&pending), Arc::clone(&progress), source);
        let shared = Shared {
            upstream: Arc::clone(&upstream),
            pending: Arc::clone(&pending),
            progress: Arc::clone(&progress),
            freshness: Arc::clone(&freshness),
        };
        let tail = Tail::new(judging, parse, shared)?;
        let intake = Intake::new(
            view.clone(),
            upstream,
            Arc::clone(&pending),
            Arc::clone(&progress),
            options.queue_bytes_max,
        );
        let engine = Self {
            intake,
            view,
            reader,
            pending,
            progress,
            freshness,
            readers: Arc::default(),
            unwritten,
            threads: Mutex::default(),
            closing: Arc::default(),
            commit_bytes_max: options.commit_bytes_max,
        };
        Ok((engine, tail, writer))
    }

    /// Opens the copy in `folder`, tails the upstream on one thread and writes the copy on another.
    pub(super) fn open(
        folder: &Path,
        options: &LogOptions,
        upstream: Arc<dyn Upstream>,
    ) -> Result<Self, LogError> {
        let (engine, tail, writer) = Self::prepare(folder, options, Arc::clone(&upstream), Clock::default())?;
        let limits = (options.republish_after, options.close_wait);
        engine.spawn("log-writer", move || writer.run())?;
        engine.spawn("log-tail", move || run(tail, limits.0, limits.1))?;
        let (freshness, closing) = (Arc::clone(&engine.freshness), Arc::clone(&engine.closing));
        let asked = Arc::clone(&upstream);
        engine.spawn("log-ends", move || closing.ask_until_closed(&freshness, &*asked))?;
        engine.show_readers(upstream)?;
        Ok(engine)
    }

    /// Has the upstream shown how far readers are, if it wants to be.
    fn show_readers(&self, upstream: Arc<dyn Upstream>) -> Result<(), LogError> {
        let Some(every) = upstream.shows_readers_every() else { return Ok(()) };
        let (readers, reader, unwritten) =
            (Arc::clone(&self.readers), Arc::clone(&self.reader), Arc::clone(&self.unwritten));
        // Behind the last commit there may be records that are void, and nothing is left for whoever has read that commit.
        let passed = move |partition: Partition, offset: Offset| match unwritten.settled(partition) {
            Some(judged) if reader.end(partition) <= offset => offset.max(judged),
            Some(_) | None => offset,
        };
        self.spawn("log-readers", move || readers.show_until_closed(every, &*upstream, passed))
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(work)
            .map_err(|e| LogError::File(format!("no thread {name}: {e}")))?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }
}

impl Closing {
    fn ask_until_closed(&self, freshness: &Freshness, upstream: &dyn Upstream) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        while !*closed {
            drop(closed);
            if let Err(away) = freshness.ask(upstream) {
                tracing::debug!(%away, "the ends of the upstream are not known");
            }
            closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.changed.wait_timeout_while(closed, ENDS_EVERY, |closed| !*closed);
            closed = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

impl EventLog for Tailed {
    fn id(&self) -> LogId {
        self.reader.log()
    }

    fn append(&self, commit: NewCommit) -> Verdict {
        if let Err(refusal) = check_new(&commit, self.commit_bytes_max) {
            return Box::pin(std::future::ready(Err(refusal)));
        }
        self.intake.append(commit)
    }

    fn append_then(&self, commit: NewCommit, answer: Answer) -> Option<Room> {
        if let Err(refusal) = check_new(&commit, self.commit_bytes_max) {
            answer(Err(refusal));
            return None;
        }
        self.intake.append_then(commit, answer)
    }

    fn load(&self, stream: StreamId, after: Version, limit: usize) -> Result<Vec<StoredCommit>, LogError> {
        self.view.load(stream, after, limit)
    }

    fn head(&self, stream: StreamId) -> Result<Version, LogError> {
        self.view.head(stream)
    }

    fn head_in_memory(&self, stream: StreamId) -> Option<Version> {
        self.view.head_in_memory(stream)
    }

    fn find_command(&self, stream: StreamId, command: CommandId) -> Result<Option<KnownCommand>, LogError> {
        self.view.find_command(stream, command)
    }

    fn read(
        &self,
        partition: Partition,
        after: Offset,
        limit: ReadLimit,
    ) -> Result<Vec<StoredCommit>, LogError> {
        self.reader.read(partition, after, limit)
    }

    fn partitions(&self) -> Vec<Partition> {
        self.reader.rows().iter().map(|row| row.partition).collect()
    }

    fn partition_of(&self, stream: StreamId) -> Partition {
        self.intake.partition_of(stream)
    }

    fn end(&self, partition: Partition) -> Result<Offset, LogError> {
        Ok(self.reader.end(partition))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.progress.changes()
    }

    fn stale(&self) -> Option<String> {
        self.freshness.stale()
    }

    fn show_reader(&self, reader: &str, reached: &[(Partition, Offset)]) {
        self.readers.note(reader, reached);
    }

    fn commit_bytes_max(&self) -> usize {
        self.commit_bytes_max
    }

    fn status(&self) -> LogStatus {
        let (behind, age) = (self.freshness.behind(), self.freshness.age());
        LogStatus { behind, age, ..self.progress.status() }
    }

    fn verify(&self) -> Result<VerifyReport, LogError> {
        self.reader.verify()
    }

    fn close(&self) {
        self.progress.stop(CLOSED);
        self.intake.close(CLOSED);
        self.closing.close();
        self.readers.close();
        // The tail ends first, the writer when it has written what the tail judged.
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic over there has already been reported by the panic hook, and its commits are in doubt.
            let _ = thread.join();
        }
        self.pending.abandon("the log was closed before the commit was judged");
        self.reader.close();
    }
}

impl Drop for Tailed {
    fn drop(&mut self) {
        self.close();
    }
}

/// The tail's thread: until the log is closed and nothing is pending, or the copy must stop.
fn run(mut tail: Tail, republish_after: Duration, close_wait: Duration) {
    let _unwinding = tail.stop_on_panic();
    let poll_wait = POLL_WAIT.min(republish_after);
    let mut looked_for_silent = Instant::now();
    let mut closing: Option<Instant> = None;
    loop {
        match tail.turn(poll_wait) {
            Ok(turn) if turn.resting => std::thread::sleep(REST),
            Ok(_) => {}
            Err(error) => return tail.stop(&error),
        }
        if looked_for_silent.elapsed() >= republish_after / 2 {
            looked_for_silent = Instant::now();
            tail.republish_silent(republish_after);
        }
        if tail.is_closed() {
            let since = *closing.get_or_insert_with(Instant::now);
            if tail.is_settled() || since.elapsed() >= close_wait {
                return tail.finish();
            }
        }
    }
}
