//! The read side of Guildhall: pure projections, one file per read model with its queries, and the read store.
//!
//! A projection folds events into documents and does nothing else: no clock, no randomness, no I/O. What it reads and
//! writes goes through a [`View`]; who loads and stores is the runner in `workers`, through the port [`ReadStore`].

pub mod projection;
pub mod store;
pub mod view;

pub use projection::{Applied, ApplyError, Projection, ProjectionId, Shape};
pub use store::{
    Advance, Batch, Checkpoint, Collection, CollectionSpec, Cursor, Filter, Index, Order, Page, Query,
    ReadStore, Scalar, StoreError, Write,
};
pub use view::{DocumentKey, View};
