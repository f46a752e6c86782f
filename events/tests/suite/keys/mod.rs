//! Keys that several nodes share over a topic: what holds at every node, and what happens on bad days.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod backup;
mod kafka;
mod refusals;
mod shared;
mod simulation;
mod support;
