//! The watch over the clients: whether the cluster answers, whether the tail gets what is there, whether the topics are still
//! what they were. What blocks is done here, so that neither appends nor the tail wait for it.

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    Shared,
    standing::{Access, Duty, Sight},
};
use crate::{
    kafka::ClusterError,
    stream::{Offset, Partition},
};

/// Between two looks while all is well.
const REST: Duration = Duration::from_secs(1);
/// Between two looks while Kafka is away or the topics are to be checked.
const REST_AWAY: Duration = Duration::from_millis(100);
/// How long a look waits for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// How long it waits while Kafka is away: the next look comes soon.
const ANSWER_WAIT_AWAY: Duration = Duration::from_millis(500);
/// How long a check of the topics may take.
const CHECK_WAIT: Duration = Duration::from_secs(15);
/// Between two checks of the topics while all is well.
const CHECK_EVERY: Duration = Duration::from_secs(300);
/// How long records may be there that the tail does not get before its client is replaced.
const STALL: Duration = Duration::from_secs(10);
/// Polls that must have come back empty meanwhile: a tail that has much to do is not stalled.
const STALL_EMPTY_POLLS: u64 = 20;
/// How long a single poll may take before it is said that it hangs.
const POLL_HANGS: Duration = Duration::from_secs(30);
/// How long a commit may be with the producer, while Kafka answers, before the producer is replaced.
const SEND_PATIENCE: Duration = Duration::from_secs(60);

