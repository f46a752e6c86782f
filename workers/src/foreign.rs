//! What a read store holds of another log: dropped when the process that folds starts, never mixed with what is built now.
//!
//! A copied log has an id of its own, and places of the one mean nothing in the other. So checkpoints, documents and dead
//! letters of a foreign log are of no use: documents are built anew, and an event that cannot be applied is parked anew.

use std::collections::BTreeSet;

use events::LogId;
use projections::{ProjectionId, ReadStore, StoreError};

use crate::builds::books;

/// Drops every projection, in whatever version, that was fed by another log than `log`; gives those that were.
/// Call it before the projections are prepared and before any worker runs.
///
/// # Errors
/// What the store says. What was dropped by then stays dropped; call it again.
pub async fn drop_foreign(store: &dyn ReadStore, log: LogId) -> Result<Vec<ProjectionId>, StoreError> {
    let origins = store.origins().await?;
    let strangers = origins.iter().filter(|(_, origin)| *origin != log);
    let logs: BTreeSet<LogId> = strangers.clone().map(|(_, origin)| *origin).collect();
    let foreign: BTreeSet<&ProjectionId> = strangers.map(|(projection, _)| projection).collect();
    if foreign.is_empty() {
        return Ok(Vec::new());
    }
    let from = logs.iter().map(LogId::to_string).collect::<Vec<_>>().join(", ");
    tracing::warn!(
        %log, %from, projections = foreign.len(),
        "the read store was built from another log; its read models are dropped and built anew from this one"
    );
    let names: BTreeSet<&str> = foreign.iter().map(|projection| projection.name.as_str()).collect();
    for name in names {
        // Which build was live, and how far each was to come, is as foreign as they are.
        books::forget(store, name).await?;
    }
    for projection in &foreign {
        store.drop_projection(projection).await?;
    }
    Ok(foreign.into_iter().cloned().collect())
}
