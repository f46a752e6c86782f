//! The one hand that writes a copy: judges commits against the heads and adds the valid ones, a transaction at a time.

use std::{collections::HashMap, fs::File, sync::Arc, sync::atomic::Ordering};

use rusqlite::{CachedStatement, Connection, params};

use super::{
    CopyReader, file_error,
    reader::written_head,
    row_checksum, schema,
    unindexed::{EntryKey, Sweep, Target, entries_of},
};
use crate::{
    envelope::CommandSpan,
    log::{
        ChainHash, LogError,
        judge::{Judgement, judge},
        judging::JudgedCommit,
    },
    stream::{BEFORE_FIRST, Offset, Partition, Position, StreamId, Version},
};

/// Where a stream stands, and what its next commit needs to know.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct Head {
    /// The stream's integer key.
    pub(super) key: i64,
    /// The version of its last event.
    pub(in crate::log) version: Version,
    /// Its hash chain.
    pub(in crate::log) chain: ChainHash,
}

/// A commit on its way into the copy.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct Candidate<'a> {
    /// The stream it is for.
    pub(in crate::log) stream: StreamId,
    /// The version of its first event.
    pub(in crate::log) first_version: Version,
    /// How many events it has.
    pub(in crate::log) count: u32,
    /// The commands it answers.
    pub(in crate::log) commands: &'a [CommandSpan],
    /// The sealed bytes.
    pub(in crate::log) body: &'a [u8],
    /// [`super::body_checksum`] of the body, taken before the commit reached the writer's thread.
    pub(in crate::log) body_checksum: u32,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) enum Outcome {
    /// It was added at this position; durable once the transaction is committed.
    Added(Position),
    /// It was not; the stream stands at this version.
    Refused(Judgement, Version),
}

/// Writes the copy. There is one per file, on one thread. After any error the transaction's fate is unknown and the
/// writer must not be used again: a sync that failed once may report success when repeated, having lost the data.
pub(in crate::log) struct CopyWriter {
    connection: Connection,
    book: Book,
    /// With so many unindexed entries a sweep begins.
    unindexed_rows_max: usize,
    /// The sweep that is under way.
    sweep: Option<Sweep>,
    /// Held for as long as this process may write the file.
    _lock: File,
}

/// What the writer knows without its connection.
struct Book {
    reader: Arc<CopyReader>,
    /// What the open transaction changed; moved to the shared cache once it is durable.
    changed: HashMap<StreamId, Head>,
    /// The ends of the partitions as the open transaction leaves them, in the order of [`CopyReader::partitions`].
    ends: Vec<Offset>,
    /// The entries of what the open transaction added.
    entries: Vec<(EntryKey, Target)>,
    /// Bodies that were added since the last sweep began, bytes.
    unindexed_bytes: usize,
    next_stream_key: i64,
}

/// Entries that a transaction of a sweep writes beside twice as many as it adds: while a sweep is under way, fewer and fewer
/// are unindexed.
const SWEPT_AT_LEAST: usize = 16;
/// Entries by which a transaction of a sweep writes more than it adds, at most.
const SWEPT_BESIDE_MAX: usize = 4096;
/// Entries of a transaction that does nothing else.
const SWEPT_AT_ONCE: usize = 10_000;
/// Bodies of commits behind the places up to which the index is whole, bytes: they are read when the file is opened after a
/// crash. With so many a sweep begins, however few entries they have.
const UNINDEXED_BYTES: usize = 64 << 20;

impl CopyWriter {
    pub(super) fn new(
        connection: Connection,
        reader: Arc<CopyReader>,
        lock: File,
        unindexed_rows_max: usize,
    ) -> Result<Self, LogError> {
        let next_stream_key = connection
            .query_row("SELECT coalesce(max(key), 0) + 1 FROM streams", [], |row| row.get(0))
            .map_err(file_error)?;
        let ends = reader.partitions.iter().map(|known| known.row.end).collect();
        let book = Book {
            reader,
            changed: HashMap::new(),
            ends,
            entries: Vec::new(),
            unindexed_bytes: 0,
            next_stream_key,
        };
        Ok(Self { connection, book, unindexed_rows_max, sweep: None, _lock: lock })
    }

