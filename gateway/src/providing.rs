//! The payment provider of this process: a server that is reached over HTTP, or a sandbox within the process itself.

use std::{net::SocketAddr, path::Path, sync::Arc};

use sandbox::{Sandbox, WebhookTarget};
use workers::payments::sandbox::{NAME, SandboxProvider, SandboxSettings};

use crate::{
    house::OpenError,
    settings::{PaymentSettings, Provider, Settings},
};

/// The sandbox's books, in the data folder.
const BOOKS: &str = "sandbox.books";
/// With so many secrets the sandbox signs at most.
const SIGNING_SECRETS_MAX: usize = sandbox::SECRETS_MAX;

/// Who moves the money for this process.
#[derive(Debug)]
pub(crate) struct Providing {
    /// How it is reached; nobody when the settings say so.
    pub(crate) provider: Option<Arc<SandboxProvider>>,
    /// The sandbox, when it runs within this process.
    pub(crate) embedded: Option<Sandbox>,
}

impl Providing {
    /// Nobody.
    pub(crate) fn nobody() -> Self {
        Self { provider: None, embedded: None }
    }

    /// Whoever the settings name. A sandbox within this process sends its webhooks to `address`. The data folder is there, and
    /// no other process has it.
    ///
    /// # Errors
    /// A sandbox that cannot be started.
    pub(crate) async fn start(settings: &Settings, address: SocketAddr) -> Result<Self, OpenError> {
        let payments = &settings.payments;
        if payments.provider == Provider::None {
            return Ok(Self::nobody());
        }
        if !payments.is_embedded() {
            return Ok(Self { provider: Some(reached_at(&payments.url, payments)?), embedded: None });
        }
        let options = options(payments, &settings.data, address).map_err(OpenError::Process)?;
        let failed = |error| OpenError::Process(format!("the sandbox provider cannot be started: {error}"));
        let embedded = Sandbox::start(options).await.map_err(failed)?;
        let url = format!("http://{}", embedded.address());
        tracing::info!(%url, "a sandbox payment provider runs within this process");
        Ok(Self { provider: Some(reached_at(&url, payments)?), embedded: Some(embedded) })
    }
}

fn reached_at(url: &str, payments: &PaymentSettings) -> Result<Arc<SandboxProvider>, OpenError> {
    let provider = SandboxProvider::new(SandboxSettings {
        url: url.to_owned(),
        api_key: payments.api_key.clone(),
        webhook_secrets: payments.webhook_secrets.clone(),
        timeout_ms: payments.timeout_ms,
    });
    provider.map(Arc::new).map_err(|error| OpenError::Process(format!("the payment provider: {error}")))
}

fn options(
    payments: &PaymentSettings,
    data: &Path,
    address: SocketAddr,
) -> Result<sandbox::Settings, String> {
    let secrets = payments.webhook_secrets.iter().take(SIGNING_SECRETS_MAX).cloned().collect();
    let webhook = WebhookTarget::new(&format!("http://{}/webhooks/{NAME}", reachable(address)), secrets)?;
    Ok(sandbox::Settings {
        listen: payments.sandbox_listen,
        webhook: Some(webhook),
        books: Some(data.join(BOOKS)),
        ..sandbox::Settings::new(payments.api_key.clone())
    })
}

/// Where a server that listens on every address of this machine is reached from here.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let loopback =
        if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(loopback, address.port())
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn a_server_on_every_address_is_reached_on_the_machine_itself() {
        for (listens, reached) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("192.0.2.7:8080", "192.0.2.7:8080"),
        ] {
            let address = reachable(listens.parse().expect("an address"));
            assert_eq!(address.to_string(), reached);
        }
    }
}
