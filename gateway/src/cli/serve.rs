//! Serving until told to stop: everything in one process, or one role of several.

use clap::Args;
use events::Service;

use super::{Failure, prepared};
use crate::{
    house::Server,
    server,
    settings::{Role, Settings},
};

/// Which part of the work.
#[derive(Debug, Args)]
pub(super) struct WorkFor {
    /// Only the process managers, steps, timers and effects of these services, separated by commas: identity, jobs,
    /// payments, admin.
    #[arg(long, value_name = "SERVICE", value_delimiter = ',', value_parser = service)]
    only: Vec<Service>,
}

fn service(name: &str) -> Result<Service, String> {
    let known = || Service::ALL.iter().map(|service| service.name()).collect::<Vec<_>>().join(", ");
    Service::from_name(name).ok_or_else(|| format!("no such service; there are {}", known()))
}

/// Everything, or what the settings leave of it.
pub(super) fn serve(settings: Settings) -> Result<(), Failure> {
    let runtime = prepared(&settings)?;
    runtime.block_on(async {
        let stop = server::stop_signal().map_err(|error| Failure::Error(error.to_string()))?;
        let (profile, role) = (settings.profile, settings.role);
        let server = Server::start(settings).await?;
        tracing::info!(address = %server.address(), ?profile, ?role, "serving http://{}", server.address());
        stop.await;
        tracing::info!("stopping: requests under way are finished first");
        server.stop().await;
        tracing::info!("stopped");
        Ok(())
    })
}

/// HTTP and read models.
pub(super) fn gateway(settings: Settings) -> Result<(), Failure> {
    let mut settings = in_role(Role::Gateway, settings)?;
    settings.workers.processes = false;
    serve(settings)
}

/// Process managers, steps and timers.
pub(super) fn worker(settings: Settings, asked: WorkFor) -> Result<(), Failure> {
    let mut settings = in_role(Role::Worker, settings)?;
    if !settings.workers.processes {
        return Err(Failure::Usage("a worker with workers.processes = false has nothing to do".into()));
    }
    settings.workers.services = asked.only;
    serve(settings)
}

/// Roles need each other, and the log is all that they share.
fn in_role(role: Role, settings: Settings) -> Result<Settings, Failure> {
    if !settings.log.is_shared() {
        return Err(Failure::Usage(
            "a log in a folder has one process: `guildhall` alone runs everything in it. For gateways and workers set \
             log.url (GUILDHALL_LOG__URL) to kafka://HOST:PORT"
                .into(),
        ));
    }
    if settings.payments.is_embedded() {
        return Err(Failure::Usage(
            "a payment provider within one process is out of the others' reach: start a sandbox beside them and set \
             payments.url (GUILDHALL_PAYMENTS__URL) to its http://HOST:PORT, or payments.provider to none"
                .into(),
        ));
    }
    Ok(Settings { role, ..settings })
}
