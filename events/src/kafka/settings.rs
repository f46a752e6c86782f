//! Settings of clients: ours, then the user's, and last those that the promises rest on.

use rdkafka::{ClientConfig, error::KafkaError};

use super::{Admin, ClusterError};
use crate::log::KafkaOptions;

/// What the promises rest on, or what another setting of ours already says.
const REFUSED: &[&str] = &[
    "acks",
    "allow.auto.create.topics",
    "auto.commit.enable",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.max.bytes",
    "message.send.max.retries",
    "message.timeout.ms",
    "metadata.broker.list",
    "partitioner",
    "plugin.library.paths",
    "request.required.acks",
    "retries",
    "transactional.id",
];

/// The bytes that a record may have beyond its value: key, headers, framing.
const RECORD_OVERHEAD_BYTES: usize = 8 * 1024;
/// Bytes of a batch of records; a topic must take it however small a single record may be.
const BATCH_BYTES: usize = 1_000_000;

/// A cluster and how its clients are set.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    brokers: String,
    options: KafkaOptions,
}

impl Cluster {
    /// The cluster at these brokers: `host:port`, separated by commas. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] for a setting that is not the user's to make, that librdkafka does not know, or that this
    /// build cannot keep.
    pub(crate) fn new(brokers: &str, options: &KafkaOptions) -> Result<Self, ClusterError> {
        check_prefix(&options.topic_prefix)?;
        if options.partitions == 0 || options.replication == Some(0) {
            return Err(ClusterError::Refused(
                "a topic on Kafka needs at least one partition and one replica".into(),
            ));
        }
        for (name, value) in &options.properties {
            check_property(name, value)?;
        }
        let cluster = Self { brokers: brokers.to_owned(), options: options.clone() };
        cluster.base().create_native_config().map(drop).map_err(client_error)?;
        Ok(cluster)
    }

    /// Its brokers.
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Topics and their making.
    pub(crate) fn options(&self) -> &KafkaOptions {
        &self.options
    }

    /// The largest record, and the largest batch of them, that a producer for values of up to `value_bytes_max` sends.
    pub(crate) fn record_bytes_max(value_bytes_max: usize) -> usize {
        (value_bytes_max + RECORD_OVERHEAD_BYTES).max(BATCH_BYTES)
    }

    /// What all clients have in common.
    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "guildhall")
            .set("socket.timeout.ms", "5000")
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "100")
            // The default of ten seconds is what a log would stand still after a broker's return.
            .set("reconnect.backoff.max.ms", "500")
            .set("retry.backoff.ms", "50");
        for (name, value) in &self.options.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers).set("allow.auto.create.topics", "false");
        config
    }

    /// A producer of values of up to `value_bytes_max`: what it says was delivered is on every replica in sync, once and
    /// in the order sent, for as long as the producer lives.
    pub(crate) fn producer(&self, value_bytes_max: usize) -> ClientConfig {
        let record_bytes_max = Self::record_bytes_max(value_bytes_max).to_string();
        let mut config = self.base();
        self.unless_set(&mut config, "request.timeout.ms", "5000");
        // Not compressed: what is large in a commit is sealed, and sealed text does not shrink. `compression.type` is the user's.
        // With one request out, records gather for the next: a lone client pays nothing, many share a request.
        self.unless_set(&mut config, "linger.ms", "0");
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", "1")
            .set("message.timeout.ms", "300000")
            .set("message.max.bytes", &record_bytes_max);
        config
    }

    /// A consumer that is told where to read, keeps no offsets, joins no group, and never skips: where its offset is gone it
    /// says so.
    pub(crate) fn consumer(&self) -> ClientConfig {
        let mut config = self.base();
        self.unless_set(&mut config, "fetch.min.bytes", "1");
        self.unless_set(&mut config, "fetch.wait.max.ms", "500");
        // The default sleeps a whole second whenever the queue is full.
        self.unless_set(&mut config, "fetch.queue.backoff.ms", "5");
        // Each of several clients holds so much in advance while it catches up; the default is four times as much.
        self.unless_set(&mut config, "queued.max.messages.kbytes", "16384");
        config
            // librdkafka assigns partitions only to a client with a group; nobody joins it.
            .set("group.id", format!("{}.readers", self.options.topic_prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            // Every reader must see the same records, whatever a stranger's transaction came to.
            .set("isolation.level", "read_uncommitted");
        config
    }

    /// A consumer that reads nothing and joins nothing: it commits offsets for the group of `reader`.
    pub(crate) fn group(&self, reader: &str) -> ClientConfig {
        let prefix = self.options.group_prefix.as_ref().unwrap_or(&self.options.topic_prefix);
        let mut config = self.consumer();
        // So long a commit waits for the group's coordinator.
        self.unless_set(&mut config, "session.timeout.ms", "6000");
        config.set("group.id", format!("{prefix}.{reader}"));
        config
    }

    /// A client for topics and their settings.
    pub(crate) fn admin(&self) -> Result<Admin, ClusterError> {
        Admin::new(&self.base())
    }

    fn unless_set(&self, config: &mut ClientConfig, name: &str, value: &str) {
        if !self.options.properties.contains_key(name) {
            config.set(name, value);
        }
    }
}

/// A client could not be made. Says no value: it may be a password.
pub(crate) fn client_error(error: KafkaError) -> ClusterError {
    ClusterError::Refused(match error {
        KafkaError::ClientConfig(_, reason, name, _) => {
            format!("the Kafka setting {name} is refused: {reason}")
        }
        other => format!("a client of Kafka cannot be made with these settings: {other}"),
    })
}

fn check_prefix(prefix: &str) -> Result<(), ClusterError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if prefix.is_empty() || prefix.len() > 200 || prefix.starts_with('.') || !prefix.bytes().all(legal) {
        return Err(ClusterError::Refused(format!(
            "the topic prefix '{prefix}' is none: 1 to 200 letters, digits, '-', '_' and '.' without a leading dot"
        )));
    }
    Ok(())
}

