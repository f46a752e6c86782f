//! Which log the topics are: the records of one small topic, of which the first of each key counts, whoever wrote it.
//!
//! Nodes that are first at the same time each write a proposal; the topic's order decides, and all come to the same.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};
use uuid::Uuid;

use super::{
    questions::Questions,
    topics::{IDENTITY_BYTES_MAX, Topics, events_topic, identity_plan, identity_topic},
};
use crate::{
    kafka::{Admin, Cluster, ClusterError, client_error, log_error, log_line},
    stream::{LogId, Service},
};

/// The key of the record with the log's id, 32 hexadecimal digits.
const LOG_KEY: &str = "log";

/// What the topics are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Which log.
    pub(super) log: LogId,
    /// How many partitions each service's topic has, for ever.
    pub(super) partitions: Vec<(Service, u16)>,
}

/// The key of the record with the number of partitions of a service's topic.
fn partitions_key(service: Service) -> String {
    format!("partitions.{service}")
}

impl Identity {
    /// The topics of this log.
    pub(super) fn topics(&self, prefix: &str) -> Topics {
        Topics::new(prefix, &self.partitions)
    }

    /// Reads who the topics are, and says it where nobody has yet.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] when the topic is not as it must be, or holds what cannot be read, or names no log although
    /// there is history; [`ClusterError::Away`].
    pub(super) fn establish(
        cluster: &Cluster,
        admin: &Admin,
        questions: &Questions,
        deadline: Instant,
    ) -> Result<Self, ClusterError> {
        let prefix = &cluster.options().topic_prefix;
        let topic = identity_topic(prefix);
        admin.ensure(cluster, &identity_plan(prefix), deadline)?;
        let mut records = questions.all_of(&topic, deadline)?;
        if let Known::Complete(identity) = read(&topic, &records)? {
            return Ok(identity);
        }
        let named = |records: &[(String, String)]| records.iter().any(|(key, _)| key == LOG_KEY);
        if !named(&records) && has_history(prefix, admin, questions, deadline)? {
            // Somebody may have been a moment before us.
            records = questions.all_of(&topic, deadline)?;
            if !named(&records) {
                return Err(ClusterError::Refused(format!(
                    "the topic {topic} names no log, but the topics {prefix}.*.events hold records: their identity was deleted; bring the topic back, or copy the log from a node's copy to a new one"
                )));
            }
        }
        if let Known::Lacks(proposals) = read(&topic, &records)? {
            let proposals = proposals.into_iter().map(|lack| lack.proposal(cluster.options().partitions));
            propose(cluster, &topic, proposals.collect(), deadline)?;
            records = questions.all_of(&topic, deadline)?;
        }
        complete(&topic, &records)
    }

    /// Reads who the topics are. Where this release knows a service more than those before it, its number of partitions is
    /// said; which log it is must have been said already.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] when the topic is gone or does not say; [`ClusterError::Away`].
    pub(super) fn look(
        cluster: &Cluster,
        admin: &Admin,
        questions: &Questions,
        deadline: Instant,
    ) -> Result<Self, ClusterError> {
        let topic = identity_topic(&cluster.options().topic_prefix);
        admin.replicas_of_existing(&topic, deadline)?;
        let mut records = questions.all_of(&topic, deadline)?;
        if !records.iter().any(|(key, _)| key == LOG_KEY) {
            return Err(ClusterError::Refused(format!(
                "the topic {topic} does not say any more which log it is: it was made anew; bring the topics back, or copy the log from a node's copy to a new one"
            )));
        }
        if let Known::Lacks(lacks) = read(&topic, &records)? {
            let proposals = lacks.into_iter().map(|lack| lack.proposal(cluster.options().partitions));
            propose(cluster, &topic, proposals.collect(), deadline)?;
            records = questions.all_of(&topic, deadline)?;
        }
        complete(&topic, &records)
    }
}

/// The identity that must be there by now.
fn complete(topic: &str, records: &[(String, String)]) -> Result<Identity, ClusterError> {
    match read(topic, records)? {
        Known::Complete(identity) => Ok(identity),
        Known::Lacks(_) => {
            Err(ClusterError::Away(format!("the topic {topic} does not show what was written to it")))
        }
    }
}

/// What the records of the topic come to.
enum Known {
    Complete(Identity),
    Lacks(Vec<Lack>),
}

/// What nobody has said yet.
enum Lack {
    Log,
    Partitions(Service),
}

impl Lack {
    fn proposal(self, partitions: u16) -> (String, String) {
        match self {
            Self::Log => (LOG_KEY.to_owned(), LogId(Uuid::now_v7()).to_string()),
            Self::Partitions(service) => (partitions_key(service), partitions.to_string()),
        }
    }
}

