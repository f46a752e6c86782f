//! Dead letters keep order: an event that cannot be applied blocks its own sequence, and nothing else.
//!
//! Later events of that sequence are parked behind it, all others go on. Letters are documents of the projection
//! itself, written in the same transaction as its documents and checkpoint. Once the cause is mended, the runner itself
//! applies what waits (`runner::redrive`).

mod letter;
mod parking;
mod rate;

use projections::{Cursor, Filter, Order, Page, ProjectionId, Query, ReadStore, StoreError};

pub use letter::{Cause, Entry, Head, LETTERS, Letter, LetterState, Overflow};
pub(crate) use parking::{Blocked, BlockedAt, Parking, head, new_letter, waits_behind};
pub(crate) use rate::ParkingRate;

use crate::documents;
pub use crate::runner::redrive::{RedriveError, Redriven};
use events::ids::LetterId;

/// One page of the letters of a projection, longest parked first.
///
/// # Errors
/// What the engine says.
pub async fn list(
    store: &dyn ReadStore,
    projection: &ProjectionId,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<Letter>, StoreError> {
    find(store, projection, Vec::new(), "parked_at", after, limit).await
}

/// The letter with this id, among those of a projection.
///
/// # Errors
/// What the engine says.
pub async fn show(
    store: &dyn ReadStore,
    projection: &ProjectionId,
    id: LetterId,
) -> Result<Option<Letter>, StoreError> {
    let filters = vec![Filter::Is("id", projections::Scalar::Text(id.to_string()))];
    Ok(find(store, projection, filters, "id", None, 1).await?.items.pop())
}

async fn find(
    store: &dyn ReadStore,
    projection: &ProjectionId,
    filters: Vec<Filter>,
    field: &'static str,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<Letter>, StoreError> {
    let query = Query {
        projection: projection.clone(),
        collection: LETTERS.spec.name,
        filters,
        order: Order { field, descending: false },
        after,
        limit,
    };
    let page = store.find(query).await?;
    let items: Result<Vec<Letter>, StoreError> = page.items.iter().map(documents::decode).collect();
    Ok(Page { items: items?, next: page.next })
}
