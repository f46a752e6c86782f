//! A key file that follows a topic: which one, how far, and what is still to be said there.
//!
//! Such a file has a format of its own, so that neither an older release nor a process on its own makes keys in it that
//! no other node would ever see.

use std::collections::HashSet;

use rusqlite::{Connection, Transaction, params};
use uuid::Uuid;

use super::{
    KeyError,
    file::{FORMAT_FOLLOWING, KeyFile, failed, insert_key, is_erased, overwrite_keys},
    post::Meaning,
    record::{KeyRecord, WrappedKey},
};
use crate::{
    ids::{AccountId, Id, KeyId},
    stream::LogId,
};

/// An owed tombstone is a record of an erased subject that was seen on the topic and not yet its end.
const SCHEMA: &str = "
    CREATE TABLE following (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        log BLOB NOT NULL,
        topic BLOB NOT NULL,
        next INTEGER NOT NULL,
        unswept_ms INTEGER
    ) STRICT;
    CREATE TABLE owed_tombstones (kid BLOB PRIMARY KEY, subject BLOB NOT NULL) STRICT;
    CREATE INDEX owed_tombstones_by_subject ON owed_tombstones (subject);
";

/// Which topic a file follows, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Following {
    /// The log that the topic belongs to.
    pub(super) log: LogId,
    /// The id that the topic was given.
    pub(super) topic: Uuid,
    /// The place of the first record that is not in the file.
    pub(super) next: u64,
    /// When the last erasure or tombstone was posted behind which the topic is not yet known to have forgotten,
    /// milliseconds since 1970 by the topic's clock.
    pub(super) unswept_ms: Option<i64>,
}

/// What a batch of records came to.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// How many records were taken, from the first.
    pub(super) taken: usize,
    /// Why the next one was not.
    pub(super) refused: Option<String>,
    /// Whose keys changed.
    pub(super) subjects: HashSet<AccountId>,
    /// Keys that were in the file and are erased: to be expunged.
    pub(super) erased: Vec<(AccountId, WrappedKey)>,
}

impl KeyFile {
    /// What the file follows; `None` when it belongs to one process alone.
    pub(super) fn following(&self) -> Result<Option<Following>, KeyError> {
        if self.format()? != FORMAT_FOLLOWING {
            return Ok(None);
        }
        let row =
            self.connection.query_row("SELECT log, topic, next, unswept_ms FROM following", [], |row| {
                Ok(Following {
                    log: LogId(Uuid::from_bytes(row.get(0)?)),
                    topic: Uuid::from_bytes(row.get(1)?),
                    next: row.get::<_, i64>(2)?.unsigned_abs(),
                    unswept_ms: row.get(3)?,
                })
            });
        row.map(Some).map_err(failed)
    }

    /// Makes the file follow a topic from its beginning.
    pub(super) fn follow(&mut self, log: LogId, topic: Uuid) -> Result<(), KeyError> {
        self.write(|transaction| {
            transaction.execute_batch(SCHEMA)?;
            transaction.execute(
                "INSERT INTO following VALUES (1, ?, ?, 0, NULL)",
                params![log.0.as_bytes(), topic.as_bytes()],
            )?;
            transaction.pragma_update(None, "user_version", FORMAT_FOLLOWING)?;
            Ok(Ok(()))
        })
    }

    /// Whether the file has any record.
    pub(super) fn is_empty(&self) -> Result<bool, KeyError> {
        let any = "SELECT EXISTS (SELECT 1 FROM records)";
        self.connection.query_row(any, [], |row| row.get::<_, bool>(0)).map(|any| !any).map_err(failed)
    }

    /// Takes over records with their places, in order, and the place behind them, in one durable transaction. Stops
    /// before a record that contradicts what is here.
    ///
    /// A key whose erasure is in the same batch is never written at all.
    pub(super) fn apply(
        &mut self,
        batch: &[(u64, Meaning)],
        behind: u64,
        unswept_ms: Option<i64>,
    ) -> Result<Applied, KeyError> {
        let doomed: HashSet<AccountId> = batch
            .iter()
            .filter_map(|(_, meaning)| match meaning {
                Meaning::Record(KeyRecord::Erased { subject }) => Some(*subject),
                Meaning::Record(KeyRecord::Key { .. }) | Meaning::Tombstone { .. } | Meaning::Nothing => None,
            })
            .collect();
        self.write(|transaction| {
            let mut applied = Applied::default();
            let mut next = behind;
            for (offset, meaning) in batch {
                applied.refused = apply_one(transaction, meaning, &doomed, &mut applied)?;
                if applied.refused.is_some() {
                    next = *offset;
                    break;
                }
                applied.taken += 1;
            }
            transaction
                .prepare_cached("UPDATE following SET next = ?, unswept_ms = ?")?
                .execute(params![i64::try_from(next).unwrap_or(i64::MAX), unswept_ms])?;
            Ok(Ok(applied))
        })
    }

