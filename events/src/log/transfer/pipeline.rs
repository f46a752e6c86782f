//! Many streams under way at once, each with at most one commit that is not judged yet.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{Side, TransferError, TransferOptions, compare};
use crate::{
    envelope::{NewCommit, parse_body},
    log::{AppendError, Appended, EventLog, LogError, StoredCommit, judge::spans},
    stream::StreamId,
};

/// A commit with its verdict.
type Judged = (StoredCommit, Result<Appended, AppendError>);

/// Before a commit that the target had no room for is sent again.
const SEND_AGAIN: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct Pipeline<'a> {
    target: &'a dyn EventLog,
    options: TransferOptions,
    /// Whether the target held commits when this began: then each is looked for before it is sent.
    holds_some: bool,
    /// The streams with a commit under way, each with the commits that wait behind it.
    streams: HashMap<StreamId, VecDeque<StoredCommit>>,
    verdicts: FuturesUnordered<Pin<Box<dyn Future<Output = Judged> + Send + 'a>>>,
    /// Since when the target takes nothing, although it goes on.
    refusing: Option<Instant>,
    /// Commits in `streams` and `verdicts`.
    commits: usize,
    /// Their bodies.
    bytes: usize,
    appended: u64,
}

impl<'a> Pipeline<'a> {
    /// An empty one.
    pub(super) fn new(target: &'a dyn EventLog, options: TransferOptions, holds_some: bool) -> Self {
        Self {
            target,
            options,
            holds_some,
            streams: HashMap::new(),
            verdicts: FuturesUnordered::new(),
            refusing: None,
            commits: 0,
            bytes: 0,
            appended: 0,
        }
    }

    /// Takes the next commit of the source, when there is room for it.
    pub(super) async fn offer(&mut self, commit: StoredCommit) -> Result<(), TransferError> {
        while self.commits > 0
            && (self.commits >= self.options.commits_max || self.bytes >= self.options.bytes_max)
        {
            self.settle_one().await?;
        }
        if let Some(waiting) = self.streams.get_mut(&commit.stream) {
            (self.commits, self.bytes) = (self.commits + 1, self.bytes + commit.body.len());
            waiting.push_back(commit);
            return Ok(());
        }
        if self.holds_some {
            let head = self.target.head(commit.stream).map_err(Side::Target.failed())?;
            // That what it holds is the same was compared before.
            if head >= commit.last_version() {
                return Ok(());
            }
        }
        (self.commits, self.bytes) = (self.commits + 1, self.bytes + commit.body.len());
        self.streams.insert(commit.stream, VecDeque::new());
        self.send(commit, Duration::ZERO)
    }

    /// Waits for all verdicts; gives how many commits were appended.
    pub(super) async fn finish(mut self) -> Result<u64, TransferError> {
        while self.commits > 0 {
            self.settle_one().await?;
        }
        Ok(self.appended)
    }

    fn send(&mut self, commit: StoredCommit, after: Duration) -> Result<(), TransferError> {
        let events = parse_body(&commit.body).map_err(|e| {
            let (position, reason) = (commit.position, e.to_string());
            Side::Source.failed()(LogError::Damaged { position, reason })
        })?;
        let new = NewCommit {
            id: events[0].commitid,
            stream: commit.stream,
            first_version: commit.first_version,
            count: commit.count,
            commands: spans(&events),
            body: commit.body.to_vec(),
        };
        let target = self.target;
        if after.is_zero() {
            let verdict = target.append(new);
            self.verdicts.push(Box::pin(async move { (commit, verdict.await) }));
        } else {
            self.verdicts.push(Box::pin(async move {
                tokio::time::sleep(after).await;
                (commit, target.append(new).await)
            }));
        }
        Ok(())
    }

    async fn settle_one(&mut self) -> Result<(), TransferError> {
        let Some((commit, verdict)) = self.verdicts.next().await else { return Ok(()) };
        let (stream, version, bytes) = (commit.stream, commit.first_version, commit.body.len());
        match verdict {
            Ok(_) => (self.appended, self.refusing) = (self.appended + 1, None),
            // Its file does not keep up, or its upstream is away for a moment.
            Err(AppendError::Unavailable(_)) if self.waits() => return self.send(commit, SEND_AGAIN),
            // Sent by an earlier transfer that did not live to see it arrive, or by somebody else.
            Err(AppendError::Conflict { head }) if head >= commit.last_version() => {
                compare::same_at(self.target, &commit)?;
            }
            Err(error) => return Err(TransferError::Append { stream, version, error }),
        }
        (self.commits, self.bytes) = (self.commits - 1, self.bytes - bytes);
        match self.streams.get_mut(&stream).and_then(VecDeque::pop_front) {
            Some(next) => self.send(next, Duration::ZERO),
            None => {
                self.streams.remove(&stream);
                Ok(())
            }
        }
    }

    /// Whether it is worth waiting for a target that takes nothing.
    fn waits(&mut self) -> bool {
        let since = *self.refusing.get_or_insert_with(Instant::now);
        self.target.status().stopped.is_none() && since.elapsed() < self.options.away_max
    }
}
