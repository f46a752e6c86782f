//! The books themselves: every entry moves one amount from one account to another, so they are always zero.

use std::collections::BTreeMap;

use serde::Serialize;

use super::page::Dated;
use crate::{
    money::{Currency, Money},
    time::Time,
};

/// An account, per currency. A balance above zero is what we owe to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Account {
    /// The payers' cards: what came from them, less what went back.
    Cards,
    /// What the merchant can refund and pay out.
    Merchant,
    /// Refunds that were ordered and have no outcome yet.
    RefundsUnderWay,
    /// Payouts that were ordered and have no outcome yet.
    PayoutsUnderWay,
    /// The payees' banks: what went there, less what came back.
    Banks,
}

/// Why money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    ChargeSucceeded,
    RefundCreated,
    RefundSucceeded,
    RefundFailed,
    PayoutCreated,
    PayoutPaid,
    PayoutFailed,
    PayoutReturned,
}

/// Money that moved from one account to another.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// 1, 2, 3… without gaps.
    pub(crate) number: usize,
    pub(crate) at: Time,
    pub(crate) cause: Cause,
    /// The id of the charge, refund or payout.
    pub(crate) object: String,
    /// The merchant's reference of it.
    pub(crate) reference: String,
    pub(crate) from: Account,
    pub(crate) to: Account,
    pub(crate) amount: Money,
}

impl Dated for Entry {
    fn at(&self) -> Time {
        self.at
    }
}

/// All entries, and what they sum to.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
    balances: BTreeMap<(Currency, Account), i128>,
}

/// What an account holds.
#[derive(Debug, Serialize)]
pub(crate) struct Balance {
    account: Account,
    /// Minor units, as text.
    balance: String,
}

/// The accounts of one currency.
#[derive(Debug, Serialize)]
pub(crate) struct TrialBalance {
    currency: Currency,
    accounts: Vec<Balance>,
    /// Minor units, as text: always 0.
    sum: String,
}

impl Ledger {
    pub(crate) fn post(&mut self, mut entry: Entry) {
        entry.number = self.entries.len() + 1;
        let minor = i128::from(entry.amount.minor);
        // 128 bits hold the sum of more 64-bit amounts than there can be entries.
        *self.balances.entry((entry.amount.currency, entry.from)).or_default() -= minor;
        *self.balances.entry((entry.amount.currency, entry.to)).or_default() += minor;
        self.entries.push(entry);
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn balance(&self, currency: Currency, account: Account) -> i128 {
        self.balances.get(&(currency, account)).copied().unwrap_or(0)
    }

    /// Every account of every currency that money ever moved in.
    pub(crate) fn trial_balance(&self) -> Vec<TrialBalance> {
        let mut found: BTreeMap<Currency, (Vec<Balance>, i128)> = BTreeMap::new();
        for ((currency, account), balance) in &self.balances {
            let (accounts, sum) = found.entry(*currency).or_default();
            accounts.push(Balance { account: *account, balance: balance.to_string() });
            *sum += balance;
        }
        found
            .into_iter()
            .map(|(currency, (accounts, sum))| TrialBalance { currency, accounts, sum: sum.to_string() })
            .collect()
    }
}
