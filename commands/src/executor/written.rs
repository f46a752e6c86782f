//! The commands that wrote a stream's events, kept beside its state: a command that is not among them need not be looked up.
//!
//! It may say too much and never too little. What it knows comes from the same events as the state: all that were folded, and
//! those that are decided on top of it. Where they were not all seen, since the state came from a snapshot, it knows nothing,
//! and the log is asked. So it does where a set says that a command may be there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events::{Id, ids::CommandId};

/// Commands that are kept one by one; behind them a Bloom filter takes over.
const EXACT_MAX: usize = 1024;
/// Words of the filter: 64 KiB. With a hundred thousand commands it takes one new one in ten for known.
const FILTER_WORDS: usize = 8192;
/// Bits of a command in the filter.
const FILTER_BITS: u32 = 4;

/// The commands of one stream, or what is known of them. Clones share what they know: a command that was decided into a commit
/// that became void stays in, and is looked up in vain when it is decided again.
#[derive(Clone, Debug)]
pub(super) struct WrittenBy {
    /// `None`: not all events were seen.
    set: Option<Arc<Mutex<Set>>>,
}

#[derive(Debug)]
enum Set {
    /// Fingerprints in order.
    Exact(Vec<u32>),
    Filter(Box<[u64]>),
}

impl WrittenBy {
    /// Of a stream without events.
    pub(super) fn nobody() -> Self {
        Self { set: Some(Arc::new(Mutex::new(Set::Exact(Vec::new())))) }
    }

    /// Of a stream whose events were not all seen.
    pub(super) fn unknown() -> Self {
        Self { set: None }
    }

    /// Whether `command` may have written to the stream.
    pub(super) fn may_hold(&self, command: CommandId) -> bool {
        let print = fingerprint(command);
        let Some(set) = self.lock() else { return true };
        match &*set {
            Set::Exact(prints) => prints.binary_search(&print).is_ok(),
            Set::Filter(words) => places(print).all(|(word, bit)| words[word] & bit != 0),
        }
    }

    /// Notes that `command` wrote to the stream, or will have when its commit is valid.
    pub(super) fn add(&self, command: CommandId) {
        let print = fingerprint(command);
        let Some(mut set) = self.lock() else { return };
        match &mut *set {
            Set::Exact(prints) => {
                if let Err(place) = prints.binary_search(&print) {
                    prints.insert(place, print);
                }
                if prints.len() > EXACT_MAX {
                    let mut words = vec![0; FILTER_WORDS].into_boxed_slice();
                    prints.iter().for_each(|print| note(&mut words, *print));
                    *set = Set::Filter(words);
                }
            }
            Set::Filter(words) => note(words, print),
        }
    }

    /// What it holds in memory, bytes.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = match self.lock().as_deref() {
            None => 0,
            Some(Set::Exact(prints)) => prints.capacity() * size_of::<u32>(),
            Some(Set::Filter(words)) => size_of_val(&**words),
        };
        bytes as u64
    }

    fn lock(&self) -> Option<MutexGuard<'_, Set>> {
        // Nothing in here panics half-way through a change.
        self.set.as_ref().map(|set| set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn note(words: &mut [u64], print: u32) {
    for (word, bit) in places(print) {
        words[word] |= bit;
    }
}

/// Clients may have drawn a command's id in order of time, or by a rule of their own: all of it counts.
fn fingerprint(command: CommandId) -> u32 {
    let (high, low) = command.uuid().as_u64_pair();
    let mixed = (high ^ low.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

/// The words of the filter and the bits in them that stand for a fingerprint.
fn places(print: u32) -> impl Iterator<Item = (usize, u64)> {
    let mut state = u64::from(print);
    (0..FILTER_BITS).map(move |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = mixed ^ (mixed >> 27);
        ((mixed >> 6) as usize % FILTER_WORDS, 1 << (mixed & 63))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_held_and_hardly_anything_else() {
        for count in [10, EXACT_MAX, EXACT_MAX + 1, 20_000] {
            let written = WrittenBy::nobody();
            let commands: Vec<CommandId> = (0..count).map(|_| CommandId::fresh()).collect();
            assert!(commands.iter().all(|command| !written.may_hold(*command)));
            commands.iter().for_each(|command| written.add(*command));
            assert!(commands.iter().all(|command| written.may_hold(*command)), "{count}");
            let wrong = (0..10_000).filter(|_| written.may_hold(CommandId::fresh())).count();
            assert!(wrong <= 50, "{wrong} of 10,000 behind {count}");
        }
    }

    #[test]
    fn who_has_not_seen_all_events_excludes_nothing() {
        let written = WrittenBy::unknown();
        written.add(CommandId::fresh());
        assert!(written.may_hold(CommandId::fresh()));
    }

    #[test]
    fn clones_know_what_is_added_to_one_of_them() {
        let written = WrittenBy::nobody();
        let (clone, command) = (written.clone(), CommandId::fresh());
        written.add(command);
        assert!(clone.may_hold(command));
    }

    #[test]
    fn it_stays_bounded_however_many_commands_there_are() {
        let written = WrittenBy::nobody();
        (0..5 * EXACT_MAX).for_each(|_| written.add(CommandId::fresh()));
        assert_eq!(written.bytes(), 64 * 1024);
    }
}
