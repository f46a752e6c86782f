//! Commits that were judged and are not in the copy's file yet: bounded, in order, found by stream.
//!
//! The tail puts them in, the copy's writer takes them out, everybody who decides reads them ([`super::view::JudgedView`]).

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    KnownCommand, LogError, StoredCommit,
    judging::{JudgedCommit, Standing},
};
use crate::{
    envelope::CommandSpan,
    ids::CommandId,
    stream::{Offset, Partition, StreamId, Version},
};

/// What a commit holds in memory beside its body, bytes, roughly.
const COMMIT_OVERHEAD_BYTES: usize = 400;

/// The hand-over from the tail to the copy's writer.
pub(super) struct Unwritten {
    state: Mutex<State>,
    /// There is something to write, or nothing more will come.
    filled: Condvar,
    /// There is room again, or there never will be.
    emptied: Condvar,
    bounds: Bounds,
}

/// How much may wait for the copy's writer. The tail looks before it polls, so one poll can come on top.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Commits.
    pub(super) commits_max: usize,
    /// Bytes of memory.
    pub(super) bytes_max: usize,
}

struct State {
    /// What no transaction has taken yet, oldest first.
    waiting: VecDeque<Arc<JudgedCommit>>,
    /// Everything unwritten, taken or not, by stream, oldest first.
    streams: HashMap<StreamId, VecDeque<Arc<JudgedCommit>>>,
    /// Commits unwritten, and what they hold in memory.
    commits: usize,
    bytes: usize,
    /// How far the upstream was judged, by index of the partition, and how much of that the file knows.
    reached: Vec<(Partition, Offset)>,
    noted: Vec<Offset>,
    /// Since when there has been no room.
    full_since: Option<Instant>,
    /// The writer waits for more than there is: it is not woken for every commit.
    gathering: Option<usize>,
    closed: bool,
    failed: Option<LogError>,
}

/// What one transaction of the copy's writer takes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Valid commits in the order in which they were judged.
    pub(super) commits: Vec<Arc<JudgedCommit>>,
    /// How far the upstream was judged with them: index of the partition, partition, offset.
    pub(super) source: Vec<(usize, Partition, Offset)>,
}

