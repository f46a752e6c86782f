//! The comparison itself: three sides in, what agrees and what does not out.

use std::collections::BTreeMap;

use events::{
    Currency, Money,
    vocabulary::payments::{
        AggregateBalances, DifferenceKind, LedgerBalances, ReconciledCurrency, ReconciliationCompleted,
        ReconciliationDifference, ReconciliationTransit,
    },
};
use projections::money::{journal::LedgerAccount, trial_balance::CurrencyTrial};

use super::{
    aggregates::{AggregateSide, Kept, money},
    ledger::{LedgerCurrency, LedgerSide},
    provider::{ProviderSide, Waiting},
};

/// Differences and items on their way that a result lists; beyond, they are counted.
pub const LISTED_MAX: usize = 100;
/// What the provider did and we have not entered is on its way for so long, milliseconds; then it is a difference.
pub const ON_ITS_WAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Compares the three sides of a cut.
pub fn compare(
    provider_name: &str,
    ledger: &LedgerSide,
    aggregates: &AggregateSide,
    provider: &ProviderSide,
) -> ReconciliationCompleted {
    let mut differences = Vec::new();
    let mut currencies = Vec::new();
    let nothing = Kept::new();
    for (currency, of_ledger) in all_currencies(ledger, provider) {
        let kept = aggregates.sums.get(currency.code()).unwrap_or(&nothing);
        currencies.push(compare_currency(currency, of_ledger, kept, provider, &mut differences));
    }
    differences.extend(aggregates.disagreements.iter().map(|one| ReconciliationDifference {
        kind: DifferenceKind::Aggregate,
        subject: format!("{} of {}", one.account.name(), one.stream),
        expected: one.aggregate,
        found: one.ledger,
    }));
    differences.extend(provider.amounts.iter().map(|other| ReconciliationDifference {
        kind: DifferenceKind::Amount,
        subject: other.reference.clone(),
        expected: other.moved,
        found: other.entered,
    }));
    let mut in_transit: Vec<ReconciliationTransit> = transfers_of(ledger).collect();
    for waiting in &provider.waiting {
        match judge(waiting, provider) {
            None => in_transit.push(ReconciliationTransit {
                subject: waiting.reference.clone(),
                amount: waiting.amount,
                since: waiting.at,
            }),
            Some(kind) => differences.push(ReconciliationDifference {
                kind,
                subject: waiting.reference.clone(),
                expected: waiting.amount,
                found: Money::zero(waiting.amount.currency()),
            }),
        }
    }
    let (differences_total, in_transit_total) = (differences.len() as u64, in_transit.len() as u64);
    differences.sort_by_key(|difference| difference.kind);
    differences.truncate(LISTED_MAX);
    in_transit.truncate(LISTED_MAX);
    let oldest = provider.waiting.iter().map(|waiting| waiting.at).min();
    ReconciliationCompleted {
        provider: provider_name.to_owned(),
        books_from: provider.from,
        books_until: provider.until,
        books_next: oldest.unwrap_or(provider.until),
        currencies,
        differences,
        differences_total,
        in_transit,
        in_transit_total,
    }
}

/// Every currency that one of the two has, by code.
fn all_currencies<'a>(
    ledger: &'a LedgerSide,
    provider: &ProviderSide,
) -> impl Iterator<Item = (Currency, Option<&'a LedgerCurrency>)> {
    let mut currencies: BTreeMap<&'static str, (Currency, Option<&LedgerCurrency>)> = BTreeMap::new();
    for (code, (currency, _)) in &provider.totals {
        currencies.insert(code, (*currency, None));
    }
    for of_ledger in &ledger.currencies {
        let currency = of_ledger.trial.currency;
        currencies.insert(currency.code(), (currency, Some(of_ledger)));
    }
    currencies.into_values()
}

fn transfers_of(ledger: &LedgerSide) -> impl Iterator<Item = ReconciliationTransit> + '_ {
    let open = ledger.currencies.iter().flat_map(|currency| &currency.transfers);
    open.map(|open| ReconciliationTransit {
        subject: open.transfer.to_string(),
        amount: open.amount,
        since: open.since,
    })
}

