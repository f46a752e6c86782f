//! The least that could be done to keep documents in MongoDB: what the driver does, and nothing else. Benchmarks compare the
//! read store with it.

use std::{collections::HashMap, sync::Arc};

use mongodb::{
    ClientSession, Database,
    bson::{Document, RawDocumentBuf, doc, raw::cstr, rawdoc},
    options::{ReadConcern, WriteConcern},
};

use super::{
    batch,
    collections::key_of,
    connection::Connection,
    failure::{Failure, check_statements},
};
use crate::{CollectionSpec, ProjectionId, StoreError, StoreOptions, Write, layout::Layout};

/// Collections that are written to by the driver alone: no checkpoints, nothing compared, nothing read.
#[allow(missing_debug_implementations, reason = "it holds connections, which have no text")]
pub struct BareCollections {
    connection: Connection,
    database: String,
    layouts: HashMap<&'static str, Arc<Layout>>,
}

/// A batch as the driver sends it: made beforehand, since making it is not the driver's work.
#[allow(missing_debug_implementations, reason = "it is long")]
pub struct BareBatch(Vec<RawDocumentBuf>);

impl BareCollections {
    /// Makes the collections in a database of their own, with their declared indexes if they are to be `indexed`.
    ///
    /// # Errors
    /// What MongoDB says.
    pub async fn create(
        options: &StoreOptions,
        collections: &[CollectionSpec],
        indexed: bool,
    ) -> Result<Self, StoreError> {
        let connection = Connection::new(options)?;
        let database = format!("{}_bare", options.mongodb.database_prefix);
        let id = ProjectionId::new("bare", 1);
        let mut layouts = HashMap::new();
        for spec in collections {
            layouts.insert(spec.name, Arc::new(Layout::new(&id, *spec)?));
        }
        let bare = Self { connection, database, layouts };
        bare.make(indexed).await?;
        Ok(bare)
    }

    async fn make(&self, indexed: bool) -> Result<(), Failure> {
        let database = self.database().await?;
        database.drop().await?;
        for layout in self.layouts.values() {
            database.create_collection(&layout.name).await?;
            let specs = layout.spec.indexes.iter();
            let specs: Vec<Document> =
                specs.map(|index| doc! { "name": index.name, "key": key_of(index.fields) }).collect();
            if indexed && !specs.is_empty() {
                database.run_command(doc! { "createIndexes": &layout.name, "indexes": specs }).await?;
            }
        }
        Ok(())
    }

    async fn database(&self) -> Result<Database, Failure> {
        self.connection.database(&self.database).await
    }

    /// The documents as they will be sent, for a transaction or not.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a document that cannot be kept.
    pub fn batch(&self, writes: &[Write], in_transaction: bool) -> Result<BareBatch, StoreError> {
        let unknown =
            |write: &Write| StoreError::Refused(format!("{} was not made", write.document.collection));
        let mut placed = Vec::with_capacity(writes.len());
        for write in writes {
            let layout = self.layouts.get(write.document.collection).ok_or_else(|| unknown(write))?;
            placed.push((layout.as_ref(), write));
        }
        let commands = batch::writes(placed)?.into_iter().map(|command| {
            let mut body = command.body;
            if !in_transaction {
                body.append(cstr!("ordered"), false);
                body.append(cstr!("writeConcern"), rawdoc! { "w": "majority" });
            }
            body
        });
        Ok(BareBatch(commands.collect()))
    }

    /// Upserts the documents in one transaction with majority writes.
    ///
    /// # Errors
    /// What MongoDB says.
    pub async fn write_in_transaction(&self, batch: BareBatch) -> Result<(), StoreError> {
        let mut session = self.connection.session().await?;
        Ok(self.transact(&mut session, batch).await?)
    }

    async fn transact(&self, session: &mut ClientSession, batch: BareBatch) -> Result<(), Failure> {
        let database = self.database().await?;
        let start = session.start_transaction();
        start.read_concern(ReadConcern::snapshot()).write_concern(WriteConcern::majority()).await?;
        for command in batch.0 {
            let answer = database.run_raw_command(command).session(&mut *session).await?;
            check_statements(&answer)?;
        }
        session.commit_transaction().await?;
        Ok(())
    }

    /// Upserts the documents in an unordered bulk with majority writes, without a transaction.
    ///
    /// # Errors
    /// What MongoDB says.
    pub async fn write_unordered(&self, batch: BareBatch) -> Result<(), StoreError> {
        Ok(self.send(batch).await?)
    }

    async fn send(&self, batch: BareBatch) -> Result<(), Failure> {
        let database = self.database().await?;
        for command in batch.0 {
            let answer = database.run_raw_command(command).await?;
            check_statements(&answer)?;
        }
        Ok(())
    }

    /// Takes everything away.
    ///
    /// # Errors
    /// What MongoDB says.
    pub async fn clear(self) -> Result<(), StoreError> {
        let dropping = async { Ok::<(), Failure>(self.database().await?.drop().await?) };
        Ok(dropping.await?)
    }
}
