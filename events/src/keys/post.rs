//! Key records as they stand on the topic: which key each has, so that compaction keeps what must stay and nothing else.
//!
//! | record | its key | |
//! | --- | --- | --- |
//! | the topic's identity | `log/<uuid>` | the first on the topic; two nodes may each put one, the first counts |
//! | a key | `<subject>/<kid>` | its own, so that all keys of a subject stay |
//! | an erasure | `<subject>` | never replaced by anything: stays for ever |
//! | the end of a key | `<subject>/<kid>`, no value | a tombstone, behind the erasure |
//! | a beat | `beat` | says nothing: a topic forgets only behind a newer record |

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    cipher::RootKeys,
    exchange::{Post, Posted},
    record::{KeyRecord, wrapping_context},
};
use crate::{
    ids::{AccountId, KeyId},
    stream::LogId,
};

/// The format of the records, in the header `guildhall-format`.
pub(super) const FORMAT: &str = "1";
/// The key of a beat.
const BEAT: &str = "beat";
/// What the key of an identity begins with.
const IDENTITY: &str = "log/";

/// What a record on the topic means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A statement about a subject's keys.
    Record(KeyRecord),
    /// The record of this key goes.
    Tombstone {
        /// Whose key it was.
        subject: AccountId,
        /// Which.
        kid: KeyId,
    },
    /// Nothing for the key file.
    Nothing,
}

/// What the identity says. The topic's id is in its key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    log: Uuid,
    /// Sealed with the master key, so that a node with another one finds out before it writes anything.
    canary: String,
}

/// Why a topic is not the one it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotOurs {
    /// It does not begin with an identity, or with one of another log.
    Foreign(String),
    /// It was begun with another master key.
    MasterKey,
}

/// The identity of a fresh topic.
pub(super) fn identity(log: LogId, topic: Uuid, roots: &RootKeys) -> Post {
    let identity = Identity { log: log.0, canary: BASE64URL_NOPAD.encode(&roots.canary()) };
    Post { key: format!("{IDENTITY}{}", topic.simple()), value: Some(json(&identity)) }
}

/// The id of the topic whose first record is `first`.
pub(super) fn read_identity(first: &Posted, log: LogId, roots: &RootKeys) -> Result<Uuid, NotOurs> {
    let foreign = |what: &str| NotOurs::Foreign(what.to_owned());
    let key = std::str::from_utf8(&first.key).unwrap_or_default();
    let topic = key.strip_prefix(IDENTITY).and_then(|text| Uuid::try_parse(text).ok());
    let identity = first.value.as_deref().and_then(|value| serde_json::from_slice::<Identity>(value).ok());
    let (Some(topic), Some(identity)) = (topic, identity) else {
        return Err(foreign("does not begin with the identity of a key topic"));
    };
    if identity.log != log.0 {
        return Err(foreign("belongs to another log"));
    }
    let canary = BASE64URL_NOPAD.decode(identity.canary.as_bytes()).unwrap_or_default();
    if roots.knows_canary(canary) { Ok(topic) } else { Err(NotOurs::MasterKey) }
}

/// A key or an erasure, as it is put on the topic.
pub(super) fn post(record: &KeyRecord) -> Post {
    let key = match record {
        KeyRecord::Key { subject, kid, .. } => key_of(*subject, *kid),
        KeyRecord::Erased { subject } => subject.to_string(),
    };
    Post { key, value: Some(json(record)) }
}

/// The end of a key.
pub(super) fn tombstone(subject: AccountId, kid: KeyId) -> Post {
    Post { key: key_of(subject, kid), value: None }
}

/// Something newer than all that went before.
pub(super) fn beat() -> Post {
    Post { key: BEAT.into(), value: Some(b"{}".to_vec()) }
}

fn key_of(subject: AccountId, kid: KeyId) -> String {
    format!("{subject}/{kid}")
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a record has string keys only")
}

/// What `posted` means.
///
/// # Errors
/// Why it cannot be taken, as the end of a sentence that begins with the record.
pub(super) fn read(posted: &Posted, log: LogId, roots: &RootKeys) -> Result<Meaning, String> {
    let key = std::str::from_utf8(&posted.key).unwrap_or_default();
    let named =
        key.split_once('/').and_then(|(subject, kid)| Some((subject.parse().ok()?, kid.parse().ok()?)));
    let Some(value) = posted.value.as_deref() else {
        // Any other tombstone ended a record that was not ours to take.
        return Ok(named.map_or(Meaning::Nothing, |(subject, kid)| Meaning::Tombstone { subject, kid }));
    };
    match posted.log.as_deref() {
        Some(theirs) if theirs == log.to_string() => {}
        Some(theirs) => return Err(format!("belongs to the log {theirs}, not to {log}")),
        None => return Err("does not say which log it belongs to".into()),
    }
    if posted.format.as_deref() != Some(FORMAT) {
        let format = posted.format.as_deref().unwrap_or("none");
        return Err(format!("has the format {format}, this release reads {FORMAT}: update this node"));
    }
    if key == BEAT || key.starts_with(IDENTITY) {
        return Ok(Meaning::Nothing);
    }
    let record: KeyRecord = serde_json::from_slice(value)
        .map_err(|_| "is no key record of this release: update this node".to_owned())?;
    if post(&record).key != key {
        return Err("speaks of another key or person than its own key says".into());
    }
    if let KeyRecord::Key { subject, purpose, kid, wrapped } = &record {
        let context = wrapping_context(*subject, *purpose, *kid);
        let opened = roots.unwrap(wrapped, &context);
        opened.ok_or("was wrapped with another master key, or changed since".to_owned())?;
    }
    Ok(Meaning::Record(record))
}
