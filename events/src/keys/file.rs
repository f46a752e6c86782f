//! The key file: SQLite, one table of records, and an erasure that leaves no byte behind.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use super::{
    KeyError,
    cipher::RootKeys,
    record::{KeyPurpose, KeyRecord, NumberedRecord, WrappedKey},
};
use crate::ids::{AccountId, Id, KeyId};

/// `PRAGMA application_id` of a key file ("GhKy").
pub(super) const APPLICATION_ID: i32 = 0x4768_4b79;
/// `PRAGMA user_version`: the format of the file.
const FORMAT: i32 = 1;
/// The format of a file that follows a topic, see [`super::follow`].
pub(super) const FORMAT_FOLLOWING: i32 = 2;

/// A record with `kid` is a key; its `wrapped` bytes are overwritten with zeros at erasure. A record without one is
/// the erased marker of its subject. An unfinished erasure is one after which the file was not yet seen to be clean.
const SCHEMA: &str = "
    CREATE TABLE records (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        subject BLOB NOT NULL,
        kid BLOB UNIQUE,
        purpose TEXT,
        wrapped BLOB
    ) STRICT;
    CREATE INDEX records_by_subject ON records (subject, kid);
    CREATE UNIQUE INDEX erased_subjects ON records (subject) WHERE kid IS NULL;
    CREATE TABLE unfinished_erasures (subject BLOB PRIMARY KEY) STRICT;
    CREATE TABLE canary (sealed BLOB NOT NULL) STRICT;
";

/// One connection to the key file.
pub(super) struct KeyFile {
    pub(super) connection: Connection,
    /// `None` for a ring in memory, whose two connections share one database.
    path: Option<PathBuf>,
    /// Why nothing is written any more: after a failed write the file's state is not guessed at.
    stopped: Option<String>,
}

/// What the file knows of one subject.
pub(super) enum StoredKeys {
    Erased,
    /// Sorted by kid.
    Known(Vec<(KeyId, KeyPurpose, WrappedKey)>),
}

pub(super) fn failed(error: impl std::fmt::Display) -> KeyError {
    KeyError::File(error.to_string())
}

impl KeyFile {
    /// Opens the file for writing; makes it when there is none.
    pub(super) fn open(path: &Path, roots: &RootKeys) -> Result<Self, KeyError> {
        create_private(path)?;
        let mut connection = Connection::open(path).map_err(failed)?;
        configure(&connection).map_err(unreadable)?;
        prepare(&mut connection, roots)?;
        // Only now: a file that is refused stays as it was.
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        let mut file = Self { connection, path: Some(path.to_owned()), stopped: None };
        file.finish_erasures(&[])?;
        Ok(file)
    }

    /// A second connection, for reading beside the writer.
    pub(super) fn open_reader(path: &Path) -> Result<Self, KeyError> {
        let connection = Connection::open(path).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
        Ok(Self { connection, path: Some(path.to_owned()), stopped: None })
    }

    /// Two connections to one database that lives as long as they do.
    pub(super) fn in_memory(roots: &RootKeys) -> Result<(Self, Self), KeyError> {
        let name = format!("file:/guildhall-{}?vfs=memdb", KeyId::fresh());
        let connect = || {
            let connection = Connection::open(&name).map_err(failed)?;
            connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
            connection.pragma_update(None, "journal_mode", "MEMORY").map_err(failed)?;
            Ok(Self { connection, path: None, stopped: None })
        };
        let mut writer = connect()?;
        prepare(&mut writer.connection, roots)?;
        Ok((writer, connect()?))
    }

