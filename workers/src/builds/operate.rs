//! What operators can do with builds. Each is one change of what the read store knows, or a comparison, or a swap; what
//! follows is done by whichever processes fold the projection.

use std::collections::BTreeMap;

use events::Timestamp;
use projections::{
    Projection, ProjectionId, StoreError,
    builds::{Alias, BuildRecord, BuildState, Comparison},
};

use super::{
    Builds, BuildsError,
    books::{self, Change, Entry},
};

impl Builds {
    /// The build that `text` names: `board_v1_b2` itself; of `board` the one that is not live, when there is just one.
    ///
    /// # Errors
    /// [`BuildsError::NoSuchProjection`], [`BuildsError::NoSuchBuild`].
    pub async fn find(&self, text: &str) -> Result<ProjectionId, BuildsError> {
        if let Ok(projection) = self.projection(text) {
            let entry = books::one(self.store(), projection.name()).await?;
            let live = entry.live(&projection.id());
            let mut others = entry.builds.iter().map(|(record, _)| &record.id).filter(|id| **id != live);
            return match (others.next(), others.next()) {
                (Some(only), None) => Ok(only.clone()),
                (None, _) => Err(BuildsError::NoSuchBuild(format!("of {text} beside the live one"))),
                (Some(_), Some(_)) => {
                    Err(BuildsError::NoSuchBuild(format!("{text}: name one of its builds")))
                }
            };
        }
        let id: ProjectionId = text.parse().map_err(|_| BuildsError::NoSuchProjection(text.to_owned()))?;
        let projection = self.projection(&id.name)?;
        let entry = books::one(self.store(), &id.name).await?;
        if entry.record(&id).is_none() && entry.live(&projection.id()) != id {
            return Err(BuildsError::NoSuchBuild(text.to_owned()));
        }
        Ok(id)
    }

    /// Begins to build the read model called `name` anew; which build that is.
    ///
    /// # Errors
    /// [`BuildsError::UnderWay`] when one is being built already.
    pub async fn rebuild(
        &self,
        name: &str,
        by: &str,
        swap_when_ready: bool,
    ) -> Result<ProjectionId, BuildsError> {
        let projection = self.projection(name)?;
        let entry = books::one(self.store(), name).await?;
        let live = entry.live(&projection.id());
        self.begin(projection.as_ref(), &entry, &live, by, swap_when_ready).await
    }

    /// Begins another build of this release's version beside `live`.
    pub(super) async fn begin(
        &self,
        projection: &dyn Projection,
        entry: &Entry,
        live: &ProjectionId,
        by: &str,
        swap_when_ready: bool,
    ) -> Result<ProjectionId, BuildsError> {
        let first = projection.id();
        let going = |(record, _): &(BuildRecord, _)| record.state.is_under_way();
        if entry.builds.iter().any(going) {
            return Err(BuildsError::UnderWay(first.name));
        }
        let mut alias = self.alias_of(entry, live);
        // What this version was before it was dropped, if it ever was, has other numbers.
        let number = alias.next.get(&first.version).copied().unwrap_or(0);
        alias.next.insert(first.version, number + 1);
        let id = first.with_build(number);
        let (log, now) = (self.log(), Timestamp::now());
        let targets = books::ends(log, books::partitions(log.as_ref(), projection)).await?;
        let record = BuildRecord {
            id: id.clone(),
            state: BuildState::Building,
            paused: false,
            log: self.log_id(),
            targets,
            started_at: now,
            started_by: by.to_owned(),
            swap_when_ready,
            counted_from: (now, 0),
            replaced_at: None,
            comparison: None,
            trouble: None,
        };
        let mut change = Change::default().alias(&first.name, entry, &alias)?.record(entry, &record)?;
        if entry.record(live).is_none() {
            change = change.record(entry, &books::found_live(live, self.log_id()))?;
        }
        match change.commit(self.store()).await {
            Err(StoreError::Fenced) => return Err(BuildsError::UnderWay(first.name)),
            outcome => outcome?,
        }
        tracing::info!(build = %id, %by, "a read model is being rebuilt");
        self.nudge();
        Ok(id)
    }

    fn alias_of(&self, entry: &Entry, live: &ProjectionId) -> Alias {
        entry.alias.as_ref().map_or_else(|| books::first_alias(live), |(alias, _)| alias.clone())
    }

