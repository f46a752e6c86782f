//! The provider's side of a comparison: what it has of ours, and what it did that the cut does not have yet.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use events::{
    Category, Currency, Event, Id, Money, RecordedEvent, StreamId, Timestamp,
    log::EventLog,
    vocabulary::payments::{PaymentEvent, PayoutEvent},
};

use super::{ReconcileError, aggregates::events_of, ledger::Cut};
use crate::payments::{Balances, BookEntry, Movement, PaymentProvider, Reference};

/// What the provider says.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderSide {
    /// Its books were read from then, by its clock,
    pub from: Timestamp,
    /// until then, included.
    pub until: Timestamp,
    /// What it has of ours, by currency, minor units.
    pub totals: BTreeMap<&'static str, (Currency, i128)>,
    /// What it did that the cut does not have.
    pub waiting: Vec<Waiting>,
    /// What was entered with another amount.
    pub amounts: Vec<OtherAmount>,
}

/// Money that moved at the provider and that the cut does not have.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// Our reference, as the provider has it.
    pub reference: String,
    /// What the provider has more of since; less than nothing when it left.
    pub amount: Money,
    /// When, by its clock.
    pub at: Timestamp,
    /// We ordered that.
    pub is_ours: bool,
}

/// Money that was entered with another amount than it moved with.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherAmount {
    /// Our reference.
    pub reference: String,
    /// What was entered.
    pub entered: Money,
    /// What moved.
    pub moved: Money,
}

/// How often a moment is looked for in which nothing moves at the provider.
const TRIES_MAX: usize = 50;
/// Entries of the provider's books that one comparison looks at.
const ENTRIES_MAX: usize = 1_000_000;

/// Reads the provider's books from `from`, which has to be asked after the cut was made.
pub(super) async fn read(
    provider: &dyn PaymentProvider,
    log: &Arc<dyn EventLog>,
    cut: &Cut,
    from: Timestamp,
) -> Result<ProviderSide, ReconcileError> {
    let (balances, entries) = books(provider, from).await?;
    let totals = balances.currencies.iter().map(|balance| {
        let total =
            balance.available_minor + balance.refunds_under_way_minor + balance.payouts_under_way_minor;
        (balance.currency.code(), (balance.currency, total))
    });
    let (totals, until) = (totals.collect(), balances.at);
    let (log, cut) = (Arc::clone(log), cut.clone());
    let sorted = tokio::task::spawn_blocking(move || sort_out(log.as_ref(), &cut, &entries)).await;
    let (waiting, amounts) = sorted.map_err(|error| ReconcileError::NotNow(error.to_string()))??;
    Ok(ProviderSide { from, until, totals, waiting, amounts })
}

