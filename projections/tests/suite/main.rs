//! What the read side promises: the store's contract over every engine, and the read models as given/then sentences.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bids;
mod board;
mod contracts;
mod engines;
mod file;
mod folding;
mod generator;
mod interleavings;
mod jobs;
mod ledger;
mod live_builds;
mod machinery;
mod members;
mod memory;
mod money;
mod mongodb_faults;
mod mongodb_servers;
mod plans;
mod same_answers;
mod sessions;
mod store_pages;
mod store_queries;
mod store_transactions;
mod story;
mod treasury;
