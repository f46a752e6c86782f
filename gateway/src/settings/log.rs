//! The log's settings: who orders the commits, and what a log on Kafka needs.

use std::{collections::BTreeMap, path::Path, time::Duration};

use events::log::{KafkaOptions, LogOptions};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// Who orders the commits, and within which bounds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// `embedded`, or `kafka://HOST:PORT[,HOST:PORT…]`.
    pub url: String,
    /// Bodies of commits on their way.
    pub queue_bytes_max: usize,
    /// Stream heads kept in memory.
    pub heads_cached_max: usize,
    /// A command whose commit has no verdict by then is in doubt.
    pub command_deadline_ms: u64,
    /// A commit of which nothing was seen for so long is published again.
    pub republish_after_ms: u64,
    /// How long a process that stops waits for what it has published.
    pub close_wait_ms: u64,
    /// What only a log on Kafka needs.
    pub kafka: KafkaSettings,
}

/// What a log on Kafka needs beside the brokers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// The first word of every topic.
    pub topic_prefix: String,
    /// Partitions of a topic when it is made.
    pub partitions: u16,
    /// Copies of a partition when a topic is made; 0 for the brokers' default.
    pub replication: u16,
    /// The first word of the consumer groups that show lag; empty for that of the topics.
    pub group_prefix: String,
    /// How often their offsets are committed; 0 for never.
    pub group_offsets_ms: u64,
    /// Settings of librdkafka. Passwords are among them.
    #[serde(default)]
    pub properties: BTreeMap<String, SecretString>,
}

impl LogSettings {
    /// How to open the log, or this process's copy of it, in `folder`.
    pub fn options(&self, folder: &Path) -> LogOptions {
        let shown =
            |(name, value): (&String, &SecretString)| (name.clone(), value.expose_secret().to_owned());
        LogOptions {
            queue_bytes_max: self.queue_bytes_max,
            heads_cached_max: self.heads_cached_max,
            republish_after: Duration::from_millis(self.republish_after_ms),
            close_wait: Duration::from_millis(self.close_wait_ms),
            kafka: KafkaOptions {
                topic_prefix: self.kafka.topic_prefix.clone(),
                partitions: self.kafka.partitions,
                replication: Some(self.kafka.replication).filter(|copies| *copies > 0),
                group_prefix: Some(self.kafka.group_prefix.clone()).filter(|prefix| !prefix.is_empty()),
                group_offsets_every: Some(Duration::from_millis(self.kafka.group_offsets_ms))
                    .filter(|every| !every.is_zero()),
                properties: self.kafka.properties.iter().map(shown).collect(),
            },
            ..LogOptions::at(self.url.as_str(), folder)
        }
    }

    /// Whether other processes can write and read the same log.
    pub fn is_shared(&self) -> bool {
        self.options(Path::new("")).is_shared().unwrap_or(false)
    }
}
