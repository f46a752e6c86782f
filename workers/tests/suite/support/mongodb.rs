//! Read stores in the MongoDB of the stack.

use std::time::Duration;

use ::projections::{MongoOptions, ProjectionId, StoreOptions, open};

/// A store that no other test uses.
pub struct FreshStore {
    pub options: StoreOptions,
}

/// The url of the stack under which the tests run.
pub fn of_stack() -> String {
    std::env::var("GUILDHALL_STACK_MONGO").unwrap_or_else(|_| {
        let missing = std::env::var("GUILDHALL_STACK_MISSING").unwrap_or_else(|_| "there is no stack".into());
        panic!("needs the stack: run the tests under `compose/stack run --only mongo` ({missing})")
    })
}

/// Options of a store with databases of its own.
pub fn fresh() -> FreshStore {
    let uuid = uuid::Uuid::now_v7().simple().to_string();
    let mongodb = MongoOptions {
        database_prefix: format!("w{}", &uuid[12..]),
        connections_min: 0,
        selection_timeout: Duration::from_secs(20),
        ..MongoOptions::default()
    };
    FreshStore { options: StoreOptions { mongodb, ..StoreOptions::at(of_stack()) } }
}

impl FreshStore {
    /// Drops what was written.
    pub async fn clear(self) {
        let store = open(&self.options).unwrap();
        let mut built: Vec<ProjectionId> =
            store.origins().await.unwrap().into_iter().map(|(projection, _)| projection).collect();
        built.dedup();
        for projection in built {
            store.drop_projection(&projection).await.unwrap();
        }
    }
}
