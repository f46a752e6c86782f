//! What was appended last, decoded once for all runners of the process.
//!
//! Every read model and the reactor read the same commits, most of them within the same moment. The first to come reads and
//! decodes what is new while the others wait for it, and need no thread for that; then they find it here. Who is far behind
//! reads for itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use events::{
    Offset, Partition,
    log::{EventLog, LogError, ReadLimit},
};

use tokio::sync::OwnedMutexGuard;

use super::source::{DecodedCommit, decode, read_up_to_damage};

/// The last commits of every partition. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Recent {
    partitions: Arc<HashMap<Partition, Part>>,
    /// Bodies that a partition's part may have, bytes.
    bytes_max: usize,
}

#[derive(Default)]
struct Part {
    /// Held by whoever reads what is new.
    reading: Arc<tokio::sync::Mutex<()>>,
    tail: Mutex<Tail>,
}

impl Part {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last commits of one partition, without a gap.
#[derive(Default)]
struct Tail {
    /// Everything behind this is here, up to the last one; `None` while nothing is.
    behind: Option<Offset>,
    commits: VecDeque<Arc<DecodedCommit>>,
    bytes: usize,
}

impl Recent {
    /// Of all partitions of `log`, with bodies of at most `bytes_max` bytes together.
    pub(crate) fn new(log: &dyn EventLog, bytes_max: usize) -> Self {
        let partitions: HashMap<_, _> =
            log.partitions().into_iter().map(|partition| (partition, Part::default())).collect();
        let bytes_max = bytes_max / partitions.len().max(1);
        Self { partitions: Arc::new(partitions), bytes_max }
    }

    /// What stands behind `after`, if that is here.
    pub(super) fn peek(
        &self,
        partition: Partition,
        after: Offset,
        limit: ReadLimit,
    ) -> Option<Vec<Arc<DecodedCommit>>> {
        self.partitions.get(&partition)?.tail().behind(after, limit)
    }

    /// Waits for those who read what stands behind these places just now, and keeps others from doing so. Who reads what is
    /// long past keeps nobody.
    pub(super) async fn take_turns(
        &self,
        after: impl Iterator<Item = &(Partition, Offset)>,
    ) -> Vec<OwnedMutexGuard<()>> {
        let mut turns: Vec<_> = after
            .filter_map(|(partition, offset)| Some((partition, offset, self.partitions.get(partition)?)))
            .filter(|(_, offset, part)| part.tail().is_followed_by(**offset))
            .map(|(partition, _, part)| (*partition, &part.reading))
            .collect();
        // All in the same order, so that nobody waits for somebody who waits for them.
        turns.sort_by_key(|(partition, _)| *partition);
        let mut held = Vec::with_capacity(turns.len());
        for (_, reading) in turns {
            held.push(Arc::clone(reading).lock_owned().await);
        }
        held
    }

    /// What stands behind `after`, read from the log unless it is here by now.
    pub(super) fn read(
        &self,
        log: &dyn EventLog,
        partition: Partition,
        after: Offset,
        limit: ReadLimit,
    ) -> Result<Vec<Arc<DecodedCommit>>, LogError> {
        let part = self.partitions.get(&partition);
        if let Some(found) = part.and_then(|part| part.tail().behind(after, limit)) {
            return Ok(found);
        }
        let found = read(log, partition, after, limit)?;
        if let Some(mut tail) = part.map(Part::tail).filter(|tail| tail.is_followed_by(after)) {
            tail.extend(after, &found, self.bytes_max);
        }
        Ok(found)
    }
}

fn read(
    log: &dyn EventLog,
    partition: Partition,
    after: Offset,
    limit: ReadLimit,
) -> Result<Vec<Arc<DecodedCommit>>, LogError> {
    let commits = read_up_to_damage(log, partition, after, limit)?;
    Ok(commits.iter().map(|commit| Arc::new(decode(commit))).collect())
}

impl Tail {
    fn last(&self) -> Option<Offset> {
        self.commits.back().map(|commit| commit.position.offset).or(self.behind)
    }

    /// What is read behind `after` is newer than all that is here, or the first at all.
    fn is_followed_by(&self, after: Offset) -> bool {
        self.last().is_none_or(|last| after >= last)
    }

