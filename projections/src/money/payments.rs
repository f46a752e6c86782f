//! What a client pays for a milestone: where the payment stands, its attempts, and what went back.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Event, Id, Money, RecordedEvent, Service, Timestamp, Version,
    ids::{AccountId, ContractId, PaymentId, PaymentMethodId},
    vocabulary::payments::{PaymentCreated, PaymentEvent, RefundReason},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View, status::status,
};

/// Name and version.
pub const ID: (&str, u32) = ("payments_by_contract", 1);

status! {
    /// Where a payment stands.
    PaymentStatus {
        /// It waits for an attempt.
        Created = "created",
        /// The provider works on an attempt.
        Processing = "processing",
        /// The payer has to do something at the provider.
        RequiresAction = "requires_action",
        /// The provider has set the money aside.
        Authorized = "authorized",
        /// The money came and went to escrow.
        Confirmed = "confirmed",
        /// Some of the money went back.
        PartlyRefunded = "partly_refunded",
        /// All of the money went back.
        Refunded = "refunded",
        /// Nobody wants to pay any more.
        Cancelled = "cancelled",
        /// It was not paid in time.
        Expired = "expired",
    }
}

impl PaymentStatus {
    fn is_awaited(self) -> bool {
        match self {
            Self::Created | Self::Processing | Self::RequiresAction | Self::Authorized => true,
            Self::Confirmed | Self::PartlyRefunded | Self::Refunded | Self::Cancelled | Self::Expired => {
                false
            }
        }
    }
}

status! {
    /// What became of an attempt to pay.
    AttemptStatus {
        /// The provider has not said its last word.
        Open = "open",
        /// The money did not come.
        Failed = "failed",
        /// The money came.
        Confirmed = "confirmed",
    }
}

/// One payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Payment {
    /// The payment.
    pub payment: PaymentId,
    /// Who pays.
    pub payer: AccountId,
    /// What is to be paid.
    pub amount: Money,
    /// For which contract.
    pub contract: ContractId,
    /// For which of its milestones, from 1.
    pub milestone: u32,
    /// Where it stands.
    pub status: PaymentStatus,
    /// Its attempts, in order.
    pub attempts: Vec<Attempt>,
    /// What goes or went back, in order.
    pub refunds: Vec<Refund>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Unpaid by then, it expires.
    pub expires_at: Timestamp,
    /// When the money came that went to escrow.
    pub confirmed_at: Option<Timestamp>,
    /// The version of its stream.
    pub version: Version,
}

/// One try to pay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// What it was paid with.
    pub method: PaymentMethodId,
    /// What became of it.
    pub status: AttemptStatus,
    /// The provider's reason when it failed, a stable code.
    pub code: Option<String>,
    /// What the provider calls the money.
    pub reference: Option<String>,
    /// When it was started.
    pub started_at: Timestamp,
}

/// Money that goes back to the payer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refund {
    /// Its number, from 1.
    pub refund: u32,
    /// The attempt that had brought it.
    pub attempt: u32,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: RefundReason,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When the provider gave it back.
    pub paid_at: Option<Timestamp>,
    /// Why the provider could not send it back, a stable code; it is still owed unless another took its place.
    pub failed: Option<String>,
    /// The refund that took its place.
    pub replaced_by: Option<u32>,
}

/// Payments by payment id.
pub const PAYMENTS: Collection<Payment> = Collection::new(
    "payments",
    &[
        Index { name: "by_contract", fields: &["contract", "created_at"] },
        Index { name: "by_payer", fields: &["payer", "created_at"] },
    ],
);

/// Folds payments.
#[derive(Clone, Copy, Debug)]
pub struct Payments;

impl Projection for Payments {
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
        const { &[PAYMENTS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let Event::Payment(payload) = &event.payload else {
            return Ok(Applied::Skipped("not a payment's event"));
        };
        let payment = PaymentId::from_uuid(event.stream.uuid);
        let key = payment.to_string();
        if let PaymentEvent::PaymentCreated(created) = payload {
            view.place(&PAYMENTS, &key, Payment::created(payment, created, event));
            return Ok(Applied::Changed);
        }
        let mut document = view.get(&PAYMENTS, &key)?.ok_or_else(|| ApplyError::absent("payment", &key))?;
        document.apply(event, payload)?;
        view.place(&PAYMENTS, &key, document);
        Ok(Applied::Changed)
    }
}

impl Payment {
    fn created(payment: PaymentId, created: &PaymentCreated, event: &RecordedEvent) -> Self {
        Self {
            payment,
            payer: created.payer,
            amount: created.amount,
            contract: created.contract,
            milestone: created.milestone,
            status: PaymentStatus::Created,
            attempts: Vec::new(),
            refunds: Vec::new(),
            created_at: event.stamp.time,
            expires_at: created.expires_at,
            confirmed_at: None,
            version: event.version,
        }
    }

