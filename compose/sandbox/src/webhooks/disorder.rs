//! The disorder of webhooks, drawn from a seed: a function of the event's place and of nothing else.

use crate::{settings::Disorder, tokens::Telling};

/// When an event is sent, counted from when it is taken up: first its attempt proper, then mere repetitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) delay_ms: u64,
    pub(crate) repeats_ms: Vec<u64>,
}

/// A repetition is sent so long after its original, at most, unless longer delays were asked for.
const REPEAT_MS_MAX: u64 = 50;
/// What the tokens that repeat ask for.
const REPEATS_ON_REQUEST: usize = 2;

/// The plan for the event at `place` among all events.
pub(crate) fn plan(disorder: &Disorder, place: usize, telling: Telling) -> Plan {
    let mut draws = Draws(disorder.seed ^ (place as u64).wrapping_mul(0xD134_2543_DE82_EF95));
    let delayed = draws.below(100) < u64::from(disorder.delay_percent);
    let delay = draws.below(disorder.delay_ms_max.saturating_add(1));
    let delay_ms = if delayed { delay } else { 0 };
    let drawn = usize::from(draws.below(100) < u64::from(disorder.repeat_percent));
    let repeats = match telling {
        Telling::Once | Telling::Never => drawn,
        Telling::Repeatedly => drawn.max(REPEATS_ON_REQUEST),
    };
    let longest = disorder.delay_ms_max.max(REPEAT_MS_MAX);
    let repeats_ms = (0..repeats).map(|_| delay_ms + 1 + draws.below(longest)).collect();
    Plan { delay_ms, repeats_ms }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere for ever.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `bound` - 1; the bias of the remainder does not matter here.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
