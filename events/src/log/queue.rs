//! The bounded queue between those who append and the one thread that writes.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{AppendError, Appended, Verdict, copy::body_checksum};
use crate::envelope::NewCommit;

/// Room in the queue is counted in units of this many bytes, at least one a commit.
pub(super) const ROOM_UNIT_BYTES: usize = 1024;

/// A commit that waits for its verdict.
pub(super) struct Waiting {
    /// What is to be appended.
    pub(super) commit: NewCommit,
    /// The index of its partition.
    pub(super) partition: usize,
    /// Taken by the caller, so that the writer need not.
    pub(super) body_checksum: u32,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
    _room: OwnedSemaphorePermit,
}

impl Waiting {
    /// Gives the verdict. Nobody may be listening any more; that takes nothing back.
    pub(super) fn answer(self, verdict: Result<Appended, AppendError>) {
        let _ = self.answer.send(verdict);
    }
}

/// First come, first written; whoever finds it full waits for room without blocking a thread.
pub(super) struct Queue {
    room: Arc<Semaphore>,
    room_max: u32,
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Why nothing is taken any more.
    closed: Option<String>,
}

impl Queue {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        let room_max = room_units(bytes_max, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            room: Arc::new(Semaphore::new(room_max as usize)),
            room_max,
            state: Mutex::default(),
            filled: Condvar::new(),
        })
    }

    /// Puts `commit` in, at once when there is room, and gives the future of its verdict.
    pub(super) fn append(self: &Arc<Self>, commit: NewCommit, partition: usize) -> Verdict {
        let body_checksum = body_checksum(&commit.body);
        let units = room_units(commit.body.len() + ROOM_UNIT_BYTES, self.room_max as usize);
        let (answer, verdict) = oneshot::channel();
        let enter = move |queue: &Self, room| {
            queue.push(Waiting { commit, partition, body_checksum, answer, _room: room });
        };
        match Arc::clone(&self.room).try_acquire_many_owned(units) {
            Ok(room) => {
                enter(self, room);
                Box::pin(async move { settle(verdict.await) })
            }
            // Full or closed: which of the two, the future finds out.
            Err(_) => {
                let queue = Arc::clone(self);
                Box::pin(async move {
                    match Arc::clone(&queue.room).acquire_many_owned(units).await {
                        Ok(room) => enter(&queue, room),
                        Err(_) => return Err(queue.unavailable()),
                    }
                    settle(verdict.await)
                })
            }
        }
    }

    fn push(&self, waiting: Waiting) {
        let mut state = self.lock();
        if let Some(reason) = &state.closed {
            let refusal = AppendError::Unavailable(reason.clone());
            drop(state);
            waiting.answer(Err(refusal));
            return;
        }
        state.waiting.push_back(waiting);
        drop(state);
        self.filled.notify_one();
    }

    /// What waits, at most `commits_max` and until `bytes_max` is crossed; blocks while nothing does. `None` when the queue
    /// is closed and empty.
    pub(super) fn take(&self, commits_max: usize, bytes_max: usize) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed.is_some() {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut count, mut bytes) = (0, 0);
        for waiting in state.waiting.iter().take(commits_max.max(1)) {
            if bytes > bytes_max {
                break;
            }
            count += 1;
            bytes += waiting.commit.body.len();
        }
        Some(state.waiting.drain(..count).collect())
    }

    /// Takes nothing more, for this reason (the first one stands); what is in stays in.
    pub(super) fn close(&self, reason: &str) {
        let mut state = self.lock();
        state.closed.get_or_insert_with(|| reason.to_owned());
        drop(state);
        self.room.close();
        self.filled.notify_all();
    }

    /// Takes nothing more and refuses what waits: none of it was appended.
    pub(super) fn refuse_all(&self, reason: &str) {
        self.close(reason);
        let waiting = std::mem::take(&mut self.lock().waiting);
        for waiting in waiting {
            waiting.answer(Err(AppendError::Unavailable(reason.to_owned())));
        }
    }

    fn unavailable(&self) -> AppendError {
        AppendError::Unavailable(self.lock().closed.clone().unwrap_or_else(|| "the queue is closed".into()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many bytes as units of room, at least 1 and at most `units_max`.
pub(super) fn room_units(bytes: usize, units_max: usize) -> u32 {
    u32::try_from((bytes / ROOM_UNIT_BYTES).min(units_max).max(1)).unwrap_or(u32::MAX)
}

/// A writer that went away without an answer leaves its commits in doubt.
pub(super) fn settle(
    answer: Result<Result<Appended, AppendError>, oneshot::error::RecvError>,
) -> Result<Appended, AppendError> {
    answer.unwrap_or_else(|_| Err(AppendError::InDoubt("the writer ended without an answer".into())))
}
