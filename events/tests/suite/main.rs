//! What `events` promises, one file per promise.

mod keys;
mod log;
mod money;
mod personal;
