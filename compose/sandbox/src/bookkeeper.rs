//! The bookkeeper: one thread that owns the books, takes what waits together, saves once, and then answers.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};

use tokio::sync::{Notify, oneshot};

use crate::{books::Books, journal::Journal, time::Time};

/// Requests that are saved together.
const BATCH_MAX: usize = 128;
/// Without requests the bookkeeper looks at least so often for what is due.
const NAP_MS_MAX: u64 = 1000;

/// Sends the answer, once what it says is saved.
type Answer = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(&mut Books) -> Answer + Send>;

/// The books cannot answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error("too many requests wait for the books")]
    Overloaded,
    #[error("the books are closed")]
    Closed,
}

/// A handle to the thread. It ends when the last handle is gone, or when the books cannot be saved.
#[derive(Clone, Debug)]
pub(crate) struct Bookkeeper {
    jobs: SyncSender<Job>,
    news: Arc<Notify>,
}

impl Bookkeeper {
    /// The receiver ends when the books are closed.
    pub(crate) fn start(
        books: Books,
        journal: Option<Journal>,
        queue_max: usize,
    ) -> std::io::Result<(Self, oneshot::Receiver<()>)> {
        let (jobs, queue) = sync_channel(queue_max);
        let news = Arc::new(Notify::new());
        let desk = Desk { books, journal, queue, news: Arc::clone(&news) };
        let (closing, closed) = oneshot::channel();
        std::thread::Builder::new().name("sandbox-books".into()).spawn(move || {
            desk.work();
            drop(closing);
        })?;
        Ok((Self { jobs, news }, closed))
    }

    /// Does `work` on the books and answers when what it changed is saved.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Books) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (sender, answer) = oneshot::channel();
        let job: Job = Box::new(move |books| {
            let answer = work(books);
            // Whoever asked may have gone away.
            Box::new(move || drop(sender.send(answer)))
        });
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Unavailable::Overloaded,
            TrySendError::Disconnected(_) => Unavailable::Closed,
        })?;
        answer.await.map_err(|_| Unavailable::Closed)
    }

    /// Ends when events wait for delivery; a notice is not lost when nobody waits for it yet.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }
}

struct Desk {
    books: Books,
    journal: Option<Journal>,
    queue: Receiver<Job>,
    news: Arc<Notify>,
}

impl Desk {
    fn work(mut self) {
        if self.books.events().any_waiting() {
            self.news.notify_one();
        }
        loop {
            let nap_ms = self.books.due_in_ms().unwrap_or(NAP_MS_MAX).min(NAP_MS_MAX);
            let mut jobs = Vec::new();
            match self.queue.recv_timeout(Duration::from_millis(nap_ms)) {
                Ok(job) => jobs.push(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            jobs.extend(self.queue.try_iter().take(BATCH_MAX - 1));
            self.books.tick(Time::of_the_machine());
            let answers: Vec<Answer> = jobs.into_iter().map(|job| job(&mut self.books)).collect();
            if let Err(error) = self.save() {
                // Answers are dropped, so nobody is told what was not saved; the process must be started again.
                tracing::error!(%error, "the books cannot be saved; they are closed");
                return;
            }
            for answer in answers {
                answer();
            }
            if self.books.events().any_waiting() {
                self.news.notify_one();
            }
        }
    }

    fn save(&mut self) -> std::io::Result<()> {
        let records = self.books.take_unsaved();
        if let Some(journal) = &mut self.journal {
            journal.save(&records)?;
            self.books.saved_bytes = journal.bytes;
        }
        Ok(())
    }
}
