//! A log in memory whose verdicts are given out by the test, and on which others write, too.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    thread::ThreadId,
};

use events::{
    LogId, Offset, Partition, Position, StreamId, Version,
    envelope::NewCommit,
    ids::{CommandId, CommitId},
    log::{
        AppendError, Appended, ChainHash, EventLog, KnownCommand, LogError, LogStatus, ReadLimit,
        StoredCommit, Verdict, VerifyReport,
    },
};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

type Sender = oneshot::Sender<Result<Appended, AppendError>>;

#[derive(Default)]
struct Inner {
    commits: Vec<(NewCommit, StoredCommit)>,
    holding: bool,
    undecided: Vec<(NewCommit, Sender)>,
    failing: Option<AppendError>,
    away: bool,
    appended: usize,
    loaded: usize,
    looked_up: usize,
    knows_heads: bool,
    head_asked_by: Vec<ThreadId>,
}

pub struct ScriptedLog {
    inner: Mutex<Inner>,
    bytes_max: usize,
    changes: watch::Sender<u64>,
}

impl ScriptedLog {
    pub fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), bytes_max, changes: watch::Sender::new(0) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics while it holds the log")
    }

    /// From now on commits wait for [`ScriptedLog::release`].
    pub fn hold(&self) {
        self.inner().holding = true;
    }

    /// Judges what waits, in order, and lets later commits through.
    pub fn release(&self) {
        let mut inner = self.inner();
        inner.holding = false;
        judge_undecided(&mut inner);
    }

    /// Judges what waits, and goes on holding what comes.
    pub fn release_once(&self) {
        judge_undecided(&mut self.inner());
    }

    /// From now on every append fails like this.
    pub fn fail(&self, error: Option<AppendError>) {
        self.inner().failing = error;
    }

    /// From now on the log is known to be away, or back again.
    pub fn go_away(&self, away: bool) {
        self.inner().away = away;
    }

    /// Somebody else writes: `commit` is judged at once.
    pub fn interfere(&self, commit: NewCommit) {
        judge(&mut self.inner(), commit).expect("the other writer was first");
    }

    pub fn undecided(&self) -> usize {
        self.inner().undecided.len()
    }

    /// Forgets what waits: no verdict will ever come.
    pub fn forget(&self) {
        self.inner().undecided.clear();
    }

    /// The log is as it was when it had this many commits: restored from an older copy.
    pub fn restore(&self, commits: usize) {
        self.inner().commits.truncate(commits);
    }

    /// The id of the last commit.
    pub fn last_commit(&self) -> CommitId {
        self.commits().last().expect("there is one").id
    }

    /// From now on every head is in memory.
    pub fn know_heads(&self) {
        self.inner().knows_heads = true;
    }

    /// The threads that asked for a head that might not be in memory, once for each time.
    pub fn head_asked_by(&self) -> Vec<ThreadId> {
        self.inner().head_asked_by.clone()
    }

    /// Commits read so far to fold a state.
    pub fn loaded(&self) -> usize {
        self.inner().loaded
    }

    /// Commands looked up so far.
    pub fn looked_up(&self) -> usize {
        self.inner().looked_up
    }

    /// Commits sent so far, void ones included.
    pub fn appended(&self) -> usize {
        self.inner().appended
    }

    /// The commits that became history.
    pub fn commits(&self) -> Vec<NewCommit> {
        self.inner().commits.iter().map(|(commit, _)| commit.clone()).collect()
    }
}

fn head(inner: &Inner, stream: StreamId) -> Version {
    let last = inner.commits.iter().rev().find(|(commit, _)| commit.stream == stream);
    last.map_or(0, |(_, stored)| stored.last_version())
}

fn judge_undecided(inner: &mut Inner) {
    for (commit, sender) in std::mem::take(&mut inner.undecided) {
        let verdict = judge(inner, commit);
        let _ = sender.send(verdict);
    }
}

fn judge(inner: &mut Inner, commit: NewCommit) -> Result<Appended, AppendError> {
    let head = head(inner, commit.stream);
    if commit.first_version != head + 1 {
        return Err(AppendError::Conflict { head });
    }
    let partition = Partition { service: commit.stream.category.service(), number: 0 };
    let position = Position { partition, offset: inner.commits.len() as Offset };
    let stored = StoredCommit {
        position,
        stream: commit.stream,
        first_version: commit.first_version,
        count: commit.count,
        chain: ChainHash::default(),
        body: commit.body.clone().into(),
    };
    inner.commits.push((commit, stored));
    Ok(Appended { position })
}

