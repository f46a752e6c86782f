//! Brings rebuilds on: building, catching up, comparing, ready, live.
//!
//! Every process that folds a projection looks at its builds, and takes the step that is due by compare-and-set on what is
//! known of the build. Where there are several, the one that holds the build's first scope does: two that compare at the same
//! time would be in each other's way. Nothing is kept in memory: after a crash whoever looks next goes on.

use std::sync::Arc;

use events::Timestamp;
use projections::{
    Projection, ProjectionId, StoreError,
    builds::{BuildRecord, BuildState, Comparison},
};

use super::{
    Builds, BuildsError,
    books::{self, Change, Entry},
    compare::Pair,
};
use crate::fleet::Fleet;

/// A build is compared with the live one once it is no more than this far behind.
const NEAR: i64 = 1000;

impl Builds {
    /// Until the process ends.
    pub(crate) async fn drive(self, fleet: Option<Arc<Fleet>>, until_end: impl Future<Output = ()>) {
        tokio::pin!(until_end);
        let mut nudges = self.nudges();
        loop {
            nudges.mark_unchanged();
            let under_way = self.drive_all(fleet.as_deref()).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "rebuilds cannot be looked at");
                true
            });
            tokio::select! {
                () = tokio::time::sleep(self.poll(under_way)) => {}
                // Its sender lives as long as this does.
                Ok(()) = nudges.changed() => {}
                () = &mut until_end => return,
            }
        }
    }

    /// Takes the steps that are due; whether there is more to come.
    async fn drive_all(&self, fleet: Option<&Fleet>) -> Result<bool, StoreError> {
        let mut under_way = false;
        for (name, entry) in books::all(self.store()).await? {
            let Ok(projection) = self.projection(&name) else { continue };
            for (record, _) in &entry.builds {
                if record.paused && record.state != BuildState::Dropping {
                    continue;
                }
                under_way |= record.state.is_under_way()
                    || record.state == BuildState::Dropping
                    || (record.state == BuildState::Ready && record.swap_when_ready);
                if record.state != BuildState::Dropping
                    && !self.is_ours(fleet, projection.as_ref(), &record.id)
                {
                    continue;
                }
                match self.step(projection.as_ref(), &entry, record).await {
                    Ok(()) | Err(BuildsError::UnderWay(_) | BuildsError::Store(StoreError::Fenced)) => {}
                    Err(trouble) => self.note(&record.id, &trouble).await?,
                }
            }
        }
        Ok(under_way)
    }

    /// Whether this process is the one that brings a build on.
    fn is_ours(&self, fleet: Option<&Fleet>, projection: &dyn Projection, id: &ProjectionId) -> bool {
        let Some(fleet) = fleet else { return true };
        let scopes = books::scopes(self.log().as_ref(), projection);
        scopes.first().is_some_and(|(scope, _)| fleet.holds_build(id, scope))
    }

    /// Says why a build does not get on, once.
    async fn note(&self, id: &ProjectionId, trouble: &BuildsError) -> Result<(), StoreError> {
        let reason = trouble.to_string();
        let noted = books::update(self.store(), id, |record| {
            let news = record.trouble.as_ref() != Some(&reason);
            record.trouble = Some(reason.clone());
            news
        });
        if noted.await? {
            tracing::warn!(build = %id, %reason, "a rebuild does not get on");
        }
        Ok(())
    }

    /// The step that is due, if one is.
    async fn step(
        &self,
        projection: &dyn Projection,
        entry: &Entry,
        record: &BuildRecord,
    ) -> Result<(), BuildsError> {
        if record.state == BuildState::Dropping {
            return self.finish_drop(entry, record).await;
        }
        if record.id.version != projection.version() {
            return Ok(());
        }
        let live = entry.live(&projection.id());
        match record.state {
            BuildState::Building => {
                let places = self.places(projection, &record.id).await?;
                if books::has_reached(&places, &record.targets) {
                    self.enter(entry, record, BuildState::CatchingUp).await?;
                }
            }
            BuildState::CatchingUp => {
                let (here, there) =
                    (self.places(projection, &record.id).await?, self.places(projection, &live).await?);
                if books::behind(&here, &there) <= NEAR {
                    self.enter(entry, record, BuildState::Comparing).await?;
                }
            }
            BuildState::Comparing => {
                if entry.record(&live).is_some_and(|record| record.paused) {
                    return Err(BuildsError::NotTogether(format!("{live} is paused")));
                }
                let seed = record.comparison.as_ref().map_or(0, |comparison| comparison.seed + 1);
                let pair = self.pair(projection, &live, &record.id);
                let comparison = pair.compare(seed).await?;
                let state = judged(&comparison, &record.id);
                let next = BuildRecord { comparison: Some(comparison), ..record.clone() };
                self.enter(entry, &next, state).await?;
            }
            BuildState::Ready if record.swap_when_ready => self.make_live(&record.id, false).await?,
            BuildState::Ready
            | BuildState::Differs
            | BuildState::Live
            | BuildState::Following
            | BuildState::Dropping => {}
        }
        Ok(())
    }

    /// Two builds to be compared.
    pub(super) fn pair<'a>(
        &'a self,
        projection: &'a dyn Projection,
        live: &'a ProjectionId,
        rebuilt: &'a ProjectionId,
    ) -> Pair<'a> {
        Pair { store: self.store(), log: self.log(), projection, settings: self.settings(), live, rebuilt }
    }

    async fn enter(&self, entry: &Entry, record: &BuildRecord, state: BuildState) -> Result<(), BuildsError> {
        let next = BuildRecord { state, trouble: None, ..record.clone() };
        Change::default().record(entry, &next)?.commit(self.store()).await?;
        tracing::info!(build = %record.id, state = state.name(), "a rebuild gets on");
        // The step behind it may be due already.
        self.nudge();
        Ok(())
    }

    /// Removes the documents of a build, once nobody can be reading them any more.
    async fn finish_drop(&self, entry: &Entry, record: &BuildRecord) -> Result<(), BuildsError> {
        // When it was given up, once it is being dropped.
        let since = record.replaced_at.unwrap_or(record.started_at);
        let after_ms = i64::try_from(self.settings().builds_drop_after_ms).unwrap_or(i64::MAX);
        if Timestamp::now() < since.plus_millis(after_ms) || self.runs(&record.id) {
            return Ok(());
        }
        self.store().drop_projection(&record.id).await?;
        Change::default().removed(entry, &record.id).commit(self.store()).await?;
        tracing::info!(build = %record.id, "a build was dropped");
        Ok(())
    }
}

/// What a comparison makes of a build. Another version is meant to differ.
fn judged(comparison: &Comparison, rebuilt: &ProjectionId) -> BuildState {
    if comparison.different > 0 && comparison.with.version == rebuilt.version {
        return BuildState::Differs;
    }
    BuildState::Ready
}
