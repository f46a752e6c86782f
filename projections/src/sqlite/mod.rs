//! The embedded engine of the read store: SQLite, one file, which can be deleted and is rebuilt from the log.

#[cfg(feature = "measuring")]
pub(crate) mod bare;
mod entries;
mod file;
mod query;
mod table;
mod threads;
mod wal;
mod write;

use std::{path::Path, sync::Arc};

use events::{LogId, Partition};
use rusqlite::{ErrorCode, params_from_iter};

use self::{
    query::Statement,
    threads::{Readers, Writer},
    write::Placed,
};
use crate::{
    Batch, Checkpoint, CollectionSpec, Cursor, DocumentKey, Json, Page, ProjectionId, Query, ReadStore,
    Scalar, StoreError, Write, builds,
    layout::{Layout, Prepared},
    options::StoreOptions,
    store::StoreFuture,
};

/// The read store in a file.
pub(crate) struct SqliteStore {
    readers: Readers,
    writer: Writer,
    prepared: Prepared,
}

impl SqliteStore {
    /// Opens `read.db` in `folder`; both are made when they are not there.
    pub(crate) fn open(folder: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder)
            .map_err(|e| StoreError::Unavailable(format!("{}: {e}", folder.display())))?;
        let path = folder.join("read.db");
        reserve(&path, options.writer_cache_kib)?;
        let writer = Writer::start(&path, options)?;
        let readers = Readers::start(&path, options)?;
        let prepared = Prepared::with(&[(builds::id(), builds::COLLECTIONS)])?;
        Ok(Self { readers, writer, prepared })
    }

    fn place(
        &self,
        projection: &ProjectionId,
        writes: Vec<Write>,
    ) -> Result<Vec<(Arc<Layout>, Write)>, StoreError> {
        let placed = writes
            .into_iter()
            .map(|write| Ok((self.prepared.layout(projection, write.document.collection)?, write)));
        placed.collect()
    }
}

/// Makes the collections in which the store keeps what it knows of builds.
fn reserve(path: &Path, writer_cache_kib: u32) -> Result<(), StoreError> {
    let tables: Result<Vec<Layout>, StoreError> =
        builds::COLLECTIONS.iter().map(|spec| Layout::new(&builds::id(), *spec)).collect();
    let mut connection = file::open_writer(path, writer_cache_kib)?;
    Ok(file::prepare(&mut connection, &builds::id(), &tables?)?)
}

/// How far every build in the file in `folder` has read every partition; nothing is made or changed.
pub(crate) fn positions(folder: &Path) -> Result<Vec<(ProjectionId, Partition, Checkpoint)>, StoreError> {
    Ok(file::positions(&folder.join("read.db"))?)
}