    /// What is here of what stands behind `after`; `None` when that is nothing, or there may be more between.
    fn behind(&self, after: Offset, limit: ReadLimit) -> Option<Vec<Arc<DecodedCommit>>> {
        if self.behind.is_none_or(|behind| after < behind) {
            return None;
        }
        let first = self.commits.partition_point(|commit| commit.position.offset <= after);
        let (mut found, mut bytes) = (Vec::new(), 0);
        for commit in self.commits.iter().skip(first) {
            if found.len() >= limit.commits || bytes > limit.bytes {
                break;
            }
            bytes += commit.bytes;
            found.push(Arc::clone(commit));
        }
        (!found.is_empty()).then_some(found)
    }

    /// Adds what was read behind `after`; the oldest go when there is too much.
    fn extend(&mut self, after: Offset, found: &[Arc<DecodedCommit>], bytes_max: usize) {
        if self.last() != Some(after) {
            *self = Self { behind: Some(after), ..Self::default() };
        }
        for commit in found {
            self.bytes += commit.bytes;
            self.commits.push_back(Arc::clone(commit));
        }
        while self.bytes > bytes_max
            && let Some(oldest) = self.commits.pop_front()
        {
            self.bytes -= oldest.bytes;
            self.behind = Some(oldest.position.offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use events::{Position, Service};

    use super::*;

    const EVERYTHING: ReadLimit = ReadLimit { commits: 100, bytes: 10_000 };

    /// Commits of ten bytes at these places.
    fn commits(offsets: &[Offset]) -> Vec<Arc<DecodedCommit>> {
        let partition = Partition { service: Service::Jobs, number: 0 };
        let at = |offset: &Offset| Position { partition, offset: *offset };
        let commit = |offset| Arc::new(DecodedCommit { position: at(offset), bytes: 10, items: Vec::new() });
        offsets.iter().map(commit).collect()
    }

    fn offsets(found: Option<Vec<Arc<DecodedCommit>>>) -> Option<Vec<Offset>> {
        Some(found?.iter().map(|commit| commit.position.offset).collect())
    }

    #[test]
    fn what_was_read_is_found_by_those_who_come_behind_and_nothing_else_is_said_to_be_all() {
        let mut tail = Tail::default();
        assert!(tail.behind(3, EVERYTHING).is_none() && tail.is_followed_by(3));
        // An upstream leaves gaps.
        tail.extend(3, &commits(&[4, 7]), 1_000);
        assert_eq!(offsets(tail.behind(3, EVERYTHING)), Some(vec![4, 7]));
        assert_eq!(offsets(tail.behind(5, EVERYTHING)), Some(vec![7]));
        assert_eq!(offsets(tail.behind(7, EVERYTHING)), None, "there may be more by now");
        assert_eq!(offsets(tail.behind(2, EVERYTHING)), None, "what is at 3 is not here");
        assert!(tail.is_followed_by(7) && !tail.is_followed_by(6) && !tail.is_followed_by(2));
    }

    #[test]
    fn the_oldest_go_and_those_who_were_ahead_of_all_begin_anew() {
        let mut tail = Tail::default();
        tail.extend(0, &commits(&[1, 2, 3]), 25);
        assert_eq!(offsets(tail.behind(0, EVERYTHING)), None, "the first is gone");
        assert_eq!(offsets(tail.behind(1, EVERYTHING)), Some(vec![2, 3]));
        tail.extend(3, &commits(&[4]), 25);
        assert_eq!(offsets(tail.behind(2, EVERYTHING)), Some(vec![3, 4]));
        tail.extend(9, &commits(&[10]), 25);
        assert_eq!((offsets(tail.behind(3, EVERYTHING)), tail.bytes), (None, 10));
        assert_eq!(offsets(tail.behind(9, EVERYTHING)), Some(vec![10]));
        tail.extend(10, &commits(&[11]), 0);
        assert_eq!((tail.last(), tail.bytes, offsets(tail.behind(10, EVERYTHING))), (Some(11), 0, None));
    }

    #[test]
    fn nobody_is_given_more_than_was_asked_for() {
        let mut tail = Tail::default();
        tail.extend(0, &commits(&[1, 2, 3, 4]), 1_000);
        let at_most = |commits, bytes| offsets(tail.behind(0, ReadLimit { commits, bytes }));
        assert_eq!(at_most(2, 1_000), Some(vec![1, 2]));
        assert_eq!(at_most(9, 15), Some(vec![1, 2]), "up to the commit that goes beyond");
    }
}
