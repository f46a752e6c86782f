//! What a runner knows between its transactions: checkpoints, its turn, the blocked sequences.
//!
//! Every transaction of a runner, a redrive included, takes the next **turn**: it compares the turn it was prepared on
//! and writes the next one, beside the compare-and-set of its checkpoints. So whatever another runner wrote meanwhile
//! to the same scope, in another partition or by a redrive that moves no checkpoint, fences what was prepared before.
//! Where several worker processes share the read store, the turn also says who holds the scope ([`crate::fleet`]): it is
//! taken and released by compare-and-set on that same document, so whoever lost it is fenced like everybody else. In the
//! same way runners are held still for a moment, whichever process has them ([`crate::builds::hold`]).

use std::{collections::BTreeMap, time::Duration};

use events::{Offset, Partition, stream::BEFORE_FIRST};
use projections::{
    Advance, Batch, Checkpoint, Collection, CollectionSpec, DocumentKey, Filter, Order, ProjectionId, Query,
    ReadStore, StoreError, Write,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Trouble, source::Source};
use crate::{
    builds::hold::Hold,
    dead_letters::{Blocked, BlockedAt, LETTERS, Letter, Parking},
    documents::{self, Json},
    fleet::WorkerId,
};

/// The reserved collection of every projection that says whose turn it is, by scope.
pub(crate) const TURNS: Collection<Turn> = Collection::new("turns", &[]);

/// The collections of a projection as the read store has to prepare them: its own, and those of its runners. Whoever
/// prepares a projection prepares all of them.
pub fn collections_with_ours(declared: &[CollectionSpec]) -> Vec<CollectionSpec> {
    let mut collections = declared.to_vec();
    collections.extend([LETTERS.spec, TURNS.spec]);
    collections
}

/// How often a scope was written, and by whom last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    transactions: u64,
    /// Told apart from whoever writes as often to a read model that was dropped and is built again.
    #[serde(default)]
    by: Uuid,
    /// Who holds the scope; nobody where the read store belongs to one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<WorkerId>,
    /// That the scope has to stand still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<Hold>,
}

impl Turn {
    /// Who holds the scope.
    pub(crate) fn holder(&self) -> Option<WorkerId> {
        self.holder
    }

    /// That the scope has to stand still.
    pub(crate) fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    /// The next turn, with this holder.
    fn next(self, by: Uuid, holder: Option<WorkerId>) -> Self {
        Self { transactions: self.transactions + 1, by, holder, hold: self.hold }
    }
}

/// See the module.
pub(crate) struct Progress {
    projection: ProjectionId,
    scope: String,
    checkpoints: BTreeMap<Partition, Option<Checkpoint>>,
    turn: Option<Json>,
    /// What its turns are signed with.
    by: Uuid,
    /// Who holds the scope while this runner writes.
    holder: Option<WorkerId>,
    /// That the scope has to stand still.
    pub(super) hold: Option<Hold>,
    pub(crate) blocked: Blocked,
}

/// What a transaction is to do beside writing documents and taking its turn.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) parking: Parking,
    /// The last offset that is folded in, by partition.
    pub(crate) reached: BTreeMap<Partition, Offset>,
}

/// What a transaction changes of what its runner knows.
pub(crate) struct Step {
    turn: Json,
    checkpoints: BTreeMap<Partition, Checkpoint>,
    blocked: Vec<(String, Option<BlockedAt>)>,
}

impl Step {
    /// Where `progress` will be, partition by partition.
    pub(crate) fn places(&self, progress: &Progress) -> Vec<(Partition, Offset)> {
        let reached = progress.all_reached().into_iter();
        let to = |partition| self.checkpoints.get(&partition).map(|checkpoint| checkpoint.offset);
        reached.map(|(partition, offset)| (partition, to(partition).unwrap_or(offset))).collect()
    }
}

impl Progress {
    /// Reads everything again. `holder`: who must hold the scope, where it can be held. `checked`: the checkpoints must lie
    /// within this copy of the log.
    ///
    /// # Errors
    /// [`Trouble::Fenced`] when somebody else holds it.
    pub(crate) async fn load(
        store: &dyn ReadStore,
        source: &Source,
        projection: &ProjectionId,
        scope: &str,
        partitions: &[Partition],
        holder: Option<WorkerId>,
        checked: bool,
    ) -> Result<Self, Trouble> {
        let ends: BTreeMap<Partition, Offset> = source.ends(partitions.to_vec()).await?.into_iter().collect();
        // The turn is read first: whatever changes while the rest is read fences the next transaction.
        let turn = read_turn(store, projection, scope).await?;
        let read = decode_turn(turn.as_ref())?;
        if holder.is_some() && read.holder != holder {
            return Err(Trouble::Fenced);
        }
        let mut checkpoints = BTreeMap::new();
        for partition in partitions {
            let checkpoint = store.checkpoint(projection, *partition).await?;
            if let Some(checkpoint) = checkpoint {
                let mut end = ends[partition];
                if checked
                    && checkpoint.log == source.id()
                    && checkpoint.offset > end
                    && source.lags().is_none()
                {
                    end = end_in_time(source, *partition, checkpoint.offset, holder.is_some()).await?;
                }
                check(projection, *partition, checkpoint, source, end, checked)?;
            }
            checkpoints.insert(*partition, checkpoint);
        }
        let blocked = load_blocked(store, projection, partitions).await?;
        let (projection, scope) = (projection.clone(), scope.to_owned());
        Ok(Self {
            projection,
            scope,
            checkpoints,
            turn,
            by: Uuid::now_v7(),
            holder,
            hold: read.hold,
            blocked,
        })
    }

