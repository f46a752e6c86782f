//! The ledger: every entry of the journal, what its accounts come to at any instant, and the money that is on its way.
//!
//! Balances are sums of postings, and sums know no order, so streams may interleave as they like. A sum is kept for every
//! minute, hour, day and month: what an account came to at some instant is at most a few hundred of them and the entries
//! of one minute ([`super::trial_balance`]). No sum is read or written more than once in a batch, however busy it is.
#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use events::{
    Currency, Money, Offset, RecordedEvent, Service, StreamId, Timestamp, Version, ids::TransferId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    journal::{JournalEntry, LedgerAccount, Posting, Side, TransferMove, entry_of},
    transfers::{self, TRANSFERS},
    trial_balance::{AT_ONCE, following},
};
use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View, status::status,
};

/// Name and version.
pub const ID: (&str, u32) = ("ledger", 1);

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerEntry {
    /// The stream of the event.
    pub stream: StreamId,
    /// Its place there.
    pub version: Version,
    /// The event's name.
    pub event: String,
    /// When, domain time.
    pub at: Timestamp,
    /// In which currency.
    pub currency: Currency,
    /// Debits and credits, which sum to the same.
    pub postings: Vec<Posting>,
    /// The accounts they are of.
    pub accounts: Vec<LedgerAccount>,
    /// The transfer that it opens or takes.
    pub transfer: Option<TransferId>,
}

/// What was posted to an account, all together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Turnover {
    /// On the left.
    pub debit: Money,
    /// On the right.
    pub credit: Money,
}

/// What was posted to each account of one currency.
pub type Turnovers = BTreeMap<LedgerAccount, Turnover>;

status! {
    /// How long a span of time is.
    Span {
        /// A month.
        Month = "month",
        /// A day.
        Day = "day",
        /// An hour.
        Hour = "hour",
        /// A minute.
        Minute = "minute",
    }
}

impl Span {
    /// The span that `at` lies in, as the beginning of its text: `2026-03-20T08` for an hour.
    pub(super) fn text(self, at: &str) -> &str {
        let characters = match self {
            Self::Month => 7,
            Self::Day => 10,
            Self::Hour => 13,
            Self::Minute => 16,
        };
        &at[..characters]
    }
}

/// What was posted within a span of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Period {
    /// How long it is.
    pub span: Span,
    /// Which: the beginning of the times that lie in it.
    pub period: String,
    /// In which currency.
    pub currency: Currency,
    /// To which accounts.
    pub turnovers: Turnovers,
}

/// Everything that was ever posted, from one partition of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Total {
    /// In which currency.
    pub currency: Currency,
    /// From which partition.
    pub partition: u32,
    /// The last event that is in it.
    pub through: Offset,
    /// How many entries there were.
    pub entries: u64,
    /// To which accounts.
    pub turnovers: Turnovers,
}

status! {
    /// Whether an aggregate has money.
    Standing {
        /// It has.
        Open = "open",
        /// It has none any more.
        Settled = "settled",
    }
}

/// What one aggregate has, as its entries tell it: the subsidiary ledger of escrows, wallets and payments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Holding {
    /// Whose.
    pub stream: StreamId,
    /// In which currency.
    pub currency: Currency,
    /// How much of each account, minor units: credits less debits.
    pub minor: BTreeMap<LedgerAccount, i64>,
    /// Whether that is anything.
    pub standing: Standing,
    /// When it changed last.
    pub changed_at: Timestamp,
    /// The event that changed it last.
    pub version: Version,
}

/// Entries by stream and version.
pub const ENTRIES: Collection<LedgerEntry> = Collection::new(
    "entries",
    &[
        Index { name: "by_time", fields: &["at"] },
        Index { name: "by_account", fields: &["accounts", "currency", "at"] },
    ],
)
.with_arrays(&["accounts"]);

/// Sums by span, period and currency.
pub const PERIODS: Collection<Period> =
    Collection::new("periods", &[Index { name: "by_span", fields: &["span", "period"] }]);

/// Sums by currency and partition.
pub const TOTALS: Collection<Total> =
    Collection::new("totals", &[Index { name: "by_currency", fields: &["currency"] }]);

