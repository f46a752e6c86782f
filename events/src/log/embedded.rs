//! The embedded engine: this process alone orders the commits, and the copy is the log.
//!
//! One writer thread gathers what waits, judges it in order, writes one transaction, syncs, answers. Nothing is
//! acknowledged before it is synced. The first failure of the file ends the writer for good: its batch is in doubt, later
//! appends are unavailable, reads go on; whoever opens the files next finds out what became durable.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use tokio::sync::watch;

use super::{
    AppendError, Appended, EventLog, KnownCommand, LogError, LogOptions, LogStatus, ReadLimit, StoredCommit,
    Verdict, VerifyReport,
    copy::{self, Candidate, Checkpointer, CopyPlan, CopyReader, CopyWriter, Durability, Outcome},
    judge::spans,
    progress::{CLOSED, Progress},
    queue::{Queue, Waiting},
};
use crate::{
    envelope::{NewCommit, parse_body},
    ids::CommandId,
    stream::{LogId, Offset, Partition, Service, StreamId, Version},
};

/// The port over a copy that nobody else writes.
pub(super) struct Embedded {
    reader: Arc<CopyReader>,
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    writer: Mutex<Option<JoinHandle<()>>>,
    commit_bytes_max: usize,
    read_only: bool,
}

impl Embedded {
    /// Opens the log in `folder`, making it when there is none.
    pub(super) fn open(folder: &Path, options: &LogOptions) -> Result<Self, LogError> {
        let (queue, progress) = (Queue::new(options.queue_bytes_max), Arc::new(Progress::default()));
        if options.read_only {
            let reader = copy::open_read_only(folder, options)?;
            queue.close("the log was opened for reading only");
            let writer = Mutex::new(None);
            let commit_bytes_max = options.commit_bytes_max;
            return Ok(Self { reader, queue, progress, writer, commit_bytes_max, read_only: true });
        }
        let partitions =
            Service::ALL.iter().map(|service| Partition { service: *service, number: 0 }).collect();
        let plan = CopyPlan { log: None, partitions, durability: Durability::Full };
        let mut copy = copy::open(folder, options, &plan)?;
        let reader = Arc::clone(copy.reader());
        let checkpointer = Checkpointer::start(folder, &mut copy, options.wal_bytes_max)?;
        let writer = Writer {
            copy,
            checkpointer,
            queue: Arc::clone(&queue),
            progress: Arc::clone(&progress),
            batch_commits_max: options.batch_commits_max,
            batch_bytes_max: options.batch_bytes_max,
        };
        let thread = std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || writer.run())
            .map_err(|e| LogError::File(format!("no thread for the writer: {e}")))?;
        Ok(Self {
            reader,
            queue,
            progress,
            writer: Mutex::new(Some(thread)),
            commit_bytes_max: options.commit_bytes_max,
            read_only: false,
        })
    }
}

impl EventLog for Embedded {
    fn id(&self) -> LogId {
        self.reader.log()
    }

    fn append(&self, commit: NewCommit) -> Verdict {
        if let Err(refusal) = check_new(&commit, self.commit_bytes_max) {
            return Box::pin(std::future::ready(Err(refusal)));
        }
        let partition = Partition { service: commit.stream.category.service(), number: 0 };
        match self.reader.index_of(partition) {
            Some(index) => self.queue.append(commit, index),
            None => {
                let reason = format!("this copy does not hold the partition {partition}");
                Box::pin(std::future::ready(Err(AppendError::Unavailable(reason))))
            }
        }
    }

    fn load(&self, stream: StreamId, after: Version, limit: usize) -> Result<Vec<StoredCommit>, LogError> {
        self.reader.load(stream, after, limit)
    }

    fn head(&self, stream: StreamId) -> Result<Version, LogError> {
        self.reader.head(stream)
    }

    fn head_in_memory(&self, stream: StreamId) -> Option<Version> {
        self.reader.head_in_memory(stream)
    }

