//! The log: what every engine promises, and what happens when files are damaged.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod contract;
mod embedded;
mod kafka;
mod recovery;
mod several;
mod simulation;
mod support;
mod tailed;
mod turns;
mod write_behind;
