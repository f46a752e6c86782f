//! What the gateway promises, one file per promise, each against a server of its own on a folder of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod harness;

mod accounts;
mod auth;
mod backup;
mod bad_input;
mod bounds;
mod cli;
mod consistency;
mod cursors;
mod dead_letters;
mod drain;
mod edge;
mod errors;
mod etag;
mod hiring;
mod idempotency;
mod jobs;
mod ledger;
mod log_copy;
mod lost_read_store;
mod milestones;
mod money_on_kafka;
mod openapi;
mod payment_methods;
mod payments;
mod payouts;
mod problems;
mod production;
mod read_models;
mod settings;
mod stories;
mod webhooks;