    fn find_command(&self, stream: StreamId, command: CommandId) -> Result<Option<KnownCommand>, LogError> {
        self.reader.find_command(stream, command)
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

    fn end(&self, partition: Partition) -> Result<Offset, LogError> {
        if self.read_only { self.reader.end_in_file(partition) } else { Ok(self.reader.end(partition)) }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.progress.changes()
    }

    fn commit_bytes_max(&self) -> usize {
        self.commit_bytes_max
    }

    fn status(&self) -> LogStatus {
        self.progress.status()
    }

    fn verify(&self) -> Result<VerifyReport, LogError> {
        self.reader.verify()
    }

    fn close(&self) {
        self.progress.stop(CLOSED);
        self.queue.close(CLOSED);
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic over there has already been reported by the panic hook, and its commits are in doubt.
            let _ = thread.join();
        }
        self.reader.close();
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

/// Refuses what is too large or contradicts itself before it is sent anywhere.
pub(super) fn check_new(commit: &NewCommit, commit_bytes_max: usize) -> Result<(), AppendError> {
    let bytes = commit.body.len();
    if bytes > commit_bytes_max {
        return Err(AppendError::TooLarge { bytes, limit: commit_bytes_max });
    }
    let end = commit.first_version.checked_add(u64::from(commit.count));
    let (mut next, mut seen) = (Some(commit.first_version), HashSet::new());
    for span in &commit.commands {
        let follows = span.count > 0 && next == Some(span.first_version) && seen.insert(span.command_id);
        next = span.first_version.checked_add(u64::from(span.count)).filter(|_| follows);
    }
    let fits = end.is_some_and(|end| i64::try_from(end).is_ok());
    if commit.first_version == 0 || commit.count == 0 || !fits || next != end {
        return Err(AppendError::Unavailable(
            "the commit contradicts itself: its commands do not cover it once".into(),
        ));
    }
    debug_assert!(is_what_its_body_says(commit), "the body of {} says something else", commit.id);
    Ok(())
}

/// Whoever reads a commit, another process or this one after a crash, takes what it is from its body: that must be what it was
/// appended as.
fn is_what_its_body_says(commit: &NewCommit) -> bool {
    parse_body(&commit.body).is_ok_and(|events| {
        let first = events.first().map(|first| (first.subject, first.streamversion, first.commitid));
        first == Some((commit.stream, commit.first_version, commit.id))
            && events.len() == commit.count as usize
            && spans(&events) == commit.commands
    })
}

/// What the writer thread owns.
struct Writer {
    copy: CopyWriter,
    checkpointer: Checkpointer,
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    batch_commits_max: usize,
    batch_bytes_max: usize,
}

impl Writer {
    fn run(mut self) {
        let _unwinding = StopOnPanic { queue: Arc::clone(&self.queue), progress: Arc::clone(&self.progress) };
        while let Some(batch) = self.queue.take(self.batch_commits_max, self.batch_bytes_max) {
            match self.write(&batch) {
                Ok(outcomes) => self.settle(batch, &outcomes),
                Err(error) => return self.stop(&error, batch),
            }
            if let Err(error) = self.checkpointer.between_batches(&mut self.copy) {
                return self.stop(&error, Vec::new());
            }
        }
        if let Err(error) = self.checkpointer.finish(&mut self.copy) {
            tracing::error!(%error, "the log was closed without a last checkpoint");
        }
    }

    /// One transaction: durable when this returns well.
    fn write(&mut self, batch: &[Waiting]) -> Result<Vec<Outcome>, LogError> {
        self.copy.begin()?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for Waiting { commit, partition, body_checksum, .. } in batch {
            let offset = self.copy.next_offset(*partition);
            let candidate = Candidate {
                stream: commit.stream,
                first_version: commit.first_version,
                count: commit.count,
                commands: &commit.commands,
                body: &commit.body,
                body_checksum: *body_checksum,
            };
            outcomes.push(self.copy.add(*partition, offset, &candidate)?);
        }
        self.copy.commit()?;
        Ok(outcomes)
    }

    fn settle(&self, batch: Vec<Waiting>, outcomes: &[Outcome]) {
        let mut added = false;
        for (waiting, outcome) in batch.into_iter().zip(outcomes) {
            match *outcome {
                Outcome::Added(position) => {
                    added = true;
                    self.progress.committed(waiting.commit.count);
                    waiting.answer(Ok(Appended { position }));
                }
                Outcome::Refused(_, head) => {
                    self.progress.conflicted();
                    waiting.answer(Err(AppendError::Conflict { head }));
                }
            }
        }
        if added {
            self.progress.ring();
        }
    }

    /// Ends the writer for good. The files are left as they are: nothing is synced or copied again.
    fn stop(self, error: &LogError, batch: Vec<Waiting>) {
        let reason = format!("the writer stopped: {error}");
        tracing::error!(%error, in_doubt = batch.len(), "the log takes no commits any more");
        self.progress.stop(&reason);
        self.queue.close(&reason);
        for waiting in batch {
            waiting.answer(Err(AppendError::InDoubt(reason.clone())));
        }
        self.queue.refuse_all(&reason);
    }
}

/// A writer that panics must not leave others waiting for it.
struct StopOnPanic {
    queue: Arc<Queue>,
    progress: Arc<Progress>,
}

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "the writer stopped: it panicked";
            self.progress.stop(reason);
            self.queue.refuse_all(reason);
        }
    }
}
