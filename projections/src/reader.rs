//! How queries read: from the build that is live at the moment of each query.

use serde::de::DeserializeOwned;

use crate::{
    Collection, DocumentKey, Filter, Json, Order, Page, PageRequest, ProjectionId, Query, ReadStore,
    StoreError, builds,
};

/// A collection of the live build of a projection, as a query sees it.
#[allow(missing_debug_implementations, reason = "it holds nothing but a borrowed store")]
pub struct Reader<'a, T> {
    store: &'a dyn ReadStore,
    /// The first build of the version that this release folds.
    first: ProjectionId,
    collection: &'a Collection<T>,
}

/// How often a query looks for the live build anew when the one it read went away meanwhile.
const SWAPS_PER_QUERY_MAX: usize = 3;

impl<'a, T: DeserializeOwned> Reader<'a, T> {
    /// Reads `collection` of the live build of the projection called `name`, of which this release folds this version.
    pub fn new(
        store: &'a dyn ReadStore,
        (name, version): (&'static str, u32),
        collection: &'a Collection<T>,
    ) -> Self {
        Self { store, first: ProjectionId::new(name, version), collection }
    }

    /// The document with this key.
    ///
    /// # Errors
    /// What the engine says; [`StoreError::Refused`] when the document does not decode.
    pub async fn get(&self, key: String) -> Result<Option<T>, StoreError> {
        Ok(self.get_many([key]).await?.pop().flatten())
    }

    /// The documents with these keys, in the order asked for.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub async fn get_many(
        &self,
        keys: impl IntoIterator<Item = String>,
    ) -> Result<Vec<Option<T>>, StoreError> {
        let collection = self.collection.spec.name;
        let keys: Vec<DocumentKey> = keys.into_iter().map(|key| DocumentKey { collection, key }).collect();
        let (mut live, mut tries) = (self.live().await?, 0);
        loop {
            let decoded =
                |json: &Option<Json>| json.as_ref().map(|json| decode(&live, collection, json)).transpose();
            let found = self.store.get_many(&live, &keys).await;
            match found.and_then(|found| found.iter().map(decoded).collect()) {
                Err(StoreError::Refused(reason)) => live = self.instead_of(live, reason, &mut tries).await?,
                answer => return answer,
            }
        }
    }

    /// One page of the documents that satisfy all `filters`.
    ///
    /// # Errors
    /// As [`Reader::get`]; [`StoreError::Refused`] when no declared index serves the query.
    pub async fn find(
        &self,
        filters: Vec<Filter>,
        order: Order,
        page: PageRequest,
    ) -> Result<Page<T>, StoreError> {
        let collection = self.collection.spec.name;
        let mut query = Query {
            projection: self.live().await?,
            collection,
            filters,
            order,
            after: page.after,
            limit: page.limit,
        };
        let mut tries = 0;
        loop {
            let live = query.projection.clone();
            let decoded = |found: Page<Json>| {
                let items: Result<Vec<T>, StoreError> =
                    found.items.iter().map(|json| decode(&live, collection, json)).collect();
                Ok(Page { items: items?, next: found.next })
            };
            match self.store.find(query.clone()).await.and_then(decoded) {
                Err(StoreError::Refused(reason)) => {
                    query.projection = self.instead_of(live, reason, &mut tries).await?;
                }
                answer => return answer,
            }
        }
    }

    async fn live(&self) -> Result<ProjectionId, StoreError> {
        builds::live(self.store, &self.first).await
    }

    /// A build that was swapped out and dropped while it was read is no failure: the query is answered by the one in its
    /// place.
    async fn instead_of(
        &self,
        read: ProjectionId,
        refused: String,
        tries: &mut usize,
    ) -> Result<ProjectionId, StoreError> {
        let live = self.live().await?;
        *tries += 1;
        if live == read {
            return Err(self.unread(&live, refused));
        }
        if *tries > SWAPS_PER_QUERY_MAX {
            return Err(StoreError::Unavailable(format!("{} is swapped again and again", self.first.name)));
        }
        Ok(live)
    }

    /// What an earlier version cannot answer it need not be able to: this release's is on its way.
    fn unread(&self, live: &ProjectionId, refused: String) -> StoreError {
        if live.version == self.first.version {
            return StoreError::Refused(refused);
        }
        StoreError::Unavailable(format!(
            "{live} cannot answer this, and {} is not live yet: {refused}",
            self.first
        ))
    }
}

fn decode<T: DeserializeOwned>(
    projection: &ProjectionId,
    collection: &str,
    json: &Json,
) -> Result<T, StoreError> {
    json.parse().map_err(|e| {
        StoreError::Refused(format!("a document of {projection} {collection} does not decode: {e}"))
    })
}
