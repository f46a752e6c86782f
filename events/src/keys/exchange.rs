//! What carries key records between the nodes of one log: a compacted topic, seen from here.

use std::time::{Duration, Instant};

use crate::stream::LogId;

/// What is put on the topic. A later post with the same key replaces an earlier one, in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Post {
    /// What it is about.
    pub(super) key: String,
    /// What is said of it; `None` is a tombstone: earlier posts with this key go, and the tombstone after them.
    pub(super) value: Option<Vec<u8>>,
}

/// What stands on the topic, whoever put it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Posted {
    /// Its place. Places grow and have gaps.
    pub(super) offset: u64,
    /// When the exchange took it, milliseconds since 1970 by its own clock.
    pub(super) at_ms: i64,
    /// As [`Post::key`].
    pub(super) key: Vec<u8>,
    /// As [`Post::value`].
    pub(super) value: Option<Vec<u8>>,
    /// The log that it says it belongs to.
    pub(super) log: Option<String>,
    /// The format that it says it has.
    pub(super) format: Option<String>,
}

/// Why the exchange did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExchangeError {
    /// It cannot be reached, or does not answer. That may pass; what was published may have arrived all the same.
    #[error("{0}")]
    Away(String),
    /// Somebody has to change something: one sentence that says where and what.
    #[error("{0}")]
    Refused(String),
}

/// One ordered topic that many nodes write and read, and that forgets what was replaced. Calls block within a bound.
pub(super) trait Exchange: Send + Sync + 'static {
    /// Which log it belongs to.
    fn log(&self) -> LogId;

    /// The name of the topic and where it is, for sentences.
    fn name(&self) -> &str;

    /// Checks that the topic neither keeps nor loses what it must not; makes it when there is none and it may.
    fn prepare(&self, may_make: bool, deadline: Instant) -> Result<(), ExchangeError>;

    /// Puts `posts` on the topic in this order. `Ok` means that all of them are durable, and gives the place behind the
    /// last; an error means that any of them may be.
    fn publish(&self, posts: &[Post], deadline: Instant) -> Result<u64, ExchangeError>;

    /// What stands at `next` and behind, at most `limit`; waits up to `wait` for the first. One thread asks at a time.
    fn poll(&self, next: u64, limit: usize, wait: Duration) -> Result<Vec<Posted>, ExchangeError>;

    /// The place behind the last post.
    fn end(&self) -> Result<u64, ExchangeError>;

    /// How long what was replaced may stay before the topic forgets it, once something is posted after it. Asked when the
    /// topic is prepared.
    fn forgets_after(&self) -> Duration;
}
