//! Redrive: what waits in a blocked sequence is read again from the log and applied in order, in runs of one
//! transaction each, until it fails again or nothing is left.
//!
//! It is done by the runner itself, between its batches: so no event can arrive behind a letter while the letter is
//! being emptied, and the sequence is unblocked in the very transaction that applies its last event.

use std::sync::Arc;

use events::{Offset, Timestamp};
use projections::Applied;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    Did, Runner, Trouble,
    applier::{Applier, Failure},
    progress::{Draft, Progress},
    source::Item,
};
use crate::dead_letters::{Cause, Entry, Head, Letter, LetterState, Overflow, Parking, head, waits_behind};

/// What a redrive came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redriven {
    /// Events that left the letter: applied, or found not to concern the projection.
    pub events: u64,
    /// The letter as it stands now; `None`: the sequence is unblocked.
    pub left: Option<Letter>,
}

/// Why a letter could not be retried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RedriveError {
    /// There is no such letter (any more).
    #[error("there is no such letter")]
    NotFound,
    /// No runner of this process is responsible for it.
    #[error("the letter belongs to {0}, which does not run here")]
    NotHere(String),
    /// It was asked of whoever holds its scope, and not answered yet.
    #[error(
        "the letter belongs to {0}, who was asked and has not answered yet; it is retried when that can be"
    )]
    Asked(String),
    /// Too much is asked of the runner at the same time.
    #[error("too many letters are being retried")]
    Busy,
    /// The projection has stopped: that has to be mended first.
    #[error("the projection has stopped: {0}")]
    Stopped(String),
    /// It may pass by itself; what was applied so far stays applied.
    #[error("the letter cannot be retried now: {0}")]
    Unavailable(String),
}

/// A retry under way.
pub(crate) struct Redrive {
    sequence: String,
    events: u64,
    reply: oneshot::Sender<Result<Redriven, RedriveError>>,
}

impl Redrive {
    pub(crate) fn new(sequence: String, reply: oneshot::Sender<Result<Redriven, RedriveError>>) -> Self {
        Self { sequence, events: 0, reply }
    }

    /// Nobody may wait for the answer any more; the work was done all the same.
    pub(crate) fn answer(self, answer: Result<Redriven, RedriveError>) {
        let _ = self.reply.send(answer);
    }
}

/// The events of one run: as they wait, and as they read today.
type Waiting = Vec<(Entry, Vec<Item>)>;

/// Where a run ended.
struct Run {
    /// Entries that are done with.
    done: usize,
    events: u64,
    failure: Option<FailedAt>,
}

struct FailedAt {
    entry: Entry,
    head: Head,
}

impl<A: Applier> Runner<A> {
    /// Carries out one run of the redrive whose turn it is.
    pub(super) async fn redrive(&mut self, progress: &mut Progress) -> Result<Did, Trouble> {
        let Some(mut redrive) = self.redrives.pop_front() else { return Ok(Did::Nothing) };
        self.drop_early();
        match self.redrive_run(progress, &mut redrive).await {
            Ok(Some(answer)) => redrive.answer(answer),
            // The others get their turn before the next run.
            Ok(None) => self.redrives.push_back(redrive),
            Err(trouble) => {
                redrive.answer(Err(match &trouble {
                    Trouble::Fenced => {
                        RedriveError::Unavailable("another runner has written meanwhile".to_owned())
                    }
                    Trouble::Unavailable(reason) | Trouble::Behind(reason) => {
                        RedriveError::Unavailable(reason.clone())
                    }
                    Trouble::Stopped(reason) => RedriveError::Stopped(reason.clone()),
                }));
                return Err(trouble);
            }
        }
        Ok(Did::Something)
    }

