//! The records of the log as they come: one client that reads all partitions from where the copy is.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    record,
    topics::{Topics, behind},
};
use crate::{
    kafka::{ClientLog, ClusterError, client_error},
    log::upstream::SourceRecord,
    stream::{LogId, Offset, Partition},
};

/// Bodies that one poll brings, bytes; the record that crosses the bound is its last.
const POLL_BYTES_MAX: usize = 8 << 20;

/// Reads the partitions. One thread at a time.
pub(super) struct Records {
    config: ClientConfig,
    log: String,
    topics: Arc<Topics>,
    client: Reader,
    /// The last record that each partition gave; empty when the client is to be told anew.
    at: Vec<(Partition, Offset)>,
    /// What stood there, of the partitions that gave any since the start.
    lasts: BTreeMap<Partition, Last>,
    /// Errors that passed, since the start.
    troubles: u64,
}

/// The client. Dropping it blocks.
pub(super) type Reader = BaseConsumer<ClientLog>;

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
    /// Makes the client; it connects by itself.
    pub(super) fn new(config: ClientConfig, log: LogId, topics: Arc<Topics>) -> Result<Self, ClusterError> {
        let client = connect(&config)?;
        Ok(Self {
            config,
            log: log.to_string(),
            topics,
            client,
            at: Vec::new(),
            lasts: BTreeMap::new(),
            troubles: 0,
        })
    }

    /// The last record of each partition that gave any since the start.
    pub(super) fn lasts(&self) -> BTreeMap<Partition, Last> {
        self.lasts.clone()
    }

    /// Puts a new client in the place of one that brings nothing, and gives the old one back, to be dropped where that may
    /// block.
    pub(super) fn renew(&mut self) -> Result<Reader, ClusterError> {
        let fresh = connect(&self.config)?;
        self.at.clear();
        Ok(mem::replace(&mut self.client, fresh))
    }

    /// The records behind these places; waits up to `wait` for the first, and not at all for the rest.
    pub(super) fn poll(
        &mut self,
        after: &[(Partition, Offset)],
        records_max: usize,
        wait: Duration,
    ) -> Result<Vec<SourceRecord>, Trouble> {
        if self.at != after {
            let places = after.iter().map(|(partition, offset)| (*partition, behind(*offset)));
            let assigned = self.client.assign(&self.topics.list(places));
            assigned.map_err(|error| Trouble::Away(format!("the partitions cannot be assigned: {error}")))?;
            self.at = after.to_vec();
        }
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut wait = wait;
        while records.len() < records_max && bytes < POLL_BYTES_MAX {
            match self.client.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let Some(partition) = self.topics.partition(message.topic(), message.partition()) else {
                        continue;
                    };
                    let offset = message.offset();
                    if let Some(at) = self.at.iter_mut().find(|(known, _)| *known == partition) {
                        at.1 = offset;
                    }
                    let record = record::record(&self.log, &message);
                    bytes += record.body.len();
                    self.lasts.insert(partition, Last { offset, body: Arc::clone(&record.body) });
                    records.push(SourceRecord { partition, offset, record });
                }
                Some(Err(error)) => {
                    if let Some(trouble) = trouble(&error) {
                        if !matches!(trouble, Trouble::Away(_)) {
                            // The records of this poll come again, should it go on.
                            self.at.clear();
                            return Err(trouble);
                        }
                        if records.is_empty() {
                            return Err(trouble);
                        }
                        break;
                    }
                    self.troubles += 1;
                    tracing::debug!(%error, troubles = self.troubles, "the tail goes on");
                }
            }
            wait = Duration::ZERO;
        }
        Ok(records)
    }
}

fn connect(config: &ClientConfig) -> Result<Reader, ClusterError> {
    config.create_with_context(ClientLog).map_err(client_error)
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
