//! Whose steps and timers are issued here.

use std::sync::Arc;

use events::{Partition, StreamId, log::EventLog};
use projections::{Page, PageRequest, StoreError};

use crate::{fleet::Fleet, runner::Surroundings, settings::WorkerSettings};

/// A process's share of what a read model lists: all of it, what belongs to its services, or, where the read store is
/// shared, the streams of those partitions in which this process holds the read model. So what is new is issued by the
/// process that has just written it there, and nobody else looks for it. Should two believe for a moment to have the same
/// share, what they issue has the same command ids.
#[derive(Clone)]
pub(crate) struct Share {
    settings: Arc<WorkerSettings>,
    fleet: Option<Arc<Fleet>>,
    log: Arc<dyn EventLog>,
    listing: &'static str,
}

/// Documents read at once.
const PAGE: usize = 256;

impl Share {
    pub(crate) fn new(surroundings: &Surroundings, listing: &'static str) -> Self {
        Self {
            settings: Arc::clone(&surroundings.settings),
            fleet: surroundings.fleet.clone(),
            log: Arc::clone(&surroundings.log),
            listing,
        }
    }

    /// Whether what this stream asks for is issued here.
    pub(crate) fn has(&self, stream: StreamId) -> bool {
        self.has_partition(self.log.partition_of(stream))
    }

    /// Whether what any stream of this partition asks for is issued here.
    pub(crate) fn has_partition(&self, partition: Partition) -> bool {
        match &self.fleet {
            Some(fleet) => fleet.holds(self.listing, &partition.to_string()),
            None => self.settings.works_for(partition.service),
        }
    }

    /// Whether anything is issued here at all.
    pub(crate) fn has_any(&self) -> bool {
        self.fleet.as_ref().is_none_or(|fleet| fleet.holds_any(self.listing))
    }

    /// Whether all there is is issued here.
    pub(crate) fn is_all(&self) -> bool {
        self.fleet.is_none() && self.settings.services.is_empty()
    }

    /// Of what `page` lists, in its order, what is issued here: at least `limit` pieces when there are as many, and up to a
    /// page more.
    pub(crate) async fn of_listed<T, F>(
        &self,
        limit: usize,
        stream_of: impl Fn(&T) -> StreamId,
        page: impl Fn(PageRequest) -> F,
    ) -> Result<Vec<T>, StoreError>
    where
        F: Future<Output = Result<Page<T>, StoreError>>,
    {
        let (mut ours, mut after) = (Vec::new(), None);
        while ours.len() < limit && self.has_any() {
            let listed = page(PageRequest { after, limit: PAGE }).await?;
            ours.extend(listed.items.into_iter().filter(|piece| self.has(stream_of(piece))));
            after = listed.next;
            if after.is_none() {
                break;
            }
        }
        Ok(ours)
    }
}
