//! The record of what was made for a projection, and the lock under which it is made, mended and dropped.
//!
//! ```json
//! { "_id": "board_v1", "format": 1, "state": "made", "made": "<uuid>",
//!   "collections": [ { "name": "board_v1__entries", "declaration": "…", "uuid": … } ],
//!   "lock": { "by": "<uuid>", "until": … } }
//! ```
//!
//! `made` is another one each time that the projection is made anew: checkpoints name it, and so nobody writes into what
//! was dropped and made again meanwhile.

use std::time::Duration;

use mongodb::{
    Collection, Database,
    bson::{Bson, Document, doc},
    options::ReturnDocument,
};
use uuid::Uuid;

use super::failure::Failure;
use crate::{ProjectionId, StoreError};

/// What the records and documents are. Another format is another number.
pub(super) const FORMAT: i32 = 1;
/// The collection of records.
pub(super) const RECORDS: &str = "guildhall_projections";
/// The collection of checkpoints.
pub(super) const CHECKPOINTS: &str = "guildhall_checkpoints";

/// A process that has not renewed its lock within this, milliseconds of the server's time, has died at what it did.
const LOCKED_MS_MAX: i64 = 5000;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where a projection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its collections are there.
    Made,
    /// They are being made or dropped, or whoever did that has died.
    Unfinished,
}

/// A collection that was made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MadeCollection {
    pub(super) name: String,
    pub(super) declaration: String,
    /// What the server knows it by: another one when it was dropped and came into being again.
    pub(super) uuid: Bson,
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) state: State,
    /// Told apart from one that was dropped.
    pub(super) made: String,
    pub(super) collections: Vec<MadeCollection>,
}

impl Record {
    /// Nothing was made yet.
    pub(super) fn new(collections: Vec<MadeCollection>) -> Self {
        Self { state: State::Made, made: Uuid::now_v7().to_string(), collections }
    }

    fn parse(projection: &ProjectionId, document: &Document) -> Result<Self, StoreError> {
        let format = document.get_i32("format").unwrap_or_default();
        if format != FORMAT {
            return Err(StoreError::Refused(format!(
                "{projection} has format {format} in MongoDB, this release reads format {FORMAT}; its database can be \
                 dropped, and is rebuilt from the log"
            )));
        }
        let is_made = document.get_str("state").is_ok_and(|state| state == "made");
        let state = if is_made { State::Made } else { State::Unfinished };
        let made = document.get_str("made").unwrap_or_default().to_owned();
        let collections = document.get_array("collections").map(Vec::as_slice).unwrap_or_default();
        let collections = collections.iter().filter_map(Bson::as_document).map(|collection| MadeCollection {
            name: collection.get_str("name").unwrap_or_default().to_owned(),
            declaration: collection.get_str("declaration").unwrap_or_default().to_owned(),
            uuid: collection.get("uuid").cloned().unwrap_or(Bson::Null),
        });
        Ok(Self { state, made, collections: collections.collect() })
    }
}

/// The records of a database.
pub(super) struct Records {
    records: Collection<Document>,
    /// How long to wait for somebody else who is making the same.
    patience: Duration,
}

/// The right to make, mend and drop what belongs to one projection.
pub(super) struct Lock {
    id: String,
    by: String,
}

impl Records {
    pub(super) fn of(database: &Database, patience: Duration) -> Self {
        Self { records: database.collection(RECORDS), patience }
    }

    /// What was made for the projection; `None`: nothing.
    pub(super) async fn read(&self, projection: &ProjectionId) -> Result<Option<Record>, Failure> {
        let found = self.records.find_one(doc! { "_id": projection.to_string() }).await?;
        Ok(found.map(|document| Record::parse(projection, &document)).transpose()?)
    }

    /// Waits until nobody else is at it, and gives what is there.
    pub(super) async fn lock(&self, projection: &ProjectionId) -> Result<(Lock, Record), Failure> {
        let lock = Lock { id: projection.to_string(), by: Uuid::now_v7().to_string() };
        let deadline = tokio::time::Instant::now() + self.patience;
        loop {
            match self.try_lock(&lock).await {
                Ok(Some(document)) => return Ok((lock, Record::parse(projection, &document)?)),
                // It is locked.
                Err(failure) if failure.is_duplicate() => {}
                Err(failure) => return Err(failure),
                Ok(None) => {}
            }
            if tokio::time::Instant::now() >= deadline {
                let reason = format!("another process is preparing or dropping {projection}");
                return Err(StoreError::Unavailable(reason).into());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn try_lock(&self, lock: &Lock) -> Result<Option<Document>, Failure> {
        let take = || {
            vec![doc! { "$set": {
                "format": { "$ifNull": ["$format", FORMAT] },
                "state": { "$ifNull": ["$state", "making"] },
                "lock": { "by": &lock.by, "until": until() },
            } }]
        };
        // Absent is less than every time.
        let free = doc! { "_id": &lock.id, "$expr": { "$lt": ["$lock.until", "$$NOW"] } };
        let freed = self.records.find_one_and_update(free, take()).return_document(ReturnDocument::After);
        if let Some(document) = freed.await? {
            return Ok(Some(document));
        }
        // Nothing is there, or it is locked: then what is inserted here is there already.
        let absent = doc! { "_id": &lock.id, "state": { "$exists": false } };
        let inserted = self.records.find_one_and_update(absent, take()).upsert(true);
        Ok(inserted.return_document(ReturnDocument::After).await?)
    }

    /// Holds the lock for as long again: due before every step, since a step may be slow.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when somebody else has it by now.
    pub(super) async fn renew(&self, lock: &Lock) -> Result<(), Failure> {
        self.held(lock, vec![doc! { "$set": { "lock.until": until() } }]).await
    }

    /// Writes that the projection is being dropped or made anew.
    pub(super) async fn unmake(&self, lock: &Lock) -> Result<(), Failure> {
        self.held(lock, vec![doc! { "$set": { "state": "unmade", "lock.until": until() } }]).await
    }

    /// Writes what was made, and lets go.
    pub(super) async fn write(&self, lock: &Lock, record: &Record) -> Result<(), Failure> {
        let collections = record.collections.iter().map(|collection| {
            let MadeCollection { name, declaration, uuid } = collection.clone();
            Bson::Document(doc! { "name": name, "declaration": declaration, "uuid": uuid })
        });
        let collections: Vec<Bson> = collections.collect();
        // As they stand: a declaration is no expression, whatever signs are in it.
        let collections = doc! { "$literal": collections };
        let made = doc! { "state": "made", "made": &record.made, "collections": collections };
        self.held(lock, vec![doc! { "$set": made }, doc! { "$unset": "lock" }]).await
    }

    /// Takes the record away, and the lock with it.
    pub(super) async fn remove(&self, lock: &Lock) -> Result<(), Failure> {
        self.records.delete_one(doc! { "_id": &lock.id, "lock.by": &lock.by }).await?;
        Ok(())
    }

    async fn held(&self, lock: &Lock, update: Vec<Document>) -> Result<(), Failure> {
        let done = self.records.update_one(doc! { "_id": &lock.id, "lock.by": &lock.by }, update).await?;
        if done.matched_count == 1 {
            return Ok(());
        }
        let reason = format!("preparing {} took so long that another process has taken over", lock.id);
        Err(StoreError::Unavailable(reason).into())
    }
}

/// When a lock that is taken now ends, by the server's clock.
fn until() -> Document {
    doc! { "$add": ["$$NOW", LOCKED_MS_MAX] }
}
