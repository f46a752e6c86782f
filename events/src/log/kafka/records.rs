//! The records of the log as they come: one client a service, which reads its partitions from where the copy is.
//!
//! librdkafka names all partitions of a client in every request, and a broker looks at all of them for every answer. So the
//! services that nobody writes to at the moment have clients of their own, whose requests rest at the broker.

mod arrivals;

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use self::arrivals::Arrivals;
use super::{
    record,
    topics::{Topics, behind},
};
use crate::{
    kafka::{ClientLog, ClusterError, client_error},
    log::upstream::SourceRecord,
    stream::{LogId, Offset, Partition, Service},
};

/// Bodies that one poll brings, bytes; the record that crosses the bound is its last.
const POLL_BYTES_MAX: usize = 8 << 20;

/// Reads the partitions. One thread at a time.
pub(super) struct Records {
    config: ClientConfig,
    log: String,
    topics: Arc<Topics>,
    readers: Vec<Reader>,
    arrivals: Arc<Arrivals>,
    /// Whose turn it is to be read first, where several have records.
    first: usize,
    /// The last record that each partition gave; empty when the client is to be told anew.
    at: Vec<(Partition, Offset)>,
    /// What stood there, of the partitions that gave any since the start.
    lasts: BTreeMap<Partition, Last>,
    /// Errors that passed, since the start.
    troubles: u64,
}

/// The client of one service. Dropping it blocks.
pub(super) struct Reader {
    service: Service,
    client: BaseConsumer<ClientLog>,
}

/// Why there were no records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No broker can be reached.
    Away(String),
    /// A topic cannot be read any more: somebody has to look why.
    Gone(String),
    /// The place behind the last record does not exist any more: the partition was truncated or made anew.
    Truncated(String),
}

/// The last record that a partition gave.
#[derive(Clone, Debug)]
pub(super) struct Last {
    /// Its place.
    pub(super) offset: Offset,
    /// What stood there.
    pub(super) body: Arc<[u8]>,
}

impl Records {
    /// Makes the clients; they connect by themselves.
    pub(super) fn new(config: ClientConfig, log: LogId, topics: Arc<Topics>) -> Result<Self, ClusterError> {
        let arrivals = Arc::default();
        let readers = connect(&config, &topics, &arrivals)?;
        Ok(Self {
            config,
            log: log.to_string(),
            topics,
            readers,
            arrivals,
            first: 0,
            at: Vec::new(),
            lasts: BTreeMap::new(),
            troubles: 0,
        })
    }

    /// The last record of each partition that gave any since the start.
    pub(super) fn lasts(&self) -> BTreeMap<Partition, Last> {
        self.lasts.clone()
    }

    /// Puts new clients in the place of those that bring nothing, and gives the old ones back, to be dropped where that may
    /// block.
    pub(super) fn renew(&mut self) -> Result<Vec<Reader>, ClusterError> {
        let arrivals = Arc::default();
        let fresh = connect(&self.config, &self.topics, &arrivals)?;
        self.at.clear();
        self.arrivals = arrivals;
        Ok(mem::replace(&mut self.readers, fresh))
    }

    /// The records behind these places; waits up to `wait` for the first, and not at all for the rest.
    pub(super) fn poll(
        &mut self,
        after: &[(Partition, Offset)],
        records_max: usize,
        wait: Duration,
    ) -> Result<Vec<SourceRecord>, Trouble> {
        if self.at != after {
            self.assign(after)?;
        }
        let mut found = Found { records: Vec::new(), bytes: 0, records_max };
        if !self.arrivals.wait(wait) {
            // Nothing was announced. What clients say beside records is taken from them all the same.
            self.arrivals.announce_all(self.readers.len());
        }
        self.first = (self.first + 1) % self.readers.len().max(1);
        for turn in 0..self.readers.len() {
            let reader = (self.first + turn) % self.readers.len();
            if self.arrivals.take(reader) {
                self.read(reader, &mut found)?;
            }
        }
        Ok(found.records)
    }

    /// Tells the clients where to read.
    fn assign(&mut self, after: &[(Partition, Offset)]) -> Result<(), Trouble> {
        self.at.clear();
        for reader in &self.readers {
            let own = after.iter().filter(|(partition, _)| partition.service == reader.service);
            let places = own.map(|(partition, offset)| (*partition, behind(*offset)));
            let assigned = reader.client.assign(&self.topics.list(places));
            assigned.map_err(|error| Trouble::Away(format!("the partitions cannot be assigned: {error}")))?;
        }
        self.at = after.to_vec();
        Ok(())
    }

    /// Takes what this client has. Where that is more than may be taken, it is announced again.
    fn read(&mut self, reader: usize, found: &mut Found) -> Result<(), Trouble> {
        let service = self.readers[reader].service;
        loop {
            if found.is_full() {
                self.arrivals.announce(reader);
                return Ok(());
            }
            match self.readers[reader].client.poll(Duration::ZERO) {
                None => return Ok(()),
                Some(Ok(message)) => {
                    let Some(partition) = self.topics.partition_of_service(service, message.partition())
                    else {
                        continue;
                    };
                    let offset = message.offset();
                    if let Some(at) = self.at.iter_mut().find(|(known, _)| *known == partition) {
                        at.1 = offset;
                    }
                    let (record, commit) = record::record(&self.log, &message);
                    self.lasts.insert(partition, Last { offset, body: Arc::clone(&record.body) });
                    found.bytes += record.body.len();
                    found.records.push(SourceRecord { partition, offset, record, commit });
                }
                Some(Err(error)) => match trouble(&error) {
                    Some(trouble @ Trouble::Away(_)) if found.records.is_empty() => return Err(trouble),
                    Some(Trouble::Away(_)) => return Ok(()),
                    Some(trouble) => {
                        // The records of this poll come again, should it go on.
                        self.at.clear();
                        return Err(trouble);
                    }
                    None => {
                        self.troubles += 1;
                        tracing::debug!(%error, troubles = self.troubles, "the tail goes on");
                    }
                },
            }
        }
    }
}

/// What a poll has brought so far.
struct Found {
    records: Vec<SourceRecord>,
    bytes: usize,
    records_max: usize,
}

impl Found {
    fn is_full(&self) -> bool {
        self.records.len() >= self.records_max || self.bytes >= POLL_BYTES_MAX
    }
}

/// One client a service.
fn connect(
    config: &ClientConfig,
    topics: &Topics,
    arrivals: &Arc<Arrivals>,
) -> Result<Vec<Reader>, ClusterError> {
    let mut readers = Vec::new();
    for (index, service) in topics.services().enumerate() {
        let mut client: BaseConsumer<ClientLog> =
            config.create_with_context(ClientLog).map_err(client_error)?;
        let arrivals = Arc::clone(arrivals);
        client.set_nonempty_callback(move || arrivals.announce(index));
        readers.push(Reader { service, client });
    }
    Ok(readers)
}

/// What an error means for the tail; `None` when the client goes on by itself.
fn trouble(error: &KafkaError) -> Option<Trouble> {
    let reason = error.to_string();
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::AllBrokersDown
        | RDKafkaErrorCode::Authentication
        | RDKafkaErrorCode::SaslAuthenticationFailed => Some(Trouble::Away(reason)),
        RDKafkaErrorCode::AutoOffsetReset
        | RDKafkaErrorCode::OffsetOutOfRange
        | RDKafkaErrorCode::LogTruncation => Some(Trouble::Truncated(reason)),
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::TopicAuthorizationFailed => Some(Trouble::Gone(reason)),
        _ => None,
    }
}
