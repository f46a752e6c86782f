//! A commit as a record of Kafka: its headers, and what is made of a record that somebody else put there.

use std::{borrow::Cow, panic::AssertUnwindSafe, sync::Arc};

use rdkafka::{
    Message,
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
};
use serde::Deserialize;

use crate::{envelope::BATCH_CONTENT_TYPE, ids::CommitId, log::upstream::Record, stream::LogId};

/// The format, and with it the rule by which the record is judged.
const FORMAT: &str = "guildhall-format";
/// The log it was written for.
pub(super) const LOG: &str = "guildhall-log";
/// The commit's id, for strangers, and by which we know our own again: judging reads it from the events.
const COMMIT: &str = "guildhall-commit";
/// What the value is, as the CloudEvents binding for Kafka asks.
const CONTENT_TYPE: &str = "content-type";
/// W3C trace context of the first event.
const TRACEPARENT: &str = "traceparent";

/// The headers with which a commit travels.
pub(super) fn headers(log: LogId, record: &Record, commit: CommitId) -> OwnedHeaders {
    let (format, log, commit) = (record.format.to_string(), log.to_string(), commit.to_string());
    let headers = OwnedHeaders::new_with_capacity(5)
        .insert(Header { key: FORMAT, value: Some(&format) })
        .insert(Header { key: LOG, value: Some(&log) })
        .insert(Header { key: COMMIT, value: Some(&commit) })
        .insert(Header { key: CONTENT_TYPE, value: Some(BATCH_CONTENT_TYPE) });
    match traceparent(&record.body) {
        Some(trace) => headers.insert(Header { key: TRACEPARENT, value: Some(trace.as_ref()) }),
        None => headers,
    }
}

/// The trace of the first event; the others are not read.
fn traceparent(body: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Traced<'a> {
        #[serde(borrow, default)]
        traceparent: Option<Cow<'a, str>>,
    }
    // Hardly any has one, and reading an event to its end takes longer than looking for the word.
    if !str::from_utf8(body).ok()?.contains(TRACEPARENT) {
        return None;
    }
    let events = body.strip_prefix(b"[")?;
    let mut reader = serde_json::Deserializer::from_slice(events);
    Traced::deserialize(&mut reader).ok()?.traceparent
}

/// What a message says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stated {
    /// The format; 0 when it names none.
    format: u16,
    /// The log; `None` when it names none.
    pub(super) log: Option<String>,
    /// The commit that it says it is.
    pub(super) commit: Option<CommitId>,
}

/// Reads what a message says of itself; the first header of a name counts.
pub(super) fn stated(message: &BorrowedMessage<'_>) -> Stated {
    // The client panics over a header's name that is no UTF-8. Such a record is a stranger's, and must not halt us.
    let read = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let Some(headers) = message.headers() else { return Stated::default() };
        let text = |wanted: &str| {
            let found = headers.iter().find(|header| header.key == wanted)?;
            std::str::from_utf8(found.value?).ok()
        };
        let format = text(FORMAT).and_then(|format| format.parse().ok()).unwrap_or(0);
        let commit = text(COMMIT).and_then(|commit| commit.parse().ok());
        Stated { format, log: text(LOG).map(str::to_owned), commit }
    }));
    read.unwrap_or_default()
}

/// A message as a record of `log`. One that names another log, or none, is given no format: it is void in every copy, since
/// whether it is depends on the record and the log alone. Beside it, the commit that it says it is.
pub(super) fn record(log: &str, message: &BorrowedMessage<'_>) -> (Record, Option<CommitId>) {
    let stated = stated(message);
    let ours = stated.log.as_deref() == Some(log);
    if !ours {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        let other = stated.log.as_deref().unwrap_or("none");
        tracing::error!(
            topic,
            partition,
            offset,
            other,
            log,
            "a record on the log was written for another log: it is void"
        );
    }
    let record = Record {
        key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
        format: if ours { stated.format } else { 0 },
        body: Arc::from(message.payload().unwrap_or_default()),
    };
    (record, stated.commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(body: &str) -> Vec<(String, String)> {
        let record = Record { key: "job-1".into(), format: 1, body: Arc::from(body.as_bytes()) };
        let log = LogId(uuid::Uuid::nil());
        let headers = headers(log, &record, CommitId::fresh());
        headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned();
                (header.key.to_owned(), value)
            })
            .collect()
    }

    #[test]
    fn a_commit_travels_with_format_log_commit_and_content_type() {
        let values = values("[]");
        let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [FORMAT, LOG, COMMIT, CONTENT_TYPE]);
        assert_eq!((values[0].1.as_str(), values[1].1.as_str()), ("1", "0".repeat(32).as_str()));
        assert!(values[2].1.starts_with("cmt_"));
    }

    #[test]
    fn the_trace_is_that_of_the_first_event_and_not_what_stands_in_its_data() {
        let trace = |body: &str| values(body).get(4).map(|(_, value)| value.clone());
        assert_eq!(
            trace(r#"[{"traceparent":"00-a","data":{}},{"traceparent":"00-b"}]"#),
            Some("00-a".into())
        );
        assert_eq!(trace(r#"[{"data":{"traceparent":"00-x"}}]"#), None);
        assert_eq!(trace("[]"), None);
    }
}
