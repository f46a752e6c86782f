//! Makes the collections and indexes of a projection, checks those that are there, and drops them.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::TryStreamExt as _;
use mongodb::{
    Database,
    bson::{Bson, Document, doc},
};

use super::{
    failure::{Failure, code_of},
    record::{CHECKPOINTS, Lock, MadeCollection, Record, Records, State},
    stored::path,
};
use crate::{ProjectionId, StoreError, layout::Layout};

const NAMESPACE_NOT_FOUND: i32 = 26;
const NAMESPACE_EXISTS: i32 = 48;

/// Prepares one projection in its database.
pub(super) struct Preparing<'a> {
    pub(super) database: &'a Database,
    pub(super) records: &'a Records,
    pub(super) projection: &'a ProjectionId,
    pub(super) layouts: &'a [Arc<Layout>],
}

/// What a look at the database came to.
enum Found {
    /// All is there as it was declared.
    Whole(Record),
    /// Something has to be made or mended.
    Lacking,
}

impl Preparing<'_> {
    /// Makes what is missing, and gives the word by which checkpoints know what was made.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when it was made from another declaration, or is of another format.
    pub(super) async fn prepare(&self) -> Result<String, Failure> {
        if let Some(record) = self.records.read(self.projection).await?
            && let Found::Whole(record) = self.look(record).await?
        {
            return Ok(record.made);
        }
        let (lock, record) = self.records.lock(self.projection).await?;
        let made = self.make(&lock, record).await?;
        self.records.write(&lock, &made).await?;
        Ok(made.made)
    }

    async fn look(&self, record: Record) -> Result<Found, Failure> {
        self.check_declarations(&record)?;
        if record.state != State::Made || self.is_damaged(&record).await? {
            return Ok(Found::Lacking);
        }
        for layout in self.layouts {
            let known = record.collections.iter().any(|collection| collection.name == layout.name);
            if !known || !self.lacking_indexes(layout).await?.is_empty() {
                return Ok(Found::Lacking);
            }
        }
        Ok(Found::Whole(record))
    }

    fn check_declarations(&self, record: &Record) -> Result<(), StoreError> {
        for layout in self.layouts {
            let known = record.collections.iter().find(|collection| collection.name == layout.name);
            if known.is_some_and(|known| known.declaration != layout.declaration()) {
                return Err(StoreError::Refused(format!(
                    "{} was made with other indexes; a changed declaration needs a new version of the projection",
                    layout.name
                )));
            }
        }
        Ok(())
    }

    /// Whether a collection was dropped by hand: then the checkpoints speak of documents that are not there.
    async fn is_damaged(&self, record: &Record) -> Result<bool, Failure> {
        let there = collections(self.database).await?;
        let lost = |made: &&MadeCollection| there.get(&made.name) != Some(&made.uuid);
        let lost = record.collections.iter().find(lost);
        if let Some(lost) = lost {
            tracing::warn!(
                projection = %self.projection, collection = %lost.name,
                "a collection was dropped behind the store's back; the read model is dropped and built anew"
            );
        }
        Ok(lost.is_some())
    }

    async fn make(&self, lock: &Lock, record: Record) -> Result<Record, Failure> {
        // Somebody else may have made it while the lock was waited for.
        self.check_declarations(&record)?;
        let (made, mut listed) = if record.state != State::Made || self.is_damaged(&record).await? {
            self.records.unmake(lock).await?;
            let ours = self.layouts.iter().map(|layout| layout.name.as_str());
            let listed = record.collections.iter().map(|made| made.name.as_str());
            clear(self.database, (self.records, lock), self.projection, ours.chain(listed)).await?;
            (Record::new(Vec::new()).made, Vec::new())
        } else {
            (record.made, record.collections)
        };
        create(self.database, CHECKPOINTS).await?;
        for layout in self.layouts {
            self.records.renew(lock).await?;
            self.make_collection(layout).await?;
        }
        let there = collections(self.database).await?;
        for layout in self.layouts {
            if !listed.iter().any(|known| known.name == layout.name) {
                let (name, declaration) = (layout.name.clone(), layout.declaration());
                let uuid = there.get(&name).cloned().unwrap_or(Bson::Null);
                listed.push(MadeCollection { name, declaration, uuid });
            }
        }
        Ok(Record { state: State::Made, made, collections: listed })
    }

    async fn make_collection(&self, layout: &Layout) -> Result<(), Failure> {
        create(self.database, &layout.name).await?;
        let lacking = self.lacking_indexes(layout).await?;
        if lacking.is_empty() {
            return Ok(());
        }
        for name in lacking.iter().filter(|lack| lack.changed).map(|lack| lack.name) {
            tracing::warn!(
                collection = %layout.name, index = name,
                "an index was changed behind the store's back; it is built anew"
            );
            self.database.run_command(doc! { "dropIndexes": &layout.name, "index": name }).await?;
        }
        let specs = lacking.into_iter().map(|lack| doc! { "name": lack.name, "key": lack.key });
        let specs: Vec<Document> = specs.collect();
        self.database.run_command(doc! { "createIndexes": &layout.name, "indexes": specs }).await?;
        Ok(())
    }

    /// The declared indexes that are not there as they were declared.
    async fn lacking_indexes(&self, layout: &Layout) -> Result<Vec<Lacking>, Failure> {
        let there = self.indexes(layout).await?;
        let foreign = there.iter().find(|(name, index)| {
            let ours = *name == "_id_" || layout.spec.indexes.iter().any(|index| index.name == *name);
            !ours && index.get_bool("unique").unwrap_or_default()
        });
        if let Some((name, _)) = foreign {
            return Err(StoreError::Refused(format!(
                "{} has a unique index {name} that is not ours, and would refuse documents: drop it",
                layout.name
            ))
            .into());
        }
        let mut lacking = Vec::new();
        for index in layout.spec.indexes {
            let key = key_of(index.fields);
            let known = there.get(index.name);
            let as_declared = |known: &Document| {
                let plain = known.keys().all(|option| matches!(option.as_str(), "v" | "key" | "name"));
                plain && known.get_document("key").is_ok_and(|there| same_key(there, &key))
            };
            if !known.is_some_and(as_declared) {
                lacking.push(Lacking { name: index.name, key, changed: known.is_some() });
            }
        }
        Ok(lacking)
    }

    async fn indexes(&self, layout: &Layout) -> Result<BTreeMap<String, Document>, Failure> {
        let listing = self.database.run_cursor_command(doc! { "listIndexes": &layout.name, "cursor": {} });
        let listed: Vec<Document> = match listing.await {
            Ok(cursor) => cursor.try_collect().await?,
            Err(error) if code_of(&error) == Some(NAMESPACE_NOT_FOUND) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let named =
            listed.into_iter().map(|index| (index.get_str("name").unwrap_or_default().to_owned(), index));
        Ok(named.collect())
    }
}