/// What aggregates have, by stream.
pub const HOLDINGS: Collection<Holding> =
    Collection::new("holdings", &[Index { name: "by_standing", fields: &["standing", "changed_at"] }]);

/// Folds the journal.
#[derive(Clone, Copy, Debug)]
pub struct Ledger;

impl Projection for Ledger {
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
        Shape::Joined
    }
    fn collections(&self) -> &'static [CollectionSpec] {
        const { &[ENTRIES.spec, PERIODS.spec, TOTALS.spec, HOLDINGS.spec, TRANSFERS.spec] }
    }
    fn halt_on_failure(&self) -> bool {
        true
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let entry = entry_of(&event.payload).map_err(|error| impossible(event, &error))?;
        let Some(entry) = entry else { return Ok(Applied::Skipped("moves no money")) };
        if let Some(change) = entry.transfer {
            transfers::apply(event, change, view)?;
        }
        if entry.postings.is_empty() {
            return Ok(Applied::Changed);
        }
        add_to_total(event, &entry, view)?;
        add_to_periods(event, &entry, view)?;
        add_to_holding(event, &entry, view)?;
        let key = format!("{}/{:020}", event.stream, event.version);
        view.place(&ENTRIES, &key, LedgerEntry::new(event, entry));
        Ok(Applied::Changed)
    }
}

/// What an event cannot be, in a sentence that names it.
pub(super) fn impossible(event: &RecordedEvent, why: &impl std::fmt::Display) -> ApplyError {
    let (name, stream, version) = (event.payload.name(), event.stream, event.version);
    ApplyError::Poison(format!("{name} (event {version} of {stream}) cannot be entered: {why}"))
}

