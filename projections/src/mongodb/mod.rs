//! The engine of the read store for many processes: MongoDB, a replica set (one member will do), a database per service.
//!
//! Documents, letters, turns and checkpoints of a batch are one transaction: snapshot reads, majority writes, checkpoints
//! by compare-and-set. What is written with the majority survives any single member.

#[cfg(feature = "measuring")]
pub(crate) mod bare;
mod batch;
mod collections;
mod connection;
mod failure;
mod homes;
mod query;
mod record;
mod stored;
mod transaction;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use events::{LogId, Partition};
use futures_util::TryStreamExt as _;
use mongodb::{
    Collection,
    bson::{Document, RawDocumentBuf, doc},
    options::Hint,
};

use self::{
    batch::checkpoint_key,
    collections::{Preparing, drop_projection},
    connection::Connection,
    failure::Failure,
    homes::Homes,
    record::{CHECKPOINTS, Records},
    stored::TEXT,
    transaction::Transaction,
};
use crate::{
    Batch, Checkpoint, CollectionSpec, Cursor, DocumentKey, Json, Page, ProjectionId, Query, ReadStore,
    StoreError, Write, builds,
    layout::{Layout, Prepared},
    options::StoreOptions,
    store::StoreFuture,
};

/// Documents that one find is asked for by key.
const KEYS_MAX: usize = 5_000;

/// The read store in the databases of a replica set.
pub(crate) struct MongoStore {
    connection: Connection,
    homes: Homes,
    prepared: Prepared,
    /// By which word the checkpoints know what was made.
    made: Mutex<HashMap<ProjectionId, String>>,
}

