//! Steps that process managers have asked for and that are not settled: what the dispatcher carries out.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{RecordedEvent, Service, StreamId, Timestamp, ids::EventId, vocabulary::StepChange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View,
};

/// Name and version.
pub const ID: (&str, u32) = ("steps", 2);

/// An open step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenStep {
    /// The process manager that asks.
    pub stream: StreamId,
    /// Its number within that run, from 1.
    pub number: u32,
    /// When it was asked for, domain time.
    pub requested_at: Timestamp,
    /// The event that asks for it.
    pub requested_by: EventId,
    /// The request that all this goes back to, so that who issues it need not look for it on the log; see
    /// [`events::CommandStamp::correlation_id`].
    #[serde(default)]
    pub correlation_id: String,
    /// The trace that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl OpenStep {
    /// The step that `event` asks for, if it asks for one.
    pub fn requested_by(event: &RecordedEvent) -> Option<Self> {
        match event.payload.step_change() {
            Some(StepChange::Requested(number)) => Some(Self::of(event, number)),
            Some(StepChange::Settled(_)) | None => None,
        }
    }

    fn of(event: &RecordedEvent, number: u32) -> Self {
        Self {
            stream: event.stream,
            number,
            requested_at: event.stamp.time,
            requested_by: event.id,
            correlation_id: event.stamp.correlation_id.clone(),
            traceparent: event.stamp.traceparent.clone(),
        }
    }
}

/// Steps by stream and number.
pub const STEPS: Collection<OpenStep> = Collection::new(
    "steps",
    &[
        Index { name: "by_request", fields: &["requested_at"] },
        Index { name: "by_stream", fields: &["stream", "number"] },
    ],
);

/// Folds steps.
#[derive(Clone, Copy, Debug)]
pub struct Steps;

impl Projection for Steps {
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
        const { &[STEPS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        match event.payload.step_change() {
            None => return Ok(Applied::Skipped("asks for no step and settles none")),
            Some(StepChange::Requested(number)) => {
                view.place(&STEPS, &key(event.stream, number), OpenStep::of(event, number));
            }
            Some(StepChange::Settled(number)) => view.delete(&STEPS, &key(event.stream, number)),
        }
        Ok(Applied::Changed)
    }
}

fn key(stream: StreamId, number: u32) -> String {
    format!("{stream}/{number:010}")
}

/// Open steps, the one that was asked for first at the top.
///
/// # Errors
/// What the read store says.
pub async fn open(store: &dyn ReadStore, page: PageRequest) -> Result<Page<OpenStep>, StoreError> {
    Reader::new(store, ID, &STEPS).find(Vec::new(), Order::ascending("requested_at"), page).await
}

/// The open steps of one process manager, by number.
///
/// # Errors
/// What the read store says.
pub async fn of_stream(
    store: &dyn ReadStore,
    stream: StreamId,
    page: PageRequest,
) -> Result<Page<OpenStep>, StoreError> {
    let filters = vec![Filter::Is("stream", stream.to_string().into())];
    Reader::new(store, ID, &STEPS).find(filters, Order::ascending("number"), page).await
}
