//! Any number of workers over one read store: each scope has one who writes, whoever joins, leaves, dies or was frozen.

use std::{sync::Arc, time::Duration};

use projections::Projection;
use workers::{RedriveError, RunState, WorkerSettings};

use crate::support::{
    House,
    faults::FaultyStore,
    fleet::{Crew, Hand, LEASE, holds, shared_settings},
    projections::Trails,
    settings, stream, until, until_caught_up,
};

const PARTITIONS: u16 = 4;

fn both() -> Vec<Arc<dyn Projection>> {
    vec![Trails::partitioned(), Trails::joined(3)]
}

fn streams() -> impl Iterator<Item = events::StreamId> {
    (0..12).map(stream)
}

/// Nobody is taken for dead while this test runs.
fn endless_lease(name: &str) -> WorkerSettings {
    WorkerSettings { lease_ms: 3_600_000, name: name.to_owned(), ..shared_settings() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scopes_are_spread_over_the_workers_and_each_event_has_one_verdict() {
    let crew = Crew::new(both(), PARTITIONS);
    crew.append(streams()).await;
    let hands = [crew.hire("one"), crew.hire("two"), crew.hire("three")];
    let all: Vec<&Hand> = hands.iter().collect();
    crew.append(streams()).await;
    crew.until_settled(&all).await;
    crew.append(streams()).await;
    crew.until_settled(&all).await;
    assert!(hands.iter().all(|hand| hand.workers.status().is_healthy()), "who stands by is healthy");
    until("everybody is told by name who holds what", || async {
        let named = |runner: &workers::RunnerStatus| match &runner.state {
            RunState::Standby { held_by } => {
                held_by.as_ref().is_some_and(|name| ["one", "two", "three"].contains(&name.as_str()))
            }
            _ => holds(runner),
        };
        hands.iter().all(|hand| {
            let told = hand
                .fleet()
                .scopes
                .iter()
                .all(|scope| scope.held_by == scope.share_of && scope.held_by.is_some());
            told && hand.workers.status().runners.iter().all(named)
        })
    })
    .await;
    crew.audit.check();
    crew.assert_as_rebuilt().await;
    for projection in both() {
        let of_it = |runner: &workers::RunnerStatus| runner.projection == projection.id().to_string();
        let runners = hands.iter().flat_map(|hand| hand.workers.status().runners).filter(of_it);
        assert_eq!(runners.map(|runner| runner.verdicts.total()).sum::<u64>(), 36, "{}", projection.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_gets_its_part_and_who_leaves_hands_its_part_over_without_a_lease_running_out() {
    let crew = Crew::new(both(), PARTITIONS);
    let one = crew.hire_with(endless_lease("one"));
    crew.append(streams()).await;
    crew.until_settled(&[&one]).await;
    let two = crew.hire_with(endless_lease("two"));
    crew.until_settled(&[&one, &two]).await;
    crew.append(streams()).await;
    crew.until_settled(&[&one, &two]).await;
    one.workers.shutdown().await;
    crew.append(streams()).await;
    crew.until_settled(&[&two]).await;
    assert_eq!(two.fleet().members.len(), 1, "who has left is not remembered");
    crew.audit.check();
    crew.assert_as_rebuilt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_worker_held_is_taken_over_when_its_lease_has_run_out() {
    let crew = Crew::new(both(), PARTITIONS);
    let (one, two) = (crew.hire("one"), crew.hire("two"));
    crew.append(streams()).await;
    crew.until_settled(&[&one, &two]).await;
    drop(one);
    crew.append(streams()).await;
    crew.until_settled(&[&two]).await;
    crew.audit.check();
    crew.assert_as_rebuilt().await;
    until("the dead one is forgotten", || async { two.fleet().members.len() == 1 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_frozen_past_its_lease_cannot_write_when_it_comes_back() {
    let crew = Crew::new(both(), PARTITIONS);
    let (one, two) = (crew.hire("one"), crew.hire("two"));
    crew.append(streams()).await;
    crew.until_settled(&[&one, &two]).await;
    let held = one.held();
    one.store.freeze();
    // What it has begun waits in front of the store, and goes on from there.
    crew.append(streams()).await;
    until("the other one has it all", || async { held.iter().all(|scope| two.held().contains(scope)) }).await;
    crew.append(streams()).await;
    crew.until_settled(&[&two]).await;
    one.store.thaw();
    crew.append(streams()).await;
    crew.until_settled(&[&one, &two]).await;
    assert!(one.workers.status().runners.iter().any(|runner| runner.fenced > 0));
    crew.audit.check();
    crew.assert_as_rebuilt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_that_was_frozen_knows_that_it_holds_nothing_any_more() {
    let crew = Crew::new(both(), PARTITIONS);
    crew.append(streams()).await;
    let one = crew.hire("one");
    crew.until_settled(&[&one]).await;
    one.store.freeze();
    let two = crew.hire("two");
    until("the other one has it all", || async { two.held().len() == two.workers.status().runners.len() })
        .await;
    one.store.thaw();
    // Nothing is appended: what makes them settle is looking at the fleet.
    crew.until_settled(&[&one, &two]).await;
    crew.audit.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_four_workers_one_is_frozen_two_die_and_one_joins_while_events_come_in() {
    for round in 0..3 {
        let crew = Crew::new(both(), PARTITIONS);
        let mut hands: Vec<Hand> = ["one", "two", "three", "four"].map(|name| crew.hire(name)).into();
        let written = async {
            for _ in 0..20 {
                crew.append(streams()).await;
                tokio::time::sleep(LEASE / 20).await;
            }
        };
        let upset = async {
            tokio::time::sleep(LEASE / 3 * round).await;
            hands[0].store.freeze();
            drop(hands.pop());
            tokio::time::sleep(LEASE / 4).await;
            drop(hands.pop());
            hands.push(crew.hire("five"));
            tokio::time::sleep(LEASE * 3).await;
            hands[0].store.thaw();
        };
        tokio::join!(written, upset);
        crew.append(streams()).await;
        crew.until_settled(&hands.iter().collect::<Vec<_>>()).await;
        crew.audit.check();
        crew.assert_as_rebuilt().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projector_that_stops_stays_where_it_is_and_is_resumed_through_any_worker() {
    let trails = Trails::halting();
    let crew = Crew::new(vec![trails.clone()], 1);
    let hands = [crew.hire("one"), crew.hire("two")];
    let stopped = |hand: &Hand| {
        let of = |runner: &workers::RunnerStatus| matches!(runner.state, RunState::Stopped { .. });
        hand.workers.status().runners.iter().any(of)
    };
    trails.poison(stream(1), 1);
    crew.append([stream(1)]).await;
    until("stopped", || async { hands.iter().any(stopped) }).await;
    tokio::time::sleep(LEASE * 2).await;
    assert_eq!(hands.iter().filter(|hand| stopped(hand)).count(), 1, "the reason stands in one place");
    let (stopped, other) = if stopped(&hands[0]) { (&hands[0], &hands[1]) } else { (&hands[1], &hands[0]) };
    assert!(!stopped.workers.status().is_healthy() && other.workers.status().is_healthy());
    trails.mend();
    assert_eq!(other.workers.resume("halting_trails").await, Ok(1));
    until("applied", || async { trails.trail(crew.house.store.as_ref(), stream(1)).await == [1] }).await;
    let reader = crew.hire_with(WorkerSettings { projectors: false, ..shared_settings() });
    until("it knows who is there", || async { reader.fleet().members.len() == 2 }).await;
    assert!(reader.workers.runs("halting_trails") && !reader.workers.runs("trails"));
    for hand in [stopped, other, &reader] {
        assert_eq!(hand.workers.resume("halting_trails").await, Ok(0), "it runs");
        assert_eq!(hand.workers.requests().await, Ok(Vec::new()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_retried_by_whoever_holds_its_scope_whichever_worker_is_asked() {
    let trails = Trails::partitioned();
    let crew = Crew::new(vec![trails.clone()], 1);
    let hands = [crew.hire("one"), crew.hire("two")];
    for number in 1..=3 {
        trails.poison(stream(number), 1);
    }
    crew.append((1..=3).map(stream)).await;
    let told = |hand: &Hand| match hand.workers.status().runners.remove(0).state {
        RunState::Standby { held_by } => held_by,
        _ => None,
    };
    let parked =
        async || hands[0].workers.letters(None, None, 9).await.is_ok_and(|page| page.items.len() == 3);
    // One alone takes it, and may have to give it up when the other one comes.
    let agreed = |hand: &Hand| {
        let fleet = hand.fleet();
        let right = |scope: &workers::HeldScope| scope.held_by.is_some() && scope.held_by == scope.share_of;
        fleet.members.len() == 2 && fleet.scopes.iter().all(right)
    };
    let one_stands_by = || hands.iter().filter(|hand| told(hand).is_some()).count() == 1;
    until("parked, and one stands by", || async {
        parked().await && hands.iter().all(agreed) && one_stands_by()
    })
    .await;
    trails.mend();
    let (holder, other) =
        if told(&hands[1]).is_some() { (&hands[0], &hands[1]) } else { (&hands[1], &hands[0]) };
    // Who runs nothing finds them all the same.
    let reader = crew.hire_with(WorkerSettings { projectors: false, ..shared_settings() });
    let letters = reader.workers.letters(None, None, 9).await.unwrap().items;
    for (letter, asked) in letters.iter().zip([&reader, other, holder]) {
        let retried = asked.workers.retry(letter.id).await.unwrap();
        assert_eq!((retried.events, retried.left), (1, None));
        assert_eq!(asked.workers.retry(letter.id).await, Err(RedriveError::NotFound));
        assert_eq!(asked.workers.requests().await, Ok(Vec::new()), "nothing is left of what was asked");
    }
    crew.audit.check();
    crew.assert_as_rebuilt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_a_frozen_worker_can_be_seen_and_is_done_by_whoever_takes_over() {
    let trails = Trails::partitioned();
    let crew = Crew::new(vec![trails.clone()], 1);
    let one = crew.hire("one");
    trails.poison(stream(1), 1);
    crew.append([stream(1)]).await;
    let reader = Arc::new(crew.hire_with(WorkerSettings { projectors: false, ..shared_settings() }));
    let letters =
        async || reader.workers.letters(None, None, 9).await.map(|page| page.items).unwrap_or_default();
    until("parked", || async { letters().await.len() == 1 }).await;
    let letter = letters().await.remove(0);
    one.store.freeze();
    let asking = tokio::spawn({
        let reader = Arc::clone(&reader);
        async move { reader.workers.retry(letter.id).await }
    });
    let open = async || reader.workers.requests().await.unwrap_or_default();
    until("it can be seen", || async { open().await.len() == 1 }).await;
    let said = open().await.remove(0).what;
    assert!(said.contains(&letter.id.to_string()) && said.contains("trails_v1"), "{said}");
    trails.mend();
    let two = crew.hire("two");
    until("it was done", || async { letters().await.is_empty() }).await;
    match asking.await.unwrap() {
        Ok(retried) => assert_eq!((retried.events, retried.left), (1, None)),
        // It took longer than anybody waits.
        Err(error) => assert!(matches!(error, RedriveError::Asked(_)), "{error}"),
    }
    one.store.thaw();
    until("one of them has it", || async { one.held().len() + two.held().len() == 1 }).await;
    crew.audit.check();
    crew.assert_as_rebuilt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_for_some_projections_only_leaves_the_others_to_others() {
    let crew = Crew::new(both(), PARTITIONS);
    crew.append(streams()).await;
    let only = |names: &[&str]| WorkerSettings {
        projections: names.iter().map(|name| (*name).to_owned()).collect(),
        ..shared_settings()
    };
    let joined = crew.hire_with(only(&["joined_trails"]));
    until("it has its part", || async { joined.held() == ["joined_trails_v1 all"] }).await;
    assert_eq!(joined.workers.status().runners.len(), 1);
    let all = crew.hire_with(shared_settings());
    crew.append(streams()).await;
    until("nothing is left lying", || async { joined.held().len() + all.held().len() == 5 }).await;
    until("all is read", || async { trails_of_all(&crew).await }).await;
    crew.audit.check();
}

async fn trails_of_all(crew: &Crew) -> bool {
    for stream in streams() {
        for trails in [Trails::partitioned(), Trails::joined(3)] {
            if trails.trail(crew.house.store.as_ref(), stream).await != [1, 2] {
                return false;
            }
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_has_the_read_store_for_itself_asks_and_writes_nothing_while_it_waits() {
    let house = House::new();
    let counting = FaultyStore::holding(Arc::clone(&house.store));
    let short = WorkerSettings { lease_ms: 30, heartbeat_ms: 10, ..settings() };
    let workers = house.workers_with(both(), Arc::clone(&counting) as _, short);
    house.append(stream(1), 1).await;
    until_caught_up(&workers, house.log.as_ref()).await;
    let answered = counting.answered();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(counting.answered(), answered);
    assert_eq!(workers.status().fleet, None);
}
