//! Money that leaves for a bank: an account's payouts newest first, and those that somebody has to look at.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Event, Id, Money, RecordedEvent, Service, Timestamp, Version,
    ids::{AccountId, PayoutDestinationId, PayoutId},
    vocabulary::payments::{PayoutEvent, PayoutRequested},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View, status::status,
};

/// Name and version.
pub const ID: (&str, u32) = ("payouts", 1);

status! {
    /// Where a payout stands.
    PayoutStatus {
        /// The wallet is asked to hold the money.
        Requested = "requested",
        /// Somebody looks at it.
        InReview = "in_review",
        /// It waits for its batch.
        Queued = "queued",
        /// The provider was told, and has not answered.
        Processing = "processing",
        /// The provider would not; it is never left like this.
        Failed = "failed",
        /// The money was sent.
        Paid = "paid",
        /// The money was sent and came back.
        Reversed = "reversed",
        /// Somebody said no.
        Rejected = "rejected",
        /// It is not wanted any more, or could not be paid.
        Cancelled = "cancelled",
    }
}

/// One payout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Payout {
    /// The payout.
    pub payout: PayoutId,
    /// Who wants the money.
    pub account: AccountId,
    /// How much.
    pub amount: Money,
    /// Where it is to go.
    pub destination: PayoutDestinationId,
    /// Where it stands.
    pub status: PayoutStatus,
    /// The last attempt; 0 before the first.
    pub attempt: u32,
    /// The batch it goes with.
    pub dispatch_at: Option<Timestamp>,
    /// The provider's last reason for not paying or for returning it, a stable code.
    pub code: Option<String>,
    /// What the provider calls the money that was sent.
    pub reference: Option<String>,
    /// The administrator that let it be paid or refused it.
    pub judged_by: Option<AccountId>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When the provider paid.
    pub paid_at: Option<Timestamp>,
    /// When it came back, was refused or called off.
    pub ended_at: Option<Timestamp>,
    /// The version of its stream.
    pub version: Version,
}

/// Payouts by payout id.
pub const PAYOUTS: Collection<Payout> = Collection::new(
    "payouts",
    &[
        Index { name: "by_account", fields: &["account", "requested_at"] },
        Index { name: "by_account_and_status", fields: &["account", "status", "requested_at"] },
        Index { name: "by_status", fields: &["status", "requested_at"] },
    ],
);

/// Folds payouts.
#[derive(Clone, Copy, Debug)]
pub struct Payouts;

impl Projection for Payouts {
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
        const { &[PAYOUTS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let Event::Payout(payload) = &event.payload else {
            return Ok(Applied::Skipped("not a payout's event"));
        };
        let payout = PayoutId::from_uuid(event.stream.uuid);
        let key = payout.to_string();
        if let PayoutEvent::PayoutRequested(requested) = payload {
            view.place(&PAYOUTS, &key, Payout::requested(payout, requested, event));
        } else {
            view.update(&PAYOUTS, &key, |payout| payout.apply(event, payload))?;
        }
        Ok(Applied::Changed)
    }
}

impl Payout {
    fn requested(payout: PayoutId, requested: &PayoutRequested, event: &RecordedEvent) -> Self {
        Self {
            payout,
            account: requested.account,
            amount: requested.amount,
            destination: requested.destination,
            status: PayoutStatus::Requested,
            attempt: 0,
            dispatch_at: None,
            code: None,
            reference: None,
            judged_by: None,
            requested_at: event.stamp.time,
            paid_at: None,
            ended_at: None,
            version: event.version,
        }
    }

    fn apply(&mut self, event: &RecordedEvent, payload: &PayoutEvent) {
        let now = event.stamp.time;
        self.version = event.version;
        match payload {
            PayoutEvent::PayoutRequested(_) => {}
            PayoutEvent::PayoutReviewRequested(_) => self.status = PayoutStatus::InReview,
            PayoutEvent::PayoutApproved(approved) => {
                self.status = PayoutStatus::Queued;
                self.judged_by = approved.by;
                self.dispatch_at = Some(approved.dispatch_at);
            }
            PayoutEvent::PayoutRejected(rejected) => {
                self.judged_by = Some(rejected.by);
                self.end(PayoutStatus::Rejected, now);
            }
            PayoutEvent::PayoutCancelled(_) => self.end(PayoutStatus::Cancelled, now),
            PayoutEvent::PayoutDispatched(dispatched) => {
                self.status = PayoutStatus::Processing;
                self.attempt = dispatched.attempt;
            }
            PayoutEvent::PayoutPaid(paid) => {
                self.status = PayoutStatus::Paid;
                self.reference = Some(paid.reference.clone());
                self.paid_at = Some(now);
            }
            PayoutEvent::PayoutFailed(failed) => {
                self.status = PayoutStatus::Failed;
                self.code = Some(failed.code.clone());
            }
            PayoutEvent::PayoutRequeued(requeued) => {
                self.status = PayoutStatus::Queued;
                self.dispatch_at = Some(requeued.dispatch_at);
            }
            PayoutEvent::PayoutReversed(reversed) => {
                self.code = Some(reversed.code.clone());
                self.end(PayoutStatus::Reversed, now);
            }
        }
    }

    fn end(&mut self, status: PayoutStatus, now: Timestamp) {
        self.status = status;
        self.ended_at = Some(now);
    }
}

/// One payout; `None` when there is none.
///
/// # Errors
/// What the read store says.
pub async fn get(store: &dyn ReadStore, payout: PayoutId) -> Result<Option<Payout>, StoreError> {
    Reader::new(store, ID, &PAYOUTS).get(payout.to_string()).await
}

/// The payouts of `account`, newest first; only those that stand at `status`, when it is given.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    account: AccountId,
    status: Option<PayoutStatus>,
    page: PageRequest,
) -> Result<Page<Payout>, StoreError> {
    let mut filters = vec![Filter::Is("account", account.to_string().into())];
    filters.extend(status.map(|status| Filter::Is("status", status.into())));
    Reader::new(store, ID, &PAYOUTS).find(filters, Order::descending("requested_at"), page).await
}

/// The payouts of all accounts that stand at `status`, the one that has waited longest first.
///
/// # Errors
/// What the read store says.
pub async fn standing_at(
    store: &dyn ReadStore,
    status: PayoutStatus,
    page: PageRequest,
) -> Result<Page<Payout>, StoreError> {
    let filters = vec![Filter::Is("status", status.into())];
    Reader::new(store, ID, &PAYOUTS).find(filters, Order::ascending("requested_at"), page).await
}
