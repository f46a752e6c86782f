//! The model's one aggregate: names that are claimed and released, and how its commits travel.

use uuid::Uuid;

use crate::{
    envelope::{CommandHash, CommandSpan, NewCommit},
    ids::{CommandId, CommitId, Id},
    log::{
        judge::{Parsed, ParsedCommit},
        upstream::Record,
    },
    stream::{Category, StreamId, Version},
};

/// How many names a stream has.
const NAMES: u8 = 4;
const RELEASES: u8 = 0x80;

/// What a command asks for: one name, claimed or released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation(u8);

/// Which names of a stream are claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Claimed(u8);

impl Operation {
    pub(super) fn random(number: u8) -> Self {
        let releases = if number & RELEASES == 0 { 0 } else { RELEASES };
        Self(((number & !RELEASES) % NAMES) | releases)
    }
}

impl Claimed {
    /// The rule: what is claimed cannot be claimed, what is free cannot be released.
    pub(super) fn rejects(self, operation: Operation) -> bool {
        let is_claimed = self.0 & (1 << (operation.0 & !RELEASES)) != 0;
        is_claimed != (operation.0 & RELEASES != 0)
    }

    /// The names after an event, which the rule allowed.
    pub(super) fn after(self, operation: Operation) -> Self {
        Self(self.0 ^ (1 << (operation.0 & !RELEASES)))
    }
}

/// Bytes before the commands: commit, stream, first version.
const HEADER_BYTES: usize = 16 + 16 + 8;
/// Bytes of a command, which writes one event.
const COMMAND_BYTES: usize = 16 + 1;

/// A commit in the making.
pub(super) struct Draft {
    id: CommitId,
    stream: StreamId,
    first_version: Version,
    commands: Vec<(CommandId, Operation)>,
}

impl Draft {
    pub(super) fn new(id: CommitId, stream: StreamId, first_version: Version) -> Self {
        Self { id, stream, first_version, commands: Vec::new() }
    }

    pub(super) fn push(&mut self, command: CommandId, operation: Operation) {
        self.commands.push((command, operation));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(super) fn finish(self) -> NewCommit {
        let Self { id, stream, first_version, commands } = self;
        let mut body = Vec::with_capacity(HEADER_BYTES + commands.len() * COMMAND_BYTES);
        body.extend_from_slice(id.uuid().as_bytes());
        body.extend_from_slice(stream.uuid.as_bytes());
        body.extend_from_slice(&first_version.to_be_bytes());
        for (command, operation) in &commands {
            body.extend_from_slice(command.uuid().as_bytes());
            body.push(operation.0);
        }
        let spans: Vec<CommandSpan> = spans(first_version, commands.iter().map(|(command, _)| *command));
        let count = u32::try_from(spans.len()).unwrap_or(u32::MAX);
        NewCommit { id, stream, first_version, count, commands: spans, body }
    }
}

fn spans(first_version: Version, commands: impl Iterator<Item = CommandId>) -> Vec<CommandSpan> {
    let span = |(first_version, command_id)| {
        let command_hash = CommandHash([0; 16]);
        CommandSpan { command_id, command_hash, first_version, count: 1 }
    };
    (first_version..).zip(commands).map(span).collect()
}

/// A commit as it is found on the log.
pub(super) struct Found {
    pub(super) id: CommitId,
    pub(super) stream: StreamId,
    pub(super) first_version: Version,
    pub(super) commands: Vec<(CommandId, Operation)>,
}

/// Reads a body; `None` when it is none of a model's commit.
pub(super) fn find(body: &[u8]) -> Option<Found> {
    let uuid = |bytes: &[u8]| Uuid::from_slice(bytes).ok();
    let (header, commands) = body.split_at_checked(HEADER_BYTES)?;
    let read = |bytes: &[u8]| {
        let (id, operation) = bytes.split_at_checked(16)?;
        Some((CommandId::from_uuid(uuid(id)?), Operation(*operation.first()?)))
    };
    Some(Found {
        id: CommitId::from_uuid(uuid(&header[..16])?),
        stream: StreamId { category: Category::Job, uuid: uuid(&header[16..32])? },
        first_version: Version::from_be_bytes(header[32..].try_into().ok()?),
        commands: commands.chunks(COMMAND_BYTES).map(read).collect::<Option<_>>()?,
    })
}

/// Reads a record as [`crate::log::judge::parse`] reads those of the product.
pub(super) fn read(record: &Record) -> Parsed {
    let Some(Found { id, stream, first_version, commands }) = find(&record.body) else {
        return Parsed::Unparsable("no commit of the model".into());
    };
    let commands = spans(first_version, commands.iter().map(|(command, _)| *command));
    let count = u32::try_from(commands.len()).unwrap_or(u32::MAX);
    Parsed::Commit(ParsedCommit { id, stream, first_version, count, commands })
}