fn check_property(name: &str, value: &str) -> Result<(), ClusterError> {
    let refused =
        |why: &str| Err(ClusterError::Refused(format!("the Kafka setting {name} is refused: {why}")));
    if REFUSED.contains(&name) || name.starts_with("test.") {
        return refused("Guildhall's promises rest on it; take it out");
    }
    let value = value.to_ascii_uppercase();
    let mechanism =
        name.starts_with("sasl.mechanism") && (value.starts_with("SCRAM") || value == "OAUTHBEARER");
    let protocol = name == "security.protocol" && value.ends_with("SSL");
    let needs_tls = protocol || mechanism || name.starts_with("ssl.");
    if needs_tls && !cfg!(feature = "kafka-tls") {
        return refused("this build has no TLS to Kafka; build with the feature kafka-tls");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(properties: &[(&str, &str)]) -> Result<Cluster, ClusterError> {
        let properties =
            properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Cluster::new("localhost:9", &KafkaOptions { properties, ..KafkaOptions::default() })
    }

    fn sentence(properties: &[(&str, &str)]) -> String {
        match cluster(properties) {
            Err(ClusterError::Refused(sentence)) => sentence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_promises_rest_on_is_not_the_users_to_set() {
        for name in REFUSED {
            assert!(sentence(&[(name, "1")]).contains(name));
        }
        assert!(sentence(&[("test.mock.num.brokers", "3")]).contains("test.mock"));
    }

    #[test]
    fn an_unknown_or_impossible_setting_is_refused_by_name_without_its_value() {
        let unknown = sentence(&[("sasl.passwort", "secret")]);
        assert!(unknown.contains("sasl.passwort") && !unknown.contains("secret"), "{unknown}");
        let impossible = sentence(&[("socket.timeout.ms", "secret")]);
        assert!(impossible.contains("socket.timeout.ms"), "{impossible}");
    }

    #[cfg(not(feature = "kafka-tls"))]
    #[test]
    fn tls_without_its_feature_is_refused_with_what_to_build() {
        for (name, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("ssl.ca.location", "/a"),
        ] {
            assert!(sentence(&[(name, value)]).contains("kafka-tls"), "{name}");
        }
    }

    #[test]
    fn what_is_the_users_is_passed_through_and_stands_before_our_defaults() {
        let properties = [("fetch.wait.max.ms", "100"), ("linger.ms", "3"), ("sasl.username", "ours")];
        let cluster = cluster(&properties).expect("settings of the user's");
        let (consumer, producer) = (cluster.consumer(), cluster.producer(1000));
        assert_eq!(consumer.get("fetch.wait.max.ms"), Some("100"));
        assert_eq!((producer.get("linger.ms"), producer.get("sasl.username")), (Some("3"), Some("ours")));
        assert_eq!((producer.get("acks"), producer.get("message.max.bytes")), (Some("all"), Some("1000000")));
    }

    #[test]
    fn a_reader_has_a_group_of_its_own_below_the_prefix() {
        let mut ours = cluster(&[]).expect("no settings");
        assert_eq!(ours.group("board_v1").get("group.id"), Some("guildhall.board_v1"));
        ours.options.group_prefix = Some("one".into());
        assert_eq!(ours.group("board_v1").get("group.id"), Some("one.board_v1"));
    }

    #[test]
    fn a_prefix_that_no_topic_may_have_is_refused() {
        for prefix in ["", ".a", "a/b", "a b", "ä"] {
            let options = KafkaOptions { topic_prefix: prefix.into(), ..KafkaOptions::default() };
            assert!(
                matches!(Cluster::new("localhost:9", &options), Err(ClusterError::Refused(_))),
                "{prefix}"
            );
        }
    }
}
