//! A store that only holds documents: what the engines are compared with, and what makes many folds cheap.

use std::{collections::BTreeMap, sync::Mutex};

use events::Partition;
use projections::{
    Batch, Checkpoint, CollectionSpec, DocumentKey, Json, Page, ProjectionId, Query, ReadStore, StoreError,
};

#[derive(Default)]
pub(crate) struct MemoryStore {
    pub(crate) documents: Mutex<BTreeMap<DocumentKey, String>>,
}

type Answer<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

fn none_of_this<T>() -> Result<T, StoreError> {
    Err(StoreError::Refused("the memory store only holds documents".into()))
}

impl ReadStore for MemoryStore {
    fn prepare<'a>(&'a self, _: &'a ProjectionId, _: &'a [CollectionSpec]) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn get_many<'a>(&'a self, _: &'a ProjectionId, keys: &'a [DocumentKey]) -> Answer<'a, Vec<Option<Json>>> {
        let documents = self.documents.lock().unwrap();
        let found = keys.iter().map(|key| documents.get(key).map(|text| Json::from_text(text.as_str())));
        let found = found.collect();
        Box::pin(async move { Ok(found) })
    }
    fn commit(&self, batch: Batch) -> Answer<'_, ()> {
        let mut documents = self.documents.lock().unwrap();
        for write in batch.writes {
            match write.value {
                Some(json) => documents.insert(write.document, json.text().to_owned()),
                None => documents.remove(&write.document),
            };
        }
        Box::pin(async { Ok(()) })
    }
    fn checkpoint<'a>(&'a self, _: &'a ProjectionId, _: Partition) -> Answer<'a, Option<Checkpoint>> {
        Box::pin(async { none_of_this() })
    }
    fn find(&self, _: Query) -> Answer<'_, Page<Json>> {
        Box::pin(async { none_of_this() })
    }
    fn explain(&self, _: Query) -> Answer<'_, String> {
        Box::pin(async { none_of_this() })
    }
    fn drop_projection<'a>(&'a self, _: &'a ProjectionId) -> Answer<'a, ()> {
        Box::pin(async { none_of_this() })
    }
}