impl MongoStore {
    /// Reads the url; the servers are connected to when something is first asked for.
    pub(crate) fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        let homes = Homes::new(&options.mongodb.database_prefix);
        let connection = Connection::new(options)?;
        let prepared = Prepared::with(&[(builds::id(), builds::COLLECTIONS)])?;
        Ok(Self { connection, homes, prepared, made: Mutex::default() })
    }

    /// Whether the url and the options make sense.
    pub(crate) fn check(options: &StoreOptions) -> Result<(), StoreError> {
        Connection::new(options).map(|_| ())
    }

    fn place(
        &self,
        projection: &ProjectionId,
        writes: Vec<Write>,
    ) -> Result<Vec<(Arc<Layout>, Write)>, StoreError> {
        let placed = writes.into_iter().map(|write| {
            let layout = self.prepared.layout(projection, write.document.collection)?;
            Ok((layout, write))
        });
        placed.collect()
    }

    /// The word by which the projection's checkpoints know what was made.
    async fn made(&self, projection: &ProjectionId) -> Result<String, Failure> {
        let known = |made: &Mutex<HashMap<ProjectionId, String>>| {
            made.lock().unwrap_or_else(PoisonError::into_inner).get(projection).cloned()
        };
        if let Some(made) = known(&self.made) {
            return Ok(made);
        }
        if *projection == builds::id() {
            // Nobody prepares what every store has from the start: it is made when it is first written to.
            self.prepare_all(projection, builds::COLLECTIONS).await?;
            return Ok(known(&self.made).expect("it was prepared above"));
        }
        // Somebody else may have made it.
        let database = self.connection.database(&self.homes.of(&projection.name)).await?;
        let records = Records::of(&database, self.connection.settings.operation_timeout);
        let record = records.read(projection).await?;
        let not_prepared = || StoreError::Refused(format!("{projection} was not prepared"));
        Ok(record.ok_or_else(not_prepared)?.made)
    }

    async fn prepare_all(
        &self,
        projection: &ProjectionId,
        collections: &[CollectionSpec],
    ) -> Result<(), Failure> {
        let layouts: Result<Vec<Arc<Layout>>, StoreError> =
            collections.iter().map(|spec| Layout::new(projection, *spec).map(Arc::new)).collect();
        let layouts = layouts?;
        let database = self.connection.database(&self.homes.of(&projection.name)).await?;
        let records = Records::of(&database, self.connection.settings.operation_timeout);
        let preparing = Preparing { database: &database, records: &records, projection, layouts: &layouts };
        let made = preparing.prepare().await?;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(projection.clone(), made);
        self.prepared.insert(projection.clone(), layouts);
        Ok(())
    }

    async fn read_documents(
        &self,
        projection: &ProjectionId,
        keys: &[DocumentKey],
    ) -> Result<Vec<Option<Json>>, Failure> {
        let mut by_collection: HashMap<&'static str, Vec<&str>> = HashMap::new();
        for key in keys {
            by_collection.entry(key.collection).or_default().push(&key.key);
        }
        let mut found: HashMap<(&'static str, String), Json> = HashMap::with_capacity(keys.len());
        for (collection, keys) in by_collection {
            let layout = self.prepared.layout(projection, collection)?;
            for some in keys.chunks(KEYS_MAX) {
                let filter = doc! { "_id": { "$in": some } };
                for stored in self.read(projection, &layout, filter, None).await? {
                    found.insert((collection, stored.0), stored.1);
                }
            }
        }
        Ok(keys.iter().map(|key| found.get(&(key.collection, key.key.clone())).cloned()).collect())
    }

    /// Keys and texts, read from the primary; by key and at most `limit`, when that is said.
    async fn read(
        &self,
        projection: &ProjectionId,
        layout: &Layout,
        filter: Document,
        limit: Option<usize>,
    ) -> Result<Vec<(String, Json)>, Failure> {
        let mut session = self.connection.session().await?;
        let database = self.connection.database(&self.homes.of(&projection.name)).await?;
        let collection: Collection<RawDocumentBuf> = database.collection(&layout.name);
        let mut find = collection.find(filter).projection(doc! { TEXT: 1 });
        if let Some(limit) = limit {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            find = find.sort(doc! { "_id": 1 }).hint(Hint::Keys(doc! { "_id": 1 })).limit(limit);
        }
        let mut cursor = find.session(&mut session).await?;
        let mut read = Vec::new();
        while let Some(stored) = cursor.next(&mut session).await.transpose()? {
            read.push((stored::key(&stored)?.to_owned(), Json::from_text(stored::text(&stored)?)));
        }
        self.connection.saw(&session);
        Ok(read)
    }

    async fn read_checkpoint(
        &self,
        projection: &ProjectionId,
        partition: Partition,
    ) -> Result<Option<Checkpoint>, Failure> {
        let mut session = self.connection.session().await?;
        let database = self.connection.database(&self.homes.of(&projection.name)).await?;
        let checkpoints = database.collection::<Document>(CHECKPOINTS);
        let by_key = doc! { "_id": checkpoint_key(projection, partition) };
        let found = checkpoints.find_one(by_key).session(&mut session).await?;
        self.connection.saw(&session);
        let Some(found) = found.filter(|found| found.contains_key("offset")) else { return Ok(None) };
        let damaged =
            |_| StoreError::Refused(format!("the checkpoint of {projection} on {partition} is damaged"));
        Ok(Some(Checkpoint { log: log_of(&found)?, offset: found.get_i64("offset").map_err(damaged)? }))
    }

    async fn read_origins(&self) -> Result<Vec<(ProjectionId, LogId)>, Failure> {
        let mut origins = Vec::new();
        for home in self.homes.all() {
            let database = self.connection.database(&home).await?;
            let checkpoints = database.collection::<Document>(CHECKPOINTS);
            let found: Vec<Document> = checkpoints.find(doc! {}).await?.try_collect().await?;
            for found in found {
                let projection = found.get_str("projection").ok().and_then(|id| id.parse().ok());
                let of_whom =
                    || StoreError::Refused(format!("a checkpoint in {home} does not say whose it is"));
                origins.push((projection.ok_or_else(of_whom)?, log_of(&found)?));
            }
        }
        origins.sort();
        origins.dedup();
        Ok(origins)
    }

    async fn carry_out(&self, batch: Batch) -> Result<(), Failure> {
        let Batch { projection, writes, advances, unchanged } = batch;
        let unchanged = self.place(&projection, unchanged)?;
        let writes = self.place(&projection, writes)?;
        let database = self.connection.database(&self.homes.of(&projection.name)).await?;
        let made = self.made(&projection).await?;
        let transaction = Transaction::new(projection.clone(), made, &advances, unchanged, &writes)?;
        let done = transaction.carry_out(&self.connection, &database).await;
        if matches!(done, Err(Failure::Store(StoreError::Fenced))) && projection == builds::id() {
            // It may have been dropped, and nobody else makes it anew.
            self.prepare_all(&projection, builds::COLLECTIONS).await?;
        }
        done
    }

    async fn find_page(&self, query: Query) -> Result<Page<Json>, Failure> {
        let layout = self.prepared.layout(&query.projection, query.collection)?;
        let walks = query::compile(&layout, &query)?;
        let home = self.homes.of(&query.projection.name);
        let collection = self.connection.queried(&home, &layout.name).await?;
        let mut session = self.connection.session().await?;
        let mut page = Page { items: Vec::new(), next: None };
        let mut last = None;
        for filter in &walks.filters {
            // One more than the page holds tells whether there is a next one.
            let left = query.limit + 1 - page.items.len();
            let find = collection.find(filter.clone()).sort(walks.sort.clone()).hint(walks.hint());
            let find = find.projection(walks.projection.clone());
            let find = find.limit(i64::try_from(left).unwrap_or(i64::MAX));
            let mut cursor = find.session(&mut session).await?;
            while let Some(stored) = cursor.next(&mut session).await.transpose()? {
                if page.items.len() == query.limit {
                    page.next = last;
                    self.connection.saw(&session);
                    return Ok(page);
                }
                page.items.push(Json::from_text(stored::text(&stored)?));
                let (value, key) = (stored::scalar(&stored, query.order.field)?, stored::key(&stored)?);
                last = Some(Cursor { value, key: key.to_owned() });
            }
        }
        self.connection.saw(&session);
        Ok(page)
    }

    async fn explain_walks(&self, query: Query) -> Result<String, Failure> {
        let layout = self.prepared.layout(&query.projection, query.collection)?;
        let walks = query::compile(&layout, &query)?;
        let database = self.connection.database(&self.homes.of(&query.projection.name)).await?;
        let mut plans = Vec::new();
        for filter in &walks.filters {
            let limit = i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1);
            let find = doc! {
                "find": &layout.name, "filter": filter, "sort": &walks.sort, "hint": walks.index,
                "projection": &walks.projection, "limit": limit,
            };
            let explain = doc! { "explain": find, "verbosity": "queryPlanner" };
            plans.push(query::plan_in_words(&database.run_command(explain).await?));
        }
        Ok(plans.join("\n"))
    }

    async fn drop_everywhere(&self, projection: &ProjectionId) -> Result<(), Failure> {
        // Another release may have kept it in another database.
        for home in self.homes.all() {
            let database = self.connection.database(&home).await?;
            let records = Records::of(&database, self.connection.settings.operation_timeout);
            drop_projection(&database, &records, projection).await?;
        }
        Ok(())
    }
}

