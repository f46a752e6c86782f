//! Carries out batches: checkpoints compared and set, documents and their index entries written, in one transaction.

use events::{LogId, Partition};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{Failure, entries::Entries, query::Bound};
use crate::{
    Advance, Checkpoint, DocumentKey, Json, ProjectionId, StoreError, Write,
    fields::{Field, pick},
    layout::Layout,
};

/// A batch whose documents know their tables.
pub(super) struct Placed {
    pub(super) projection: ProjectionId,
    pub(super) advances: Vec<Advance>,
    pub(super) unchanged: Vec<(std::sync::Arc<Layout>, Write)>,
    pub(super) writes: Vec<(std::sync::Arc<Layout>, Write)>,
}

/// Carries out these batches one after the other; what became of each. Of a batch all or nothing is done, whatever becomes of
/// the others. Many small ones share a transaction, since most of what that costs does not depend on how much is in it.
pub(super) fn commit(connection: &mut Connection, batches: &[Placed]) -> Vec<Result<(), StoreError>> {
    if batches.len() > 1
        && let Ok(verdicts) = commit_together(connection, batches)
    {
        return verdicts;
    }
    // Alone, each fails for itself.
    batches.iter().map(|batch| commit_alone(connection, batch).map_err(StoreError::from)).collect()
}

fn commit_alone(connection: &mut Connection, batch: &Placed) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    check(&transaction, batch)?;
    carry_out(&transaction, batch)?;
    transaction.commit()?;
    Ok(())
}

/// `Err`: nothing was done, and none of them is to blame for it.
fn commit_together(
    connection: &mut Connection,
    batches: &[Placed],
) -> Result<Vec<Result<(), StoreError>>, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut verdicts = Vec::with_capacity(batches.len());
    for batch in batches {
        // One that is fenced has written nothing.
        match check(&transaction, batch) {
            Err(Failure::Store(fenced)) => verdicts.push(Err(fenced)),
            Err(failure) => return Err(failure),
            Ok(()) => {
                carry_out(&transaction, batch)?;
                verdicts.push(Ok(()));
            }
        }
    }
    transaction.commit()?;
    Ok(verdicts)
}

/// Whether everything is as the batch was made for. Only reads.
fn check(transaction: &Transaction<'_>, batch: &Placed) -> Result<(), Failure> {
    for advance in &batch.advances {
        if checkpoint(transaction, &batch.projection, advance.partition)? != advance.from {
            return Err(StoreError::Fenced.into());
        }
    }
    for (table, expected) in &batch.unchanged {
        let found = document(transaction, table, &expected.document)?;
        if !same(found.as_deref(), expected.value.as_ref()) {
            return Err(StoreError::Fenced.into());
        }
    }
    Ok(())
}

fn carry_out(transaction: &Transaction<'_>, batch: &Placed) -> Result<(), Failure> {
    for advance in &batch.advances {
        set_checkpoint(transaction, &batch.projection, advance)?;
    }
    let mut entries = Entries::default();
    for (table, write) in &batch.writes {
        let writer = Writer { transaction, table };
        writer.write(&write.document.key, write.value.as_ref(), &mut entries)?;
    }
    entries.carry_out(transaction)
}

/// How far `projection` has read `partition`.
pub(super) fn checkpoint(
    connection: &Connection,
    projection: &ProjectionId,
    partition: Partition,
) -> Result<Option<Checkpoint>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT log, offset FROM guildhall_checkpoints \
         WHERE projection = ? AND version = ? AND build = ? AND partition = ?",
    )?;
    let parameters = params![projection.name, projection.version, projection.build, partition.to_string()];
    let row = statement
        .query_row(parameters, |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    Ok(row.map(|(log, offset)| Checkpoint { log: LogId(uuid::Uuid::from_bytes(log)), offset }))
}

fn set_checkpoint(
    connection: &Connection,
    projection: &ProjectionId,
    advance: &Advance,
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO guildhall_checkpoints (projection, version, build, partition, log, offset) VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT DO UPDATE SET log = excluded.log, offset = excluded.offset",
    )?;
    let (partition, log) = (advance.partition.to_string(), advance.to.log.0.into_bytes());
    let ProjectionId { name, version, build } = projection;
    statement.execute(params![name, version, build, partition, log, advance.to.offset])?;
    Ok(())
}

/// The document's text.
pub(super) fn document(
    connection: &Connection,
    table: &Layout,
    key: &DocumentKey,
) -> Result<Option<String>, Failure> {
    let sql = format!("SELECT document FROM {} WHERE key = ?", table.name);
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([&key.key], |row| row.get(0)).optional()?)
}

