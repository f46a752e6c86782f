//! The house: everything one process runs, opened in order and closed in reverse.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use commands::{
    Executor, ExecutorSettings,
    test_clock::{TestClock, the_test_clock},
};
use events::{
    LogId,
    keys::{KeyError, KeyRing, MasterKey},
    log::{EventLog, LogError, LogOptions},
    snapshots::SnapshotStore,
    time::DomainClock,
};
use projections::{
    Projection, ReadStore, StoreError, effects,
    money::{ledger, unreconciled},
    steps, timers,
};
use sandbox::Sandbox;
use secrecy::ExposeSecret;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::Instant};
use workers::{
    Effects, Managers, WorkerSettings, Workers, payments::PaymentProvider, reconciliation::Reconciler,
};

use crate::{
    app::{App, Documents, Parts},
    metering,
    providing::Providing,
    routes,
    security::{links::Links, passwords::Passwords, tokens::Tokens},
    server,
    settings::{Profile, Role, Settings},
};

/// How long a command at the command line waits for what others have written.
const CATCH_UP_WAIT: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a process that starts pauses before it asks again for a read store that is away.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// Why the house could not be opened, in words for who starts it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the data folder.
    #[error(
        "the data folder {folder} is in use by another process: stop that one first (or use its HTTP API), \
         or name another folder with GUILDHALL_DATA"
    )]
    Locked {
        /// The folder.
        folder: String,
    },
    /// The log cannot be opened.
    #[error(transparent)]
    Log(LogError),
    /// The keys of personal data cannot be opened.
    #[error("the key file cannot be opened: {0}")]
    Keys(#[from] KeyError),
    /// Something of the process itself.
    #[error("{0}")]
    Process(String),
}

/// Log, keys, executor, read store and workers, for whoever works on the data folder.
pub struct House {
    /// What handlers reach.
    pub app: App,
    sandbox: Option<Sandbox>,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").finish_non_exhaustive()
    }
}

impl House {
    /// Opens the data folder, lets nothing run by itself, and waits until it knows what others have written. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(mut settings: Settings) -> Result<Self, OpenError> {
        settings.workers.projectors = false;
        settings.workers.processes = false;
        let house = Self::open_whole(settings, None).await?;
        house.until_current().await?;
        Ok(house)
    }

    /// Where the log is shared, the copy and the keys are those of an earlier time, or none.
    async fn until_current(&self) -> Result<(), OpenError> {
        let deadline = Instant::now() + CATCH_UP_WAIT;
        while self.app.log.status().age.is_none() {
            if Instant::now() >= deadline {
                let behind = self.app.log.status().behind;
                return Err(OpenError::Process(format!(
                    "the copy of the log does not catch up, {behind} records are left; try again, it goes on from there"
                )));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let keys = Arc::clone(&self.app.keys);
        let caught_up = tokio::task::spawn_blocking(move || keys.catch_up(CATCH_UP_WAIT)).await;
        caught_up.map_err(|error| OpenError::Process(error.to_string()))??;
        Ok(())
    }

    /// Opens the data folder, with the workers that the settings name; a payment provider sends its webhooks to `address`.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_with_workers(settings: Settings, address: SocketAddr) -> Result<Self, OpenError> {
        Self::open_whole(settings, Some(address)).await
    }

    /// Without an address nobody is asked to move money.
    async fn open_whole(mut settings: Settings, address: Option<SocketAddr>) -> Result<Self, OpenError> {
        // By that the workers over the same read store know this one.
        settings.workers.name = address.map(|address| address.to_string()).unwrap_or_default();
        let log = open_log(&settings, false)?;
        let master = MasterKey::from_hex(settings.secrets.master_key.expose_secret())?;
        let keys = Arc::new(open_keys(&settings, &master, log.id())?);
        let clock = DomainClock::new();
        let executor = start_executor(&settings, &log, &clock)?;
        set_clock(&settings, &executor, &clock).await?;
        let store = open_store(&settings, log.id(), address.is_some()).await?;
        let providing = match address {
            Some(address) => Providing::start(&settings, address).await?,
            None => Providing::nobody(),
        };
        follow_clock(&providing, &clock).await;
        let workers = start_workers(&settings, &log, &store, &executor, &keys, &clock, &providing);
        let reconciles = settings.workers.processes && settings.workers.reconciliation;
        if let Some(provider) = providing.provider.clone().filter(|_| reconciles) {
            let reconciler =
                Reconciler::new(executor.clone(), Arc::clone(&log), Arc::clone(&store), provider);
            workers.reconcile(reconciler, settings.workers.clone());
        }
        let parts = Parts {
            workers,
            executor,
            log,
            store,
            clock,
            keys,
            tokens: Tokens::new(&settings.auth),
            passwords: Passwords::new(&settings.auth).map_err(OpenError::Process)?,
            links: Links::new(&settings.secrets),
            documents: Documents::render(),
            provider: providing.provider,
            settings,
        };
        Ok(Self { app: App::new(parts), sandbox: providing.embedded })
    }

    /// Lets workers and commands finish what they are at, then closes the files.
    pub async fn close(self) {
        self.app.workers.shutdown().await;
        let patience = Duration::from_millis(self.app.settings.http.drain_timeout_ms);
        self.app.executor.close(patience).await;
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
        let log = Arc::clone(&self.app.log);
        if tokio::task::spawn_blocking(move || log.close()).await.is_err() {
            tracing::error!("closing the log broke off");
        }
    }
}

