//! One batch: every event gets its one verdict, and all of them are committed together.

use std::sync::Arc;

use events::{Offset, Partition, Timestamp, stream::BEFORE_FIRST};
use projections::Applied;

use super::{
    Did, Runner, Trouble,
    applier::{Applier, Failure},
    progress::{Draft, Progress},
    source::{DecodedCommit, Item, NextBatch},
};
use crate::{
    dead_letters::{Cause, ParkingRate, new_letter, waits_behind},
    status::{RunState, Verdicts},
};

/// The reason under which events of unknown types are skipped.
pub(crate) const UNKNOWN_TYPE: &str = "unknown type";

/// Offsets behind a batch from which on a runner counts as far behind.
const BEHIND_FAR: Offset = 256;

/// How far a batch could be folded.
pub(super) enum Folded {
    /// To its end.
    Whole(Box<Whole>),
    /// Up to the commit with this index: that one must not be part of the transaction.
    Up { to: usize, because: Trouble, stopped: bool },
}

/// A batch that is ready to be committed. None of it counts before it is.
pub(super) struct Whole {
    pub(super) draft: Draft,
    pub(super) verdicts: Verdicts,
    pub(super) rate: ParkingRate,
}

/// How many events there are to so many offsets: of what lies behind a batch it is known where it ends, not how many events
/// it has, and counting them would mean to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Density {
    events: u64,
    offsets: u64,
}

impl Default for Density {
    fn default() -> Self {
        Self { events: 1, offsets: 1 }
    }
}

impl Density {
    /// That of a batch that was read behind `after`.
    fn of(after: &[(Partition, Offset)], commits: &[Arc<DecodedCommit>]) -> Self {
        let mut offsets = 0;
        for (partition, offset) in after {
            let last = commits.iter().rev().find(|commit| commit.position.partition == *partition);
            let passed = last.map_or(0, |commit| commit.position.offset - offset);
            offsets += u64::try_from(passed).unwrap_or(0);
        }
        let events = commits.iter().flat_map(|commit| &commit.items);
        let events = events.map(|item| u64::from(item.entry().events)).sum();
        Self { events, offsets: offsets.max(1) }
    }

    /// About how many events these offsets have; none only if there are none.
    pub(super) fn events(self, offsets: u64) -> u64 {
        let events = u128::from(offsets) * u128::from(self.events) / u128::from(self.offsets);
        u64::try_from(events).unwrap_or(u64::MAX).max(offsets.min(1))
    }
}

/// What became of one event.
enum Verdict {
    Applied,
    Skipped(&'static str),
    Parked(u32),
}

impl<A: Applier> Runner<A> {
    /// Applies the next events, if there are any.
    pub(super) async fn apply_next(&mut self, progress: &mut Progress) -> Result<Did, Trouble> {
        let after = rotated(progress.all_reached(), self.rotation);
        self.rotation = self.rotation.wrapping_add(1);
        let (next, early) = match self.take_early(progress, &after) {
            Some(early) => (early.batch, Some(early.whole)),
            None => (self.read_next(progress, after.clone()).await?, None),
        };
        if next.commits.is_empty() {
            self.report(progress, &next.ends, None);
            return Ok(Did::Nothing);
        }
        self.status.set_state(RunState::Running);
        self.density = Density::of(&after, &next.commits);
        if early.is_none() {
            self.read_ahead(after, &next, self.rotation);
        }
        let outcome = match early {
            Some(whole) => self.commit_batch(progress, *whole, true).await,
            None => self.apply_commits(progress, &next.commits).await,
        };
        let last_time = next.commits.last().and_then(|commit| last_time(commit));
        self.report(progress, &next.ends, last_time);
        outcome.map(|()| Did::Something)
    }

    /// What stands behind `after`, as far as a hold lets the runner go.
    async fn read_next(
        &mut self,
        progress: &Progress,
        after: Vec<(Partition, Offset)>,
    ) -> Result<NextBatch, Trouble> {
        let mut next = self.ahead.take(&self.source, after).await?;
        if let Some(hold) = &progress.hold {
            let reached = |commit: &DecodedCommit| progress.reached(commit.position.partition);
            let allowed = |commit: &Arc<DecodedCommit>| {
                commit.position.offset <= hold.limit(commit.position.partition, reached(commit))
            };
            next.commits.retain(allowed);
        }
        Ok(next)
    }

