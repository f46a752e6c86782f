//! What `events` promises, one file per promise.

mod log;
mod money;
mod personal;
