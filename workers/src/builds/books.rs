//! What the read store knows of builds, as it was read, and changes to it by compare-and-set.

use std::{collections::BTreeMap, sync::Arc};

use events::{LogId, Offset, Partition, Timestamp, log::EventLog, stream::BEFORE_FIRST};
use projections::{
    Batch, Json, Projection, ProjectionId, ReadStore, Shape, StoreError, Write,
    builds::{self, ALIASES, Alias, BUILDS, BuildRecord, BuildState},
};

use crate::documents;

/// Documents read at once.
const PAGE: usize = 500;

/// What is known of one projection's builds. Empty for one that was never rebuilt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) alias: Option<(Alias, Json)>,
    pub(crate) builds: Vec<(BuildRecord, Json)>,
}

impl Entry {
    /// The live build, as processes of the newest release see it.
    pub(crate) fn live(&self, first: &ProjectionId) -> ProjectionId {
        let alias = self.alias.as_ref().map(|(alias, _)| (alias.version, alias.build));
        let (version, build) = alias.unwrap_or((first.version, 0));
        ProjectionId { name: first.name.clone(), version, build }
    }

    /// What is known of a build.
    pub(crate) fn record(&self, id: &ProjectionId) -> Option<&BuildRecord> {
        self.builds.iter().map(|(record, _)| record).find(|record| record.id == *id)
    }
}

/// What is known of all of them, by the projection's name.
pub(crate) async fn all(store: &dyn ReadStore) -> Result<BTreeMap<String, Entry>, StoreError> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    // The aliases first: a build that has none beside it yet is found with the next look.
    for (name, json) in scan(store, ALIASES.spec.name).await? {
        entries.entry(name).or_default().alias = Some((builds::decode(&json)?, json));
    }
    for (_, json) in scan(store, BUILDS.spec.name).await? {
        let record: BuildRecord = builds::decode(&json)?;
        entries.entry(record.id.name.clone()).or_default().builds.push((record, json));
    }
    Ok(entries)
}

/// What is known of one of them.
pub(crate) async fn one(store: &dyn ReadStore, name: &str) -> Result<Entry, StoreError> {
    Ok(all(store).await?.remove(name).unwrap_or_default())
}

async fn scan(store: &dyn ReadStore, collection: &'static str) -> Result<Vec<(String, Json)>, StoreError> {
    let (id, mut found, mut after) = (builds::id(), Vec::new(), None);
    loop {
        let page = store.scan(&id, collection, after, PAGE).await?;
        let ended = page.len() < PAGE;
        after = page.last().map(|(key, _)| key.clone());
        found.extend(page);
        if ended {
            return Ok(found);
        }
    }
}

/// A change in the making: whatever it is about must still be as it was read.
#[derive(Debug, Default)]
pub(crate) struct Change {
    writes: Vec<Write>,
    unchanged: Vec<Write>,
}

impl Change {
    /// The alias will be this.
    pub(crate) fn alias(mut self, name: &str, entry: &Entry, alias: &Alias) -> Result<Self, StoreError> {
        let document = builds::alias_key(name);
        let before = entry.alias.as_ref().map(|(_, json)| json.clone());
        self.unchanged.push(Write { document: document.clone(), value: before });
        self.writes.push(Write { document, value: Some(documents::encode(alias)?) });
        Ok(self)
    }

    /// What is known of a build will be this.
    pub(crate) fn record(mut self, entry: &Entry, record: &BuildRecord) -> Result<Self, StoreError> {
        let value = Some(documents::encode(record)?);
        self.about(entry, &record.id, value);
        Ok(self)
    }

    /// Nothing will be known of a build.
    pub(crate) fn removed(mut self, entry: &Entry, id: &ProjectionId) -> Self {
        self.about(entry, id, None);
        self
    }

    fn about(&mut self, entry: &Entry, id: &ProjectionId, value: Option<Json>) {
        let document = builds::build_key(id);
        let before = entry.builds.iter().find(|(record, _)| record.id == *id).map(|(_, json)| json.clone());
        self.unchanged.push(Write { document: document.clone(), value: before });
        self.writes.push(Write { document, value });
    }

    /// # Errors
    /// [`StoreError::Fenced`] when something of it was changed meanwhile: nothing was written.
    pub(crate) async fn commit(self, store: &dyn ReadStore) -> Result<(), StoreError> {
        let Self { writes, unchanged } = self;
        store.commit(Batch { projection: builds::id(), writes, advances: Vec::new(), unchanged }).await
    }
}

