//! Commits on their way out. What a delivery report says settles nothing: a failure only means that the commit is sent again.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer},
};

use super::{record, topics::Topics};
use crate::{
    ids::CommitId,
    kafka::{ClusterError, client_error, log_error, log_line},
    log::upstream::Record,
    stream::{LogId, Partition},
};

/// Sends commits, and knows which of them it still has.
pub(super) struct Producer {
    config: ClientConfig,
    log: LogId,
    topics: Arc<Topics>,
    client: Mutex<Arc<Client>>,
    book: Arc<Book>,
}

type Client = ThreadedProducer<Deliveries>;

/// A producer that must not be used any more. Dropping it blocks.
pub(super) struct Retired {
    _client: Arc<Client>,
}

/// What was sent and not answered, and what is said to have failed.
#[derive(Default)]
struct Book {
    state: Mutex<Deliverable>,
    /// The client said that it cannot go on.
    fatal: AtomicBool,
}

#[derive(Default)]
struct Deliverable {
    /// Which client has them; what an older one says is of no interest.
    generation: u64,
    in_hand: HashMap<CommitId, Instant>,
    failed: Vec<CommitId>,
    /// What waits until the log may be written to.
    held: Option<HashMap<CommitId, (Partition, Record)>>,
}

/// Notes deliveries, on the client's own thread.
struct Deliveries {
    book: Arc<Book>,
}

impl Producer {
    /// Makes the client; it connects by itself. Until [`Self::release`] nothing is sent.
    pub(super) fn new(config: ClientConfig, log: LogId, topics: Arc<Topics>) -> Result<Self, ClusterError> {
        let held = Some(HashMap::new());
        let book = Arc::new(Book {
            state: Mutex::new(Deliverable { held, ..Deliverable::default() }),
            ..Book::default()
        });
        let client = Mutex::new(Arc::new(connect(&config, &book)?));
        Ok(Self { config, log, topics, client, book })
    }

    /// Sends a commit, unless the client still has it: it goes on trying by itself.
    pub(super) fn send(&self, partition: Partition, record: Record, commit: CommitId) {
        let generation = {
            let mut state = self.book.lock();
            if let Some(held) = &mut state.held {
                // Bounded like the commits that wait for their verdict, of which each is here once.
                held.insert(commit, (partition, record));
                return;
            }
            if state.in_hand.contains_key(&commit) {
                return;
            }
            state.in_hand.insert(commit, Instant::now());
            state.generation
        };
        let client = Arc::clone(&self.client.lock().unwrap_or_else(PoisonError::into_inner));
        let message =
            BaseRecord::with_opaque_to(self.topics.name(partition.service), Box::new((commit, generation)))
                .partition(i32::from(partition.number))
                .key(&record.key)
                .payload(&*record.body)
                .headers(record::headers(self.log, &record, commit));
        if let Err((error, _)) = client.send(message) {
            // A full queue among them: it is tried again, at the pace at which commits are said to have failed.
            tracing::debug!(%error, %commit, "a commit could not be sent");
            self.book.failed(commit, generation);
            self.book.note_fatal(&error);
        }
    }

    /// From now on commits are sent, first those that waited.
    pub(super) fn release(&self) {
        let held = self.book.lock().held.take();
        for (commit, (partition, record)) in held.into_iter().flatten() {
            self.send(partition, record, commit);
        }
    }

    /// From now on nothing is sent.
    pub(super) fn hold(&self) {
        self.book.lock().held.get_or_insert_default();
    }

    /// The commits whose delivery is said to have failed since the last call.
    pub(super) fn failed(&self) -> Vec<CommitId> {
        mem::take(&mut self.book.lock().failed)
    }

    /// Replaces the client when it cannot go on, or, where a patience is given, when a commit has been with it for that long. What it had is said to
    /// have failed, and so is sent again. The old client is to be dropped where that may block.
    pub(super) fn renew_if_stuck(&self, patience: Option<Duration>) -> Option<Retired> {
        let fatal = self.book.fatal.load(Ordering::Acquire);
        let stuck = patience.is_some_and(|patience| {
            self.book.lock().in_hand.values().any(|since| since.elapsed() >= patience)
        });
        if !fatal && !stuck {
            return None;
        }
        let fresh = match connect(&self.config, &self.book) {
            Ok(fresh) => fresh,
            Err(error) => {
                tracing::error!(%error, "a new producer cannot be made");
                return None;
            }
        };
        tracing::warn!(fatal, "the producer does not go on; a new one takes its place and sends what it had");
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.book.lock();
        self.book.fatal.store(false, Ordering::Release);
        state.generation += 1;
        let lost: Vec<CommitId> = state.in_hand.drain().map(|(commit, _)| commit).collect();
        state.failed.extend(lost);
        drop(state);
        Some(Retired { _client: mem::replace(&mut *client, Arc::new(fresh)) })
    }
}

fn connect(config: &ClientConfig, book: &Arc<Book>) -> Result<Client, ClusterError> {
    config.create_with_context(Deliveries { book: Arc::clone(book) }).map_err(client_error)
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Deliverable> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, commit: CommitId, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation && state.in_hand.remove(&commit).is_some() {
            state.failed.push(commit);
        }
    }

    fn delivered(&self, commit: CommitId, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation {
            state.in_hand.remove(&commit);
        }
    }

    fn note_fatal(&self, error: &KafkaError) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.fatal.store(true, Ordering::Release);
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.book.note_fatal(&error);
        log_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<(CommitId, u64)>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Self::DeliveryOpaque) {
        let (commit, generation) = *sent;
        match result {
            Ok(_) => self.book.delivered(commit, generation),
            Err((error, _)) => {
                tracing::debug!(%error, %commit, "a delivery is said to have failed");
                self.book.note_fatal(error);
                self.book.failed(commit, generation);
            }
        }
    }
}
