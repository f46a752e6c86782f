//! The two servers that are measured: all of the product in one process, and a gateway where nothing runs by itself.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use gateway::{app::App, house::Server, settings::Origin};
use sandbox::{Sandbox, Timing, WebhookTarget};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::alone;

/// All of the product, on the embedded log, with a payment provider of its own beside it.
pub(super) struct Whole {
    pub(super) server: Server,
    sandbox: Sandbox,
    _folder: TempDir,
}

/// A gateway without workers.
pub(super) struct Bare {
    pub(super) address: SocketAddr,
    pub(super) app: App,
    _folder: TempDir,
}

impl Whole {
    pub(super) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The provider has to know the server's address, and the server the provider's.
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let known = alone::layers(folder.path()).settings().unwrap().payments;
        let target = format!("http://{listen}/webhooks/sandbox");
        let sandbox = Sandbox::start(sandbox::Settings {
            webhook: Some(WebhookTarget::new(&target, known.webhook_secrets.clone()).unwrap()),
            // A provider that answers as fast as it can.
            timing: Timing { answer_delay_ms: 0, ..Timing::default() },
            ..sandbox::Settings::new(known.api_key.expose_secret().into())
        });
        let sandbox = sandbox.await.unwrap();
        let mut layers = alone::layers(folder.path());
        let mut set = |key: &str, value: &str| layers.set(key, value, Origin::Given).unwrap();
        set("listen", &listen.to_string());
        set("payments.url", &format!("http://{}", sandbox.address()));
        let mut settings = layers.settings().unwrap();
        // Nothing waits on the clock.
        (settings.policy.money.earnings_hold_ms, settings.policy.money.payout_batch_every_ms) = (1, 1);
        let server = Server::start(settings).await.unwrap();
        Self { server, sandbox, _folder: folder }
    }

    /// How many commits the slowest runner has not read.
    pub(super) fn lag(&self) -> u64 {
        let lags = self.server.app.workers.status().runners.into_iter().map(|runner| runner.lag_commits);
        lags.max().unwrap_or(0)
    }

    /// Waits until everything that follows from what was done is done.
    pub(super) async fn until_rest(&self) {
        let mut quiet = 0;
        while quiet < 10 {
            let status = self.server.app.workers.status();
            assert!(status.is_healthy(), "{status:?}");
            let open = status.steps.listed + status.effects.map_or(0, |effects| effects.pump.listed);
            quiet = if open == 0 && self.lag() == 0 { quiet + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn close(self) {
        self.server.stop().await;
        self.sandbox.stop().await;
    }
}

impl Bare {
    pub(super) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (address, app) = alone::serve(alone::layers(folder.path()).settings().unwrap()).await;
        Self { address, app, _folder: folder }
    }
}