    /// The keys of `subject`.
    pub(super) fn keys_of(&self, subject: AccountId) -> Result<StoredKeys, KeyError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT kid, purpose, wrapped FROM records WHERE subject = ? ORDER BY kid")
            .map_err(failed)?;
        let mut rows = statement.query([subject.uuid().as_bytes()]).map_err(failed)?;
        let mut known = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let columns = (row.get(0), row.get(1), row.get(2));
            let Some((kid, purpose, wrapped)) = key_columns(columns)? else { return Ok(StoredKeys::Erased) };
            known.push((kid, purpose, wrapped));
        }
        Ok(StoredKeys::Known(known))
    }

    /// Whether `subject` has the erased marker.
    pub(super) fn is_erased(&self, subject: AccountId) -> Result<bool, KeyError> {
        is_erased(&self.connection, subject).map_err(failed)
    }

    /// Writes a first key for each subject that has none and is not erased, in one durable transaction.
    pub(super) fn insert_first_keys(
        &mut self,
        records: &[(AccountId, KeyPurpose, KeyId, WrappedKey)],
    ) -> Result<(), KeyError> {
        self.write(|transaction| {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO records (subject, kid, purpose, wrapped)
                 SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM records WHERE subject = ?1)",
            )?;
            for (subject, purpose, kid, wrapped) in records {
                let (subject, kid) = (subject.uuid(), kid.uuid());
                insert.execute(params![subject.as_bytes(), kid.as_bytes(), purpose.name(), wrapped.0])?;
            }
            Ok(Ok(()))
        })
    }

    /// Writes a key that another node made; `false` when it is known or its subject erased.
    pub(super) fn import_key(
        &mut self,
        subject: AccountId,
        purpose: KeyPurpose,
        kid: KeyId,
        wrapped: &WrappedKey,
    ) -> Result<bool, KeyError> {
        self.write(|transaction| {
            if is_erased(transaction, subject)? {
                return Ok(Ok(false));
            }
            insert_key(transaction, subject, purpose, kid, wrapped)
                .map(|known| known.map_err(KeyError::Refused))
        })
    }

    /// Overwrites the keys of `subject` and sets the marker, in one durable transaction. Returns what was overwritten,
    /// for [`KeyFile::expunge`].
    pub(super) fn erase(&mut self, subject: AccountId) -> Result<Vec<(AccountId, WrappedKey)>, KeyError> {
        self.write(|transaction| {
            if is_erased(transaction, subject)? {
                return Ok(Ok(Vec::new()));
            }
            overwrite_keys(transaction, subject).map(Ok)
        })
    }

    /// Makes sure that no byte of the keys just erased is left in the file or its write-ahead log. The caller holds
    /// all other connections still.
    ///
    /// `secure_delete` zeroes what is deleted, but a page that was split once may keep a stale copy of a row outside
    /// its cells, so the file is searched, and rewritten whole in the rare case that one is found.
    pub(super) fn expunge(&mut self, erased: &[(AccountId, WrappedKey)]) -> Result<(), KeyError> {
        let Some(path) = &self.path else {
            return self.connection.execute_batch("DELETE FROM unfinished_erasures").map_err(failed);
        };
        self.empty_write_ahead_log()?;
        let keys: Vec<_> = erased.iter().map(|(_, wrapped)| *wrapped).collect();
        if keys.is_empty() || contains_any(path, &keys)? {
            return self.finish_erasures(&keys);
        }
        let transaction = self.connection.transaction().map_err(failed)?;
        for (subject, _) in erased {
            transaction
                .prepare_cached("DELETE FROM unfinished_erasures WHERE subject = ?")
                .and_then(|mut statement| statement.execute([subject.uuid().as_bytes()]))
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// Finishes the erasures that a crash or a failure cut short, and those that left a stale copy, by rewriting
    /// the file whole.
    fn finish_erasures(&mut self, erased: &[WrappedKey]) -> Result<(), KeyError> {
        let unfinished: bool = self
            .connection
            .query_row("SELECT EXISTS (SELECT 1 FROM unfinished_erasures)", [], |row| row.get(0))
            .map_err(failed)?;
        if unfinished {
            self.connection.execute_batch("VACUUM").map_err(failed)?;
            self.empty_write_ahead_log()?;
            if let Some(path) = &self.path
                && contains_any(path, erased)?
            {
                return Err(KeyError::File("erased keys are still in the file".into()));
            }
            self.connection.execute_batch("DELETE FROM unfinished_erasures").map_err(failed)?;
        }
        self.empty_write_ahead_log()
    }

    /// The records after number `after`, at most `limit`.
    pub(super) fn records_after(&self, after: u64, limit: usize) -> Result<Vec<NumberedRecord>, KeyError> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT kid, purpose, wrapped, subject, number FROM records AS record
                 WHERE number > ? AND (kid IS NULL OR NOT EXISTS
                    (SELECT 1 FROM records AS marker WHERE marker.subject = record.subject AND marker.kid IS NULL))
                 ORDER BY number LIMIT ?",
            )
            .map_err(failed)?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query([after, limit]).map_err(failed)?;
        let mut records = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let subject = AccountId::from_uuid(Uuid::from_bytes(row.get(3).map_err(failed)?));
            let number: i64 = row.get(4).map_err(failed)?;
            let record = match key_columns((row.get(0), row.get(1), row.get(2)))? {
                Some((kid, purpose, wrapped)) => KeyRecord::Key { subject, purpose, kid, wrapped },
                None => KeyRecord::Erased { subject },
            };
            records.push(NumberedRecord { number: number.unsigned_abs(), record });
        }
        Ok(records)
    }

    /// The format of the file.
    pub(super) fn format(&self) -> Result<i32, KeyError> {
        self.connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)
    }

    /// Runs `work` in one transaction. A refusal rolls it back; a failure of the file also stops this writer.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<Result<T, KeyError>>,
    ) -> Result<T, KeyError> {
        if let Some(reason) = &self.stopped {
            return Err(KeyError::File(format!("stopped after a failed write: {reason}")));
        }
        // Nothing was written yet: somebody else may hold the file, and it may pass.
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(failed)?;
        let written = work(&transaction).and_then(|outcome| match outcome {
            Ok(value) => transaction.commit().map(|()| Ok(value)),
            Err(refusal) => Ok(Err(refusal)),
        });
        written.unwrap_or_else(|error| {
            self.stopped = Some(error.to_string());
            Err(failed(error))
        })
    }

    /// Moves the write-ahead log into the file and cuts it to nothing.
    fn empty_write_ahead_log(&self) -> Result<(), KeyError> {
        let busy: i64 = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(failed)?;
        if busy == 0 { Ok(()) } else { Err(KeyError::File("somebody else reads the key file".into())) }
    }
}