fn log_of(checkpoint: &Document) -> Result<LogId, StoreError> {
    let log = checkpoint.get_str("log").ok().and_then(|log| uuid::Uuid::parse_str(log).ok());
    log.map(LogId).ok_or_else(|| StoreError::Refused("a checkpoint does not say of which log".into()))
}

impl ReadStore for MongoStore {
    fn prepare<'a>(
        &'a self,
        projection: &'a ProjectionId,
        collections: &'a [CollectionSpec],
    ) -> StoreFuture<'a, ()> {
        // Of a large collection, an index that has to be built anew takes its time.
        Box::pin(async move { Ok(self.prepare_all(projection, collections).await?) })
    }

    fn get_many<'a>(
        &'a self,
        projection: &'a ProjectionId,
        keys: &'a [DocumentKey],
    ) -> StoreFuture<'a, Vec<Option<Json>>> {
        Box::pin(async move { Ok(self.connection.within(self.read_documents(projection, keys)).await?) })
    }

    fn commit(&self, batch: Batch) -> StoreFuture<'_, ()> {
        Box::pin(async move { Ok(self.carry_out(batch).await?) })
    }

    fn checkpoint<'a>(
        &'a self,
        projection: &'a ProjectionId,
        partition: Partition,
    ) -> StoreFuture<'a, Option<Checkpoint>> {
        Box::pin(
            async move { Ok(self.connection.within(self.read_checkpoint(projection, partition)).await?) },
        )
    }

    fn origins(&self) -> StoreFuture<'_, Vec<(ProjectionId, LogId)>> {
        Box::pin(async move { Ok(self.connection.within(self.read_origins()).await?) })
    }

    fn find(&self, query: Query) -> StoreFuture<'_, Page<Json>> {
        Box::pin(async move { Ok(self.connection.within(self.find_page(query)).await?) })
    }

    fn scan<'a>(
        &'a self,
        projection: &'a ProjectionId,
        collection: &'static str,
        after: Option<String>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(String, Json)>> {
        Box::pin(async move {
            let layout = self.prepared.layout(projection, collection)?;
            let behind = doc! { "_id": { "$gt": after.unwrap_or_default() } };
            let scanning = self.read(projection, &layout, behind, Some(limit));
            Ok(self.connection.within(scanning).await?)
        })
    }

    fn explain(&self, query: Query) -> StoreFuture<'_, String> {
        Box::pin(async move { Ok(self.connection.within(self.explain_walks(query)).await?) })
    }

    fn drop_projection<'a>(&'a self, projection: &'a ProjectionId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.prepared.remove(projection);
            self.made.lock().unwrap_or_else(PoisonError::into_inner).remove(projection);
            Ok(self.drop_everywhere(projection).await?)
        })
    }
}
