//! What `events` promises, one file per promise.

mod personal;
