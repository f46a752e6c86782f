//! The letters of one transaction in the making: what is parked, and what the blocked sequences are.

use std::collections::{BTreeMap, HashMap};

use events::{LogId, RecordedEvent, Timestamp, ids::LetterId};
use projections::{DocumentKey, ProjectionId, ReadStore, StoreError, Write};

use super::letter::{Cause, Entry, Head, LETTERS, Letter, LetterState};
use crate::{
    documents::{self, Json},
    runner::source::{Item, Unreadable},
};

/// What a runner remembers of a blocked sequence: enough to send each event the right way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockedAt {
    pub(crate) id: LetterId,
    pub(crate) head: Entry,
}

/// Every blocked sequence of a runner, by sequence key.
pub(crate) type Blocked = HashMap<String, BlockedAt>;

/// The sequence behind which an event has to wait. A blocked stream comes first: an event that cannot be read is
/// filed under its stream, since its own key is not known, and everything behind it in the stream waits with it.
/// So a letter filed under another key never waits for a stream's letter, and no two letters wait for each other.
pub(crate) fn waits_behind(
    item: &Item,
    key_of: impl FnOnce(&RecordedEvent) -> String,
    is_blocked: impl Fn(&str) -> bool,
) -> Option<String> {
    let stream = item.stream().to_string();
    if is_blocked(&stream) {
        return Some(stream);
    }
    match item {
        Item::Event(event) => Some(key_of(event)).filter(|key| is_blocked(key)),
        Item::Unreadable(_) => None,
    }
}

/// The letters that a transaction changes.
#[derive(Default)]
pub(crate) struct Parking {
    /// As they were read: they must still be so when the transaction is carried out.
    read: HashMap<String, Option<Json>>,
    /// As they will be; `None`: the sequence is unblocked.
    changed: BTreeMap<String, Option<Letter>>,
    /// Sequences that this transaction blocks.
    new_heads: usize,
}

impl Parking {
    /// Whether the sequence will be blocked, as far as this transaction says; `None`: it says nothing.
    pub(crate) fn blocks(&self, sequence: &str) -> Option<bool> {
        self.changed.get(sequence).map(Option::is_some)
    }

    /// The letter of a sequence, as this transaction leaves it.
    pub(crate) async fn letter(
        &mut self,
        store: &dyn ReadStore,
        projection: &ProjectionId,
        sequence: &str,
    ) -> Result<Option<Letter>, StoreError> {
        if let Some(letter) = self.changed.get(sequence) {
            return Ok(letter.clone());
        }
        let keys = [document_key(sequence)];
        let value = store.get_many(projection, &keys).await?.into_iter().next().flatten();
        let letter = value.as_ref().map(documents::decode).transpose()?;
        self.read.insert(sequence.to_owned(), value);
        Ok(letter)
    }

    /// Sequences that this transaction blocks.
    pub(crate) fn new_heads(&self) -> usize {
        self.new_heads
    }

    /// Whether no letter is written or removed.
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    /// Blocks a sequence that was not blocked.
    pub(crate) fn park(&mut self, sequence: String, letter: Letter) {
        self.new_heads += 1;
        self.set(sequence, Some(letter));
    }

    /// The letter will be this; `None`: the sequence is unblocked. It must have been asked for with
    /// [`Parking::letter`], unless it is not there.
    pub(crate) fn set(&mut self, sequence: String, letter: Option<Letter>) {
        self.read.entry(sequence.clone()).or_insert(None);
        self.changed.insert(sequence, letter);
    }

    /// The changed letters as writes, and as they must still be.
    pub(crate) fn into_writes(self) -> Result<(Vec<Write>, Vec<Write>), StoreError> {
        let mut writes = Vec::new();
        let mut unchanged = Vec::new();
        for (sequence, letter) in self.changed {
            let value = letter.as_ref().map(documents::encode).transpose()?;
            let read = self.read.get(&sequence).cloned().flatten();
            unchanged.push(Write { document: document_key(&sequence), value: read });
            writes.push(Write { document: document_key(&sequence), value });
        }
        Ok((writes, unchanged))
    }

    /// What the runner has to remember once the transaction is carried out.
    pub(crate) fn outcome(&self) -> Vec<(String, Option<BlockedAt>)> {
        let blocked_at = |letter: &Letter| BlockedAt { id: letter.id, head: letter.head.entry };
        self.changed.iter().map(|(key, letter)| (key.clone(), letter.as_ref().map(blocked_at))).collect()
    }
}

fn document_key(sequence: &str) -> DocumentKey {
    DocumentKey { collection: LETTERS.spec.name, key: sequence.to_owned() }
}

/// A new letter for an event that could not be applied.
pub(crate) fn new_letter(
    projection: &ProjectionId,
    log: LogId,
    sequence: &str,
    item: &Item,
    cause: Cause,
) -> Letter {
    let now = Timestamp::now();
    Letter {
        id: LetterId::fresh(),
        projection: projection.clone(),
        sequence: sequence.to_owned(),
        log,
        parked_at: now,
        state: LetterState::Parked,
        head: head(item, cause, 1, now, now),
        followers: Vec::new(),
        overflow: Vec::new(),
    }
}

/// The head that a letter gets when `item` failed.
pub(crate) fn head(
    item: &Item,
    cause: Cause,
    attempts: u32,
    first_failed_at: Timestamp,
    last_failed_at: Timestamp,
) -> Head {
    let (event_id, event_type) = match item {
        Item::Event(event) => {
            let (service, name) = (event.stream.category.service(), event.payload.name());
            (Some(event.id), Some(format!("guildhall.{service}.{name}")))
        }
        Item::Unreadable(Unreadable { event_id, .. }) => (*event_id, unreadable_type(item)),
    };
    Head {
        entry: item.entry(),
        stream: item.stream(),
        event_id,
        event_type,
        cause,
        attempts,
        first_failed_at,
        last_failed_at,
    }
}

fn unreadable_type(item: &Item) -> Option<String> {
    match item {
        Item::Event(_) => None,
        Item::Unreadable(unreadable) => unreadable.event_type(),
    }
}
