//! Small projections that remember every event they see, and can be broken.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use events::{RecordedEvent, Service, StreamId, Version};
use projections::{Applied, ApplyError, Collection, CollectionSpec, Projection, ReadStore, Shape, View};
use serde::{Deserialize, Serialize};

use super::document;

/// The versions of the events that were applied, by stream, in the order in which they were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    pub versions: BTreeMap<String, Vec<Version>>,
}

pub const TRAILS: Collection<Trail> = Collection::new("trails", &[]);

/// Writes a trail per document; documents are fed by one stream each, or by the streams that share a remainder.
pub struct Trails {
    name: &'static str,
    shape: Shape,
    documents: u128,
    halts: bool,
    poison: Mutex<BTreeSet<(StreamId, Version)>>,
    panics: bool,
    by_stream: bool,
    strict: bool,
    version: u32,
    bugs: Mutex<BTreeSet<(StreamId, Version)>>,
}

impl Trails {
    /// One document per stream.
    pub fn partitioned() -> Arc<Self> {
        Arc::new(Self::of("trails", Shape::Partitioned, u128::MAX))
    }

    /// So many documents, each fed by many streams.
    pub fn joined(documents: u128) -> Arc<Self> {
        Arc::new(Self::of("joined_trails", Shape::Joined, documents))
    }

    /// One document fed by all streams, of which each is a sequence of its own.
    pub fn joined_by_stream() -> Arc<Self> {
        Arc::new(Self { by_stream: true, ..Self::of("one_trail", Shape::Joined, 1) })
    }

    /// Like [`Trails::partitioned`], and halts at the first failure.
    pub fn halting() -> Arc<Self> {
        Arc::new(Self { halts: true, ..Self::of("halting_trails", Shape::Partitioned, u128::MAX) })
    }

    /// Like [`Trails::halting`], and what is applied twice or out of turn is a failure.
    pub fn halting_when_out_of_turn() -> Arc<Self> {
        let halting = Self::of("strict_trails", Shape::Partitioned, u128::MAX);
        Arc::new(Self { halts: true, strict: true, ..halting })
    }

    /// Like [`Trails::partitioned`], and panics at what it cannot apply.
    pub fn panicking() -> Arc<Self> {
        Arc::new(Self { panics: true, ..Self::of("panicking_trails", Shape::Partitioned, u128::MAX) })
    }

    fn of(name: &'static str, shape: Shape, documents: u128) -> Self {
        Self {
            name,
            shape,
            documents,
            halts: false,
            poison: Mutex::default(),
            panics: false,
            by_stream: false,
            strict: false,
            version: 1,
            bugs: Mutex::default(),
        }
    }

    /// Like [`Trails::partitioned`], as a later release folds it: it leaves out the first event of each stream.
    pub fn changed() -> Arc<Self> {
        Arc::new(Self { version: 2, ..Self::of("trails", Shape::Partitioned, u128::MAX) })
    }

    /// From now on, this event is passed over, as if it had been forgotten.
    pub fn pass_over(&self, stream: StreamId, version: Version) {
        self.bugs.lock().unwrap().insert((stream, version));
    }

    /// From now on, this event cannot be applied.
    pub fn poison(&self, stream: StreamId, version: Version) {
        self.poison.lock().unwrap().insert((stream, version));
    }

    /// From now on, everything can be applied.
    pub fn mend(&self) {
        self.poison.lock().unwrap().clear();
    }

    pub fn mend_one(&self, stream: StreamId, version: Version) {
        self.poison.lock().unwrap().remove(&(stream, version));
    }

    pub fn key(&self, stream: StreamId) -> String {
        match self.shape {
            Shape::Partitioned => stream.to_string(),
            Shape::Joined => format!("document-{}", stream.uuid.as_u128() % self.documents),
        }
    }

    /// The versions that were applied of a stream, in order.
    pub async fn trail(&self, store: &dyn ReadStore, stream: StreamId) -> Vec<Version> {
        let json = document(store, self, TRAILS.spec.name, &self.key(stream)).await;
        let trail: Trail = json.map(|json| json.parse().unwrap()).unwrap_or_default();
        trail.versions.get(&stream.to_string()).cloned().unwrap_or_default()
    }
}

impl Projection for Trails {
    fn name(&self) -> &'static str {
        self.name
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn topics(&self) -> &'static [Service] {
        &[Service::Jobs]
    }
    fn shape(&self) -> Shape {
        self.shape
    }
    fn collections(&self) -> &'static [CollectionSpec] {
        const { &[TRAILS.spec] }
    }
    fn sequence_key(&self, event: &RecordedEvent) -> String {
        if self.by_stream { event.stream.to_string() } else { self.key(event.stream) }
    }
    fn halt_on_failure(&self) -> bool {
        self.halts
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let passed_over = self.bugs.lock().unwrap().contains(&(event.stream, event.version));
        if passed_over || (self.version > 1 && event.version == 1) {
            return Ok(Applied::Skipped("the test says so"));
        }
        let key = self.key(event.stream);
        let mut trail = view.get(&TRAILS, &key)?.unwrap_or_default();
        let versions = trail.versions.entry(event.stream.to_string()).or_default();
        if self.strict && versions.last().copied().unwrap_or(0) + 1 != event.version {
            return Err(ApplyError::Poison(format!("version {} is out of turn", event.version)));
        }
        versions.push(event.version);
        // The change is made before it fails, so that a failed event is seen to leave nothing behind.
        view.put(&TRAILS, &key, &trail)?;
        if self.poison.lock().unwrap().contains(&(event.stream, event.version)) {
            assert!(!self.panics, "a projection that panics");
            return Err(ApplyError::Poison("the test says so".to_owned()));
        }
        Ok(Applied::Changed)
    }
}
