//! What every account of the ledger comes to, now or at some instant, and whether it all sums to zero.
#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use events::{Currency, Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    journal::LedgerAccount,
    ledger::{self, ID, PERIODS, Span, Total, Turnover, Turnovers, add_up},
};
use crate::{Filter, Order, Page, PageRequest, ReadStore, Reader, StoreError};

/// The accounts of one currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurrencyTrial {
    /// Which currency.
    pub currency: Currency,
    /// Each of its accounts, in the order of the ledger.
    pub accounts: Vec<AccountTrial>,
    /// All debits less all credits: nothing.
    pub difference: Money,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountTrial {
    /// Which account.
    pub account: LedgerAccount,
    /// All that was debited.
    pub debit: Money,
    /// All that was credited.
    pub credit: Money,
    /// What it comes to: debits less credits for what we have, credits less debits for what we owe or have earned.
    pub balance: Money,
}

/// The sums of each currency, by code.
type Sums = BTreeMap<&'static str, (Currency, Turnovers)>;

/// Documents read at once.
pub(super) const AT_ONCE: usize = 1000;

/// The trial balance of every currency, by code: of everything, or of all entries up to `at`, included. An entry whose
/// time is past may still be on its way into the ledger.
///
/// # Errors
/// What the read store says; [`StoreError::Refused`] for sums that are too large.
pub async fn trial_balance(
    store: &dyn ReadStore,
    at: Option<Timestamp>,
) -> Result<Vec<CurrencyTrial>, StoreError> {
    let Some(at) = at else { return of_totals(&ledger::totals(store).await?) };
    let sums = up_to(store, at).await?;
    sums.into_values().map(|(currency, turnovers)| CurrencyTrial::of(currency, &turnovers)).collect()
}

/// The trial balance of these sums.
///
/// # Errors
/// [`StoreError::Refused`] for sums that are too large.
pub fn of_totals(totals: &[Total]) -> Result<Vec<CurrencyTrial>, StoreError> {
    let mut sums = Sums::new();
    for total in totals {
        merge(&mut sums, total.currency, &total.turnovers)?;
    }
    sums.into_values().map(|(currency, turnovers)| CurrencyTrial::of(currency, &turnovers)).collect()
}

/// Whole months before the month of `at`, whole days of that month before its day, and so on; then single entries.
async fn up_to(store: &dyn ReadStore, at: Timestamp) -> Result<Sums, StoreError> {
    let text = at.to_string();
    let mut sums = Sums::new();
    let mut within = "";
    for span in Span::ALL {
        let last = span.text(&text);
        add_periods(store, *span, within, last, &mut sums).await?;
        within = last;
    }
    let minute = format!("{within}:00.000000Z");
    let minute = minute.parse().map_err(|_| StoreError::Refused(format!("{minute} is no time")))?;
    let mut next = Some(PageRequest::first(AT_ONCE));
    while let Some(page) = next.take() {
        let found = ledger::journal(store, minute, at, page).await?;
        for entry in &found.items {
            let (_, turnovers) =
                sums.entry(entry.currency.code()).or_insert((entry.currency, Turnovers::new()));
            add_up(turnovers, &entry.postings).map_err(too_large)?;
        }
        next = following(&found);
    }
    Ok(sums)
}

/// Adds the periods that begin with `within` and lie before `end`.
async fn add_periods(
    store: &dyn ReadStore,
    span: Span,
    within: &str,
    end: &str,
    sums: &mut Sums,
) -> Result<(), StoreError> {
    let reader = Reader::new(store, ID, &PERIODS);
    let mut next = Some(PageRequest::first(AT_ONCE));
    while let Some(page) = next.take() {
        let filters = vec![
            Filter::Is("span", span.into()),
            Filter::AtLeast("period", within.into()),
            Filter::AtMost("period", end.into()),
        ];
        let found = reader.find(filters, Order::ascending("period"), page).await?;
        // The period that `end` lies in is not over: what it holds comes from shorter ones.
        for period in found.items.iter().filter(|period| period.period != end) {
            merge(sums, period.currency, &period.turnovers)?;
        }
        next = following(&found);
    }
    Ok(())
}

pub(super) fn following<T>(page: &Page<T>) -> Option<PageRequest> {
    page.next.clone().map(|after| PageRequest { after: Some(after), limit: AT_ONCE })
}

fn merge(sums: &mut Sums, currency: Currency, more: &Turnovers) -> Result<(), StoreError> {
    let (_, turnovers) = sums.entry(currency.code()).or_insert((currency, Turnovers::new()));
    for (account, turnover) in more {
        let nothing = Money::zero(currency);
        let sum = turnovers.entry(*account).or_insert(Turnover { debit: nothing, credit: nothing });
        sum.debit = sum.debit.checked_add(turnover.debit).map_err(too_large)?;
        sum.credit = sum.credit.checked_add(turnover.credit).map_err(too_large)?;
    }
    Ok(())
}

fn too_large(error: events::MoneyError) -> StoreError {
    StoreError::Refused(format!("the ledger cannot be summed: {error}"))
}

impl CurrencyTrial {
    /// The accounts of `currency` with what was posted to them.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for sums that are too large.
    pub fn of(currency: Currency, turnovers: &Turnovers) -> Result<Self, StoreError> {
        let nothing = Money::zero(currency);
        let mut difference = nothing;
        let mut accounts = Vec::with_capacity(LedgerAccount::ALL.len());
        for account in LedgerAccount::ALL {
            let none = Turnover { debit: nothing, credit: nothing };
            let Turnover { debit, credit } = turnovers.get(account).copied().unwrap_or(none);
            let (more, less) = if account.is_asset() { (debit, credit) } else { (credit, debit) };
            let balance = more.checked_sub(less).map_err(too_large)?;
            difference = difference.checked_add(debit).map_err(too_large)?;
            difference = difference.checked_sub(credit).map_err(too_large)?;
            accounts.push(AccountTrial { account: *account, debit, credit, balance });
        }
        Ok(Self { currency, accounts, difference })
    }

    /// What `account` comes to.
    pub fn balance(&self, account: LedgerAccount) -> Money {
        let trial = self.accounts.iter().find(|trial| trial.account == account);
        trial.map_or(Money::zero(self.currency), |trial| trial.balance)
    }
}
