//! How a log is opened: where it is, and every bound it keeps.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::LogError;

/// How to open a log. [`LogOptions::embedded`] and [`LogOptions::kafka`] take the defaults; every bound is kept, not wished.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Who orders the commits. `embedded`: this process. `kafka://<host:port>[,<host:port>…]`: the topics of that cluster.
    pub url: String,
    /// Where this process keeps its files: the log itself, or its copy of it. One process has it at a time.
    pub folder: PathBuf,
    /// What only a log on Kafka needs.
    pub kafka: KafkaOptions,
    /// The largest body a commit may have, bytes.
    pub commit_bytes_max: usize,
    /// Bodies that may wait for the writer, bytes; beyond it appends wait (asynchronously) for their turn.
    pub queue_bytes_max: usize,
    /// Commits in one transaction.
    pub batch_commits_max: usize,
    /// Bodies in one transaction, bytes; the commit that crosses the bound is the last of its batch.
    pub batch_bytes_max: usize,
    /// When the write-ahead log has this many bytes it is copied back into the main file, beside the writer. Four times as
    /// many, and the writer itself waits for that.
    pub wal_bytes_max: u64,
    /// Entries of a copy's index that gather in memory before they are written to the file in the order of the index, a part
    /// with every transaction. Some 160 bytes each; after a crash up to three times as many are taken in from the commits.
    pub unindexed_rows_max: usize,
    /// Stream heads kept in memory.
    pub heads_cached_max: usize,
    /// Connections that read at the same time; further readers wait.
    pub reader_connections_max: usize,
    /// Opens the files without the lock and without a writer, so that they can be verified while a server runs.
    pub read_only: bool,
    /// The most pages of 4 KiB that the file may have; `None` for as many as the disk holds. Tests fill a disk with it.
    pub pages_max: Option<u32>,
    /// Commits that were judged and may wait for the copy's writer; beyond it the upstream is not polled.
    pub unwritten_commits_max: usize,
    /// As [`Self::unwritten_commits_max`], in bytes of memory.
    pub unwritten_bytes_max: usize,
    /// How long an append over an upstream stays without a sign before its commit is published again.
    pub republish_after: Duration,
    /// How long [`close`](super::EventLog::close) waits for an upstream to show what was published.
    pub close_wait: Duration,
}

/// What a log on Kafka needs beside the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaOptions {
    /// The first word of every topic: `<prefix>.<service>.events`. A cluster can carry several logs.
    pub topic_prefix: String,
    /// Partitions of a topic when it is made. A log keeps the number it was made with. Each is a request of its own to the
    /// broker, so many of them make every commit dearer.
    pub partitions: u16,
    /// Copies the cluster keeps of each partition of a topic when it is made; `None` takes the brokers' default.
    pub replication: Option<u16>,
    /// The first word of the consumer groups that show how far readers are, `<prefix>.<projection>`; `None` takes that of the
    /// topics. Processes whose read models are their own need different ones.
    pub group_prefix: Option<String>,
    /// How often such offsets are committed, where they have moved; `None`: never.
    pub group_offsets_every: Option<Duration>,
    /// Settings of librdkafka that are passed through, such as `security.protocol` and `sasl.username`. Those that the log's
    /// promises rest on are refused.
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            topic_prefix: "guildhall".into(),
            partitions: 3,
            replication: None,
            group_prefix: None,
            group_offsets_every: Some(Duration::from_secs(10)),
            properties: BTreeMap::new(),
        }
    }
}

/// Who orders the commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// This process alone.
    Embedded,
    /// A cluster, to be asked at these brokers: `host:port`, separated by commas.
    Kafka(String),
}

impl LogOptions {
    /// The defaults, for the log that lives in `folder`.
    pub fn embedded(folder: impl AsRef<Path>) -> Self {
        Self::at("embedded", folder)
    }

    /// The defaults, for the log on the cluster with these brokers (`host:port`, separated by commas), copied to `folder`.
    pub fn kafka(brokers: &str, folder: impl AsRef<Path>) -> Self {
        Self::at(format!("kafka://{brokers}"), folder)
    }

    /// The defaults, for the log at `url` (see [`Self::url`]) with its files in `folder`.
    pub fn at(url: impl Into<String>, folder: impl AsRef<Path>) -> Self {
        Self {
            url: url.into(),
            folder: folder.as_ref().to_owned(),
            kafka: KafkaOptions::default(),
            commit_bytes_max: 900 * 1024,
            queue_bytes_max: 64 << 20,
            batch_commits_max: 1024,
            batch_bytes_max: 8 << 20,
            wal_bytes_max: 64 << 20,
            unindexed_rows_max: 100_000,
            heads_cached_max: 100_000,
            reader_connections_max: 4,
            read_only: false,
            pages_max: None,
            unwritten_commits_max: 32_768,
            unwritten_bytes_max: 64 << 20,
            republish_after: Duration::from_secs(10),
            close_wait: Duration::from_secs(5),
        }
    }

    /// Whether other processes can write and read the log at this URL, each with a copy of its own.
    ///
    /// # Errors
    /// [`LogError::Refused`], with a sentence that says which URLs there are.
    pub fn is_shared(&self) -> Result<bool, LogError> {
        Ok(match self.engine()? {
            Engine::Embedded => false,
            Engine::Kafka(_) => true,
        })
    }

    /// The engine that the URL names.
    ///
    /// # Errors
    /// [`LogError::Refused`], with a sentence that says what is known.
    pub(crate) fn engine(&self) -> Result<Engine, LogError> {
        let refused = |what: &str| {
            Err(LogError::Refused(format!(
                "{what}; a log's URL is embedded, or kafka://<host:port>[,<host:port>…]"
            )))
        };
        if self.url == "embedded" {
            return Ok(Engine::Embedded);
        }
        match self.url.strip_prefix("kafka://") {
            Some(brokers) if brokers.split(',').all(is_address) => Ok(Engine::Kafka(brokers.to_owned())),
            Some(_) => refused("the log's URL names no brokers as host:port"),
            None => refused("the log's URL names no engine that is known"),
        }
    }
}

/// Whether `text` has the form `host:port`.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', ' ']) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_an_engine_or_is_refused_with_what_is_known() {
        for url in
            ["mysql://host/log", "./data", "embedded:", "", "kafka://", "kafka://host", "kafka://a:1,,b:2"]
        {
            let refused = LogOptions::at(url, "/a").engine();
            assert!(
                matches!(&refused, Err(LogError::Refused(sentence)) if sentence.contains("kafka://<host:port>")),
                "{url}: {refused:?}"
            );
        }
        assert_eq!(LogOptions::embedded("/a/b").engine(), Ok(Engine::Embedded));
        let kafka = LogOptions::kafka("one:9092,[::1]:9093", "/a");
        assert_eq!(kafka.engine(), Ok(Engine::Kafka("one:9092,[::1]:9093".into())));
    }
}