    /// While this batch is applied, the one behind it is read, if there is one; `rotation` is what it will be asked for with.
    pub(super) fn read_ahead(
        &mut self,
        mut after: Vec<(Partition, Offset)>,
        batch: &NextBatch,
        rotation: usize,
    ) {
        for (partition, offset) in &mut after {
            let last = batch.commits.iter().rev().find(|commit| commit.position.partition == *partition);
            *offset = last.map_or(*offset, |commit| commit.position.offset);
        }
        // The ends are in the same order. What is just being appended is better read when there is more of it.
        let much = |((_, offset), (_, end)): (&(_, Offset), &(_, Offset))| offset + BEHIND_FAR < *end;
        if after.iter().zip(&batch.ends).any(much) {
            after.sort_by_key(|(partition, _)| *partition);
            self.ahead.begin(&self.source, rotated(after, rotation));
        }
    }

    /// Applies and commits these; when one of them must wait or stop the runner, those before it.
    async fn apply_commits(
        &mut self,
        progress: &mut Progress,
        commits: &[Arc<DecodedCommit>],
    ) -> Result<(), Trouble> {
        self.announce(progress, commits).await?;
        let (to, because, stopped) = match self.fold(progress, commits).await? {
            Folded::Whole(whole) => return self.commit_batch(progress, *whole, true).await,
            Folded::Up { to, because, stopped } => (to, because, stopped),
        };
        if to > 0 {
            // Folding is repeatable, so what stands before is folded again, alone.
            self.applier.discard();
            match self.fold(progress, &commits[..to]).await? {
                Folded::Whole(whole) => self.commit_batch(progress, *whole, false).await?,
                Folded::Up { because, .. } => return Err(because),
            }
        }
        if stopped {
            // Whoever was overtaken may have judged by documents of another turn: that is no reason to stop.
            progress.check_turn(self.surroundings.store.as_ref()).await?;
            self.status.count(&Verdicts { stopped: 1, ..Verdicts::default() });
        }
        Err(because)
    }

    /// Tells the applier what comes next, as far as nothing is in its way.
    pub(super) async fn announce(
        &mut self,
        progress: &Progress,
        commits: &[Arc<DecodedCommit>],
    ) -> Result<(), Trouble> {
        let mut expected = Vec::new();
        // What cannot be read may come to stand in the way of what is expected.
        let mut certain = true;
        for item in commits.iter().flat_map(|commit| &commit.items) {
            certain &= match item {
                Item::Event(_) => true,
                Item::Unreadable(unreadable) => unreadable.is_foreign(),
            };
            if let Item::Event(event) = item {
                let key_of = |event: &_| self.applier.sequence_key(event);
                let free = progress.blocked.is_empty()
                    || waits_behind(item, key_of, |key| progress.blocked.contains_key(key)).is_none();
                if free {
                    expected.push(event.as_ref());
                }
            }
        }
        self.applier.expect(&expected).await?;
        if !certain {
            self.applier.discard();
        }
        Ok(())
    }

    /// Folds what was announced just now, or the beginning of it once what came of that was discarded.
    pub(super) async fn fold(
        &mut self,
        progress: &Progress,
        commits: &[Arc<DecodedCommit>],
    ) -> Result<Folded, Trouble> {
        let (mut draft, mut verdicts) = (Draft::default(), Verdicts::default());
        let mut rate = self.rate.clone();
        let mut heads = 0;
        for (to, commit) in commits.iter().enumerate() {
            for item in &commit.items {
                let verdict = match self.judge(progress, &mut draft, item).await {
                    Ok(verdict) => verdict,
                    Err((because, stopped)) => return Ok(Folded::Up { to, because, stopped }),
                };
                let parked = draft.parking.new_heads() - heads;
                heads += parked;
                if let Err(reason) = rate.count(parked > 0, progress.blocked.len() + heads) {
                    let because = Trouble::Stopped(format!("{}: {reason}", self.applier.id()));
                    return Ok(Folded::Up { to, because, stopped: true });
                }
                match verdict {
                    Verdict::Applied => verdicts.applied += 1,
                    Verdict::Skipped(reason) => *verdicts.skipped.entry(reason).or_default() += 1,
                    Verdict::Parked(events) => verdicts.parked += u64::from(events),
                }
            }
            let reached = draft.reached.entry(commit.position.partition).or_insert(BEFORE_FIRST);
            *reached = commit.position.offset;
        }
        Ok(Folded::Whole(Box::new(Whole { draft, verdicts, rate })))
    }

