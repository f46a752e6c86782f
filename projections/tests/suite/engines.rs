//! The engines that every contract test runs over. Another engine is another line in [`over_every_engine`].

use std::sync::Arc;

use projections::{Projection, ReadStore, StoreOptions};
use tempfile::TempDir;

/// An open store that goes away with the test.
pub(crate) struct Fixture {
    pub(crate) store: Arc<dyn ReadStore>,
    _folder: TempDir,
}

/// A fresh SQLite store.
pub(crate) fn sqlite() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store =
        projections::open(&StoreOptions::at(format!("embedded:{}", folder.path().display()))).unwrap();
    Fixture { store, _folder: folder }
}

impl Fixture {
    /// Makes the collections of `projection`.
    pub(crate) async fn prepare(&self, projection: &dyn Projection) {
        self.store.prepare(&projection.id(), projection.collections()).await.unwrap();
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
    };
}
pub(crate) use over_every_engine;
