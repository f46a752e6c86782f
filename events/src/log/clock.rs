//! Monotonic time: the machine's, or one that a simulation moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What time it is, for those who measure how long something lasts.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    simulated: Option<Arc<Simulated>>,
}

#[derive(Debug)]
struct Simulated {
    start: Instant,
    passed_micros: AtomicU64,
}

impl Clock {
    /// A clock that stands still until it is moved.
    #[cfg(feature = "simulation")]
    pub(super) fn simulated() -> Self {
        let simulated = Simulated { start: Instant::now(), passed_micros: AtomicU64::new(0) };
        Self { simulated: Some(Arc::new(simulated)) }
    }

    pub(super) fn now(&self) -> Instant {
        self.simulated.as_ref().map_or_else(Instant::now, |simulated| {
            simulated.start + Duration::from_micros(simulated.passed_micros.load(Ordering::Relaxed))
        })
    }

    /// Moves a simulated clock.
    #[cfg(feature = "simulation")]
    pub(super) fn advance(&self, by: Duration) {
        if let Some(simulated) = &self.simulated {
            let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
            simulated.passed_micros.fetch_add(micros, Ordering::Relaxed);
        }
    }
}
