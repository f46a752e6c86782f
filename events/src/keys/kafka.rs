//! The exchange of keys on Kafka: one compacted topic of one partition, `<prefix>.keys`.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};

use super::{
    KeyError,
    exchange::{Exchange, ExchangeError, Post, Posted},
    post::FORMAT,
    vault::lock,
};
use crate::{
    kafka::{Cluster, ClusterError, TopicPlan, TopicSetting, Wanted, log_error, log_line},
    log::LogOptions,
    stream::LogId,
};

/// The header that names the log.
const LOG_HEADER: &str = "guildhall-log";
/// The header that names the format.
const FORMAT_HEADER: &str = "guildhall-format";
/// What the topic must keep to: what is erased goes within this time once something newer is there.
const FORGETS_AFTER_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// The largest record, bytes: they are a few hundred.
const RECORD_BYTES_MAX: usize = 16 * 1024;
/// How long a producer tries to deliver a record, milliseconds. Longer than anybody waits for one.
const DELIVERY_MS_MAX: &str = "10000";
/// How long the question for the topic's end may take.
const END_WAIT: Duration = Duration::from_secs(2);
/// How long a consumer may bring nothing although there is something before it is made anew.
const STALLED_AFTER: Duration = Duration::from_secs(10);
/// Between two attempts to hand a record to a producer that is full.
const FULL_REST: Duration = Duration::from_millis(10);

/// The topic on a cluster.
pub(super) struct KafkaExchange {
    cluster: Cluster,
    log: LogId,
    plan: TopicPlan,
    /// The topic and where it is.
    name: String,
    producer: Mutex<Option<std::sync::Arc<ThreadedProducer<Deliveries>>>>,
    tail: Mutex<Tail>,
    /// For the topic's end: asked on the tail's own connection it would wait behind a long poll.
    ends: Mutex<Option<BaseConsumer<Deliveries>>>,
    end_seen: AtomicU64,
    forgets_after_ms: AtomicU64,
}

/// The consumer that follows the topic.
#[derive(Default)]
struct Tail {
    consumer: Option<BaseConsumer<Deliveries>>,
    next: u64,
    /// Since when it brings nothing.
    silent: Option<Instant>,
}

impl KafkaExchange {
    /// The topic of the keys of `log`; nothing is asked of the cluster yet.
    pub(super) fn new(log: LogId, brokers: &str, options: &LogOptions) -> Result<Self, KeyError> {
        let cluster = Cluster::new(brokers, &options.kafka).map_err(|error| match error {
            ClusterError::Refused(sentence) => KeyError::Refused(sentence),
            ClusterError::Away(reason) => KeyError::Away(reason),
        })?;
        let plan = plan(&options.kafka.topic_prefix);
        Ok(Self {
            name: format!("the topic {} at {}", plan.name, cluster.brokers()),
            cluster,
            log,
            plan,
            producer: Mutex::new(None),
            tail: Mutex::new(Tail::default()),
            ends: Mutex::new(None),
            end_seen: AtomicU64::new(0),
            forgets_after_ms: AtomicU64::new(FORGETS_AFTER_MS_MAX),
        })
    }

    /// The producer; made anew when the last one was lost.
    fn producer(&self) -> Result<std::sync::Arc<ThreadedProducer<Deliveries>>, ExchangeError> {
        let mut held = lock(&self.producer);
        if let Some(producer) = held.as_ref().filter(|held| held.client().fatal_error().is_none()) {
            return Ok(std::sync::Arc::clone(producer));
        }
        let mut config = self.cluster.producer(RECORD_BYTES_MAX);
        config.set("message.timeout.ms", DELIVERY_MS_MAX);
        let producer = std::sync::Arc::new(config.create_with_context(Deliveries).map_err(refused)?);
        *held = Some(std::sync::Arc::clone(&producer));
        Ok(producer)
    }

    fn consumer(&self) -> Result<BaseConsumer<Deliveries>, ExchangeError> {
        BaseConsumer::from_config_and_context(&self.cluster.consumer(), Deliveries).map_err(refused)
    }

