//! What somebody has, in each currency: posted, held for a while after it was earned, on its way out, available.
//!
//! One fold of the wallets' streams gives the balances here and the [`super::statement`], so that the balance a statement
//! ends with is the balance there is. Holds are documents of their own as long as they last, so a balance stays small.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Currency, Event, Id, Money, RecordedEvent, Service, Timestamp, Version,
    ids::{AccountId, ContractId, EscrowId, HoldId, WalletId},
    vocabulary::payments::{CreditSource, EscrowEvent, HoldReason, WalletCredited, WalletEvent},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statement::{self, Entry, EntryKind};
use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View,
};

/// Name and version.
pub const ID: (&str, u32) = ("wallets", 1);

/// One account's money in one currency. posted = pending + in payout + available.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Balance {
    /// The wallet.
    pub wallet: WalletId,
    /// Whose it is.
    pub account: AccountId,
    /// In which currency.
    pub currency: Currency,
    /// All that is here.
    pub posted: Money,
    /// Earned just now, and not to be spent yet.
    pub pending: Money,
    /// Being paid out.
    pub in_payout: Money,
    /// What can be spent.
    pub available: Money,
    /// When it changed last.
    pub changed_at: Timestamp,
    /// The version of its stream.
    pub version: Version,
}

/// Money in a wallet that cannot be spent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// The hold.
    pub hold: HoldId,
    /// In which wallet.
    pub wallet: WalletId,
    /// How much.
    pub amount: Money,
    /// Why, and until when.
    pub reason: HoldReason,
    /// Since when.
    pub held_at: Timestamp,
}

/// What an escrow's money is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Work {
    /// The contract.
    pub contract: ContractId,
    /// Its milestone, from 1.
    pub milestone: u32,
}

/// Balances by wallet id.
pub const BALANCES: Collection<Balance> =
    Collection::new("balances", &[Index { name: "by_account", fields: &["account", "currency"] }]);

/// Holds by hold id, as long as they last.
pub const HOLDS: Collection<Hold> =
    Collection::new("holds", &[Index { name: "by_wallet", fields: &["wallet", "held_at"] }]);

/// What was worked, by escrow id.
pub const WORKS: Collection<Work> = Collection::new("works", &[]);

/// Folds wallets.
#[derive(Clone, Copy, Debug)]
pub struct Wallets;

impl Projection for Wallets {
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
        const { &[BALANCES.spec, HOLDS.spec, WORKS.spec, statement::ENTRIES.spec] }
    }
    fn halt_on_failure(&self) -> bool {
        true
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        if let Event::Escrow(EscrowEvent::EscrowOpened(opened)) = &event.payload {
            let work = Work { contract: opened.contract, milestone: opened.milestone };
            view.place(&WORKS, &EscrowId::from_uuid(event.stream.uuid).to_string(), work);
            return Ok(Applied::Changed);
        }
        let Event::Wallet(payload) = &event.payload else {
            return Ok(Applied::Skipped("not a wallet's event"));
        };
        let Some(change) = Change::of(event, payload, view)? else {
            return Ok(Applied::Skipped("no money was moved or held"));
        };
        let key = WalletId::from_uuid(event.stream.uuid).to_string();
        let before = view.get(&BALANCES, &key)?;
        let before = match (before, payload) {
            (Some(before), _) => before,
            (None, WalletEvent::WalletCredited(credited)) => Balance::empty(event, credited),
            (
                None,
                WalletEvent::FundsHeld(_)
                | WalletEvent::HoldDeclined(_)
                | WalletEvent::HoldReleased(_)
                | WalletEvent::WalletDebited(_),
            ) => return Err(ApplyError::absent("wallet", &key)),
        };
        let balance = before.after(event, &change)?;
        let entry = Entry::new(event, &balance, &change);
        view.place(&statement::ENTRIES, &statement::key(event), entry);
        view.place(&BALANCES, &key, balance);
        Ok(Applied::Changed)
    }
}

/// What an event does to a wallet.
pub(super) struct Change {
    pub(super) kind: EntryKind,
    pub(super) amount: Money,
    pub(super) cause: CreditSource,
    /// It becomes available then.
    pub(super) until: Option<Timestamp>,
}

impl Change {
    /// Nothing for an event that changes nothing. Holds come and go on the way.
    fn of(event: &RecordedEvent, payload: &WalletEvent, view: &mut View) -> Result<Option<Self>, ApplyError> {
        let wallet = WalletId::from_uuid(event.stream.uuid);
        Ok(Some(match payload {
            WalletEvent::WalletCredited(credited) => {
                let (amount, cause) = (credited.amount, credited.source);
                Self { kind: EntryKind::Credited, amount, cause, until: None }
            }
            WalletEvent::FundsHeld(held) => {
                let (hold, amount, reason) = (held.hold, held.amount, held.reason);
                let document = Hold { hold, wallet, amount, reason, held_at: event.stamp.time };
                view.place(&HOLDS, &hold.to_string(), document);
                Self { kind: EntryKind::Held, amount, cause: cause_of(reason), until: until(reason) }
            }
            WalletEvent::HoldReleased(released) => {
                let reason = end_hold(released.hold, released.amount, view)?;
                let (amount, cause) = (released.amount, cause_of(reason));
                Self { kind: EntryKind::Released, amount, cause, until: None }
            }
            WalletEvent::WalletDebited(debited) => {
                let reason = end_hold(debited.hold, debited.amount, view)?;
                let (amount, cause) = (debited.amount, cause_of(reason));
                Self { kind: EntryKind::Debited, amount, cause, until: None }
            }
            WalletEvent::HoldDeclined(_) => return Ok(None),
        }))
    }
}

