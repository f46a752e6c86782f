//! Holding runners still for a moment, in whatever process they run.
//!
//! A hold stands in the turn of each scope ([`progress`](crate::runner::progress)), the document that every transaction is
//! compared with. So whoever was about to write is fenced, reads the turn anew, and finds that it has to stand still: where
//! it is, or at positions that it may still go to. A hold ends when it is lifted, or by itself when its time is over: then
//! the runner's next transaction writes the turn without it, and whoever had placed it can see that it is gone.
//!
//! A swap must not rest on clocks. While it is under way it stands in the alias as well, and a runner that was held for it
//! calls it off there, by compare-and-set, before it goes on. So either the other build became live before this one moved,
//! or it never will.

use std::{collections::BTreeMap, time::Duration};

use events::{LogId, Offset, Partition, Timestamp};
use projections::{ProjectionId, ReadStore, StoreError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::books::{self, Change, Places};
use crate::runner::progress::{hold_scope, read_turns, release_scope};

/// That a scope has to stand still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    /// Told apart from every other one.
    pub(crate) id: Uuid,
    /// How far the runner may still go, by partition as text; where it is, when nothing is said.
    pub(crate) upto: BTreeMap<String, Offset>,
    /// It ends by itself then, real time.
    pub(crate) until: Timestamp,
    /// It is for a swap: see the module.
    pub(crate) swap: bool,
}

impl Hold {
    /// A hold of so many milliseconds that lets nobody go on.
    pub(crate) fn still(id: Uuid, for_ms: u64, swap: bool) -> Self {
        let for_ms = i64::try_from(for_ms).unwrap_or(i64::MAX);
        Self { id, upto: BTreeMap::new(), until: Timestamp::now().plus_millis(for_ms), swap }
    }

    /// How far a runner that stands at `reached` may go.
    pub(crate) fn limit(&self, partition: Partition, reached: Offset) -> Offset {
        self.upto.get(&partition.to_string()).map_or(reached, |upto| (*upto).max(reached))
    }

    /// Its time is over.
    pub(crate) fn has_ended(&self) -> bool {
        Timestamp::now() > self.until
    }
}

/// The scopes of a build, to be held together.
pub(crate) struct Held<'a> {
    pub(crate) store: &'a dyn ReadStore,
    pub(crate) id: &'a ProjectionId,
    pub(crate) scopes: &'a [(String, Vec<Partition>)],
    pub(crate) hold: Hold,
}

impl Held<'_> {
    /// From now on nobody writes beyond the hold.
    pub(crate) async fn place(&self) -> Result<(), StoreError> {
        for (scope, _) in self.scopes {
            hold_scope(self.store, self.id, scope, &self.hold).await?;
        }
        Ok(())
    }

    /// Whether every scope is still held.
    pub(crate) async fn stands(&self) -> Result<bool, StoreError> {
        let names: Vec<&str> = self.scopes.iter().map(|(scope, _)| scope.as_str()).collect();
        let turns = read_turns(self.store, self.id, &names).await?;
        Ok(turns.iter().all(|(turn, _)| turn.hold().is_some_and(|hold| hold.id == self.hold.id)))
    }

    /// Everybody may go on. What cannot be lifted now ends by itself.
    pub(crate) async fn lift(&self) {
        for (scope, _) in self.scopes {
            if let Err(error) = release_scope(self.store, self.id, scope, self.hold.id).await {
                tracing::warn!(projection = %self.id, %scope, %error, "the hold is not lifted, it ends by itself");
            }
        }
    }
}

/// How often positions are looked at that are waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A build and where its positions are read.
#[derive(Clone, Copy)]
pub(crate) struct Standing<'a> {
    pub(crate) store: &'a dyn ReadStore,
    pub(crate) id: &'a ProjectionId,
    pub(crate) log: LogId,
    pub(crate) partitions: &'a [Partition],
}

impl Standing<'_> {
    /// Where it stands.
    pub(crate) async fn places(&self) -> Result<Places, StoreError> {
        books::places(self.store, self.id, self.log, self.partitions).await
    }

    /// Waits until it has come as far as `places`; `false` when the time is over first.
    pub(crate) async fn reaches(&self, places: &Places, until: Timestamp) -> Result<bool, StoreError> {
        loop {
            if books::has_reached(&self.places().await?, places) {
                return Ok(true);
            }
            if Timestamp::now() > until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Calls a swap off that has taken too long; afterwards it cannot happen any more. One that has happened stays.
pub(crate) async fn call_off(store: &dyn ReadStore, name: &str, swap: Uuid) -> Result<(), StoreError> {
    loop {
        let entry = books::one(store, name).await?;
        let Some((alias, _)) = &entry.alias else { return Ok(()) };
        if alias.swap.as_ref().is_none_or(|under_way| under_way.id != swap) {
            return Ok(());
        }
        let called_off = projections::builds::Alias { swap: None, ..alias.clone() };
        match Change::default().alias(name, &entry, &called_off)?.commit(store).await {
            Err(StoreError::Fenced) => {}
            outcome => return outcome,
        }
    }
}
