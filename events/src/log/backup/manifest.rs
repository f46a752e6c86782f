//! The manifest: what a backup holds, to the byte.

use std::{fmt::Display, str::FromStr};

use aws_lc_rs::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    attested::Sha256,
    log::StoredCommit,
    stream::{BEFORE_FIRST, LogId, Offset, Partition},
    time::Timestamp,
};

/// The format of the manifest and of the files that it names; another one is refused.
pub(super) const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub format: u32,
    /// Counts the backups into this folder, from 1.
    pub run: u64,
    /// Which log it is a backup of.
    pub log: LogId,
    /// What the files in the folder of the log were.
    pub kind: LogKind,
    /// The moment that the backup shows, by the machine's clock.
    pub taken_at: Timestamp,
    /// The release that took it.
    pub taken_by: String,
    /// Every partition, in order.
    pub partitions: Vec<PartitionRecord>,
    /// Where the key file stood when it was backed up, which was after the log; `None` when the keys were left out.
    pub keys: Option<KeysPosition>,
    /// How far read models were, shortly before: to know, not to restore. They are built anew.
    pub read_models: Vec<ReadModelPosition>,
}

/// What the files in a folder are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogKind {
    /// The log itself: nobody else has it.
    Embedded,
    /// A node's copy of a log that an upstream keeps.
    NodeCopy,
}

/// One partition of the backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionRecord {
    /// Which one, `jobs/0`.
    #[serde(serialize_with = "to_text", deserialize_with = "from_text")]
    pub partition: Partition,
    /// The offset of its last commit; -1 when it has none.
    pub end: Offset,
    /// The last offset of the upstream that was judged, void or not; -1 where there is none.
    pub judged: Offset,
    /// Commits in it.
    pub commits: u64,
    /// Events in those.
    pub events: u64,
    /// The hash chain of the last commit's stream, up to and with that commit; zeros when there is none.
    pub chain: Sha256,
    /// SHA-256 over the digest up to the commit before (zeros before the first) and this commit's chain: two backups of one
    /// log that say the same here hold the same.
    pub digest: Sha256,
    /// The files that hold its commits, in order.
    pub segments: Vec<Segment>,
}

/// A file of commits. Only its first `bytes` count: what stands behind them is of a backup that is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its name.
    pub file: String,
    /// The offset of its first commit.
    pub first: Offset,
    /// The offset of its last commit.
    pub last: Offset,
    /// Commits in it.
    pub commits: u64,
    /// Its length.
    pub bytes: u64,
    /// Of these bytes.
    pub sha256: Sha256,
}

/// Where a key file stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysPosition {
    /// The number of its last record; for a node's copy, how many records of the topic of keys it had taken.
    pub position: u64,
    /// Keys of people who were not erased.
    pub keys: u64,
    /// People who were erased.
    pub erased: u64,
}

/// How far one build of a read model had read one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadModelPosition {
    /// `board_v1`.
    pub read_model: String,
    /// Which log it was fed by.
    pub log: LogId,
    /// Which partition.
    #[serde(serialize_with = "to_text", deserialize_with = "from_text")]
    pub partition: Partition,
    /// Everything up to and with this was folded in.
    pub offset: Offset,
}

impl Manifest {
    /// Commits and events in all partitions.
    pub fn totals(&self) -> (u64, u64) {
        let of = |count: fn(&PartitionRecord) -> u64| self.partitions.iter().map(count).sum();
        (of(|record| record.commits), of(|record| record.events))
    }
}

impl PartitionRecord {
    /// Of an empty partition.
    pub(super) fn empty(partition: Partition) -> Self {
        Self {
            partition,
            end: BEFORE_FIRST,
            judged: BEFORE_FIRST,
            commits: 0,
            events: 0,
            chain: Sha256::default(),
            digest: Sha256::default(),
            segments: Vec::new(),
        }
    }

    /// Counts one more commit. The files are counted by whoever writes them.
    pub(super) fn note(&mut self, commit: &StoredCommit) {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.digest.0);
        context.update(&commit.chain.0);
        self.digest = Sha256::from_digest(&context.finish());
        self.chain = Sha256(commit.chain.0);
        self.end = commit.position.offset;
        self.commits += 1;
        self.events += u64::from(commit.count);
    }
}

/// As it is displayed.
pub(super) fn to_text<T: Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

/// As it is parsed.
pub(super) fn from_text<'de, T, D>(d: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
}