impl LedgerEntry {
    fn new(event: &RecordedEvent, entry: JournalEntry) -> Self {
        let mut accounts: Vec<_> = entry.postings.iter().map(|posting| posting.account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        Self {
            stream: event.stream,
            version: event.version,
            event: event.payload.name().to_owned(),
            at: event.stamp.time,
            currency: entry.currency,
            postings: entry.postings,
            accounts,
            transfer: entry.transfer.map(|change| match change {
                TransferMove::Opens { transfer, .. } | TransferMove::Takes { transfer, .. } => transfer,
            }),
        }
    }
}

/// Adds `postings` to the sums of their accounts.
///
/// # Errors
/// Sums that are too large.
pub(super) fn add_up(turnovers: &mut Turnovers, postings: &[Posting]) -> Result<(), events::MoneyError> {
    for posting in postings {
        let nothing = Money::zero(posting.amount.currency());
        let turnover =
            turnovers.entry(posting.account).or_insert(Turnover { debit: nothing, credit: nothing });
        let side = match posting.side {
            Side::Debit => &mut turnover.debit,
            Side::Credit => &mut turnover.credit,
        };
        *side = side.checked_add(posting.amount)?;
    }
    Ok(())
}

fn add_to_total(event: &RecordedEvent, entry: &JournalEntry, view: &mut View) -> Result<(), ApplyError> {
    let (currency, partition) = (entry.currency, event.position.partition.number);
    let key = format!("{currency}/{partition:05}");
    let total = view.get(&TOTALS, &key)?;
    let mut total = total.unwrap_or_else(|| Total {
        currency,
        partition: partition.into(),
        through: event.position.offset,
        entries: 0,
        turnovers: Turnovers::new(),
    });
    add_up(&mut total.turnovers, &entry.postings).map_err(|error| impossible(event, &error))?;
    total.through = total.through.max(event.position.offset);
    total.entries += 1;
    view.place(&TOTALS, &key, total);
    Ok(())
}

fn add_to_periods(event: &RecordedEvent, entry: &JournalEntry, view: &mut View) -> Result<(), ApplyError> {
    let (at, currency) = (event.stamp.time.to_string(), entry.currency);
    for span in Span::ALL {
        let period = span.text(&at);
        let key = format!("{}/{period}/{currency}", span.name());
        let sums = view.get(&PERIODS, &key)?;
        let mut sums = sums.unwrap_or_else(|| Period {
            span: *span,
            period: period.to_owned(),
            currency,
            turnovers: Turnovers::new(),
        });
        add_up(&mut sums.turnovers, &entry.postings).map_err(|error| impossible(event, &error))?;
        view.place(&PERIODS, &key, sums);
    }
    Ok(())
}

/// A stream has events of its own only, in order: what it has may not go below nothing.
fn add_to_holding(event: &RecordedEvent, entry: &JournalEntry, view: &mut View) -> Result<(), ApplyError> {
    let kept = |posting: &&Posting| posting.account.is_kept_by_aggregates();
    if !entry.postings.iter().any(|posting| kept(&posting)) {
        return Ok(());
    }
    let key = event.stream.to_string();
    let holding = view.get(&HOLDINGS, &key)?;
    let mut holding = holding.unwrap_or_else(|| Holding {
        stream: event.stream,
        currency: entry.currency,
        minor: BTreeMap::new(),
        standing: Standing::Settled,
        changed_at: event.stamp.time,
        version: event.version,
    });
    if holding.currency != entry.currency {
        return Err(impossible(event, &format!("its stream has {}", holding.currency)));
    }
    for posting in entry.postings.iter().filter(kept) {
        let before = holding.minor.get(&posting.account).copied().unwrap_or_default();
        let after = match posting.side {
            Side::Debit => before.checked_sub(posting.amount.minor()),
            Side::Credit => before.checked_add(posting.amount.minor()),
        };
        let name = posting.account.name();
        let after = after.filter(|after| *after >= 0).ok_or_else(|| {
            let before = Money::new(before, entry.currency);
            impossible(event, &format!("{} leaves {name} where there is {before}", posting.amount))
        })?;
        holding.minor.insert(posting.account, after);
    }
    let open = holding.minor.values().any(|minor| *minor != 0);
    holding.standing = if open { Standing::Open } else { Standing::Settled };
    (holding.changed_at, holding.version) = (event.stamp.time, event.version);
    view.place(&HOLDINGS, &key, holding);
    Ok(())
}

/// The entries that touch `account` in `currency`, newest first.
///
/// # Errors
/// What the read store says.
pub async fn entries(
    store: &dyn ReadStore,
    account: LedgerAccount,
    currency: Currency,
    page: PageRequest,
) -> Result<Page<LedgerEntry>, StoreError> {
    let filters =
        vec![Filter::Has("accounts", account.into()), Filter::Is("currency", currency.code().into())];
    Reader::new(store, ID, &ENTRIES).find(filters, Order::descending("at"), page).await
}

/// All entries from `from` to `to`, both included, oldest first.
///
/// # Errors
/// What the read store says.
pub async fn journal(
    store: &dyn ReadStore,
    from: Timestamp,
    to: Timestamp,
    page: PageRequest,
) -> Result<Page<LedgerEntry>, StoreError> {
    let filters = vec![Filter::AtLeast("at", from.into()), Filter::AtMost("at", to.into())];
    Reader::new(store, ID, &ENTRIES).find(filters, Order::ascending("at"), page).await
}

/// Everything that was ever posted, by currency, from each partition: each document says up to which event.
///
/// # Errors
/// What the read store says.
pub async fn totals(store: &dyn ReadStore) -> Result<Vec<Total>, StoreError> {
    let reader = Reader::new(store, ID, &TOTALS);
    let (mut totals, mut next) = (Vec::new(), Some(PageRequest::first(AT_ONCE)));
    while let Some(page) = next.take() {
        let mut found = reader.find(Vec::new(), Order::ascending("currency"), page).await?;
        totals.append(&mut found.items);
        next = following(&found);
    }
    Ok(totals)
}

/// What aggregates have, the one that changed longest ago first; only those that changed at `since` or later, when it is
/// given.
///
/// # Errors
/// What the read store says.
pub async fn holdings(
    store: &dyn ReadStore,
    standing: Standing,
    since: Option<Timestamp>,
    page: PageRequest,
) -> Result<Page<Holding>, StoreError> {
    let mut filters = vec![Filter::Is("standing", standing.into())];
    filters.extend(since.map(|since| Filter::AtLeast("changed_at", since.into())));
    Reader::new(store, ID, &HOLDINGS).find(filters, Order::ascending("changed_at"), page).await
}
