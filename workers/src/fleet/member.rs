//! A worker among others: its document, which says that it is there, what it can work for and what it holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use projections::{
    Batch, Collection, CollectionSpec, DocumentKey, Index, Json, Order, ProjectionId, Query, ReadStore,
    StoreError, Write,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{documents, requests::REQUESTS};

/// One worker of a fleet, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(Uuid);

impl WorkerId {
    /// One that nobody else has.
    pub(crate) fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    #[cfg(test)]
    pub(crate) fn numbered(number: u128) -> Self {
        Self(Uuid::from_u128(number))
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// What is held as a whole: one version of a projection in one partition, or in all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scope {
    /// `board_v1`.
    pub(crate) projection: String,
    /// `jobs/0`, or `all`.
    pub(crate) scope: String,
}

impl Scope {
    pub(crate) fn new(projection: impl Into<String>, scope: impl Into<String>) -> Self {
        Self { projection: projection.into(), scope: scope.into() }
    }
}

/// Scopes as a document has them: by projection.
type Scopes = BTreeMap<String, BTreeSet<String>>;

/// A worker's document. Only that worker writes it, and who finds it dead removes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) id: WorkerId,
    /// Where it is found, for people.
    pub(crate) name: String,
    /// Grows with every writing: as long as it does, the worker lives, and holds what it says it holds.
    beats: u64,
    works_for: Scopes,
    holds: Scopes,
}

impl Member {
    pub(crate) fn new(id: WorkerId, name: String) -> Self {
        Self { id, name, beats: 0, works_for: Scopes::new(), holds: Scopes::new() }
    }

    /// One more sign of life.
    pub(crate) fn beat(
        &mut self,
        works_for: impl Iterator<Item = Scope>,
        holds: impl Iterator<Item = Scope>,
    ) {
        self.beats += 1;
        (self.works_for, self.holds) = (by_projection(works_for), by_projection(holds));
    }

    /// What it can work for.
    pub(crate) fn works_for(&self) -> BTreeSet<Scope> {
        scopes(&self.works_for).collect()
    }

    /// What it held when it wrote this.
    pub(crate) fn holds(&self) -> impl Iterator<Item = Scope> {
        scopes(&self.holds)
    }

    pub(crate) fn holds_one(&self, scope: &Scope) -> bool {
        self.holds.get(&scope.projection).is_some_and(|scopes| scopes.contains(&scope.scope))
    }
}

fn by_projection(scopes: impl Iterator<Item = Scope>) -> Scopes {
    let mut by_projection = Scopes::new();
    for Scope { projection, scope } in scopes {
        by_projection.entry(projection).or_default().insert(scope);
    }
    by_projection
}

fn scopes(by_projection: &Scopes) -> impl Iterator<Item = Scope> {
    by_projection.iter().flat_map(|(projection, scopes)| {
        scopes.iter().map(move |scope| Scope::new(projection.clone(), scope.clone()))
    })
}

/// The members, by id.
const MEMBERS: Collection<Member> = Collection::new("members", &[Index { name: "by_id", fields: &["id"] }]);

const COLLECTIONS: [CollectionSpec; 2] = [MEMBERS.spec, REQUESTS.spec];

/// Documents read at once.
const PAGE: usize = 100;

/// Under this name the members keep their documents, and what is asked of them. It has no checkpoints and folds nothing.
pub(crate) fn group() -> ProjectionId {
    ProjectionId::new("fleet", 1)
}

fn key(id: WorkerId) -> DocumentKey {
    DocumentKey { collection: MEMBERS.spec.name, key: id.to_string() }
}

fn batch(writes: Vec<Write>, unchanged: Vec<Write>) -> Batch {
    Batch { projection: group(), writes, advances: Vec::new(), unchanged }
}

/// Makes their collections.
pub(crate) async fn prepare(store: &dyn ReadStore) -> Result<(), StoreError> {
    store.prepare(&group(), &COLLECTIONS).await
}

/// Writes a member's document.
pub(crate) async fn write(store: &dyn ReadStore, member: &Member) -> Result<(), StoreError> {
    let value = Some(documents::encode(member)?);
    store.commit(batch(vec![Write { document: key(member.id), value }], Vec::new())).await
}

/// Removes a member's document; with `seen` only if it is still that.
pub(crate) async fn remove(
    store: &dyn ReadStore,
    id: WorkerId,
    seen: Option<Json>,
) -> Result<(), StoreError> {
    let unchanged = seen.map(|seen| Write { document: key(id), value: Some(seen) }).into_iter().collect();
    store.commit(batch(vec![Write { document: key(id), value: None }], unchanged)).await
}

/// All members, dead ones among them.
pub(crate) async fn all(store: &dyn ReadStore) -> Result<Vec<(Member, Json)>, StoreError> {
    let (mut members, mut after) = (Vec::new(), None);
    loop {
        let query = Query {
            projection: group(),
            collection: MEMBERS.spec.name,
            filters: Vec::new(),
            order: Order::ascending("id"),
            after,
            limit: PAGE,
        };
        let page = store.find(query).await?;
        for json in page.items {
            members.push((documents::decode(&json)?, json));
        }
        after = page.next;
        if after.is_none() {
            return Ok(members);
        }
    }
}
