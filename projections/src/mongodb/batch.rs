//! A batch as commands to the server: made once, carried out as often as it takes.

use std::collections::BTreeMap;

use mongodb::bson::{Document, RawArrayBuf, RawDocumentBuf, doc, raw::cstr, rawdoc};

use super::{
    record::CHECKPOINTS,
    stored::{c_str, encode},
};
use crate::{Advance, Checkpoint, Json, ProjectionId, StoreError, Write, layout::Layout};

/// A command is a document itself, with a little more room than the largest one that is kept.
const COMMAND_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Statements of one command; the server takes a hundred thousand.
const STATEMENTS_MAX: usize = 10_000;

/// A write command, and how many documents it must meet or make.
pub(super) struct Command {
    pub(super) body: RawDocumentBuf,
    /// Fewer mean that somebody else was faster; `None`: whatever it meets is right.
    pub(super) meets: Option<i64>,
}

/// Statements of one kind for one collection, gathered into as few commands as they fit in.
struct Statements {
    /// `update` or `delete`, with the name of its array.
    kind: (&'static str, &'static str),
    collection: String,
    full: Vec<RawArrayBuf>,
    open: RawArrayBuf,
    bytes: usize,
    count: usize,
}

impl Statements {
    fn new(kind: (&'static str, &'static str), collection: &str) -> Self {
        let collection = collection.to_owned();
        Self { kind, collection, full: Vec::new(), open: RawArrayBuf::new(), bytes: 0, count: 0 }
    }

    fn push(&mut self, statement: RawDocumentBuf) {
        let bytes = statement.as_bytes().len();
        if self.count > 0 && (self.bytes + bytes > COMMAND_BYTES_MAX || self.count == STATEMENTS_MAX) {
            self.full.push(std::mem::take(&mut self.open));
            (self.bytes, self.count) = (0, 0);
        }
        // An element's number and type stand before it.
        self.bytes += bytes + 8;
        self.count += 1;
        self.open.push(statement);
    }

    fn into_commands(mut self) -> Result<Vec<Command>, StoreError> {
        if self.count > 0 {
            self.full.push(self.open);
        }
        let commands = self.full.into_iter().map(|statements| {
            let mut body = RawDocumentBuf::new();
            body.append(c_str(self.kind.0)?, self.collection.as_str());
            body.append(c_str(self.kind.1)?, statements);
            Ok(Command { body, meets: None })
        });
        commands.collect()
    }
}

/// Puts documents in and takes deleted ones out.
pub(super) fn writes<'w>(
    writes: impl IntoIterator<Item = (&'w Layout, &'w Write)>,
) -> Result<Vec<Command>, StoreError> {
    let mut updates: BTreeMap<&str, Statements> = BTreeMap::new();
    let mut deletes: BTreeMap<&str, Statements> = BTreeMap::new();
    for (layout, write) in writes {
        let (name, key) = (layout.name.as_str(), write.document.key.as_str());
        match &write.value {
            Some(json) => {
                let statement =
                    rawdoc! { "q": { "_id": key }, "u": encode(layout, key, json)?, "upsert": true };
                let of = || Statements::new(("update", "updates"), name);
                updates.entry(name).or_insert_with(of).push(statement);
            }
            None => {
                let of = || Statements::new(("delete", "deletes"), name);
                deletes.entry(name).or_insert_with(of).push(rawdoc! { "q": { "_id": key }, "limit": 1 });
            }
        }
    }
    let mut commands = Vec::new();
    for statements in updates.into_values().chain(deletes.into_values()) {
        commands.extend(statements.into_commands()?);
    }
    Ok(commands)
}

/// Writes documents that must be as they were read, each if it still is that, text for text: to compare and to write is one
/// command. Of each pair the first is what is expected, the second what is to be there.
pub(super) fn exchanges<'w>(
    pairs: impl IntoIterator<Item = (&'w Layout, &'w Write, &'w Write)>,
) -> Result<Vec<Command>, StoreError> {
    let mut commands = Vec::new();
    for (layout, expected, write) in pairs {
        let (name, key) = (layout.name.as_str(), write.document.key.as_str());
        let query = match &expected.value {
            Some(json) => rawdoc! { "_id": key, "document": json.text() },
            // One that is there is not met, and cannot be inserted a second time.
            None => rawdoc! { "_id": key, "document": { "$exists": false } },
        };
        let body = match &write.value {
            Some(json) => {
                let upsert = expected.value.is_none();
                let statement = rawdoc! { "q": query, "u": encode(layout, key, json)?, "upsert": upsert };
                rawdoc! { "update": name, "updates": [statement] }
            }
            None => rawdoc! { "delete": name, "deletes": [{ "q": query, "limit": 1 }] },
        };
        commands.push(Command { body, meets: Some(1) });
    }
    Ok(commands)
}

