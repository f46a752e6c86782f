//! The log: what every engine promises, and what happens when files are damaged.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod backup;
mod contract;
mod embedded;
pub(crate) mod foreign;
mod histories;
mod kafka;
mod recovery;
mod several;
mod simulation;
mod support;
mod tailed;
mod transfer;
mod turns;
mod unindexed;
mod write_behind;