/// How long a connection waits for the other one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Answers with the new value, which makes it a query.
    connection.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))
}

/// Makes the tables of a new file; checks format and master key of an old one.
fn prepare(connection: &mut Connection, roots: &RootKeys) -> Result<(), KeyError> {
    let refused = |reason: &str| KeyError::Refused(reason.to_owned());
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, format) =
        (pragma("application_id").map_err(unreadable)?, pragma("user_version").map_err(unreadable)?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(unreadable)?;
    if (application, format, tables) == (0, 0, 0) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(SCHEMA).map_err(failed)?;
        transaction.execute("INSERT INTO canary VALUES (?)", [roots.canary()]).map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction.pragma_update(None, "user_version", FORMAT).map_err(failed)?;
        return transaction.commit().map_err(failed);
    }
    if application != APPLICATION_ID {
        return Err(refused("the file is not a key file"));
    }
    if ![FORMAT, FORMAT_FOLLOWING].contains(&format) {
        return Err(KeyError::Refused(format!(
            "the key file has format {format}, this release reads {FORMAT} and {FORMAT_FOLLOWING}"
        )));
    }
    let canary = connection.query_row("SELECT sealed FROM canary", [], |row| row.get(0)).map_err(failed)?;
    if roots.knows_canary(canary) { Ok(()) } else { Err(KeyError::WrongMasterKey) }
}

fn unreadable(error: rusqlite::Error) -> KeyError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => KeyError::Refused("the file is not a key file".into()),
        Some(_) | None => failed(error),
    }
}

/// Makes an empty file that only its owner may read; SQLite gives its companions the same permissions.
fn create_private(path: &Path) -> Result<(), KeyError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|error| KeyError::File(format!("{}: {error}", path.display())))
}

type KeyColumns =
    (rusqlite::Result<Option<[u8; 16]>>, rusqlite::Result<Option<String>>, rusqlite::Result<Option<Vec<u8>>>);

