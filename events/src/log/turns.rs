//! Turns on contended streams: who won lets another process have its turn before it publishes again.
//!
//! Without turns two processes that want the same stream decide at the same time, and of two commits one is void. So the
//! winner on a stream, where it saw another process's record a moment ago, holds its next commit back until one of theirs has
//! passed, which makes it a conflict before it was published, or until the others have had time enough for one. Where several
//! others want the stream, who has lost only once lets those go first who have lost more often. It is only an optimisation:
//! whoever does not take turns changes no verdict.

use std::time::{Duration, Instant};

use quick_cache::unsync::Cache;

use crate::{ids::CommitId, stream::StreamId};

/// Streams whose last winner is remembered.
const STREAMS_MAX: usize = 4096;
/// A stream is contended while another process's record on it is younger than this, or than three round trips.
const CONTENDED_FOR: Duration = Duration::from_millis(20);
/// Who has lost so often in a row waits for nobody.
const PATIENT_LOSSES: u32 = 2;
/// The assumed time from publishing to judging, until it was measured.
const ROUND_TRIP: Duration = Duration::from_millis(4);
/// Two round trips are waited for, within these bounds.
const HOLD_MIN: Duration = Duration::from_millis(2);
const HOLD_MAX: Duration = Duration::from_millis(50);

/// Whose turn it is, by stream. Streams that are not remembered are nobody's.
pub(super) struct Turns {
    streams: Cache<StreamId, Turn>,
    /// Smoothed.
    round_trip: Duration,
    /// Some stream is contended until then.
    contended_until: Option<Instant>,
}

#[derive(Clone, Copy, Default)]
struct Turn {
    /// Our last valid commit, and when it was judged.
    won: Option<(CommitId, Instant)>,
    /// When another process's record was judged last, valid or not.
    foreign_at: Option<Instant>,
    /// Another process's commit became valid behind ours, or we never had one.
    passed: bool,
    /// Records of others, that were void behind the last valid commit.
    voids: u32,
    /// When two others were last seen to want the stream at once.
    crowded_at: Option<Instant>,
    /// Commits of ours in a row that others were faster than, and when the last one was.
    losses: u32,
    lost_at: Option<Instant>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { streams: Cache::new(STREAMS_MAX), round_trip: ROUND_TRIP, contended_until: None }
    }
}

impl Turns {
    /// A commit of ours was judged valid, so long after it was published.
    pub(super) fn won(
        &mut self,
        stream: StreamId,
        commit: CommitId,
        round_trip: Option<Duration>,
        now: Instant,
    ) {
        if let Some(measured) = round_trip {
            self.round_trip = (self.round_trip * 7 + measured) / 8;
        }
        let known = self.streams.get(&stream).copied().unwrap_or_default();
        let turn =
            Turn { won: Some((commit, now)), passed: false, voids: 0, losses: 0, lost_at: None, ..known };
        self.watch(&turn, now);
        self.streams.insert(stream, turn);
    }

    /// A commit of ours became void, or will be whenever it comes: another process was faster.
    pub(super) fn lost(&mut self, stream: StreamId, now: Instant) {
        let known = self.streams.get(&stream).copied().unwrap_or(Turn { passed: true, ..Turn::default() });
        let turn = Turn { losses: known.losses + 1, lost_at: Some(now), foreign_at: Some(now), ..known };
        self.watch(&turn, now);
        self.streams.insert(stream, turn);
    }

    /// A record that is not pending here was judged. One of ours that arrives twice is nobody else's.
    pub(super) fn foreign(&mut self, stream: StreamId, commit: CommitId, valid: bool, now: Instant) {
        let Some(mut turn) = self.streams.get_mut(&stream) else { return };
        if turn.won.is_some_and(|(won, _)| won == commit) {
            return;
        }
        turn.foreign_at = Some(now);
        if valid {
            turn.passed = true;
            turn.voids = 0;
        } else {
            turn.voids += 1;
            // Whoever stands behind the last valid commit, if it is not ours, and everybody who lost to it.
            if turn.voids + u32::from(turn.passed) >= 2 {
                turn.crowded_at = Some(now);
            }
        }
    }

    fn watch(&mut self, turn: &Turn, now: Instant) {
        if self.is_recent(turn.foreign_at, now) {
            self.contended_until = Some(now + self.contended_for());
        }
    }

    /// Until when the next commit on `stream` should be held back; `None` when it may go.
    pub(super) fn held_until(&self, stream: StreamId, now: Instant) -> Option<Instant> {
        let turn = self.streams.get(&stream)?;
        let until = match (turn.won, turn.lost_at) {
            // The winner lets one pass.
            (Some((_, won_at)), _) if !turn.passed && self.is_recent(turn.foreign_at, won_at) => {
                won_at + (self.round_trip * 2).clamp(HOLD_MIN, HOLD_MAX)
            }
            // Of several who lost, those go first who have lost more often.
            (_, Some(lost_at)) if turn.losses < PATIENT_LOSSES && self.is_recent(turn.crowded_at, now) => {
                lost_at + self.round_trip.clamp(HOLD_MIN, HOLD_MAX)
            }
            _ => return None,
        };
        (now < until).then_some(until)
    }