    /// One transaction. `None`: there is more to do.
    async fn redrive_run(
        &mut self,
        progress: &mut Progress,
        redrive: &mut Redrive,
    ) -> Result<Option<Result<Redriven, RedriveError>>, Trouble> {
        let store = Arc::clone(&self.surroundings.store);
        let mut parking = Parking::default();
        let letter = parking.letter(store.as_ref(), self.applier.id(), &redrive.sequence).await?;
        let Some(mut letter) = letter else { return Ok(Some(Err(RedriveError::NotFound))) };
        if letter.log != self.source.id() {
            let reason = format!("the letter {} belongs to the log {}", letter.id, letter.log);
            return Err(Trouble::Stopped(reason));
        }
        self.refill(progress, &mut letter).await?;
        let mut waiting = vec![letter.head.entry];
        waiting.extend(&letter.followers);
        if !letter.overflow.is_empty() {
            // The last one listed stays, to be the head of what is left.
            waiting.pop();
        }
        waiting.truncate(self.surroundings.settings.redrive_run_events_max.max(1));
        let waiting = self.source.at(waiting).await?;

        let run = self.apply_waiting(progress, &letter, &waiting).await?;
        redrive.events += run.events;
        let ended = run.failure.is_some();
        let left = remainder(letter, run);
        parking.set(redrive.sequence.clone(), left.clone());
        self.commit(progress, Draft { parking, ..Draft::default() }).await?;
        self.status.set_blocked(progress.blocked.len());
        let answer = (ended || left.is_none()).then_some(Ok(Redriven { events: redrive.events, left }));
        Ok(answer)
    }

    /// Applies what waits, in order, up to the first failure.
    async fn apply_waiting(
        &mut self,
        progress: &Progress,
        letter: &Letter,
        waiting: &Waiting,
    ) -> Result<Run, Trouble> {
        // Told one by one: what stands behind a failure must not be told before it.
        self.applier.expect(&[]).await?;
        let mut run = Run { done: 0, events: 0, failure: None };
        for (entry, items) in waiting {
            for item in items {
                match self.apply_again(progress, &letter.sequence, item).await? {
                    None => run.events += u64::from(item.entry().events),
                    Some(cause) => {
                        run.failure = Some(failed_at(letter, *entry, item, cause));
                        return Ok(run);
                    }
                }
            }
            run.done += 1;
        }
        Ok(run)
    }

    /// `None`: it is done with; otherwise why it is not.
    async fn apply_again(
        &mut self,
        progress: &Progress,
        sequence: &str,
        item: &Item,
    ) -> Result<Option<Cause>, Trouble> {
        let event = match item {
            Item::Unreadable(unreadable) if unreadable.is_foreign() => return Ok(None),
            Item::Unreadable(unreadable) => return Ok(Some(Cause::of(&unreadable.error))),
            Item::Event(event) => event,
        };
        // Filed under its stream, because something before it could not be read: its own key may be blocked too.
        let key = self.applier.sequence_key(event);
        if key != sequence
            && let Some(other) = progress.blocked.get(&key)
        {
            return Ok(Some(Cause::new(format!("it waits behind the letter {} of {key}", other.id))));
        }
        match self.applier.apply(event).await {
            Ok(Applied::Changed | Applied::Skipped(_)) => Ok(None),
            Err(Failure::Poison(cause)) => Ok(Some(cause)),
            Err(Failure::Trouble(trouble)) => Err(trouble),
        }
    }

    /// Lists what waits beyond the bound, as far as there is room, by reading the log again.
    async fn refill(&self, progress: &Progress, letter: &mut Letter) -> Result<(), Trouble> {
        let room = self.surroundings.settings.followers_max.max(1);
        let mut overflows = std::mem::take(&mut letter.overflow).into_iter();
        for overflow in overflows.by_ref() {
            if letter.followers.len() >= room {
                letter.overflow.push(overflow);
                break;
            }
            let rest = self.refill_from(progress, letter, overflow, room).await?;
            letter.overflow.extend(rest);
        }
        letter.overflow.extend(overflows);
        Ok(())
    }

