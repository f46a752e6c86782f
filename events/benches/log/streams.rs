//! Streams as the product has them: UUIDv7 ids, a third of the commits to new ones, a third to recent ones, a third to any.

use events::{
    Category, CommandStamp, CommitBuilder, Currency, Id, Money, StreamId, Timestamp,
    envelope::{CommandHash, NewCommit},
    ids::{AccountId, CommandId},
    vocabulary::jobs::{Budget, JobCreated, JobEvent, JobTerms},
};
use uuid::Uuid;

/// The `data` of an event, bytes.
const EVENT_BYTES: usize = 400;
/// Streams that count as recent, over all writers.
const RECENT: usize = 4096;

/// Which streams there are, and whose they are: each stream is written by one writer, so that nobody waits for a conflict.
pub(crate) struct Streams {
    pub(crate) writers: Vec<Writer>,
}

impl Streams {
    /// No streams yet, for so many writers.
    pub(crate) fn of(writers: usize) -> Self {
        let writers = (0..writers).map(|number| Writer::new(number, writers)).collect();
        Self { writers }
    }

    /// The same streams, dealt out to other writers; old ones stay before young ones.
    pub(crate) fn deal(self, writers: usize) -> Self {
        let mut all: Vec<(Uuid, u32)> = self.writers.into_iter().flat_map(|writer| writer.streams).collect();
        all.sort_unstable();
        let mut dealt = Self::of(writers);
        for (index, stream) in all.into_iter().enumerate() {
            dealt.writers[index % writers].streams.push(stream);
        }
        dealt
    }
}

/// One writer with its streams, each with the version of its head.
pub(crate) struct Writer {
    streams: Vec<(Uuid, u32)>,
    recent: usize,
    random: u64,
    event: JobEvent,
    body: Vec<u8>,
}

impl Writer {
    fn new(number: usize, writers: usize) -> Self {
        let event = event();
        let body = commit(Uuid::now_v7(), 1, &event).body;
        let random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
        Self { streams: Vec::new(), recent: (RECENT / writers).max(1), random, event, body }
    }

    /// Xorshift: the same choices in every run.
    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % bound as u64) as usize
    }

    fn next_stream(&mut self) -> (Uuid, u64) {
        let known = self.streams.len();
        let index = match self.below(3) {
            _ if known == 0 => known,
            0 => known,
            1 => known - 1 - self.below(self.recent.min(known)),
            _ => self.below(known),
        };
        if index == known {
            self.streams.push((Uuid::now_v7(), 0));
        }
        let (stream, version) = &mut self.streams[index];
        *version += 1;
        (*stream, u64::from(*version))
    }

    /// One event for one stream, built as the executor builds it.
    pub(crate) fn next_commit(&mut self) -> NewCommit {
        let (stream, version) = self.next_stream();
        commit(stream, version, &self.event)
    }

    /// A row of the same size, ready made.
    pub(crate) fn next_row(&mut self) -> (Uuid, u64, Vec<u8>) {
        let (stream, version) = self.next_stream();
        (stream, version, self.body.clone())
    }
}

/// Bytes of a commit's body.
pub(crate) fn body_bytes() -> usize {
    commit(Uuid::now_v7(), 1, &event()).body.len()
}

fn commit(stream: Uuid, version: u64, event: &JobEvent) -> NewCommit {
    let mut builder = CommitBuilder::new(StreamId { category: Category::Job, uuid: stream }, version);
    let stamp = CommandStamp {
        command_id: CommandId::fresh(),
        command_hash: CommandHash([7; 16]),
        correlation_id: "3f2a9c1e5b7d4860".into(),
        causation_id: None,
        actor: "account:acc_0192f0c1a2b37c4d8e5f60718293a4b5".into(),
        traceparent: None,
        time: Timestamp::from_micros(1_700_000_000_000_000),
    };
    builder.push(&stamp, std::slice::from_ref(event));
    builder.finish().unwrap()
}

fn event() -> JobEvent {
    let euro = "EUR".parse::<Currency>().unwrap();
    let amount = |minor| Money::new(minor, euro);
    let mut terms = JobTerms {
        title: "Mend a garden wall".into(),
        description: String::new(),
        category: "gardening".into(),
        skills: vec!["masonry".into()],
        budget: Budget { min: amount(10_000), max: amount(20_000) },
    };
    let client = AccountId::from_uuid(Uuid::now_v7());
    let bytes = |terms: &JobTerms| {
        let created = JobCreated { client, terms: terms.clone() };
        serde_json::to_string(&created).unwrap().len()
    };
    let missing = EVENT_BYTES.saturating_sub(bytes(&terms));
    terms.description = "x".repeat(missing);
    JobCreated { client, terms }.into()
}
