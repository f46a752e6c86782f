//! Histories for tests: events as they would come from the log.

use std::{collections::HashMap, sync::Arc};

use events::{
    Category, CommandStamp, Event, Id, Money, Personal, Position, RecordedEvent, StreamId, Timestamp,
    envelope::CommandHash,
    ids::{AccountId, BidId, CommandId, CommitId, ContractId, EventId, JobId, KeyId},
    personal::Sealed,
    stream::Partition,
    vocabulary::jobs::{
        BidAccepted, BidSubmitted, BidTerms, Budget, ContractEvent, ContractTerms, JobCreated, JobEvent,
        JobPublished, JobTerms, ProposedMilestone,
    },
};
use projections::{Batch, Folding, Projection, ReadStore};
use uuid::Uuid;

/// The id of a kind with this number.
pub(crate) fn id<I: Id>(number: u128) -> I {
    I::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn ghs(minor: i64) -> Money {
    Money::new(minor, "GHS".parse().unwrap())
}

pub(crate) fn sealed(subject: AccountId, text: &str) -> Personal<String> {
    Personal::from_sealed(Sealed { subject, kid: id::<KeyId>(1), sealed: text.to_owned() })
}

pub(crate) fn terms(title: &str, (min, max): (i64, i64)) -> JobTerms {
    JobTerms {
        title: title.to_owned(),
        description: format!("All about {title}"),
        category: "web-development".to_owned(),
        skills: vec!["rust".to_owned(), "sqlite".to_owned()],
        budget: Budget { min: ghs(min), max: ghs(max) },
    }
}

pub(crate) fn bid_terms(worker: AccountId, minor: i64) -> BidTerms {
    BidTerms {
        amount: ghs(minor),
        milestones: vec![
            ProposedMilestone { title: "first half".into(), amount: ghs(minor / 2) },
            ProposedMilestone { title: "second half".into(), amount: ghs(minor - minor / 2) },
        ],
        cover_letter: sealed(worker, "letter"),
    }
}

/// Events in the making: every one a second after the one before.
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) events: Vec<RecordedEvent>,
    versions: HashMap<StreamId, u64>,
    seconds: i64,
}

impl Story {
    /// The story that goes on behind `events`.
    pub(crate) fn after(events: Vec<RecordedEvent>) -> Self {
        let versions = events.iter().map(|event| (event.stream, event.version)).collect();
        Self { seconds: events.len() as i64, events, versions }
    }

    /// Domain time of the next event.
    pub(crate) fn now(&self) -> Timestamp {
        at(self.seconds)
    }

    pub(crate) fn say(&mut self, stream: StreamId, payload: impl Into<Event>) -> RecordedEvent {
        let version = self.versions.entry(stream).or_insert(0);
        *version += 1;
        let number = self.events.len() as u128 + 1;
        let event = RecordedEvent {
            position: Position {
                partition: Partition { service: stream.category.service(), number: 0 },
                offset: self.events.len() as i64,
            },
            stream,
            version: *version,
            id: id::<EventId>(number),
            commit_id: id::<CommitId>(number),
            stamp: CommandStamp {
                command_id: id::<CommandId>(number),
                command_hash: CommandHash([0; 16]),
                correlation_id: "test".into(),
                causation_id: None,
                actor: "system".into(),
                traceparent: None,
                time: at(self.seconds),
            },
            payload: payload.into(),
        };
        self.seconds += 1;
        self.events.push(event.clone());
        event
    }

    pub(crate) fn job(&mut self, job: JobId, payload: impl Into<JobEvent>) -> RecordedEvent {
        self.say(StreamId::new(Category::Job, job), payload.into())
    }

    pub(crate) fn contract(
        &mut self,
        contract: ContractId,
        payload: impl Into<ContractEvent>,
    ) -> RecordedEvent {
        self.say(StreamId::new(Category::Contract, contract), payload.into())
    }

    pub(crate) fn draft(&mut self, job: JobId, client: AccountId, title: &str, budget: (i64, i64)) {
        self.job(job, JobCreated { client, terms: terms(title, budget) });
    }

    pub(crate) fn publish(&mut self, job: JobId) {
        let expires_at = self.now().plus_millis(1_000_000);
        self.job(job, JobPublished { expires_at });
    }

    pub(crate) fn bid(&mut self, job: JobId, bid: BidId, worker: AccountId, minor: i64) {
        self.job(job, BidSubmitted { bid, worker, terms: bid_terms(worker, minor) });
    }

    pub(crate) fn accept(&mut self, contract: ContractId, terms: ContractTerms) {
        self.job(terms.job, BidAccepted { bid: terms.bid, contract, terms });
    }
}

pub(crate) fn contract_terms(
    job: JobId,
    bid: BidId,
    client: AccountId,
    worker: AccountId,
    minor: i64,
) -> ContractTerms {
    let milestones = bid_terms(worker, minor).milestones;
    ContractTerms { job, bid, client, worker, title: "the job".into(), price: ghs(minor), milestones }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000).plus_millis(seconds * 1000)
}

/// Folds `events` into `store` in batches of these sizes, over and over; every event must be applied or skipped.
pub(crate) async fn project(
    projection: Arc<dyn Projection>,
    store: Arc<dyn ReadStore>,
    events: &[RecordedEvent],
    batch_sizes: &[usize],
) {
    project_remembering(1024 * 1024, projection, store, events, batch_sizes).await;
}

/// [`project`], with documents of so many bytes remembered between the batches.
pub(crate) async fn project_remembering(
    remembered_bytes_max: usize,
    projection: Arc<dyn Projection>,
    store: Arc<dyn ReadStore>,
    events: &[RecordedEvent],
    batch_sizes: &[usize],
) {
    store.prepare(&projection.id(), projection.collections()).await.unwrap();
    let wanted = events.iter().filter(|event| projection.topics().contains(&event.stream.category.service()));
    let mut rest: &[&RecordedEvent] = &wanted.collect::<Vec<_>>();
    let mut sizes = batch_sizes.iter().cycle();
    let mut folding = Folding::new(Arc::clone(&projection), Arc::clone(&store), remembered_bytes_max);
    while !rest.is_empty() {
        let (batch, behind) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
        rest = behind;
        folding.expect(batch).await.unwrap();
        for event in batch {
            folding.apply(event).await.unwrap_or_else(|error| panic!("{error}: {event:?}"));
        }
        let (advances, unchanged) = (Vec::new(), Vec::new());
        let commit = Batch { projection: projection.id(), writes: folding.writes(), advances, unchanged };
        store.commit(commit).await.unwrap();
        folding.settle();
    }
}
