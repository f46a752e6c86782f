//! How an engine is and how far it came, seen from outside.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::LogStatus;

/// Why a log that was closed takes no commits.
pub(super) const CLOSED: &str = "the log is closed";

/// Counters, the reason of a stop, and the bell that tells readers of new commits.
pub(super) struct Progress {
    stopped: Mutex<Option<String>>,
    commits: AtomicU64,
    events: AtomicU64,
    conflicts: AtomicU64,
    voids: AtomicU64,
    away: Mutex<Option<String>>,
    changes: watch::Sender<u64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            stopped: Mutex::default(),
            commits: AtomicU64::new(0),
            events: AtomicU64::new(0),
            conflicts: AtomicU64::new(0),
            voids: AtomicU64::new(0),
            away: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl Progress {
    /// A commit of `events` events became part of history.
    pub(super) fn committed(&self, events: u32) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(u64::from(events), Ordering::Relaxed);
    }

    /// An append was refused or voided.
    pub(super) fn conflicted(&self) {
        self.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    /// A record was judged void.
    pub(super) fn voided(&self) {
        self.voids.fetch_add(1, Ordering::Relaxed);
    }

    /// The upstream cannot be reached, for this reason; `None`: it can be.
    pub(super) fn set_away(&self, reason: Option<String>) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// No commit is taken any more; the first reason stands.
    pub(super) fn stop(&self, reason: &str) {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| reason.to_owned());
    }

    /// Wakes those who wait for commits.
    pub(super) fn ring(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// See [`super::EventLog::changes`].
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// See [`super::EventLog::status`].
    pub(super) fn status(&self) -> LogStatus {
        LogStatus {
            stopped: self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            commits: self.commits.load(Ordering::Relaxed),
            events: self.events.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
            voids: self.voids.load(Ordering::Relaxed),
            away: self.away.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            age: Some(Duration::ZERO),
            behind: 0,
        }
    }
}
