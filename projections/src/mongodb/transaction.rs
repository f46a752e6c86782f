//! One transaction: tried again, within a bound, as long as what fails passes by itself.
//!
//! A process that is killed between two commands of a transaction leaves it open, and the server keeps what it has
//! written from everybody else until it is given up, after a minute by default. Whoever meets that ends the transactions
//! of this read store that nobody has been working on for a second: a live one never pauses that long, and one of a
//! process that was frozen is fenced that way.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::TryStreamExt as _;
use mongodb::{
    ClientSession, Database,
    bson::{Bson, Document, RawDocumentBuf, doc},
    options::{ReadConcern, WriteConcern},
};
use tokio::time::Instant;

use super::{
    batch::{self, Command, made_filter, met, same},
    connection::Connection,
    failure::{Failure, check_statements},
    record::RECORDS,
    stored,
};
use crate::{Advance, DocumentKey, ProjectionId, StoreError, Write, layout::Layout};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A transaction that nobody has worked on for so long was left behind, microseconds.
const ABANDONED_AFTER_US: i64 = 1_000_000;
/// Conflicts that pass by themselves have passed by then.
const LOOK_FOR_ABANDONED_AFTER: Duration = Duration::from_millis(250);

/// A batch that is ready to be carried out.
pub(super) struct Transaction {
    projection: ProjectionId,
    /// The word by which checkpoints know what they belong to.
    made: String,
    /// Some checkpoint is written for the first time, or none at all: then nothing else tells that the projection was
    /// dropped meanwhile.
    checks_record: bool,
    advances: Option<Command>,
    unchanged: Vec<(Arc<Layout>, Write)>,
    touches: Vec<Command>,
    /// Writes to documents that must be as they were read: each compares by itself, text for text…
    exchanges: Vec<Command>,
    exchanged: HashSet<DocumentKey>,
    /// …or is carried out as it is, once the documents were compared as JSON.
    compared: Vec<Command>,
    writes: Vec<Command>,
}

/// How documents are compared that must be as they were read and are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparing {
    /// By the writes themselves, which saves reading them: as they were read and written here they are the same text.
    ByText,
    /// As JSON, when that has failed: then it is certain.
    AsJson,
}

impl Transaction {
    /// Makes the commands.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a document that cannot be kept.
    pub(super) fn new(
        projection: ProjectionId,
        made: String,
        advances: &[Advance],
        unchanged: Vec<(Arc<Layout>, Write)>,
        writes: &[(Arc<Layout>, Write)],
    ) -> Result<Self, StoreError> {
        let written: HashMap<&DocumentKey, &Write> =
            writes.iter().map(|(_, write)| (&write.document, write)).collect();
        let (mut pairs, mut untouched) = (Vec::new(), Vec::new());
        for (layout, expected) in &unchanged {
            match written.get(&expected.document) {
                None => untouched.push((layout.as_ref(), expected)),
                // What is not there and is not to be there is compared by reading it.
                Some(write) if expected.value.is_none() && write.value.is_none() => {}
                Some(write) => pairs.push((layout.as_ref(), expected, *write)),
            }
        }
        let exchanged: HashSet<DocumentKey> =
            pairs.iter().map(|(_, expected, _)| expected.document.clone()).collect();
        let compared = pairs.iter().map(|(layout, _, write)| (*layout, *write));
        let others = writes.iter().filter(|(_, write)| !exchanged.contains(&write.document));
        Ok(Self {
            checks_record: advances.iter().all(|advance| advance.from.is_none()),
            advances: batch::advances(&projection, &made, advances),
            touches: batch::touches(untouched),
            compared: batch::writes(compared)?,
            exchanges: batch::exchanges(pairs)?,
            writes: batch::writes(others.map(|(layout, write)| (layout.as_ref(), write)))?,
            exchanged,
            unchanged,
            projection,
            made,
        })
    }

