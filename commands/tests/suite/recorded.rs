//! Events as they are read from the log.

use events::{
    CommandStamp, DomainEvent, Id, Partition, Position, RecordedEvent, StreamId,
    envelope::CommandHash,
    ids::{CommitId, EventId},
};

use super::fixtures::{command_id, id, noon};

/// The event, as the first one on the stream of `of`.
pub fn recorded<E: DomainEvent>(of: impl Id, event: E) -> RecordedEvent {
    let partition = Partition { service: E::CATEGORY.service(), number: 0 };
    RecordedEvent {
        position: Position { partition, offset: 0 },
        stream: StreamId::new(E::CATEGORY, of),
        version: 1,
        id: id::<EventId>(1),
        commit_id: id::<CommitId>(1),
        stamp: CommandStamp {
            command_id: command_id(1),
            command_hash: CommandHash([0; 16]),
            correlation_id: "a request".to_owned(),
            causation_id: None,
            actor: "system".to_owned(),
            traceparent: None,
            time: noon(),
        },
        payload: event.into(),
    }
}