/// The log in the data folder; `read_only` also while another process has it.
///
/// # Errors
/// See [`OpenError`].
pub fn open_log(settings: &Settings, read_only: bool) -> Result<Arc<dyn EventLog>, OpenError> {
    let folder = settings.data.display().to_string();
    let options = LogOptions { read_only, ..settings.log.options(&settings.data) };
    events::log::open(&options).map_err(|error| match error {
        LogError::Locked => OpenError::Locked { folder },
        error => OpenError::Log(error),
    })
}

/// The keys of personal data: a file, which follows the topic of keys where the log is shared.
fn open_keys(settings: &Settings, master: &MasterKey, log: LogId) -> Result<KeyRing, KeyError> {
    let file = settings.data.join("keys.db");
    if settings.log.is_shared() {
        return KeyRing::open_shared(&file, master, log, &settings.log.options(&settings.data));
    }
    KeyRing::open(&file, master)
}

/// The read store, with the collections of every projection made, so that queries are answered from the first moment. What
/// another log has left in it is dropped by the process that builds it anew.
async fn open_store(settings: &Settings, log: LogId, serves: bool) -> Result<Arc<dyn ReadStore>, OpenError> {
    let failed = |error| OpenError::Process(format!("the read store cannot be opened: {error}"));
    let store = projections::open(&settings.read_store.options(&settings.data)).map_err(failed)?;
    // A command at the command line asks no read model.
    if serves {
        await_store(settings, log, store.as_ref()).await.map_err(failed)?;
    }
    Ok(store)
}

/// Prepares the read store, once it is there.
async fn await_store(settings: &Settings, log: LogId, store: &dyn ReadStore) -> Result<(), StoreError> {
    let deadline = Instant::now() + Duration::from_millis(settings.read_store.start_wait_ms);
    let mut told = false;
    loop {
        match prepare_store(settings, log, store).await {
            Err(StoreError::Unavailable(reason))
                if settings.read_store.is_shared() && Instant::now() < deadline =>
            {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%reason, "the read store is away; it is waited for");
                }
                tokio::time::sleep(STORE_AGAIN).await;
            }
            prepared => return prepared,
        }
    }
}

async fn prepare_store(settings: &Settings, log: LogId, store: &dyn ReadStore) -> Result<(), StoreError> {
    if settings.runs_projectors() {
        workers::drop_foreign(store, log).await?;
    }
    for projection in projections_of(settings) {
        workers::prepare_live(store, projection.as_ref()).await?;
    }
    Ok(())
}

/// The read models that a process keeps, or reads: where each has a read store of its own, queries are the gateways', steps,
/// timers and effects the workers'. Both have the ledger: gateways to show it, workers to compare it with the provider's
/// books. Where they share one the workers keep all of it.
fn projections_of(settings: &Settings) -> Vec<Arc<dyn Projection>> {
    let is_one_of = |projection: &Arc<dyn Projection>, names: &[&str]| names.contains(&projection.name());
    let of_managers = [steps::ID.0, timers::ID.0, effects::ID.0];
    let of_books = [ledger::ID.0, unreconciled::ID.0];
    let wanted = |projection: &Arc<dyn Projection>| match settings.role {
        Role::Whole => true,
        Role::Gateway => !is_one_of(projection, &of_managers),
        Role::Worker => {
            settings.read_store.is_shared()
                || is_one_of(projection, &of_managers)
                || is_one_of(projection, &of_books)
        }
    };
    projections::all().into_iter().filter(wanted).collect()
}