impl ReadStore for SqliteStore {
    fn prepare<'a>(
        &'a self,
        projection: &'a ProjectionId,
        collections: &'a [CollectionSpec],
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let tables: Result<Vec<Layout>, StoreError> =
                collections.iter().map(|spec| Layout::new(projection, *spec)).collect();
            let (id, tables) = (projection.clone(), tables?);
            let shared = tables.iter().cloned().map(Arc::new).collect();
            self.writer.run(move |connection| file::prepare(connection, &id, &tables)).await?;
            self.prepared.insert(projection.clone(), shared);
            Ok(())
        })
    }

    fn get_many<'a>(
        &'a self,
        projection: &'a ProjectionId,
        keys: &'a [DocumentKey],
    ) -> StoreFuture<'a, Vec<Option<Json>>> {
        Box::pin(async move {
            let placed: Result<Vec<(Arc<Layout>, DocumentKey)>, StoreError> = keys
                .iter()
                .map(|key| Ok((self.prepared.layout(projection, key.collection)?, key.clone())))
                .collect();
            let placed = placed?;
            let read = move |connection: &rusqlite::Connection| {
                let texts = placed.iter().map(|(table, key)| write::document(connection, table, key));
                texts.map(|text| Ok(text?.map(Json::from_text))).collect()
            };
            self.readers.run(read).await
        })
    }

    fn commit(&self, batch: Batch) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let placed = Placed {
                unchanged: self.place(&batch.projection, batch.unchanged)?,
                writes: self.place(&batch.projection, batch.writes)?,
                projection: batch.projection,
                advances: batch.advances,
            };
            self.writer.commit(placed).await
        })
    }

    fn checkpoint<'a>(
        &'a self,
        projection: &'a ProjectionId,
        partition: Partition,
    ) -> StoreFuture<'a, Option<Checkpoint>> {
        let projection = projection.clone();
        let read =
            move |connection: &rusqlite::Connection| write::checkpoint(connection, &projection, partition);
        Box::pin(self.readers.run(read))
    }

    fn origins(&self) -> StoreFuture<'_, Vec<(ProjectionId, LogId)>> {
        Box::pin(self.readers.run(file::origins))
    }

    fn find(&self, query: Query) -> StoreFuture<'_, Page<Json>> {
        Box::pin(async move {
            let table = self.prepared.layout(&query.projection, query.collection)?;
            let statement = query::compile(&table, &query)?;
            self.readers.run(move |connection| find(connection, statement, query.limit)).await
        })
    }

    fn scan<'a>(
        &'a self,
        projection: &'a ProjectionId,
        collection: &'static str,
        after: Option<String>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(String, Json)>> {
        Box::pin(async move {
            let table = self.prepared.layout(projection, collection)?;
            self.readers.run(move |connection| scan(connection, &table, after.as_deref(), limit)).await
        })
    }

    fn explain(&self, query: Query) -> StoreFuture<'_, String> {
        Box::pin(async move {
            let table = self.prepared.layout(&query.projection, query.collection)?;
            let statement = query::compile(&table, &query)?;
            self.readers.run(move |connection| explain(connection, statement)).await
        })
    }

    fn drop_projection<'a>(&'a self, projection: &'a ProjectionId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.prepared.remove(projection);
            let projection = projection.clone();
            self.writer.run(move |connection| file::drop_projection(connection, &projection)).await
        })
    }
}

fn find(
    connection: &rusqlite::Connection,
    statement: Statement,
    limit: usize,
) -> Result<Page<Json>, Failure> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    let mut rows = prepared.query(params_from_iter(statement.parameters))?;
    let mut page = Page { items: Vec::new(), next: None };
    let mut last = None;
    while let Some(row) = rows.next()? {
        if page.items.len() == limit {
            page.next = last;
            break;
        }
        page.items.push(Json::from_text(row.get::<_, String>(1)?));
        let value = match row.get(2)? {
            rusqlite::types::Value::Integer(number) => Scalar::Integer(number),
            rusqlite::types::Value::Text(text) => Scalar::Text(text),
            other => {
                return Err(StoreError::Refused(format!("a column holds {:?}", other.data_type())).into());
            }
        };
        last = Some(Cursor { value, key: row.get(0)? });
    }
    Ok(page)
}

fn scan(
    connection: &rusqlite::Connection,
    table: &Layout,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Json)>, Failure> {
    // No key is empty, so nothing lies before the first.
    let sql = format!("SELECT key, document FROM {} WHERE key > ? ORDER BY key LIMIT ?", table.name);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut prepared = connection.prepare_cached(&sql)?;
    let rows = prepared.query_map(rusqlite::params![after.unwrap_or(""), limit], |row| {
        Ok((row.get(0)?, Json::from_text(row.get::<_, String>(1)?)))
    })?;
    Ok(rows.collect::<Result<_, rusqlite::Error>>()?)
}

fn explain(connection: &rusqlite::Connection, statement: Statement) -> Result<String, Failure> {
    let mut prepared = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.sql))?;
    let lines = prepared.query_map(params_from_iter(statement.parameters), |row| row.get::<_, String>(3))?;
    Ok(lines.collect::<Result<Vec<String>, rusqlite::Error>>()?.join("\n"))
}

/// What went wrong on a connection: said by SQLite or by us.
#[derive(Debug)]
enum Failure {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        let error = match failure {
            Failure::Store(error) => return error,
            Failure::Sqlite(error) => error,
        };
        let may_pass = matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::DiskFull
                    | ErrorCode::CannotOpen
                    | ErrorCode::OutOfMemory
                    | ErrorCode::PermissionDenied
                    | ErrorCode::ReadOnly
                    | ErrorCode::SystemIoFailure
            )
        );
        if may_pass { Self::Unavailable(error.to_string()) } else { Self::Refused(error.to_string()) }
    }
}
