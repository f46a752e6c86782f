//! Appends that were published and have not been judged yet.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    Answer, AppendError, Appended,
    clock::Clock,
    judge::{FORMAT, ParsedCommit},
    turns::Turns,
    upstream::Record,
};
use crate::{
    envelope::{CommandSpan, NewCommit},
    ids::CommitId,
    stream::{Partition, StreamId, Version},
};

/// A commit that may be on the upstream.
struct Pending {
    stream: StreamId,
    first_version: Version,
    count: u32,
    commands: Vec<CommandSpan>,
    partition: Partition,
    record: Record,
    /// Everyone who appended this very commit.
    answers: Vec<Answer>,
    /// When it was published last; `None` until it was compared with its stream's head and had its turn.
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
pub(super) struct PendingAppends {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    commits: HashMap<CommitId, Pending>,
    /// As a rule one a stream: callers keep at most one unjudged commit per stream.
    streams: HashMap<StreamId, Vec<CommitId>>,
    turns: Turns,
    /// Commits that let others have their turn, and until when. Some may have been answered meanwhile.
    held: Vec<(Instant, CommitId)>,
    closed: Option<String>,
}

/// A record to be published.
pub(super) type Publication = (Partition, Record, CommitId);

/// How often to look for commits whose wait is over, while streams are contended.
const HELD_POLL_WAIT: Duration = Duration::from_millis(2);

impl PendingAppends {
    /// None is pending; waits are measured by `clock`.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default() }
    }

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
            answer(Err(refusal));
            return false;
        }
        if let Some(known) = state.commits.get_mut(&commit.id) {
            known.answers.push(answer);
            return false;
        }
        let NewCommit { id, stream, first_version, count, body, commands } = commit;
        let record = Record { key: stream.to_string(), format: FORMAT, body: Arc::from(body) };
        let answers = vec![answer];
        let pending = Pending {
            stream,
            first_version,
            count,
            commands,
            partition,
            record,
            answers,
            published: None,
            _room: room,
        };
        state.commits.insert(id, pending);
        state.streams.entry(stream).or_default().push(id);
        true
    }

    /// A commit that is pending and was written as exactly this record: reading that again would give the same.
    pub(super) fn written_as(&self, commit: CommitId, record: &Record) -> Option<ParsedCommit> {
        let state = self.lock();
        let pending = state.commits.get(&commit).filter(|pending| pending.record == *record)?;
        let Pending { stream, first_version, count, commands, .. } = pending;
        let (stream, first_version, count) = (*stream, *first_version, *count);
        Some(ParsedCommit { id: commit, stream, first_version, count, commands: commands.clone() })
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
        let (mut answers, now) = (Vec::new(), self.clock.now());
        let mut state = self.lock();
        for Judged { commit, stream, head, appended } in judged {
            let conflict = Err(AppendError::Conflict { head: *head });
            match state.remove(*commit) {
                Some(pending) => {
                    if appended.is_some() {
                        let round_trip = pending.published.map(|at| now.saturating_duration_since(at));
                        state.turns.won(*stream, *commit, round_trip, now);
                    } else {
                        state.turns.lost(*stream, now);
                    }
                    answers.push((pending, appended.map_or(conflict.clone(), Ok)));
                }
                None => state.turns.foreign(*stream, *commit, appended.is_some(), now),
            }
            for passed in state.passed(*stream, *head) {
                state.turns.lost(*stream, now);
                answers.extend(state.remove(passed).map(|pending| (pending, conflict.clone())));
            }
        }
        drop(state);
        let conflicts = answers.iter().filter(|(_, verdict)| verdict.is_err()).count();
        answers.into_iter().for_each(|(pending, verdict)| pending.answer(&verdict));
        conflicts
    }

    /// The record of a commit to publish it for the first time; `None` when it must let another process have its turn on the
    /// stream first, or is not pending any more.
    pub(super) fn first_publication(&self, commit: CommitId) -> Option<Publication> {
        let now = self.clock.now();
        let mut state = self.lock();
        let stream = state.commits.get(&commit)?.stream;
        if let Some(until) = state.turns.held_until(stream, now) {
            state.held.push((until, commit));
            return None;
        }
        state.publication(commit, now)
    }

    /// The records of commits whose wait for their turn is over.
    pub(super) fn due(&self) -> Vec<Publication> {
        let mut state = self.lock();
        if state.held.is_empty() {
            return Vec::new();
        }
        let now = self.clock.now();
        let held = std::mem::take(&mut state.held);
        let (due, held) = held.into_iter().partition(|(until, _)| *until <= now);
        state.held = held;
        due.into_iter()
            .filter_map(|(_, commit): (Instant, CommitId)| state.publication(commit, now))
            .collect()
    }

    /// For how long a poll may wait, at most `wait`, so that commits which let others go first do not wait for nothing.
    pub(super) fn poll_wait(&self, wait: Duration) -> Duration {
        let state = self.lock();
        let is_watched = !state.held.is_empty() || state.turns.is_any_contended(self.clock.now());
        if is_watched { wait.min(HELD_POLL_WAIT) } else { wait }
    }

    /// The record of a commit that is still pending, to publish it again; `None` when it was not published before.
    pub(super) fn publication(&self, commit: CommitId) -> Option<Publication> {
        let mut state = self.lock();
        state.commits.get(&commit)?.published?;
        state.publication(commit, self.clock.now())
    }

    /// The commits that were published at least `silence` ago.
    pub(super) fn silent(&self, silence: Duration) -> Vec<(CommitId, Partition)> {
        let (state, now) = (self.lock(), self.clock.now());
        let is_silent = |at: Instant| now.saturating_duration_since(at) >= silence;
        let silent = state.commits.iter().filter(|(_, pending)| pending.published.is_some_and(is_silent));
        let mut silent: Vec<_> = silent.map(|(id, pending)| (*id, pending.partition)).collect();
        silent.sort_unstable();
        silent
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
            answer(verdict.clone());
        }
    }
}

impl State {
    fn publication(&mut self, commit: CommitId, now: Instant) -> Option<Publication> {
        let pending = self.commits.get_mut(&commit)?;
        pending.published = Some(now);
        Some((pending.partition, pending.record.clone(), commit))
    }

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
