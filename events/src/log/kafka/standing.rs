//! How the log stands with its cluster: to be checked, open, away for now, refused for good. Shared by tail and watch.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::stream::{Offset, Partition};

/// What may be done now, and what was seen.
pub(super) struct Standing {
    state: Mutex<State>,
    /// Rung when the watch should look.
    wake: Condvar,
}

struct State {
    access: Access,
    /// Why no broker can be reached.
    away: Option<String>,
    sight: Sight,
    /// The tail's place in a partition does not exist any more.
    truncated: bool,
    /// The watch is to look at once.
    wanted: bool,
    stopped: bool,
}

/// Whether records may be read and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Not before the topics were checked; why they were not yet.
    Unchecked(String),
    /// Yes.
    Open,
    /// Never again.
    Refused(String),
}

/// What the tail was seen to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    /// How far each partition was judged.
    pub(super) judged: Vec<(Partition, Offset)>,
    /// Polls that brought nothing, since the start.
    pub(super) empty_polls: u64,
    /// When the poll under way began.
    pub(super) polling_since: Option<Instant>,
}

/// What the watch is to do.
#[derive(Clone, Debug)]
pub(super) struct Duty {
    pub(super) access: Access,
    pub(super) away: bool,
    pub(super) truncated: bool,
    pub(super) sight: Sight,
}

impl Standing {
    /// Checked already, or to be checked since Kafka is `away`.
    pub(super) fn new(judged: Vec<(Partition, Offset)>, away: Option<String>) -> Self {
        let access = away.clone().map_or(Access::Open, Access::Unchecked);
        let sight = Sight { judged, ..Sight::default() };
        let state = State { access, away, sight, truncated: false, wanted: false, stopped: false };
        Self { state: Mutex::new(state), wake: Condvar::new() }
    }

    /// Whether records may be read; why not, else.
    pub(super) fn open(&self) -> Result<(), String> {
        self.lock().open()
    }

    /// A poll begins behind these places. Why it must not, else.
    pub(super) fn enter_poll(&self, after: &[(Partition, Offset)]) -> Result<(), String> {
        let mut state = self.lock();
        state.open()?;
        if state.sight.judged != after {
            state.sight.judged.clear();
            state.sight.judged.extend_from_slice(after);
        }
        state.sight.polling_since = Some(Instant::now());
        Ok(())
    }

    /// A poll came back, with records or without. Gives why Kafka is away, when it still is.
    pub(super) fn leave_poll(&self, brought: bool) -> Option<String> {
        let mut state = self.lock();
        state.sight.polling_since = None;
        if brought {
            // The best sign of life there is.
            if state.away.take().is_some() {
                state.wanted = true;
                self.wake.notify_one();
            }
            return None;
        }
        state.sight.empty_polls += 1;
        state.away.clone()
    }

    /// No broker can be reached.
    pub(super) fn set_away(&self, reason: &str) {
        let mut state = self.lock();
        state.sight.polling_since = None;
        if state.away.is_none() {
            tracing::warn!(reason, "Kafka is away: commits wait, reads go on");
            state.away = Some(reason.to_owned());
            state.wanted = true;
            self.wake.notify_one();
        }
    }

    /// A broker answers.
    pub(super) fn set_reached(&self) {
        if self.lock().away.take().is_some() {
            tracing::info!("Kafka is back");
        }
    }

    /// Nothing may be read or sent before the topics were checked again; never, where a partition was `truncated`.
    pub(super) fn doubt(&self, reason: &str, truncated: bool) {
        let mut state = self.lock();
        state.truncated |= truncated;
        state.sight.polling_since = None;
        if state.access == Access::Open {
            state.access = Access::Unchecked(reason.to_owned());
        }
        state.wanted = true;
        self.wake.notify_one();
    }

    /// The topics were checked.
    pub(super) fn allow(&self) {
        let mut state = self.lock();
        if matches!(state.access, Access::Unchecked(_)) {
            state.access = Access::Open;
        }
    }

    /// The topics could not be checked yet.
    pub(super) fn not_yet(&self, reason: &str) {
        let mut state = self.lock();
        if matches!(state.access, Access::Unchecked(_)) {
            state.access = Access::Unchecked(reason.to_owned());
        }
    }

    /// The log must not be followed any more; the first reason stands.
    pub(super) fn refuse(&self, reason: String) {
        let mut state = self.lock();
        if !matches!(state.access, Access::Refused(_)) {
            state.access = Access::Refused(reason);
        }
    }

    /// See [`crate::log::upstream::Upstream::refused`].
    pub(super) fn refused(&self) -> Option<String> {
        match &self.lock().access {
            Access::Refused(reason) => Some(reason.clone()),
            Access::Unchecked(_) | Access::Open => None,
        }
    }

    /// Ends the watch.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.wake.notify_one();
    }

    /// Waits until the watch is wanted, at most for `rest`; `None` when it is to end.
    pub(super) fn wait(&self, rest: Duration) -> Option<Duty> {
        let deadline = Instant::now() + rest;
        let mut state = self.lock();
        while !state.wanted && !state.stopped {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.wanted = false;
        let duty = Duty {
            access: state.access.clone(),
            away: state.away.is_some(),
            truncated: state.truncated,
            sight: state.sight.clone(),
        };
        (!state.stopped).then_some(duty)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&self) -> Result<(), String> {
        match &self.access {
            Access::Open => Ok(()),
            Access::Unchecked(reason) => Err(reason.clone()),
            Access::Refused(reason) => Err(reason.clone()),
        }
    }
}