/// Changes the record of a build as often as it takes; `false`: there is none, or `change` leaves it as it is.
pub(crate) async fn update(
    store: &dyn ReadStore,
    id: &ProjectionId,
    change: impl Fn(&mut BuildRecord) -> bool,
) -> Result<bool, StoreError> {
    loop {
        let entry = one(store, &id.name).await?;
        let Some(mut record) = entry.record(id).cloned() else { return Ok(false) };
        if !change(&mut record) {
            return Ok(false);
        }
        match Change::default().record(&entry, &record)?.commit(store).await {
            Err(StoreError::Fenced) => {}
            outcome => return outcome.map(|()| true),
        }
    }
}

/// Nothing is known of the builds of this projection any more: the first one of each version is live. All of them are
/// dropped first, but for those that are first.
pub(crate) async fn forget(store: &dyn ReadStore, name: &str) -> Result<(), StoreError> {
    loop {
        let entry = one(store, name).await?;
        let mut change = Change::default();
        for (record, _) in &entry.builds {
            if record.id.build > 0 {
                store.drop_projection(&record.id).await?;
            }
            change = change.removed(&entry, &record.id);
        }
        if let Some((_, json)) = &entry.alias {
            let document = builds::alias_key(name);
            change.unchanged.push(Write { document: document.clone(), value: Some(json.clone()) });
            change.writes.push(Write { document, value: None });
        }
        if change.writes.is_empty() {
            return Ok(());
        }
        match change.commit(store).await {
            Err(StoreError::Fenced) => {}
            outcome => return outcome,
        }
    }
}

/// The alias of a projection that had none, with this live build.
pub(crate) fn first_alias(live: &ProjectionId) -> Alias {
    Alias {
        version: live.version,
        build: live.build,
        earlier: BTreeMap::new(),
        next: BTreeMap::from([(live.version, live.build + 1)]),
        swap: None,
    }
}

/// The record of a build that was there before anything was known of builds.
pub(crate) fn found_live(id: &ProjectionId, log: LogId) -> BuildRecord {
    let now = Timestamp::now();
    BuildRecord {
        id: id.clone(),
        state: BuildState::Live,
        paused: false,
        log,
        targets: BTreeMap::new(),
        started_at: now,
        started_by: "nobody: it was the first".to_owned(),
        swap_when_ready: false,
        counted_from: (now, 0),
        replaced_at: None,
        comparison: None,
        trouble: None,
    }
}

/// The scopes of a projection, with their partitions: each is written by one runner at a time.
pub(crate) fn scopes(log: &dyn EventLog, projection: &dyn Projection) -> Vec<(String, Vec<Partition>)> {
    let partitions = partitions(log, projection).into_iter();
    match projection.shape() {
        Shape::Partitioned => partitions.map(|partition| (partition.to_string(), vec![partition])).collect(),
        Shape::Joined => vec![("all".to_owned(), partitions.collect())],
    }
}

/// The partitions that a projection reads.
pub(crate) fn partitions(log: &dyn EventLog, projection: &dyn Projection) -> Vec<Partition> {
    let of_it = |partition: &Partition| projection.topics().contains(&partition.service);
    log.partitions().into_iter().filter(of_it).collect()
}

/// How far a build is in each partition, by partition as text.
pub(crate) type Places = BTreeMap<String, Offset>;

/// How far a build is in each of these partitions of this log.
pub(crate) async fn places(
    store: &dyn ReadStore,
    id: &ProjectionId,
    log: LogId,
    partitions: &[Partition],
) -> Result<Places, StoreError> {
    let mut places = Places::new();
    for partition in partitions {
        let checkpoint = store.checkpoint(id, *partition).await?.filter(|checkpoint| checkpoint.log == log);
        places.insert(partition.to_string(), checkpoint.map_or(BEFORE_FIRST, |found| found.offset));
    }
    Ok(places)
}

/// Whether `places` have come as far as `others` everywhere.
pub(crate) fn has_reached(places: &Places, others: &Places) -> bool {
    behind(places, others) == 0
}

/// By how much `places` are behind `others`, all partitions together.
pub(crate) fn behind(places: &Places, others: &Places) -> i64 {
    let short = |(partition, other): (&String, &Offset)| {
        let place = places.get(partition).copied().unwrap_or(BEFORE_FIRST);
        (other - place).max(0)
    };
    others.iter().map(short).sum()
}

/// The ends of these partitions, as this copy of the log has them.
pub(crate) async fn ends(log: &Arc<dyn EventLog>, partitions: Vec<Partition>) -> Result<Places, StoreError> {
    let log = Arc::clone(log);
    let read = tokio::task::spawn_blocking(move || {
        let end = |partition: Partition| Ok((partition.to_string(), log.end(partition)?));
        partitions.into_iter().map(end).collect::<Result<Places, events::log::LogError>>()
    });
    let read = read.await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    read.map_err(|error| StoreError::Unavailable(error.to_string()))
}
