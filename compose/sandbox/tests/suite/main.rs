//! What the sandbox promises, one file per promise, each against a server of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod harness;

mod access;
mod bad_input;
mod books;
mod bounds;
mod charges;
mod clock;
mod crash;
mod deliveries;
mod disorder;
mod faults;
mod idempotency;
mod lists;
mod lookups;
mod payouts;
mod readme;
mod refunds;
mod signatures;