    fn assign(&self, tail: &mut Tail, next: u64) -> Result<(), ExchangeError> {
        let consumer = match tail.consumer.take() {
            Some(consumer) => consumer,
            None => self.consumer()?,
        };
        let mut partitions = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
        partitions.add_partition_offset(&self.plan.name, 0, offset).map_err(refused)?;
        consumer.assign(&partitions).map_err(|error| away("the topic cannot be read", &error))?;
        *tail = Tail { consumer: Some(consumer), next, silent: None };
        Ok(())
    }

    fn headers(&self) -> OwnedHeaders {
        OwnedHeaders::new()
            .insert(Header { key: LOG_HEADER, value: Some(&self.log.to_string()) })
            .insert(Header { key: FORMAT_HEADER, value: Some(FORMAT) })
    }

    /// Hands a record to the producer, waiting for room until `deadline`.
    fn send(
        &self,
        producer: &ThreadedProducer<Deliveries>,
        post: &Post,
        delivered: &mpsc::Sender<Delivered>,
        deadline: Instant,
    ) -> Result<(), ExchangeError> {
        loop {
            let opaque = Box::new(delivered.clone());
            let record = BaseRecord::<str, [u8], _>::with_opaque_to(&self.plan.name, opaque)
                .partition(0)
                .key(&post.key)
                .headers(self.headers());
            let record = match &post.value {
                Some(value) => record.payload(value),
                None => record,
            };
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, _))
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
                        && Instant::now() < deadline =>
                {
                    std::thread::sleep(FULL_REST);
                }
                Err((error, _)) => return Err(away("a record could not be sent", &error)),
            }
        }
    }
}

impl Exchange for KafkaExchange {
    fn log(&self) -> LogId {
        self.log
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn prepare(&self, may_make: bool, deadline: Instant) -> Result<(), ExchangeError> {
        let admin = self.cluster.admin().map_err(cluster)?;
        if may_make {
            admin.ensure(&self.cluster, &self.plan, deadline).map_err(cluster)?;
        } else if admin.replicas(&self.plan.name, deadline).map_err(cluster)?.is_none() {
            return Err(ExchangeError::Refused(format!("{} is gone. {}", self.name, super::mirror::RESTORE)));
        } else {
            admin.check(&self.plan, deadline).map_err(cluster)?;
        }
        let lag = admin.setting(&self.plan.name, "max.compaction.lag.ms", deadline).map_err(cluster)?;
        let lag = lag.and_then(|lag| lag.parse().ok()).unwrap_or(FORGETS_AFTER_MS_MAX);
        self.forgets_after_ms.store(lag, Ordering::Relaxed);
        Ok(())
    }

    fn publish(&self, posts: &[Post], deadline: Instant) -> Result<u64, ExchangeError> {
        let producer = self.producer()?;
        let (sender, deliveries) = mpsc::channel();
        for post in posts {
            self.send(&producer, post, &sender, deadline)?;
        }
        drop(sender);
        let mut behind = 0;
        for _ in posts {
            match deliveries.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ok(offset)) => behind = behind.max(offset + 1),
                Ok(Err(error)) => return Err(away("a record was not delivered", &error)),
                Err(_) => return Err(ExchangeError::Away("a record was not delivered in time".into())),
            }
        }
        Ok(behind)
    }

    fn poll(&self, next: u64, limit: usize, wait: Duration) -> Result<Vec<Posted>, ExchangeError> {
        let mut tail = lock(&self.tail);
        let stalled = tail.silent.is_some_and(|since| since.elapsed() >= STALLED_AFTER)
            && self.end_seen.load(Ordering::Relaxed) > next;
        if stalled {
            tracing::warn!("the consumer of keys is stalled and is made anew");
            *tail = Tail::default();
        }
        if tail.consumer.is_none() || tail.next != next {
            self.assign(&mut tail, next)?;
        }
        let deadline = Instant::now() + wait;
        let mut polled = Vec::new();
        let Some(consumer) = &tail.consumer else { return Ok(polled) };
        let mut lost = None;
        while polled.len() < limit {
            let left = if polled.is_empty() {
                deadline.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            match consumer.poll(left) {
                None => break,
                Some(Ok(message)) => polled.push(posted(&message)),
                // Brokers come and go; what stays away is noticed by the question for the end.
                Some(Err(error)) if passes(&error) => {
                    if Instant::now() >= deadline {
                        break;
                    }
                }
                Some(Err(error)) => {
                    lost = Some(away("the topic cannot be read", &error));
                    break;
                }
            }
        }
        match (polled.last(), lost) {
            (Some(last), _) => {
                tail.next = last.offset + 1;
                tail.silent = None;
            }
            (None, Some(lost)) => {
                *tail = Tail::default();
                return Err(lost);
            }
            (None, None) => {
                tail.silent.get_or_insert_with(Instant::now);
            }
        }
        Ok(polled)
    }

    fn end(&self) -> Result<u64, ExchangeError> {
        let mut ends = lock(&self.ends);
        let consumer = match ends.take() {
            Some(consumer) => consumer,
            None => self.consumer()?,
        };
        // A client that could not tell may go on asking a broker that leads no more: the next question gets a new one.
        let (_, end) = consumer
            .fetch_watermarks(&self.plan.name, 0, END_WAIT)
            .map_err(|error| away("the topic's end cannot be seen", &error))?;
        *ends = Some(consumer);
        let end = end.unsigned_abs();
        self.end_seen.store(end, Ordering::Relaxed);
        Ok(end)
    }

    fn forgets_after(&self) -> Duration {
        Duration::from_millis(self.forgets_after_ms.load(Ordering::Relaxed))
    }
}