impl Unwritten {
    /// Nothing is unwritten, and the file knows the upstream up to `source`.
    pub(super) fn new(bounds: Bounds, source: &[(Partition, Offset)]) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            streams: HashMap::new(),
            commits: 0,
            bytes: 0,
            reached: source.to_vec(),
            noted: source.iter().map(|(_, offset)| *offset).collect(),
            full_since: None,
            gathering: None,
            closed: false,
            failed: None,
        };
        Self { state: Mutex::new(state), filled: Condvar::new(), emptied: Condvar::new(), bounds }
    }

    /// Adds a commit: from now on everybody who decides sees it.
    pub(super) fn push(&self, judged: Arc<JudgedCommit>) {
        let mut state = self.lock();
        state.commits += 1;
        state.bytes += memory_of(&judged);
        state.streams.entry(judged.commit.stream).or_default().push_back(Arc::clone(&judged));
        state.waiting.push_back(judged);
    }

    /// Notes how far the upstream was judged, and wakes the writer when it waits for that.
    pub(super) fn reached(&self, source: &[(Partition, Offset)]) {
        let mut state = self.lock();
        state.reached.copy_from_slice(source);
        let is_enough = state.gathering.is_none_or(|commits_max| state.waiting.len() >= commits_max);
        drop(state);
        if is_enough {
            self.filled.notify_one();
        }
    }

    /// Waits until there is room, at most so long. True when there is.
    ///
    /// # Errors
    /// Why the copy's writer has stopped.
    pub(super) fn wait_for_room(&self, wait: Duration) -> Result<bool, LogError> {
        let is_full = |state: &mut State| {
            let over = state.commits >= self.bounds.commits_max || state.bytes >= self.bounds.bytes_max;
            over && state.failed.is_none()
        };
        let mut state = self.lock();
        if is_full(&mut state) {
            state.full_since.get_or_insert_with(Instant::now);
            let waited = self.emptied.wait_timeout_while(state, wait, is_full);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(failed) = &state.failed {
            return Err(failed.clone());
        }
        let full = is_full(&mut state);
        if !full {
            state.full_since = None;
        }
        Ok(!full)
    }

    /// How many commits wait for a writer that has made no room for so long; `None` when it keeps up.
    pub(super) fn stalled(&self, patience: Duration) -> Option<usize> {
        let state = self.lock();
        let since = state.full_since.filter(|since| since.elapsed() >= patience);
        since.map(|_| state.commits)
    }

    /// Waits for something to write; when that comes, lets more gather until `due` or until a transaction is full. `None`
    /// when nothing more will come.
    pub(super) fn take(&self, commits_max: usize, due: Instant) -> Option<Batch> {
        let mut state = self.lock();
        while !state.is_behind() {
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let left = due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            let gathers = |state: &mut State| state.waiting.len() < commits_max && !state.closed;
            state.gathering = Some(commits_max);
            let waited = self.filled.wait_timeout_while(state, left, gathers);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.gathering = None;
        }
        Some(state.take(commits_max))
    }

    /// What there is to write now, if anything.
    #[cfg(feature = "simulation")]
    pub(super) fn take_now(&self, commits_max: usize) -> Option<Batch> {
        let mut state = self.lock();
        state.is_behind().then(|| state.take(commits_max))
    }

    /// A batch is in the file, and visible there: it is found here no more.
    pub(super) fn written(&self, batch: &Batch) {
        let mut state = self.lock();
        for judged in &batch.commits {
            state.commits -= 1;
            state.bytes -= memory_of(judged);
            let stream = judged.commit.stream;
            if let Some(commits) = state.streams.get_mut(&stream) {
                commits.pop_front();
                if commits.is_empty() {
                    state.streams.remove(&stream);
                }
            }
        }
        drop(state);
        self.emptied.notify_all();
    }

    /// How far a partition was judged, when all that was judged is in the file; `None` while something is not.
    pub(super) fn settled(&self, partition: Partition) -> Option<Offset> {
        let state = self.lock();
        let place = state.reached.iter().find(|(known, _)| *known == partition)?;
        (state.commits == 0).then_some(place.1)
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Nothing more will be written.
    pub(super) fn fail(&self, error: LogError) {
        self.lock().failed.get_or_insert(error);
        self.emptied.notify_all();
    }

    /// Where `stream` stands; `None` when nothing of it is unwritten.
    pub(super) fn standing(&self, stream: StreamId) -> Option<Standing> {
        let state = self.lock();
        let last = &state.streams.get(&stream)?.back()?.commit;
        Some(Standing { version: last.last_version(), chain: last.chain })
    }

    /// See [`super::EventLog::load`], of what is unwritten.
    pub(super) fn load(&self, stream: StreamId, after: Version, limit: usize) -> Vec<StoredCommit> {
        let state = self.lock();
        let Some(commits) = state.streams.get(&stream) else { return Vec::new() };
        let start = commits.partition_point(|judged| judged.commit.last_version() <= after);
        commits.range(start..).take(limit).map(|judged| judged.commit.clone()).collect()
    }

    /// See [`super::EventLog::find_command`], of what is unwritten.
    pub(super) fn find_command(&self, stream: StreamId, command: CommandId) -> Option<KnownCommand> {
        let state = self.lock();
        state.streams.get(&stream)?.iter().find_map(|judged| {
            let span = judged.commands.iter().find(|span| span.command_id == command)?;
            Some(KnownCommand {
                command_hash: span.command_hash,
                first_version: span.first_version,
                count: span.count,
                position: judged.commit.position,
            })
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the file does not know something.
    fn is_behind(&self) -> bool {
        !self.waiting.is_empty() || self.reached.iter().zip(&self.noted).any(|((_, to), noted)| to != noted)
    }

    /// The oldest commits, and how far the upstream was judged with them: up to the last of them, or as far as was judged
    /// at all when nothing stays behind.
    fn take(&mut self, commits_max: usize) -> Batch {
        let count = self.waiting.len().min(commits_max);
        let commits: Vec<_> = self.waiting.drain(..count).collect();
        let mut to = self.noted.clone();
        for judged in &commits {
            to[judged.partition] = judged.commit.position.offset;
        }
        if self.waiting.is_empty() {
            // A turn may be under way, its commits here and the end of its records not told yet.
            to.iter_mut().zip(&self.reached).for_each(|(to, (_, reached))| *to = (*to).max(*reached));
        }
        let moved = self.reached.iter().enumerate().zip(to.iter().zip(&self.noted));
        let source = moved
            .filter(|(_, (to, noted))| to != noted)
            .map(|((index, (partition, _)), (to, _))| (index, *partition, *to))
            .collect();
        self.noted = to;
        Batch { commits, source }
    }
}

fn memory_of(judged: &JudgedCommit) -> usize {
    judged.commit.body.len() + judged.commands.len() * size_of::<CommandSpan>() + COMMIT_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::JobId,
        log::ChainHash,
        stream::{BEFORE_FIRST, Category, Position, Service},
    };

    const PARTITION: Partition = Partition { service: Service::Jobs, number: 0 };

    fn unwritten(commits_max: usize) -> Unwritten {
        Unwritten::new(Bounds { commits_max, bytes_max: usize::MAX }, &[(PARTITION, BEFORE_FIRST)])
    }

    /// A commit of one event at this offset, of a stream of its own.
    fn judged(offset: Offset) -> Arc<JudgedCommit> {
        let commit = StoredCommit {
            position: Position { partition: PARTITION, offset },
            stream: StreamId::new(Category::Job, JobId::fresh()),
            first_version: 1,
            count: 1,
            chain: ChainHash::default(),
            body: Arc::from(*b"[]"),
        };
        let before = ChainHash::default();
        Arc::new(JudgedCommit { commit, commands: Vec::new(), before, body_checksum: 0, partition: 0 })
    }

    fn source_of(batch: &Batch) -> Vec<Offset> {
        batch.source.iter().map(|(_, _, offset)| *offset).collect()
    }

    #[test]
    fn the_upstream_is_noted_no_further_than_the_commits_of_the_same_transaction() {
        let unwritten = unwritten(100);
        for offset in [3, 5, 9] {
            unwritten.push(judged(offset));
        }
        unwritten.reached(&[(PARTITION, 12)]);
        let sources: Vec<_> = (0..2)
            .map(|_| unwritten.take_now(2).map(|batch| (batch.commits.len(), source_of(&batch))))
            .collect();
        assert_eq!(sources, [Some((2, vec![5])), Some((1, vec![12]))]);
        assert!(unwritten.take_now(2).is_none());
        // Void records alone move the upstream's offset too.
        unwritten.reached(&[(PARTITION, 14)]);
        assert_eq!(unwritten.take_now(2).map(|batch| source_of(&batch)), Some(vec![14]));
    }

    #[test]
    fn the_commits_of_a_turn_that_goes_on_do_not_note_more_than_themselves() {
        let unwritten = unwritten(100);
        unwritten.push(judged(3));
        assert_eq!(unwritten.take_now(10).map(|batch| source_of(&batch)), Some(vec![3]));
        unwritten.reached(&[(PARTITION, 3)]);
        assert!(unwritten.take_now(10).is_none());
    }

    #[test]
    fn what_is_full_has_stalled_until_a_transaction_makes_room() {
        let unwritten = unwritten(2);
        unwritten.push(judged(0));
        assert_eq!(
            (unwritten.wait_for_room(Duration::ZERO), unwritten.stalled(Duration::ZERO)),
            (Ok(true), None)
        );
        unwritten.push(judged(1));
        assert_eq!(unwritten.wait_for_room(Duration::ZERO), Ok(false));
        assert_eq!(unwritten.stalled(Duration::ZERO), Some(2));
        assert_eq!(unwritten.stalled(Duration::from_secs(3600)), None, "not for that long");
        let batch = unwritten.take_now(1).expect("there is something to write");
        assert_eq!(unwritten.wait_for_room(Duration::ZERO), Ok(false), "taken is not written");
        unwritten.written(&batch);
        assert_eq!(
            (unwritten.wait_for_room(Duration::ZERO), unwritten.stalled(Duration::ZERO)),
            (Ok(true), None)
        );
    }

    #[test]
    fn a_writer_that_failed_is_told_to_who_waits_for_it() {
        let unwritten = unwritten(0);
        let failure = LogError::File("the disk is full".into());
        unwritten.fail(failure.clone());
        assert_eq!(unwritten.wait_for_room(Duration::from_secs(3600)), Err(failure));
    }
}
