//! The prompter: hands to the pumps what the log asks for as soon as it can be read, long before a read model lists it.
//!
//! It has no checkpoint and loses nothing by that: it hears of what is appended while it runs, and whatever it misses or is
//! overwhelmed by is listed. What is heard and listed is issued once, since the pump knows it by its key; and should two
//! processes issue the same, its commands have the same ids.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{Offset, Partition, RecordedEvent, StreamId, time::DomainClock};
use projections::{effects::OpenEffect, steps::OpenStep, timers::Timer};
use tokio::sync::mpsc;

use super::{
    DueTimers, Share, Steps,
    pump::{Heard, Work},
};
use crate::{
    effects::OpenEffects,
    runner::{
        Surroundings, Trouble,
        source::{DecodedCommit, Item, Source},
    },
};

/// What was appended longer ago than this is left to the list: it may have been done long since.
const NEWS: Duration = Duration::from_secs(10);
/// A timer that is due later than this is left to the list.
const SOON: Duration = Duration::from_secs(1);
/// How often it is looked which partitions are this process's, and how soon after trouble.
const AGAIN: Duration = Duration::from_secs(1);
/// Commits read at once from which on the prompter counts as overwhelmed, and goes on behind the last one there is.
const TOO_MANY: usize = 1000;

/// Where one pump hears what is new.
pub(crate) struct Ear<W: Work> {
    share: Share,
    heard: mpsc::Sender<Heard<W>>,
}

impl<W: Work> Ear<W> {
    /// Of the streams in `share`; and where the pump listens.
    pub(crate) fn new(share: Share, capacity: usize) -> (Self, mpsc::Receiver<Heard<W>>) {
        let (heard, hears) = mpsc::channel(capacity.max(1));
        (Self { share, heard }, hears)
    }

    fn tell(&self, stream: StreamId, key: W::Key, item: W::Item, not_before: Instant) {
        if self.share.has(stream) {
            // A pump that has no room for it will find it in the list.
            let _ = self.heard.try_send(Heard { key, item, not_before });
        }
    }
}

/// See the module.
pub(crate) struct Prompter {
    pub(crate) steps: Ear<Steps>,
    pub(crate) timers: Ear<DueTimers>,
    pub(crate) effects: Option<Ear<OpenEffects>>,
    pub(crate) source: Source,
    pub(crate) surroundings: Surroundings,
}

/// Where the prompter is.
#[derive(Default)]
struct Places {
    /// Of the partitions of which anything is issued here, what has been read.
    reached: Vec<(Partition, Offset)>,
    /// When it was found out which these are.
    found_at: Option<Instant>,
}

impl Prompter {
    /// Runs until the end of the process.
    pub(crate) async fn run(self) {
        let mut changes = self.surroundings.log.changes();
        let mut places = Places::default();
        while !self.surroundings.ends() {
            changes.borrow_and_update();
            match self.go_on(&mut places).await {
                Ok(true) => {}
                Ok(false) => tokio::select! {
                    Ok(()) = changes.changed() => {}
                    () = tokio::time::sleep(AGAIN) => {}
                    () = self.surroundings.until_end() => {}
                },
                Err(trouble) => {
                    // Whatever cannot be read is the runners' to complain about.
                    tracing::debug!(?trouble, "nobody is prompted");
                    places = Places::default();
                    let _ = tokio::time::timeout(AGAIN, self.surroundings.until_end()).await;
                }
            }
        }
    }

    /// Whether there was anything.
    async fn go_on(&self, places: &mut Places) -> Result<bool, Trouble> {
        if places.found_at.is_none_or(|found_at| found_at.elapsed() >= AGAIN) {
            self.find_places(places).await?;
        }
        // No partition has to wait for a busier one to end.
        if !places.reached.is_empty() {
            places.reached.rotate_left(1);
        }
        let batch = self.source.next(places.reached.clone()).await?;
        self.prompt(&batch.commits);
        if batch.commits.len() >= TOO_MANY {
            places.reached = batch.ends;
            return Ok(true);
        }
        for commit in &batch.commits {
            for (partition, offset) in &mut places.reached {
                if *partition == commit.position.partition {
                    *offset = commit.position.offset.max(*offset);
                }
            }
        }
        Ok(!batch.commits.is_empty())
    }

    /// What others have held until now is read from its end on.
    async fn find_places(&self, places: &mut Places) -> Result<(), Trouble> {
        let partitions = self.surroundings.log.partitions().into_iter();
        let ours: Vec<Partition> = partitions.filter(|partition| self.is_ours(*partition)).collect();
        places.reached.retain(|(partition, _)| ours.contains(partition));
        let is_new = |partition: &Partition| places.reached.iter().all(|(known, _)| known != partition);
        let new: Vec<Partition> = ours.into_iter().filter(is_new).collect();
        if !new.is_empty() {
            places.reached.extend(self.source.ends(new).await?);
        }
        places.found_at = Some(Instant::now());
        Ok(())
    }

    fn is_ours(&self, partition: Partition) -> bool {
        self.steps.share.has_partition(partition)
            || self.timers.share.has_partition(partition)
            || self.effects.as_ref().is_some_and(|ear| ear.share.has_partition(partition))
    }

    fn prompt(&self, commits: &[Arc<DecodedCommit>]) {
        let clock = &self.surroundings.clock;
        let events = commits.iter().flat_map(|commit| &commit.items).filter_map(|item| match item {
            Item::Event(event) if is_news(clock, event) => Some(event.as_ref()),
            Item::Event(_) | Item::Unreadable(_) => None,
        });
        let now = Instant::now();
        let mut steps = HashMap::new();
        for event in events {
            if let Some(step) = OpenStep::requested_by(event) {
                // Whoever issues the last one issues those before it, too.
                steps.insert(step.stream, step);
            }
            for timer in Timer::started_by(event) {
                let wait = timer.due_at.millis_since(clock.now());
                // Rounded up: nothing fires before it is due.
                let wait = Duration::from_millis(u64::try_from(wait).map_or(0, |wait| wait + 1));
                if wait <= SOON {
                    let key = (timer.stream, timer.timer.clone(), timer.due_at);
                    self.timers.tell(timer.stream, key, timer, Instant::now() + wait);
                }
            }
            if let (Some(ear), Some(effect)) = (&self.effects, OpenEffect::intended_by(event)) {
                ear.tell(effect.stream, (effect.stream, effect.kind, effect.number), effect, now);
            }
        }
        for step in steps.into_values() {
            self.steps.tell(step.stream, (step.stream, step.number), step, now);
        }
    }
}

fn is_news(clock: &DomainClock, event: &RecordedEvent) -> bool {
    u128::from(clock.now().millis_since(event.stamp.time).unsigned_abs()) <= NEWS.as_millis()
}
