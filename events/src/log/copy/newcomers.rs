//! Streams that are certainly not in a copy: asked before the file is, so that new streams cost no look-up while an empty
//! copy is filled.
//!
//! A Bloom filter of fixed size, with all bits of a stream in one word. It must know every stream of the copy, so it is kept
//! only for copies that were empty when they were opened. With ten million streams it is wrong for one new stream in fifty;
//! those are looked up.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use crate::stream::StreamId;

/// Of 4 KiB each, made when first written: at most 16 MiB.
const PAGES: usize = 4096;
const PAGE_WORDS: usize = 512;

/// The streams that a copy may hold.
pub(super) struct Newcomers {
    pages: Vec<OnceLock<Box<[AtomicU64]>>>,
}

impl Newcomers {
    /// Of a copy without any stream.
    pub(super) fn of_an_empty_copy() -> Self {
        Self { pages: (0..PAGES).map(|_| OnceLock::new()).collect() }
    }

    /// Notes that the copy holds `stream`, or is about to.
    pub(super) fn add(&self, stream: StreamId) {
        let (page, word, bits) = place(stream);
        let words = self.pages[page].get_or_init(|| (0..PAGE_WORDS).map(|_| AtomicU64::new(0)).collect());
        words[word].fetch_or(bits, Ordering::Release);
    }

    /// Whether the copy certainly does not hold `stream`.
    pub(super) fn is_new(&self, stream: StreamId) -> bool {
        let (page, word, bits) = place(stream);
        self.pages[page].get().is_none_or(|words| words[word].load(Ordering::Acquire) & bits != bits)
    }
}

/// The page and the word of a stream, and its three bits there. Streams that share their digits share their place.
fn place(stream: StreamId) -> (usize, usize, u64) {
    let (high, low) = stream.uuid.as_u64_pair();
    let mixed = (high ^ low.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = mixed ^ (mixed >> 32);
    let bit = |shift: u32| 1_u64 << ((mixed >> shift) & 63);
    let word = usize::try_from(mixed >> 40).unwrap_or_default();
    (word / PAGE_WORDS % PAGES, word % PAGE_WORDS, bit(0) | bit(6) | bit(12))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::JobId, stream::Category};

    #[test]
    fn what_was_added_is_not_new_and_hardly_anything_else_is_taken_for_known() {
        const STREAMS: usize = 200_000;
        let stream = || StreamId::new(Category::Job, JobId::fresh());
        let newcomers = Newcomers::of_an_empty_copy();
        let added: Vec<StreamId> = (0..STREAMS).map(|_| stream()).collect();
        assert!(added.iter().all(|stream| newcomers.is_new(*stream)));
        added.iter().for_each(|stream| newcomers.add(*stream));
        assert!(added.iter().all(|stream| !newcomers.is_new(*stream)));
        let wrong = (0..STREAMS).filter(|_| !newcomers.is_new(stream())).count();
        assert!(wrong < STREAMS / 500, "{wrong}");
    }
}
