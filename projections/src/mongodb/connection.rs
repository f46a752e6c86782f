//! The client: connected when it is first needed, checked for what the store rests on, bounded in time.
//!
//! Reads are causally consistent within a process: each carries the time of the latest operation that the process has
//! seen done, and the member that answers waits until it has that. So a checkpoint that was read is never newer than the
//! documents read after it, across elections and on secondaries.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mongodb::{
    Client, ClientSession, Collection, Database,
    bson::{Document, RawDocumentBuf, Timestamp, doc},
    error::Error,
    options::{
        ClientOptions, CollectionOptions, ConnectionString, ReadConcern, ReadPreference, SelectionCriteria,
        WriteConcern,
    },
};
use tokio::sync::OnceCell;

use super::failure::Failure;
use crate::{StoreError, options, options::StoreOptions};

/// How long to look whether a server that cannot be used stands alone.
const PROBE: Duration = Duration::from_secs(2);

const STANDALONE: &str = "is a standalone server, which has no transactions: start mongod with --replSet rs0, run \
    rs.initiate() once (a single member will do), and name the set in the url: mongodb://HOST:PORT/?replicaSet=rs0";

/// See the module.
pub(super) struct Connection {
    url: ConnectionString,
    pub(super) settings: options::MongoOptions,
    client: OnceCell<Client>,
    /// When the latest operation was done that this process has seen, as the servers count time.
    seen: Mutex<Option<Timestamp>>,
}

impl Connection {
    /// Reads the url; nothing is connected to yet.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when it makes no sense.
    pub(super) fn new(options: &StoreOptions) -> Result<Self, StoreError> {
        let url = ConnectionString::parse(&options.url).map_err(|error| {
            let url = options::masked(&options.url);
            StoreError::Refused(format!("the read store's url {url} cannot be read: {}", error.kind))
        })?;
        let prefix = &options.mongodb.database_prefix;
        // MongoDB takes 63 bytes at most, and an underscore and a service's name come behind.
        if prefix.len() > 40 || !crate::layout::is_plain(prefix) {
            let reason = format!("the prefix of databases is [a-z0-9_]+, 40 letters at most, not {prefix:?}");
            return Err(StoreError::Refused(reason));
        }
        Ok(Self { url, settings: options.mongodb.clone(), client: OnceCell::new(), seen: Mutex::default() })
    }

    /// What transactions of this read store are known by on the servers.
    pub(super) fn application(&self) -> String {
        format!("guildhall read store {}", self.settings.database_prefix)
    }

    /// The client, once the servers were seen to be fit.
    pub(super) async fn client(&self) -> Result<&Client, Failure> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Client, Failure> {
        let options = self.client_options().await?;
        let client = Client::with_options(options.clone())?;
        let asking = async { Ok(client.database("admin").run_command(doc! { "hello": 1 }).await?) };
        match self.within(asking).await {
            Ok(hello) => {
                check(&hello)?;
                Ok(client)
            }
            Err(failure) => {
                // A server without a set is not even looked at when the url names one.
                if stands_alone(options).await {
                    return Err(StoreError::Refused(format!("MongoDB {STANDALONE}")).into());
                }
                Err(failure)
            }
        }
    }

    async fn client_options(&self) -> Result<ClientOptions, Error> {
        let settings = &self.settings;
        let mut options = ClientOptions::parse(self.url.clone()).await?;
        options.app_name = Some(self.application());
        options.max_pool_size = Some(settings.connections_max.max(1));
        options.min_pool_size = Some(settings.connections_min.min(settings.connections_max));
        options.connect_timeout = Some(settings.connect_timeout);
        options.server_selection_timeout = Some(settings.selection_timeout);
        options.read_concern = Some(ReadConcern::majority());
        options.write_concern = Some(WriteConcern::majority());
        options.selection_criteria = None;
        Ok(options)
    }

    /// A session that knows what this process has seen.
    pub(super) async fn session(&self) -> Result<ClientSession, Failure> {
        let mut session = self.client().await?.start_session().await?;
        if let Some(seen) = *self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
            session.advance_operation_time(seen);
        }
        Ok(session)
    }

    /// What was done in the session counts as seen.
    pub(super) fn saw(&self, session: &ClientSession) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = (*seen).max(session.operation_time());
    }

    /// The database, read from the primary.
    pub(super) async fn database(&self, name: &str) -> Result<Database, Failure> {
        Ok(self.client().await?.database(name))
    }

    /// The collection, as queries read it.
    pub(super) async fn queried(
        &self,
        database: &str,
        collection: &str,
    ) -> Result<Collection<RawDocumentBuf>, Failure> {
        let options = CollectionOptions::builder()
            .selection_criteria(self.selection_criteria())
            .read_concern(ReadConcern::majority())
            .build();
        Ok(self.database(database).await?.collection_with_options(collection, options))
    }

    /// Which members answer queries.
    pub(super) fn selection_criteria(&self) -> SelectionCriteria {
        let options = None;
        SelectionCriteria::ReadPreference(match self.settings.read_preference {
            options::ReadPreference::Primary => ReadPreference::Primary,
            options::ReadPreference::PrimaryPreferred => ReadPreference::PrimaryPreferred { options },
            options::ReadPreference::Secondary => ReadPreference::Secondary { options },
            options::ReadPreference::SecondaryPreferred => ReadPreference::SecondaryPreferred { options },
            options::ReadPreference::Nearest => ReadPreference::Nearest { options },
        })
    }

    /// Runs `operation` for as long as one may take: a server that is frozen answers nothing and closes nothing.
    pub(super) async fn within<T>(
        &self,
        operation: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let bound = self.settings.operation_timeout;
        tokio::time::timeout(bound, operation).await.unwrap_or_else(|_| {
            let reason = format!("MongoDB has not answered within {} ms", bound.as_millis());
            Err(StoreError::Unavailable(reason).into())
        })
    }
}

/// A member of a replica set, or the router of a sharded cluster, has transactions.
fn check(hello: &Document) -> Result<(), StoreError> {
    if hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|word| word == "isdbgrid") {
        return Ok(());
    }
    Err(StoreError::Refused(format!("MongoDB {STANDALONE}")))
}

/// Whether the first server of the url answers, and belongs to no set.
async fn stands_alone(mut options: ClientOptions) -> bool {
    options.repl_set_name = None;
    options.direct_connection = Some(true);
    options.hosts.truncate(1);
    options.min_pool_size = None;
    options.server_selection_timeout = Some(PROBE);
    let Ok(client) = Client::with_options(options) else { return false };
    let asking = async { client.database("admin").run_command(doc! { "hello": 1 }).await };
    match tokio::time::timeout(PROBE, asking).await {
        Ok(Ok(hello)) => check(&hello).is_err(),
        Ok(Err(_)) | Err(_) => false,
    }
}