    /// The verdict over one event. `Err`: its commit must not be part of the transaction; `true`: it is what stops
    /// the runner.
    async fn judge(
        &mut self,
        progress: &Progress,
        draft: &mut Draft,
        item: &Item,
    ) -> Result<Verdict, (Trouble, bool)> {
        if let Item::Unreadable(unreadable) = item
            && unreadable.is_foreign()
        {
            return Ok(Verdict::Skipped(UNKNOWN_TYPE));
        }
        if !progress.blocked.is_empty() || draft.parking.new_heads() > 0 {
            let is_blocked =
                |key: &str| draft.parking.blocks(key).unwrap_or_else(|| progress.blocked.contains_key(key));
            if let Some(sequence) = waits_behind(item, |event| self.applier.sequence_key(event), is_blocked) {
                self.park_behind(draft, &sequence, item).await.map_err(|trouble| (trouble, false))?;
                return Ok(Verdict::Parked(item.entry().events));
            }
        }
        let (cause, sequence) = match item {
            Item::Unreadable(unreadable) => (Cause::of(&unreadable.error), item.stream().to_string()),
            Item::Event(event) => match self.applier.apply(event).await {
                Ok(Applied::Changed) => return Ok(Verdict::Applied),
                Ok(Applied::Skipped(reason)) => return Ok(Verdict::Skipped(reason)),
                Err(Failure::Trouble(trouble)) => return Err((trouble, false)),
                Err(Failure::Poison(cause)) => (cause, self.applier.sequence_key(event)),
            },
        };
        if self.applier.halt_on_failure() {
            let (id, position) = (self.applier.id(), item.entry().position);
            let reason = format!("{id} halts at {position}, as it is told to: {}", cause.message);
            return Err((Trouble::Stopped(reason), true));
        }
        tracing::error!(
            projection = %self.applier.id(), %sequence, position = %item.entry().position,
            cause = %cause.message, "event parked"
        );
        let letter = new_letter(self.applier.id(), self.source.id(), &sequence, item, cause);
        draft.parking.park(sequence, letter);
        Ok(Verdict::Parked(item.entry().events))
    }

    async fn park_behind(&mut self, draft: &mut Draft, sequence: &str, item: &Item) -> Result<(), Trouble> {
        let store = Arc::clone(&self.surroundings.store);
        let letter = draft.parking.letter(store.as_ref(), self.applier.id(), sequence).await?;
        // The runner remembers a letter that is not there: somebody else has redriven it.
        let mut letter = letter.ok_or(Trouble::Fenced)?;
        letter.push(item.entry(), self.surroundings.settings.followers_max);
        draft.parking.set(sequence.to_owned(), Some(letter));
        Ok(())
    }
}

/// Which partition is served first changes from batch to batch, so that none has to wait for a busier one to end.
pub(super) fn rotated(mut after: Vec<(Partition, Offset)>, rotation: usize) -> Vec<(Partition, Offset)> {
    if !after.is_empty() {
        let first = rotation % after.len();
        after.rotate_left(first);
    }
    after
}

/// Domain time of the last event of a commit.
fn last_time(commit: &DecodedCommit) -> Option<Timestamp> {
    commit.items.iter().rev().find_map(|item| match item {
        Item::Event(event) => Some(event.stamp.time),
        Item::Unreadable(_) => None,
    })
}
