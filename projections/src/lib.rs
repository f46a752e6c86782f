//! The read side of Guildhall: pure projections, one file per read model with its queries, and the read store.
//!
//! A projection folds events into documents and does nothing else: no clock, no randomness, no I/O. What it reads and
//! writes goes through a [`View`]. [`Folding`] loads what it asks for, through the port [`ReadStore`]; who stores what came of
//! it, with a checkpoint, is the runner in `workers`.

pub mod bids_by_job;
pub mod bids_by_worker;
pub mod board;
pub mod builds;
pub mod contract_detail;
pub mod effects;
mod fields;
pub mod folding;
pub mod job_detail;
mod layout;
pub mod money;
mod mongodb;
pub mod my_jobs;
mod options;
mod plan;
pub mod projection;
mod reader;
pub mod sessions;
mod sqlite;
pub mod status;
pub mod steps;
pub mod store;
pub mod terms;
pub mod timers;
pub mod view;

use std::sync::Arc;

pub use folding::{FoldError, Folding};
#[cfg(feature = "measuring")]
pub use mongodb::bare::{BareBatch, BareCollections};
pub use options::{MongoOptions, ReadPreference, StoreOptions, masked, open, positions};
pub use projection::{Applied, ApplyError, NoProjectionId, Projection, ProjectionId, Shape};
pub use reader::Reader;
#[cfg(feature = "measuring")]
pub use sqlite::bare::BareTable;
pub use store::{
    Advance, Batch, Checkpoint, Collection, CollectionSpec, Cursor, Filter, Index, Json, Order, Page,
    PageRequest, Query, ReadStore, Scalar, StoreError, Write,
};
pub use view::{Document, DocumentKey, View};

/// Every projection there is, in the version this release folds.
pub fn all() -> Vec<Arc<dyn Projection>> {
    vec![
        Arc::new(board::Board),
        Arc::new(job_detail::JobDetails),
        Arc::new(my_jobs::MyJobs),
        Arc::new(bids_by_job::BidsByJob),
        Arc::new(bids_by_worker::BidsByWorker),
        Arc::new(contract_detail::ContractDetails),
        Arc::new(sessions::Sessions),
        Arc::new(money::wallets::Wallets),
        Arc::new(money::escrows::Escrows),
        Arc::new(money::payments::Payments),
        Arc::new(money::payouts::Payouts),
        Arc::new(money::methods::Methods),
        Arc::new(money::deadlines::Deadlines),
        Arc::new(money::webhook_log::WebhookLog),
        Arc::new(money::ledger::Ledger),
        Arc::new(money::unreconciled::Unreconciled),
        Arc::new(timers::Timers),
        Arc::new(steps::Steps),
        Arc::new(effects::Effects),
    ]
}