    fn apply(&mut self, event: &RecordedEvent, payload: &PaymentEvent) -> Result<(), ApplyError> {
        let now = event.stamp.time;
        self.version = event.version;
        match payload {
            PaymentEvent::PaymentCreated(_) | PaymentEvent::PaymentTransferReturned(_) => {}
            PaymentEvent::PaymentAttemptStarted(started) => {
                let (attempt, method) = (started.attempt, started.method);
                let (status, code, reference) = (AttemptStatus::Open, None, None);
                self.attempts.push(Attempt { attempt, method, status, code, reference, started_at: now });
                self.status = PaymentStatus::Processing;
            }
            PaymentEvent::PaymentActionRequired(_) => self.status = PaymentStatus::RequiresAction,
            PaymentEvent::PaymentAuthorized(_) => self.status = PaymentStatus::Authorized,
            PaymentEvent::PaymentAttemptFailed(failed) => {
                let attempt = self.attempt(failed.attempt)?;
                attempt.status = AttemptStatus::Failed;
                attempt.code = Some(failed.code.clone());
                if self.status.is_awaited() {
                    self.status = PaymentStatus::Created;
                }
            }
            PaymentEvent::PaymentConfirmed(confirmed) => {
                self.attempt(confirmed.attempt)?.confirm(&confirmed.reference);
                self.status = PaymentStatus::Confirmed;
                self.confirmed_at = Some(now);
            }
            PaymentEvent::PaymentConfirmedLate(confirmed) => {
                self.attempt(confirmed.attempt)?.confirm(&confirmed.reference);
            }
            PaymentEvent::PaymentCancelled(_) => self.status = PaymentStatus::Cancelled,
            PaymentEvent::PaymentExpired(_) => self.status = PaymentStatus::Expired,
            PaymentEvent::PaymentRefundRequested(asked) => self.refunds.push(Refund {
                refund: asked.refund,
                attempt: asked.attempt,
                amount: asked.amount,
                reason: asked.reason,
                requested_at: now,
                paid_at: None,
                failed: None,
                replaced_by: None,
            }),
            PaymentEvent::PaymentRefunded(refunded) => self.refunded(refunded.refund, now)?,
            PaymentEvent::PaymentRefundFailed(failed) => {
                self.refund(failed.refund)?.failed = Some(failed.code.clone());
            }
            PaymentEvent::PaymentRefundReplaced(replaced) => {
                self.refund(replaced.refund)?.replaced_by = Some(replaced.by);
            }
        }
        Ok(())
    }

    fn attempt(&mut self, number: u32) -> Result<&mut Attempt, ApplyError> {
        let attempt = self.attempts.iter_mut().find(|attempt| attempt.attempt == number);
        attempt.ok_or_else(|| ApplyError::absent("attempt", &number.to_string()))
    }

    fn refund(&mut self, number: u32) -> Result<&mut Refund, ApplyError> {
        let refund = self.refunds.iter_mut().find(|refund| refund.refund == number);
        refund.ok_or_else(|| ApplyError::absent("refund", &number.to_string()))
    }

    /// What came late or twice was never the price: that it went back changes nothing about the payment.
    fn refunded(&mut self, number: u32, now: Timestamp) -> Result<(), ApplyError> {
        let refund = self.refund(number)?;
        refund.paid_at = Some(now);
        match refund.reason {
            RefundReason::Late | RefundReason::Repeated => {}
            RefundReason::Returned => {
                let paid =
                    |refund: &&Refund| refund.reason == RefundReason::Returned && refund.paid_at.is_some();
                let back = self.refunds.iter().filter(paid).map(|refund| refund.amount);
                let back = Money::sum(self.amount.currency(), back).map_err(|error| {
                    ApplyError::Poison(format!("the refunds of {}: {error}", self.payment))
                })?;
                let all = back == self.amount;
                self.status = if all { PaymentStatus::Refunded } else { PaymentStatus::PartlyRefunded };
            }
        }
        Ok(())
    }
}

impl Attempt {
    fn confirm(&mut self, reference: &str) {
        self.status = AttemptStatus::Confirmed;
        self.reference = Some(reference.to_owned());
    }
}

/// One payment; `None` when there is none.
///
/// # Errors
/// What the read store says.
pub async fn get(store: &dyn ReadStore, payment: PaymentId) -> Result<Option<Payment>, StoreError> {
    Reader::new(store, ID, &PAYMENTS).get(payment.to_string()).await
}

/// The payments for a contract's milestones, newest first.
///
/// # Errors
/// What the read store says.
pub async fn of_contract(
    store: &dyn ReadStore,
    contract: ContractId,
    page: PageRequest,
) -> Result<Page<Payment>, StoreError> {
    let filters = vec![Filter::Is("contract", contract.to_string().into())];
    Reader::new(store, ID, &PAYMENTS).find(filters, Order::descending("created_at"), page).await
}

/// The payments of `payer`, newest first.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    payer: AccountId,
    page: PageRequest,
) -> Result<Page<Payment>, StoreError> {
    let filters = vec![Filter::Is("payer", payer.to_string().into())];
    Reader::new(store, ID, &PAYMENTS).find(filters, Order::descending("created_at"), page).await
}
