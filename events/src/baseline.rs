//! A topic of the same cluster without Guildhall: what benchmarks measure the log against.
//!
//! The same client settings as the log's, a record is done when it is acknowledged by all, nothing is judged, nothing is kept.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};
use tokio::sync::oneshot;
use uuid::Uuid;

/// How long anything that is asked of the cluster may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A topic of its own and a producer for it.
pub struct BareTopic {
    brokers: String,
    name: String,
    partitions: i32,
    producer: Arc<BaseProducer<Acknowledging>>,
    ended: Arc<AtomicBool>,
    poller: Option<JoinHandle<()>>,
}

/// Tells whoever waits that a record was acknowledged.
struct Acknowledging;

impl ClientContext for Acknowledging {}

impl ProducerContext for Acknowledging {
    type DeliveryOpaque = Box<oneshot::Sender<bool>>;

    fn delivery(&self, result: &DeliveryResult<'_>, answer: Self::DeliveryOpaque) {
        // Nobody waits any more when the benchmark ends.
        let _ = answer.send(result.is_ok());
    }
}

impl BareTopic {
    /// Makes a topic under a fresh name.
    ///
    /// # Errors
    /// What the client says.
    pub async fn create(brokers: &str, partitions: u16) -> Result<Self, KafkaError> {
        let name = format!("bare-{}", Uuid::now_v7().simple());
        let partitions = i32::from(partitions);
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        for made in admin.create_topics([&topic], &options).await? {
            made.map_err(|(_, code)| KafkaError::AdminOp(code))?;
        }
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("max.in.flight.requests.per.connection", "1")
            .set("linger.ms", "0");
        let producer: Arc<BaseProducer<Acknowledging>> = Arc::new(config.create_with_context(Acknowledging)?);
        let ended = Arc::new(AtomicBool::new(false));
        let poller = std::thread::spawn({
            let (producer, ended) = (Arc::clone(&producer), Arc::clone(&ended));
            move || {
                while !ended.load(Ordering::Relaxed) {
                    producer.poll(Duration::from_millis(50));
                }
            }
        });
        Ok(Self { brokers: brokers.to_owned(), name, partitions, producer, ended, poller: Some(poller) })
    }

    /// Sends a record to the partition that `number` falls on, and waits until all replicas have it.
    ///
    /// # Errors
    /// What the client says; [`KafkaError::Canceled`] when the delivery failed.
    pub async fn produce(&self, number: usize, key: &str, body: &[u8]) -> Result<(), KafkaError> {
        let (answer, acknowledged) = oneshot::channel();
        let partition = i32::try_from(number % self.partitions.unsigned_abs() as usize).unwrap_or(0);
        let record = BaseRecord::with_opaque_to(&self.name, Box::new(answer))
            .partition(partition)
            .key(key)
            .payload(body);
        self.producer.send(record).map_err(|(error, _)| error)?;
        if acknowledged.await == Ok(true) { Ok(()) } else { Err(KafkaError::Canceled) }
    }

    /// Reads `records` records of any topic of the cluster from its beginning, as the log's tail would, and gives the time
    /// from the first record to the last.
    ///
    /// # Errors
    /// What the client says; [`KafkaError::Canceled`] when no record came for long.
    pub fn consume(
        brokers: &str,
        topic: &str,
        partitions: u16,
        records: u64,
    ) -> Result<Duration, KafkaError> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "bare")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.queue.backoff.ms", "5")
            .create()?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..i32::from(partitions) {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        let (mut seen, mut bytes, mut first) = (0_u64, 0_usize, None);
        let mut heard = Instant::now();
        while seen < records {
            match consumer.poll(Duration::from_millis(100)) {
                Some(message) => {
                    bytes += message?.payload().map_or(0, <[u8]>::len);
                    heard = Instant::now();
                    first.get_or_insert(heard);
                    seen += 1;
                }
                None if heard.elapsed() > PATIENCE => return Err(KafkaError::Canceled),
                None => {}
            }
        }
        tracing::debug!(seen, bytes, "consumed");
        Ok(first.map_or(Duration::ZERO, |first| first.elapsed()))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The brokers it is on.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }
}

impl Drop for BareTopic {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(poller) = self.poller.take() {
            // A panic over there has been printed.
            let _ = poller.join();
        }
        let _ = self.producer.flush(Duration::from_secs(1));
    }
}

impl std::fmt::Debug for BareTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BareTopic").field("name", &self.name).finish_non_exhaustive()
    }
}
