//! Folding a batch: few reads, all of an event or nothing, and nothing remembered that was to be forgotten.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use events::{
    RecordedEvent, Service,
    ids::{AccountId, BidId, JobId},
    stream::Partition,
    vocabulary::jobs::{BidWithdrawn, JobEdited},
};
use projections::{
    Applied, ApplyError, Batch, Checkpoint, CollectionSpec, DocumentKey, FoldError, Folding, Json, Page,
    Projection, ProjectionId, Query, ReadStore, Shape, StoreError, View, bids_by_job::BidsByJob,
    job_detail::JobDetails, my_jobs::MyJobs,
};

use crate::{
    memory::MemoryStore,
    story::{Story, id, project, terms},
};

#[derive(Default)]
struct Counting {
    memory: MemoryStore,
    reads: AtomicUsize,
}

type Answer<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl ReadStore for Counting {
    fn prepare<'a>(&'a self, id: &'a ProjectionId, specs: &'a [CollectionSpec]) -> Answer<'a, ()> {
        self.memory.prepare(id, specs)
    }
    fn get_many<'a>(
        &'a self,
        id: &'a ProjectionId,
        keys: &'a [DocumentKey],
    ) -> Answer<'a, Vec<Option<Json>>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.memory.get_many(id, keys)
    }
    fn commit(&self, batch: Batch) -> Answer<'_, ()> {
        self.memory.commit(batch)
    }
    fn checkpoint<'a>(
        &'a self,
        id: &'a ProjectionId,
        partition: Partition,
    ) -> Answer<'a, Option<Checkpoint>> {
        self.memory.checkpoint(id, partition)
    }
    fn find(&self, query: Query) -> Answer<'_, Page<Json>> {
        self.memory.find(query)
    }
    fn explain(&self, query: Query) -> Answer<'_, String> {
        self.memory.explain(query)
    }
    fn drop_projection<'a>(&'a self, id: &'a ProjectionId) -> Answer<'a, ()> {
        self.memory.drop_projection(id)
    }
}

fn many_jobs() -> Story {
    let mut story = Story::default();
    for number in 1..=50 {
        story.draft(id(number), id(1000), "work", (1, 2));
    }
    for number in 1..=50 {
        story.publish(id::<JobId>(number));
    }
    story
}

fn folding(projection: impl Projection, store: &Arc<impl ReadStore>) -> Folding {
    let store: Arc<dyn ReadStore> = store.clone();
    Folding::new(Arc::new(projection), store, 1024 * 1024)
}

/// What became of each event, in order.
async fn apply_all(folding: &mut Folding, events: &[&RecordedEvent]) -> Vec<Result<Applied, FoldError>> {
    folding.expect(events).await.unwrap();
    let mut results = Vec::new();
    for event in events {
        results.push(folding.apply(event).await);
    }
    results
}

async fn commit(folding: &mut Folding, store: &impl ReadStore) {
    let (projection, writes) = (folding.id().clone(), folding.writes());
    store.commit(Batch { projection, writes, advances: Vec::new(), unchanged: Vec::new() }).await.unwrap();
}

#[tokio::test]
async fn the_documents_of_a_batch_are_loaded_in_one_read() {
    let (store, story) = (Arc::new(Counting::default()), many_jobs());
    let (drafted, published) = story.events.split_at(50);
    project(Arc::new(MyJobs), store.clone(), drafted, &[50]).await;
    let before = store.reads.load(Ordering::Relaxed);
    let mut folding = folding(MyJobs, &store);
    let results = apply_all(&mut folding, &published.iter().collect::<Vec<_>>()).await;
    assert!(results.iter().all(|result| *result == Ok(Applied::Changed)));
    assert_eq!(store.reads.load(Ordering::Relaxed), before + 1);
    assert_eq!(folding.writes().len(), 50);
}

#[tokio::test]
async fn what_is_remembered_from_batch_to_batch_is_not_read_again() {
    let (store, story) = (Arc::new(Counting::default()), many_jobs());
    let (drafted, published) = story.events.split_at(50);
    let mut folding = folding(JobDetails, &store);
    apply_all(&mut folding, &drafted.iter().collect::<Vec<_>>()).await;
    commit(&mut folding, store.as_ref()).await;
    folding.settle();
    let before = store.reads.load(Ordering::Relaxed);
    for event in published {
        assert_eq!(apply_all(&mut folding, &[event]).await, [Ok(Applied::Changed)]);
        commit(&mut folding, store.as_ref()).await;
        folding.settle();
    }
    assert_eq!(store.reads.load(Ordering::Relaxed), before);
}