/// The balances, and all entries that are in them. Its clock is coarse: an entry of the very instant of the balances may be
/// in them or not, so an instant is taken that has none.
async fn books(
    provider: &dyn PaymentProvider,
    from: Timestamp,
) -> Result<(Balances, Vec<BookEntry>), ReconcileError> {
    for _ in 0..TRIES_MAX {
        let balances = provider.balances().await?;
        let until = balances.at.plus_millis(1);
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let page = provider.books(from, until, after.as_deref()).await?;
            entries.extend(page.entries);
            if entries.len() > ENTRIES_MAX {
                return Err(ReconcileError::NotNow(format!("there are more than {ENTRIES_MAX} entries")));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if entries.iter().all(|entry: &BookEntry| entry.at < balances.at) {
            return Ok((balances, entries));
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    Err(ReconcileError::NotNow("the provider's books do not stand still".to_owned()))
}

fn sort_out(
    log: &dyn EventLog,
    cut: &Cut,
    entries: &[BookEntry],
) -> Result<(Vec<Waiting>, Vec<OtherAmount>), ReconcileError> {
    let (mut waiting, mut amounts) = (Vec::new(), Vec::new());
    for entry in entries {
        let Some(amount) = effect(entry) else { continue };
        let (reference, at) = (entry.reference.clone(), entry.at);
        let found = match entry.ours() {
            Some(ours) => find(&events_of(log, stream_of(ours))?, ours, entry.movement, cut),
            None => Found::Nowhere,
        };
        match found {
            Found::Entered(entered) if entered == entry.amount => {}
            Found::Entered(entered) => amounts.push(OtherAmount { reference, entered, moved: entry.amount }),
            Found::Ordered => waiting.push(Waiting { reference, amount, at, is_ours: true }),
            Found::Nowhere => waiting.push(Waiting { reference, amount, at, is_ours: false }),
        }
    }
    Ok((waiting, amounts))
}

/// What the provider has more of since; nothing when money was only set aside.
fn effect(entry: &BookEntry) -> Option<Money> {
    let less = Money::new(entry.amount.minor().saturating_neg(), entry.amount.currency());
    match entry.movement {
        Movement::ChargeSucceeded | Movement::PayoutReturned => Some(entry.amount),
        Movement::RefundSucceeded | Movement::PayoutPaid => Some(less),
        Movement::RefundCreated
        | Movement::RefundFailed
        | Movement::PayoutCreated
        | Movement::PayoutFailed => None,
    }
}

fn stream_of(reference: Reference) -> StreamId {
    match reference {
        Reference::Attempt { payment, .. } | Reference::Refund { payment, .. } => {
            StreamId { category: Category::Payment, uuid: payment.uuid() }
        }
        Reference::Payout { payout, .. } => StreamId { category: Category::Payout, uuid: payout.uuid() },
    }
}

/// What we know of a movement.
enum Found {
    /// The cut has it, with this amount.
    Entered(Money),
    /// We ordered it.
    Ordered,
    /// We did not.
    Nowhere,
}

fn find(events: &[RecordedEvent], reference: Reference, movement: Movement, cut: &Cut) -> Found {
    let mut ordered = false;
    for event in events {
        ordered |= is_order(&event.payload, reference);
        if let Some(amount) = entered(&event.payload, reference, movement)
            && cut.holds(amount, event.position)
        {
            return Found::Entered(amount);
        }
    }
    if ordered { Found::Ordered } else { Found::Nowhere }
}

fn is_order(event: &Event, reference: Reference) -> bool {
    match (event, reference) {
        (Event::Payment(PaymentEvent::PaymentAttemptStarted(e)), Reference::Attempt { attempt, .. }) => {
            e.attempt == attempt
        }
        (Event::Payment(PaymentEvent::PaymentRefundRequested(e)), Reference::Refund { refund, .. }) => {
            e.refund == refund
        }
        (Event::Payout(PayoutEvent::PayoutDispatched(e)), Reference::Payout { attempt, .. }) => {
            e.attempt == attempt
        }
        _ => false,
    }
}

/// The amount that an event enters for a movement.
fn entered(event: &Event, reference: Reference, movement: Movement) -> Option<Money> {
    match (event, reference) {
        (Event::Payment(PaymentEvent::PaymentConfirmed(e)), Reference::Attempt { attempt, .. }) => {
            (e.attempt == attempt).then_some(e.amount)
        }
        (Event::Payment(PaymentEvent::PaymentConfirmedLate(e)), Reference::Attempt { attempt, .. }) => {
            (e.attempt == attempt).then_some(e.amount)
        }
        (Event::Payment(PaymentEvent::PaymentRefunded(e)), Reference::Refund { refund, .. }) => {
            (e.refund == refund).then_some(e.amount)
        }
        (Event::Payout(PayoutEvent::PayoutPaid(e)), Reference::Payout { attempt, .. }) => {
            (e.attempt == attempt && movement == Movement::PayoutPaid).then_some(e.amount)
        }
        (Event::Payout(PayoutEvent::PayoutReversed(e)), Reference::Payout { attempt, .. }) => {
            (e.attempt == attempt && movement == Movement::PayoutReturned).then_some(e.amount)
        }
        _ => None,
    }
}
