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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::envelope::CommandHash;

    const STREAM: &str = "job-0192f0c1a2b37c4d8e5f60718293a4b5";

    /// One event as format 1 writes it. This text is part of the format: it must be judged like this for ever.
    fn event(subject: &str, version: &str, commit: char, command: char) -> String {
        let ids: String = [commit, command].map(|digit| digit.to_string().repeat(32)).join(" ");
        let (commit, command) = ids.split_once(' ').expect("two ids");
        format!(
            r#"{{"specversion":"1.0","id":"evt_0192f0c1a2b37c4d8e5f60718293a4b5","source":"/guildhall/jobs","type":"guildhall.jobs.JobExpired","subject":"{subject}","time":"2026-11-21T09:00:00.000000Z","datacontenttype":"application/json","dataschema":"events/guildhall.jobs.JobExpired.v1.json","streamversion":{version},"schemaversion":1,"commitid":"cmt_{commit}","commandid":"cmd_{command}","commandhash":"00000000000000000000000000000007","correlationid":"c","actor":"system","data":{{}}}}"#
        )
    }

    fn record(key: &str, format: u16, events: &[String]) -> Record {
        let body = format!("[{}]", events.join(","));
        Record { key: key.to_owned(), format, body: Arc::from(body.into_bytes()) }
    }

    fn reads(events: &[String]) -> Parsed {
        parse(&record(STREAM, FORMAT, events))
    }

    #[test]
    fn only_the_version_behind_the_head_is_valid() {
        assert_eq!(judge(0, 1), Judgement::Valid);
        assert_eq!(judge(7, 8), Judgement::Valid);
        for passed in 1..=7 {
            assert_eq!(judge(7, passed), Judgement::Void);
        }
        assert_eq!(judge(7, 9), Judgement::Gap);
        assert_eq!(judge(0, Version::MAX), Judgement::Gap);
    }

    #[test]
    fn a_record_of_format_1_is_read_with_its_commands() {
        let events =
            [event(STREAM, "4", 'a', '1'), event(STREAM, "5", 'a', '1'), event(STREAM, "6", 'a', '2')];
        let Parsed::Commit(commit) = reads(&events) else { panic!("a commit") };
        assert_eq!((commit.stream.to_string().as_str(), commit.first_version, commit.count), (STREAM, 4, 3));
        assert_eq!(commit.id.to_string(), format!("cmt_{}", "a".repeat(32)));
        let span = |digit: &str, first_version, count| CommandSpan {
            command_id: format!("cmd_{}", digit.repeat(32)).parse().expect("an id"),
            command_hash: CommandHash([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
            first_version,
            count,
        };
        assert_eq!(commit.commands, [span("1", 4, 2), span("2", 6, 1)]);
    }

    #[test]
    fn what_is_no_commit_of_ours_is_void() {
        let other = "job-0192f0c1a2b37c4d8e5f60718293a4b6";
        let void = [
            Vec::new(),
            vec![event(STREAM, "0", 'a', '1')],
            vec![event(STREAM, "1", 'a', '1'), event(STREAM, "3", 'a', '1')],
            vec![event(STREAM, "1", 'a', '1'), event(STREAM, "2", 'b', '1')],
            vec![event(STREAM, "1", 'a', '1'), event(other, "2", 'a', '1')],
            vec![event(other, "1", 'a', '1')],
            vec![event("job-1", "1", 'a', '1')],
            vec![event("job", "1", 'a', '1')],
            vec![event(STREAM, "1.5", 'a', '1')],
            vec![event(STREAM, "9223372036854775808", 'a', '1')],
            vec![event(STREAM, "1", 'A', '1')],
            vec!["{}".to_owned()],
            vec!["1".to_owned()],
        ];
        for events in void {
            assert!(matches!(reads(&events), Parsed::Unparsable(_)), "{events:?}");
        }
        let nameless = parse(&record(STREAM, 0, &[event(STREAM, "1", 'a', '1')]));
        assert!(matches!(nameless, Parsed::Unparsable(_)), "{nameless:?}");
    }

    #[test]
    fn what_only_a_newer_release_can_judge_is_not_judged() {
        let newer = parse(&record(STREAM, FORMAT + 1, &[]));
        assert!(matches!(newer, Parsed::Newer(_)), "{newer:?}");
        let category = "yacht-0192f0c1a2b37c4d8e5f60718293a4b5";
        let newer = parse(&record(category, FORMAT, &[event(category, "1", 'a', '1')]));
        assert!(matches!(&newer, Parsed::Newer(reason) if reason.contains("yacht")), "{newer:?}");
    }
}
