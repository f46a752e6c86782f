//! Effects that were intended and have no outcome yet: what the provider is to be told, or asked about.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Event, RecordedEvent, Service, StreamId, Timestamp,
    ids::EventId,
    vocabulary::payments::{PaymentEvent, PayoutEvent},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View,
};

/// Name and version.
pub const ID: (&str, u32) = ("effects", 1);

/// What is to happen outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// A payer is asked for money: the attempt of a payment.
    Charge,
    /// Money goes back to a payer: the refund of a payment.
    Refund,
    /// Money is sent: the attempt of a payout.
    Payout,
}

impl EffectKind {
    fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Payout => "payout",
        }
    }
}

/// An open effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenEffect {
    /// The payment or payout that waits.
    pub stream: StreamId,
    /// What for.
    pub kind: EffectKind,
    /// The number of the attempt or refund, from 1.
    pub number: u32,
    /// When it was intended, domain time.
    pub requested_at: Timestamp,
    /// The event that intends it.
    pub requested_by: EventId,
    /// The request that all this goes back to, so that who issues it need not look for it on the log; see
    /// [`events::CommandStamp::correlation_id`].
    #[serde(default)]
    pub correlation_id: String,
    /// The trace that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl OpenEffect {
    /// The effect that `event` intends, if it intends one.
    pub fn intended_by(event: &RecordedEvent) -> Option<Self> {
        match change(&event.payload) {
            Some(Change::Intended(kind, number)) => Some(Self::of(event, kind, number)),
            Some(Change::Settled(..)) | None => None,
        }
    }

    fn of(event: &RecordedEvent, kind: EffectKind, number: u32) -> Self {
        Self {
            stream: event.stream,
            kind,
            number,
            requested_at: event.stamp.time,
            requested_by: event.id,
            correlation_id: event.stamp.correlation_id.clone(),
            traceparent: event.stamp.traceparent.clone(),
        }
    }
}

/// Effects by stream, kind and number.
pub const EFFECTS: Collection<OpenEffect> = Collection::new(
    "effects",
    &[
        Index { name: "by_request", fields: &["requested_at"] },
        Index { name: "by_stream", fields: &["stream", "number"] },
    ],
);

/// Folds effects.
#[derive(Clone, Copy, Debug)]
pub struct Effects;

/// What an event says of an effect.
enum Change {
    Intended(EffectKind, u32),
    Settled(EffectKind, u32),
}

impl Projection for Effects {
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
        const { &[EFFECTS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        match change(&event.payload) {
            None => return Ok(Applied::Skipped("intends no effect and settles none")),
            Some(Change::Intended(kind, number)) => {
                let effect = OpenEffect::of(event, kind, number);
                view.place(&EFFECTS, &key(event.stream, kind, number), effect);
            }
            Some(Change::Settled(kind, number)) => view.delete(&EFFECTS, &key(event.stream, kind, number)),
        }
        Ok(Applied::Changed)
    }
}

fn change(event: &Event) -> Option<Change> {
    match event {
        Event::Payment(event) => of_payment(event),
        Event::Payout(event) => of_payout(event),
        Event::Account(_)
        | Event::Login(_)
        | Event::Session(_)
        | Event::Registration(_)
        | Event::Job(_)
        | Event::Contract(_)
        | Event::Hire(_)
        | Event::Escrow(_)
        | Event::Wallet(_)
        | Event::PaymentMethod(_)
        | Event::PayoutDestination(_)
        | Event::Receipt(_)
        | Event::Funding(_)
        | Event::Release(_)
        | Event::PayoutRun(_)
        | Event::Reconciliation(_)
        | Event::TestClock(_) => None,
    }
}

fn of_payment(event: &PaymentEvent) -> Option<Change> {
    let change = match event {
        PaymentEvent::PaymentAttemptStarted(e) => Change::Intended(EffectKind::Charge, e.attempt),
        PaymentEvent::PaymentAttemptFailed(e) => Change::Settled(EffectKind::Charge, e.attempt),
        PaymentEvent::PaymentConfirmed(e) => Change::Settled(EffectKind::Charge, e.attempt),
        PaymentEvent::PaymentConfirmedLate(e) => Change::Settled(EffectKind::Charge, e.attempt),
        PaymentEvent::PaymentRefundRequested(e) => Change::Intended(EffectKind::Refund, e.refund),
        PaymentEvent::PaymentRefunded(e) => Change::Settled(EffectKind::Refund, e.refund),
        PaymentEvent::PaymentRefundFailed(e) => Change::Settled(EffectKind::Refund, e.refund),
        PaymentEvent::PaymentCreated(_)
        | PaymentEvent::PaymentActionRequired(_)
        | PaymentEvent::PaymentAuthorized(_)
        | PaymentEvent::PaymentCancelled(_)
        | PaymentEvent::PaymentExpired(_)
        | PaymentEvent::PaymentTransferReturned(_)
        | PaymentEvent::PaymentRefundReplaced(_) => return None,
    };
    Some(change)
}

fn of_payout(event: &PayoutEvent) -> Option<Change> {
    let change = match event {
        PayoutEvent::PayoutDispatched(e) => Change::Intended(EffectKind::Payout, e.attempt),
        PayoutEvent::PayoutPaid(e) => Change::Settled(EffectKind::Payout, e.attempt),
        PayoutEvent::PayoutFailed(e) => Change::Settled(EffectKind::Payout, e.attempt),
        PayoutEvent::PayoutRequested(_)
        | PayoutEvent::PayoutReviewRequested(_)
        | PayoutEvent::PayoutApproved(_)
        | PayoutEvent::PayoutRejected(_)
        | PayoutEvent::PayoutCancelled(_)
        | PayoutEvent::PayoutRequeued(_)
        | PayoutEvent::PayoutReversed(_) => return None,
    };
    Some(change)
}

fn key(stream: StreamId, kind: EffectKind, number: u32) -> String {
    format!("{stream}/{}/{number:010}", kind.name())
}

/// Open effects, the one that was intended first at the top.
///
/// # Errors
/// What the read store says.
pub async fn open(store: &dyn ReadStore, page: PageRequest) -> Result<Page<OpenEffect>, StoreError> {
    Reader::new(store, ID, &EFFECTS).find(Vec::new(), Order::ascending("requested_at"), page).await
}

/// The open effects of one payment or payout, by number.
///
/// # Errors
/// What the read store says.
pub async fn of_stream(
    store: &dyn ReadStore,
    stream: StreamId,
    page: PageRequest,
) -> Result<Page<OpenEffect>, StoreError> {
    let filters = vec![Filter::Is("stream", stream.to_string().into())];
    Reader::new(store, ID, &EFFECTS).find(filters, Order::ascending("number"), page).await
}