/// Why it is a difference that the provider did something which is not entered; `None` when it is only on its way.
fn judge(waiting: &Waiting, provider: &ProviderSide) -> Option<DifferenceKind> {
    if !waiting.is_ours {
        return Some(DifferenceKind::Unknown);
    }
    let late = provider.until.millis_since(waiting.at) > ON_ITS_WAY_MS;
    late.then_some(DifferenceKind::NotEntered)
}

fn compare_currency(
    currency: Currency,
    of_ledger: Option<&LedgerCurrency>,
    kept: &Kept,
    provider: &ProviderSide,
    differences: &mut Vec<ReconciliationDifference>,
) -> ReconciledCurrency {
    let nothing = Money::zero(currency);
    let balance = |account| of_ledger.map_or(nothing, |ledger| ledger.trial.balance(account));
    let mut differ = |kind, subject: &str, expected: Money, found: Money| {
        if expected != found {
            let subject = format!("{subject} {currency}");
            differences.push(ReconciliationDifference { kind, subject, expected, found });
        }
    };
    let difference = of_ledger.map_or(nothing, |ledger| ledger.trial.difference);
    differ(DifferenceKind::TrialBalance, "trial balance", nothing, difference);
    let open = of_ledger.iter().flat_map(|ledger| &ledger.transfers);
    let open = open.map(|open| i128::from(open.amount.minor())).sum();
    let open_transfers = money(currency, open);
    differ(DifferenceKind::OpenTransfers, "in_transit", open_transfers, balance(LedgerAccount::InTransit));
    let has = |account| money(currency, kept.get(&account).copied().unwrap_or_default());
    for account in LedgerAccount::ALL.iter().filter(|account| account.is_kept_by_aggregates()) {
        differ(DifferenceKind::Account, account.name(), has(*account), balance(*account));
    }
    let total = provider.totals.get(currency.code()).map_or(0, |(_, total)| *total);
    let of_currency = provider.waiting.iter().filter(|waiting| waiting.amount.currency() == currency);
    let waiting = of_currency.map(|waiting| i128::from(waiting.amount.minor())).sum::<i128>();
    let expected = money(currency, total.saturating_sub(waiting));
    differ(DifferenceKind::Clearing, "clearing", expected, balance(LedgerAccount::Clearing));
    ReconciledCurrency {
        currency,
        entries: of_ledger.map_or(0, |ledger| ledger.entries),
        ledger: of_ledger.map_or(no_balances(nothing), |ledger| balances(&ledger.trial)),
        aggregates: AggregateBalances {
            escrow: has(LedgerAccount::Escrow),
            wallets: has(LedgerAccount::Wallets),
            holds: has(LedgerAccount::Holds),
            payable: has(LedgerAccount::Payable),
        },
        open_transfers,
        provider: money(currency, total),
        not_entered: money(currency, waiting),
    }
}

fn balances(trial: &CurrencyTrial) -> LedgerBalances {
    LedgerBalances {
        clearing: trial.balance(LedgerAccount::Clearing),
        receivable: trial.balance(LedgerAccount::Receivable),
        escrow: trial.balance(LedgerAccount::Escrow),
        in_transit: trial.balance(LedgerAccount::InTransit),
        wallets: trial.balance(LedgerAccount::Wallets),
        holds: trial.balance(LedgerAccount::Holds),
        payable: trial.balance(LedgerAccount::Payable),
        fees: trial.balance(LedgerAccount::Fees),
    }
}

fn no_balances(nothing: Money) -> LedgerBalances {
    LedgerBalances {
        clearing: nothing,
        receivable: nothing,
        escrow: nothing,
        in_transit: nothing,
        wallets: nothing,
        holds: nothing,
        payable: nothing,
        fees: nothing,
    }
}

#[cfg(test)]
mod tests {
    use events::Timestamp;
    use projections::money::ledger::{Turnover, Turnovers};

    use super::*;
    use crate::reconciliation::{ledger::Cut, provider::OtherAmount};

    fn ghs(minor: i64) -> Money {
        Money::new(minor, "GHS".parse().expect("a currency"))
    }