    /// The last offset of the partition that is folded in.
    pub(crate) fn reached(&self, partition: Partition) -> Offset {
        self.checkpoints.get(&partition).copied().flatten().map_or(BEFORE_FIRST, |c| c.offset)
    }

    /// The partitions with what is folded in of each.
    pub(crate) fn all_reached(&self) -> Vec<(Partition, Offset)> {
        self.checkpoints.keys().map(|partition| (*partition, self.reached(*partition))).collect()
    }

    /// Whether it is still this runner's turn.
    ///
    /// # Errors
    /// [`Trouble::Fenced`] when it is not.
    pub(crate) async fn check_turn(&self, store: &dyn ReadStore) -> Result<(), Trouble> {
        let turn = read_turn(store, &self.projection, &self.scope).await?;
        if decode_turn(turn.as_ref())? == decode_turn(self.turn.as_ref())? {
            Ok(())
        } else {
            Err(Trouble::Fenced)
        }
    }

    /// The transaction that carries the draft out together with `writes`, and what is known once it was carried out.
    pub(crate) fn prepare(
        &self,
        source: &Source,
        draft: Draft,
        mut writes: Vec<Write>,
    ) -> Result<(Batch, Step), StoreError> {
        let mut advances = Vec::new();
        for (partition, from) in &self.checkpoints {
            let to =
                draft.reached.get(partition).map(|offset| Checkpoint { log: source.id(), offset: *offset });
            // Partitions that stand still are compared too.
            if let Some(to) = to.or(*from) {
                advances.push(Advance { partition: *partition, from: *from, to });
            }
        }
        let turn = decode_turn(self.turn.as_ref())?;
        // A hold whose time is over goes with the first transaction behind it: whoever placed it can see that.
        let next = documents::encode(&Turn { hold: self.hold.clone(), ..turn.next(self.by, self.holder) })?;
        let outcome = draft.parking.outcome();
        let (letter_writes, mut unchanged) = draft.parking.into_writes()?;
        writes.extend(letter_writes);
        writes.push(Write { document: turn_key(&self.scope), value: Some(next.clone()) });
        unchanged.push(Write { document: turn_key(&self.scope), value: self.turn.clone() });
        let checkpoints = advances.iter().map(|advance| (advance.partition, advance.to)).collect();
        let step = Step { turn: next, checkpoints, blocked: outcome };
        Ok((Batch { projection: self.projection.clone(), writes, advances, unchanged }, step))
    }

    /// Remembers a transaction that was carried out.
    pub(crate) fn take(&mut self, step: Step) {
        self.turn = Some(step.turn);
        for (partition, checkpoint) in step.checkpoints {
            self.checkpoints.insert(partition, Some(checkpoint));
        }
        for (sequence, blocked) in step.blocked {
            match blocked {
                Some(blocked) => self.blocked.insert(sequence, blocked),
                None => self.blocked.remove(&sequence),
            };
        }
    }
}

fn turn_key(scope: &str) -> DocumentKey {
    DocumentKey { collection: TURNS.spec.name, key: scope.to_owned() }
}

/// Whose turn it is in each of these scopes.
pub(crate) async fn read_turns(
    store: &dyn ReadStore,
    projection: &ProjectionId,
    scopes: &[&str],
) -> Result<Vec<(Turn, Option<Json>)>, StoreError> {
    let keys: Vec<DocumentKey> = scopes.iter().map(|scope| turn_key(scope)).collect();
    let found = store.get_many(projection, &keys).await?;
    found.into_iter().map(|json| Ok((decode_turn(json.as_ref())?, json))).collect()
}

/// Writes that `holder` holds the scope, or nobody does, if its turn still is as it was `seen`.
///
/// # Errors
/// [`StoreError::Fenced`] when it is not.
pub(crate) async fn hand_over(
    store: &dyn ReadStore,
    projection: &ProjectionId,
    scope: &str,
    seen: Option<Json>,
    holder: Option<WorkerId>,
) -> Result<(), StoreError> {
    let next = decode_turn(seen.as_ref())?.next(Uuid::now_v7(), holder);
    write_turn(store, projection, scope, seen, &next).await
}

async fn write_turn(
    store: &dyn ReadStore,
    projection: &ProjectionId,
    scope: &str,
    seen: Option<Json>,
    next: &Turn,
) -> Result<(), StoreError> {
    let writes = vec![Write { document: turn_key(scope), value: Some(documents::encode(next)?) }];
    let unchanged = vec![Write { document: turn_key(scope), value: seen }];
    store.commit(Batch { projection: projection.clone(), writes, advances: Vec::new(), unchanged }).await
}

