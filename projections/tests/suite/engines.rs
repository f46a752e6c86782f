//! The engines that every contract test runs over. Another engine is another line in [`over_every_engine`].

use std::{sync::Arc, time::Duration};

use projections::{MongoOptions, Projection, ReadStore, StoreOptions};
use tempfile::TempDir;

use crate::members;

/// An open store that goes away with the test.
pub(crate) struct Fixture {
    pub(crate) store: Arc<dyn ReadStore>,
    _folder: Option<TempDir>,
    /// The url, and the first word of the databases to be dropped when the test is over.
    pub(crate) cleared: Option<(String, String)>,
}

/// A fresh SQLite store.
pub(crate) fn sqlite() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store =
        projections::open(&StoreOptions::at(format!("embedded:{}", folder.path().display()))).unwrap();
    Fixture { store, _folder: Some(folder), cleared: None }
}

/// A fresh store in the MongoDB of the stack.
pub(crate) fn mongodb() -> Fixture {
    in_mongodb(members::of_stack())
}

/// A fresh store in a replica set of three.
pub(crate) fn three_members() -> Fixture {
    in_mongodb(members::of_three().url.clone())
}

fn in_mongodb(url: String) -> Fixture {
    let prefix = fresh_prefix();
    let store = projections::open(&mongo_options(&url, &prefix)).unwrap();
    Fixture { store, _folder: None, cleared: Some((url, prefix)) }
}

/// The first word of databases that no other test uses.
pub(crate) fn fresh_prefix() -> String {
    let uuid = uuid::Uuid::now_v7().simple().to_string();
    format!("t{}", &uuid[12..])
}

/// How tests open a store in MongoDB: few connections, and patience with servers that share a machine with builds.
pub(crate) fn mongo_options(url: &str, prefix: &str) -> StoreOptions {
    let mongodb = MongoOptions {
        database_prefix: prefix.to_owned(),
        connections_min: 0,
        selection_timeout: Duration::from_secs(20),
        ..MongoOptions::default()
    };
    StoreOptions { mongodb, ..StoreOptions::at(url) }
}

impl Fixture {
    /// Makes the collections of `projection`.
    pub(crate) async fn prepare(&self, projection: &dyn Projection) {
        self.store.prepare(&projection.id(), projection.collections()).await.unwrap();
    }

    /// Takes away what the test has made on a server that others use as well.
    pub(crate) async fn clear(self) {
        if let Some((url, prefix)) = self.cleared {
            members::drop_databases(&url, &prefix).await;
        }
    }
}

/// Runs each test function, which takes `&dyn ReadStore`, over a fresh store of every engine.
macro_rules! over_every_engine {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                let fixture = crate::engines::sqlite();
                super::$test(fixture.store.as_ref()).await;
            })*
        }
        mod mongodb {
            $(#[tokio::test]
            #[ignore = "needs the stack"]
            async fn $test() {
                let fixture = crate::engines::mongodb();
                super::$test(fixture.store.as_ref()).await;
                fixture.clear().await;
            })*
        }
        mod mongodb_of_three {
            $(#[tokio::test]
            #[ignore = "needs the stack"]
            async fn $test() {
                let fixture = crate::engines::three_members();
                super::$test(fixture.store.as_ref()).await;
                fixture.clear().await;
            })*
        }
    };
}
pub(crate) use over_every_engine;
