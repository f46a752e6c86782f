//! How far readers are, shown to the tools of whoever orders the commits: now and then, in the background, for people only.
//!
//! Where a reader is stands in its own checkpoints, and nothing that is shown is ever read back here. So it may lag, and may be
//! lost with the process.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::upstream::{Away, Upstream};
use crate::stream::{Offset, Partition};

/// Readers that are shown; further ones are not.
const READERS_MAX: usize = 1000;

/// Where a reader is, by partition.
type Places = BTreeMap<Partition, Offset>;

/// See the module.
#[derive(Default)]
pub(super) struct Readers {
    state: Mutex<State>,
    closing: Condvar,
}

#[derive(Default)]
struct State {
    reached: BTreeMap<String, Places>,
    closed: bool,
}

impl Readers {
    /// Remembers where a reader is, to be shown when it is time.
    pub(super) fn note(&self, reader: &str, reached: &[(Partition, Offset)]) {
        let mut state = self.lock();
        if !state.reached.contains_key(reader) {
            if state.reached.len() >= READERS_MAX {
                return;
            }
            state.reached.insert(reader.to_owned(), Places::new());
        }
        if let Some(places) = state.reached.get_mut(reader) {
            places.extend(reached.iter().copied());
        }
    }

    /// Ends [`Self::show_until_closed`].
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.closing.notify_all();
    }

    /// Shows what has changed, once in every such period. `passed` says up to where nothing is left for somebody who has read
    /// a partition up to an offset.
    pub(super) fn show_until_closed(
        &self,
        every: Duration,
        upstream: &dyn Upstream,
        passed: impl Fn(Partition, Offset) -> Offset,
    ) {
        let mut shown: BTreeMap<String, Places> = BTreeMap::new();
        let mut told = false;
        while !self.is_closed_within(every) {
            match self.show(upstream, &passed, &mut shown) {
                Ok(()) => told = false,
                Err(away) if std::mem::replace(&mut told, true) => {
                    tracing::debug!(%away, "how far readers are cannot be shown");
                }
                Err(away) => {
                    tracing::warn!(%away, "how far readers are cannot be shown; nothing else suffers")
                }
            }
        }
    }

    fn is_closed_within(&self, wait: Duration) -> bool {
        let waited = self.closing.wait_timeout_while(self.lock(), wait, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    fn show(
        &self,
        upstream: &dyn Upstream,
        passed: &impl Fn(Partition, Offset) -> Offset,
        shown: &mut BTreeMap<String, Places>,
    ) -> Result<(), Away> {
        let reached = self.lock().reached.clone();
        for (reader, places) in reached {
            let before = shown.entry(reader.clone()).or_default();
            // Only what has moved: another process may have taken a partition over, and know better by now.
            let places = places.into_iter().map(|(partition, offset)| (partition, passed(partition, offset)));
            let moved: Vec<_> =
                places.filter(|(partition, offset)| before.get(partition) != Some(offset)).collect();
            if moved.is_empty() {
                continue;
            }
            upstream.show_reader(&reader, &moved)?;
            before.extend(moved);
            if self.lock().closed {
                break;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Service,
        ids::CommitId,
        log::upstream::{Polled, Record},
        stream::{LogId, StreamId},
    };

    /// Remembers what it is shown, and refuses when it is told to.
    #[derive(Default)]
    struct Board(Mutex<Shown>);

    #[derive(Default)]
    struct Shown {
        is_away: bool,
        seen: Vec<Seen>,
    }

    /// A reader, and how far it was said to be.
    type Seen = (String, Vec<(Partition, Offset)>);

    impl Upstream for Board {
        fn log(&self) -> LogId {
            unreachable!("nobody asks")
        }
        fn partitions(&self) -> Vec<Partition> {
            unreachable!("nobody asks")
        }
        fn partition_of(&self, _: StreamId) -> Partition {
            unreachable!("nobody asks")
        }
        fn publish(&self, _: Partition, _: Record, _: CommitId) {
            unreachable!("nobody publishes")
        }
        fn poll(&self, _: &[(Partition, Offset)], _: usize, _: Duration) -> Result<Polled, Away> {
            unreachable!("nobody polls")
        }
        fn end(&self, _: Partition) -> Result<Offset, Away> {
            unreachable!("nobody asks")
        }
        fn record_at(&self, _: Partition, _: Offset) -> Result<Option<Record>, Away> {
            unreachable!("nobody asks")
        }
        fn show_reader(&self, reader: &str, reached: &[(Partition, Offset)]) -> Result<(), Away> {
            let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if shown.is_away {
                return Err(Away("it is away".into()));
            }
            shown.seen.push((reader.to_owned(), reached.to_vec()));
            Ok(())
        }
    }

    impl Board {
        fn seen(&self) -> Vec<Seen> {
            std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).seen)
        }

        fn set_away(&self, is_away: bool) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).is_away = is_away;
        }
    }

    fn place(number: u16) -> Partition {
        Partition { service: Service::Jobs, number }
    }

    #[test]
    fn what_has_moved_is_shown_and_what_another_may_have_taken_over_is_left_alone() {
        let (readers, board, mut shown) = (Readers::default(), Board::default(), BTreeMap::new());
        let mut show = || readers.show(&board, &|_, offset| offset, &mut shown);
        readers.note("board_v1", &[(place(0), 3)]);
        readers.note("board_v1", &[(place(1), 5)]);
        show().expect("it is there");
        assert_eq!(board.seen(), [("board_v1".to_owned(), vec![(place(0), 3), (place(1), 5)])]);
        readers.note("board_v1", &[(place(1), 6)]);
        show().expect("it is there");
        show().expect("it is there");
        assert_eq!(board.seen(), [("board_v1".to_owned(), vec![(place(1), 6)])]);
    }

    #[test]
    fn what_could_not_be_shown_is_shown_the_next_time() {
        let (readers, board, mut shown) = (Readers::default(), Board::default(), BTreeMap::new());
        readers.note("board_v1", &[(place(0), 3)]);
        board.set_away(true);
        assert!(readers.show(&board, &|_, offset| offset, &mut shown).is_err());
        board.set_away(false);
        readers.show(&board, &|_, offset| offset + 1, &mut shown).expect("it is there");
        assert_eq!(board.seen(), [("board_v1".to_owned(), vec![(place(0), 4)])]);
    }

    #[test]
    fn more_readers_than_the_bound_are_not_remembered() {
        let readers = Readers::default();
        for number in 0..READERS_MAX + 5 {
            readers.note(&format!("reader_{number}"), &[(place(0), 1)]);
        }
        assert_eq!(readers.lock().reached.len(), READERS_MAX);
    }
}
