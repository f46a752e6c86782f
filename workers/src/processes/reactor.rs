//! The reactor: tells process managers of every event, in order per stream, from a checkpoint of its own.
//!
//! It is a runner like a projector's, with letters like a projector's; what it applies it applies through the
//! executor. An event whose reaction went through but whose checkpoint did not is told again, and the command ids see
//! to it that nothing happens twice.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use commands::process::ProcessError;
use events::{RecordedEvent, StreamId, ids::EventId};
use futures_util::StreamExt;
use projections::{Applied, ProjectionId, Write};

use super::Processes;
use crate::{
    dead_letters::Cause,
    runner::{
        Trouble,
        applier::{Applier, Failure},
    },
};

/// The name under which the reactor keeps its checkpoints and letters.
pub fn reactor_id() -> ProjectionId {
    ProjectionId::new("reactor", 1)
}

/// See the module.
pub(crate) struct Reacting {
    id: ProjectionId,
    processes: Arc<dyn Processes>,
    concurrency_max: usize,
    /// What became of the events that were told ahead of their turn.
    told: HashMap<EventId, Result<(), ProcessError>>,
}

impl Reacting {
    pub(crate) fn new(processes: Arc<dyn Processes>, concurrency_max: usize) -> Self {
        Self { id: reactor_id(), processes, concurrency_max: concurrency_max.max(1), told: HashMap::new() }
    }
}

/// Tells the events of one stream, up to the first failure.
async fn tell(
    processes: Arc<dyn Processes>,
    stream: Vec<RecordedEvent>,
) -> Vec<(EventId, Result<(), ProcessError>)> {
    let mut results = Vec::with_capacity(stream.len());
    for event in &stream {
        let result = processes.react(event).await;
        let failed = result.is_err();
        results.push((event.id, result));
        if failed {
            break;
        }
    }
    results
}

impl Applier for Reacting {
    const FOLDS_EARLY: bool = false;
    const RESTS: bool = false;

    fn id(&self) -> &ProjectionId {
        &self.id
    }

    fn sequence_key(&self, event: &RecordedEvent) -> String {
        event.stream.to_string()
    }

    fn halt_on_failure(&self) -> bool {
        false
    }

    /// A reaction is a command that was carried out: there is nothing to drop.
    fn discard(&mut self) {}

    /// Tells events of different streams at the same time, those of one stream one after the other. What was told
    /// before an outage is not told again, as long as this process lives.
    async fn expect(&mut self, events: &[&RecordedEvent]) -> Result<(), Trouble> {
        let expected: HashSet<EventId> = events.iter().map(|event| event.id).collect();
        self.told.retain(|id, result| result.is_ok() && expected.contains(id));
        let mut streams: Vec<Vec<RecordedEvent>> = Vec::new();
        let mut places: HashMap<StreamId, usize> = HashMap::new();
        for event in events.iter().filter(|event| !self.told.contains_key(&event.id)) {
            let place = *places.entry(event.stream).or_insert(streams.len());
            if place == streams.len() {
                streams.push(Vec::new());
            }
            streams[place].push((*event).clone());
        }
        let tellings: Vec<_> =
            streams.into_iter().map(|stream| tell(Arc::clone(&self.processes), stream)).collect();
        let told = futures_util::stream::iter(tellings).buffer_unordered(self.concurrency_max);
        self.told.extend(told.collect::<Vec<_>>().await.into_iter().flatten());
        Ok(())
    }

    async fn apply(&mut self, event: &RecordedEvent) -> Result<Applied, Failure> {
        let result = match self.told.get(&event.id) {
            Some(result) => result.clone(),
            None => self.processes.react(event).await,
        };
        match result {
            Ok(()) => Ok(Applied::Changed),
            Err(ProcessError::Retry(reason)) => Err(Failure::Trouble(Trouble::Unavailable(reason))),
            Err(error @ ProcessError::Poison(_)) => Err(Failure::Poison(Cause::of(&error))),
        }
    }

    fn writes(&mut self) -> Vec<Write> {
        Vec::new()
    }

    fn assume(&mut self) {}

    fn trim(&mut self) {}

    /// It knows nothing of the store; what was told was told.
    fn forget(&mut self) {}
}