/// The first record of each key counts. Keys of newer releases are passed over.
fn read(topic: &str, records: &[(String, String)]) -> Result<Known, ClusterError> {
    let first = |wanted: &str| records.iter().find(|(key, _)| key == wanted).map(|(_, value)| value);
    let unreadable = |key: &str, value: &str| {
        ClusterError::Refused(format!(
            "the topic {topic} says '{value}' for '{key}', which is no identity of a log: it belongs to something else; choose another prefix"
        ))
    };
    let mut lacks = Vec::new();
    let log = match first(LOG_KEY) {
        None => {
            lacks.push(Lack::Log);
            None
        }
        Some(value) => {
            let uuid = crate::ids::parse_hex(value).ok_or_else(|| unreadable(LOG_KEY, value))?;
            Some(LogId(uuid))
        }
    };
    let mut partitions = Vec::new();
    for service in Service::ALL {
        let key = partitions_key(*service);
        match first(&key) {
            None => lacks.push(Lack::Partitions(*service)),
            Some(value) => {
                let number = value.parse().ok().filter(|number: &u16| *number > 0);
                partitions.push((*service, number.ok_or_else(|| unreadable(&key, value))?));
            }
        }
    }
    match log {
        Some(log) if lacks.is_empty() => Ok(Known::Complete(Identity { log, partitions })),
        _ => Ok(Known::Lacks(lacks)),
    }
}

/// Whether a topic of the log has held a record.
fn has_history(
    prefix: &str,
    admin: &Admin,
    questions: &Questions,
    deadline: Instant,
) -> Result<bool, ClusterError> {
    for service in Service::ALL {
        let topic = events_topic(prefix, *service);
        let partitions = admin.replicas(&topic, deadline)?.map_or(0, |replicas| replicas.len());
        for number in 0..u16::try_from(partitions).unwrap_or(u16::MAX) {
            let wait = deadline.saturating_duration_since(Instant::now());
            let (_, next) = questions
                .bounds(&topic, number, wait)
                .map_err(|error| ClusterError::Away(format!("the end of {topic}: {error}")))?;
            if next > 0 {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Writes proposals and waits until each is on every replica in sync.
fn propose(
    cluster: &Cluster,
    topic: &str,
    proposals: Vec<(String, String)>,
    deadline: Instant,
) -> Result<(), ClusterError> {
    let outcome = Arc::new(Outcome::default());
    let client: BaseProducer<Proposing> = cluster
        .producer(IDENTITY_BYTES_MAX)
        .create_with_context(Proposing(Arc::clone(&outcome)))
        .map_err(client_error)?;
    for (key, value) in &proposals {
        client
            .send(BaseRecord::to(topic).partition(0).key(key).payload(value))
            .map_err(|(error, _)| ClusterError::Away(format!("the topic {topic} takes nothing: {error}")))?;
    }
    while client.in_flight_count() > 0 {
        if Instant::now() >= deadline {
            return Err(ClusterError::Away(format!("the topic {topic} takes nothing")));
        }
        client.poll(Duration::from_millis(20));
    }
    let failed = outcome.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    failed.map_or(Ok(()), |reason| {
        Err(ClusterError::Away(format!("the topic {topic} takes nothing: {reason}")))
    })
}

#[derive(Default)]
struct Outcome {
    failed: Mutex<Option<String>>,
}

/// Notes what became of proposals.
struct Proposing(Arc<Outcome>);

impl ClientContext for Proposing {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ProducerContext for Proposing {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            *self.0.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_first_record_of_each_key_counts_and_other_keys_are_passed_over() {
        let (one, two) = ("0192f0c1a2b37c4d8e5f60718293a4b5", "0192f0c1a2b37c4d8e5f60718293a4b6");
        let mut all = records(&[("log", one), ("colour", "red"), ("log", two)]);
        for service in Service::ALL {
            all.extend(records(&[(&partitions_key(*service), "3"), (&partitions_key(*service), "9")]));
        }
        let Ok(Known::Complete(identity)) = read("t", &all) else { panic!("complete") };
        assert_eq!(identity.log.to_string(), one);
        assert!(identity.partitions.iter().all(|(_, partitions)| *partitions == 3));
        assert_eq!(identity.partitions.len(), Service::ALL.len());
    }

    #[test]
    fn what_nobody_has_said_is_proposed_and_what_cannot_be_read_is_refused() {
        let Ok(Known::Lacks(lacks)) = read("t", &records(&[("partitions.jobs", "2")])) else {
            panic!("lacks")
        };
        let proposals: Vec<(String, String)> = lacks.into_iter().map(|lack| lack.proposal(4)).collect();
        assert_eq!(proposals.len(), Service::ALL.len());
        assert!(proposals.contains(&("partitions.identity".into(), "4".into())));
        assert!(proposals.iter().any(|(key, value)| key == "log" && value.len() == 32));
        for wrong in [("log", "mine"), ("partitions.jobs", "0"), ("partitions.jobs", "many")] {
            assert!(matches!(read("t", &records(&[wrong])), Err(ClusterError::Refused(_))), "{wrong:?}");
        }
    }
}