/// The watch's thread. Dropping it ends it.
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(shared: Arc<Shared>) -> Result<Self, String> {
        let rounds = Rounds {
            shared: Arc::clone(&shared),
            checked: Instant::now(),
            reached: Instant::now(),
            lagging: None,
            check_due: false,
        };
        let thread = std::thread::Builder::new()
            .name("log-kafka-watch".into())
            .spawn(move || rounds.run())
            .map_err(|error| format!("no thread for the watch over Kafka: {error}"))?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.standing.stop();
        if let Some(thread) = self.thread.take() {
            // A panic over there has already been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// What the watch remembers between two looks.
struct Rounds {
    shared: Arc<Shared>,
    /// When the topics were checked last.
    checked: Instant,
    /// Since when the cluster answers.
    reached: Instant,
    lagging: Option<Lagging>,
    /// Kafka was away: it may have come back as another.
    check_due: bool,
}

/// A partition that holds more than the tail gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lagging {
    partition: Partition,
    judged: Offset,
    since: Instant,
    empty_polls: u64,
}

impl Rounds {
    fn run(mut self) {
        let mut rest = REST;
        while let Some(duty) = self.shared.standing.wait(rest) {
            rest = match duty.access {
                Access::Refused(_) => REST,
                Access::Unchecked(_) => self.check_before_use(&duty),
                Access::Open => self.look(&duty),
            };
        }
    }

    /// Checks the topics before anything is read or sent.
    fn check_before_use(&mut self, duty: &Duty) -> Duration {
        let shared = &self.shared;
        let checked = shared
            .check_history(&duty.sight.judged, CHECK_WAIT)
            .and_then(|()| shared.check_settings(CHECK_WAIT));
        match checked {
            Ok(()) if duty.truncated => {
                let prefix = &shared.cluster.options().topic_prefix;
                shared.standing.refuse(format!(
                    "a topic {prefix}.*.events was truncated and has grown again since: it lost history; copy the log from the copy to a new one"
                ));
                REST
            }
            Ok(()) => {
                self.checked = Instant::now();
                self.reached = Instant::now();
                self.shared.standing.set_reached();
                self.shared.standing.allow();
                self.shared.producer.release();
                REST
            }
            Err(ClusterError::Away(reason)) => {
                self.shared.standing.not_yet(&reason);
                REST_AWAY
            }
            Err(ClusterError::Refused(reason)) => {
                self.shared.standing.refuse(reason);
                REST
            }
        }
    }

    fn look(&mut self, duty: &Duty) -> Duration {
        self.say_when_a_poll_hangs(&duty.sight);
        let wait = if duty.away { ANSWER_WAIT_AWAY } else { ANSWER_WAIT };
        match self.shared.questions.ends(&self.shared.topics, wait) {
            Err(error) => {
                self.shared.standing.set_away(&error.to_string());
                self.check_due = true;
                self.lagging = None;
                return REST_AWAY;
            }
            Ok(ends) => {
                if duty.away {
                    self.reached = Instant::now();
                    self.check_due = true;
                    self.shared.standing.set_reached();
                }
                self.replace_what_stalls(&duty.sight, &ends);
            }
        }
        let patience = (self.reached.elapsed() >= SEND_PATIENCE).then_some(SEND_PATIENCE);
        drop(self.shared.producer.renew_if_stuck(patience));
        if self.check_due || self.checked.elapsed() >= CHECK_EVERY {
            self.check_again(&duty.sight);
        }
        REST
    }

    /// Checks the topics of a log in use. Lost history stops it; a setting by which it could be lost is an alarm, since
    /// stopping would save nothing.
    fn check_again(&mut self, sight: &Sight) {
        let checked = match self.shared.check_history(&sight.judged, CHECK_WAIT) {
            Err(ClusterError::Refused(reason)) => return self.shared.standing.refuse(reason),
            Err(away) => Err(away),
            Ok(()) => self.shared.check_settings(CHECK_WAIT),
        };
        match checked {
            Err(ClusterError::Away(reason)) => {
                tracing::debug!(reason, "the topics could not be checked; they will be");
                self.check_due = true;
                return;
            }
            Err(ClusterError::Refused(reason)) => {
                tracing::error!(
                    reason,
                    "history can be lost: this log would be refused if it were opened now"
                );
            }
            Ok(()) => {}
        }
        self.check_due = false;
        self.checked = Instant::now();
    }

    /// A client that does not get what is there, for long, is replaced.
    fn replace_what_stalls(&mut self, sight: &Sight, ends: &[(Partition, Offset)]) {
        let Some(lagging) = lagging(self.lagging, sight, ends, Instant::now()) else {
            self.lagging = None;
            return;
        };
        self.lagging = Some(lagging);
        if lagging.since.elapsed() < STALL || sight.empty_polls < lagging.empty_polls + STALL_EMPTY_POLLS {
            return;
        }
        let place = self.shared.topics.describe(lagging.partition);
        tracing::warn!(place, "the tail does not get the records that are there: it gets a new client");
        self.lagging = None;
        let renewed = self.shared.lock_records().renew();
        match renewed {
            Ok(old) => drop(old),
            Err(error) => tracing::error!(%error, "a new client for the tail cannot be made"),
        }
    }

    fn say_when_a_poll_hangs(&self, sight: &Sight) {
        if let Some(since) = sight.polling_since.filter(|since| since.elapsed() >= POLL_HANGS) {
            let seconds = since.elapsed().as_secs();
            tracing::error!(seconds, "a poll of the tail does not come back: restart this process");
        }
    }
}

/// The partition that stays behind its end: the one of the last look while it does not move, else the first there is.
fn lagging(
    before: Option<Lagging>,
    sight: &Sight,
    ends: &[(Partition, Offset)],
    now: Instant,
) -> Option<Lagging> {
    let behind = |partition: Partition, judged: Offset| {
        ends.iter().any(|(known, end)| *known == partition && *end > judged)
    };
    if let Some(before) = before
        && sight.judged.contains(&(before.partition, before.judged))
        && behind(before.partition, before.judged)
    {
        return Some(before);
    }
    let found = sight.judged.iter().find(|(partition, judged)| behind(*partition, *judged));
    found.map(|(partition, judged)| Lagging {
        partition: *partition,
        judged: *judged,
        since: now,
        empty_polls: sight.empty_polls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Service;

    #[test]
    fn a_partition_lags_for_as_long_as_it_stands_still_behind_its_end() {
        let place = |number| Partition { service: Service::Jobs, number };
        let sight = |one, two| Sight { judged: vec![(place(0), one), (place(1), two)], ..Sight::default() };
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        let ends = [(place(0), 4), (place(1), 9)];
        assert_eq!(lagging(None, &sight(4, 9), &ends, start), None);
        let first = lagging(None, &sight(4, 7), &ends, start);
        assert_eq!(first.map(|lag| (lag.partition, lag.judged, lag.since)), Some((place(1), 7, start)));
        assert_eq!(lagging(first, &sight(4, 7), &ends, later), first);
        // It moved: whatever lags now lags since now.
        assert_eq!(lagging(first, &sight(4, 8), &ends, later).map(|lag| lag.since), Some(later));
        assert_eq!(lagging(first, &sight(4, 9), &ends, later), None);
    }
}
