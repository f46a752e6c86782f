//! Queries read the live build: a swap is seen by the next query, and a build that goes away under a query is no failure.

use std::sync::Arc;

use projections::{
    Batch, Collection, DocumentKey, Index, Json, Order, PageRequest, ProjectionId, ReadStore, Reader,
    StoreError, StoreOptions, Write,
    builds::{self, Alias},
    open,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Thing {
    size: i64,
}

/// As a later release would have it: it asks for more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct GrownThing {
    size: i64,
    weight: i64,
}

const NAME: &str = "sample";
const THINGS: Collection<Thing> = Collection::new("things", &[Index { name: "by_size", fields: &["size"] }]);
const GROWN: Collection<GrownThing> = Collection::new(
    "things",
    &[Index { name: "by_size", fields: &["size"] }, Index { name: "by_weight", fields: &["weight"] }],
);

struct Stage {
    store: Arc<dyn ReadStore>,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&StoreOptions::at(format!("embedded:{}", folder.path().display()))).unwrap();
        Self { store, _folder: folder }
    }

    /// A build with one document of this size.
    async fn build(&self, id: &ProjectionId, size: i64) {
        self.store.prepare(id, &[THINGS.spec]).await.unwrap();
        let document = DocumentKey { collection: "things", key: "a".into() };
        let writes = vec![Write { document, value: Json::of(&Thing { size }).ok() }];
        let batch = Batch { projection: id.clone(), writes, advances: vec![], unchanged: vec![] };
        self.store.commit(batch).await.unwrap();
    }

    async fn set_live(&self, id: &ProjectionId, earlier: &[(u32, u32)]) {
        let alias = Alias {
            version: id.version,
            build: id.build,
            earlier: earlier.iter().copied().collect(),
            next: Default::default(),
            swap: None,
        };
        let writes = vec![Write { document: builds::alias_key(NAME), value: Json::of(&alias).ok() }];
        let batch = Batch { projection: builds::id(), writes, advances: vec![], unchanged: vec![] };
        self.store.commit(batch).await.unwrap();
    }

    /// The size that a release of this version reads.
    async fn read(&self, version: u32) -> Result<Option<i64>, StoreError> {
        let reader = Reader::new(self.store.as_ref(), (NAME, version), &THINGS);
        let got = reader.get("a".to_owned()).await?.map(|thing| thing.size);
        let page = reader.find(vec![], Order::ascending("size"), PageRequest::first(5)).await?;
        assert_eq!(page.items.first().map(|thing| thing.size), got);
        Ok(got)
    }
}

#[tokio::test]
async fn without_an_alias_the_first_build_of_the_release_is_live() {
    let stage = Stage::new();
    stage.build(&ProjectionId::new(NAME, 1), 1).await;
    assert_eq!(stage.read(1).await, Ok(Some(1)));
}

#[tokio::test]
async fn the_query_after_a_swap_reads_the_other_build() {
    let stage = Stage::new();
    let first = ProjectionId::new(NAME, 1);
    stage.build(&first, 1).await;
    stage.build(&first.with_build(1), 2).await;
    assert_eq!(stage.read(1).await, Ok(Some(1)));
    stage.set_live(&first.with_build(1), &[]).await;
    assert_eq!(stage.read(1).await, Ok(Some(2)));
    stage.store.drop_projection(&first).await.unwrap();
    assert_eq!(stage.read(1).await, Ok(Some(2)));
    stage.set_live(&first, &[]).await;
    assert!(matches!(stage.read(1).await, Err(StoreError::Refused(_))), "what is not there is not made up");
}

#[tokio::test]
async fn until_a_release_has_built_its_version_the_one_before_answers_what_it_can() {
    let stage = Stage::new();
    let (old, new) = (ProjectionId::new(NAME, 1), ProjectionId::new(NAME, 2));
    stage.build(&old, 1).await;
    stage.store.prepare(&new, &[GROWN.spec]).await.unwrap();
    stage.set_live(&old, &[]).await;
    assert_eq!(stage.read(2).await, Ok(Some(1)), "its documents decode");
    let grown = Reader::new(stage.store.as_ref(), (NAME, 2), &GROWN);
    let got = grown.get("a".to_owned()).await;
    assert!(matches!(&got, Err(StoreError::Unavailable(why)) if why.contains("sample_v2")), "{got:?}");
    let found = grown.find(vec![], Order::ascending("weight"), PageRequest::first(5)).await;
    assert!(matches!(found, Err(StoreError::Unavailable(_))), "{found:?}");
}

#[tokio::test]
async fn a_release_that_was_overtaken_reads_its_own_version_until_that_is_dropped() {
    let stage = Stage::new();
    let (old, new) = (ProjectionId::new(NAME, 1).with_build(4), ProjectionId::new(NAME, 2));
    stage.build(&old, 1).await;
    stage.build(&new, 2).await;
    stage.set_live(&new, &[(1, 4)]).await;
    assert_eq!(stage.read(1).await, Ok(Some(1)));
    assert_eq!(stage.read(2).await, Ok(Some(2)));
    stage.set_live(&new, &[]).await;
    assert!(matches!(stage.read(1).await, Err(StoreError::Unavailable(_))));
}
