//! What an account pays with and where it is paid: what the provider calls them, and labels that only their owner reads.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Currency, Event, Id, Personal, RecordedEvent, Service, Timestamp, Version,
    ids::{AccountId, PaymentMethodId, PayoutDestinationId},
    vocabulary::payments::{PaymentMethodEvent, PayoutDestinationEvent},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View,
};

/// Name and version.
pub const ID: (&str, u32) = ("methods", 1);

/// A means of paying.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentMethod {
    /// The means.
    pub method: PaymentMethodId,
    /// Whose it is.
    pub owner: AccountId,
    /// What the provider calls it.
    pub token: String,
    /// By which its owner knows it, sealed: a brand and four digits.
    pub label: Personal<String>,
    /// When it was added.
    pub added_at: Timestamp,
    /// The version of its stream.
    pub version: Version,
}

/// A place where somebody is paid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutDestination {
    /// The place.
    pub destination: PayoutDestinationId,
    /// Whose it is.
    pub owner: AccountId,
    /// What the provider calls it.
    pub token: String,
    /// What it takes.
    pub currency: Currency,
    /// By which its owner knows it, sealed: a bank and four digits.
    pub label: Personal<String>,
    /// When it was added.
    pub added_at: Timestamp,
    /// The version of its stream.
    pub version: Version,
}

/// Means of paying by their id, until they are removed.
pub const METHODS: Collection<PaymentMethod> =
    Collection::new("payment_methods", &[Index { name: "by_owner", fields: &["owner", "added_at"] }]);

/// Places by their id, until they are removed.
pub const DESTINATIONS: Collection<PayoutDestination> =
    Collection::new("payout_destinations", &[Index { name: "by_owner", fields: &["owner", "added_at"] }]);

/// Folds means of paying and places where somebody is paid.
#[derive(Clone, Copy, Debug)]
pub struct Methods;

impl Projection for Methods {
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
        const { &[METHODS.spec, DESTINATIONS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let (added_at, version) = (event.stamp.time, event.version);
        if let Event::PaymentMethod(payload) = &event.payload {
            let method = PaymentMethodId::from_uuid(event.stream.uuid);
            match payload {
                PaymentMethodEvent::PaymentMethodAdded(added) => {
                    let (owner, token, label) = (added.owner, added.token.clone(), added.label.clone());
                    let document = PaymentMethod { method, owner, token, label, added_at, version };
                    view.place(&METHODS, &method.to_string(), document);
                }
                PaymentMethodEvent::PaymentMethodRemoved(_) => view.delete(&METHODS, &method.to_string()),
            }
            return Ok(Applied::Changed);
        }
        if let Event::PayoutDestination(payload) = &event.payload {
            let destination = PayoutDestinationId::from_uuid(event.stream.uuid);
            let key = destination.to_string();
            match payload {
                PayoutDestinationEvent::PayoutDestinationAdded(added) => {
                    let (owner, token, label) = (added.owner, added.token.clone(), added.label.clone());
                    let currency = added.currency;
                    let document =
                        PayoutDestination { destination, owner, token, currency, label, added_at, version };
                    view.place(&DESTINATIONS, &key, document);
                }
                PayoutDestinationEvent::PayoutDestinationRemoved(_) => view.delete(&DESTINATIONS, &key),
            }
            return Ok(Applied::Changed);
        }
        Ok(Applied::Skipped("no means of paying or of being paid"))
    }
}

/// What `owner` pays with, newest first.
///
/// # Errors
/// What the read store says.
pub async fn payment_methods(
    store: &dyn ReadStore,
    owner: AccountId,
    page: PageRequest,
) -> Result<Page<PaymentMethod>, StoreError> {
    let filters = vec![Filter::Is("owner", owner.to_string().into())];
    Reader::new(store, ID, &METHODS).find(filters, Order::descending("added_at"), page).await
}

/// Where `owner` is paid, newest first.
///
/// # Errors
/// What the read store says.
pub async fn payout_destinations(
    store: &dyn ReadStore,
    owner: AccountId,
    page: PageRequest,
) -> Result<Page<PayoutDestination>, StoreError> {
    let filters = vec![Filter::Is("owner", owner.to_string().into())];
    Reader::new(store, ID, &DESTINATIONS).find(filters, Order::descending("added_at"), page).await
}

/// One means of paying; `None` when there is none, or none any more.
///
/// # Errors
/// What the read store says.
pub async fn payment_method(
    store: &dyn ReadStore,
    method: PaymentMethodId,
) -> Result<Option<PaymentMethod>, StoreError> {
    Reader::new(store, ID, &METHODS).get(method.to_string()).await
}

/// One place; `None` when there is none, or none any more.
///
/// # Errors
/// What the read store says.
pub async fn payout_destination(
    store: &dyn ReadStore,
    destination: PayoutDestinationId,
) -> Result<Option<PayoutDestination>, StoreError> {
    Reader::new(store, ID, &DESTINATIONS).get(destination.to_string()).await
}
