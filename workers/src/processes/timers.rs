//! Timers: fires what is due in domain time, and sleeps until the next one is.

use std::{sync::Arc, time::Duration};

use commands::process::ProcessError;
use events::{StreamId, Timestamp, time::DomainClock};
use projections::{
    Filter, Order, PageRequest, ReadStore, Reader, StoreError,
    timers::{self, TIMERS, Timer},
};

use super::{Processes, Share, pump::Work};
use crate::builds::prepare_live;

/// The due timers of the read model `timers`.
#[derive(Clone)]
pub(crate) struct DueTimers {
    pub(crate) store: Arc<dyn ReadStore>,
    pub(crate) processes: Arc<dyn Processes>,
    pub(crate) clock: DomainClock,
    pub(crate) share: Share,
}

impl Work for DueTimers {
    type Key = (StreamId, String, Timestamp);
    type Item = Timer;
    const KIND: &'static str = "timer";

    async fn prepare(&self) -> Result<(), StoreError> {
        prepare_live(self.store.as_ref(), &timers::Timers).await
    }

    async fn list(&self, limit: usize) -> Result<Vec<(Self::Key, Timer)>, StoreError> {
        let now = self.clock.now();
        let page = |page| timers::due(self.store.as_ref(), now, page);
        let due = self.share.of_listed(limit, |timer: &Timer| timer.stream, page).await?;
        Ok(due.into_iter().map(|timer| ((timer.stream, timer.timer.clone(), timer.due_at), timer)).collect())
    }

    /// Until the next timer is due.
    async fn idle(&self) -> Result<Option<Duration>, StoreError> {
        if !self.share.is_all() {
            // What is due next may be another process's to fire, and stay due: looked for from time to time.
            return Ok(None);
        }
        let now = self.clock.now();
        let filters = vec![Filter::AtLeast("due_at", now.into())];
        let next = Reader::new(self.store.as_ref(), timers::ID, &TIMERS)
            .find(filters, Order::ascending("due_at"), PageRequest::first(1))
            .await?;
        // Rounded up: there is nothing to find just before it is due.
        let until = |timer: Timer| u64::try_from(timer.due_at.millis_since(now)).unwrap_or(0) + 1;
        Ok(next.items.into_iter().next().map(|timer| Duration::from_millis(until(timer))))
    }

    /// Whoever heard of it counted by another clock.
    fn admit(&self, (_, _, due_at): &Self::Key) -> Result<(), Duration> {
        let early = due_at.millis_since(self.clock.now());
        match u64::try_from(early) {
            Ok(early) if early > 0 => Err(Duration::from_millis(early)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn issue(&self, timer: Timer) -> Result<(), ProcessError> {
        self.processes.fire(&timer).await
    }
}
