//! How many sequences may be parked before it is an outage and not a poison event.

use std::collections::VecDeque;

use crate::settings::WorkerSettings;

/// Counts newly blocked sequences among the last events.
#[derive(Clone, Debug)]
pub(crate) struct ParkingRate {
    window_events: u64,
    heads_max: usize,
    blocked_max: usize,
    /// Events seen so far.
    events: u64,
    /// The ordinals of those that blocked a sequence, within the window.
    heads: VecDeque<u64>,
}

impl ParkingRate {
    pub(crate) fn new(settings: &WorkerSettings) -> Self {
        Self {
            window_events: settings.parked_window_events.max(1),
            heads_max: settings.parked_per_window_max,
            blocked_max: settings.sequences_blocked_max,
            events: 0,
            heads: VecDeque::new(),
        }
    }

    /// Forgets what was parked so far: an operator has looked at it.
    pub(crate) fn reset(&mut self) {
        self.heads.clear();
    }

    /// One more event; `head`: it blocked a sequence, so that `blocked` sequences are blocked now.
    ///
    /// # Errors
    /// Why the runner has to stop.
    pub(crate) fn count(&mut self, head: bool, blocked: usize) -> Result<(), String> {
        self.events += 1;
        while self.heads.front().is_some_and(|ordinal| self.events - ordinal >= self.window_events) {
            self.heads.pop_front();
        }
        if !head {
            return Ok(());
        }
        self.heads.push_back(self.events);
        if self.heads.len() > self.heads_max {
            return Err(format!(
                "more than {} of {} events blocked a sequence: this is an outage, not a poison event",
                self.heads_max, self.window_events
            ));
        }
        if blocked > self.blocked_max {
            return Err(format!("more than {} sequences are blocked", self.blocked_max));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_blocked_sequences_within_the_window_stop_the_runner() {
        let settings = WorkerSettings {
            parked_per_window_max: 2,
            parked_window_events: 10,
            ..WorkerSettings::default()
        };
        let mut rate = ParkingRate::new(&settings);
        for _ in 0..5 {
            assert_eq!(rate.count(true, 1), Ok(()));
            for _ in 0..5 {
                assert_eq!(rate.count(false, 1), Ok(()));
            }
        }
        assert_eq!(rate.count(true, 1), Ok(()));
        assert!(rate.count(true, 1).is_err());
        rate.reset();
        assert_eq!(rate.count(true, 1), Ok(()));
    }
}