fn start_workers(
    settings: &Settings,
    log: &Arc<dyn EventLog>,
    store: &Arc<dyn ReadStore>,
    executor: &Executor,
    keys: &Arc<KeyRing>,
    clock: &DomainClock,
    providing: &Providing,
) -> Workers {
    let projections = projections_of(settings);
    let settings = WorkerSettings {
        test_clock: settings.profile == Profile::Development,
        projectors: settings.runs_projectors(),
        shared: settings.read_store.is_shared(),
        ..settings.workers.clone()
    };
    let managers = Managers::new(executor.clone(), Arc::clone(keys));
    let effects = providing.provider.as_ref().map(|provider| {
        let provider = Arc::clone(provider) as Arc<dyn PaymentProvider>;
        Effects::new(executor.clone(), provider)
    });
    let (log, store) = (Arc::clone(log), Arc::clone(store));
    Workers::start(projections, Arc::new(managers), effects, log, store, clock.clone(), settings)
}

fn start_executor(
    settings: &Settings,
    log: &Arc<dyn EventLog>,
    clock: &DomainClock,
) -> Result<Executor, OpenError> {
    let snapshots = SnapshotStore::open(&settings.data.join("snapshots.db"), log.id())
        .map_err(|error| OpenError::Process(format!("the snapshots' file cannot be opened: {error}")))?;
    let policy = Arc::new(settings.policy.clone());
    let snapshots = Some(Arc::new(snapshots));
    let bounds =
        ExecutorSettings { deadline_ms: settings.log.command_deadline_ms, ..ExecutorSettings::default() };
    Ok(Executor::start(Arc::clone(log), policy, clock.clone(), snapshots, bounds))
}

/// Domain time goes on where it was. In production there is no other time than the machine's.
pub(crate) async fn set_clock(
    settings: &Settings,
    executor: &Executor,
    clock: &DomainClock,
) -> Result<(), OpenError> {
    let moved = executor.load::<TestClock>(the_test_clock()).await;
    let offset_ms = moved.map_err(|outage| OpenError::Process(outage.to_string()))?.state.offset_ms();
    if settings.profile == Profile::Production && offset_ms != 0 {
        return Err(OpenError::Process(
            "the test clock of this log was moved: it is a development log and is not served in production"
                .into(),
        ));
    }
    clock.set_offset_ms(offset_ms);
    Ok(())
}

/// The sandbox's clock goes where domain time is. A sandbox that is away is told with the next move.
async fn follow_clock(providing: &Providing, clock: &DomainClock) {
    let Some(provider) = &providing.provider else { return };
    let offset_ms = u64::try_from(clock.offset_ms()).unwrap_or(0);
    if offset_ms > 0
        && let Err(error) = provider.move_clock_to(offset_ms).await
    {
        tracing::warn!(%error, "the sandbox's clock was not moved to where domain time is");
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// What its handlers reach.
    pub app: App,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Opens the house and serves it on `settings.listen`.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn start(settings: Settings) -> Result<Self, OpenError> {
        metering::recorder();
        let listener = TcpListener::bind(settings.listen)
            .await
            .map_err(|error| OpenError::Process(format!("cannot listen on {}: {error}", settings.listen)))?;
        let address = listener.local_addr().map_err(|error| OpenError::Process(error.to_string()))?;
        let house = House::open_with_workers(settings, address).await?;
        let (stop, stopped) = oneshot::channel();
        let app = house.app.clone();
        let router = routes::router(app.clone());
        let http = app.settings.http.clone();
        let task = tokio::spawn(async move {
            let upkeep = tokio::spawn(metering::upkeep());
            let until = async move {
                // A dropped sender stops the server as well.
                let _ = stopped.await;
            };
            server::serve(listener, router, &http, until).await;
            upkeep.abort();
            house.close().await;
        });
        Ok(Self { address, app, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, finishes what is under way within its bound, closes everything.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        if self.task.await.is_err() {
            tracing::error!("the server broke off");
        }
    }
}