    /// Tombstones that are owed, at most `limit`.
    pub(super) fn owed(&self, limit: usize) -> Result<Vec<(AccountId, KeyId)>, KeyError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT subject, kid FROM owed_tombstones LIMIT ?")
            .map_err(failed)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        rows.map(|row| row.map(|(subject, kid)| (account(subject), key(kid))).map_err(failed)).collect()
    }

    /// Every key of `subject` that may have a record on the topic.
    pub(super) fn kids_of(&self, subject: AccountId) -> Result<Vec<KeyId>, KeyError> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT kid FROM records WHERE subject = ?1 AND kid IS NOT NULL
                 UNION SELECT kid FROM owed_tombstones WHERE subject = ?1",
            )
            .map_err(failed)?;
        let rows = statement.query_map([subject.uuid().as_bytes()], |row| row.get(0)).map_err(failed)?;
        rows.map(|kid| kid.map(key).map_err(failed)).collect()
    }

    /// Whether nothing is left to do for the erasure of `subject`: the marker is here, their keys are expunged, and
    /// each has its tombstone.
    pub(super) fn is_wholly_erased(&self, subject: AccountId) -> Result<bool, KeyError> {
        let done = "SELECT EXISTS (SELECT 1 FROM records WHERE subject = ?1 AND kid IS NULL)
                AND NOT EXISTS (SELECT 1 FROM owed_tombstones WHERE subject = ?1)
                AND NOT EXISTS (SELECT 1 FROM unfinished_erasures WHERE subject = ?1)";
        self.connection
            .prepare_cached(done)
            .and_then(|mut statement| statement.query_row([subject.uuid().as_bytes()], |row| row.get(0)))
            .map_err(failed)
    }
}

/// Takes over one record; gives why it contradicts what is here, when it does.
fn apply_one(
    transaction: &Transaction<'_>,
    meaning: &Meaning,
    doomed: &HashSet<AccountId>,
    applied: &mut Applied,
) -> rusqlite::Result<Option<String>> {
    match meaning {
        Meaning::Nothing => {}
        Meaning::Tombstone { kid, .. } => {
            transaction
                .prepare_cached("DELETE FROM owed_tombstones WHERE kid = ?")?
                .execute([kid.uuid().as_bytes()])?;
        }
        Meaning::Record(KeyRecord::Key { subject, purpose, kid, wrapped }) => {
            if doomed.contains(subject) || is_erased(transaction, *subject)? {
                owe(transaction, *subject, *kid)?;
                return Ok(None);
            }
            match insert_key(transaction, *subject, *purpose, *kid, wrapped)? {
                Ok(true) => drop(applied.subjects.insert(*subject)),
                Ok(false) => {}
                Err(contradiction) => return Ok(Some(contradiction)),
            }
        }
        Meaning::Record(KeyRecord::Erased { subject }) => {
            // A marker that is known already came twice: what it owes was owed the first time.
            if !is_erased(transaction, *subject)? {
                applied.erased.extend(overwrite_keys(transaction, *subject)?);
                transaction
                    .prepare_cached(
                        "INSERT OR IGNORE INTO owed_tombstones
                         SELECT kid, subject FROM records WHERE subject = ? AND kid IS NOT NULL",
                    )?
                    .execute([subject.uuid().as_bytes()])?;
                applied.subjects.insert(*subject);
            }
        }
    }
    Ok(None)
}

fn owe(connection: &Connection, subject: AccountId, kid: KeyId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO owed_tombstones (kid, subject) VALUES (?, ?)")?
        .execute([kid.uuid().as_bytes(), subject.uuid().as_bytes()])
        .map(drop)
}

fn account(bytes: [u8; 16]) -> AccountId {
    AccountId::from_uuid(Uuid::from_bytes(bytes))
}

fn key(bytes: [u8; 16]) -> KeyId {
    KeyId::from_uuid(Uuid::from_bytes(bytes))
}
