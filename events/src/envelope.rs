//! Events as CloudEvents 1.0, commits as batches of them.
//!
//! A commit's body is a JSON array (`application/cloudevents-batch+json`) that a stranger can read from the topic.
//! The body is written once, by [`CommitBuilder`], and is what the hash chain covers; nothing an engine assigns is in it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    ids::{CommandId, CommitId, EventId},
    stream::{Position, StreamId, Version},
    time::Timestamp,
    upcast,
    vocabulary::{DomainEvent, Event},
};

/// `datacontenttype` of a commit's body as a whole.
pub const BATCH_CONTENT_TYPE: &str = "application/cloudevents-batch+json";

/// What most commits fit into, bytes; a body grows beyond it.
const BODY_BYTES: usize = 1024;

/// Who asked for a command and in which context: written beside every event it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandStamp {
    /// The command; a repetition carries the same.
    pub command_id: CommandId,
    /// HMAC of the command's canonical form, 32 hexadecimal digits: the same id with another hash is refused.
    pub command_hash: CommandHash,
    /// Ties together all that one request led to.
    pub correlation_id: String,
    /// The event that led to this command, when it was not a client.
    pub causation_id: Option<EventId>,
    /// Who: `account:acc_…`, `service:…`, `manager:hire-…`, `system`.
    pub actor: String,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Domain time of the decision.
    pub time: Timestamp,
}

/// HMAC of a command's canonical form, secrets left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CommandHash(pub [u8; 16]);

impl Serialize for CommandHash {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for CommandHash {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("not a command hash"))
    }
}

/// One CloudEvent, borrowing from the body it stands in. Attribute names are those of the standard; extensions are
/// lower case without separators, as the standard asks.
#[derive(Debug, Serialize, Deserialize)]
pub struct CloudEvent<'a> {
    /// `1.0`.
    #[serde(borrow)]
    pub specversion: std::borrow::Cow<'a, str>,
    /// Unique per event, derived from the command.
    pub id: EventId,
    /// `/guildhall/<service>`.
    #[serde(borrow)]
    pub source: std::borrow::Cow<'a, str>,
    /// `guildhall.<service>.<EventName>`.
    #[serde(borrow, rename = "type")]
    pub event_type: std::borrow::Cow<'a, str>,
    /// The stream.
    pub subject: StreamId,
    /// Domain time of the decision.
    pub time: Timestamp,
    /// `application/json`.
    #[serde(borrow)]
    pub datacontenttype: std::borrow::Cow<'a, str>,
    /// Relative URI of the JSON Schema of `data`.
    #[serde(borrow)]
    pub dataschema: std::borrow::Cow<'a, str>,
    /// The number of the event in its stream.
    pub streamversion: Version,
    /// The version of the event's schema, from 1.
    pub schemaversion: u16,
    /// The append this event was part of.
    pub commitid: CommitId,
    /// The command that led to it.
    pub commandid: CommandId,
    /// See [`CommandStamp::command_hash`].
    pub commandhash: CommandHash,
    /// See [`CommandStamp::correlation_id`].
    #[serde(borrow)]
    pub correlationid: std::borrow::Cow<'a, str>,
    /// See [`CommandStamp::causation_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causationid: Option<EventId>,
    /// See [`CommandStamp::actor`].
    #[serde(borrow)]
    pub actor: std::borrow::Cow<'a, str>,
    /// See [`CommandStamp::traceparent`].
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<std::borrow::Cow<'a, str>>,
    /// The event itself. It never changes once written.
    #[serde(borrow)]
    pub data: &'a RawValue,
}

/// Why a stored body or event cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a batch of CloudEvents with our extensions.
    #[error("the body is not a batch of our CloudEvents: {0}")]
    Malformed(String),
    /// A type or version this release does not know: a newer one wrote it. Retryable in a decider, a counted skip in
    /// a projection that did not ask for it.
    #[error("unknown event type {event_type} at schema version {schema_version}")]
    UnknownType {
        /// The CloudEvents type.
        event_type: String,
        /// Its schema version.
        schema_version: u16,
    },
    /// The type is known, the data does not fit it.
    #[error("the data of {event_type} at schema version {schema_version} does not decode: {reason}")]
    Data {
        /// The CloudEvents type.
        event_type: String,
        /// Its schema version.
        schema_version: u16,
        /// What serde says.
        reason: String,
    },
}

/// An event as read from the log, lifted to its current version.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEvent {
    /// Where its commit stands.
    pub position: Position,
    /// The stream.
    pub stream: StreamId,
    /// The number in the stream.
    pub version: Version,
    /// The event's own id.
    pub id: EventId,
    /// The append it was part of.
    pub commit_id: CommitId,
    /// Who asked, when, and why.
    pub stamp: CommandStamp,
    /// What happened.
    pub payload: Event,
}

/// Parses a commit's body. The events are in stream order; their versions are checked to be dense.
///
/// # Errors
/// [`DecodeError::Malformed`] when it is not a non-empty batch of our events of one stream, with dense versions.
pub fn parse_body(body: &[u8]) -> Result<Vec<CloudEvent<'_>>, DecodeError> {
    let malformed = |reason: &str| DecodeError::Malformed(reason.to_owned());
    let events: Vec<CloudEvent<'_>> =
        serde_json::from_slice(body).map_err(|e| DecodeError::Malformed(e.to_string()))?;
    let first = events.first().ok_or_else(|| malformed("an empty batch"))?;
    if first.streamversion == 0 {
        return Err(malformed("versions start at 1"));
    }
    for (index, event) in events.iter().enumerate() {
        if event.subject != first.subject || event.commitid != first.commitid {
            return Err(malformed("a commit belongs to one stream"));
        }
        if event.streamversion != first.streamversion.saturating_add(index as u64) {
            return Err(malformed("the versions in a commit are dense"));
        }
    }
    Ok(events)
}

