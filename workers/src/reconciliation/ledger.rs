//! The ledger's side of a comparison, and the cut by which everything is compared.

use std::collections::{BTreeMap, HashSet};

use events::{Money, Offset, Position, Timestamp, ids::TransferId};
use projections::{
    PageRequest, ReadStore, StoreError,
    money::{
        ledger,
        transfers::{self, End, Transfer, TransferStatus},
        trial_balance::{CurrencyTrial, of_totals},
    },
};

/// The last event of each currency, in each partition, that is in the ledger's totals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut(BTreeMap<(&'static str, u32), Offset>);

impl Cut {
    /// Whether money of this `currency` that moved at this place of the log is in the totals.
    pub fn holds(&self, amount: Money, position: Position) -> bool {
        self.has(amount, position.partition.number.into(), position.offset)
    }

    fn has(&self, amount: Money, partition: u32, offset: Offset) -> bool {
        self.0.get(&(amount.currency().code(), partition)).is_some_and(|last| offset <= *last)
    }
}

/// What the ledger says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LedgerSide {
    /// Up to where.
    pub cut: Cut,
    /// By currency.
    pub currencies: Vec<LedgerCurrency>,
}

/// One currency of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerCurrency {
    /// How many entries there are.
    pub entries: u64,
    /// What its accounts come to.
    pub trial: CurrencyTrial,
    /// The transfers that are open by the cut.
    pub transfers: Vec<OpenTransfer>,
}

/// Money on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenTransfer {
    /// Under this name.
    pub transfer: TransferId,
    /// How much; less than nothing when it is owed.
    pub amount: Money,
    /// Since when.
    pub since: Timestamp,
}

/// Documents read at once.
const PAGE: usize = 1000;

/// Reads the totals, and then the transfers that are open by them. What was settled since `since` may have been open.
pub(super) async fn read(store: &dyn ReadStore, since: Timestamp) -> Result<LedgerSide, StoreError> {
    let totals = ledger::totals(store).await?;
    let cut = totals.iter().map(|total| ((total.currency.code(), total.partition), total.through)).collect();
    let cut = Cut(cut);
    let mut open: BTreeMap<&'static str, Vec<OpenTransfer>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for (status, since) in [(TransferStatus::Open, None), (TransferStatus::Settled, Some(since))] {
        let mut next = Some(PageRequest::first(PAGE));
        while let Some(page) = next.take() {
            let found = match since {
                None => transfers::list(store, status, page).await?,
                Some(since) => transfers::standing_since(store, status, since, page).await?,
            };
            next = found.next.clone().map(|after| PageRequest { after: Some(after), limit: PAGE });
            for transfer in found.items {
                let code = transfer.amount.currency().code();
                if let Some(travelling) = open_by(&cut, &transfer).filter(|open| seen.insert(open.transfer)) {
                    open.entry(code).or_default().push(travelling);
                }
            }
        }
    }
    let mut currencies = Vec::new();
    for trial in of_totals(&totals)? {
        let of_currency = totals.iter().filter(|total| total.currency == trial.currency);
        let entries = of_currency.map(|total| total.entries).sum();
        let transfers = open.remove(trial.currency.code()).unwrap_or_default();
        currencies.push(LedgerCurrency { entries, trial, transfers });
    }
    Ok(LedgerSide { cut, currencies })
}

/// The transfer as the cut has it, when it is open by then.
fn open_by(cut: &Cut, transfer: &Transfer) -> Option<OpenTransfer> {
    let within = |end: &End| cut.has(transfer.amount, end.partition, end.offset);
    let opened = transfer.opened.filter(within)?;
    let open = !transfer.taken.is_some_and(|end| within(&end));
    let (transfer, amount) = (transfer.transfer, transfer.amount);
    open.then_some(OpenTransfer { transfer, amount, since: opened.at })
}
