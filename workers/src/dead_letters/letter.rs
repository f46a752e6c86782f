//! A letter: the event that could not be applied, and what waits behind it.

use events::{
    LogId, Partition, Position, StreamId, Timestamp, Version,
    ids::{EventId, LetterId},
};
use projections::{Collection, Index, ProjectionId};
use serde::{Deserialize, Serialize};

/// The reserved collection of every projection that holds its letters, by sequence key.
pub const LETTERS: Collection<Letter> = Collection::new(
    "letters",
    &[Index { name: "by_parked_at", fields: &["parked_at"] }, Index { name: "by_id", fields: &["id"] }],
);

/// One blocked sequence of one projection: its head could not be applied, later events wait in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// Stays the same until the whole sequence is unblocked.
    pub id: LetterId,
    /// Whose letter it is.
    pub projection: ProjectionId,
    /// What is blocked: a stream, or what the projection says instead.
    pub sequence: String,
    /// The log whose positions these are.
    pub log: LogId,
    /// Since when the sequence is blocked, real time.
    pub parked_at: Timestamp,
    /// Where it stands.
    pub state: LetterState,
    /// The first event that was not applied.
    pub head: Head,
    /// What waits behind the head, in order, up to a bound.
    pub followers: Vec<Entry>,
    /// What waits behind those, by partition: read again from the log when its turn comes.
    pub overflow: Vec<Overflow>,
}

/// Where a letter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterState {
    /// Nobody has retried it yet.
    Parked,
    /// A retry stopped at the head as it is now.
    FailedAgain,
    /// A retry has applied what stood before the head and is not done yet, or was interrupted.
    PartlyApplied,
}

/// The event at which a sequence is blocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Which event.
    pub entry: Entry,
    /// Its stream.
    pub stream: StreamId,
    /// Its own id; unknown when its commit cannot be read, or when it was not looked at yet.
    pub event_id: Option<EventId>,
    /// Its CloudEvents type; unknown as above.
    pub event_type: Option<String>,
    /// Why it was not applied.
    pub cause: Cause,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed for the first time, real time.
    pub first_failed_at: Timestamp,
    /// When it failed last, real time.
    pub last_failed_at: Timestamp,
}

/// One event (or the rest of a commit that cannot be read) by its place on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where its commit stands.
    pub position: Position,
    /// Its number in its stream; the first one's, when there are several.
    pub version: Version,
    /// How many events: 1, except for a commit that cannot be read as a whole.
    pub events: u32,
}

/// Why an event was not applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// In one sentence.
    pub message: String,
    /// What caused that, and what caused that.
    pub chain: Vec<String>,
}

/// The longest message a cause keeps, characters.
const CAUSE_CHARACTERS_MAX: usize = 2000;

impl Cause {
    /// A cause without a cause.
    pub fn new(message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self { message: bounded(&message), chain: Vec::new() }
    }

    /// The error and all that led to it.
    pub fn of(error: &dyn std::error::Error) -> Self {
        let chain = std::iter::successors(error.source(), |cause| cause.source())
            .take(16)
            .map(|cause| bounded(&cause.to_string()))
            .collect();
        Self { message: bounded(&error.to_string()), chain }
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(CAUSE_CHARACTERS_MAX).collect()
}

/// Events of one partition that wait behind the listed followers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overflow {
    /// The commit of the first one.
    pub first: Position,
    /// Its number in its stream.
    pub version: Version,
    /// How many there are.
    pub events: u64,
}

impl Letter {
    /// Puts `entry` behind all that wait already. Above `followers_max` only the partition's first is remembered.
    pub(crate) fn push(&mut self, entry: Entry, followers_max: usize) {
        let partition = entry.position.partition;
        let overflow = self.overflow.iter_mut().find(|overflow| overflow.first.partition == partition);
        match overflow {
            Some(overflow) => overflow.events += u64::from(entry.events),
            // Once a partition has overflowed, its events go nowhere else, so that their order is that of the log.
            None if self.followers.len() < followers_max => self.followers.push(entry),
            None => self.overflow.push(Overflow {
                first: entry.position,
                version: entry.version,
                events: u64::from(entry.events),
            }),
        }
    }

    /// Events that wait behind the head.
    pub fn waiting_events(&self) -> u64 {
        let followers: u64 = self.followers.iter().map(|entry| u64::from(entry.events)).sum();
        followers + self.overflow.iter().map(|overflow| overflow.events).sum::<u64>()
    }

    /// The partition of the head.
    pub fn partition(&self) -> Partition {
        self.head.entry.position.partition
    }
}
