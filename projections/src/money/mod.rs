//! Where money is, as people ask for it: wallets, escrows, payments, payouts, and what has to be done by when.

pub mod deadlines;
pub mod escrows;
pub mod methods;
pub mod payments;
pub mod payouts;
pub mod statement;
pub mod wallets;
pub mod webhook_log;
