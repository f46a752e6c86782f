//! Who should work for which scope: one pure function of who is there and what each of them can work for.
//!
//! Rendezvous hashing: every pair of a member and a scope has a weight, and a scope goes to the member with the largest. A
//! member takes no more than its part of all scopes, and of the partitions of one projection, as long as another has room:
//! so the work is spread, and who joins or leaves moves little besides his own part.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::member::{Scope, WorkerId};

/// What each member that is there can work for.
pub(crate) type Abilities = BTreeMap<WorkerId, BTreeSet<Scope>>;

/// The member for each scope that anybody can work for.
pub(crate) fn shares(members: &Abilities) -> BTreeMap<Scope, WorkerId> {
    let mut scopes: BTreeMap<&Scope, Vec<WorkerId>> = BTreeMap::new();
    for (member, able) in members {
        for scope in able {
            scopes.entry(scope).or_default().push(*member);
        }
    }
    let mut of_projection: BTreeMap<&str, usize> = BTreeMap::new();
    for scope in scopes.keys() {
        *of_projection.entry(&scope.projection).or_default() += 1;
    }
    // Scopes with few to choose from come first, then projections with many partitions, then pairs of great weight.
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    for (scope, able) in &scopes {
        let partitions = Reverse(of_projection[scope.projection.as_str()]);
        pairs.extend(
            able.iter()
                .map(|member| (able.len(), partitions, Reverse(weight(*member, scope)), *scope, *member)),
        );
    }
    pairs.sort_unstable();

    let part = scopes.len().div_ceil(members.len().max(1));
    let part_of = |scope: &Scope| of_projection[scope.projection.as_str()].div_ceil(scopes[scope].len());
    let (mut given, mut loads) = (BTreeMap::new(), Loads::default());
    for (_, _, _, scope, member) in &pairs {
        let fits = loads.all(*member) < part && loads.of(*member, scope) < part_of(scope);
        if fits && !given.contains_key(*scope) {
            given.insert((*scope).clone(), *member);
            loads.add(*member, scope);
        }
    }
    // What is left has only members that are full, of this projection or of all: the one with the least takes it.
    for (scope, able) in &scopes {
        if !given.contains_key(*scope) {
            let least = able.iter().copied().min_by_key(|member| {
                (
                    loads.all(*member) >= part,
                    loads.of(*member, scope),
                    loads.all(*member),
                    Reverse(weight(*member, scope)),
                )
            });
            let member = least.expect("a scope stands here because a member can work for it");
            given.insert((*scope).clone(), member);
            loads.add(member, scope);
        }
    }
    given
}

/// How many can work for the scope, how many the projection has, what the pair weighs; and the pair.
type Pair<'a> = (usize, Reverse<usize>, Reverse<u64>, &'a Scope, WorkerId);

/// How much each member has been given.
#[derive(Default)]
struct Loads {
    all: BTreeMap<WorkerId, usize>,
    by_projection: BTreeMap<(WorkerId, String), usize>,
}

impl Loads {
    fn all(&self, member: WorkerId) -> usize {
        self.all.get(&member).copied().unwrap_or(0)
    }

    fn of(&self, member: WorkerId, scope: &Scope) -> usize {
        self.by_projection.get(&(member, scope.projection.clone())).copied().unwrap_or(0)
    }

    fn add(&mut self, member: WorkerId, scope: &Scope) {
        *self.all.entry(member).or_default() += 1;
        *self.by_projection.entry((member, scope.projection.clone())).or_default() += 1;
    }
}

