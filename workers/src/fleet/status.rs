//! What a process knows of the fleet, for operators.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    member::{Member, Scope, WorkerId},
    watching::Watching,
};

/// The workers over one read store, as one process last saw them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FleetStatus {
    /// The process that saw them.
    pub me: WorkerId,
    /// All of them, dead ones among them until they are forgotten.
    pub members: Vec<MemberStatus>,
    /// Every scope that any of them can work for.
    pub scopes: Vec<HeldScope>,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberStatus {
    /// Its id, from its start to its end.
    pub id: WorkerId,
    /// Where it is found, for people.
    pub name: String,
    /// It was heard of within the lease time.
    pub alive: bool,
    /// For how long it has not been heard of, milliseconds.
    pub silent_ms: u64,
    /// Scopes that it holds, as it said last.
    pub holds: usize,
}

/// A projection in one partition, or in all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldScope {
    /// Projection and version.
    pub projection: String,
    /// `jobs/0`, or `all`.
    pub scope: String,
    /// Who says that he holds it; `None` while it changes hands.
    pub held_by: Option<String>,
    /// Who should hold it; `None` when nobody alive can work for it.
    pub share_of: Option<String>,
}

/// How people are told of a member.
pub(crate) fn called(member: &Member) -> String {
    if member.name.is_empty() { member.id.to_string() } else { member.name.clone() }
}

impl FleetStatus {
    pub(crate) fn empty(me: WorkerId) -> Self {
        Self { me, members: Vec::new(), scopes: Vec::new() }
    }

    pub(crate) fn of(me: WorkerId, watching: &Watching, shares: &BTreeMap<Scope, WorkerId>) -> Self {
        let mut held: BTreeMap<Scope, String> = BTreeMap::new();
        let (mut members, mut scopes) = (Vec::new(), BTreeSet::new());
        for watched in watching.members() {
            let alive = watching.is_alive(watched);
            if alive {
                held.extend(watched.member.holds().map(|scope| (scope, called(&watched.member))));
            }
            scopes.extend(watched.member.works_for());
            members.push(MemberStatus {
                id: watched.member.id,
                name: called(&watched.member),
                alive,
                silent_ms: u64::try_from(watched.silent.as_millis()).unwrap_or(u64::MAX),
                holds: watched.member.holds().count(),
            });
        }
        let name = |id: &WorkerId| watching.member(*id).map(|watched| called(&watched.member));
        let scopes = scopes.into_iter().map(|scope| HeldScope {
            held_by: held.get(&scope).cloned(),
            share_of: shares.get(&scope).and_then(name),
            projection: scope.projection,
            scope: scope.scope,
        });
        Self { me, members, scopes: scopes.collect() }
    }
}
