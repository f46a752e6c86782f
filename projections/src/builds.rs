//! Builds of read models: which one answers queries, and what is known of the others.
//!
//! A read model is built anew beside the one that serves: another build of it, with documents, letters and checkpoints of
//! its own. Which build is **live** stands in one small document per projection, its [`Alias`], which every query reads
//! first and which changes by compare-and-set: so a swap needs no restart, whichever processes read. While there is no
//! alias, the first build of the version that this release folds is live.
//!
//! A release reads its own version. Until that has been live for the first time, the version before it answers: its
//! documents, as they stand, read as this release reads documents. What does not decode, or is found by an index which that
//! version did not have, is [`StoreError::Unavailable`].

use std::collections::BTreeMap;

use events::{LogId, Offset, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Collection, CollectionSpec, DocumentKey, Json, Projection, ProjectionId, ReadStore, StoreError};

/// The reserved name and version under which a read store keeps what it knows of builds. Every engine has its collections
/// from the start.
pub const ID: (&str, u32) = ("read_models", 1);

/// Which build is live, by the projection's name.
pub const ALIASES: Collection<Alias> = Collection::new("aliases", &[]);

/// What is known of each build, by its text. Of a projection that was never rebuilt there is nothing.
pub const BUILDS: Collection<BuildRecord> = Collection::new("builds", &[]);

/// The reserved collections.
pub const COLLECTIONS: &[CollectionSpec] = &[ALIASES.spec, BUILDS.spec];

/// Under which the store keeps [`COLLECTIONS`].
pub fn id() -> ProjectionId {
    ProjectionId::new(ID.0, ID.1)
}

/// Which build of a projection answers queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The live version.
    pub version: u32,
    /// Its live build.
    pub build: u32,
    /// What was live last of the versions before it, for processes of an earlier release; gone when it is dropped.
    pub earlier: BTreeMap<u32, u32>,
    /// The number of the next build of each version: no number is used twice.
    pub next: BTreeMap<u32, u32>,
    /// A swap that is under way.
    pub swap: Option<Swap>,
}

/// A swap that is under way: while it stands in the alias, the runners of the live build that it holds stand still, and
/// only it can make another build live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    /// Told apart from every other one.
    pub id: Uuid,
    /// What is to be live.
    pub to: ProjectionId,
    /// Whoever finds it afterwards calls it off, real time.
    pub until: Timestamp,
}

/// Where a build stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildState {
    /// It has not reached the positions at which the log ended when it began.
    Building,
    /// It has, and has yet to come up to the live one.
    CatchingUp,
    /// It is compared with the live one.
    Comparing,
    /// It differs from the live one, though both are of the same version: somebody has to look.
    Differs,
    /// It can be swapped in.
    Ready,
    /// It answers queries.
    Live,
    /// It was live, and is kept current until it is dropped.
    Following,
    /// Its documents are about to be removed.
    Dropping,
}

impl BuildState {
    /// As it stands in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::CatchingUp => "catching_up",
            Self::Comparing => "comparing",
            Self::Differs => "differs",
            Self::Ready => "ready",
            Self::Live => "live",
            Self::Following => "following",
            Self::Dropping => "dropping",
        }
    }

    /// It is on its way to be ready.
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Building | Self::CatchingUp | Self::Comparing)
    }
}

/// What is known of one build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildRecord {
    /// Which build.
    pub id: ProjectionId,
    /// Where it stands.
    pub state: BuildState,
    /// Its runners stand still in every process until an operator says otherwise.
    pub paused: bool,
    /// The log of its positions.
    pub log: LogId,
    /// Where each partition ended when it began, by partition as text.
    pub targets: BTreeMap<String, Offset>,
    /// When it began, real time.
    pub started_at: Timestamp,
    /// Who asked for it.
    pub started_by: String,
    /// It is swapped in by itself once it is ready.
    pub swap_when_ready: bool,
    /// From where its rate is counted: since when, and how much was folded in then.
    pub counted_from: (Timestamp, i64),
    /// When another build took its place, or it was given up, real time.
    pub replaced_at: Option<Timestamp>,
    /// What the last comparison with the live build came to.
    pub comparison: Option<Comparison>,
    /// Why it does not get on, when it does not.
    pub trouble: Option<String>,
}