    /// Whether commits may be held back now, so that somebody has to look when their time is over.
    pub(super) fn is_any_contended(&self, now: Instant) -> bool {
        self.contended_until.is_some_and(|until| now < until)
    }

    /// Whether that was shortly before `now`, or after it.
    fn is_recent(&self, at: Option<Instant>, now: Instant) -> bool {
        at.is_some_and(|at| now.saturating_duration_since(at) < self.contended_for())
    }

    fn contended_for(&self) -> Duration {
        CONTENDED_FOR.max(self.round_trip * 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::JobId, stream::Category};

    struct Story {
        turns: Turns,
        stream: StreamId,
        start: Instant,
    }

    impl Story {
        fn new() -> Self {
            let stream = StreamId::new(Category::Job, JobId::fresh());
            Self { turns: Turns::default(), stream, start: Instant::now() }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn won(&mut self, ms: u64) {
            self.turns.won(self.stream, CommitId::fresh(), None, self.at(ms));
        }

        fn foreign(&mut self, ms: u64, valid: bool) {
            self.turns.foreign(self.stream, CommitId::fresh(), valid, self.at(ms));
        }

        fn is_held(&self, ms: u64) -> bool {
            self.turns.held_until(self.stream, self.at(ms)).is_some()
        }
    }

    #[test]
    fn who_is_alone_on_a_stream_never_waits() {
        let mut story = Story::new();
        assert!(!story.is_held(0));
        for ms in 0..10 {
            story.won(ms);
            assert!(!story.is_held(ms));
        }
        assert!(!story.turns.is_any_contended(story.at(10)));
    }

    #[test]
    fn who_wins_while_others_want_the_stream_waits_for_one_of_theirs_or_two_round_trips() {
        let mut story = Story::new();
        story.won(0);
        story.foreign(1, true);
        assert!(!story.is_held(1), "they had their turn");
        story.won(2);
        assert!(story.is_held(2) && story.is_held(9) && !story.is_held(10));
        story.foreign(3, false);
        assert!(story.is_held(3), "a void commit was no turn");
        story.foreign(4, true);
        assert!(!story.is_held(4));
        assert!(story.turns.is_any_contended(story.at(20)) && !story.turns.is_any_contended(story.at(30)));
    }

    #[test]
    fn of_several_who_lost_those_go_first_who_lost_more_often() {
        let mut story = Story::new();
        let lose = |story: &mut Story, ms: u64| {
            story.foreign(ms, true);
            story.turns.lost(story.stream, story.at(ms));
        };
        story.won(0);
        lose(&mut story, 1);
        assert!(!story.is_held(1), "one other is no crowd");
        story.foreign(1, false);
        assert!(story.is_held(1) && story.is_held(4) && !story.is_held(5), "one round trip");
        lose(&mut story, 2);
        story.foreign(2, false);
        assert!(!story.is_held(2), "the second time in a row");
    }

    #[test]
    fn others_that_came_long_ago_are_not_waited_for() {
        let mut story = Story::new();
        story.won(0);
        story.foreign(1, true);
        story.won(30);
        assert!(!story.is_held(30));
    }

    #[test]
    fn ones_own_commit_that_arrives_twice_is_nobody_elses() {
        let mut story = Story::new();
        let commit = CommitId::fresh();
        story.turns.won(story.stream, commit, None, story.at(0));
        story.turns.foreign(story.stream, commit, false, story.at(1));
        story.won(2);
        assert!(!story.is_held(2));
    }

    #[test]
    fn the_wait_follows_the_measured_round_trip_within_bounds() {
        for (round_trip_ms, held_ms) in [(0, 2), (10, 20), (1000, 50)] {
            let mut story = Story::new();
            story.foreign(0, true);
            for _ in 0..100 {
                let measured = Some(Duration::from_millis(round_trip_ms));
                story.turns.won(story.stream, CommitId::fresh(), measured, story.start);
            }
            story.foreign(0, false);
            story.won(1);
            assert!(story.is_held(held_ms), "{round_trip_ms}");
            assert!(!story.is_held(held_ms + 2), "{round_trip_ms}");
        }
    }

    #[test]
    fn only_so_many_streams_are_remembered() {
        let mut turns = Turns::default();
        for _ in 0..3 * STREAMS_MAX {
            turns.won(Story::new().stream, CommitId::fresh(), None, Instant::now());
        }
        assert!(turns.streams.len() <= STREAMS_MAX);
    }
}
