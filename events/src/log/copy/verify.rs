//! The walk over all chains: every commit against its checksum, its events, its link, its place in the indexes.
//!
//! The walk goes in partition order, a page at a time, each page in a snapshot of its own: it holds nothing in memory that
//! grows with the log, keeps no writer waiting, and names the first commit that is not what was written.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};

use super::{
    file_error,
    reader::{CopyReader, KeyedCommit, PAGE, cached, damaged},
    schema::{PartitionRow, position_of},
};
use crate::{
    envelope::{CommandHash, CommandSpan, parse_body},
    ids::{CommandId, Id},
    log::{ChainHash, LogError, ReadLimit, StoredCommit, VerifyReport, judge::spans},
    stream::{BEFORE_FIRST, Offset, Partition},
};

/// What one partition's walk counted.
#[derive(Default)]
struct Walked {
    report: VerifyReport,
    commands: i64,
}

impl CopyReader {
    /// See [`crate::log::EventLog::verify`].
    pub(in crate::log) fn verify(&self) -> Result<VerifyReport, LogError> {
        let mut total = VerifyReport::default();
        for row in self.rows() {
            let end = self.end_in_file(row.partition)?;
            let walked = self.walk(row, end)?;
            self.pool.with(|connection| self.check_indexes(connection, row, end, &walked))?;
            total.streams += walked.report.streams;
            total.commits += walked.report.commits;
            total.events += walked.report.events;
        }
        self.pool.with(|connection| self.check_streams(connection))?;
        Ok(total)
    }

    fn walk(&self, partition: &PartitionRow, end: Offset) -> Result<Walked, LogError> {
        let mut walked = Walked::default();
        let mut after = BEFORE_FIRST;
        while after < end {
            after = self.pool.with(|connection| {
                let snapshot = connection.unchecked_transaction().map_err(file_error)?;
                let mut last = end;
                for keyed in self.read_keyed(&snapshot, partition, after, PAGE)? {
                    last = keyed.commit.position.offset;
                    if last > end {
                        break;
                    }
                    self.check_link(&snapshot, &keyed)?;
                    walked.commands += self.check_events(&snapshot, &keyed)?;
                    walked.report.streams += u64::from(keyed.commit.first_version == 1);
                    walked.report.commits += 1;
                    walked.report.events += u64::from(keyed.commit.count);
                }
                Ok(last)
            })?;
        }
        Ok(walked)
    }

    /// As [`CopyReader::read`] up to and with `until`, each commit also checked to stand in its stream's index, and to be
    /// linked to the commit before it.
    pub(in crate::log) fn read_linked(
        &self,
        partition: Partition,
        after: Offset,
        until: Offset,
        limit: ReadLimit,
    ) -> Result<Vec<StoredCommit>, LogError> {
        let row = self.index_of(partition).map(|index| self.rows()[index]);
        let row =
            row.ok_or_else(|| LogError::File(format!("the partition {partition} is new; try again")))?;
        self.pool.with(|connection| {
            let snapshot = connection.unchecked_transaction().map_err(file_error)?;
            let mut page = self.read_keyed(&snapshot, &row, after, limit)?;
            page.retain(|keyed| keyed.commit.position.offset <= until);
            page.iter().try_for_each(|keyed| self.check_link(&snapshot, keyed))?;
            Ok(page.into_iter().map(|keyed| keyed.commit).collect())
        })
    }

