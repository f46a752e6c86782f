//! The comparisons of all books, newest first: what agreed, what is only on its way, and what does not agree.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Event, Id, RecordedEvent, Service, Timestamp,
    ids::{AccountId, ReconciliationId},
    vocabulary::payments::{ReconciliationCompleted, ReconciliationEvent},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View, status::status,
};

/// Name and version.
pub const ID: (&str, u32) = ("unreconciled", 1);

status! {
    /// Where a comparison stands.
    RunStatus {
        /// It is to be done.
        Open = "open",
        /// All books agree, but for what is on its way.
        Agreed = "agreed",
        /// Something does not agree.
        Differs = "differs",
    }
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// The comparison.
    pub run: ReconciliationId,
    /// Who asked for it; nobody when it is the day's.
    pub requested_by: Option<AccountId>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Where it stands.
    pub status: RunStatus,
    /// When it was done.
    pub completed_at: Option<Timestamp>,
    /// What came of it.
    pub result: Option<ReconciliationCompleted>,
}

/// Comparisons by their id.
pub const RUNS: Collection<Run> = Collection::new(
    "runs",
    &[
        Index { name: "by_time", fields: &["requested_at"] },
        Index { name: "by_status", fields: &["status", "requested_at"] },
        Index { name: "by_completion", fields: &["completed_at"] },
    ],
);

/// Folds comparisons.
#[derive(Clone, Copy, Debug)]
pub struct Unreconciled;

impl Projection for Unreconciled {
    fn name(&self) -> &'static str {
        ID.0
    }
    fn version(&self) -> u32 {
        ID.1
    }
    fn topics(&self) -> &'static [Service] {
        &[Service::Payments]
    }
    fn shape(&self) -> Shape {
        Shape::Partitioned
    }
    fn collections(&self) -> &'static [CollectionSpec] {
        const { &[RUNS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let Event::Reconciliation(payload) = &event.payload else {
            return Ok(Applied::Skipped("not about a comparison"));
        };
        let run = ReconciliationId::from_uuid(event.stream.uuid);
        let now = event.stamp.time;
        match payload {
            ReconciliationEvent::ReconciliationRequested(requested) => {
                let document = Run {
                    run,
                    requested_by: requested.by,
                    requested_at: now,
                    status: RunStatus::Open,
                    completed_at: None,
                    result: None,
                };
                view.place(&RUNS, &run.to_string(), document);
            }
            ReconciliationEvent::ReconciliationCompleted(completed) => {
                view.update(&RUNS, &run.to_string(), |document| {
                    let agreed = completed.differences_total == 0;
                    document.status = if agreed { RunStatus::Agreed } else { RunStatus::Differs };
                    document.completed_at = Some(now);
                    document.result = Some(completed.clone());
                })?;
            }
        }
        Ok(Applied::Changed)
    }
}

/// All comparisons, newest first; only those that stand at `status`, when it is given.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    status: Option<RunStatus>,
    page: PageRequest,
) -> Result<Page<Run>, StoreError> {
    let filters = status.map(|status| Filter::Is("status", status.into())).into_iter().collect();
    Reader::new(store, ID, &RUNS).find(filters, Order::descending("requested_at"), page).await
}

/// One comparison; `None` when nobody asked for it.
///
/// # Errors
/// What the read store says.
pub async fn get(store: &dyn ReadStore, run: ReconciliationId) -> Result<Option<Run>, StoreError> {
    Reader::new(store, ID, &RUNS).get(run.to_string()).await
}

/// The comparison that was done last; `None` when none ever was.
///
/// # Errors
/// What the read store says.
pub async fn latest(store: &dyn ReadStore) -> Result<Option<Run>, StoreError> {
    let order = Order::descending("completed_at");
    let page = Reader::new(store, ID, &RUNS).find(Vec::new(), order, PageRequest::first(1)).await?;
    Ok(page.items.into_iter().next())
}
