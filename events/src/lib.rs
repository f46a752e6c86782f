//! The vocabulary of Guildhall and the log that keeps it: what can happen, how it is written down, and where.
//!
//! Nothing here decides (that is `commands`) and nothing here is read by clients (that is `projections`).
//!
//! - [`vocabulary`]: every event there is, one file per service; [`upcast`] lifts old versions.
//! - [`envelope`]: an event as a CloudEvent, a commit as a batch of them.
//! - [`personal`] and [`keys`]: personal data is sealed before it reaches the log.
//! - [`log`]: the port [`log::EventLog`] and its engines.

mod attested;
#[cfg(feature = "baseline")]
pub mod baseline;
pub mod envelope;
pub mod ids;
mod kafka;
pub mod keys;
pub mod log;
pub mod money;
pub mod personal;
pub mod snapshots;
pub mod stream;
pub mod time;
pub mod upcast;
pub mod vocabulary;

pub use envelope::{CommandStamp, CommitBuilder, DecodeError, RecordedEvent};
pub use ids::Id;
pub use log::open;
pub use money::{Currency, Money, MoneyError};
pub use personal::Personal;
pub use stream::{Category, LogId, Offset, Partition, Position, Service, StreamId, Version};
pub use time::{DomainClock, Timestamp};
pub use vocabulary::{DomainEvent, Event};