/// A row's kid, purpose and wrapped key; `None` when the row is an erased marker.
fn key_columns(columns: KeyColumns) -> Result<Option<(KeyId, KeyPurpose, WrappedKey)>, KeyError> {
    let (kid, purpose, wrapped) =
        (columns.0.map_err(failed)?, columns.1.map_err(failed)?, columns.2.map_err(failed)?);
    let Some(kid) = kid else { return Ok(None) };
    let broken = || KeyError::File("a key record is not whole".into());
    let purpose = purpose.as_deref().and_then(KeyPurpose::from_name).ok_or_else(broken)?;
    let wrapped = wrapped.as_deref().and_then(WrappedKey::from_slice).ok_or_else(broken)?;
    Ok(Some((KeyId::from_uuid(Uuid::from_bytes(kid)), purpose, wrapped)))
}

pub(super) fn is_erased(connection: &Connection, subject: AccountId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM records WHERE subject = ? AND kid IS NULL)")?
        .query_row([subject.uuid().as_bytes()], |row| row.get(0))
}

/// Writes a key that another node made. `Ok(false)` when it is known; an error, in words, when another is known under the same
/// kid.
pub(super) fn insert_key(
    transaction: &Transaction<'_>,
    subject: AccountId,
    purpose: KeyPurpose,
    kid: KeyId,
    wrapped: &WrappedKey,
) -> rusqlite::Result<Result<bool, String>> {
    let (subject_bytes, kid_bytes) = (subject.uuid(), kid.uuid());
    let known: Option<(Vec<u8>, Vec<u8>)> = transaction
        .prepare_cached("SELECT subject, wrapped FROM records WHERE kid = ?")?
        .query_row([kid_bytes.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((known_subject, known_wrapped)) = known {
        let same = known_subject == subject_bytes.as_bytes() && known_wrapped == wrapped.0;
        return Ok(if same { Ok(false) } else { Err(format!("another key is known as {kid}")) });
    }
    transaction
        .prepare_cached("INSERT INTO records (subject, kid, purpose, wrapped) VALUES (?, ?, ?, ?)")?
        .execute(params![subject_bytes.as_bytes(), kid_bytes.as_bytes(), purpose.name(), wrapped.0])?;
    Ok(Ok(true))
}

/// Overwrites the keys of a subject that is not erased, and sets the marker. Returns what was overwritten.
pub(super) fn overwrite_keys(
    transaction: &Transaction<'_>,
    subject: AccountId,
) -> rusqlite::Result<Vec<(AccountId, WrappedKey)>> {
    let bytes = subject.uuid();
    let overwritten = transaction
        .prepare_cached("SELECT wrapped FROM records WHERE subject = ? AND kid IS NOT NULL")?
        .query_map([bytes.as_bytes()], |row| row.get(0).map(|wrapped| (subject, WrappedKey(wrapped))))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    if !overwritten.is_empty() {
        transaction
            .prepare_cached("UPDATE records SET wrapped = zeroblob(?2) WHERE subject = ?1")?
            .execute(params![bytes.as_bytes(), WrappedKey::BYTES as i64])?;
        transaction
            .prepare_cached("INSERT INTO unfinished_erasures VALUES (?)")?
            .execute([bytes.as_bytes()])?;
    }
    transaction.prepare_cached("INSERT INTO records (subject) VALUES (?)")?.execute([bytes.as_bytes()])?;
    Ok(overwritten)
}

/// Whether any of `keys` stands anywhere in the bytes of the file.
fn contains_any(path: &Path, keys: &[WrappedKey]) -> Result<bool, KeyError> {
    let mut sorted: Vec<_> = keys.iter().map(|key| key.0).collect();
    sorted.sort_unstable();
    // Most places are told by two bytes not to begin a key, so that thousands of keys cost little more than one.
    let mut beginnings = vec![false; 1 << 16];
    sorted.iter().for_each(|key| beginnings[beginning(key)] = true);
    let found = |bytes: &[u8]| {
        beginnings[beginning(bytes)] && sorted.binary_search_by(|key| key.as_slice().cmp(bytes)).is_ok()
    };
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut window = Vec::new();
    loop {
        // What may be the start of a key at the end of the last piece is looked at again with the next.
        let kept = window.len().min(WrappedKey::BYTES - 1);
        window.drain(..window.len() - kept);
        let read = Read::by_ref(&mut file).take(1 << 20).read_to_end(&mut window).map_err(failed)?;
        if window.windows(WrappedKey::BYTES).any(found) {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
    }
}

/// The first two bytes of a key.
fn beginning(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}