/// The reason of a hold, which ends.
fn end_hold(hold: HoldId, amount: Money, view: &mut View) -> Result<HoldReason, ApplyError> {
    let key = hold.to_string();
    let held = view.get(&HOLDS, &key)?.ok_or_else(|| ApplyError::absent("hold", &key))?;
    if held.amount != amount {
        return Err(ApplyError::Poison(format!("{key} holds {} and {amount} of it is to end", held.amount)));
    }
    view.delete(&HOLDS, &key);
    Ok(held.reason)
}

fn cause_of(reason: HoldReason) -> CreditSource {
    match reason {
        HoldReason::Earned { escrow, .. } => CreditSource::Escrow { escrow },
        HoldReason::Payout { payout } => CreditSource::Payout { payout },
    }
}

fn until(reason: HoldReason) -> Option<Timestamp> {
    match reason {
        HoldReason::Earned { until, .. } => Some(until),
        HoldReason::Payout { .. } => None,
    }
}

impl Balance {
    fn empty(event: &RecordedEvent, credited: &WalletCredited) -> Self {
        let currency = credited.amount.currency();
        let nothing = Money::zero(currency);
        Self {
            wallet: WalletId::from_uuid(event.stream.uuid),
            account: credited.account,
            currency,
            posted: nothing,
            pending: nothing,
            in_payout: nothing,
            available: nothing,
            changed_at: event.stamp.time,
            version: 0,
        }
    }

    fn after(mut self, event: &RecordedEvent, change: &Change) -> Result<Self, ApplyError> {
        let amount = change.amount;
        let held = match change.cause {
            CreditSource::Escrow { .. } => &mut self.pending,
            CreditSource::Payout { .. } => &mut self.in_payout,
        };
        match change.kind {
            EntryKind::Credited => self.posted = sum(self.posted, amount)?,
            EntryKind::Held => *held = sum(*held, amount)?,
            EntryKind::Released => *held = difference(*held, amount)?,
            EntryKind::Debited => {
                *held = difference(*held, amount)?;
                self.posted = difference(self.posted, amount)?;
            }
        }
        self.available = difference(self.posted, sum(self.pending, self.in_payout)?)?;
        self.changed_at = event.stamp.time;
        self.version = event.version;
        Ok(self)
    }
}

pub(super) fn sum(one: Money, other: Money) -> Result<Money, ApplyError> {
    one.checked_add(other).map_err(|error| ApplyError::Poison(format!("{one} and {other}: {error}")))
}

/// What is left, which is never less than nothing.
pub(super) fn difference(whole: Money, part: Money) -> Result<Money, ApplyError> {
    match whole.checked_sub(part) {
        Ok(rest) if rest.minor() >= 0 => Ok(rest),
        Ok(_) => Err(ApplyError::Poison(format!("{part} is to leave where there is {whole}"))),
        Err(error) => Err(ApplyError::Poison(format!("{whole} less {part}: {error}"))),
    }
}

/// What `account` has in `currency`; `None` before any money came.
///
/// # Errors
/// What the read store says.
pub async fn balance(
    store: &dyn ReadStore,
    account: AccountId,
    currency: Currency,
) -> Result<Option<Balance>, StoreError> {
    Reader::new(store, ID, &BALANCES).get(WalletId::of(account, currency).to_string()).await
}

/// What `account` has, by currency.
///
/// # Errors
/// What the read store says.
pub async fn balances(
    store: &dyn ReadStore,
    account: AccountId,
    page: PageRequest,
) -> Result<Page<Balance>, StoreError> {
    let filters = vec![Filter::Is("account", account.to_string().into())];
    Reader::new(store, ID, &BALANCES).find(filters, Order::ascending("currency"), page).await
}

/// What of the money of `account` in `currency` cannot be spent, the oldest hold first.
///
/// # Errors
/// What the read store says.
pub async fn holds(
    store: &dyn ReadStore,
    account: AccountId,
    currency: Currency,
    page: PageRequest,
) -> Result<Page<Hold>, StoreError> {
    let filters = vec![Filter::Is("wallet", WalletId::of(account, currency).to_string().into())];
    Reader::new(store, ID, &HOLDS).find(filters, Order::ascending("held_at"), page).await
}
