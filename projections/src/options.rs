//! Which read store, and how much it may take.

use std::{collections::BTreeSet, fmt, path::PathBuf, sync::Arc, time::Duration};

use events::Partition;

use crate::{
    Checkpoint, ProjectionId, ReadStore, StoreError,
    mongodb::MongoStore,
    sqlite::{self, SqliteStore},
};

/// Where the read store is and what it may use.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// `embedded:<folder>`: SQLite, in the file `read.db` of that folder. `mongodb://…`: the databases of a replica set.
    pub url: String,
    /// Connections for queries: as many can be answered at once. SQLite.
    pub readers: usize,
    /// Page cache of the writer, KiB. SQLite.
    pub writer_cache_kib: u32,
    /// Page cache of each reader, KiB. SQLite.
    pub reader_cache_kib: u32,
    /// A write-ahead log of this many bytes is copied back by a thread of its own; at four times as many, writes wait.
    /// SQLite.
    pub wal_bytes: u64,
    /// What only MongoDB needs.
    pub mongodb: MongoOptions,
}

/// What a read store in MongoDB may use beside its url. What the url says of these is overruled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MongoOptions {
    /// The first word of every database: `guildhall` has `guildhall_jobs`, `guildhall_shared`, … A server can carry
    /// several read stores.
    pub database_prefix: String,
    /// Connections to each server at most, at least 1; what needs one more waits.
    pub connections_max: u32,
    /// Connections to each server that are kept open.
    pub connections_min: u32,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long to wait for a server that can do what is asked: for a new primary, mostly.
    pub selection_timeout: Duration,
    /// How long one read, or one attempt at a transaction, may take.
    pub operation_timeout: Duration,
    /// For how long a transaction is tried again after failures that pass by themselves.
    pub retry_for: Duration,
    /// Which members of the replica set answer queries. Whatever is written from is read from the primary.
    pub read_preference: ReadPreference,
}

/// Which members of a replica set answer queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadPreference {
    /// The primary.
    #[default]
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

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            url: "embedded:./data".into(),
            readers: 4,
            writer_cache_kib: 16 * 1024,
            reader_cache_kib: 1024,
            wal_bytes: 64 * 1024 * 1024,
            mongodb: MongoOptions::default(),
        }
    }
}

impl Default for MongoOptions {
    fn default() -> Self {
        Self {
            database_prefix: "guildhall".into(),
            connections_max: 50,
            connections_min: 5,
            connect_timeout: Duration::from_secs(5),
            selection_timeout: Duration::from_secs(5),
            operation_timeout: Duration::from_secs(30),
            retry_for: Duration::from_secs(15),
            read_preference: ReadPreference::default(),
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("url", &masked(&self.url))
            .field("mongodb", &self.mongodb)
            .finish_non_exhaustive()
    }
}

/// The url without the secrets in it, for people to read.
pub fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // The last one counts, in case an `@` of the password was not escaped.
    let (user, rest) = match rest.rfind('@') {
        Some(at) => ("********@", &rest[at + 1..]),
        None => ("", rest),
    };
    let (hosts, query) = rest.split_once('?').unwrap_or((rest, ""));
    let options: Vec<String> = query.split('&').map(masked_option).collect();
    let question = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{user}{hosts}{question}{}", options.join("&"))
}

fn masked_option(option: &str) -> String {
    let (name, _) = option.split_once('=').unwrap_or((option, ""));
    let secret =
        ["password", "authmechanismproperties"].iter().any(|word| name.to_lowercase().contains(word));
    if secret { format!("{name}=********") } else { option.to_owned() }
}

enum Engine {
    Embedded(PathBuf),
    MongoDb,
}

impl StoreOptions {
    /// The defaults, for the store at `url`.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    fn engine(&self) -> Result<Engine, StoreError> {
        match self.url.split_once(':') {
            Some(("embedded", folder)) if !folder.is_empty() => Ok(Engine::Embedded(PathBuf::from(folder))),
            Some(("mongodb" | "mongodb+srv", _)) => Ok(Engine::MongoDb),
            Some(_) | None => Err(StoreError::Refused(
                "there is no such read store; write embedded:<folder> for the one in a folder, or \
                 mongodb://HOST:PORT[,HOST:PORT…]/?replicaSet=NAME for a replica set"
                    .to_owned(),
            )),
        }
    }

    /// Whether other processes can write and read the same store.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a url that names no engine, or that its engine cannot read.
    pub fn is_shared(&self) -> Result<bool, StoreError> {
        match self.engine()? {
            Engine::Embedded(_) => Ok(false),
            Engine::MongoDb => MongoStore::check(self).map(|()| true),
        }
    }
}

/// Opens the read store. Blocks on a file for a moment: call it at the start. A store in MongoDB is connected to when it is
/// first asked for something, and again whenever it has been away.
///
/// # Errors
/// [`StoreError::Refused`] for an unknown engine, a url that makes no sense, a damaged file or one of another format;
/// [`StoreError::Unavailable`] when the folder cannot be written.
pub fn open(options: &StoreOptions) -> Result<Arc<dyn ReadStore>, StoreError> {
    match options.engine()? {
        Engine::Embedded(folder) => Ok(Arc::new(SqliteStore::open(&folder, options)?)),
        Engine::MongoDb => Ok(Arc::new(MongoStore::open(options)?)),
    }
}

/// How far every build of every projection has read these partitions, for whoever only wants to know: nothing is made, and a
/// file is only read, also while another process writes it.
///
/// # Errors
/// What the store says.
pub async fn positions(
    options: &StoreOptions,
    partitions: &[Partition],
) -> Result<Vec<(ProjectionId, Partition, Checkpoint)>, StoreError> {
    let store: Arc<dyn ReadStore> = match options.engine()? {
        Engine::Embedded(folder) => {
            let read = tokio::task::spawn_blocking(move || sqlite::positions(&folder)).await;
            return read.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        }
        Engine::MongoDb => Arc::new(MongoStore::open(options)?),
    };
    let mut found = Vec::new();
    let origins = store.origins().await?;
    let projections: BTreeSet<&ProjectionId> = origins.iter().map(|(projection, _)| projection).collect();
    for projection in projections {
        for partition in partitions {
            let checkpoint = store.checkpoint(projection, *partition).await?;
            found.extend(checkpoint.map(|checkpoint| (projection.clone(), *partition, checkpoint)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let shown = "mongodb://********@host:27017/?replicaSet=rs0";
        assert_eq!(masked("mongodb://user:secret@host:27017/?replicaSet=rs0"), shown);
        assert_eq!(masked("mongodb://user:se/c@ret@host:27017/?replicaSet=rs0"), shown);
        assert_eq!(masked("mongodb://host:1,other:2/?a=b"), "mongodb://host:1,other:2/?a=b");
        assert_eq!(
            masked("mongodb://h/?tlsCertificateKeyFilePassword=x&a=b"),
            "mongodb://h/?tlsCertificateKeyFilePassword=********&a=b"
        );
        assert_eq!(masked("embedded:./data"), "embedded:./data");
        let options = StoreOptions::at("mongodb://user:secret@host");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
