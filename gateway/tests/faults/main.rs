//! What the product promises when processes and brokers die, shown on the real binary. One test at a time: each needs the
//! machine for itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../suite/harness/mod.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod harness;

mod away;
mod backup;
mod books;
mod crash;
mod driver;
mod fleet;
mod hot;
mod lag;
mod money;
mod mongo_away;
mod mongo_full;
mod process;
mod roles;
mod stack;

/// Held by the test that is running.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
