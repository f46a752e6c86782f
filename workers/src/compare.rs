//! Proves that a read model is what its events make of it: folds the log anew and compares every document.

use std::{fmt, sync::Arc};

use events::{
    Offset, Partition,
    log::{EventLog, LogError},
    stream::BEFORE_FIRST,
};
use projections::{
    Batch, DocumentKey, FoldError, Folding, Json, Projection, ProjectionId, ReadStore, StoreError, builds,
};

use crate::{
    runner::{
        Trouble,
        progress::collections_with_ours,
        source::{Item, Source},
    },
    settings::WorkerSettings,
};

/// A document that is not what the rebuilt read model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which document.
    pub document: DocumentKey,
    /// As it was rebuilt; `None`: it should not be there.
    pub rebuilt: Option<Json>,
    /// As the read store has it; `None`: it is not there.
    pub live: Option<Json>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |json: &Option<Json>| json.as_ref().map_or("nothing", Json::text).to_owned();
        let DocumentKey { collection, key } = &self.document;
        write!(f, "{collection} {key}: rebuilt {}, live {}", text(&self.rebuilt), text(&self.live))
    }
}

/// Why a comparison could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// The read store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log said no.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An event cannot be applied, so there is no whole read model to compare with.
    #[error("{0}")]
    NotRebuilt(String),
    /// The live read model went on meanwhile: compare it while its runner stands still.
    #[error("the read model went on while it was compared")]
    Moved,
}

/// Documents compared at once.
const PAGE: usize = 500;

/// Folds `projection` from the beginning of the log into `scratch`, an empty read store, up to where the live one has
/// read, and compares every document byte for byte. At most `limit` differences are told.
///
/// # Errors
/// See [`CompareError`].
pub async fn rebuild_and_compare(
    projection: Arc<dyn Projection>,
    log: Arc<dyn EventLog>,
    live: &dyn ReadStore,
    scratch: Arc<dyn ReadStore>,
    limit: usize,
) -> Result<Vec<Difference>, CompareError> {
    let (id, first) = (builds::live(live, &projection.id()).await?, projection.id());
    let collections = collections_with_ours(projection.collections());
    live.prepare(&id, &collections).await?;
    scratch.prepare(&first, &collections).await?;
    let partitions: Vec<Partition> =
        log.partitions().into_iter().filter(|p| projection.topics().contains(&p.service)).collect();
    let reached = checkpoints(live, &id, &partitions).await?;
    let settings = WorkerSettings::default();
    let source = Source::new(log, &settings);
    let remembered = settings.documents_remembered_bytes_max;
    let mut folding = Folding::new(Arc::clone(&projection), Arc::clone(&scratch), remembered);
    for (partition, until) in &reached {
        rebuild(&source, &mut folding, scratch.as_ref(), *partition, *until).await?;
    }
    let mut differences = Vec::new();
    for spec in projection.collections() {
        compare((live, &id), (scratch.as_ref(), &first), spec.name, limit, &mut differences).await?;
    }
    if checkpoints(live, &id, &partitions).await? == reached {
        Ok(differences)
    } else {
        Err(CompareError::Moved)
    }
}

async fn checkpoints(
    store: &dyn ReadStore,
    id: &ProjectionId,
    partitions: &[Partition],
) -> Result<Vec<(Partition, Offset)>, StoreError> {
    let mut reached = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let checkpoint = store.checkpoint(id, *partition).await?;
        reached.push((*partition, checkpoint.map_or(BEFORE_FIRST, |checkpoint| checkpoint.offset)));
    }
    Ok(reached)
}

async fn rebuild(
    source: &Source,
    folding: &mut Folding,
    scratch: &dyn ReadStore,
    partition: Partition,
    until: Offset,
) -> Result<(), CompareError> {
    let mut from = BEFORE_FIRST + 1;
    while from <= until {
        let commits = source.chunk(partition, from, until).await.map_err(not_rebuilt)?;
        let Some(last) = commits.last() else { return Ok(()) };
        from = last.position.offset + 1;
        let items = || commits.iter().flat_map(|commit| &commit.items);
        let events = items().filter_map(|item| match item {
            Item::Event(event) => Some(event.as_ref()),
            Item::Unreadable(_) => None,
        });
        folding.expect(&events.collect::<Vec<_>>()).await?;
        for item in items() {
            let failed = match item {
                Item::Unreadable(unreadable) if unreadable.is_foreign() => continue,
                Item::Unreadable(unreadable) => unreadable.error.to_string(),
                Item::Event(event) => match folding.apply(event).await {
                    Ok(_) => continue,
                    Err(FoldError::Poison(reason)) => reason,
                    Err(FoldError::Store(error)) => return Err(error.into()),
                },
            };
            let position = item.entry().position;
            return Err(CompareError::NotRebuilt(format!(
                "the event at {position} cannot be applied: {failed}"
            )));
        }
        let (projection, writes) = (folding.id().clone(), folding.writes());
        scratch.commit(Batch { projection, writes, advances: Vec::new(), unchanged: Vec::new() }).await?;
        folding.settle();
    }
    Ok(())
}

fn not_rebuilt(trouble: Trouble) -> CompareError {
    match trouble {
        Trouble::Fenced => CompareError::Moved,
        Trouble::Unavailable(reason) | Trouble::Behind(reason) | Trouble::Stopped(reason) => {
            CompareError::NotRebuilt(reason)
        }
    }
}

/// Walks both collections by key, like two sorted lists.
async fn compare(
    (live, live_id): (&dyn ReadStore, &ProjectionId),
    (scratch, scratch_id): (&dyn ReadStore, &ProjectionId),
    collection: &'static str,
    limit: usize,
    differences: &mut Vec<Difference>,
) -> Result<(), CompareError> {
    let mut live = Walk::new(live, live_id, collection);
    let mut rebuilt = Walk::new(scratch, scratch_id, collection);
    while differences.len() < limit {
        let key = match (rebuilt.peek().await?, live.peek().await?) {
            (None, None) => return Ok(()),
            (Some(key), None) | (None, Some(key)) => key,
            (Some(one), Some(other)) => one.min(other),
        };
        let (rebuilt, live) = (rebuilt.take(&key), live.take(&key));
        if rebuilt != live {
            let document = DocumentKey { collection, key };
            differences.push(Difference { document, rebuilt, live });
        }
    }
    Ok(())
}

/// A collection, document by document.
struct Walk<'a> {
    store: &'a dyn ReadStore,
    id: &'a ProjectionId,
    collection: &'static str,
    page: std::collections::VecDeque<(String, Json)>,
    last: Option<String>,
    ended: bool,
}

impl<'a> Walk<'a> {
    fn new(store: &'a dyn ReadStore, id: &'a ProjectionId, collection: &'static str) -> Self {
        Self { store, id, collection, page: Default::default(), last: None, ended: false }
    }

    /// The key of the next document.
    async fn peek(&mut self) -> Result<Option<String>, StoreError> {
        if self.page.is_empty() && !self.ended {
            let page = self.store.scan(self.id, self.collection, self.last.clone(), PAGE).await?;
            self.ended = page.len() < PAGE;
            self.last = page.last().map(|(key, _)| key.clone()).or(self.last.take());
            self.page = page.into();
        }
        Ok(self.page.front().map(|(key, _)| key.clone()))
    }

    /// The next document, when it has this key.
    fn take(&mut self, key: &str) -> Option<Json> {
        let is_next = self.page.front().is_some_and(|(next, _)| next == key);
        is_next.then(|| self.page.pop_front()).flatten().map(|(_, json)| json)
    }
}
