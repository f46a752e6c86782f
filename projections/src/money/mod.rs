//! Where money is, as people ask for it: wallets, escrows, payments, payouts, what has to be done by when, and the ledger.

pub mod deadlines;
pub mod escrows;
pub mod journal;
pub mod ledger;
pub mod methods;
pub mod payments;
pub mod payouts;
pub mod statement;
pub mod transfers;
pub mod trial_balance;
pub mod unreconciled;
pub mod wallets;
pub mod webhook_log;
