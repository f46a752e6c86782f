//! What is asked of the cluster beside the tail, on a client of its own: on the tail's, an answer waits behind the long poll.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    Message,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};

use super::{
    record,
    topics::{Topics, behind},
};
use crate::{
    kafka::{ClientLog, Cluster, ClusterError, client_error},
    log::upstream::Record,
    stream::{LogId, Offset, Partition},
};

/// The records of the identity's topic: more than any number of nodes that were first at the same time.
const IDENTITY_RECORDS_MAX: Offset = 10_000;

/// The offsets that were answered, and the last error of a partition that was not.
type Edges = (Vec<(Partition, Offset)>, Option<KafkaError>);

/// A client that answers questions. Each blocks for as long as it is told to, at the most.
pub(super) struct Questions {
    client: BaseConsumer<ClientLog>,
    /// Held while records are read: the client reads for one at a time.
    reading: Mutex<()>,
}

impl Questions {
    /// Makes the client; it connects by itself.
    pub(super) fn new(cluster: &Cluster) -> Result<Self, ClusterError> {
        let mut config = cluster.consumer();
        // It reads a record here and there, and must know when there is none.
        config
            .set("enable.partition.eof", "true")
            .set("queued.min.messages", "1")
            .set("queued.max.messages.kbytes", "4096")
            .set("fetch.message.max.bytes", "65536")
            .set("fetch.wait.max.ms", "10");
        let client = config.create_with_context(ClientLog).map_err(client_error)?;
        Ok(Self { client, reading: Mutex::default() })
    }

    /// The first offset of a partition, and the one its next record will get.
    pub(super) fn bounds(
        &self,
        topic: &str,
        number: u16,
        wait: Duration,
    ) -> Result<(Offset, Offset), KafkaError> {
        self.drain();
        let bounds = || self.client.fetch_watermarks(topic, i32::from(number), wait);
        bounds().or_else(|_| {
            self.look_for_leaders(topic, wait);
            bounds()
        })
    }

    /// The offsets of the last records of all partitions; those that do not answer are left out.
    ///
    /// # Errors
    /// When none answers.
    pub(super) fn ends(
        &self,
        topics: &Topics,
        wait: Duration,
    ) -> Result<Vec<(Partition, Offset)>, KafkaError> {
        self.edges(topics, rdkafka::Offset::End, wait)
            .map(|edges| edges.into_iter().map(|(partition, next)| (partition, next - 1)).collect())
    }

    /// The offsets of the first records of all partitions, or of those to come; those that do not answer are left out.
    ///
    /// # Errors
    /// When none answers.
    pub(super) fn starts(
        &self,
        topics: &Topics,
        wait: Duration,
    ) -> Result<Vec<(Partition, Offset)>, KafkaError> {
        self.edges(topics, rdkafka::Offset::Beginning, wait)
    }

    /// One request to each broker, whatever the number of partitions: the protocol takes an edge for a time. Where a partition
    /// does not answer, its leader may be another by now: this client follows no topic, so nobody else tells it.
    fn edges(
        &self,
        topics: &Topics,
        edge: rdkafka::Offset,
        wait: Duration,
    ) -> Result<Vec<(Partition, Offset)>, KafkaError> {
        let deadline = Instant::now() + wait;
        let first = self.ask_edges(topics, edge, wait);
        if matches!(&first, Ok((_, None))) {
            return first.map(|(found, _)| found);
        }
        let left = || deadline.saturating_duration_since(Instant::now());
        for topic in topics.names() {
            self.client.fetch_metadata(Some(topic), left())?;
        }
        match self.ask_edges(topics, edge, left())? {
            (found, Some(error)) if found.is_empty() => Err(error),
            (found, _) => Ok(found),
        }
    }

    /// The edges that were answered, and the last error of those that were not.
    fn ask_edges(&self, topics: &Topics, edge: rdkafka::Offset, wait: Duration) -> Result<Edges, KafkaError> {
        self.drain();
        let list = topics.list(topics.partitions().into_iter().map(|partition| (partition, edge)));
        let answers = self.client.offsets_for_times(list, wait)?;
        let mut found = Vec::new();
        let mut failed = None;
        for answer in answers.elements() {
            match (answer.error(), answer.offset(), topics.partition(answer.topic(), answer.partition())) {
                (Ok(()), rdkafka::Offset::Offset(offset), Some(partition)) => found.push((partition, offset)),
                (Err(error), _, _) => failed = Some(error),
                (Ok(()), _, _) => {}
            }
        }
        Ok((found, failed))
    }

