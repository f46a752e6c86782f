//! All of the product but its HTTP surface: a log, an executor, workers on every read model, a sandbox provider.

use std::{sync::Arc, time::Duration};

use commands::{Executor, ExecutorSettings, Policy, policy::MoneyPolicy};
use events::{
    DomainClock,
    keys::KeyRing,
    log::{EventLog, LogOptions},
};
use projections::{ReadStore, StoreOptions};
use sandbox::{Sandbox, Settings, Timing, WebhookTarget};
use secrecy::SecretString;
use tokio::net::TcpListener;
use workers::{
    Effects, Managers, RunState, WorkerSettings, Workers,
    payments::{
        PaymentProvider,
        sandbox::{SandboxProvider, SandboxSettings},
    },
};

use super::{heard::Heard, webhooks};

const API_KEY: &str = "sk_sandbox_0123456789abcdef0123456789";
const WEBHOOK_SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";

/// One process, without HTTP.
pub(super) struct House {
    pub(super) executor: Executor,
    pub(super) heard: Heard,
    log: Arc<dyn EventLog>,
    store: Arc<dyn ReadStore>,
    clock: DomainClock,
    keys: Arc<KeyRing>,
    provider: Arc<dyn PaymentProvider>,
    _sandbox: Sandbox,
    _folder: tempfile::TempDir,
}

/// Nothing waits on the clock.
fn policy() -> Policy {
    let money = MoneyPolicy {
        earnings_hold_ms: 0,
        payout_batch_every_ms: 1,
        payout_reviewed_from_units: i64::MAX / 1_000_000,
        ..MoneyPolicy::default()
    };
    Policy { money, ..Policy::default() }
}

impl House {
    pub(super) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = events::open(&LogOptions::embedded(folder.path())).unwrap();
        let store =
            projections::open(&StoreOptions::at(format!("embedded:{}", folder.path().display()))).unwrap();
        let clock = DomainClock::new();
        let (policy, settings) = (Arc::new(policy()), ExecutorSettings::default());
        let executor = Executor::start(Arc::clone(&log), policy, clock.clone(), None, settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/sandbox", listener.local_addr().unwrap());
        let secrets = || vec![SecretString::from(WEBHOOK_SECRET)];
        let sandbox = Sandbox::start(Settings {
            webhook: Some(WebhookTarget::new(&url, secrets()).unwrap()),
            timing: Timing { answer_delay_ms: 0, ..Timing::default() },
            ..Settings::new(SecretString::from(API_KEY))
        });
        let sandbox = sandbox.await.unwrap();
        let provider: Arc<dyn PaymentProvider> = Arc::new(
            SandboxProvider::new(SandboxSettings {
                url: format!("http://{}", sandbox.address()),
                api_key: SecretString::from(API_KEY),
                webhook_secrets: secrets(),
                timeout_ms: 10_000,
            })
            .unwrap(),
        );
        tokio::spawn(webhooks::hear(listener, executor.clone(), Arc::clone(&provider)));
        Self {
            executor,
            heard: Heard::follow(Arc::clone(&log)),
            log,
            store,
            clock,
            keys: Arc::new(KeyRing::in_memory().unwrap()),
            provider,
            _sandbox: sandbox,
            _folder: folder,
        }
    }

    /// All workers of the product, once they have read everything there is.
    pub(super) async fn work(&self) -> Workers {
        let (log, executor) = (Arc::clone(&self.log), self.executor.clone());
        let effects = Effects::new(executor.clone(), Arc::clone(&self.provider));
        let managers = Managers::new(executor, Arc::clone(&self.keys));
        // The bare commands are a test clock's.
        let settings = WorkerSettings { test_clock: false, ..WorkerSettings::default() };
        let workers = Workers::start(
            projections::all(),
            Arc::new(managers),
            Some(effects),
            log,
            Arc::clone(&self.store),
            self.clock.clone(),
            settings,
        );
        let mut quiet = 0;
        while quiet < 10 {
            let status = workers.status();
            assert!(!status.runners.iter().any(|runner| matches!(runner.state, RunState::Stopped { .. })));
            let waits = |state: &RunState| matches!(state, RunState::Waiting);
            let rests = status.runners.iter().all(|runner| waits(&runner.state) && runner.lag_commits == 0);
            let done =
                status.steps.listed == 0 && status.effects.is_some_and(|effects| effects.pump.listed == 0);
            quiet = if rests && done { quiet + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        workers
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.log.close();
    }
}
