//! The verdict over a commit: the one rule by which every copy of a log comes to the same history.
//!
//! It is a frozen function of the record's format and of the commits before it in the partition. A change of this file
//! that changes a verdict is a new [`FORMAT`].

use std::borrow::Cow;

use serde::Deserialize;

use super::upstream::Record;
use crate::{
    envelope::{CloudEvent, CommandSpan, parse_body},
    ids::{CommandId, CommitId, parse_hex},
    stream::{Category, StreamId, Version},
};

/// The format in which records are written, and the rule by which they are judged.
pub(super) const FORMAT: u16 = 1;

/// What stands between a stream's head and a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It follows the head: it is part of history.
    Valid,
    /// The stream has passed its first version: it leaves no trace but a counter.
    Void,
    /// It leaves a gap. No writer of ours can have sent it: the log was truncated, recreated or is a foreign one.
    Gap,
}

/// Judges a commit that starts at `first_version`, reached in partition order while its stream stands at `head`.
pub(super) fn judge(head: Version, first_version: Version) -> Judgement {
    match first_version.cmp(&(head + 1)) {
        std::cmp::Ordering::Equal => Judgement::Valid,
        std::cmp::Ordering::Less => Judgement::Void,
        std::cmp::Ordering::Greater => Judgement::Gap,
    }
}

/// The commands of a commit, each with its events: neighbours that carry the same command id.
pub(super) fn spans(events: &[CloudEvent<'_>]) -> Vec<CommandSpan> {
    let mut spans: Vec<CommandSpan> = Vec::new();
    for event in events {
        match spans.last_mut() {
            Some(span) if span.command_id == event.commandid => span.count += 1,
            _ => spans.push(CommandSpan {
                command_id: event.commandid,
                command_hash: event.commandhash,
                first_version: event.streamversion,
                count: 1,
            }),
        }
    }
    spans
}

/// A record that is a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParsedCommit {
    /// Its id.
    pub(super) id: CommitId,
    /// The stream it is for.
    pub(super) stream: StreamId,
    /// The version of its first event.
    pub(super) first_version: Version,
    /// How many events it has.
    pub(super) count: u32,
    /// The commands it answers.
    pub(super) commands: Vec<CommandSpan>,
}

/// What a record turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A commit, to be judged.
    Commit(ParsedCommit),
    /// Nothing that any release of ours wrote: void. It halts nobody.
    Unparsable(String),
    /// Written by a release that knows more than this one, whose verdict would differ from that of others: a copy must not
    /// go past it.
    Newer(String),
}

/// Reads a record.
pub(super) fn parse(record: &Record) -> Parsed {
    if record.format > FORMAT {
        return Parsed::Newer(format!("a record has format {}, this release knows {FORMAT}", record.format));
    }
    if record.format != FORMAT {
        return Parsed::Unparsable("the record names no format".into());
    }
    let events = match parse_body(&record.body) {
        Ok(events) => events,
        Err(error) => {
            return match unknown_category(&record.body) {
                Some(name) => Parsed::Newer(format!("the category '{name}' is not known to this release")),
                None => Parsed::Unparsable(error.to_string()),
            };
        }
    };
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return Parsed::Unparsable("an empty batch".into());
    };
    if record.key != first.subject.to_string() {
        return Parsed::Unparsable("the record's key is not its stream".into());
    }
    let count = u32::try_from(events.len()).ok().filter(|_| i64::try_from(last.streamversion).is_ok());
    let Some(count) = count else {
        return Parsed::Unparsable("its versions are beyond what a log can hold".into());
    };
    Parsed::Commit(ParsedCommit {
        id: first.commitid,
        stream: first.subject,
        first_version: first.streamversion,
        count,
        commands: spans(&events),
    })
}

/// What every commit of ours has, whatever its category.
#[derive(Deserialize)]
struct AnyEvent<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(rename = "streamversion")]
    _version: Version,
    #[serde(rename = "commitid")]
    _commit: CommitId,
    #[serde(rename = "commandid")]
    _command: CommandId,
}

/// The category of a commit of ours that this release does not know.
fn unknown_category(body: &[u8]) -> Option<String> {
    let events: Vec<AnyEvent<'_>> = serde_json::from_slice(body).ok()?;
    let (category, digits) = events.first()?.subject.split_once('-')?;
    let is_name = !category.is_empty() && category.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let unknown = is_name && parse_hex(digits).is_some() && Category::from_name(category).is_none();
    unknown.then(|| category.to_owned())
}
