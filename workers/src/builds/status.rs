//! How far the builds of read models are, for operators.

use events::{Offset, Timestamp};
use projections::{
    Projection, ProjectionId,
    builds::{BuildRecord, BuildState, Comparison},
};

use super::{
    Builds, BuildsError,
    books::{self, Entry, Places},
};

/// A read model with its builds.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadModelReport {
    /// Its name.
    pub name: String,
    /// The version that this release folds.
    pub version: u32,
    /// What answers queries.
    pub live: ProjectionId,
    /// Every build there is, the live one among them, by version and number.
    pub builds: Vec<BuildReport>,
}

/// How far a build is.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildReport {
    /// Which build.
    pub id: ProjectionId,
    /// Where it stands.
    pub state: BuildState,
    /// It stands still until an operator says otherwise.
    pub paused: bool,
    /// Positions it has folded in, all partitions together…
    pub folded: i64,
    /// …of so many: what there was when it began, or what there is now, once it has passed that.
    pub of: i64,
    /// Positions folded in a second since it began or went on last; `None` unless it is on its way.
    pub rate_per_second: Option<f64>,
    /// How long it will take at that rate, milliseconds; `None` as above, or when it does not move.
    pub left_ms: Option<u64>,
    /// When it began; `None` for the first build.
    pub started_at: Option<Timestamp>,
    /// Who asked for it; `None` for the first build.
    pub started_by: Option<String>,
    /// It is swapped in by itself once it is ready.
    pub swap_when_ready: bool,
    /// What the last comparison with the live build came to.
    pub comparison: Option<Comparison>,
    /// Why it does not get on, when it does not.
    pub trouble: Option<String>,
}

/// Positions that are folded in, all partitions together. Offsets begin at 0.
pub(super) fn folded(places: &Places) -> i64 {
    places.values().map(|offset| offset + 1).sum()
}

impl Builds {
    /// Every read model of this process, with its builds.
    ///
    /// # Errors
    /// What the read store says.
    pub async fn report(&self) -> Result<Vec<ReadModelReport>, BuildsError> {
        let mut entries = books::all(self.store()).await?;
        let mut reports = Vec::new();
        for projection in self.projections() {
            let entry = entries.remove(projection.name()).unwrap_or_default();
            reports.push(self.report_of(projection.as_ref(), &entry).await?);
        }
        Ok(reports)
    }

    /// One read model with its builds.
    ///
    /// # Errors
    /// [`BuildsError::NoSuchProjection`]; what the read store says.
    pub async fn report_one(&self, name: &str) -> Result<ReadModelReport, BuildsError> {
        let projection = self.projection(name)?;
        let entry = books::one(self.store(), name).await?;
        self.report_of(projection.as_ref(), &entry).await
    }

    async fn report_of(
        &self,
        projection: &dyn Projection,
        entry: &Entry,
    ) -> Result<ReadModelReport, BuildsError> {
        let first = projection.id();
        let live = entry.live(&first);
        let ends = books::ends(self.log(), books::partitions(self.log().as_ref(), projection)).await?;
        let mut records: Vec<BuildRecord> = entry.builds.iter().map(|(record, _)| record.clone()).collect();
        if entry.record(&live).is_none() {
            records.push(books::found_live(&live, self.log_id()));
        }
        records.sort_by(|one, other| one.id.cmp(&other.id));
        let mut builds = Vec::new();
        for record in records {
            let places = self.places(projection, &record.id).await?;
            builds.push(report(record, &places, &ends));
        }
        Ok(ReadModelReport { name: first.name, version: first.version, live, builds })
    }
}

fn report(record: BuildRecord, places: &Places, ends: &Places) -> BuildReport {
    let building = record.state == BuildState::Building;
    let until = if building { &record.targets } else { ends };
    // What lies beyond a target is none of what there was to do.
    let within = |(partition, offset): (&String, &Offset)| {
        let bound = until.get(partition).copied().unwrap_or(*offset);
        (partition.clone(), (*offset).min(bound))
    };
    let of = folded(until);
    let done = folded(&places.iter().map(within).collect());
    let (since, before) = record.counted_from;
    let elapsed_ms = Timestamp::now().millis_since(since).max(1);
    let moves = record.state.is_under_way() && !record.paused;
    let rate = moves.then(|| (folded(places) - before).max(0) as f64 * 1000.0 / elapsed_ms as f64);
    let left_ms =
        rate.filter(|rate| *rate > 0.0).map(|rate| ((of - done).max(0) as f64 * 1000.0 / rate) as u64);
    let was_asked_for = !record.targets.is_empty() || record.state != BuildState::Live;
    BuildReport {
        id: record.id,
        state: record.state,
        paused: record.paused,
        folded: done,
        of,
        rate_per_second: rate,
        left_ms,
        started_at: was_asked_for.then_some(record.started_at),
        started_by: was_asked_for.then_some(record.started_by),
        swap_when_ready: record.swap_when_ready,
        comparison: record.comparison,
        trouble: record.trouble,
    }
}
