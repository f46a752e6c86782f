//! The walk over all chains: every commit against its checksum, its events, its link, its place in the indexes.
//!
//! The walk goes in partition order, a page at a time, each page in a snapshot of its own: it holds nothing in memory that
//! grows with the log, keeps no writer waiting, and names the first commit that is not what was written.

use std::collections::HashSet;

use rusqlite::Connection;

use super::{
    file_error,
    reader::{
        CopyReader, KeyedCommit, PAGE, cached, chain_of, command_in_file, damaged, last_version_in_file,
        version_in_file,
    },
    schema::{PartitionRow, position_of},
    unindexed::Entries,
};
use crate::{
    envelope::parse_body,
    log::{ChainHash, LogError, ReadLimit, StoredCommit, VerifyReport, judge::spans},
    stream::{BEFORE_FIRST, Offset, Partition, Version},
};

/// One moment of the file: what is verified, whatever comes after it.
struct Moment {
    /// The partitions with their ends.
    partitions: Vec<PartitionRow>,
    /// What the file's index lacks of that.
    unindexed: Entries,
    /// The last key of a stream.
    last_stream: i64,
}

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
        let moment = self.pool.with(|connection| self.moment(connection))?;
        for row in &moment.partitions {
            let walked = self.walk(row, &moment.unindexed)?;
            self.pool.with(|connection| self.check_indexes(connection, row, &moment.unindexed, &walked))?;
            total.streams += walked.report.streams;
            total.commits += walked.report.commits;
            total.events += walked.report.events;
        }
        self.pool.with(|connection| check_streams(connection, &moment))?;
        Ok(total)
    }

    fn moment(&self, connection: &Connection) -> Result<Moment, LogError> {
        let snapshot = connection.unchecked_transaction().map_err(file_error)?;
        let partitions = self.rows_now(&snapshot)?;
        let unindexed = self.scan_unindexed(&snapshot, &partitions)?;
        let last_stream = snapshot
            .query_row("SELECT coalesce(max(key), 0) FROM streams", [], |row| row.get(0))
            .map_err(file_error)?;
        Ok(Moment { partitions, unindexed, last_stream })
    }

    fn walk(&self, partition: &PartitionRow, unindexed: &Entries) -> Result<Walked, LogError> {
        let mut walked = Walked::default();
        let (mut after, end): (Offset, Offset) = (BEFORE_FIRST, partition.end);
        while after < end {
            after = self.pool.with(|connection| {
                let snapshot = connection.unchecked_transaction().map_err(file_error)?;
                let mut last = end;
                for keyed in self.read_keyed(&snapshot, partition, after..=end, PAGE)? {
                    last = keyed.commit.position.offset;
                    self.check_link(&snapshot, &keyed, unindexed)?;
                    walked.commands += self.check_events(&snapshot, &keyed, unindexed)?;
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
            self.follow(connection)?;
            let unindexed = self.unindexed.read();
            let snapshot = connection.unchecked_transaction().map_err(file_error)?;
            let page = self.read_keyed(&snapshot, &row, after..=until, limit)?;
            page.iter().try_for_each(|keyed| self.check_link(&snapshot, keyed, &unindexed))?;
            Ok(page.into_iter().map(|keyed| keyed.commit).collect())
        })
    }

    /// The commit stands in its stream's index, behind the commit it was chained to.
    pub(super) fn check_link(
        &self,
        connection: &Connection,
        keyed: &KeyedCommit,
        unindexed: &Entries,
    ) -> Result<(), LogError> {
        let commit = &keyed.commit;
        let wrong = |reason: &str| Err(damaged(commit.position, reason));
        let (key, last_version) = (keyed.stream_key, commit.last_version());
        let entry = version_in_file(connection, key, last_version)?;
        let entry = entry.or_else(|| unindexed.version(key, last_version));
        if entry.map(|row| position_of(self.rows(), row)) != Some(commit.position) {
            return wrong("its stream's index does not point at it");
        }
        let previous = last_version_in_file(connection, key, last_version)?
            .max(unindexed.last_version_below(key, last_version));
        let (head, chain) = match previous {
            None => (0, ChainHash::default()),
            Some((head, row)) => {
                let position = position_of(self.rows(), row);
                let chain = chain_of(connection, row)?;
                let chain = chain.ok_or_else(|| damaged(position, "the commit is missing"))?;
                if position >= commit.position {
                    return wrong("it stands before the commit that it follows");
                }
                (head, chain)
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
    fn check_events(
        &self,
        connection: &Connection,
        keyed: &KeyedCommit,
        unindexed: &Entries,
    ) -> Result<i64, LogError> {
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
            let known = command_in_file(connection, keyed.stream_key, span.command_id)?;
            let known = known.or_else(|| unindexed.command(keyed.stream_key, span.command_id));
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
        unindexed: &Entries,
        walked: &Walked,
    ) -> Result<(), LogError> {
        let (first, last) = (partition.row_of(0), partition.after(partition.end));
        let snapshot = connection.unchecked_transaction().map_err(file_error)?;
        let count = |sql: &str| -> Result<i64, LogError> {
            snapshot.query_row(sql, (first, last), |row| row.get(0)).map_err(file_error)
        };
        let unindexed = unindexed.not_in_file(&snapshot, first..=last)?;
        let versions =
            count("SELECT count(*) FROM entries WHERE entry < x'' AND position BETWEEN ?1 AND ?2")?;
        if versions + unindexed.versions != walked.report.commits.cast_signed() {
            let lost = count(
                "SELECT coalesce(min(e.position), ?1) FROM entries e LEFT JOIN commits c ON c.position = e.position
                 WHERE e.entry < x'' AND e.position BETWEEN ?1 AND ?2 AND c.position IS NULL",
            )?;
            return Err(damaged(position_of(self.rows(), lost), "the commit is missing"));
        }
        let commands =
            count("SELECT count(*) FROM entries WHERE entry >= x'' AND position BETWEEN ?1 AND ?2")?;
        if commands + unindexed.commands != walked.commands {
            let position = position_of(self.rows(), last);
            let reason = format!(
                "up to here the command index holds {commands} commands, the commits {}",
                walked.commands - unindexed.commands
            );
            return Err(LogError::Damaged { position, reason });
        }
        Ok(())
    }
}

/// Every stream has a commit.
fn check_streams(connection: &Connection, moment: &Moment) -> Result<(), LogError> {
    let mut statement = cached(
        connection,
        "SELECT key FROM streams s WHERE key <= ?1
         AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.stream = s.key AND e.entry < x'')",
    )?;
    let mut empty = statement.query([moment.last_stream]).map_err(file_error)?;
    while let Some(row) = empty.next().map_err(file_error)? {
        let key: i64 = row.get(0).map_err(file_error)?;
        if moment.unindexed.last_version_below(key, Version::MAX).is_none() {
            return Err(LogError::File(format!("the stream with key {key} has lost its commits")));
        }
    }
    Ok(())
}
