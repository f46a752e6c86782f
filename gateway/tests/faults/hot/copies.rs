//! What three processes hold of one log, compared with each other and with what was acknowledged.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use events::{
    Category, StreamId,
    log::{LogOptions, ReadLimit, StoredCommit},
    stream::BEFORE_FIRST,
};

use super::load::Acknowledged;

/// Every commit of the copy in a folder: partition, offset, stream, versions, body and chain.
pub(super) fn copy(folder: &Path) -> Vec<StoredCommit> {
    let log = events::log::open(&LogOptions { read_only: true, ..LogOptions::embedded(folder) }).unwrap();
    let limit = ReadLimit { commits: 1000, bytes: 8 << 20 };
    let mut commits = Vec::new();
    for partition in log.partitions() {
        let mut after = BEFORE_FIRST;
        loop {
            let page = log.read(partition, after, limit).unwrap();
            let Some(last) = page.last() else { break };
            after = last.position.offset;
            commits.extend(page);
        }
    }
    log.verify().unwrap();
    log.close();
    commits
}

/// The copies are equal to the byte.
pub(super) fn are_equal(copies: &[Vec<StoredCommit>]) {
    for (number, other) in copies.iter().enumerate().skip(1) {
        let differing = copies[0].iter().zip(other).find(|(ours, theirs)| ours != theirs);
        assert!(differing.is_none(), "copies 0 and {number} differ: {differing:#?}");
        assert_eq!(copies[0].len(), other.len(), "copies 0 and {number} differ in length");
    }
}

/// What was acknowledged of each job is there, once, at the version that was told, and nothing else is. Commits and
/// commands on these streams.
pub(super) fn hold_what_was_acknowledged(
    commits: &[StoredCommit],
    jobs: &[String],
    acknowledged: &[Acknowledged],
) -> (usize, usize) {
    let mut streams: HashMap<StreamId, Vec<&StoredCommit>> = HashMap::new();
    for commit in commits.iter().filter(|commit| commit.stream.category == Category::Job) {
        streams.entry(commit.stream).or_default().push(commit);
    }
    let (mut hot_commits, mut commands) = (0, 0);
    for (number, job) in jobs.iter().enumerate() {
        let stream: StreamId = job.replacen("job_", "job-", 1).parse().unwrap();
        let stream = &streams[&stream];
        let mut told: Vec<u64> =
            acknowledged.iter().filter(|known| known.job == number).map(|known| known.version).collect();
        told.sort_unstable();
        // The job was created and published; each command after that wrote one event.
        let expected: Vec<u64> = (3..3 + told.len() as u64).collect();
        assert_eq!(told, expected, "{job}: a command was lost, or acknowledged at another's version");
        let head = stream.iter().map(|commit| commit.last_version()).max().unwrap();
        assert_eq!(head, 2 + told.len() as u64, "{job}: a command that nobody sent, or one twice");
        let events: Vec<_> =
            stream.iter().flat_map(|commit| commit.events().unwrap()).map(Result::unwrap).collect();
        let ids: HashSet<_> = events.iter().map(|event| event.stamp.command_id).collect();
        assert_eq!(ids.len(), events.len(), "{job}: a command was carried out twice");
        hot_commits += stream.len() - 2;
        commands += told.len();
    }
    (hot_commits, commands)
}
