//! Compares all books: the ledger with the aggregates, and with what the payment provider says that it has of ours.
//!
//! Money moves while it is compared, so everything is compared by one cut. [`ledger`] makes it: the ledger's totals, which
//! say up to which event of each partition they reach. [`aggregates`] folds escrows, wallets and payments up to that very
//! event. [`provider`] is asked afterwards, so all that the ledger has was done there before; what was done there and
//! is not in the cut yet is on its way, and is told apart by our reference, entry by entry. [`compare`] is a pure function
//! of the three; its result is an event.
//!
//! A comparison is done every day of domain time, and whenever an administrator asks for one. Who finds one that is not done does
//! it: should two do it at once, the first result counts.

use std::{sync::Arc, time::Duration};

use commands::{
    Actor, CommandError, Executor, Request,
    reconciliation::{Reconciliation, ReconciliationCommand},
};
use events::{
    Timestamp,
    envelope::CommandHash,
    ids::{CommandId, ReconciliationId},
    log::{EventLog, LogError},
    vocabulary::payments::ReconciliationCompleted,
};
use projections::{
    PageRequest, Projection, ReadStore, StoreError,
    money::{
        ledger::Ledger,
        unreconciled::{self, RunStatus, Unreconciled},
    },
};
use tokio::sync::watch;

pub mod aggregates;
pub mod compare;
pub mod ledger;
pub mod provider;

use crate::{
    backoff::Backoff,
    builds::prepare_live,
    payments::{PaymentProvider, ProviderError},
    settings::WorkerSettings,
};

/// Why books could not be compared now. It is tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The read store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log.
    #[error("the log cannot be read: {0}")]
    Log(#[from] LogError),
    /// The provider.
    #[error("the provider: {0}")]
    Provider(#[from] ProviderError),
    /// Anything else, in words.
    #[error("{0}")]
    NotNow(String),
}

/// Compares the books of one marketplace with one provider's.
#[derive(Clone)]
pub struct Reconciler {
    executor: Executor,
    log: Arc<dyn EventLog>,
    store: Arc<dyn ReadStore>,
    provider: Arc<dyn PaymentProvider>,
}

impl std::fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}

impl Reconciler {
    /// Compares what `store` has folded of `log` with the books of `provider`; results are told through `executor`.
    pub fn new(
        executor: Executor,
        log: Arc<dyn EventLog>,
        store: Arc<dyn ReadStore>,
        provider: Arc<dyn PaymentProvider>,
    ) -> Self {
        Self { executor, log, store, provider }
    }

    /// Compares all books now. `since`: a moment of domain time before the comparison began.
    ///
    /// # Errors
    /// See [`ReconcileError`]; nothing was changed.
    pub async fn compare(&self, since: Timestamp) -> Result<ReconciliationCompleted, ReconcileError> {
        let name = self.provider.name();
        let before = unreconciled::latest(self.store.as_ref()).await?.and_then(|run| run.result);
        let from = before.filter(|before| before.provider == name).map(|before| before.books_next);
        let from = from.unwrap_or(Timestamp::from_micros(0));
        let ledger = ledger::read(self.store.as_ref(), since.plus_millis(-SLACK_MS)).await?;
        let kept =
            aggregates::read(&self.store, &self.log, &ledger.cut, since.plus_millis(-SLACK_MS)).await?;
        let provider = provider::read(self.provider.as_ref(), &self.log, &ledger.cut, from).await?;
        Ok(compare::compare(name, &ledger, &kept, &provider))
    }

    /// Asks for the comparison of this day of domain time. Does nothing when it was asked for.
    ///
    /// # Errors
    /// [`ReconcileError::NotNow`].
    pub async fn request_daily(&self) -> Result<(), ReconcileError> {
        let run = ReconciliationId::of_day(self.executor.now());
        if unreconciled::get(self.store.as_ref(), run).await?.is_some() {
            return Ok(());
        }
        self.tell(run, ReconciliationCommand::Request).await
    }

    /// Does the comparisons that are asked for and not done yet; how many there were.
    ///
    /// # Errors
    /// See [`ReconcileError`]; those that were done before it stay done.
    pub async fn do_open(&self) -> Result<usize, ReconcileError> {
        let page = PageRequest::first(RUNS_AT_ONCE);
        let open = unreconciled::list(self.store.as_ref(), Some(RunStatus::Open), page).await?.items;
        let mut done = 0;
        for run in &open {
            let loaded = self.executor.load::<Reconciliation>(run.run).await;
            if !loaded.map_err(|outage| ReconcileError::NotNow(outage.to_string()))?.state.is_open() {
                continue;
            }
            let result = self.compare(run.requested_at).await?;
            if result.differences_total > 0 {
                let (run, differences) = (run.run, result.differences_total);
                tracing::error!(%run, differences, "the books do not agree");
            }
            self.tell(run.run, ReconciliationCommand::Complete { result: Box::new(result) }).await?;
            done += 1;
        }
        Ok(done)
    }

    async fn tell(&self, id: ReconciliationId, command: ReconciliationCommand) -> Result<(), ReconcileError> {
        let request = Request {
            id,
            command,
            // A comparison that is asked for or done twice is asked for and done once: the aggregate sees to that.
            command_id: CommandId::fresh(),
            command_hash: CommandHash([0; 16]),
            actor: Actor::System,
            expected: None,
            correlation_id: id.to_string(),
            causation_id: None,
            traceparent: None,
        };
        match self.executor.execute::<Reconciliation>(request).await {
            Ok(_) => Ok(()),
            Err(CommandError::Rejected(no)) => Err(ReconcileError::NotNow(no.to_string())),
            Err(CommandError::Conflict(conflict)) => Err(ReconcileError::NotNow(conflict.to_string())),
            Err(CommandError::Outage(outage)) => Err(ReconcileError::NotNow(outage.to_string())),
        }
    }
}

/// Comparisons done in one round.
const RUNS_AT_ONCE: usize = 10;
/// Clocks of several machines differ by less than this, milliseconds.
const SLACK_MS: i64 = 600_000;

/// Has the books compared every day and on demand, until `ends` turns true.
pub(crate) async fn run(reconciler: Reconciler, settings: WorkerSettings, mut ends: watch::Receiver<bool>) {
    let mut backoff = Backoff::new(&settings);
    let poll = Duration::from_millis(settings.poll_interval_ms);
    let mut prepared = false;
    while !*ends.borrow() {
        let pause = match round(&reconciler, &mut prepared).await {
            Ok(()) => {
                backoff.reset();
                poll
            }
            Err(error) => {
                tracing::warn!(%error, "the books cannot be compared now");
                // The read models may be gone, and have to be made again.
                prepared = false;
                backoff.pause().max(poll)
            }
        };
        // Whoever could say that it ends is gone: it ends.
        let ended = tokio::time::timeout(pause, ends.wait_for(|ends| *ends)).await;
        if ended.is_ok() {
            return;
        }
    }
}

async fn round(reconciler: &Reconciler, prepared: &mut bool) -> Result<(), ReconcileError> {
    let projections: [&dyn Projection; 2] = [&Ledger, &Unreconciled];
    if !*prepared {
        for projection in projections {
            prepare_live(reconciler.store.as_ref(), projection).await?;
        }
        *prepared = true;
    }
    reconciler.request_daily().await?;
    reconciler.do_open().await.map(drop)
}
