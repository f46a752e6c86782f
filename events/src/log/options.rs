//! How a log is opened: where it is, and every bound it keeps.

use std::{path::PathBuf, time::Duration};

use super::LogError;

/// How to open a log. [`LogOptions::at`] takes the defaults; every field is a bound that is kept, not a wish.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Which engine and where. `embedded:<folder>`: this machine's own log, in files in that folder.
    pub url: String,
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
    /// Stream heads kept in memory.
    pub heads_cached_max: usize,
    /// Connections that read at the same time; further readers wait.
    pub reader_connections_max: usize,
    /// Opens the files without the lock and without a writer, so that they can be verified while a server runs.
    pub read_only: bool,
    /// The most pages of 4 KiB that the file may have; `None` for as many as the disk holds. Tests fill a disk with it.
    pub pages_max: Option<u32>,
    /// How long an append over an upstream stays without a sign before its commit is published again.
    pub republish_after: Duration,
    /// How long [`close`](super::EventLog::close) waits for an upstream to show what was published.
    pub close_wait: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            url: "embedded:./data".into(),
            commit_bytes_max: 900 * 1024,
            queue_bytes_max: 64 << 20,
            batch_commits_max: 1024,
            batch_bytes_max: 8 << 20,
            wal_bytes_max: 64 << 20,
            heads_cached_max: 100_000,
            reader_connections_max: 4,
            read_only: false,
            pages_max: None,
            republish_after: Duration::from_secs(10),
            close_wait: Duration::from_secs(5),
        }
    }
}

impl LogOptions {
    /// The defaults, for the log at `url`.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// The folder of an embedded log.
    ///
    /// # Errors
    /// [`LogError::Refused`] when the URL names another engine or no folder, with a sentence that says what is known.
    pub(super) fn embedded_folder(&self) -> Result<PathBuf, LogError> {
        let refused = |what: String| {
            Err(LogError::Refused(format!(
                "{what}; supported is embedded:<folder>, for instance embedded:./data"
            )))
        };
        match self.url.split_once(':') {
            Some(("embedded", "")) => refused("the log's URL names no folder".into()),
            Some(("embedded", folder)) => Ok(PathBuf::from(folder)),
            Some((scheme, _)) => refused(format!("there is no log engine '{scheme}'")),
            None => refused("the log's URL has no engine before a colon".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_engine_is_refused_with_what_is_supported() {
        for url in ["mysql://host/log", "./data", "embedded:", ""] {
            let refused = LogOptions::at(url).embedded_folder();
            assert!(
                matches!(&refused, Err(LogError::Refused(sentence)) if sentence.contains("embedded:<folder>")),
                "{refused:?}"
            );
        }
        assert_eq!(LogOptions::at("embedded:/a/b").embedded_folder(), Ok(PathBuf::from("/a/b")));
    }
}
