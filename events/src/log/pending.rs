//! Appends that were published and have not been judged yet.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{AppendError, Appended, judge::FORMAT, upstream::Record};
use crate::{
    envelope::NewCommit,
    ids::CommitId,
    stream::{Partition, StreamId, Version},
};

/// Where the verdict goes.
pub(super) type Answer = oneshot::Sender<Result<Appended, AppendError>>;

/// A commit that may be on the upstream.
struct Pending {
    stream: StreamId,
    first_version: Version,
    partition: Partition,
    record: Record,
    /// Everyone who appended this very commit.
    answers: Vec<Answer>,
    /// When it was published last; `None` until it was compared with its stream's head.
    published: Option<Instant>,
    /// Its place among the bounded many, given back with the verdict.
    _room: OwnedSemaphorePermit,
}

/// The verdict over a record, whoever published it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// Its commit.
    pub(super) commit: CommitId,
    /// The stream of the commit.
    pub(super) stream: StreamId,
    /// Where the stream stands now.
    pub(super) head: Version,
    /// Where the commit stands; `None` when it is void.
    pub(super) appended: Option<Appended>,
}

/// All of them, by commit and by stream.
#[derive(Default)]
pub(super) struct PendingAppends {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    commits: HashMap<CommitId, Pending>,
    /// As a rule one a stream: callers keep at most one unjudged commit per stream.
    streams: HashMap<StreamId, Vec<CommitId>>,
    closed: Option<String>,
}

/// A record to be published.
pub(super) type Publication = (Partition, Record, CommitId);

impl PendingAppends {
    /// Notes a commit before it is compared with its stream's head. False when no commit is taken any more, or this one is
    /// already under way.
    pub(super) fn enter(
        &self,
        commit: NewCommit,
        partition: Partition,
        answer: Answer,
        room: OwnedSemaphorePermit,
    ) -> bool {
        let mut state = self.lock();
        if let Some(reason) = &state.closed {
            let refusal = AppendError::Unavailable(reason.clone());
            drop(state);
            let _ = answer.send(Err(refusal));
            return false;
        }
        if let Some(known) = state.commits.get_mut(&commit.id) {
            known.answers.push(answer);
            return false;
        }
        let NewCommit { id, stream, first_version, body, .. } = commit;
        let record = Record { key: stream.to_string(), format: FORMAT, body: Arc::from(body) };
        let answers = vec![answer];
        let pending =
            Pending { stream, first_version, partition, record, answers, published: None, _room: room };
        state.commits.insert(id, pending);
        state.streams.entry(stream).or_default().push(id);
        true
    }

    /// Gives one verdict, when the commit is one of ours. True when somebody waited for it.
    pub(super) fn settle(&self, commit: CommitId, verdict: &Result<Appended, AppendError>) -> bool {
        let pending = self.lock().remove(commit);
        let waited = pending.is_some();
        pending.into_iter().for_each(|pending| pending.answer(verdict));
        waited
    }

    /// Answers all who wait for these records, and those whose streams have passed their commits: they will be void whenever
    /// they come. Gives how many commits of ours were in conflict.
    pub(super) fn judged(&self, judged: &[Judged]) -> usize {
        let mut answers = Vec::new();
        let mut state = self.lock();
        for Judged { commit, stream, head, appended } in judged {
            if state.commits.is_empty() {
                break;
            }
            let conflict = Err(AppendError::Conflict { head: *head });
            if let Some(pending) = state.remove(*commit) {
                answers.push((pending, appended.map_or(conflict.clone(), Ok)));
            }
            for passed in state.passed(*stream, *head) {
                answers.extend(state.remove(passed).map(|pending| (pending, conflict.clone())));
            }
        }
        drop(state);
        let conflicts = answers.iter().filter(|(_, verdict)| verdict.is_err()).count();
        answers.into_iter().for_each(|(pending, verdict)| pending.answer(&verdict));
        conflicts
    }

    /// The record of a commit that is still pending, to publish it, or to publish it again.
    pub(super) fn publication(&self, commit: CommitId) -> Option<Publication> {
        self.lock().commits.get_mut(&commit).map(|pending| {
            pending.published = Some(Instant::now());
            (pending.partition, pending.record.clone(), commit)
        })
    }

    /// The commits that were published at least `silence` ago.
    pub(super) fn silent(&self, silence: Duration) -> Vec<(CommitId, Partition)> {
        let state = self.lock();
        let is_silent = |pending: &Pending| pending.published.is_some_and(|since| since.elapsed() >= silence);
        let silent = state.commits.iter().filter(|(_, pending)| is_silent(pending));
        silent.map(|(id, pending)| (*id, pending.partition)).collect()
    }

    /// None is pending.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().commits.is_empty()
    }

    /// Takes nothing more; the first reason stands.
    pub(super) fn close(&self, reason: &str) {
        self.lock().closed.get_or_insert_with(|| reason.to_owned());
    }

    /// Whether nothing is taken any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed.is_some()
    }

    /// Why nothing is taken any more.
    pub(super) fn unavailable(&self) -> AppendError {
        let reason = self.lock().closed.clone();
        AppendError::Unavailable(reason.unwrap_or_else(|| "the log is closed".into()))
    }

    /// Takes nothing more. What was published is left in doubt: it may be on the upstream. What was not, certainly is not.
    pub(super) fn abandon(&self, reason: &str) {
        self.close(reason);
        let mut state = self.lock();
        state.streams.clear();
        let commits = std::mem::take(&mut state.commits);
        drop(state);
        for pending in commits.into_values() {
            let verdict = match pending.published {
                Some(_) => AppendError::InDoubt(reason.to_owned()),
                None => AppendError::Unavailable(reason.to_owned()),
            };
            pending.answer(&Err(verdict));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn answer(self, verdict: &Result<Appended, AppendError>) {
        for answer in self.answers {
            // Nobody may be listening any more; that takes nothing back.
            let _ = answer.send(verdict.clone());
        }
    }
}

impl State {
    /// The commits of `stream` that a stream at `head` has passed.
    fn passed(&self, stream: StreamId, head: Version) -> Vec<CommitId> {
        let ids = self.streams.get(&stream).map_or(&[][..], Vec::as_slice);
        let passed = |id: &&CommitId| self.commits.get(*id).is_some_and(|known| known.first_version <= head);
        ids.iter().filter(passed).copied().collect()
    }

    fn remove(&mut self, commit: CommitId) -> Option<Pending> {
        let pending = self.commits.remove(&commit)?;
        if let Some(ids) = self.streams.get_mut(&pending.stream) {
            ids.retain(|id| *id != commit);
            if ids.is_empty() {
                self.streams.remove(&pending.stream);
            }
        }
        Some(pending)
    }
}
