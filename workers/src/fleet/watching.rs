//! Who is silent, and for how long, by the clock of the one who watches.
//!
//! No clock is compared between machines: a document that stays as it is while somebody keeps looking at it for the lease
//! time belongs to somebody dead. Time in which nobody looked, since the store was away or the watcher itself was frozen,
//! does not count: the others could not be heard then either.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::member::{Member, Scope, WorkerId};
use crate::documents::Json;

/// Dead members' documents are removed after so many lease times.
const REMOVED_AFTER_LEASES: u32 = 4;

/// See the module.
pub(crate) struct Watching {
    lease: Duration,
    heartbeat: Duration,
    members: BTreeMap<WorkerId, Watched>,
    turns: HashMap<Scope, Turn>,
}

/// A member, as it was last seen.
pub(crate) struct Watched {
    pub(crate) member: Member,
    pub(crate) json: Json,
    /// For how long it has said nothing.
    pub(crate) silent: Duration,
}

/// Whose turn it is, as it was last seen.
struct Turn {
    json: Option<Json>,
    silent: Duration,
}

impl Watching {
    pub(crate) fn new(lease: Duration, heartbeat: Duration) -> Self {
        Self { lease, heartbeat, members: BTreeMap::new(), turns: HashMap::new() }
    }

    /// What counts of the time since the last look.
    fn counted(&self, since_last: Duration) -> Duration {
        since_last.min(self.heartbeat * 2)
    }

    /// Takes in what members there are now. Who has gone in order has no document any more.
    pub(crate) fn see_members(&mut self, since_last: Duration, found: Vec<(Member, Json)>) {
        let counted = self.counted(since_last);
        let mut before = std::mem::take(&mut self.members);
        for (member, json) in found {
            let silent = match before.remove(&member.id) {
                Some(known) if known.json == json => known.silent + counted,
                Some(_) | None => Duration::ZERO,
            };
            self.members.insert(member.id, Watched { member, json, silent });
        }
    }

    /// All members, dead ones among them.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Watched> {
        self.members.values()
    }

    pub(crate) fn member(&self, id: WorkerId) -> Option<&Watched> {
        self.members.get(&id)
    }

    pub(crate) fn is_alive(&self, watched: &Watched) -> bool {
        watched.silent < self.lease
    }

    /// Members that have been dead for so long that their documents can go.
    pub(crate) fn long_dead(&self) -> impl Iterator<Item = &Watched> {
        let bound = self.lease * REMOVED_AFTER_LEASES;
        self.members.values().filter(move |watched| watched.silent >= bound)
    }

    /// Takes in whose turn it is in these scopes; of others it knows nothing any more. The last of three is who has it.
    pub(crate) fn see_turns(
        &mut self,
        since_last: Duration,
        found: Vec<(Scope, Option<Json>, Option<WorkerId>)>,
    ) {
        let counted = self.counted(since_last);
        let mut before = std::mem::take(&mut self.turns);
        for (scope, json, holder) in found {
            let holder = holder.and_then(|holder| self.members.get(&holder));
            // A member that has just been heard of vouches for what it says it holds, whether that is written or not.
            let vouched = holder
                .is_some_and(|holder| holder.silent == Duration::ZERO && holder.member.holds_one(&scope));
            let silent = match before.remove(&scope) {
                Some(known) if known.json == json && !vouched => known.silent + counted,
                Some(_) | None => Duration::ZERO,
            };
            self.turns.insert(scope, Turn { json, silent });
        }
    }

    /// The turn with which a scope was last seen, when whoever has it is dead, or has forgotten it.
    pub(crate) fn expired(&self, scope: &Scope, holder: WorkerId) -> Option<&Json> {
        let turn = self.turns.get(scope)?;
        let dead = self.members.get(&holder).is_none_or(|holder| !self.is_alive(holder));
        // Of a dead member it is known already; that its scope is not being written is seen within a heartbeat.
        let bound = if dead { self.heartbeat } else { self.lease };
        (turn.silent >= bound).then_some(turn.json.as_ref())?
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);
    const BEAT: Duration = Duration::from_secs(5);

    fn heard(member: &Member) -> Vec<(Member, Json)> {
        vec![(member.clone(), Json::of(member).unwrap())]
    }

    fn watching() -> (Watching, Member, Scope) {
        let scope = Scope::new("board_v1", "all");
        let mut member = Member::new(WorkerId::numbered(1), "one".to_owned());
        member.beat([scope.clone()].into_iter(), [scope.clone()].into_iter());
        (Watching::new(LEASE, BEAT), member, scope)
    }

    fn turn(text: &str) -> Json {
        Json::from_text(text)
    }

    #[test]
    fn a_member_that_says_nothing_for_the_lease_time_is_dead_and_alive_again_with_its_next_word() {
        let (mut watching, mut member, scope) = watching();
        let alive =
            |watching: &Watching, member: &Member| watching.is_alive(watching.member(member.id).unwrap());
        for _ in 0..3 {
            watching.see_members(BEAT, heard(&member));
            assert!(alive(&watching, &member));
        }
        watching.see_members(BEAT, heard(&member));
        assert!(!alive(&watching, &member));
        member.beat([scope].into_iter(), std::iter::empty());
        watching.see_members(BEAT, heard(&member));
        assert!(alive(&watching, &member));
        watching.see_members(BEAT, Vec::new());
        assert!(watching.member(member.id).is_none(), "who has left is not waited for");
    }

    #[test]
    fn time_in_which_nobody_looked_makes_nobody_dead() {
        let (mut watching, member, _) = watching();
        watching.see_members(BEAT, heard(&member));
        watching.see_members(Duration::from_secs(3600), heard(&member));
        assert!(watching.is_alive(watching.member(member.id).unwrap()));
    }

    #[test]
    fn a_member_that_lives_vouches_for_what_it_says_it_holds_and_for_nothing_else() {
        let (mut watching, mut member, scope) = watching();
        let other = Scope::new("steps_v1", "jobs/0");
        let seen = || {
            let of = |scope: &Scope| (scope.clone(), Some(turn("{}")), Some(WorkerId::numbered(1)));
            vec![of(&scope), of(&other)]
        };
        for _ in 0..6 {
            member.beat([scope.clone()].into_iter(), [scope.clone()].into_iter());
            watching.see_members(BEAT, heard(&member));
            watching.see_turns(BEAT, seen());
        }
        assert_eq!(watching.expired(&scope, member.id), None);
        assert_eq!(watching.expired(&other, member.id), Some(&turn("{}")));
    }

    #[test]
    fn the_scope_of_a_dead_member_is_free_once_it_was_seen_not_to_be_written() {
        let (mut watching, member, scope) = watching();
        let nobody = WorkerId::numbered(9);
        watching.see_members(BEAT, heard(&member));
        let seen = |text: &str| vec![(scope.clone(), Some(turn(text)), Some(nobody))];
        watching.see_turns(BEAT, seen("1"));
        assert_eq!(watching.expired(&scope, nobody), None);
        watching.see_turns(BEAT, seen("2"));
        assert_eq!(watching.expired(&scope, nobody), None, "it is being written");
        watching.see_turns(BEAT, seen("2"));
        assert_eq!(watching.expired(&scope, nobody), Some(&turn("2")));
    }
}