    /// The commit stands in its stream's index, behind the commit it was chained to.
    pub(super) fn check_link(&self, connection: &Connection, keyed: &KeyedCommit) -> Result<(), LogError> {
        let commit = &keyed.commit;
        let wrong = |reason: &str| Err(damaged(commit.position, reason));
        let (key, last_version) = (keyed.stream_key, commit.last_version().cast_signed());
        let entry: Option<i64> =
            cached(connection, "SELECT position FROM entries WHERE stream = ?1 AND entry = ?2")?
                .query_row((key, last_version), |row| row.get(0))
                .optional()
                .map_err(file_error)?;
        if entry.map(|row| position_of(self.rows(), row)) != Some(commit.position) {
            return wrong("its stream's index does not point at it");
        }
        let previous: Option<(i64, i64, Option<[u8; 32]>)> = cached(
            connection,
            "SELECT e.entry, e.position, c.chain FROM entries e LEFT JOIN commits c ON c.position = e.position
             WHERE e.stream = ?1 AND e.entry < ?2 ORDER BY e.entry DESC LIMIT 1",
        )?
        .query_row((key, last_version), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()
        .map_err(file_error)?;
        let (head, chain) = match previous {
            None => (0, ChainHash::default()),
            Some((_, row, None)) => {
                return Err(damaged(position_of(self.rows(), row), "the commit is missing"));
            }
            Some((head, row, Some(chain))) => {
                if position_of(self.rows(), row) >= commit.position {
                    return wrong("it stands before the commit that it follows");
                }
                (head.cast_unsigned(), ChainHash(chain))
            }
        };
        if commit.first_version != head + 1 {
            return wrong("its version does not follow the commit before it in its stream");
        }
        if chain.link(&commit.body) != commit.chain {
            return wrong("its hash does not continue the chain of its stream");
        }
        Ok(())
    }

    /// The body is a batch of the events that the row promises, and its commands are known. Gives how many of them were
    /// first seen here.
    fn check_events(&self, connection: &Connection, keyed: &KeyedCommit) -> Result<i64, LogError> {
        let commit = &keyed.commit;
        let wrong = |reason: &str| damaged(commit.position, reason);
        let events = parse_body(&commit.body).map_err(|e| wrong(&e.to_string()))?;
        let promised = events.len() == commit.count as usize
            && events.iter().all(|event| event.subject == commit.stream)
            && events.first().is_some_and(|first| first.streamversion == commit.first_version);
        if !promised {
            return Err(wrong("its events are not those that its row promises"));
        }
        let mut seen = HashSet::new();
        let mut first_seen = 0;
        for span in spans(&events).into_iter().filter(|span| seen.insert(span.command_id)) {
            let known = command_entry(connection, keyed.stream_key, span.command_id)?;
            let (row, known) =
                known.ok_or_else(|| wrong("the command index has lost one of its commands"))?;
            let position = position_of(self.rows(), row);
            // An earlier commit may have answered the command already; that outcome stands.
            if position > commit.position || (position == commit.position && known != span) {
                return Err(wrong("the command index tells something else about one of its commands"));
            }
            first_seen += i64::from(position == commit.position);
        }
        Ok(first_seen)
    }

    /// The indexes hold nothing that the walk did not see.
    fn check_indexes(
        &self,
        connection: &Connection,
        partition: &PartitionRow,
        end: Offset,
        walked: &Walked,
    ) -> Result<(), LogError> {
        let (first, last) = (partition.row_of(0), partition.after(end));
        let count = |sql: &str| -> Result<i64, LogError> {
            connection.query_row(sql, (first, last), |row| row.get(0)).map_err(file_error)
        };
        let versions =
            count("SELECT count(*) FROM entries WHERE entry < x'' AND position BETWEEN ?1 AND ?2")?;
        if versions.cast_unsigned() != walked.report.commits {
            let lost = count(
                "SELECT coalesce(min(e.position), ?1) FROM entries e LEFT JOIN commits c ON c.position = e.position
                 WHERE e.entry < x'' AND e.position BETWEEN ?1 AND ?2 AND c.position IS NULL",
            )?;
            return Err(damaged(position_of(self.rows(), lost), "the commit is missing"));
        }
        let commands =
            count("SELECT count(*) FROM entries WHERE entry >= x'' AND position BETWEEN ?1 AND ?2")?;
        if commands != walked.commands {
            let position = position_of(self.rows(), last);
            let reason = format!(
                "up to here the command index holds {commands} commands, the commits {}",
                walked.commands
            );
            return Err(LogError::Damaged { position, reason });
        }
        Ok(())
    }

    /// Every stream has a commit.
    fn check_streams(&self, connection: &Connection) -> Result<(), LogError> {
        let empty: Option<i64> = connection
            .query_row(
                "SELECT key FROM streams s WHERE NOT EXISTS (SELECT 1 FROM entries e WHERE e.stream = s.key AND e.entry < x'') LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()
            .map_err(file_error)?;
        match empty {
            Some(key) => Err(LogError::File(format!("the stream with key {key} has lost its commits"))),
            None => Ok(()),
        }
    }
}

/// What the index knows of a command: the row key of its commit, and what it wrote there.
fn command_entry(
    connection: &Connection,
    stream_key: i64,
    command_id: CommandId,
) -> Result<Option<(i64, CommandSpan)>, LogError> {
    cached(
        connection,
        "SELECT position, hash, first_version, count FROM entries WHERE stream = ?1 AND entry = ?2",
    )?
    .query_row((stream_key, command_id.uuid().as_bytes().as_slice()), |row| {
        let command_hash = CommandHash(row.get(1)?);
        let first_version = row.get::<_, i64>(2)?.cast_unsigned();
        Ok((row.get(0)?, CommandSpan { command_id, command_hash, first_version, count: row.get(3)? }))
    })
    .optional()
    .map_err(file_error)
}
