//! What payment providers told us, newest first, and what came of it.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Event, Id, RecordedEvent, Service, Timestamp,
    ids::{PaymentId, PayoutId, ReceiptId},
    vocabulary::{
        StepOutcome,
        payments::{Notice, ReceiptEvent},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View,
};

/// Name and version.
pub const ID: (&str, u32) = ("webhook_log", 1);

/// One event of a provider. It is kept once, however often the provider repeats it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The receipt.
    pub receipt: ReceiptId,
    /// Which provider.
    pub provider: String,
    /// Its own id of the event.
    pub event: String,
    /// What it told: `payment_confirmed`, …; `other` for what nobody waits for.
    pub kind: String,
    /// All that we understood of it.
    pub notice: Notice,
    /// The payment it is about.
    pub payment: Option<PaymentId>,
    /// The payout it is about.
    pub payout: Option<PayoutId>,
    /// What came of it; nothing yet while it is on its way to whoever it concerns.
    pub outcome: Option<StepOutcome>,
    /// When it came first.
    pub received_at: Timestamp,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
}

/// Receipts by receipt id.
pub const RECEIPTS: Collection<Receipt> = Collection::new(
    "receipts",
    &[
        Index { name: "by_time", fields: &["received_at"] },
        Index { name: "by_provider", fields: &["provider", "received_at"] },
    ],
);

/// Folds receipts.
#[derive(Clone, Copy, Debug)]
pub struct WebhookLog;

impl Projection for WebhookLog {
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
        const { &[RECEIPTS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let Event::Receipt(payload) = &event.payload else {
            return Ok(Applied::Skipped("not a receipt's event"));
        };
        let receipt = ReceiptId::from_uuid(event.stream.uuid);
        match payload {
            ReceiptEvent::ReceiptRecorded(recorded) => {
                let (payment, payout) = about(&recorded.notice);
                let document = Receipt {
                    receipt,
                    provider: recorded.provider.clone(),
                    event: recorded.event.clone(),
                    kind: kind(&recorded.notice).to_owned(),
                    notice: recorded.notice.clone(),
                    payment,
                    payout,
                    outcome: None,
                    received_at: event.stamp.time,
                    settled_at: None,
                };
                view.place(&RECEIPTS, &receipt.to_string(), document);
            }
            ReceiptEvent::ReceiptSettled(settled) => {
                view.update(&RECEIPTS, &receipt.to_string(), |document| {
                    document.outcome = Some(settled.outcome.clone());
                    document.settled_at = Some(event.stamp.time);
                })?;
            }
        }
        Ok(Applied::Changed)
    }
}

/// The notice's name, as it stands in events.
fn kind(notice: &Notice) -> &'static str {
    match notice {
        Notice::PaymentActionRequired { .. } => "payment_action_required",
        Notice::PaymentAuthorized { .. } => "payment_authorized",
        Notice::PaymentConfirmed { .. } => "payment_confirmed",
        Notice::PaymentFailed { .. } => "payment_failed",
        Notice::RefundPaid { .. } => "refund_paid",
        Notice::RefundFailed { .. } => "refund_failed",
        Notice::PayoutPaid { .. } => "payout_paid",
        Notice::PayoutFailed { .. } => "payout_failed",
        Notice::PayoutReturned { .. } => "payout_returned",
        Notice::Other { .. } => "other",
    }
}

fn about(notice: &Notice) -> (Option<PaymentId>, Option<PayoutId>) {
    match notice {
        Notice::PaymentActionRequired { payment, .. }
        | Notice::PaymentAuthorized { payment, .. }
        | Notice::PaymentConfirmed { payment, .. }
        | Notice::PaymentFailed { payment, .. }
        | Notice::RefundPaid { payment, .. }
        | Notice::RefundFailed { payment, .. } => (Some(*payment), None),
        Notice::PayoutPaid { payout, .. }
        | Notice::PayoutFailed { payout, .. }
        | Notice::PayoutReturned { payout, .. } => (None, Some(*payout)),
        Notice::Other { .. } => (None, None),
    }
}

/// What providers told, newest first; only `provider`, when it is given.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    provider: Option<&str>,
    page: PageRequest,
) -> Result<Page<Receipt>, StoreError> {
    let filters = provider.map(|provider| Filter::Is("provider", provider.into())).into_iter().collect();
    Reader::new(store, ID, &RECEIPTS).find(filters, Order::descending("received_at"), page).await
}

/// One receipt; `None` when there is none.
///
/// # Errors
/// What the read store says.
pub async fn get(store: &dyn ReadStore, receipt: ReceiptId) -> Result<Option<Receipt>, StoreError> {
    Reader::new(store, ID, &RECEIPTS).get(receipt.to_string()).await
}
