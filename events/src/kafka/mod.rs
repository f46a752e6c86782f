//! What every client of a Kafka cluster here has in common: settings, partitions, topics. The log and the key records use it.
//!
//! Nothing in here knows what is written to a topic. Calls that ask the cluster block, each within a bound, and are
//! made from threads that may block.

mod context;
mod murmur2;
mod settings;
mod topics;

pub(crate) use context::{ClientLog, log_error, log_line};
pub(crate) use murmur2::partition_of;
pub(crate) use settings::{Cluster, client_error};
pub(crate) use topics::{Admin, TopicPlan, TopicSetting, Wanted, until_believed};

/// Why the cluster was not what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClusterError {
    /// Somebody has to change something: one sentence that says where and what.
    #[error("{0}")]
    Refused(String),
    /// It cannot be reached, or does not answer. That may pass.
    #[error("Kafka is away: {0}")]
    Away(String),
}