/// The topic as it must be: it keeps the last record of each key for ever, and forgets what was replaced.
fn plan(prefix: &str) -> TopicPlan {
    let made_with = |name, wanted, value| TopicSetting { name, wanted, made_with: Some(value) };
    let within = Wanted::AtMost(FORGETS_AFTER_MS_MAX);
    TopicPlan {
        name: format!("{prefix}.keys"),
        partitions: 1,
        settings: vec![
            TopicSetting::new("cleanup.policy", Wanted::Is("compact")),
            made_with("max.compaction.lag.ms", within, "3600000"),
            made_with("segment.ms", within, "3600000"),
            made_with("min.cleanable.dirty.ratio", Wanted::Anything, "0.1"),
            made_with("delete.retention.ms", Wanted::Anything, "86400000"),
            // Whether something is old enough must not hang on the clocks of nodes.
            TopicSetting::new("message.timestamp.type", Wanted::Is("LogAppendTime")),
        ],
    }
}

fn posted(message: &BorrowedMessage<'_>) -> Posted {
    let header = |name: &str| {
        let headers = message.headers()?;
        let found = headers.iter().find(|header| header.key == name)?;
        Some(String::from_utf8_lossy(found.value.unwrap_or_default()).into_owned())
    };
    Posted {
        offset: message.offset().unsigned_abs(),
        at_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().map(<[u8]>::to_vec),
        log: header(LOG_HEADER),
        format: header(FORMAT_HEADER),
    }
}

fn cluster(error: ClusterError) -> ExchangeError {
    match error {
        ClusterError::Refused(sentence) => ExchangeError::Refused(sentence),
        ClusterError::Away(reason) => ExchangeError::Away(reason),
    }
}

fn refused(error: KafkaError) -> ExchangeError {
    ExchangeError::Refused(format!("a client of Kafka cannot be made with these settings: {error}"))
}

fn away(what: &str, error: &KafkaError) -> ExchangeError {
    ExchangeError::Away(format!("{what}: {error}"))
}

/// Whether a consumer that says this goes on by itself.
fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

/// What became of a record: its place, or why it is in doubt.
type Delivered = Result<u64, KafkaError>;

/// A client's ear.
struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl rdkafka::consumer::ConsumerContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<mpsc::Sender<Delivered>>;

    fn delivery(&self, result: &DeliveryResult<'_>, sender: Self::DeliveryOpaque) {
        let delivered = match result {
            Ok(message) => Ok(message.offset().unsigned_abs()),
            Err((error, _)) => Err(error.clone()),
        };
        // Whoever asked may have given up.
        let _ = sender.send(delivered);
    }
}