    /// Compares a build with the live one now, with a sample drawn by `seed`, and keeps what came of it.
    ///
    /// # Errors
    /// [`BuildsError::IsLive`]; [`BuildsError::NotTogether`] when they could not be compared at the same positions.
    pub async fn compare(&self, build: &ProjectionId, seed: u64) -> Result<Comparison, BuildsError> {
        let projection = self.projection(&build.name)?;
        let entry = books::one(self.store(), &build.name).await?;
        let live = entry.live(&projection.id());
        if live == *build {
            return Err(BuildsError::IsLive(live));
        }
        let record = entry.record(build).ok_or_else(|| BuildsError::NoSuchBuild(build.to_string()))?;
        if matches!(record.state, BuildState::Building | BuildState::Dropping) {
            return Err(BuildsError::NotReady { build: build.clone(), state: record.state });
        }
        let comparison = self.pair(projection.as_ref(), &live, build).compare(seed).await?;
        let kept = books::update(self.store(), build, |record| {
            record.comparison = Some(comparison.clone());
            // What is looked at again may turn out right, or wrong.
            record.state = match record.state {
                BuildState::Differs | BuildState::Ready if live.version == build.version => {
                    if comparison.different > 0 { BuildState::Differs } else { BuildState::Ready }
                }
                state => state,
            };
            true
        });
        kept.await?;
        Ok(comparison)
    }

    /// Makes a build live, in one instant for all who read. `by_force`: even though a comparison found it to differ.
    ///
    /// # Errors
    /// See [`BuildsError`]; nothing has changed then.
    pub async fn swap(&self, build: &ProjectionId, by_force: bool) -> Result<(), BuildsError> {
        self.make_live(build, by_force).await
    }

    /// Gives a build up. Its documents are removed once no query can be reading them any more.
    ///
    /// # Errors
    /// [`BuildsError::IsLive`]; [`BuildsError::UnderWay`] while it is being swapped in.
    pub async fn drop_build(&self, build: &ProjectionId) -> Result<(), BuildsError> {
        let projection = self.projection(&build.name)?;
        let entry = books::one(self.store(), &build.name).await?;
        if entry.live(&projection.id()) == *build {
            return Err(BuildsError::IsLive(build.clone()));
        }
        let record = entry.record(build).ok_or_else(|| BuildsError::NoSuchBuild(build.to_string()))?;
        let (alias, _) = entry.alias.as_ref().ok_or_else(|| BuildsError::NoSuchBuild(build.to_string()))?;
        if alias.swap.as_ref().is_some_and(|swap| swap.to == *build && swap.until > Timestamp::now()) {
            return Err(BuildsError::UnderWay(build.name.clone()));
        }
        let dropping = BuildRecord {
            state: BuildState::Dropping,
            replaced_at: Some(Timestamp::now()),
            ..record.clone()
        };
        let mut alias = Alias { swap: None, ..alias.clone() };
        alias.earlier.retain(|version, number| (*version, *number) != (build.version, build.build));
        // The alias is written as well: so it cannot become live meanwhile.
        let change = Change::default().alias(&build.name, &entry, &alias)?.record(&entry, &dropping)?;
        match change.commit(self.store()).await {
            Err(StoreError::Fenced) => return Err(BuildsError::UnderWay(build.name.clone())),
            outcome => outcome?,
        }
        self.nudge();
        Ok(())
    }

    /// Lets the runners of a build stand still in every process, or go on. `text` names a build, or a projection: then all
    /// of its builds. How many there are.
    ///
    /// # Errors
    /// [`BuildsError::NoSuchProjection`], [`BuildsError::NoSuchBuild`].
    pub async fn set_paused(&self, text: &str, paused: bool) -> Result<usize, BuildsError> {
        let (name, only) = match self.projection(text) {
            Ok(projection) => (projection.name().to_owned(), None),
            Err(_) => {
                let build = self.find(text).await?;
                (build.name.clone(), Some(build))
            }
        };
        let first = self.projection(&name)?.id();
        loop {
            let entry = books::one(self.store(), &name).await?;
            let live = entry.live(&first);
            let mut records: BTreeMap<ProjectionId, BuildRecord> =
                entry.builds.iter().map(|(record, _)| (record.id.clone(), record.clone())).collect();
            records.entry(live.clone()).or_insert_with(|| books::found_live(&live, self.log_id()));
            records.retain(|id, _| only.as_ref().is_none_or(|only| only == id));
            let mut change = Change::default().alias(&name, &entry, &self.alias_of(&entry, &live))?;
            for record in records.values() {
                let counted_from = self.counted(record, paused).await?;
                change = change.record(&entry, &BuildRecord { paused, counted_from, ..record.clone() })?;
            }
            match change.commit(self.store()).await {
                Err(StoreError::Fenced) => {}
                outcome => {
                    outcome?;
                    self.nudge();
                    return Ok(records.len());
                }
            }
        }
    }

    /// The rate of what goes on is counted from now.
    async fn counted(&self, record: &BuildRecord, paused: bool) -> Result<(Timestamp, i64), BuildsError> {
        if paused || !record.paused {
            return Ok(record.counted_from);
        }
        let projection = self.projection(&record.id.name)?;
        let places = self.places(projection.as_ref(), &record.id).await?;
        Ok((Timestamp::now(), super::status::folded(&places)))
    }
}
