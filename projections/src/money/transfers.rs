//! Money that has left one aggregate: on its way until the next one has taken it, once and whole.
//!
//! The two ends of a transfer come from two streams, in any order, and each writes its own half. A transfer that is taken
//! before this read model has heard of its beginning is early, and nothing is wrong with that.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{Money, Offset, RecordedEvent, StreamId, Timestamp, Version, ids::TransferId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    journal::TransferMove,
    ledger::{ID, impossible},
};
use crate::{
    ApplyError, Collection, Filter, Index, Order, Page, PageRequest, ReadStore, Reader, StoreError, View,
    status::status,
};

status! {
    /// Where a transfer stands.
    TransferStatus {
        /// The money is on its way. Or it was paid already, and is owed.
        Open = "open",
        /// It has arrived.
        Settled = "settled",
        /// It has arrived, and where it left is not known here yet.
        Early = "early",
    }
}

/// Money under one name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transfer {
    /// The name.
    pub transfer: TransferId,
    /// How much. Below nothing: it was paid first, and is owed.
    pub amount: Money,
    /// Where it left.
    pub opened: Option<End>,
    /// Where it arrived.
    pub taken: Option<End>,
    /// Where it stands.
    pub status: TransferStatus,
    /// Since when it stands so: when it left, or when the later of its ends was written.
    pub since: Timestamp,
}

/// One end of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// In which stream.
    pub stream: StreamId,
    /// By which of its events.
    pub version: Version,
    /// In which partition of the log,
    pub partition: u32,
    /// and where in it.
    pub offset: Offset,
    /// When, domain time.
    pub at: Timestamp,
}

/// Transfers by their name.
pub const TRANSFERS: Collection<Transfer> =
    Collection::new("transfers", &[Index { name: "by_status", fields: &["status", "since"] }]);

/// Writes one end of a transfer.
pub(super) fn apply(event: &RecordedEvent, change: TransferMove, view: &mut View) -> Result<(), ApplyError> {
    let (partition, offset) = (event.position.partition.number.into(), event.position.offset);
    let (stream, version, at) = (event.stream, event.version, event.stamp.time);
    let end = End { stream, version, partition, offset, at };
    let (name, amount, opened, taken) = match change {
        TransferMove::Opens { transfer, amount } => (transfer, amount, Some(end), None),
        TransferMove::Takes { transfer, amount } => (transfer, amount, None, Some(end)),
    };
    let key = name.to_string();
    let fresh =
        Transfer { transfer: name, amount, opened, taken, status: TransferStatus::Open, since: end.at };
    let document = match view.get(&TRANSFERS, &key)? {
        None => fresh,
        Some(before) if before.amount != amount => {
            let other = before.amount;
            return Err(impossible(
                event,
                &format!("{key} has {amount} at this end and {other} at the other"),
            ));
        }
        Some(before) if before.opened.is_some() && opened.is_some() => {
            return Err(impossible(event, &format!("{key} was opened before")));
        }
        Some(before) if before.taken.is_some() && taken.is_some() => {
            return Err(impossible(event, &format!("{key} was taken before")));
        }
        Some(before) => Transfer { opened: before.opened.or(opened), taken: before.taken.or(taken), ..fresh },
    };
    view.place(&TRANSFERS, &key, document.standing());
    Ok(())
}

impl Transfer {
    fn standing(mut self) -> Self {
        (self.status, self.since) = match (self.opened, self.taken) {
            (Some(opened), Some(taken)) => (TransferStatus::Settled, opened.at.max(taken.at)),
            (None, Some(taken)) => (TransferStatus::Early, taken.at),
            (Some(opened), None) => (TransferStatus::Open, opened.at),
            (None, None) => (self.status, self.since),
        };
        self
    }
}

/// The transfers that stand at `status`, the oldest first: [`TransferStatus::Open`] for the money that is on its way.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    status: TransferStatus,
    page: PageRequest,
) -> Result<Page<Transfer>, StoreError> {
    let filters = vec![Filter::Is("status", status.into())];
    Reader::new(store, ID, &TRANSFERS).find(filters, Order::ascending("since"), page).await
}

/// The transfers that stand at `status` since `since` or later, the oldest first.
///
/// # Errors
/// What the read store says.
pub async fn standing_since(
    store: &dyn ReadStore,
    status: TransferStatus,
    since: Timestamp,
    page: PageRequest,
) -> Result<Page<Transfer>, StoreError> {
    let filters = vec![Filter::Is("status", status.into()), Filter::AtLeast("since", since.into())];
    Reader::new(store, ID, &TRANSFERS).find(filters, Order::ascending("since"), page).await
}

/// One transfer; `None` when there is none.
///
/// # Errors
/// What the read store says.
pub async fn get(store: &dyn ReadStore, transfer: TransferId) -> Result<Option<Transfer>, StoreError> {
    Reader::new(store, ID, &TRANSFERS).get(transfer.to_string()).await
}
