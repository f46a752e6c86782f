//! The sandbox's clock, which only a sandbox has: what would take it days is waited for in no time.

use http::Method;
use serde::{Deserialize, Serialize};

use super::{Asked, SandboxProvider, as_unavailable};
use crate::payments::ProviderError;

#[derive(Deserialize)]
struct Overview {
    clock_offset_ms: u64,
}

#[derive(Serialize)]
struct Advance {
    advance_ms: u64,
}

impl SandboxProvider {
    /// Moves the sandbox's clock forward until it runs `offset_ms` ahead of the machine's; it never runs back. Repeating it
    /// moves nothing, so whoever is in doubt repeats it.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`].
    pub async fn move_clock_to(&self, offset_ms: u64) -> Result<(), ProviderError> {
        let overview: Overview = self.get("/control").await.map_err(as_unavailable)?;
        let advance_ms = offset_ms.saturating_sub(overview.clock_offset_ms);
        if advance_ms == 0 {
            return Ok(());
        }
        let body = serde_json::to_vec(&Advance { advance_ms })
            .map_err(|error| ProviderError::Unavailable(error.to_string()))?;
        let moved = self.ask(Asked::ToTell, Method::POST, "/control/clock", body).await;
        moved.map(drop).map_err(as_unavailable)
    }
}