/// What a comparison of two builds came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The build that was live.
    pub with: ProjectionId,
    /// When, real time.
    pub at: Timestamp,
    /// Both stood still at these positions, by partition as text. `None`: the other one does not move, so each was compared
    /// where it stood.
    pub positions: Option<BTreeMap<String, Offset>>,
    /// What the sample was drawn with.
    pub seed: u64,
    /// Documents that were compared.
    pub documents: u64,
    /// Documents that differ.
    pub different: u64,
    /// The first of those, by key, up to a bound.
    pub differences: Vec<DocumentDifference>,
}

/// A document of two builds that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentDifference {
    /// Its collection.
    pub collection: String,
    /// Its key.
    pub key: String,
    /// What differs, place by place: `/status: live "draft", rebuilt "published"`.
    pub places: Vec<String>,
}

/// The alias's place.
pub fn alias_key(name: &str) -> DocumentKey {
    DocumentKey { collection: ALIASES.spec.name, key: name.to_owned() }
}

/// A build's place.
pub fn build_key(id: &ProjectionId) -> DocumentKey {
    DocumentKey { collection: BUILDS.spec.name, key: id.to_string() }
}

/// A reserved document, typed.
///
/// # Errors
/// [`StoreError::Refused`] when it does not decode.
pub fn decode<T: serde::de::DeserializeOwned>(json: &Json) -> Result<T, StoreError> {
    let refused = |e| StoreError::Refused(format!("a document of {} does not decode: {e}", ID.0));
    json.parse().map_err(refused)
}

/// The build that answers the queries of a release that folds the version of `first`, the first build of it.
///
/// # Errors
/// What the store says; [`StoreError::Unavailable`] when a newer release has taken over and dropped this version.
pub async fn live(store: &dyn ReadStore, first: &ProjectionId) -> Result<ProjectionId, StoreError> {
    match serving(store, first).await? {
        Serving::This(build) => Ok(build),
        Serving::Newer(version) => Err(StoreError::Unavailable(format!(
            "{first} was dropped: a newer release serves {}_v{version}",
            first.name
        ))),
    }
}

/// What answers the queries of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// This build, of the release's own version or an earlier one.
    This(ProjectionId),
    /// Nothing any more: a newer release serves this version, and the release's own was dropped.
    Newer(u32),
}

/// What answers the queries of a release that folds the version of `first`, the first build of it.
///
/// # Errors
/// What the store says.
pub async fn serving(store: &dyn ReadStore, first: &ProjectionId) -> Result<Serving, StoreError> {
    let found = store.get_many(&id(), &[alias_key(&first.name)]).await?.pop().flatten();
    let Some(alias) = found.as_ref().map(decode::<Alias>).transpose()? else {
        return Ok(Serving::This(first.clone()));
    };
    if alias.version <= first.version {
        let (version, build) = (alias.version, alias.build);
        return Ok(Serving::This(ProjectionId { name: first.name.clone(), version, build }));
    }
    let own = alias.earlier.get(&first.version).map(|build| first.with_build(*build));
    Ok(own.map_or(Serving::Newer(alias.version), Serving::This))
}

/// The live build of `projection`, as [`live`] says it.
///
/// # Errors
/// As [`live`].
pub async fn live_of(store: &dyn ReadStore, projection: &dyn Projection) -> Result<ProjectionId, StoreError> {
    live(store, &projection.id()).await
}

/// Whether the documents of a build are to be there. What is not kept must not be made again by whoever still ran it.
///
/// # Errors
/// What the store says.
pub async fn is_kept(store: &dyn ReadStore, build: &ProjectionId) -> Result<bool, StoreError> {
    let keys = [alias_key(&build.name), build_key(build)];
    let found = store.get_many(&id(), &keys).await?;
    let [alias, record] = found.as_slice() else { return Ok(build.build == 0) };
    match (alias, record) {
        (_, Some(record)) => Ok(decode::<BuildRecord>(record)?.state != BuildState::Dropping),
        (Some(_), None) => Ok(false),
        (None, None) => Ok(build.build == 0),
    }
}