    /// Lists followers of one partition; what is left when there is no room for all of them.
    async fn refill_from(
        &self,
        progress: &Progress,
        letter: &mut Letter,
        overflow: Overflow,
        room: usize,
    ) -> Result<Option<Overflow>, Trouble> {
        let partition = overflow.first.partition;
        let until: Offset = progress.reached(partition);
        let (mut from, mut left) = (overflow.first.offset, overflow.events);
        loop {
            let commits = self.source.chunk(partition, from, until).await?;
            let Some(last) = commits.last() else { return Ok(None) };
            from = last.position.offset + 1;
            for item in commits.iter().flat_map(|commit| &commit.items) {
                let entry = item.entry();
                let is_before = entry.position == overflow.first && entry.version < overflow.version;
                if is_before || !self.waits_in(progress, letter, item) {
                    continue;
                }
                if letter.followers.len() >= room {
                    let (first, version) = (entry.position, entry.version);
                    return Ok(Some(Overflow { first, version, events: left.max(1) }));
                }
                left = left.saturating_sub(u64::from(entry.events));
                letter.followers.push(entry);
            }
        }
    }

    /// Whether an event behind the letter's head was parked in this letter, as [`waits_behind`] decided it then: a
    /// stream whose letter is still there was blocked from that letter's head on.
    fn waits_in(&self, progress: &Progress, letter: &Letter, item: &Item) -> bool {
        if let Item::Unreadable(unreadable) = item
            && unreadable.is_foreign()
        {
            return false;
        }
        let entry = item.entry();
        let is_blocked = |key: &str| {
            let other = progress.blocked.get(key);
            key == letter.sequence
                || other.is_some_and(|other| {
                    let head = other.head;
                    head.position.partition != entry.position.partition
                        || (head.position.offset, head.version) <= (entry.position.offset, entry.version)
                })
        };
        let sequence = waits_behind(item, |event| self.applier.sequence_key(event), is_blocked);
        sequence.is_some_and(|sequence| sequence == letter.sequence)
    }
}

/// The failure, told from what the letter knows of its head.
fn failed_at(letter: &Letter, entry: Entry, item: &Item, cause: Cause) -> FailedAt {
    let now = Timestamp::now();
    let old = &letter.head;
    let again = old.entry.position == item.entry().position && old.entry.version == item.entry().version;
    let (attempts, first) = if again { (old.attempts + 1, old.first_failed_at) } else { (1, now) };
    let mut head = head(item, cause, attempts, first, now);
    // A commit that cannot be read as a whole stands for all its events, of which the first may be done with.
    head.entry.version = head.entry.version.max(entry.version);
    // Of a commit that could not be read as a whole, what stands behind the failed event waits with it.
    let behind = entry.version + u64::from(entry.events) - head.entry.version;
    head.entry.events = u32::try_from(behind).unwrap_or(entry.events);
    FailedAt { entry, head }
}

/// What is left of the letter after a run: nothing, when its last follower is done with. (While events wait beyond
/// the bound, a follower is left.)
fn remainder(mut letter: Letter, run: Run) -> Option<Letter> {
    // The head is the first entry, the followers are the others.
    letter.followers.drain(..run.done.saturating_sub(1).min(letter.followers.len()));
    if let Some(FailedAt { entry, head }) = run.failure {
        if run.done > 0 {
            debug_assert_eq!(letter.followers.first(), Some(&entry), "a run goes in order");
            letter.followers.remove(0);
        }
        letter.head = head;
        letter.state = LetterState::FailedAgain;
        return Some(letter);
    }
    if letter.followers.is_empty() {
        return None;
    }
    let next = letter.followers.remove(0);
    let now = Timestamp::now();
    letter.head = Head {
        entry: next,
        stream: letter.head.stream,
        event_id: None,
        event_type: None,
        cause: Cause::new("what stood before it was applied; it waits for its turn"),
        attempts: 0,
        first_failed_at: now,
        last_failed_at: now,
    };
    letter.state = LetterState::PartlyApplied;
    Some(letter)
}