#[tokio::test]
async fn what_was_forgotten_is_read_again_as_somebody_else_has_left_it() {
    let (store, story) = (Arc::new(MemoryStore::default()), many_jobs());
    let (drafted, published) = story.events.split_at(50);
    let (mut ours, mut theirs) = (folding(JobDetails, &store), folding(JobDetails, &store));
    apply_all(&mut ours, &drafted.iter().collect::<Vec<_>>()).await;
    commit(&mut ours, store.as_ref()).await;
    ours.settle();
    apply_all(&mut theirs, &published.iter().collect::<Vec<_>>()).await;
    commit(&mut theirs, store.as_ref()).await;
    let expected = store.documents.lock().unwrap().clone();

    ours.forget();
    let edited = JobEdited { terms: terms("work", (1, 2)) };
    let mut story = story;
    let event = story.job(id(1), edited);
    assert_eq!(apply_all(&mut ours, &[&event]).await, [Ok(Applied::Changed)]);
    let writes = ours.writes();
    assert!(writes[0].value.as_ref().unwrap().text().contains("published"));
    assert!(expected.contains_key(&writes[0].document));
}

#[tokio::test]
async fn what_a_batch_made_is_gone_when_it_is_discarded_or_another_is_expected() {
    let (store, story) = (Arc::new(MemoryStore::default()), many_jobs());
    let mut folding = folding(MyJobs, &store);
    let first = [&story.events[0]];
    apply_all(&mut folding, &first).await;
    assert_eq!(folding.writes().len(), 1);
    folding.discard();
    assert!(folding.writes().is_empty());
    apply_all(&mut folding, &first).await;
    folding.expect(&[&story.events[1]]).await.unwrap();
    assert!(folding.writes().is_empty());
}

/// Folds titles, and counts how often it is asked.
#[derive(Default)]
struct Asked(AtomicUsize);

impl Projection for Asked {
    fn name(&self) -> &'static str {
        MyJobs.name()
    }
    fn version(&self) -> u32 {
        MyJobs.version()
    }
    fn topics(&self) -> &'static [Service] {
        MyJobs.topics()
    }
    fn shape(&self) -> Shape {
        MyJobs.shape()
    }
    fn collections(&self) -> &'static [CollectionSpec] {
        MyJobs.collections()
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        MyJobs.apply(event, view)
    }
}

#[tokio::test]
async fn events_to_which_nothing_is_missing_are_applied_once_and_come_to_the_same() {
    let (store, story) = (Arc::new(MemoryStore::default()), many_jobs());
    let asked = Arc::new(Asked::default());
    let mut once = Folding::new(Arc::clone(&asked) as Arc<dyn Projection>, Arc::clone(&store) as _, 1 << 20);
    let mut plain = folding(MyJobs, &store);
    let events: Vec<&RecordedEvent> = story.events.iter().collect();
    let results = apply_all(&mut once, &events).await;
    assert_eq!(asked.0.load(Ordering::Relaxed), events.len());
    for (event, result) in events.iter().zip(results) {
        assert_eq!(plain.apply(event).await, result);
    }
    assert_eq!(once.writes(), plain.writes());
}

#[tokio::test]
async fn what_was_expected_and_discarded_may_be_applied_in_part() {
    let (store, story) = (Arc::new(MemoryStore::default()), many_jobs());
    let mut folding = folding(MyJobs, &store);
    let events: Vec<&RecordedEvent> = story.events.iter().collect();
    folding.expect(&events).await.unwrap();
    assert_eq!(folding.apply(events[0]).await, Ok(Applied::Changed));
    assert!(folding.writes().is_empty(), "all of what was expected, or nothing");
    folding.discard();
    assert_eq!(folding.apply(events[0]).await, Ok(Applied::Changed));
    assert_eq!(folding.writes().len(), 1);
}

#[tokio::test]
async fn an_event_that_cannot_be_applied_leaves_nothing_and_those_behind_it_are_not_hurt() {
    let (job, other, client): (JobId, JobId, AccountId) = (id(1), id(2), id(10));
    let mut story = Story::default();
    story.draft(job, client, "one", (1, 2));
    story.job(job, BidWithdrawn { bid: id::<BidId>(77) });
    story.bid(other, id(79), id(11), 5);
    let store = Arc::new(MemoryStore::default());
    let mut folding = folding(BidsByJob, &store);
    let results = apply_all(&mut folding, &story.events.iter().collect::<Vec<_>>()).await;
    let failed = Err(FoldError::Poison(format!("there is no bids {}", id::<BidId>(77))));
    assert_eq!(results, [Ok(Applied::Skipped("not about a bid")), failed, Ok(Applied::Changed)]);
    assert_eq!(folding.writes().len(), 1);
}

#[tokio::test]
async fn an_event_for_a_document_that_is_not_there_cannot_be_applied() {
    let mut story = Story::default();
    let edited = story.job(id(1), JobEdited { terms: terms("lost", (1, 2)) });
    for projection in projections::all() {
        let store = Arc::new(MemoryStore::default());
        let mut folding = Folding::new(Arc::clone(&projection), store, 0);
        let results = apply_all(&mut folding, &[&edited]).await;
        let concerned = ["board", "job_detail", "my_jobs", "bids_by_worker"].contains(&projection.name());
        assert_eq!(matches!(results[..], [Err(FoldError::Poison(_))]), concerned, "{}", projection.name());
        assert!(folding.writes().is_empty());
    }
}
