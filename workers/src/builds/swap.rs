//! Makes another build the live one, in one instant for all who read, and never a step back.
//!
//! The swap is announced in the alias, by compare-and-set. Then the live build's runners are held where they are; each of
//! them calls the swap off before it goes on by itself ([`super::hold`]). The other build comes up to where the live one
//! stands, and the alias changes, by compare-and-set on the announcement: if anybody has called the swap off, nothing changes.
//!
//! So at the moment of the change the other build has seen all that any reader can have seen, and every query from then on
//! reads it.

use events::{Partition, Timestamp};
use projections::{
    ProjectionId, StoreError,
    builds::{Alias, BuildRecord, BuildState, Swap},
};
use uuid::Uuid;

use super::{
    Builds, BuildsError,
    books::{self, Change, Entry},
    hold::{Held, Hold, Standing, call_off},
};

impl Builds {
    /// Makes the build `to` live. `by_force`: even though a comparison found it to differ.
    ///
    /// # Errors
    /// See [`BuildsError`]; nothing has changed then.
    pub(super) async fn make_live(&self, to: &ProjectionId, by_force: bool) -> Result<(), BuildsError> {
        let projection = self.projection(&to.name)?;
        let store = self.store();
        let entry = books::one(store, &to.name).await?;
        let alias = may_become_live(&entry, to, by_force)?;
        let until = Hold::still(Uuid::nil(), self.settings().builds_hold_ms, true).until;
        let swap = Swap { id: Uuid::now_v7(), to: to.clone(), until };
        let announced = Alias { swap: Some(swap.clone()), ..alias };
        match Change::default().alias(&to.name, &entry, &announced)?.commit(store).await {
            Err(StoreError::Fenced) => return Err(BuildsError::UnderWay(to.name.clone())),
            outcome => outcome?,
        }
        let live = entry.live(&projection.id());
        let scopes = books::scopes(self.log().as_ref(), projection.as_ref());
        let partitions: Vec<Partition> =
            scopes.iter().flat_map(|(_, partitions)| partitions.clone()).collect();
        let hold = Hold { id: swap.id, until, ..Hold::still(swap.id, 0, true) };
        let held = Held { store, id: &live, scopes: &scopes, hold };
        let outcome = self.flip(&held, &swap, &partitions).await;
        if outcome.is_err() {
            // Before anybody is let go: what was not decided must not be decided afterwards.
            call_off(store, &to.name, swap.id).await?;
        }
        held.lift().await;
        self.nudge();
        outcome
    }

    async fn flip(&self, held: &Held<'_>, swap: &Swap, partitions: &[Partition]) -> Result<(), BuildsError> {
        held.place().await?;
        let store = self.store();
        let log = self.log().id();
        let there = Standing { store, id: held.id, log, partitions }.places().await?;
        let other = Standing { store, id: &swap.to, log, partitions };
        if !other.reaches(&there, swap.until).await? {
            let short = books::behind(&other.places().await?, &there);
            return Err(BuildsError::Behind { build: swap.to.clone(), by: short });
        }
        loop {
            let entry = books::one(store, &swap.to.name).await?;
            let called_off = || BuildsError::UnderWay(swap.to.name.clone());
            let (alias, _) = entry.alias.as_ref().ok_or_else(called_off)?;
            if alias.swap.as_ref().is_none_or(|under_way| under_way.id != swap.id) {
                return Err(called_off());
            }
            let record =
                entry.record(&swap.to).ok_or_else(|| BuildsError::NoSuchBuild(swap.to.to_string()))?;
            if record.state == BuildState::Dropping {
                return Err(BuildsError::NoSuchBuild(swap.to.to_string()));
            }
            let (alias, now_live) = (flipped(alias, &swap.to), now_live(record));
            let mut change =
                Change::default().alias(&swap.to.name, &entry, &alias)?.record(&entry, &now_live)?;
            if let Some(before) = entry.record(held.id) {
                change = change.record(&entry, &replaced(before))?;
            }
            match change.commit(store).await {
                Ok(()) => {
                    tracing::info!(from = %held.id, to = %swap.to, "a read model was swapped");
                    return Ok(());
                }
                // Somebody paused a build, or called the swap off.
                Err(StoreError::Fenced) => {}
                // It may have been carried out: whoever looks next sees it, and calling it off then changes nothing.
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The alias as it is, without a swap whose time is over, if this build may take over.
fn may_become_live(entry: &Entry, to: &ProjectionId, by_force: bool) -> Result<Alias, BuildsError> {
    let record = entry.record(to).ok_or_else(|| BuildsError::NoSuchBuild(to.to_string()))?;
    let (alias, _) = entry.alias.as_ref().ok_or_else(|| BuildsError::NoSuchBuild(to.to_string()))?;
    match record.state {
        BuildState::Live => return Err(BuildsError::IsLive(to.clone())),
        BuildState::Dropping => return Err(BuildsError::NoSuchBuild(to.to_string())),
        BuildState::Building | BuildState::CatchingUp | BuildState::Comparing => {
            return Err(BuildsError::NotReady { build: to.clone(), state: record.state });
        }
        BuildState::Differs if !by_force => return Err(BuildsError::Differs(to.clone())),
        BuildState::Differs | BuildState::Ready | BuildState::Following => {}
    }
    if alias.swap.as_ref().is_some_and(|swap| swap.until > Timestamp::now()) {
        return Err(BuildsError::UnderWay(to.name.clone()));
    }
    Ok(alias.clone())
}

fn flipped(alias: &Alias, to: &ProjectionId) -> Alias {
    let mut earlier = alias.earlier.clone();
    if alias.version != to.version {
        earlier.insert(alias.version, alias.build);
        earlier.remove(&to.version);
    }
    Alias { version: to.version, build: to.build, earlier, next: alias.next.clone(), swap: None }
}

fn now_live(record: &BuildRecord) -> BuildRecord {
    BuildRecord { state: BuildState::Live, replaced_at: None, trouble: None, ..record.clone() }
}

fn replaced(record: &BuildRecord) -> BuildRecord {
    BuildRecord { state: BuildState::Following, replaced_at: Some(Timestamp::now()), ..record.clone() }
}
