//! The circuit breaker of one provider: when it is away, it is asked rarely, whatever waits for it.
//!
//! One effect that always fails is its own trouble and backs off by itself. The breaker opens when several different
//! ones have failed in a row; from then on one is let through at a time, each time another where there is one, until
//! one gets an answer.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use metrics::{counter, gauge};
use serde::Serialize;

use crate::{backoff::growing, payments::Reference, settings::WorkerSettings};

/// What a breaker tells about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BreakerStatus {
    /// Effects wait until the provider answers again.
    pub open: bool,
    /// Different effects that have failed since the last answer, as far as they are counted.
    pub failing: u64,
    /// How often it has opened since the start.
    pub opened: u64,
}

/// See the module.
pub(crate) struct Breaker {
    provider: String,
    failures_max: usize,
    pause_first_ms: u64,
    pause_max_ms: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Failed since the last answer, up to the bound.
    failing: HashSet<Reference>,
    open: Option<Open>,
    opened: u64,
}

struct Open {
    /// Probes that got no answer.
    probes: u32,
    probed: HashSet<Reference>,
    probe_at: Instant,
    /// From then on one that was probed may be probed again: nobody else came.
    any_at: Instant,
}

/// References that are remembered as probed, at most; then all are forgotten.
const PROBED_MAX: usize = 1000;

impl Breaker {
    pub(crate) fn new(provider: &str, settings: &WorkerSettings) -> Self {
        let breaker = Self {
            provider: provider.to_owned(),
            failures_max: settings.breaker_failures_max.max(1),
            pause_first_ms: settings.breaker_pause_first_ms.max(1),
            pause_max_ms: settings.breaker_pause_max_ms.max(1),
            state: Mutex::default(),
        };
        breaker.show(false);
        breaker
    }

    /// Whether this effect may go to the provider now; else how long nobody need ask.
    pub(crate) fn admit(&self, reference: Reference, now: Instant) -> Result<(), Duration> {
        let mut state = self.lock();
        let Some(open) = &mut state.open else { return Ok(()) };
        let from = if open.probed.contains(&reference) { open.any_at } else { open.probe_at };
        if now < from {
            return Err(from - now);
        }
        if open.probed.len() >= PROBED_MAX {
            open.probed.clear();
        }
        open.probed.insert(reference);
        self.wait(open, now);
        Ok(())
    }

    /// The provider answered, whatever it said.
    pub(crate) fn answered(&self) {
        let mut state = self.lock();
        state.failing.clear();
        if state.open.take().is_some() {
            tracing::info!(provider = self.provider, "the provider answers again");
            self.show(false);
        }
    }

    /// The provider did not answer, or not for certain.
    pub(crate) fn failed(&self, reference: Reference, now: Instant) {
        let mut state = self.lock();
        if state.failing.len() < self.failures_max {
            state.failing.insert(reference);
        }
        let too_many = state.failing.len() >= self.failures_max;
        match &mut state.open {
            Some(open) => {
                open.probes = open.probes.saturating_add(1);
                self.wait(open, now);
            }
            None if too_many => {
                let mut open = Open { probes: 0, probed: HashSet::new(), probe_at: now, any_at: now };
                self.wait(&mut open, now);
                state.open = Some(open);
                state.opened += 1;
                tracing::warn!(
                    provider = self.provider,
                    "the provider is away: it is asked rarely from now on"
                );
                counter!("guildhall_effect_breaker_opened_total", "provider" => self.provider.clone())
                    .increment(1);
                self.show(true);
            }
            None => {}
        }
    }

    pub(crate) fn status(&self) -> BreakerStatus {
        let state = self.lock();
        let failing = state.failing.len() as u64;
        BreakerStatus { open: state.open.is_some(), failing, opened: state.opened }
    }

    /// The next probe is one pause away, and one more for those that had their turn.
    fn wait(&self, open: &mut Open, now: Instant) {
        let pause = growing(self.pause_first_ms, self.pause_max_ms, open.probes);
        open.probe_at = now + pause;
        open.any_at = now + pause * 2;
    }

    fn show(&self, open: bool) {
        gauge!("guildhall_effect_breaker_open", "provider" => self.provider.clone()).set(if open {
            1.0
        } else {
            0.0
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::{Id, ids::PaymentId};
    use uuid::Uuid;

    fn reference(number: u128) -> Reference {
        Reference::Attempt { payment: PaymentId::from_uuid(Uuid::from_u128(number)), attempt: 1 }
    }

    fn breaker() -> Breaker {
        let settings = WorkerSettings {
            breaker_failures_max: 3,
            breaker_pause_first_ms: 100,
            breaker_pause_max_ms: 1_000,
            ..WorkerSettings::default()
        };
        Breaker::new("a provider", &settings)
    }

    #[test]
    fn one_effect_that_always_fails_stops_nobody_else() {
        let (breaker, now) = (breaker(), Instant::now());
        for _ in 0..100 {
            breaker.failed(reference(1), now);
        }
        assert!(breaker.admit(reference(2), now).is_ok() && !breaker.status().open);
    }

    #[test]
    fn several_failures_in_a_row_open_it_and_an_answer_closes_it() {
        let (breaker, now) = (breaker(), Instant::now());
        for number in [1, 2] {
            breaker.failed(reference(number), now);
        }
        breaker.answered();
        for number in [1, 2] {
            breaker.failed(reference(number), now);
        }
        assert!(!breaker.status().open, "not in a row");
        breaker.failed(reference(3), now);
        assert_eq!(breaker.status(), BreakerStatus { open: true, failing: 3, opened: 1 });
        let wait = breaker.admit(reference(4), now).expect_err("it is open");
        assert!(wait <= Duration::from_millis(100));
        breaker.answered();
        assert!(breaker.admit(reference(4), now).is_ok() && !breaker.status().open);
    }

    #[test]
    fn while_it_is_open_one_at_a_time_goes_through_each_time_another() {
        let (breaker, mut now) = (breaker(), Instant::now());
        for number in 1..=3 {
            breaker.failed(reference(number), now);
        }
        now += Duration::from_millis(100);
        assert!(breaker.admit(reference(1), now).is_ok());
        assert!(breaker.admit(reference(2), now).is_err(), "one at a time");
        breaker.failed(reference(1), now);
        now += Duration::from_millis(200);
        assert!(breaker.admit(reference(1), now).is_err() || breaker.admit(reference(2), now).is_err());
        now += Duration::from_millis(2_000);
        assert!(breaker.admit(reference(1), now).is_ok(), "it is the only one that came");
    }

    #[test]
    fn pauses_between_probes_grow_up_to_a_bound() {
        let (breaker, mut now) = (breaker(), Instant::now());
        for number in 1..=3 {
            breaker.failed(reference(number), now);
        }
        for number in 4..20 {
            now += Duration::from_millis(1_000);
            assert!(breaker.admit(reference(number), now).is_ok());
            breaker.failed(reference(number), now);
        }
        let wait = breaker.admit(reference(21), now).expect_err("it is open");
        assert!(wait >= Duration::from_millis(500) && wait <= Duration::from_millis(1_000), "{wait:?}");
    }
}