impl EventLog for ScriptedLog {
    fn id(&self) -> LogId {
        LogId(Uuid::nil())
    }

    fn append(&self, commit: NewCommit) -> Verdict {
        let mut inner = self.inner();
        inner.appended += 1;
        let verdict = match (&inner.failing, inner.holding) {
            (Some(error), _) => Err(error.clone()),
            (None, false) => judge(&mut inner, commit),
            (None, true) => {
                let (sender, receiver) = oneshot::channel();
                inner.undecided.push((commit, sender));
                return Box::pin(async { receiver.await.expect("the test gives a verdict") });
            }
        };
        Box::pin(async { verdict })
    }

    fn load(&self, stream: StreamId, after: Version, limit: usize) -> Result<Vec<StoredCommit>, LogError> {
        let mut inner = self.inner();
        let commits = inner.commits.iter().map(|(_, stored)| stored);
        let wanted = commits.filter(|commit| commit.stream == stream && commit.last_version() > after);
        let wanted: Vec<StoredCommit> = wanted.take(limit).cloned().collect();
        inner.loaded += wanted.len();
        Ok(wanted)
    }

    fn head(&self, stream: StreamId) -> Result<Version, LogError> {
        let mut inner = self.inner();
        inner.head_asked_by.push(std::thread::current().id());
        Ok(head(&inner, stream))
    }

    fn head_in_memory(&self, stream: StreamId) -> Option<Version> {
        let inner = self.inner();
        inner.knows_heads.then(|| head(&inner, stream))
    }

    fn find_command(&self, stream: StreamId, command: CommandId) -> Result<Option<KnownCommand>, LogError> {
        let mut inner = self.inner();
        inner.looked_up += 1;
        let mut spans =
            inner.commits.iter().filter(|(commit, _)| commit.stream == stream).flat_map(
                |(commit, stored)| commit.commands.iter().map(move |span| (*span, stored.position)),
            );
        Ok(spans.find(|(span, _)| span.command_id == command).map(|(span, position)| KnownCommand {
            command_hash: span.command_hash,
            first_version: span.first_version,
            count: span.count,
            position,
        }))
    }

    fn read(&self, _: Partition, _: Offset, _: ReadLimit) -> Result<Vec<StoredCommit>, LogError> {
        Ok(vec![])
    }

    fn partitions(&self) -> Vec<Partition> {
        vec![]
    }

    fn end(&self, _: Partition) -> Result<Offset, LogError> {
        Ok(-1)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn commit_bytes_max(&self) -> usize {
        self.bytes_max
    }

    fn status(&self) -> LogStatus {
        let away = self.inner().away.then(|| "no broker answers".to_owned());
        LogStatus { away, ..LogStatus::default() }
    }

    fn verify(&self) -> Result<VerifyReport, LogError> {
        Ok(VerifyReport::default())
    }

    fn close(&self) {}
}

/// What another process would have written: the same command, or another one.
pub fn foreign_commit(stream: StreamId, first: Version, command: CommandId, totals: &[i64]) -> NewCommit {
    use events::{
        CommandStamp, CommitBuilder, Timestamp,
        envelope::CommandHash,
        vocabulary::admin::{TestClockEvent, TestClockMoved},
    };
    let stamp = CommandStamp {
        command_id: command,
        command_hash: CommandHash([0; 16]),
        correlation_id: "elsewhere".into(),
        causation_id: None,
        actor: "system".into(),
        traceparent: None,
        time: Timestamp::default(),
    };
    let events: Vec<TestClockEvent> =
        totals.iter().map(|offset_ms| TestClockMoved { offset_ms: *offset_ms }.into()).collect();
    let mut builder = CommitBuilder::new(stream, first);
    builder.push(&stamp, &events);
    builder.finish().expect("it has an event")
}

/// Shares the log between the executor and the test.
pub fn shared(log: &Arc<ScriptedLog>) -> Arc<dyn EventLog> {
    Arc::<ScriptedLog>::clone(log)
}