/// The same in every process and release: FNV-1a over both names, mixed so that near names are far apart.
fn weight(member: WorkerId, scope: &Scope) -> u64 {
    let member = member.to_string();
    let bytes = [member.as_bytes(), scope.projection.as_bytes(), b"/", scope.scope.as_bytes()].concat();
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(number: u128) -> WorkerId {
        WorkerId::numbered(number)
    }

    /// Joined projections with one scope, others with one per partition.
    fn scopes(joined: usize, partitioned: usize, partitions: usize) -> BTreeSet<Scope> {
        let joined = (0..joined).map(|number| Scope::new(format!("joined{number}_v1"), "all"));
        let others = (0..partitioned).flat_map(|number| {
            (0..partitions).map(move |n| Scope::new(format!("other{number}_v1"), format!("jobs/{n}")))
        });
        joined.chain(others).collect()
    }

    fn able(members: impl IntoIterator<Item = u128>, scopes: &BTreeSet<Scope>) -> Abilities {
        members.into_iter().map(|number| (member(number), scopes.clone())).collect()
    }

    fn loads(shares: &BTreeMap<Scope, WorkerId>, of: impl Fn(&Scope) -> bool) -> BTreeMap<WorkerId, usize> {
        let mut loads = BTreeMap::new();
        shares.iter().filter(|(scope, _)| of(scope)).for_each(|(_, m)| *loads.entry(*m).or_default() += 1);
        loads
    }

    fn moved(one: &BTreeMap<Scope, WorkerId>, other: &BTreeMap<Scope, WorkerId>) -> usize {
        one.iter().filter(|(scope, member)| other.get(scope) != Some(member)).count()
    }

    proptest! {
        #[test]
        fn every_scope_goes_to_somebody_who_can_work_for_it(
            choices in prop::collection::vec(prop::collection::btree_set(0_usize..40, 0..40), 1..8),
        ) {
            let all: Vec<Scope> = scopes(8, 4, 8).into_iter().collect();
            let pick = |picked: &BTreeSet<usize>| picked.iter().map(|place| all[*place].clone()).collect();
            let members: Abilities =
                choices.iter().enumerate().map(|(n, picked)| (member(n as u128), pick(picked))).collect();
            let shares = shares(&members);
            let wanted: BTreeSet<&Scope> = members.values().flatten().collect();
            prop_assert_eq!(shares.keys().collect::<BTreeSet<_>>(), wanted);
            for (scope, member) in &shares {
                prop_assert!(members[member].contains(scope));
            }
        }

        #[test]
        fn nobody_has_more_than_his_part_where_all_can_do_all(
            members in prop::collection::btree_set(any::<u128>(), 1..9),
            joined in 0_usize..20, partitioned in 1_usize..10, partitions in 1_usize..17,
        ) {
            let scopes = scopes(joined, partitioned, partitions);
            let count = members.len();
            let shares = shares(&able(members, &scopes));
            let most = loads(&shares, |_| true).into_values().max().unwrap();
            prop_assert!(most <= scopes.len().div_ceil(count), "{most} of {} for {count}", scopes.len());
            for projection in 0..partitioned {
                let name = format!("other{projection}_v1");
                let most = loads(&shares, |scope| scope.projection == name).into_values().max().unwrap();
                // What is left over when both bounds bind keeps to the one for all.
                prop_assert!(most <= partitions.div_ceil(count) + 2, "{most} of {partitions} for {count}");
            }
        }

        #[test]
        fn who_joins_or_leaves_moves_little_besides_his_own_part(
            members in prop::collection::btree_set(any::<u128>(), 3..9),
            joined in 0_usize..20, partitioned in 2_usize..10, partitions in 2_usize..17,
        ) {
            let scopes = scopes(joined, partitioned, partitions);
            let all = shares(&able(members.clone(), &scopes));
            let without = shares(&able(members.iter().copied().skip(1), &scopes));
            let moved = moved(&all, &without);
            let part = scopes.len().div_ceil(members.len());
            prop_assert!(moved <= 5 * part + 2, "{moved} of {}, where a part is {part}", scopes.len());
        }

        #[test]
        fn the_same_members_always_share_the_same_way(members in prop::collection::btree_set(any::<u128>(), 1..9)) {
            let scopes = scopes(5, 4, 8);
            prop_assert_eq!(shares(&able(members.clone(), &scopes)), shares(&able(members, &scopes)));
        }
    }

    #[test]
    fn on_the_average_less_than_two_parts_move_when_one_of_five_leaves() {
        let scopes = scopes(20, 10, 8);
        let moves = (0..40_u128).map(|run| {
            let five = (0..5).map(|number| run * 5 + number);
            moved(&shares(&able(five.clone(), &scopes)), &shares(&able(five.skip(1), &scopes)))
        });
        // Dealing them out anew would move four parts of five.
        assert!(moves.sum::<usize>() < 2 * 40 * scopes.len() / 5);
    }

    #[test]
    fn whoever_can_do_one_thing_only_does_it_and_the_others_do_the_rest() {
        let all = scopes(0, 2, 8);
        let only: BTreeSet<Scope> = all.iter().filter(|s| s.projection == "other0_v1").cloned().collect();
        let shares = shares(&BTreeMap::from([(member(1), only), (member(2), all)]));
        let loads = loads(&shares, |_| true);
        assert_eq!((loads[&member(1)], loads[&member(2)]), (8, 8));
    }

    #[test]
    fn a_weight_is_what_every_release_says_it_is() {
        assert_eq!(weight(member(7), &Scope::new("board_v1", "all")), 9_841_417_367_312_215_838);
    }
}