    /// The connection, for checkpoints between transactions.
    pub(in crate::log) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// What is shared with the readers.
    pub(in crate::log) fn reader(&self) -> &Arc<CopyReader> {
        &self.book.reader
    }

    /// Starts a transaction.
    pub(in crate::log) fn begin(&mut self) -> Result<(), LogError> {
        self.book.changed.clear();
        self.book.entries.clear();
        self.run("BEGIN IMMEDIATE")
    }

    /// Makes the transaction durable, then visible to [`CopyReader::head`] and [`CopyReader::end`].
    pub(in crate::log) fn commit(&mut self) -> Result<(), LogError> {
        let indexed = match self.book.entries.len() {
            // Nothing was added: nothing else is written either.
            0 => Vec::new(),
            added => self.sweep(added + (added + SWEPT_AT_LEAST).min(SWEPT_BESIDE_MAX))?,
        };
        self.run("COMMIT")?;
        let Book { reader, changed, ends, entries, .. } = &mut self.book;
        if !(entries.is_empty() && indexed.is_empty()) {
            reader.unindexed.settle(entries.drain(..), &indexed);
        }
        for (stream, head) in changed.drain() {
            reader.heads.insert(stream, head);
        }
        for (known, end) in reader.partitions.iter().zip(ends) {
            known.end.store(*end, Ordering::Release);
        }
        Ok(())
    }

    /// Writes, within the open transaction, a part of the entries that are unindexed, when there are many.
    fn sweep(&mut self, rows_max: usize) -> Result<Vec<EntryKey>, LogError> {
        let reader = &self.book.reader;
        let are_many = || {
            reader.unindexed.len() >= self.unindexed_rows_max || self.book.unindexed_bytes >= UNINDEXED_BYTES
        };
        if self.sweep.is_none() && are_many() {
            self.book.unindexed_bytes = 0;
            self.sweep = Some(Sweep::new(reader));
        }
        let Some(sweep) = &mut self.sweep else { return Ok(Vec::new()) };
        let (indexed, is_through) = sweep.go_on(&self.connection, &reader.unindexed, rows_max)?;
        if is_through {
            self.sweep = None;
        }
        Ok(indexed)
    }

    /// Makes the file's index whole, in transactions of bounded size; false while it is not. Nothing is added any more.
    pub(super) fn index_rest(&mut self) -> Result<bool, LogError> {
        self.run("BEGIN IMMEDIATE")?;
        let reader = &self.book.reader;
        let (indexed, is_through) =
            Sweep::new(reader).go_on(&self.connection, &reader.unindexed, SWEPT_AT_ONCE)?;
        self.run("COMMIT")?;
        reader.unindexed.settle([], &indexed);
        Ok(is_through)
    }

    fn run(&self, sql: &str) -> Result<(), LogError> {
        self.statement(sql)?.execute([]).map(drop).map_err(file_error)
    }

    fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, LogError> {
        self.connection.prepare_cached(sql).map_err(file_error)
    }

    /// Where `stream` stands within the open transaction; `None` when it has no commit.
    pub(in crate::log) fn head(&self, stream: StreamId) -> Result<Option<Head>, LogError> {
        self.book.head(&self.connection, stream)
    }

    /// The offset after the partition's last commit, the open transaction included.
    pub(in crate::log) fn next_offset(&self, partition: usize) -> Offset {
        self.book.ends[partition] + 1
    }

