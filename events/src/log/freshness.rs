//! How far behind its upstream a copy is, and whether decisions may rest on it.
//!
//! The ends of the upstream's partitions are asked now and then. A copy that has judged everything up to the ends asked at
//! some moment holds all that was acknowledged, by any process, before that moment. Decisions may rest on such a copy for
//! [`STALE_AFTER`]; then the ends must have been reached again.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::upstream::{Away, Upstream};
use crate::stream::{Offset, Partition};

/// For how long decisions may rest on a copy after the moment up to which it is known to be whole.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(10);

/// What is known of the upstream's ends.
pub(super) struct Freshness {
    state: Mutex<State>,
}

struct State {
    /// The last judged offset of each partition.
    judged: Vec<(Partition, Offset)>,
    /// The ends as they were asked last.
    known: Vec<Offset>,
    /// Ends that were not reached yet, with when they were asked.
    awaited: Option<(Instant, Vec<Offset>)>,
    /// Everything that stood on the upstream then has been judged.
    whole_at: Option<Instant>,
}

impl Freshness {
    /// A copy that judged up to `source` and knows nothing of its upstream yet.
    pub(super) fn new(source: &[(Partition, Offset)]) -> Self {
        let known = source.iter().map(|(_, offset)| *offset).collect();
        Self { state: Mutex::new(State { judged: source.to_vec(), known, awaited: None, whole_at: None }) }
    }

    /// Asks the upstream for its ends, in the order of the copy's partitions.
    pub(super) fn ask(&self, upstream: &dyn Upstream) -> Result<Vec<Offset>, Away> {
        let at = Instant::now();
        let partitions: Vec<Partition> = self.lock().judged.iter().map(|(partition, _)| *partition).collect();
        let ends = upstream.ends(&partitions)?;
        let mut state = self.lock();
        state.known.clone_from(&ends);
        // Ends that move on while they are not reached must not be chased: those asked first are what counts.
        state.awaited.get_or_insert_with(|| (at, ends.clone()));
        state.compare();
        Ok(ends)
    }

    /// Notes how far the upstream was judged.
    pub(super) fn judged(&self, source: &[(Partition, Offset)]) {
        let mut state = self.lock();
        state.judged.copy_from_slice(source);
        state.compare();
    }

    /// See [`super::LogStatus::behind`]. Offsets have gaps: it is a bound from above.
    pub(super) fn behind(&self) -> u64 {
        let state = self.lock();
        let ends = state.judged.iter().zip(&state.known);
        ends.map(|((_, judged), end)| end.saturating_sub(*judged).max(0).unsigned_abs()).sum()
    }

    /// See [`super::LogStatus::age`].
    pub(super) fn age(&self) -> Option<Duration> {
        self.lock().whole_at.map(|since| since.elapsed())
    }

    /// See [`super::EventLog::stale`].
    pub(super) fn stale(&self) -> Option<String> {
        match self.age() {
            Some(age) if age < STALE_AFTER => None,
            Some(age) => {
                Some(format!("this copy of the log was last known to be whole {} s ago", age.as_secs()))
            }
            None => Some("this copy of the log has not caught up since it was opened".into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn compare(&mut self) {
        let Some((at, ends)) = &self.awaited else { return };
        if self.judged.iter().zip(ends).all(|((_, judged), end)| judged >= end) {
            self.whole_at = Some(*at);
            self.awaited = None;
        }
    }
}
