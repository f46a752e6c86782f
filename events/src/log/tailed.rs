//! An engine over an upstream: many processes publish, every copy judges what it reads there, all come to the same history.
//!
//! An append publishes its commit and is answered when this process, tailing the upstream, has reached that record, judged it
//! and written it to its copy. Nothing else is trusted: no delivery report settles anything. A commit whose delivery is
//! said to have failed, or of which nothing was heard for long, is published again as it is; when both arrive, the second is
//! void. A commit whose stream was passed by another can only become void, and is a conflict at once.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::{
    AppendError, EventLog, KnownCommand, LogError, LogOptions, LogStatus, ReadLimit, StoredCommit, Verdict,
    VerifyReport,
    copy::{self, CopyPlan, CopyReader, Durability},
    embedded::check_new,
    pending::{Answer, PendingAppends},
    progress::{CLOSED, Progress},
    queue::{ROOM_UNIT_BYTES, room_units, settle},
    tail::Tail,
    upstream::Upstream,
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

/// The port over an upstream and a copy of it.
pub(super) struct Tailed {
    intake: Arc<Intake>,
    thread: Mutex<Option<JoinHandle<()>>>,
    commit_bytes_max: usize,
}

/// What an append needs on its way out, whenever it is polled.
struct Intake {
    reader: Arc<CopyReader>,
    upstream: Arc<dyn Upstream>,
    pending: Arc<PendingAppends>,
    progress: Arc<Progress>,
    /// Bounds what is pending.
    room: Arc<Semaphore>,
    room_max: u32,
}

impl Tailed {
    /// Opens the copy in `folder` and a tail that somebody has to drive.
    pub(super) fn prepare(
        folder: &Path,
        options: &LogOptions,
        upstream: Arc<dyn Upstream>,
    ) -> Result<(Self, Tail), LogError> {
        let plan = CopyPlan {
            log: Some(upstream.log()),
            partitions: upstream.partitions(),
            durability: Durability::Refillable,
        };
        let copy = copy::open(folder, options, &plan)?;
        let reader = Arc::clone(copy.reader());
        let (pending, progress) = (Arc::new(PendingAppends::default()), Arc::new(Progress::default()));
        let tail = Tail::new(
            folder,
            options,
            copy,
            Arc::clone(&upstream),
            Arc::clone(&pending),
            Arc::clone(&progress),
        )?;
        let room_max = room_units(options.queue_bytes_max, Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(room_max as usize));
        let intake = Arc::new(Intake { reader, upstream, pending, progress, room, room_max });
        let engine = Self { intake, thread: Mutex::new(None), commit_bytes_max: options.commit_bytes_max };
        Ok((engine, tail))
    }

    /// Opens the copy in `folder` and tails the upstream on a thread.
    pub(super) fn open(
        folder: &Path,
        options: &LogOptions,
        upstream: Arc<dyn Upstream>,
    ) -> Result<Self, LogError> {
        let (engine, tail) = Self::prepare(folder, options, upstream)?;
        let limits = (options.republish_after, options.close_wait);
        let thread = std::thread::Builder::new()
            .name("log-tail".into())
            .spawn(move || run(tail, limits.0, limits.1))
            .map_err(|e| LogError::File(format!("no thread for the tail: {e}")))?;
        *engine.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(engine)
    }
}

impl Intake {
    /// Publishes a commit for which there is room.
    fn publish(&self, commit: NewCommit, answer: Answer, room: OwnedSemaphorePermit) {
        let (id, stream, first_version) = (commit.id, commit.stream, commit.first_version);
        let partition = self.upstream.partition_of(stream);
        // First noted, then compared: a head that moves in between is seen here, or finds the note there. Only what was
        // compared is published, by whomever.
        if !self.pending.enter(commit, partition, answer, room) {
            return;
        }
        match self.reader.head(stream) {
            Ok(head) if head + 1 == first_version => {
                if let Some((partition, record, id)) = self.pending.publication(id) {
                    self.upstream.publish(partition, record, id);
                }
            }
            // What is ahead of the head must never be published: a gap stops every copy.
            Ok(head) => {
                if self.pending.settle(id, &Err(AppendError::Conflict { head })) {
                    self.progress.conflicted();
                }
            }
            Err(error) => {
                self.pending.settle(id, &Err(AppendError::Unavailable(error.to_string())));
            }
        }
    }
}

impl EventLog for Tailed {
    fn id(&self) -> LogId {
        self.intake.reader.log()
    }

    fn append(&self, commit: NewCommit) -> Verdict {
        if let Err(refusal) = check_new(&commit, self.commit_bytes_max) {
            return Box::pin(std::future::ready(Err(refusal)));
        }
        let units = room_units(commit.body.len() + ROOM_UNIT_BYTES, self.intake.room_max as usize);
        let (answer, verdict) = oneshot::channel();
        let intake = Arc::clone(&self.intake);
        match Arc::clone(&intake.room).try_acquire_many_owned(units) {
            Ok(room) => {
                intake.publish(commit, answer, room);
                Box::pin(async move { settle(verdict.await) })
            }
            // Full or closed: which of the two, the future finds out.
            Err(_) => Box::pin(async move {
                match Arc::clone(&intake.room).acquire_many_owned(units).await {
                    Ok(room) => intake.publish(commit, answer, room),
                    Err(_) => return Err(intake.pending.unavailable()),
                }
                settle(verdict.await)
            }),
        }
    }

    fn load(&self, stream: StreamId, after: Version, limit: usize) -> Result<Vec<StoredCommit>, LogError> {
        self.intake.reader.load(stream, after, limit)
    }

    fn head(&self, stream: StreamId) -> Result<Version, LogError> {
        self.intake.reader.head(stream)
    }

    fn head_in_memory(&self, stream: StreamId) -> Option<Version> {
        self.intake.reader.head_in_memory(stream)
    }

    fn find_command(&self, stream: StreamId, command: CommandId) -> Result<Option<KnownCommand>, LogError> {
        self.intake.reader.find_command(stream, command)
    }

    fn read(
        &self,
        partition: Partition,
        after: Offset,
        limit: ReadLimit,
    ) -> Result<Vec<StoredCommit>, LogError> {
        self.intake.reader.read(partition, after, limit)
    }

    fn partitions(&self) -> Vec<Partition> {
        self.intake.reader.rows().iter().map(|row| row.partition).collect()
    }

    fn end(&self, partition: Partition) -> Result<Offset, LogError> {
        Ok(self.intake.reader.end(partition))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.intake.progress.changes()
    }

    fn commit_bytes_max(&self) -> usize {
        self.commit_bytes_max
    }

    fn status(&self) -> LogStatus {
        self.intake.progress.status()
    }

    fn verify(&self) -> Result<VerifyReport, LogError> {
        self.intake.reader.verify()
    }

    fn close(&self) {
        self.intake.progress.stop(CLOSED);
        self.intake.pending.close(CLOSED);
        self.intake.room.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic over there has already been reported by the panic hook, and its commits are in doubt.
            let _ = thread.join();
        }
        self.intake.pending.abandon("the log was closed before the commit was judged");
        self.intake.reader.close();
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
