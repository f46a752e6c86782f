//! Clients that are replaced while the log is in use, on a real Kafka.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::*;
use crate::{
    Category, Id,
    ids::JobId,
    log::{judge::FORMAT, upstream::SourceRecord},
    stream::BEFORE_FIRST,
};

/// A log with one partition a service and nothing in it, and what its clients need.
struct Place {
    cluster: Cluster,
    identity: Identity,
    topics: Arc<Topics>,
    partition: Partition,
}

impl Place {
    fn new() -> Self {
        let brokers = std::env::var("GUILDHALL_STACK_KAFKA").expect(
            "GUILDHALL_STACK_KAFKA names no brokers: run this test as compose/stack run --only kafka -- cargo test …",
        );
        let mut options = LogOptions::kafka(&brokers, "unused");
        options.kafka.partitions = 1;
        options.kafka.topic_prefix = format!("test-{}", JobId::fresh().uuid().simple());
        let cluster = Cluster::new(&brokers, &options.kafka).unwrap();
        let questions = Questions::new(&cluster).unwrap();
        let identity = contact(&cluster, &questions, None, &options).unwrap();
        let topics = Arc::new(identity.topics(&options.kafka.topic_prefix));
        Self { cluster, identity, topics, partition: Partition { service: Service::Jobs, number: 0 } }
    }

    fn producer(&self) -> Producer {
        let producer =
            Producer::new(self.cluster.producer(1000), self.identity.log, Arc::clone(&self.topics)).unwrap();
        producer.release();
        producer
    }

    fn records(&self) -> Records {
        Records::new(self.cluster.consumer(), self.identity.log, Arc::clone(&self.topics)).unwrap()
    }
}

fn record(body: &str) -> Record {
    let key = StreamId::new(Category::Job, JobId::fresh()).to_string();
    Record { key, format: FORMAT, body: Arc::from(body.as_bytes()) }
}

/// The bodies behind `after`, at least so many.
fn read(records: &mut Records, partition: Partition, after: Offset, count: usize) -> Vec<SourceRecord> {
    let mut found = Vec::new();
    let mut at = after;
    let deadline = Instant::now() + Duration::from_secs(60);
    while found.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records came", found.len());
        let polled = records.poll(&[(partition, at)], 1000, Duration::from_millis(50)).unwrap();
        at = polled.last().map_or(at, |record| record.offset);
        found.extend(polled);
    }
    found
}

fn bodies(records: &[SourceRecord]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(&record.record.body).unwrap()).collect()
}

#[test]
#[ignore = "needs the stack"]
fn a_tail_whose_client_was_replaced_goes_on_where_it_was() {
    let place = Place::new();
    let (producer, mut records) = (place.producer(), place.records());
    for body in ["one", "two"] {
        producer.send(place.partition, record(body), CommitId::fresh());
    }
    let first = read(&mut records, place.partition, BEFORE_FIRST, 2);
    assert_eq!(bodies(&first), ["one", "two"]);
    drop(records.renew().unwrap());
    producer.send(place.partition, record("three"), CommitId::fresh());
    let then = read(&mut records, place.partition, first[1].offset, 1);
    assert_eq!(bodies(&then), ["three"]);
    assert_eq!(records.lasts()[&place.partition].offset, then[0].offset);
}

#[test]
#[ignore = "needs the stack"]
fn a_poll_brings_what_it_may_and_the_next_goes_on_behind_it() {
    let place = Place::new();
    let (producer, mut records) = (place.producer(), place.records());
    for body in ["one", "two", "three"] {
        producer.send(place.partition, record(body), CommitId::fresh());
    }
    let all = read(&mut records, place.partition, BEFORE_FIRST, 3);
    let polled = |records: &mut Records, after| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            assert!(Instant::now() < deadline, "nothing came");
            let found = records.poll(&[(place.partition, after)], 1, Duration::from_millis(50)).unwrap();
            if !found.is_empty() {
                return found;
            }
        }
    };
    // Somewhere else than it is at: it is told anew.
    assert_eq!(polled(&mut records, BEFORE_FIRST), all[..1]);
    assert_eq!(polled(&mut records, all[0].offset), all[1..2]);
    assert_eq!(polled(&mut records, all[0].offset), all[1..2]);
}

#[test]
#[ignore = "needs the stack"]
fn what_a_replaced_producer_had_is_said_to_have_failed_and_the_new_one_sends() {
    let place = Place::new();
    let (producer, mut records) = (place.producer(), place.records());
    let (commit, lost) = (CommitId::fresh(), record("again"));
    producer.send(place.partition, lost.clone(), commit);
    // The same commit once more, while the client has it: it is not sent twice.
    producer.send(place.partition, lost.clone(), commit);
    let retired = producer.renew_if_stuck(Some(Duration::ZERO));
    let failed = producer.failed();
    // Its delivery may have been quicker.
    assert!(failed == [commit] || (retired.is_none() && failed.is_empty()), "{failed:?}");
    drop(retired);
    producer.send(place.partition, record("behind"), CommitId::fresh());
    producer.send(place.partition, lost, commit);
    let found = read(&mut records, place.partition, BEFORE_FIRST, 2);
    assert!(bodies(&found).contains(&"behind") && bodies(&found).contains(&"again"));
    assert_eq!(producer.failed(), []);
}

#[test]
#[ignore = "needs the stack"]
fn what_is_held_is_sent_when_it_is_released() {
    let place = Place::new();
    let (producer, mut records) = (place.producer(), place.records());
    producer.hold();
    producer.send(place.partition, record("held"), CommitId::fresh());
    assert_eq!(records.poll(&[(place.partition, BEFORE_FIRST)], 10, Duration::from_secs(1)), Ok(Vec::new()));
    producer.release();
    assert_eq!(bodies(&read(&mut records, place.partition, BEFORE_FIRST, 1)), ["held"]);
}
