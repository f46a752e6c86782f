//! Commits to append and futures to wait for.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};

use events::{
    Category, CommandStamp, CommitBuilder, Id, Partition, Position, Service, StreamId, Timestamp, Version,
    envelope::{CommandHash, NewCommit},
    ids::{CommandId, JobId},
    log::{AppendError, Appended, EventLog, ReadLimit, StoredCommit},
    stream::BEFORE_FIRST,
    vocabulary::{
        admin::{TestClockEvent, TestClockMoved},
        jobs::{JobEvent, JobExpired},
    },
};

/// Everything at once.
pub(crate) const ALL: ReadLimit = ReadLimit { commits: usize::MAX, bytes: usize::MAX };

/// The partition of the streams of [`job`].
pub(crate) const JOBS: Partition = Partition { service: Service::Jobs, number: 0 };

/// A stream that does not exist yet.
pub(crate) fn job() -> StreamId {
    StreamId::new(Category::Job, JobId::fresh())
}

/// A stream of another service.
pub(crate) fn clock() -> StreamId {
    StreamId { category: Category::TestClock, uuid: JobId::fresh().uuid() }
}

/// A command nobody has sent yet.
pub(crate) fn stamp() -> CommandStamp {
    stamp_of(CommandId::fresh())
}

/// The command with this id.
pub(crate) fn stamp_of(command_id: CommandId) -> CommandStamp {
    CommandStamp {
        command_id,
        command_hash: CommandHash([7; 16]),
        correlation_id: "test".into(),
        causation_id: None,
        actor: "system".into(),
        traceparent: None,
        time: Timestamp::from_micros(1_700_000_000_000_000),
    }
}

/// A commit of one command with `count` events.
pub(crate) fn commit(stream: StreamId, first_version: Version, count: u32) -> NewCommit {
    commit_of(stream, first_version, &[(stamp(), count)])
}

/// A commit of these commands, each with so many events.
pub(crate) fn commit_of(
    stream: StreamId,
    first_version: Version,
    commands: &[(CommandStamp, u32)],
) -> NewCommit {
    let mut builder = CommitBuilder::new(stream, first_version);
    for (stamp, count) in commands {
        if stream.category == Category::TestClock {
            let events: Vec<TestClockEvent> =
                (0..*count).map(|offset_ms| TestClockMoved { offset_ms: offset_ms.into() }.into()).collect();
            builder.push(stamp, &events);
        } else {
            let events: Vec<JobEvent> = (0..*count).map(|_| JobExpired {}.into()).collect();
            builder.push(stamp, &events);
        }
    }
    builder.finish().unwrap()
}

/// Appends and waits for the verdict.
pub(crate) fn append(log: &Arc<dyn EventLog>, commit: NewCommit) -> Result<Appended, AppendError> {
    wait(log.append(commit))
}

/// Waits until subscribers see what stands at `position`: an append is answered a moment earlier.
pub(crate) fn wait_until_seen(log: &Arc<dyn EventLog>, position: Position) {
    let mut changes = log.changes();
    while log.end(position.partition).unwrap() < position.offset {
        wait(changes.changed()).unwrap();
    }
}

/// Every commit of a partition that subscribers see.
pub(crate) fn history(log: &Arc<dyn EventLog>, partition: Partition) -> Vec<StoredCommit> {
    log.read(partition, BEFORE_FIRST, ALL).unwrap()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, without any runtime.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
