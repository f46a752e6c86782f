//! The way of a commit to the upstream: noted, compared with its stream's head, published.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    Answer, AppendError, Room, Verdict,
    pending::PendingAppends,
    progress::Progress,
    queue::{ROOM_UNIT_BYTES, room_units, settle},
    upstream::Upstream,
    view::JudgedView,
};
use crate::{
    envelope::NewCommit,
    stream::{Partition, StreamId},
};

/// How long the copy's writer may make no room before commits are refused.
const STALLED_AFTER: Duration = Duration::from_secs(3);

/// What an append needs on its way out, whenever it is polled.
pub(super) struct Intake {
    view: JudgedView,
    upstream: Arc<dyn Upstream>,
    pending: Arc<PendingAppends>,
    progress: Arc<Progress>,
    /// Bounds what is pending.
    room: Arc<Semaphore>,
    room_max: u32,
}

impl Intake {
    /// Room for so many bytes of pending commits.
    pub(super) fn new(
        view: JudgedView,
        upstream: Arc<dyn Upstream>,
        pending: Arc<PendingAppends>,
        progress: Arc<Progress>,
        bytes_max: usize,
    ) -> Arc<Self> {
        let room_max = room_units(bytes_max, Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(room_max as usize));
        Arc::new(Self { view, upstream, pending, progress, room, room_max })
    }

    /// See [`super::EventLog::append`].
    pub(super) fn append(self: &Arc<Self>, commit: NewCommit) -> Verdict {
        let (sender, verdict) = oneshot::channel();
        // Nobody may be listening any more; that takes nothing back.
        let answer = Box::new(move |verdict| drop(sender.send(verdict)));
        let room = self.append_then(commit, answer);
        Box::pin(async move {
            if let Some(room) = room {
                room.await;
            }
            settle(verdict.await)
        })
    }

    /// See [`super::EventLog::append_then`].
    pub(super) fn append_then(self: &Arc<Self>, commit: NewCommit, answer: Answer) -> Option<Room> {
        let units = room_units(commit.body.len() + ROOM_UNIT_BYTES, self.room_max as usize);
        match Arc::clone(&self.room).try_acquire_many_owned(units) {
            Ok(room) => {
                self.publish(commit, answer, room);
                None
            }
            // Full or closed: which of the two, the future finds out.
            Err(_) => {
                let intake = Arc::clone(self);
                Some(Box::pin(async move {
                    match Arc::clone(&intake.room).acquire_many_owned(units).await {
                        Ok(room) => intake.publish(commit, answer, room),
                        Err(_) => answer(Err(intake.pending.unavailable())),
                    }
                }))
            }
        }
    }

    /// Publishes a commit for which there is room.
    fn publish(&self, commit: NewCommit, answer: Answer, room: OwnedSemaphorePermit) {
        if let Some(commits) = self.view.unwritten().stalled(STALLED_AFTER) {
            let reason =
                format!("the copy's file does not keep up: {commits} commits wait to be written to it");
            answer(Err(AppendError::Unavailable(reason)));
            return;
        }
        let (id, stream, first_version) = (commit.id, commit.stream, commit.first_version);
        let partition = self.upstream.partition_of(stream);
        // First noted, then compared: a head that moves in between is seen here, or finds the note there. Only what was
        // compared is published, by whomever.
        if !self.pending.enter(commit, partition, answer, room) {
            return;
        }
        match self.view.head(stream) {
            Ok(head) if head + 1 == first_version => {
                if let Some((partition, record, id)) = self.pending.first_publication(id) {
                    self.upstream.publish(partition, record, id);
                }
            }
            // What is ahead of the head must never be published: a gap stops every copy.
            Ok(head) => {
                if self.pending.settle(id, &Err(AppendError::Conflict { head })) {
                    self.progress.conflicted();
                }
            }
            Err(error) => {
                self.pending.settle(id, &Err(AppendError::Unavailable(error.to_string())));
            }
        }
    }

    /// Where the commits of `stream` go.
    pub(super) fn partition_of(&self, stream: StreamId) -> Partition {
        self.upstream.partition_of(stream)
    }

    /// Lets nothing more in.
    pub(super) fn close(&self, reason: &str) {
        self.pending.close(reason);
        self.room.close();
    }
}
