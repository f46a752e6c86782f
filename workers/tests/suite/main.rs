//! What `workers` promises, one file per promise.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

mod effects_in_doubt;
#[path = "../../benches/rebuild/history.rs"]
mod history;

mod crashes;
mod dropped_databases;
mod exactly_once;
mod fleet;
mod lag;
mod letters;
mod managers;
mod money_on_kafka;
mod money_stories;
mod other_logs;
mod processes;
mod random_lives;
mod rebuilds;
mod rebuilds_under_load;
mod reconciliation;
mod redrive;
mod remembered;
mod sandbox_provider;
mod stops;
mod webhooks;
