//! The read store's settings: where read models are kept, and what a store in MongoDB may use.

use std::{path::Path, time::Duration};

use projections::{MongoOptions, ReadPreference, StoreOptions};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// Where read models are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadStoreSettings {
    /// `embedded`, or `mongodb://…`. There may be a password in it.
    pub url: SecretString,
    /// The first word of every database.
    pub database_prefix: String,
    /// Connections to each server at most.
    pub connections_max: u32,
    /// Connections to each server that are kept open.
    pub connections_min: u32,
    /// How long making a connection may take.
    pub connect_timeout_ms: u64,
    /// How long to wait for a server that can do what is asked.
    pub selection_timeout_ms: u64,
    /// How long one read, or one attempt at a transaction, may take.
    pub operation_timeout_ms: u64,
    /// For how long a transaction is tried again.
    pub retry_ms: u64,
    /// Which members answer queries.
    pub read_preference: Members,
    /// How long a process that starts waits for the store.
    pub start_wait_ms: u64,
}

/// Which members of a replica set answer queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Members {
    /// The primary.
    Primary,
    /// The primary; others while there is none.
    PrimaryPreferred,
    /// Others than the primary.
    Secondary,
    /// Others than the primary; the primary when there are none.
    SecondaryPreferred,
    /// Whichever answers fastest.
    Nearest,
}

impl From<Members> for ReadPreference {
    fn from(members: Members) -> Self {
        match members {
            Members::Primary => Self::Primary,
            Members::PrimaryPreferred => Self::PrimaryPreferred,
            Members::Secondary => Self::Secondary,
            Members::SecondaryPreferred => Self::SecondaryPreferred,
            Members::Nearest => Self::Nearest,
        }
    }
}

impl ReadStoreSettings {
    /// How to open the read store of a process whose folder is `folder`.
    pub fn options(&self, folder: &Path) -> StoreOptions {
        let url = match self.url.expose_secret() {
            "embedded" => format!("embedded:{}", folder.display()),
            url => url.to_owned(),
        };
        let mongodb = MongoOptions {
            database_prefix: self.database_prefix.clone(),
            connections_max: self.connections_max,
            connections_min: self.connections_min,
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            selection_timeout: Duration::from_millis(self.selection_timeout_ms),
            operation_timeout: Duration::from_millis(self.operation_timeout_ms),
            retry_for: Duration::from_millis(self.retry_ms),
            read_preference: self.read_preference.into(),
        };
        StoreOptions { mongodb, ..StoreOptions::at(url) }
    }

    /// Whether other processes can write and read the same read models.
    pub fn is_shared(&self) -> bool {
        self.options(Path::new(".")).is_shared().unwrap_or(false)
    }
}