    /// Lets the client learn who leads the partitions of a topic. By itself it does not, when an answer shows that it is
    /// mistaken: it goes on asking the wrong broker for minutes.
    fn look_for_leaders(&self, topic: &str, wait: Duration) {
        if let Err(error) = self.client.fetch_metadata(Some(topic), wait) {
            tracing::debug!(topic, %error, "the leaders are not known");
        }
    }

    /// The records at exactly these places, at most one a partition; `None` where there is a gap. Partitions that gave
    /// nothing are left out.
    pub(super) fn records_at(
        &self,
        topics: &Topics,
        log: LogId,
        places: &[(Partition, Offset)],
        deadline: Instant,
    ) -> Result<BTreeMap<Partition, Option<Record>>, ClusterError> {
        let log = log.to_string();
        let mut found = BTreeMap::new();
        let list = topics.list(places.iter().map(|(partition, offset)| (*partition, behind(offset - 1))));
        self.read(&list, places.len(), deadline, |message| {
            let Some(partition) = topics.partition(message.topic(), message.partition()) else {
                return false;
            };
            // The first of a partition is the wanted one, or there is a gap.
            found.entry(partition).or_insert_with(|| {
                let wanted = places.contains(&(partition, message.offset()));
                wanted.then(|| record::record(&log, message).0)
            });
            found.len() == places.len()
        })?;
        Ok(found)
    }

    /// The log that the first record of each of these partitions names; `None` where it names none. Partitions without a
    /// record are left out.
    pub(super) fn first_logs(
        &self,
        topics: &Topics,
        partitions: &[Partition],
        deadline: Instant,
    ) -> Result<BTreeMap<Partition, Option<String>>, ClusterError> {
        let mut found = BTreeMap::new();
        let places = partitions.iter().map(|partition| (*partition, rdkafka::Offset::Beginning));
        self.read(&topics.list(places), partitions.len(), deadline, |message| {
            if let Some(partition) = topics.partition(message.topic(), message.partition()) {
                found.entry(partition).or_insert_with(|| record::stated(message).log);
            }
            found.len() == partitions.len()
        })?;
        Ok(found)
    }

    /// Every record of the one partition of a small topic, as key and value, from its beginning to its present end.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] when its beginning was deleted, or it is far larger than it can be.
    pub(super) fn all_of(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<Vec<(String, String)>, ClusterError> {
        let wait = deadline.saturating_duration_since(Instant::now());
        let (low, next) = self.bounds(topic, 0, wait).map_err(|error| away("its end", &error))?;
        if low > 0 || next > IDENTITY_RECORDS_MAX {
            return Err(ClusterError::Refused(format!(
                "the topic {topic} begins at offset {low} and ends at {next}: a log's identity is its first few records, and somebody deleted or buried them; copy the log to a new one"
            )));
        }
        let mut found = Vec::new();
        if next == 0 {
            return Ok(found);
        }
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).map_err(|e| away("its list", &e))?;
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        self.read(&list, 1, deadline, |message| {
            found.push((text(message.key()), text(message.payload())));
            message.offset() + 1 >= next
        })?;
        Ok(found)
    }

    /// Reads from these places until `take` has enough, or so many partitions have come to their ends.
    fn read(
        &self,
        places: &rdkafka::TopicPartitionList,
        partitions: usize,
        deadline: Instant,
        mut take: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> Result<(), ClusterError> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.client.assign(places).map_err(|error| away("a record", &error))?;
        let mut ended = 0;
        let read = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Err(ClusterError::Away("a record did not come in time".into()));
            }
            match self.client.poll(left.min(Duration::from_millis(200))) {
                Some(Ok(message)) if take(&message) => break Ok(()),
                None | Some(Ok(_)) => {}
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                    // There is no such place: whoever asked finds nothing.
                    ended += 1;
                }
                Some(Err(error)) => tracing::debug!(%error, "a question waits"),
            }
            if ended >= partitions {
                break Ok(());
            }
        };
        // Nothing is fetched between questions.
        self.client.unassign().map_err(|error| away("a record", &error))?;
        read
    }

    /// Takes what the client has to say beside answers, so that it does not pile up.
    fn drain(&self) {
        if let Ok(_reading) = self.reading.try_lock() {
            while let Some(said) = self.client.poll(Duration::ZERO) {
                if let Err(error) = said {
                    tracing::trace!(%error, "beside an answer");
                }
            }
        }
    }
}

fn away(what: &str, error: &KafkaError) -> ClusterError {
    ClusterError::Away(format!("{what} could not be read: {error}"))
}