/// The key of a checkpoint: `board_v1/jobs-0`.
pub(super) fn checkpoint_key(projection: &ProjectionId, advance: events::Partition) -> String {
    format!("{projection}/{advance}")
}

/// Compares and sets checkpoints. Those that stand still are written as well, so that two transactions that rest on the
/// same one conflict.
pub(super) fn advances(projection: &ProjectionId, made: &str, advances: &[Advance]) -> Option<Command> {
    if advances.is_empty() {
        return None;
    }
    let mut statements = RawArrayBuf::new();
    for advance in advances {
        statements.push(advance_statement(projection, made, advance));
    }
    let mut body = RawDocumentBuf::new();
    body.append(cstr!("update"), CHECKPOINTS);
    body.append(cstr!("updates"), statements);
    Some(Command { body, meets: i64::try_from(advances.len()).ok() })
}

fn advance_statement(projection: &ProjectionId, made: &str, advance: &Advance) -> RawDocumentBuf {
    let key = checkpoint_key(projection, advance.partition);
    let Checkpoint { log, offset } = advance.to;
    let log = log.0.to_string();
    match advance.from {
        Some(from) => rawdoc! {
            "q": { "_id": key, "made": made, "log": from.log.0.to_string(), "offset": from.offset },
            "u": { "$set": { "log": log, "offset": offset }, "$inc": { "transactions": 1_i64 } },
        },
        // One that is there already is not met, and cannot be inserted a second time.
        None => rawdoc! {
            "q": { "_id": key, "offset": { "$exists": false } },
            "u": {
                "$set": {
                    "projection": projection.to_string(), "partition": advance.partition.to_string(), "made": made, "log": log, "offset": offset,
                },
                "$inc": { "transactions": 1_i64 },
            },
            "upsert": true,
        },
    }
}

/// Writes to documents that must stay as they are and are not written otherwise, so that whoever writes them at the
/// same time conflicts: reading alone keeps nobody away.
pub(super) fn touches<'w>(unchanged: impl IntoIterator<Item = (&'w Layout, &'w Write)>) -> Vec<Command> {
    let mut commands = Vec::new();
    for (layout, write) in unchanged {
        let (name, key) = (layout.name.as_str(), write.document.key.as_str());
        if write.value.is_some() {
            let touch = rawdoc! { "q": { "_id": key }, "u": { "$inc": { "touched": 1_i64 } } };
            commands.push(Command { body: rawdoc! { "update": name, "updates": [touch] }, meets: Some(1) });
        } else {
            let come = rawdoc! { "_id": key };
            let go = rawdoc! { "q": { "_id": key }, "limit": 1 };
            commands.push(Command { body: rawdoc! { "insert": name, "documents": [come] }, meets: Some(1) });
            commands.push(Command { body: rawdoc! { "delete": name, "deletes": [go] }, meets: Some(1) });
        }
    }
    commands
}

/// Equal as JSON.
pub(super) fn same(found: Option<&str>, expected: Option<&Json>) -> bool {
    match (found, expected.map(Json::text)) {
        (None, None) => true,
        (Some(found), Some(expected)) => {
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            found == expected || parse(found).is_some_and(|found| Some(found) == parse(expected))
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// How many documents a command met or made.
pub(super) fn met(answer: &Document) -> i64 {
    match answer.get("n") {
        Some(mongodb::bson::Bson::Int32(number)) => i64::from(*number),
        Some(mongodb::bson::Bson::Int64(number)) => *number,
        Some(_) | None => 0,
    }
}

/// What the record of a projection must still say.
pub(super) fn made_filter(projection: &ProjectionId, made: &str) -> Document {
    doc! { "_id": projection.to_string(), "state": "made", "made": made }
}