    /// All of it or nothing.
    pub(super) async fn carry_out(
        &self,
        connection: &Connection,
        database: &Database,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let deadline = began + connection.settings.retry_for;
        let (mut pause, mut comparing) = (FIRST_PAUSE, Comparing::ByText);
        loop {
            let failure = match connection.within(self.attempt(connection, database, comparing)).await {
                Ok(()) => return Ok(()),
                Err(Failure::Store(StoreError::Fenced))
                    if comparing == Comparing::ByText && !self.exchanges.is_empty() =>
                {
                    comparing = Comparing::AsJson;
                    continue;
                }
                Err(failure) => failure,
            };
            if !failure.is_transient() || Instant::now() + pause >= deadline {
                return Err(failure);
            }
            tracing::debug!(projection = %self.projection, ?failure, "a transaction is tried again");
            if failure.is_conflict()
                && began.elapsed() >= LOOK_FOR_ABANDONED_AFTER
                && let Err(failure) = connection.within(end_abandoned(connection)).await
            {
                tracing::warn!(?failure, "whether a transaction was left behind cannot be looked up");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(
        &self,
        connection: &Connection,
        database: &Database,
        comparing: Comparing,
    ) -> Result<(), Failure> {
        let mut session = connection.session().await?;
        let start = session.start_transaction();
        start.read_concern(ReadConcern::snapshot()).write_concern(WriteConcern::majority()).await?;
        if let Err(failure) = self.run(database, &mut session, comparing).await {
            // What it has written is kept from others until the server knows; an error here changes nothing.
            let _ = session.abort_transaction().await;
            return Err(failure);
        }
        self.commit(connection, &mut session).await?;
        connection.saw(&session);
        Ok(())
    }

    async fn run(
        &self,
        database: &Database,
        session: &mut ClientSession,
        comparing: Comparing,
    ) -> Result<(), Failure> {
        if let Some(advances) = &self.advances {
            run(database, session, advances).await?;
        }
        if self.checks_record {
            let records = database.collection::<Document>(RECORDS);
            let still = made_filter(&self.projection, &self.made);
            if records.find_one(still).session(&mut *session).await?.is_none() {
                return Err(StoreError::Fenced.into());
            }
        }
        self.compare(database, session, comparing).await?;
        let first = match comparing {
            Comparing::ByText => &self.exchanges,
            Comparing::AsJson => &self.compared,
        };
        for command in first.iter().chain(&self.touches).chain(&self.writes) {
            run(database, session, command).await?;
        }
        Ok(())
    }

    /// What must be unchanged is looked at in the transaction, unless it is compared where it is written.
    async fn compare(
        &self,
        database: &Database,
        session: &mut ClientSession,
        comparing: Comparing,
    ) -> Result<(), Failure> {
        for (layout, expected) in &self.unchanged {
            if comparing == Comparing::ByText && self.exchanged.contains(&expected.document) {
                continue;
            }
            let collection = database.collection::<RawDocumentBuf>(&layout.name);
            let by_key = doc! { "_id": &expected.document.key };
            let found = collection.find_one(by_key).session(&mut *session).await?;
            let found = found.as_ref().map(|found| stored::text(found)).transpose()?;
            if !same(found, expected.value.as_ref()) {
                return Err(StoreError::Fenced.into());
            }
        }
        Ok(())
    }

    async fn commit(&self, connection: &Connection, session: &mut ClientSession) -> Result<(), Failure> {
        let deadline = Instant::now() + connection.settings.retry_for;
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match session.commit_transaction().await {
                Ok(()) => return Ok(()),
                Err(error) => Failure::from(error),
            };
            // Asking again is safe: the server knows the transaction by its number, and a new primary has it from the
            // old one, or has never heard of it, and says so.
            if !failure.is_in_doubt() || Instant::now() + pause >= deadline {
                return Err(failure);
            }
            tracing::debug!(projection = %self.projection, ?failure, "a commit is asked for again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

async fn run(database: &Database, session: &mut ClientSession, command: &Command) -> Result<(), Failure> {
    let ran = database.run_raw_command(command.body.clone()).session(session).await;
    let answer = match ran.map_err(Failure::from) {
        Err(failure) if failure.is_duplicate() => return Err(StoreError::Fenced.into()),
        ran => ran?,
    };
    check_statements(&answer)?;
    if command.meets.is_some_and(|meets| met(&answer) != meets) {
        return Err(StoreError::Fenced.into());
    }
    Ok(())
}

/// Ends the transactions of this read store that were left behind.
async fn end_abandoned(connection: &Connection) -> Result<(), Failure> {
    let admin = connection.database("admin").await?;
    let open = admin.aggregate([
        doc! { "$currentOp": { "idleSessions": true } },
        doc! { "$match": {
            "type": "idleSession", "appName": connection.application(),
            "transaction.timeInactiveMicros": { "$gte": ABANDONED_AFTER_US },
        } },
    ]);
    let open: Vec<Document> = open.read_concern(ReadConcern::local()).await?.try_collect().await?;
    let sessions: Vec<Bson> = open
        .iter()
        .filter_map(|open| open.get_document("lsid").ok()?.get("id").cloned())
        .map(|id| Bson::Document(doc! { "id": id }))
        .collect();
    if sessions.is_empty() {
        return Ok(());
    }
    tracing::warn!(count = sessions.len(), "transactions that were left behind are ended");
    admin.run_command(doc! { "killSessions": sessions }).await?;
    Ok(())
}