/// An index that has to be built.
struct Lacking {
    name: &'static str,
    key: Document,
    /// There is one of this name that is another.
    changed: bool,
}

/// The fields of an index, and the document's key behind them.
pub(super) fn key_of(fields: &[&str]) -> Document {
    let fields = fields.iter().map(|field| path(field)).chain(["_id".to_owned()]);
    fields.map(|field| (field, Bson::Int32(1))).collect()
}

/// The same fields in the same order, ascending; a number may come back as another kind of number.
fn same_key(there: &Document, declared: &Document) -> bool {
    let ascending = |direction: &Bson| match direction {
        Bson::Int32(1) | Bson::Int64(1) => true,
        Bson::Double(number) => (*number - 1.0).abs() < f64::EPSILON,
        _ => false,
    };
    there.keys().eq(declared.keys()) && there.values().all(ascending)
}

/// The collections of a database, with what the server knows each by.
async fn collections(database: &Database) -> Result<BTreeMap<String, Bson>, Failure> {
    let command = doc! { "listCollections": 1, "cursor": {}, "filter": { "type": "collection" } };
    let listed: Vec<Document> = database.run_cursor_command(command).await?.try_collect().await?;
    let named = listed.into_iter().map(|listed| {
        let name = listed.get_str("name").unwrap_or_default().to_owned();
        let uuid = listed.get_document("info").ok().and_then(|info| info.get("uuid").cloned());
        (name, uuid.unwrap_or(Bson::Null))
    });
    Ok(named.collect())
}

/// Drops checkpoints and collections. Who is just writing to them either is done before a collection goes, and what it
/// left behind is removed with the rest, or fails.
async fn clear<'n>(
    database: &Database,
    (records, lock): (&Records, &Lock),
    projection: &ProjectionId,
    names: impl Iterator<Item = &'n str>,
) -> Result<(), Failure> {
    let checkpoints = database.collection::<Document>(CHECKPOINTS);
    let of = || doc! { "projection": projection.to_string() };
    checkpoints.delete_many(of()).await?;
    for name in names {
        records.renew(lock).await?;
        database.collection::<Document>(name).drop().await?;
    }
    checkpoints.delete_many(of()).await?;
    Ok(())
}

/// Removes everything of a projection from one database.
pub(super) async fn drop_projection(
    database: &Database,
    records: &Records,
    projection: &ProjectionId,
) -> Result<(), Failure> {
    if records.read(projection).await?.is_none() {
        return Ok(());
    }
    let (lock, record) = records.lock(projection).await?;
    records.unmake(&lock).await?;
    clear(database, (records, &lock), projection, record.collections.iter().map(|made| made.name.as_str()))
        .await?;
    records.remove(&lock).await
}

/// Makes a collection, unless it is there.
async fn create(database: &Database, name: &str) -> Result<(), Failure> {
    match database.create_collection(name).await {
        Err(error) if code_of(&error) == Some(NAMESPACE_EXISTS) => Ok(()),
        done => Ok(done?),
    }
}
