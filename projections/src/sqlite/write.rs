//! Carries out a batch: checkpoints compared and set, documents and their index entries written, in one transaction.

use std::collections::BTreeSet;

use events::{LogId, Partition};
use rusqlite::{
    Connection, OptionalExtension, Transaction, TransactionBehavior, params, params_from_iter, types::Value,
};

use super::{
    Failure,
    fields::{Field, pick},
    query::to_sql,
    table::Table,
};
use crate::{Advance, Checkpoint, DocumentKey, Index, Json, ProjectionId, Scalar, StoreError, Write};

/// A batch whose documents know their tables.
pub(super) struct Placed {
    pub(super) projection: ProjectionId,
    pub(super) advances: Vec<Advance>,
    pub(super) unchanged: Vec<(std::sync::Arc<Table>, Write)>,
    pub(super) writes: Vec<(std::sync::Arc<Table>, Write)>,
}

/// All of it or nothing.
pub(super) fn commit(connection: &mut Connection, batch: &Placed) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for advance in &batch.advances {
        if checkpoint(&transaction, &batch.projection, advance.partition)? != advance.from {
            return Err(StoreError::Fenced.into());
        }
        set_checkpoint(&transaction, &batch.projection, advance)?;
    }
    for (table, expected) in &batch.unchanged {
        let found = document(&transaction, table, &expected.document)?;
        if !same(found.as_deref(), expected.value.as_ref()) {
            return Err(StoreError::Fenced.into());
        }
    }
    for (table, write) in &batch.writes {
        Writer { transaction: &transaction, table }.write(&write.document.key, write.value.as_ref())?;
    }
    transaction.commit()?;
    Ok(())
}

/// How far `projection` has read `partition`.
pub(super) fn checkpoint(
    connection: &Connection,
    projection: &ProjectionId,
    partition: Partition,
) -> Result<Option<Checkpoint>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT log, offset FROM guildhall_checkpoints WHERE projection = ? AND version = ? AND partition = ?",
    )?;
    let parameters = params![projection.name, projection.version, partition.to_string()];
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
        "INSERT INTO guildhall_checkpoints (projection, version, partition, log, offset) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT DO UPDATE SET log = excluded.log, offset = excluded.offset",
    )?;
    let (partition, log) = (advance.partition.to_string(), advance.to.log.0.into_bytes());
    statement.execute(params![projection.name, projection.version, partition, log, advance.to.offset])?;
    Ok(())
}

/// The document's text.
pub(super) fn document(
    connection: &Connection,
    table: &Table,
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
    table: &'a Table,
}

impl Writer<'_> {
    fn write(&self, key: &str, value: Option<&Json>) -> Result<(), Failure> {
        if self.table.picked.is_empty() {
            return match value {
                Some(value) => self.upsert_plain(key, value),
                None => self.delete(key),
            };
        }
        let old = self.row(key)?;
        let old_fields = old.as_ref().map(|(_, document)| self.pick(document)).transpose()?;
        let new_fields = value.map(|value| self.pick(value.text())).transpose()?;
        match (&old, value, &new_fields) {
            (None, None, _) => return Ok(()),
            (Some(_), None, _) => self.delete(key)?,
            (None, Some(value), fields) => self.insert(key, value, fields.as_deref().unwrap_or_default())?,
            (Some((id, _)), Some(value), fields) => {
                let changed = (fields != &old_fields).then_some(fields.as_deref().unwrap_or_default());
                self.update(*id, value, changed)?;
            }
        }
        if old_fields != new_fields {
            self.move_entries(key, old_fields.as_deref(), new_fields.as_deref())?;
        }
        Ok(())
    }

    fn pick(&self, text: &str) -> Result<Vec<Field>, Failure> {
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

    fn insert(&self, key: &str, value: &Json, fields: &[Field]) -> Result<(), Failure> {
        let columns: String = self.table.columns.iter().map(|field| format!(", f_{field}")).collect();
        let marks = ", ?".repeat(self.table.columns.len());
        let sql = format!("INSERT INTO {} (key, document{columns}) VALUES (?, ?{marks})", self.table.name);
        let fixed = [Value::Text(key.to_owned()), Value::Text(value.text().to_owned())];
        let parameters = fixed.into_iter().chain(self.column_values(fields));
        self.transaction.prepare_cached(&sql)?.execute(params_from_iter(parameters))?;
        Ok(())
    }

    fn update(&self, id: i64, value: &Json, changed: Option<&[Field]>) -> Result<(), Failure> {
        let name = &self.table.name;
        let Some(fields) = changed else {
            let sql = format!("UPDATE {name} SET document = ? WHERE rowid = ?");
            self.transaction.prepare_cached(&sql)?.execute(params![value.text(), id])?;
            return Ok(());
        };
        let columns: String = self.table.columns.iter().map(|field| format!(", f_{field} = ?")).collect();
        let sql = format!("UPDATE {name} SET document = ?{columns} WHERE rowid = ?");
        let text = [Value::Text(value.text().to_owned())].into_iter();
        let parameters = text.chain(self.column_values(fields)).chain([Value::Integer(id)]);
        self.transaction.prepare_cached(&sql)?.execute(params_from_iter(parameters))?;
        Ok(())
    }

    fn column_values(&self, fields: &[Field]) -> impl Iterator<Item = Value> {
        let scalars = fields.iter().take(self.table.columns.len()).map(Field::scalar);
        scalars.map(|scalar| scalar.map_or(Value::Null, to_sql))
    }

    /// Removes the entries that the document has no more, and adds those it has now.
    fn move_entries(&self, key: &str, old: Option<&[Field]>, new: Option<&[Field]>) -> Result<(), Failure> {
        for (index, array) in self.table.array_indexes() {
            let old = old.map(|fields| self.entries(index, array, fields)).unwrap_or_default();
            let new = new.map(|fields| self.entries(index, array, fields)).unwrap_or_default();
            let scalars: Vec<&str> = index.fields.iter().copied().filter(|field| *field != array).collect();
            let name = self.table.index_name(index);
            let conditions: String = scalars.iter().map(|field| format!(" AND f_{field} = ?")).collect();
            let delete = format!("DELETE FROM {name} WHERE element = ?{conditions} AND key = ?");
            let marks = ", ?".repeat(scalars.len() + 1);
            let insert = format!("INSERT INTO {name} VALUES (?{marks})");
            for (sql, entries) in [(delete, old.difference(&new)), (insert, new.difference(&old))] {
                let mut statement = self.transaction.prepare_cached(&sql)?;
                for entry in entries {
                    let values = entry.iter().map(|scalar| to_sql(scalar));
                    statement.execute(params_from_iter(values.chain([Value::Text(key.to_owned())])))?;
                }
            }
        }
        Ok(())
    }

    /// A document's entries in an index with an array: each element with the other fields, when all are there.
    fn entries<'f>(&self, index: &Index, array: &str, fields: &'f [Field]) -> BTreeSet<Vec<&'f Scalar>> {
        let others = index.fields.iter().filter(|field| **field != array);
        let others: Option<Vec<&Scalar>> =
            others.map(|field| fields[self.table.place(field)].scalar()).collect();
        let Some(others) = others else { return BTreeSet::new() };
        let elements = fields[self.table.place(array)].elements();
        elements.map(|element| [element].into_iter().chain(others.iter().copied()).collect()).collect()
    }
}
