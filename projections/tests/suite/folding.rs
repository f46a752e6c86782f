//! Folding a batch: few reads, all of an event or nothing, and order kept behind a failure.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use events::{
    ids::{AccountId, BidId, JobId},
    stream::Partition,
    vocabulary::jobs::{BidWithdrawn, JobEdited},
};
use projections::{
    Applied, Batch, Checkpoint, CollectionSpec, DocumentKey, Json, Page, ProjectionId, Query, ReadStore,
    StoreError, Verdict, View, bids_by_job::BidsByJob, fold, job_detail::JobDetails, load_for,
    my_jobs::MyJobs,
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

#[tokio::test]
async fn the_documents_of_a_batch_are_loaded_in_one_read() {
    let (store, story) = (Counting::default(), many_jobs());
    project(&MyJobs, &store, &story.events[..50], &[50]).await;
    assert_eq!(store.reads.load(Ordering::Relaxed), 0);
    let mut view = View::new();
    let verdicts = fold(&MyJobs, &store, &story.events[50..], &BTreeSet::new(), &mut view).await.unwrap();
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Done(Applied::Changed)));
    assert_eq!(store.reads.load(Ordering::Relaxed), 1);
    assert_eq!(view.writes().len(), 50);
}

#[tokio::test]
async fn what_was_loaded_for_a_batch_needs_no_further_read_event_by_event() {
    let (store, story) = (Counting::default(), many_jobs());
    project(&JobDetails, &store, &story.events[..50], &[50]).await;
    let (mut view, before) = (View::new(), store.reads.load(Ordering::Relaxed));
    let behind: Vec<_> = story.events[50..].iter().collect();
    load_for(&JobDetails, &store, &behind, &mut view).await.unwrap();
    assert_eq!(store.reads.load(Ordering::Relaxed), before + 1);
    for event in behind {
        assert_eq!(view.attempt(&JobDetails, event), Ok(Applied::Changed));
    }
}

#[tokio::test]
async fn a_view_that_lives_on_reads_nothing_twice() {
    let (store, story) = (Counting::default(), many_jobs());
    project(&MyJobs, &store, &story.events, &[10]).await;
    assert_eq!(store.reads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn behind_a_failure_its_sequence_waits_and_all_others_go_on() {
    let (job, other, client): (JobId, JobId, AccountId) = (id(1), id(2), id(10));
    let mut story = Story::default();
    story.draft(job, client, "one", (1, 2));
    story.draft(other, client, "two", (1, 2));
    story.job(job, BidWithdrawn { bid: id::<BidId>(77) });
    story.bid(job, id(78), id(11), 5);
    story.bid(other, id(79), id(11), 5);
    let (store, mut view) = (MemoryStore::default(), View::new());
    let skipped = Verdict::Done(Applied::Skipped("not about a bid"));
    let verdicts = fold(&BidsByJob, &store, &story.events, &BTreeSet::new(), &mut view).await.unwrap();
    let failed = Verdict::Failed(format!("there is no bids {}", id::<BidId>(77)));
    let done = Verdict::Done(Applied::Changed);
    assert_eq!(verdicts, [skipped.clone(), skipped.clone(), failed, Verdict::Behind, done.clone()]);
    assert_eq!(view.writes().len(), 1);
    let blocked = BTreeSet::from([story.events[0].stream.to_string()]);
    let verdicts = fold(&BidsByJob, &store, &story.events, &blocked, &mut view).await.unwrap();
    assert_eq!(verdicts, [Verdict::Behind, skipped, Verdict::Behind, Verdict::Behind, done]);
}

#[tokio::test]
async fn an_event_for_a_document_that_is_not_there_cannot_be_applied() {
    let mut story = Story::default();
    let edited = story.job(id(1), JobEdited { terms: terms("lost", (1, 2)) });
    for projection in projections::all() {
        let (store, mut view) = (MemoryStore::default(), View::new());
        let events = [edited.clone()];
        let verdicts = fold(projection.as_ref(), &store, &events, &BTreeSet::new(), &mut view).await.unwrap();
        let concerned = ["board", "job_detail", "my_jobs", "bids_by_worker"].contains(&projection.name());
        assert_eq!(matches!(verdicts[..], [Verdict::Failed(_)]), concerned, "{}", projection.name());
        assert!(view.writes().is_empty());
    }
}
