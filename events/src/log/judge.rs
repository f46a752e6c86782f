//! The verdict over a commit: the one rule by which every copy of a log comes to the same history.
//!
//! It is a frozen function of the record's format and of the commits before it in the partition. A change of this file
//! that changes a verdict is a new [`FORMAT`].

use crate::{
    envelope::{CloudEvent, CommandSpan},
    stream::Version,
};

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
