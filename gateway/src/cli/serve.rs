//! `guildhall` without a command: everything in one process, until it is told to stop.

use super::{Failure, prepared};
use crate::{house::Server, server, settings::Settings};

pub(super) fn serve(settings: Settings) -> Result<(), Failure> {
    let runtime = prepared(&settings)?;
    runtime.block_on(async {
        let stop = server::stop_signal().map_err(|error| Failure::Error(error.to_string()))?;
        let profile = settings.profile;
        let server = Server::start(settings).await?;
        tracing::info!(address = %server.address(), ?profile, "serving http://{}", server.address());
        stop.await;
        tracing::info!("stopping: requests under way are finished first");
        server.stop().await;
        tracing::info!("stopped");
        Ok(())
    })
}
