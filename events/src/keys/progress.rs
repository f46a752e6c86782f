//! How far the mirror has come, for those who wait for it and those who ask how it is.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{KeyError, KeyRingStatus, vault::lock};

/// What the mirror tells.
#[derive(Default)]
pub(super) struct Progress {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    status: KeyRingStatus,
    /// The place of the first record that is not in the file, erased keys of those before expunged.
    next: u64,
    /// Where the topic was last seen to end.
    end: u64,
    /// Whether the end of the topic was reached since the start.
    caught_up: bool,
    closing: bool,
    /// Changes with every word of the mirror's.
    words: u64,
}

impl Progress {
    pub(super) fn status(&self) -> KeyRingStatus {
        lock(&self.state).status.clone()
    }

    pub(super) fn next(&self) -> u64 {
        lock(&self.state).next
    }

    pub(super) fn is_caught_up(&self) -> bool {
        lock(&self.state).caught_up
    }

    /// The file holds everything before `next`; `end` is where the topic ends, when that was seen.
    pub(super) fn reached(&self, next: u64, end: Option<u64>) {
        self.say(|state| {
            state.next = next;
            state.status.stopped = None;
            if let Some(end) = end {
                state.end = end;
                state.caught_up |= end <= next;
                state.status.away = None;
            }
            state.status.behind = state.end.saturating_sub(next);
        });
    }

    /// The exchange cannot be reached.
    pub(super) fn away(&self, reason: &str) {
        if self.status().away.is_none() {
            tracing::warn!(reason, "the exchange of keys is away");
        }
        self.say(|state| state.status.away = Some(reason.to_owned()));
    }

    /// Nothing is taken from the topic until somebody changes something.
    pub(super) fn stopped(&self, reason: &str) {
        if self.status().stopped.as_deref() != Some(reason) {
            tracing::error!(reason, "keys of other nodes are not taken any more");
        }
        self.say(|state| state.status.stopped = Some(reason.to_owned()));
    }

    pub(super) fn close(&self) {
        self.say(|state| state.closing = true);
    }

    pub(super) fn is_closing(&self) -> bool {
        lock(&self.state).closing
    }

    /// Rests, unless the ring is closed meanwhile.
    pub(super) fn rest(&self, rest: Duration) {
        let deadline = Instant::now() + rest;
        let mut state = lock(&self.state);
        while !state.closing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until `done` gives something, asking it again whenever the mirror said anything.
    ///
    /// # Errors
    /// [`KeyError::Away`] at `deadline`, and when the mirror has stopped; what `done` fails with.
    pub(super) fn wait_until<T>(
        &self,
        deadline: Instant,
        mut done: impl FnMut() -> Result<Option<T>, KeyError>,
    ) -> Result<T, KeyError> {
        loop {
            let words = lock(&self.state).words;
            if let Some(value) = done()? {
                return Ok(value);
            }
            self.refuse_when_stopped()?;
            let mut state = lock(&self.state);
            while state.words == words {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(KeyError::Away("the topic did not show in time what was put on it".into()));
                }
                state = self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// # Errors
    /// [`KeyError::Away`] when the mirror has stopped or the ring is closing.
    pub(super) fn refuse_when_stopped(&self) -> Result<(), KeyError> {
        let state = lock(&self.state);
        match &state.status.stopped {
            Some(reason) => Err(KeyError::Away(reason.clone())),
            None if state.closing => Err(KeyError::Away("the ring is being closed".into())),
            None => Ok(()),
        }
    }

    fn say(&self, word: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        word(&mut state);
        state.words += 1;
        drop(state);
        self.moved.notify_all();
    }
}
