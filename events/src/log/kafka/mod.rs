//! The log on Kafka: one topic a service, one record a commit, and what has to hold before a copy may follow it.
//!
//! A producer sends, a consumer tails, a third client asks; a thread of its own watches them ([`watch`]). Topics are made or
//! checked when the log is opened. When Kafka is away then, a copy that exists is opened all the same: it is read, commits
//! wait, and nothing is sent or judged before the checks were made.

mod checks;
mod groups;
mod identity;
mod producer;
mod questions;
mod record;
mod records;
mod standing;
#[cfg(test)]
mod tests;
mod topics;
mod watch;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use self::{
    identity::Identity,
    producer::Producer,
    questions::Questions,
    records::{Records, Trouble},
    standing::Standing,
    topics::Topics,
    watch::Watch,
};
use super::{
    LogError, LogOptions, copy,
    tailed::Tailed,
    upstream::{Away, Polled, Record, Upstream},
};
use crate::{
    ids::CommitId,
    kafka::{Admin, Cluster, ClusterError, until_believed},
    stream::{LogId, Offset, Partition, Service, StreamId},
};

/// How long the first contact may take.
const CONTACT_WAIT: Duration = Duration::from_secs(10);
/// How long it may take where a copy can be read meanwhile.
const CONTACT_WAIT_WITH_COPY: Duration = Duration::from_secs(3);
/// How long topics may take to be made and checked, once the cluster answers. Its brokers do not learn of new topics at once.
const CHECKS_WAIT: Duration = Duration::from_secs(60);
/// How long they may take to be checked where a copy can be read meanwhile.
const CHECKS_WAIT_WITH_COPY: Duration = Duration::from_secs(15);
/// Before what did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long the tail waits for an answer to a question.
const ANSWER_WAIT: Duration = Duration::from_secs(3);

/// Opens the log on the cluster at `brokers`, with its copy in the folder of `options`.
pub(super) fn open(brokers: &str, options: &LogOptions) -> Result<Tailed, LogError> {
    let cluster = Cluster::new(brokers, &options.kafka).map_err(refusal)?;
    let known = known(options)?;
    let questions = Questions::new(&cluster).map_err(refusal)?;
    let (identity, refused_for_now) = match contact(&cluster, &questions, known.as_ref(), options) {
        Ok(identity) => (identity, None),
        Err(ClusterError::Refused(reason)) => return Err(LogError::Refused(reason)),
        Err(ClusterError::Away(reason)) => match &known {
            Some(known) if known.is_complete() => {
                tracing::warn!(reason, "Kafka is away: the copy is read, commits wait");
                (known.identity(), Some(reason))
            }
            _ => {
                return Err(LogError::Refused(format!(
                    "Kafka at {} is away, and there is no copy in '{}' with all that this release needs to go on meanwhile: {reason}",
                    cluster.brokers(),
                    options.folder.display()
                )));
            }
        },
    };
    let judged = known.map(|known| known.judged).unwrap_or_default();
    let upstream = KafkaUpstream::new(cluster, identity, questions, options, judged, refused_for_now)?;
    Tailed::open(&options.folder, options, Arc::new(upstream))
}

fn refusal(error: ClusterError) -> LogError {
    LogError::Refused(error.to_string())
}

/// A copy from an earlier run.
struct Known {
    log: LogId,
    /// How far each partition was judged, in order.
    judged: Vec<(Partition, Offset)>,
}