/// Equal as JSON.
fn same(found: Option<&str>, expected: Option<&Json>) -> bool {
    match (found, expected.map(Json::text)) {
        (None, None) => true,
        (Some(found), Some(expected)) => {
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            found == expected || parse(found).is_some_and(|found| Some(found) == parse(expected))
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Writes documents of one table. What has not changed in the indexes is not touched there.
struct Writer<'a> {
    transaction: &'a Transaction<'a>,
    table: &'a Layout,
}

impl Writer<'_> {
    fn write(&self, key: &str, value: Option<&Json>, entries: &mut Entries) -> Result<(), Failure> {
        if self.table.picked.is_empty() {
            return match value {
                Some(value) => self.upsert_plain(key, value),
                None => self.delete(key),
            };
        }
        let old = self.row(key)?;
        let old_fields = old.as_ref().map(|(_, document)| self.pick(document)).transpose()?;
        let new_fields = value.map(|value| self.pick(value.text())).transpose()?;
        match (&old, value) {
            (None, None) => return Ok(()),
            (Some(_), None) => self.delete(key)?,
            (None, Some(value)) => self.insert(key, value, new_fields.as_deref().unwrap_or_default())?,
            (Some((id, _)), Some(value)) => {
                let fields = (old_fields.as_deref(), new_fields.as_deref());
                self.update(*id, value, fields.0.unwrap_or_default(), fields.1.unwrap_or_default())?;
            }
        }
        if old_fields != new_fields {
            entries.replace(self.table, key, old_fields.as_deref(), new_fields.as_deref());
        }
        Ok(())
    }

    fn pick<'t>(&self, text: &'t str) -> Result<Vec<Field<'t>>, Failure> {
        let refused = |e| StoreError::Refused(format!("a document of {} is none: {e}", self.table.name));
        Ok(pick(text, &self.table.picked).map_err(refused)?)
    }

    fn row(&self, key: &str) -> Result<Option<(i64, String)>, Failure> {
        let sql = format!("SELECT rowid, document FROM {} WHERE key = ?", self.table.name);
        let mut statement = self.transaction.prepare_cached(&sql)?;
        Ok(statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    fn upsert_plain(&self, key: &str, value: &Json) -> Result<(), Failure> {
        let sql = format!(
            "INSERT INTO {} (key, document) VALUES (?, ?) \
             ON CONFLICT (key) DO UPDATE SET document = excluded.document",
            self.table.name
        );
        self.transaction.prepare_cached(&sql)?.execute(params![key, value.text()])?;
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        let sql = format!("DELETE FROM {} WHERE key = ?", self.table.name);
        self.transaction.prepare_cached(&sql)?.execute([key])?;
        Ok(())
    }

    fn insert(&self, key: &str, value: &Json, fields: &[Field<'_>]) -> Result<(), Failure> {
        let columns: String = self.table.columns.iter().map(|field| format!(", f_{field}")).collect();
        let marks = ", ?".repeat(self.table.columns.len());
        let sql = format!("INSERT INTO {} (key, document{columns}) VALUES (?, ?{marks})", self.table.name);
        let mut statement = self.transaction.prepare_cached(&sql)?;
        statement.raw_bind_parameter(1, key)?;
        statement.raw_bind_parameter(2, value.text())?;
        for (place, field) in (3..).zip(fields.iter().take(self.table.columns.len())) {
            statement.raw_bind_parameter(place, field.scalar().as_ref().map(Bound))?;
        }
        statement.raw_execute()?;
        Ok(())
    }

    /// Sets the columns that changed: an index none of whose columns is set stays untouched.
    fn update(&self, id: i64, value: &Json, old: &[Field<'_>], new: &[Field<'_>]) -> Result<(), Failure> {
        let changed = |column: &usize| old[*column] != new[*column];
        let changed: Vec<usize> = (0..self.table.columns.len()).filter(changed).collect();
        let columns: String =
            changed.iter().map(|column| format!(", f_{} = ?", self.table.columns[*column])).collect();
        let sql = format!("UPDATE {} SET document = ?{columns} WHERE rowid = ?", self.table.name);
        let mut statement = self.transaction.prepare_cached(&sql)?;
        statement.raw_bind_parameter(1, value.text())?;
        for (place, column) in (2..).zip(&changed) {
            statement.raw_bind_parameter(place, new[*column].scalar().as_ref().map(Bound))?;
        }
        statement.raw_bind_parameter(2 + changed.len(), id)?;
        statement.raw_execute()?;
        Ok(())
    }
}
