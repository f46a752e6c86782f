//! Pauses after failures that may pass by themselves: exponential, bounded, with jitter.

use std::time::Duration;

use crate::settings::WorkerSettings;

/// How long to wait before the next try.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first_ms: u64,
    max_ms: u64,
    failures: u32,
}

impl Backoff {
    /// No failure so far.
    pub(crate) fn new(settings: &WorkerSettings) -> Self {
        Self {
            first_ms: settings.backoff_first_ms.max(1),
            max_ms: settings.backoff_max_ms.max(1),
            failures: 0,
        }
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// One more failure: the pause before the next try, between half and the whole of the bound it has reached, so
    /// that many who failed together do not come back together.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = growing(self.first_ms, self.max_ms, self.failures);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

/// A pause that doubles with each of `times`, from `first_ms` up to `max_ms`: between half and the whole of that.
pub(crate) fn growing(first_ms: u64, max_ms: u64, times: u32) -> Duration {
    let doubled = first_ms.saturating_mul(1_u64.checked_shl(times).unwrap_or(u64::MAX));
    let bound_ms = doubled.min(max_ms);
    Duration::from_millis(rand::random_range(bound_ms / 2..=bound_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_bound_and_never_beyond() {
        let settings =
            WorkerSettings { backoff_first_ms: 8, backoff_max_ms: 100, ..WorkerSettings::default() };
        let mut backoff = Backoff::new(&settings);
        let first = backoff.pause();
        assert!(first >= Duration::from_millis(4) && first <= Duration::from_millis(8));
        for _ in 0..200 {
            assert!(backoff.pause() <= Duration::from_millis(100));
        }
        assert!(backoff.pause() >= Duration::from_millis(50));
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(8));
    }
}