impl CloudEvent<'_> {
    /// The event with its payload decoded and lifted to the current version.
    ///
    /// # Errors
    /// [`DecodeError::UnknownType`] and [`DecodeError::Data`].
    pub fn decode(&self, position: Position) -> Result<RecordedEvent, DecodeError> {
        let payload = upcast::decode(self.subject.category, &self.event_type, self.schemaversion, self.data)?;
        Ok(RecordedEvent {
            position,
            stream: self.subject,
            version: self.streamversion,
            id: self.id,
            commit_id: self.commitid,
            stamp: CommandStamp {
                command_id: self.commandid,
                command_hash: self.commandhash,
                correlation_id: self.correlationid.clone().into_owned(),
                causation_id: self.causationid,
                actor: self.actor.clone().into_owned(),
                traceparent: self.traceparent.clone().map(std::borrow::Cow::into_owned),
                time: self.time,
            },
            payload,
        })
    }
}

/// Where one command's events lie in its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandSpan {
    /// The command.
    pub command_id: CommandId,
    /// See [`CommandStamp::command_hash`].
    pub command_hash: CommandHash,
    /// The version of its first event.
    pub first_version: Version,
    /// How many events it wrote, at least 1.
    pub count: u32,
}

/// A commit that wants to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommit {
    /// Its id, the same when it is sent again.
    pub id: CommitId,
    /// The one stream it is for.
    pub stream: StreamId,
    /// The version of its first event; the stream must stand at exactly one less.
    pub first_version: Version,
    /// How many events it has, at least 1.
    pub count: u32,
    /// The commands it answers, in order, each with its events; together they cover the commit.
    pub commands: Vec<CommandSpan>,
    /// The sealed bytes: a JSON array of CloudEvents.
    pub body: Vec<u8>,
}

/// Writes a commit, command by command.
#[derive(Debug)]
pub struct CommitBuilder {
    commit: NewCommit,
}

impl CommitBuilder {
    /// An empty commit that would start at `first_version` of `stream`.
    pub fn new(stream: StreamId, first_version: Version) -> Self {
        let id = CommitId::fresh();
        let mut body = Vec::with_capacity(BODY_BYTES);
        body.push(b'[');
        let commit = NewCommit { id, stream, first_version, count: 0, commands: Vec::new(), body };
        Self { commit }
    }

    /// Adds the events of one command. An empty slice adds nothing.
    pub fn push<E: DomainEvent>(&mut self, stamp: &CommandStamp, events: &[E]) {
        let first_version = self.next_version();
        for (ordinal, event) in (0_u32..).zip(events) {
            self.push_event(stamp, ordinal, event);
        }
        let count = (self.next_version() - first_version) as u32;
        if count > 0 {
            let (command_id, command_hash) = (stamp.command_id, stamp.command_hash);
            self.commit.commands.push(CommandSpan { command_id, command_hash, first_version, count });
        }
    }

    /// Adds the events of one command unless the body would then exceed `bytes_max`: then the commit is left as it
    /// was, and the size it would have had is the error.
    ///
    /// # Errors
    /// The size in bytes that the body would have had.
    pub fn push_within<E: DomainEvent>(
        &mut self,
        stamp: &CommandStamp,
        events: &[E],
        bytes_max: usize,
    ) -> Result<(), usize> {
        let (bytes, count, commands) =
            (self.commit.body.len(), self.commit.count, self.commit.commands.len());
        self.push(stamp, events);
        let size = self.size_bytes();
        if size > bytes_max {
            self.commit.body.truncate(bytes);
            self.commit.count = count;
            self.commit.commands.truncate(commands);
            return Err(size);
        }
        Ok(())
    }

    fn push_event<E: DomainEvent>(&mut self, stamp: &CommandStamp, ordinal: u32, event: &E) {
        let streamversion = self.next_version();
        let data =
            serde_json::value::to_raw_value(event).expect("events serialise: string keys, no failing field");
        let service = self.commit.stream.category.service();
        let (name, schemaversion) = (event.name(), event.schema_version());
        let cloud_event = CloudEvent {
            specversion: "1.0".into(),
            id: stamp.command_id.derive(ordinal),
            source: format!("/guildhall/{service}").into(),
            event_type: format!("guildhall.{service}.{name}").into(),
            subject: self.commit.stream,
            time: stamp.time,
            datacontenttype: "application/json".into(),
            dataschema: format!("events/guildhall.{service}.{name}.v{schemaversion}.json").into(),
            streamversion,
            schemaversion,
            commitid: self.commit.id,
            commandid: stamp.command_id,
            commandhash: stamp.command_hash,
            correlationid: stamp.correlation_id.as_str().into(),
            causationid: stamp.causation_id,
            actor: stamp.actor.as_str().into(),
            traceparent: stamp.traceparent.as_deref().map(Into::into),
            data: &data,
        };
        if self.commit.count > 0 {
            self.commit.body.push(b',');
        }
        serde_json::to_writer(&mut self.commit.body, &cloud_event).expect("writing to memory does not fail");
        self.commit.count += 1;
    }

    /// The version the next event would get.
    pub fn next_version(&self) -> Version {
        self.commit.first_version + u64::from(self.commit.count)
    }

    /// Bytes of the body as it would be appended now.
    pub fn size_bytes(&self) -> usize {
        self.commit.body.len() + 1
    }

    /// Nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.commit.count == 0
    }

    /// The commit; `None` when it has no event.
    pub fn finish(mut self) -> Option<NewCommit> {
        self.commit.body.push(b']');
        (self.commit.count > 0).then_some(self.commit)
    }
}
