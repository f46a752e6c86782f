//! Offsets of consumer groups, so that the tools of a cluster show how far our readers are. Nobody joins the groups, and nothing
//! here reads their offsets.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

use super::topics::{Topics, behind};
use crate::{
    kafka::{ClientLog, Cluster},
    log::upstream::Away,
    stream::{Offset, Partition},
};

/// Commits that the reader has read each of these partitions up to and with this offset. Blocks for seconds at the most.
///
/// A client of librdkafka has one group for life, and readers are many: so each commit has a client of its own, and they are
/// few.
pub(super) fn commit(
    cluster: &Cluster,
    topics: &Topics,
    reader: &str,
    reached: &[(Partition, Offset)],
) -> Result<(), Away> {
    let config = cluster.group(reader);
    let group = config.get("group.id").unwrap_or_default().to_owned();
    let failed = |error| Away(format!("the offsets of the group {group} were not committed: {error}"));
    let client: BaseConsumer<ClientLog> = config.create_with_context(ClientLog).map_err(failed)?;
    // What is committed is what would be read next.
    let list = topics.list(reached.iter().map(|(partition, offset)| (*partition, behind(*offset))));
    client.commit(&list, CommitMode::Sync).map_err(failed)
}
