//! Timers that run, by the time they are due: what the machinery fires as commands.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{RecordedEvent, Service, StreamId, Timestamp, ids::EventId, vocabulary::TimerChange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View,
};

/// Name and version.
pub const ID: (&str, u32) = ("timers", 2);

/// A timer that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timer {
    /// Whose it is.
    pub stream: StreamId,
    /// Its name, unique within the stream.
    pub timer: String,
    /// When it fires, domain time.
    pub due_at: Timestamp,
    /// The event that started (or moved) it: what it fires is told apart by this.
    pub started_by: EventId,
}

impl Timer {
    /// The timers that `event` starts or moves.
    pub fn started_by(event: &RecordedEvent) -> impl Iterator<Item = Self> {
        let (stream, started_by) = (event.stream, event.id);
        event.payload.timer_changes().into_iter().filter_map(move |change| match change {
            TimerChange::Start { timer, due_at } => Some(Self { stream, timer, due_at, started_by }),
            TimerChange::Stop { .. } => None,
        })
    }
}

/// Timers by stream and name.
pub const TIMERS: Collection<Timer> =
    Collection::new("timers", &[Index { name: "by_due_time", fields: &["due_at"] }]);

/// Folds timers.
#[derive(Clone, Copy, Debug)]
pub struct Timers;

impl Projection for Timers {
    fn name(&self) -> &'static str {
        ID.0
    }
    fn version(&self) -> u32 {
        ID.1
    }
    fn topics(&self) -> &'static [Service] {
        &[Service::Identity, Service::Jobs, Service::Payments]
    }
    fn shape(&self) -> Shape {
        Shape::Partitioned
    }
    fn collections(&self) -> &'static [CollectionSpec] {
        const { &[TIMERS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let changes = event.payload.timer_changes();
        if changes.is_empty() {
            return Ok(Applied::Skipped("starts and stops no timer"));
        }
        for change in changes {
            match change {
                TimerChange::Start { timer, due_at } => {
                    let key = key(event.stream, &timer);
                    let (stream, started_by) = (event.stream, event.id);
                    view.put(&TIMERS, &key, &Timer { stream, timer, due_at, started_by })?;
                }
                TimerChange::Stop { timer } => view.delete(&TIMERS, &key(event.stream, &timer)),
            }
        }
        Ok(Applied::Changed)
    }
}

fn key(stream: StreamId, timer: &str) -> String {
    format!("{stream}/{timer}")
}

/// The timers that are due at `now`, the one that has waited longest first.
///
/// # Errors
/// What the read store says.
pub async fn due(
    store: &dyn ReadStore,
    now: Timestamp,
    page: PageRequest,
) -> Result<Page<Timer>, StoreError> {
    let filters = vec![Filter::AtMost("due_at", now.into())];
    Reader::new(store, ID, &TIMERS).find(filters, Order::ascending("due_at"), page).await
}

/// All timers that run, the next to fire first.
///
/// # Errors
/// What the read store says.
pub async fn upcoming(store: &dyn ReadStore, page: PageRequest) -> Result<Page<Timer>, StoreError> {
    Reader::new(store, ID, &TIMERS).find(Vec::new(), Order::ascending("due_at"), page).await
}