    /// Judges `candidate`, reached at `offset` of the partition with index `partition`, and adds it when it is valid.
    pub(in crate::log) fn add(
        &mut self,
        partition: usize,
        offset: Offset,
        candidate: &Candidate<'_>,
    ) -> Result<Outcome, LogError> {
        let head = self.head(candidate.stream)?;
        let version = head.map_or(0, |head| head.version);
        let judgement = judge(version, candidate.first_version);
        if judgement != Judgement::Valid {
            return Ok(Outcome::Refused(judgement, version));
        }
        let mut rows = Rows::prepare(&self.connection)?;
        let chain = head.map_or_else(ChainHash::default, |head| head.chain).link(candidate.body);
        self.book.add_valid(&mut rows, (partition, offset), head, chain, candidate)?;
        let partition = self.book.reader.partitions[partition].row.partition;
        Ok(Outcome::Added(Position { partition, offset }))
    }

    /// Adds commits that were judged valid before, in order. The copy must agree: it must stand where each was judged to
    /// follow.
    pub(in crate::log) fn add_judged(&mut self, batch: &[Arc<JudgedCommit>]) -> Result<(), LogError> {
        let mut rows = Rows::prepare(&self.connection)?;
        batch.iter().try_for_each(|judged| self.book.add_judged(&self.connection, &mut rows, judged))
    }

    /// Notes, within the open transaction, that the upstream was judged up to `offset`.
    pub(in crate::log) fn set_source(
        &mut self,
        partition: Partition,
        offset: Offset,
    ) -> Result<(), LogError> {
        debug_assert!(offset > BEFORE_FIRST);
        self.statement("UPDATE partitions SET source_offset = ?3 WHERE service = ?1 AND number = ?2")?
            .execute((partition.service.name(), partition.number, offset))
            .map(drop)
            .map_err(file_error)
    }
}

impl Book {
    /// Where `stream` stands within the open transaction; `None` when it has no commit.
    fn head(&self, connection: &Connection, stream: StreamId) -> Result<Option<Head>, LogError> {
        if let Some(head) = self.changed.get(&stream) {
            return Ok(Some(*head));
        }
        if let Some(head) = self.reader.heads.get(&stream) {
            return Ok(Some(head));
        }
        written_head(connection, &self.reader.unindexed, stream)
    }

    /// See [`CopyWriter::add_judged`].
    fn add_judged(
        &mut self,
        connection: &Connection,
        rows: &mut Rows<'_>,
        judged: &JudgedCommit,
    ) -> Result<(), LogError> {
        let JudgedCommit { commit, commands, before, body_checksum, partition } = judged;
        let known = if commit.first_version == 1 {
            // Judged to be the first of its stream. Were it not, the index of the streams' names would refuse it.
            None
        } else {
            self.head(connection, commit.stream)?
        };
        let (version, chain) = known.map_or((0, ChainHash::default()), |head| (head.version, head.chain));
        if judge(version, commit.first_version) != Judgement::Valid || chain != *before {
            return Err(LogError::Refused(format!(
                "the copy of stream {} stands at version {version} and cannot be followed by the commit at {}, which was \
                 judged valid",
                commit.stream, commit.position
            )));
        }
        let candidate = Candidate {
            stream: commit.stream,
            first_version: commit.first_version,
            count: commit.count,
            commands,
            body: &commit.body,
            body_checksum: *body_checksum,
        };
        self.add_valid(rows, (*partition, commit.position.offset), known, commit.chain, &candidate)
    }

    /// Adds a commit at a place behind `head`, with which its stream's chain is `chain`.
    fn add_valid(
        &mut self,
        rows: &mut Rows<'_>,
        (partition, offset): (usize, Offset),
        head: Option<Head>,
        chain: ChainHash,
        candidate: &Candidate<'_>,
    ) -> Result<(), LogError> {
        assert!(
            offset > self.ends[partition] && offset <= schema::OFFSET_MAX,
            "offsets grow and fit a position"
        );
        let key = match head {
            Some(head) => head.key,
            None => self.add_stream(rows, candidate.stream)?,
        };
        let row = self.reader.partitions[partition].row.row_of(offset);
        let version = head.map_or(0, |head| head.version) + u64::from(candidate.count);
        let head = Head { key, version, chain };
        rows.add(row, head, candidate)?;
        self.unindexed_bytes += candidate.body.len();
        self.entries.extend(entries_of(key, row, version, candidate.commands));
        self.changed.insert(candidate.stream, head);
        self.ends[partition] = offset;
        Ok(())
    }