/// So often a turn is tried to be taken from a runner that never pauses, before it is given up.
const HOLD_TRIES: usize = 200;

/// From now on the scope is held: no transaction that was prepared before is carried out.
///
/// # Errors
/// What the store says.
pub(crate) async fn hold_scope(
    store: &dyn ReadStore,
    projection: &ProjectionId,
    scope: &str,
    hold: &Hold,
) -> Result<(), StoreError> {
    for _ in 0..HOLD_TRIES {
        let seen = read_turn(store, projection, scope).await?;
        let turn = decode_turn(seen.as_ref())?;
        let holder = turn.holder;
        let next = Turn { hold: Some(hold.clone()), ..turn.next(Uuid::now_v7(), holder) };
        match write_turn(store, projection, scope, seen, &next).await {
            Err(StoreError::Fenced) => {}
            outcome => return outcome,
        }
    }
    Err(StoreError::Unavailable(format!("{projection} {scope} never pauses")))
}

/// The scope is held no more, if it was by this hold.
///
/// # Errors
/// What the store says.
pub(crate) async fn release_scope(
    store: &dyn ReadStore,
    projection: &ProjectionId,
    scope: &str,
    hold: Uuid,
) -> Result<(), StoreError> {
    for _ in 0..HOLD_TRIES {
        let seen = read_turn(store, projection, scope).await?;
        let turn = decode_turn(seen.as_ref())?;
        if turn.hold.as_ref().is_none_or(|held| held.id != hold) {
            return Ok(());
        }
        let holder = turn.holder;
        let next = Turn { hold: None, ..turn.next(Uuid::now_v7(), holder) };
        match write_turn(store, projection, scope, seen, &next).await {
            Err(StoreError::Fenced) => {}
            outcome => return outcome,
        }
    }
    Err(StoreError::Unavailable(format!("{projection} {scope} never pauses")))
}

async fn read_turn(
    store: &dyn ReadStore,
    projection: &ProjectionId,
    scope: &str,
) -> Result<Option<Json>, StoreError> {
    Ok(store.get_many(projection, &[turn_key(scope)]).await?.pop().flatten())
}

/// A scope that nobody has written yet has had no turn.
fn decode_turn(json: Option<&Json>) -> Result<Turn, StoreError> {
    Ok(json.map(documents::decode).transpose()?.unwrap_or_default())
}

/// A checkpoint of another log, or beyond the end of this one, means that history is not what it was; unless this copy of
/// it only lags.
fn check(
    projection: &ProjectionId,
    partition: Partition,
    checkpoint: Checkpoint,
    source: &Source,
    end: Offset,
    within: bool,
) -> Result<(), Trouble> {
    if checkpoint.log != source.id() {
        return Err(Trouble::Stopped(format!(
            "the checkpoint of {projection} on {partition} belongs to the log {}, and this is the log {}: \
             give it back its log, or start the process again, which drops what came from another log and builds it anew",
            checkpoint.log,
            source.id()
        )));
    }
    if within && checkpoint.offset > end {
        if let Some(reason) = source.lags() {
            return Err(Trouble::Behind(format!(
                "{projection} has read {partition} up to {}, and this copy of the log ends at {end}: {reason}",
                checkpoint.offset
            )));
        }
        return Err(Trouble::Stopped(format!(
            "the log lost history: {projection} has read {partition} up to {}, and the log ends at {end}",
            checkpoint.offset
        )));
    }
    Ok(())
}

/// So long after it was judged a commit stands in the log's file.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);

/// So long after another process has read a commit this one's copy of the log has it, too; generously.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The end of the partition, once it is at `offset` or had the time to get there. What was judged is written a moment later,
/// and only then is it the end; and a checkpoint that another process wrote may be ahead of this copy.
async fn end_in_time(
    source: &Source,
    partition: Partition,
    offset: Offset,
    of_others: bool,
) -> Result<Offset, Trouble> {
    let (mut waited, patience) = (Duration::ZERO, if of_others { TOLD_WITHIN } else { WRITTEN_WITHIN });
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        waited += LOOK_AGAIN;
        let end = source.ends(vec![partition]).await?[0].1;
        if end >= offset || waited >= patience || source.lags().is_some() {
            return Ok(end);
        }
    }
}

/// Letters read at once while a runner starts.
const LETTERS_PER_PAGE: usize = 500;

async fn load_blocked(
    store: &dyn ReadStore,
    projection: &ProjectionId,
    partitions: &[Partition],
) -> Result<Blocked, Trouble> {
    let mut blocked = Blocked::new();
    let mut after = None;
    loop {
        let page = store
            .find(Query {
                projection: projection.clone(),
                collection: LETTERS.spec.name,
                filters: Vec::<Filter>::new(),
                order: Order { field: "parked_at", descending: false },
                after,
                limit: LETTERS_PER_PAGE,
            })
            .await?;
        for json in &page.items {
            let letter: Letter = documents::decode(json)?;
            if partitions.contains(&letter.partition()) {
                let at = BlockedAt { id: letter.id, head: letter.head.entry };
                blocked.insert(letter.sequence, at);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(blocked);
        }
    }
}
