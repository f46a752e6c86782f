//! Who touches the file: one thread that writes, one that copies the write-ahead log back ([`super::wal`]), a bounded pool that
//! reads.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    Failure, file,
    wal::Wal,
    write::{self, Placed},
};
use crate::{StoreError, options::StoreOptions};

/// Writes that may wait.
const QUEUE: usize = 64;

/// Batches that share a transaction, at most.
const TOGETHER_MAX: usize = 32;

enum Job {
    /// Something that has transactions of its own.
    Work(Box<dyn FnOnce(&mut Connection) + Send>),
    /// A batch that may share one with others.
    Batch(Box<Placed>, oneshot::Sender<Result<(), StoreError>>),
}

/// The thread with the one connection that writes.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let mut connection = file::open_writer(path, options.writer_cache_kib)?;
        let wal = Wal::watch(path, &mut connection, options.wal_bytes)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = spawn("read-store-writer", move || write(connection, queue, wal))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `work` on the writer's connection.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work = Job::Work(Box::new(move |connection| {
            // Nobody listening any more is no reason to undo what was written.
            let _ = answer.send(work(connection));
        }));
        self.send(work).await?;
        Ok(answered.await.map_err(|_| gone())??)
    }

    /// Carries out a batch, all of it or nothing.
    pub(super) async fn commit(&self, batch: Placed) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Batch(Box::new(batch), answer)).await?;
        answered.await.map_err(|_| gone())?
    }

    async fn send(&self, job: Job) -> Result<(), StoreError> {
        self.jobs.as_ref().ok_or_else(gone)?.send(job).await.map_err(|_| gone())
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the writer has stopped".into())
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

fn write(mut connection: Connection, mut queue: mpsc::Receiver<Job>, mut wal: Wal) {
    let mut next = None;
    while let Some(job) = next.take().or_else(|| queue.blocking_recv()) {
        match job {
            Job::Work(work) => work(&mut connection),
            Job::Batch(first, answer) => {
                let (mut batches, mut answers) = (vec![*first], vec![answer]);
                while batches.len() < TOGETHER_MAX && next.is_none() {
                    match queue.try_recv() {
                        Ok(Job::Batch(batch, answer)) => {
                            batches.push(*batch);
                            answers.push(answer);
                        }
                        Ok(work) => next = Some(work),
                        Err(_) => break,
                    }
                }
                for (answer, verdict) in answers.into_iter().zip(write::commit(&mut connection, &batches)) {
                    let _ = answer.send(verdict);
                }
            }
        }
        wal.look(&connection);
    }
}

pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|e| StoreError::Unavailable(format!("no thread: {e}")))
}

/// Connections that read, each used by one query at a time.
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    free: Semaphore,
}

impl Readers {
    pub(super) fn start(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let count = options.readers.max(1);
        let connections: Result<Vec<Connection>, Failure> =
            (0..count).map(|_| file::open_reader(path, options.reader_cache_kib)).collect();
        Ok(Self { idle: Arc::new(Mutex::new(connections?)), free: Semaphore::new(count) })
    }

    /// Runs `work` on a reader's connection, in one read transaction, on a thread that may block.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = |reason: &str| StoreError::Unavailable(reason.to_owned());
        let permit = self.free.acquire().await.map_err(|_| gone("the readers have stopped"))?;
        let idle = Arc::clone(&self.idle);
        let done = tokio::task::spawn_blocking(move || {
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = taken.expect("there are as many connections as permits");
            let result = read(&mut connection, work);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        });
        let result = done.await.map_err(|_| gone("a query ended early"));
        drop(permit);
        Ok(result??)
    }
}

fn read<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let transaction = connection.transaction()?;
    let result = work(&transaction)?;
    transaction.commit()?;
    Ok(result)
}