/// What an earlier run left in the folder.
fn known(options: &LogOptions) -> Result<Option<Known>, LogError> {
    if !copy::exists(&options.folder) {
        return Ok(None);
    }
    let reader = match copy::open_read_only(&options.folder, options) {
        Ok(reader) => reader,
        // Left behind half-made, or no copy of ours: opening it for writing finds out, and completes or refuses it.
        Err(LogError::Refused(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let judged = reader.rows().iter().map(|row| (row.partition, row.source_offset)).collect();
    let known = Known { log: reader.log(), judged };
    reader.close();
    Ok(Some(known))
}

impl Known {
    /// What the copy knows of the log; it is compared with the cluster before anything is sent.
    fn identity(&self) -> Identity {
        let count =
            |service: Service| self.judged.iter().filter(|(known, _)| known.service == service).count();
        let partitions = Service::ALL
            .iter()
            .map(|service| (*service, u16::try_from(count(*service)).unwrap_or(u16::MAX)))
            .filter(|(_, partitions)| *partitions > 0)
            .collect();
        Identity { log: self.log, partitions }
    }

    /// Whether it has every service that this release knows: a newer one may need topics that are yet to be made.
    fn is_complete(&self) -> bool {
        self.identity().partitions.len() == Service::ALL.len()
    }

    /// What of the copy contradicts what the topics say.
    fn fault(&self, found: &Identity, prefix: &str, folder: &std::path::Path) -> Option<String> {
        let folder = folder.display();
        if self.log != found.log {
            return Some(format!(
                "the folder '{folder}' holds a copy of log {}, the topics {prefix}.* are log {}: use another folder or another prefix",
                self.log, found.log
            ));
        }
        let ours = self.identity().partitions;
        let differing = ours.iter().find(|(service, count)| {
            found.partitions.iter().any(|(known, number)| known == service && number != count)
        })?;
        Some(format!(
            "the copy in '{folder}' knows {} partitions of {}, the topics {prefix}.* have another number: it is not the log it was",
            differing.1, differing.0
        ))
    }
}

/// Who the topics are, made where there are none, and checked. What does not answer is asked again for a while.
fn contact(
    cluster: &Cluster,
    questions: &Questions,
    known: Option<&Known>,
    options: &LogOptions,
) -> Result<Identity, ClusterError> {
    let admin = cluster.admin()?;
    let (contact, checks) = match known {
        Some(_) => (CONTACT_WAIT_WITH_COPY, CHECKS_WAIT_WITH_COPY),
        None => (CONTACT_WAIT, CHECKS_WAIT),
    };
    let identity_topic = topics::identity_topic(&cluster.options().topic_prefix);
    admin.replicas(&identity_topic, Instant::now() + contact)?;
    let deadline = Instant::now() + checks;
    loop {
        match found(cluster, &admin, questions, known, options, deadline) {
            Err(ClusterError::Away(reason)) if Instant::now() + ASK_AGAIN < deadline => {
                tracing::debug!(reason, "the topics are asked again");
                std::thread::sleep(ASK_AGAIN);
            }
            found => return found,
        }
    }
}

/// One attempt of [`contact`].
fn found(
    cluster: &Cluster,
    admin: &Admin,
    questions: &Questions,
    known: Option<&Known>,
    options: &LogOptions,
    deadline: Instant,
) -> Result<Identity, ClusterError> {
    let prefix = &cluster.options().topic_prefix;
    let identity = match known {
        // Whoever has a copy knows that the topics were made. Made again, they would be an empty log.
        Some(_) => Identity::look(cluster, admin, questions, deadline)?,
        None => Identity::establish(cluster, admin, questions, deadline)?,
    };
    if let Some(fault) = known.and_then(|known| known.fault(&identity, prefix, &options.folder)) {
        return Err(ClusterError::Refused(fault));
    }
    let topics = identity.topics(prefix);
    let judged = known.map_or(&[][..], |known| known.judged.as_slice());
    admin.check(&topics::identity_plan(prefix), deadline)?;
    for plan in topics.plans(options.commit_bytes_max) {
        let held = judged.iter().any(|(partition, _)| topics.name(partition.service) == plan.name);
        if held { admin.check(&plan, deadline)? } else { admin.ensure(cluster, &plan, deadline).map(drop)? }
    }
    until_believed(|| checks::check_history(questions, &identity, &topics, judged, deadline))?;
    Ok(identity)
}

/// A log on Kafka as the tailed engine needs it.
struct KafkaUpstream {
    shared: Arc<Shared>,
    watch: Option<Watch>,
}

/// What the upstream and its watch share.
struct Shared {
    cluster: Cluster,
    identity: Identity,
    topics: Arc<Topics>,
    commit_bytes_max: usize,
    questions: Questions,
    producer: Producer,
    records: Mutex<Records>,
    standing: Standing,
}

impl KafkaUpstream {
    fn new(
        cluster: Cluster,
        identity: Identity,
        questions: Questions,
        options: &LogOptions,
        judged: Vec<(Partition, Offset)>,
        away: Option<String>,
    ) -> Result<Self, LogError> {
        let topics = Arc::new(identity.topics(&cluster.options().topic_prefix));
        let commit_bytes_max = options.commit_bytes_max;
        let producer = Producer::new(cluster.producer(commit_bytes_max), identity.log, Arc::clone(&topics));
        let producer = producer.map_err(refusal)?;
        let records = Records::new(cluster.consumer(), identity.log, Arc::clone(&topics)).map_err(refusal)?;
        if away.is_none() {
            producer.release();
        }
        let shared = Arc::new(Shared {
            cluster,
            identity,
            topics,
            commit_bytes_max,
            questions,
            producer,
            records: Mutex::new(records),
            standing: Standing::new(judged, away),
        });
        let watch = Watch::start(Arc::clone(&shared)).map_err(LogError::File)?;
        Ok(Self { shared, watch: Some(watch) })
    }
}

impl Drop for KafkaUpstream {
    fn drop(&mut self) {
        // Joins its thread, which may be in the middle of a question.
        drop(self.watch.take());
    }
}

impl Upstream for KafkaUpstream {
    fn log(&self) -> LogId {
        self.shared.identity.log
    }

    fn partitions(&self) -> Vec<Partition> {
        self.shared.topics.partitions()
    }

    fn partition_of(&self, stream: StreamId) -> Partition {
        self.shared.topics.partition_of(stream)
    }

    fn publish(&self, partition: Partition, record: Record, commit: CommitId) {
        self.shared.producer.send(partition, record, commit);
    }

    fn poll(
        &self,
        after: &[(Partition, Offset)],
        records_max: usize,
        wait: Duration,
    ) -> Result<Polled, Away> {
        let shared = &self.shared;
        if let Err(away) = shared.standing.enter_poll(after) {
            std::thread::sleep(wait);
            return Err(Away(away));
        }
        let polled = shared.lock_records().poll(after, records_max, wait);
        match polled {
            Ok(records) => {
                let away = shared.standing.leave_poll(!records.is_empty());
                match away {
                    Some(away) => Err(Away(away)),
                    None => Ok(Polled { records, failed: shared.producer.failed() }),
                }
            }
            Err(Trouble::Away(reason)) => {
                shared.standing.set_away(&reason);
                Err(Away(reason))
            }
            Err(trouble @ (Trouble::Gone(_) | Trouble::Truncated(_))) => {
                let truncated = matches!(trouble, Trouble::Truncated(_));
                let (Trouble::Gone(reason) | Trouble::Truncated(reason) | Trouble::Away(reason)) = trouble;
                tracing::error!(
                    reason,
                    "the tail lost its place on Kafka; nothing is judged before the topics were checked"
                );
                shared.producer.hold();
                shared.standing.doubt(&reason, truncated);
                Err(Away(reason))
            }
        }
    }

    fn end(&self, partition: Partition) -> Result<Offset, Away> {
        self.shared.standing.open().map_err(Away)?;
        let topic = self.shared.topics.name(partition.service);
        let (_, next) = self
            .shared
            .questions
            .bounds(topic, partition.number, ANSWER_WAIT)
            .map_err(|error| Away(error.to_string()))?;
        Ok(next - 1)
    }

    fn ends(&self, partitions: &[Partition]) -> Result<Vec<Offset>, Away> {
        let shared = &self.shared;
        shared.standing.open().map_err(Away)?;
        let ends =
            shared.questions.ends(&shared.topics, ANSWER_WAIT).map_err(|error| Away(error.to_string()))?;
        let end = |partition: &Partition| {
            let found = ends.iter().find(|(known, _)| known == partition).map(|(_, end)| *end);
            found.ok_or_else(|| Away(format!("{} does not answer", shared.topics.describe(*partition))))
        };
        partitions.iter().map(end).collect()
    }

    fn record_at(&self, partition: Partition, offset: Offset) -> Result<Option<Record>, Away> {
        self.shared.standing.open().map_err(Away)?;
        let shared = &self.shared;
        let deadline = Instant::now() + ANSWER_WAIT;
        let places = [(partition, offset)];
        let found = shared.questions.records_at(&shared.topics, shared.identity.log, &places, deadline);
        found.map(|mut found| found.remove(&partition).flatten()).map_err(|error| Away(error.to_string()))
    }

    fn shows_readers_every(&self) -> Option<Duration> {
        self.shared.cluster.options().group_offsets_every
    }

    fn show_reader(&self, reader: &str, reached: &[(Partition, Offset)]) -> Result<(), Away> {
        self.shared.standing.open().map_err(Away)?;
        groups::commit(&self.shared.cluster, &self.shared.topics, reader, reached)
    }

    fn refused(&self) -> Option<String> {
        self.shared.standing.refused()
    }
}

impl Shared {
    fn lock_records(&self) -> std::sync::MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks again which log the topics are, and that they hold what was judged.
    fn check_history(&self, judged: &[(Partition, Offset)], wait: Duration) -> Result<(), ClusterError> {
        let deadline = Instant::now() + wait;
        let admin = self.cluster.admin()?;
        let found = Identity::look(&self.cluster, &admin, &self.questions, deadline)?;
        if found.log != self.identity.log || !self.has(&found) {
            return Err(ClusterError::Refused(format!(
                "the topics {}.* are log {} now, this is a copy of log {}: they were made anew, or the folder belongs to another log",
                self.cluster.options().topic_prefix,
                found.log,
                self.identity.log
            )));
        }
        let lasts = self.lock_records().lasts();
        until_believed(|| {
            checks::check_history(&self.questions, &self.identity, &self.topics, judged, deadline)?;
            checks::check_lasts(&self.questions, &self.identity, &self.topics, &lasts, deadline)
        })
    }

    /// Checks again how the topics are set.
    fn check_settings(&self, wait: Duration) -> Result<(), ClusterError> {
        let admin = self.cluster.admin()?;
        checks::check_topics(
            &self.cluster,
            &admin,
            &self.topics,
            self.commit_bytes_max,
            Instant::now() + wait,
        )
    }

    /// Whether every partition we know is still one.
    fn has(&self, found: &Identity) -> bool {
        self.identity.partitions.iter().all(|known| found.partitions.contains(known))
    }
}
