//! What happened to somebody's money, newest first, each line with what caused it and what was left.
//!
//! The entries are written by the fold of the wallets ([`super::wallets`]); the contract and the milestone behind an entry
//! are looked up when a page is read.
#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};

use events::{
    Currency, Id, Money, RecordedEvent, Timestamp, Version,
    ids::{AccountId, WalletId},
    vocabulary::payments::CreditSource,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wallets::{Balance, Change, ID, WORKS, Work};
use crate::{
    Collection, Filter, Index, Order, Page, PageRequest, ReadStore, Reader, StoreError, status::status,
};

status! {
    /// What an entry does.
    EntryKind {
        /// Money came: earned, or a payout that was returned.
        Credited = "credited",
        /// Money that is here cannot be spent: for a while after it was earned, or because it is being paid out.
        Held = "held",
        /// It can be spent.
        Released = "released",
        /// Money that was held has left.
        Debited = "debited",
    }
}

/// One event of a wallet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// The wallet.
    pub wallet: WalletId,
    /// Whose it is.
    pub account: AccountId,
    /// In which currency.
    pub currency: Currency,
    /// What happened.
    pub kind: EntryKind,
    /// To how much.
    pub amount: Money,
    /// Because of which escrow or payout.
    pub cause: CreditSource,
    /// It becomes available then.
    pub until: Option<Timestamp>,
    /// All that was here afterwards.
    pub posted: Money,
    /// What could be spent afterwards.
    pub available: Money,
    /// When.
    pub at: Timestamp,
    /// The place in the wallet's stream.
    pub version: Version,
}

/// Entries by wallet and version.
pub const ENTRIES: Collection<Entry> = Collection::new(
    "entries",
    &[
        Index { name: "by_account", fields: &["account", "at"] },
        Index { name: "by_wallet", fields: &["wallet", "at"] },
    ],
);

/// Keys of one wallet sort as its events do, so entries of one instant come in order.
pub(super) fn key(event: &RecordedEvent) -> String {
    format!("{}/{:020}", WalletId::from_uuid(event.stream.uuid), event.version)
}

impl Entry {
    pub(super) fn new(event: &RecordedEvent, after: &Balance, change: &Change) -> Self {
        Self {
            wallet: after.wallet,
            account: after.account,
            currency: after.currency,
            kind: change.kind,
            amount: change.amount,
            cause: change.cause,
            until: change.until,
            posted: after.posted,
            available: after.available,
            at: event.stamp.time,
            version: event.version,
        }
    }
}

/// An entry, with the work behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// The entry.
    pub entry: Entry,
    /// What was worked, when it was earned by work.
    pub work: Option<Work>,
}

/// What happened to the money of `account`, newest first; only in `currency`, when it is given.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    account: AccountId,
    currency: Option<Currency>,
    page: PageRequest,
) -> Result<Page<Line>, StoreError> {
    let filter = match currency {
        Some(currency) => Filter::Is("wallet", WalletId::of(account, currency).to_string().into()),
        None => Filter::Is("account", account.to_string().into()),
    };
    let entries = Reader::new(store, ID, &ENTRIES).find(vec![filter], Order::descending("at"), page).await?;
    let escrows: BTreeSet<String> = entries.items.iter().filter_map(escrow).collect();
    let works = Reader::new(store, ID, &WORKS).get_many(escrows.iter().cloned()).await?;
    let works: BTreeMap<String, Work> =
        escrows.into_iter().zip(works).filter_map(|(key, work)| Some((key, work?))).collect();
    Ok(entries.map(|entry| {
        let work = escrow(&entry).and_then(|escrow| works.get(&escrow).copied());
        Line { entry, work }
    }))
}

fn escrow(entry: &Entry) -> Option<String> {
    match entry.cause {
        CreditSource::Escrow { escrow } => Some(escrow.to_string()),
        CreditSource::Payout { .. } => None,
    }
}
