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
    /// Only what belongs to these services (read models, process managers, steps, timers, effects), and these read
    /// models by name, separated by commas.
    #[arg(long, value_name = "SERVICE|PROJECTION", value_delimiter = ',', value_parser = part)]
    only: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Service(Service),
    Projection(String),
}

fn part(name: &str) -> Result<Part, String> {
    if let Some(service) = Service::from_name(name) {
        return Ok(Part::Service(service));
    }
    let projections: Vec<&str> = projections::all().iter().map(|projection| projection.name()).collect();
    if projections.contains(&name) {
        return Ok(Part::Projection(name.to_owned()));
    }
    let services: Vec<&str> = Service::ALL.iter().map(|service| service.name()).collect();
    Err(format!(
        "no such service or read model; there are the services {} and the read models {}",
        services.join(", "),
        projections.join(", ")
    ))
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

/// Read models where the read store is shared, process managers, steps and timers.
pub(super) fn worker(settings: Settings, asked: WorkFor) -> Result<(), Failure> {
    let mut settings = in_role(Role::Worker, settings)?;
    let is_shared = settings.read_store.is_shared();
    if !settings.workers.processes && !is_shared {
        return Err(Failure::Usage("a worker with workers.processes = false has nothing to do".into()));
    }
    for part in asked.only {
        match part {
            Part::Service(service) => settings.workers.services.push(service),
            Part::Projection(_) if !is_shared => {
                return Err(Failure::Usage(
                    "nobody can read the read models of a worker that has a read store of its own: --only takes services \
                     there; to share one set read_store.url (GUILDHALL_READ_STORE__URL)"
                        .into(),
                ));
            }
            Part::Projection(name) => settings.workers.projections.push(name),
        }
    }
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