    fn add_stream(&mut self, rows: &mut Rows<'_>, stream: StreamId) -> Result<i64, LogError> {
        if let Some(newcomers) = &self.reader.newcomers {
            newcomers.add(stream);
        }
        let key = self.next_stream_key;
        rows.stream
            .execute((key, stream.uuid.as_bytes().as_slice(), stream.category.name()))
            .map_err(file_error)?;
        self.next_stream_key += 1;
        Ok(key)
    }
}

/// The statements that add commits, taken out of the connection once for many of them.
struct Rows<'a> {
    stream: CachedStatement<'a>,
    commit: CachedStatement<'a>,
}

impl<'a> Rows<'a> {
    fn prepare(connection: &'a Connection) -> Result<Self, LogError> {
        let statement = |sql| connection.prepare_cached(sql).map_err(file_error);
        Ok(Self {
            stream: statement("INSERT INTO streams VALUES (?1, ?2, ?3)")?,
            commit: statement("INSERT INTO commits VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?,
        })
    }

    /// Writes a commit with which its stream stands at `head`.
    fn add(&mut self, row: i64, head: Head, candidate: &Candidate<'_>) -> Result<(), LogError> {
        let checksum =
            row_checksum(candidate.body_checksum, candidate.stream, candidate.first_version, candidate.count);
        self.commit
            .execute(params![
                row,
                head.key,
                candidate.first_version.cast_signed(),
                candidate.count,
                checksum,
                head.chain.0.as_slice(),
                candidate.body
            ])
            .map(drop)
            .map_err(file_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::JobId,
        log::{
            LogOptions, StoredCommit,
            copy::{CopyPlan, Durability, body_checksum, open},
        },
        stream::{Category, Service},
    };

    const PARTITION: Partition = Partition { service: Service::Jobs, number: 0 };

    fn judged(
        stream: StreamId,
        first_version: Version,
        offset: Offset,
        before: ChainHash,
    ) -> Arc<JudgedCommit> {
        let body: Arc<[u8]> = Arc::from(*b"[]");
        let (position, chain) = (Position { partition: PARTITION, offset }, before.link(&body));
        let body_checksum = body_checksum(&body);
        let commit = StoredCommit { position, stream, first_version, count: 2, chain, body };
        Arc::new(JudgedCommit { commit, commands: Vec::new(), before, body_checksum, partition: 0 })
    }

    #[test]
    fn the_copy_refuses_what_was_judged_valid_and_does_not_follow_what_it_holds() {
        let stream = StreamId::new(Category::Job, JobId::fresh());
        let first = judged(stream, 1, 0, ChainHash::default());
        let chain = first.commit.chain;
        let written = |then: &[Arc<JudgedCommit>]| {
            let folder = tempfile::tempdir().expect("a folder");
            let options = LogOptions::embedded(folder.path());
            let plan =
                CopyPlan { log: None, partitions: vec![PARTITION], durability: Durability::Refillable };
            let mut copy = open(folder.path(), &options, &plan).expect("a copy");
            copy.begin()
                .and_then(|()| copy.add_judged(std::slice::from_ref(&first)))
                .expect("the first is written");
            copy.add_judged(then)?;
            copy.commit()
        };
        assert_eq!(written(&[judged(stream, 3, 4, chain)]), Ok(()));
        let wrong_version = written(&[judged(stream, 2, 4, chain)]);
        let gap = written(&[judged(stream, 4, 4, chain)]);
        let other_chain = written(&[judged(stream, 3, 4, ChainHash([1; 32]))]);
        for refused in [wrong_version, gap, other_chain] {
            assert!(matches!(refused, Err(LogError::Refused(_))), "{refused:?}");
        }
        // Judged to be a new stream, which it is not: the index of names says so.
        let twice = written(&[judged(stream, 1, 4, ChainHash::default())]);
        assert!(matches!(twice, Err(LogError::File(_))), "{twice:?}");
    }
}