    /// 100 came in late and goes back.
    fn ledger(clearing: i64, payable: i64) -> LedgerSide {
        let turnovers = Turnovers::from([
            (LedgerAccount::Clearing, Turnover { debit: ghs(clearing), credit: ghs(0) }),
            (LedgerAccount::Payable, Turnover { debit: ghs(0), credit: ghs(payable) }),
        ]);
        let trial = CurrencyTrial::of(ghs(0).currency(), &turnovers).expect("small sums");
        let currency = LedgerCurrency { entries: 1, trial, transfers: Vec::new() };
        LedgerSide { cut: Cut::default(), currencies: vec![currency] }
    }

    fn aggregates(payable: i128) -> AggregateSide {
        let kept = Kept::from([(LedgerAccount::Payable, payable)]);
        AggregateSide { sums: BTreeMap::from([("GHS", kept)]), disagreements: Vec::new() }
    }

    fn provider(total: i128) -> ProviderSide {
        let (from, until) =
            (Timestamp::from_micros(0), Timestamp::from_micros(0).plus_millis(3 * ON_ITS_WAY_MS));
        let totals = BTreeMap::from([("GHS", (ghs(0).currency(), total))]);
        ProviderSide { from, until, totals, waiting: Vec::new(), amounts: Vec::new() }
    }

    fn waiting(days: i64, is_ours: bool) -> Waiting {
        let at = Timestamp::from_micros(0).plus_millis(days * ON_ITS_WAY_MS);
        Waiting { reference: format!("day {days}"), amount: ghs(5), at, is_ours }
    }

    fn found(result: &ReconciliationCompleted) -> Vec<DifferenceKind> {
        result.differences.iter().map(|difference| difference.kind).collect()
    }

    #[test]
    fn books_that_agree_have_no_difference() {
        let result = compare("bank", &ledger(100, 100), &aggregates(100), &provider(100));
        assert_eq!((result.differences_total, result.in_transit_total), (0, 0), "{result:?}");
        assert_eq!(result.books_next, result.books_until);
    }

    #[test]
    fn each_side_that_says_something_else_is_named() {
        let result = compare("bank", &ledger(100, 90), &aggregates(80), &provider(70));
        let expected = [DifferenceKind::TrialBalance, DifferenceKind::Account, DifferenceKind::Clearing];
        assert_eq!(found(&result), expected);
        let account = &result.differences[1];
        assert_eq!(
            (account.subject.as_str(), account.expected, account.found),
            ("payable GHS", ghs(80), ghs(90))
        );
    }

    #[test]
    fn what_is_not_entered_is_on_its_way_for_a_day_and_is_looked_at_until_it_is() {
        let mut provider = provider(115);
        provider.waiting = vec![waiting(1, true), waiting(2, true), waiting(2, false)];
        let result = compare("bank", &ledger(100, 100), &aggregates(100), &provider);
        assert_eq!(found(&result), [DifferenceKind::NotEntered, DifferenceKind::Unknown]);
        assert_eq!((result.in_transit.len(), result.in_transit[0].subject.as_str()), (1, "day 2"));
        assert_eq!(result.books_next, provider.waiting[0].at);
    }

    #[test]
    fn a_currency_that_only_the_provider_has_and_another_amount_are_differences() {
        let mut provider = provider(100);
        let naira = "NGN".parse().expect("a currency");
        provider.totals.insert("NGN", (naira, 7));
        let reference = "out_1".to_owned();
        provider.amounts.push(OtherAmount { reference, entered: ghs(1), moved: ghs(2) });
        let result = compare("bank", &ledger(100, 100), &aggregates(100), &provider);
        assert_eq!(found(&result), [DifferenceKind::Clearing, DifferenceKind::Amount]);
        assert_eq!(result.differences[0].expected, Money::new(7, naira));
        assert_eq!(result.currencies.len(), 2);
    }

    #[test]
    fn however_much_does_not_agree_a_result_stays_small() {
        let mut provider = provider(100);
        provider.waiting = (0..1000).map(|_| waiting(2, false)).collect();
        let result = compare("bank", &ledger(100, 100), &aggregates(100), &provider);
        assert_eq!((result.differences.len(), result.differences_total), (LISTED_MAX, 1001));
    }
}
