//! The write side of Guildhall: pure deciders, one file per aggregate, and the executor, the only write path.
//!
//! A decider reads no clock, draws no random number and does no I/O: what it needs arrives in its [`Context`].
//! Process managers are aggregates too, whose commands are other aggregates' events.

#![deny(clippy::float_arithmetic)]

pub mod account;
pub mod aggregate;
pub mod contract;
pub mod escrow;
pub mod executor;
pub mod funding;
pub mod hire;
pub mod job;
pub mod login;
pub mod payment;
pub mod payment_method;
pub mod payout;
pub mod payout_destination;
pub mod payout_run;
pub mod policy;
mod pricing;
pub mod process;
pub mod receipt;
pub mod reconciliation;
pub mod registration;
mod rejection;
pub mod release;
pub mod session;
pub mod test_clock;
pub mod wallet;

pub use aggregate::{Actor, Aggregate, Context, Rejection, RejectionKind};
pub use executor::{
    CommandError, Conflict, Executor, ExecutorSettings, ExecutorStats, Loaded, Outage, Outcome, Request,
};
pub use policy::{MoneyPolicy, Policy};
