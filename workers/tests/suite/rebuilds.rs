//! A read model is rebuilt while the old one serves: seen, compared, swapped, dropped, and never half.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use events::{
    Timestamp,
    log::{
        LogOptions,
        simulated::{SimulatedBroker, SimulatedFaults},
    },
};
use projections::{
    Batch, DocumentKey, Json, Projection, ProjectionId, Write,
    builds::{self, Alias, BuildState},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use uuid::Uuid;
use workers::{BuildsError, WorkerSettings, Workers};

use crate::support::{
    House, append,
    fleet::Crew,
    projections::{Trail, Trails},
    rebuilds::{build, documents, queried, until_live, until_state},
    settings, stream, until, until_caught_up,
};

const STREAMS: u128 = 6;
const PARTITIONS: u16 = 6;

/// A house whose log has two partitions, so that holding one scope is not holding all.
fn house() -> House {
    let mut house = House::new();
    let broker = SimulatedBroker::new(7, 2, SimulatedFaults::default());
    house.log = broker.open(&LogOptions::embedded(house.folder.path().join("copy"))).unwrap();
    house
}

/// Builds are given up at once: no query of these tests takes long.
fn quick() -> WorkerSettings {
    WorkerSettings { builds_drop_after_ms: 1, ..settings() }
}

fn workers(house: &House, trails: &Arc<Trails>) -> Workers {
    let projections = vec![Arc::clone(trails) as Arc<dyn Projection>];
    house.workers_with(projections, Arc::clone(&house.store), quick())
}

async fn write(house: &House, rounds: usize) {
    for _ in 0..rounds {
        for number in 0..STREAMS {
            house.append(stream(number), 2).await;
        }
    }
}

/// Writes until it is told to end.
fn keep_writing(house: &House, pause: Duration) -> (Arc<AtomicBool>, tokio::task::JoinHandle<u64>) {
    let ended = Arc::new(AtomicBool::new(false));
    let (log, told) = (Arc::clone(&house.log), Arc::clone(&ended));
    let writing = tokio::spawn(async move {
        let mut written = 0;
        while !told.load(Ordering::SeqCst) {
            append(log.as_ref(), stream(u128::from(written) % STREAMS), 1).await;
            written += 1;
            tokio::time::sleep(pause).await;
        }
        written
    });
    (ended, writing)
}

/// Whether a build knows every version of every stream, in order.
async fn holds_the_whole_log(house: &House, id: &ProjectionId) -> bool {
    let mut trails = BTreeMap::new();
    for (_, document) in documents(house.store.as_ref(), id).await {
        trails.append(&mut document.parse::<Trail>().unwrap().versions);
    }
    (0..STREAMS).map(stream).all(|stream| {
        let head = house.log.head(stream).unwrap();
        trails.get(&stream.to_string()).is_some_and(|trail| trail.iter().copied().eq(1..=head))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_model_is_rebuilt_swapped_swapped_back_and_dropped_and_equals_the_old_one() {
    for trails in [Trails::partitioned(), Trails::joined(2)] {
        let house = house();
        write(&house, 3).await;
        let workers = workers(&house, &trails);
        until_caught_up(&workers, house.log.as_ref()).await;
        let (builds, first) = (workers.builds(), trails.id());
        let rebuilt = builds.rebuild(trails.name(), "a test", false).await.unwrap();
        assert_eq!(rebuilt, first.with_build(1));
        assert!(matches!(
            builds.rebuild(trails.name(), "a test", false).await,
            Err(BuildsError::UnderWay(_))
        ));
        until_state(&workers, &rebuilt, BuildState::Ready).await;
        let report = build(&workers, &rebuilt).await.unwrap();
        let comparison = report.comparison.unwrap();
        assert_eq!((comparison.different, report.folded), (0, report.of));
        assert!(comparison.documents > 0 && comparison.positions.is_some());
        assert_eq!(builds.report_one(trails.name()).await.unwrap().live, first);
        until_caught_up(&workers, house.log.as_ref()).await;
        let old = documents(house.store.as_ref(), &first).await;
        assert_eq!(documents(house.store.as_ref(), &rebuilt).await, old);

        builds.swap(&rebuilt, false).await.unwrap();
        assert_eq!(builds.report_one(trails.name()).await.unwrap().live, rebuilt);
        assert_eq!(builds.drop_build(&rebuilt).await, Err(BuildsError::IsLive(rebuilt.clone())));
        // What was live before is followed, so it can be swapped back.
        write(&house, 1).await;
        until_caught_up(&workers, house.log.as_ref()).await;
        assert_eq!(build(&workers, &first).await.unwrap().state, BuildState::Following);
        builds.swap(&first, false).await.unwrap();
        builds.swap(&rebuilt, false).await.unwrap();

        builds.drop_build(&first).await.unwrap();
        until("dropped", || async { build(&workers, &first).await.is_none() }).await;
        assert!(house.store.origins().await.unwrap().iter().all(|(id, _)| *id != first));
        write(&house, 1).await;
        until_caught_up(&workers, house.log.as_ref()).await;
        workers.shutdown().await;
        // Nothing brings it back, and the next one has another number.
        let workers = self::workers(&house, &trails);
        until_caught_up(&workers, house.log.as_ref()).await;
        assert!(house.store.origins().await.unwrap().iter().all(|(id, _)| *id == rebuilt));
        let next = workers.builds().rebuild(trails.name(), "a test", true).await.unwrap();
        assert_eq!(next, first.with_build(2));
        until_live(&workers, &next).await;
        workers.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_see_an_older_answer_after_a_newer_one_while_builds_are_swapped_under_load() {
    let (house, trails) = (house(), Trails::partitioned());
    write(&house, 5).await;
    let workers = Arc::new(workers(&house, &trails));
    let (ended, writing) = keep_writing(&house, Duration::from_millis(2));
    let reads = Arc::new(AtomicU64::new(0));
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..STREAMS {
        let (store, trails) = (Arc::clone(&house.store), Arc::clone(&trails));
        let (told, reads) = (Arc::clone(&ended), Arc::clone(&reads));
        readers.spawn(async move {
            let mut newest = 0;
            while !told.load(Ordering::SeqCst) {
                // What is not prepared yet is not served yet.
                let Ok(trail) = queried(store.as_ref(), &trails, stream(number)).await else { continue };
                assert!(trail.len() >= newest, "stream {number}: {} after {newest}", trail.len());
                assert!(trail.iter().copied().eq(1..=trail.len() as u64), "stream {number}: {trail:?}");
                newest = trail.len();
                reads.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        });
    }
    let first = trails.id();
    let mut old = first.clone();
    for number in 1..=3 {
        let rebuilt = workers.builds().rebuild("trails", "a test", true).await.unwrap();
        assert_eq!(rebuilt, first.with_build(number));
        until_live(&workers, &rebuilt).await;
        // Back and forth: whoever was live is never far behind.
        workers.builds().swap(&old, false).await.unwrap();
        workers.builds().swap(&rebuilt, false).await.unwrap();
        workers.builds().drop_build(&old).await.unwrap();
        old = rebuilt;
    }
    ended.store(true, Ordering::SeqCst);
    let written = writing.await.unwrap();
    while let Some(read) = readers.join_next().await {
        read.unwrap();
    }
    assert!(reads.load(Ordering::SeqCst) > 100 && written > 10, "{reads:?} reads of {written} events");
    until("dropped", || async { workers.builds().report_one("trails").await.unwrap().builds.len() == 1 })
        .await;
    until_caught_up(&workers, house.log.as_ref()).await;
    for number in 0..STREAMS {
        let head = house.log.head(stream(number)).unwrap();
        let trail = queried(house.store.as_ref(), &trails, stream(number)).await.unwrap();
        assert!(trail.into_iter().eq(1..=head), "stream {number}");
    }
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_is_broken_off_anywhere_goes_on_and_comes_to_the_same() {
    for seed in 0..4 {
        let (house, trails) =
            (house(), if seed % 2 == 0 { Trails::partitioned() } else { Trails::joined(2) });
        write(&house, 200).await;
        let mut random = StdRng::seed_from_u64(seed);
        let slow = WorkerSettings { batch_commits_max: 1, ..quick() };
        let start = || {
            let projections = vec![Arc::clone(&trails) as Arc<dyn Projection>];
            house.workers_with(projections, Arc::clone(&house.store), slow.clone())
        };
        let rebuilt = trails.id().with_build(1);
        let (mut asked, mut crashes) = (false, 0);
        loop {
            let workers = start();
            if !asked {
                until_caught_up(&workers, house.log.as_ref()).await;
                workers.builds().rebuild(trails.name(), "a test", true).await.unwrap();
                asked = true;
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(0..40))).await;
            house.append(stream(random.random_range(0..STREAMS)), 1).await;
            let is_live = build(&workers, &rebuilt).await.is_some_and(|b| b.state == BuildState::Live);
            drop(workers);
            if is_live || crashes > 60 {
                break;
            }
            crashes += 1;
        }
        assert!(crashes > 0, "seed {seed}: this test has gone blind");
        let workers = start();
        until_live(&workers, &rebuilt).await;
        // The one before is followed too, by a runner that may not have begun yet.
        for id in [&rebuilt, &trails.id()] {
            let what = format!("the whole log is in {id}: seed {seed}, {crashes} crashes");
            until(&what, || async { holds_the_whole_log(&house, id).await }).await;
        }
        let old = documents(house.store.as_ref(), &trails.id()).await;
        assert_eq!(documents(house.store.as_ref(), &rebuilt).await, old, "seed {seed}, {crashes} crashes");
        workers.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fold_that_has_changed_without_a_new_version_is_found_and_not_swapped_but_by_force() {
    let (house, trails) = (house(), Trails::partitioned());
    write(&house, 3).await;
    let workers = workers(&house, &trails);
    until_caught_up(&workers, house.log.as_ref()).await;
    trails.pass_over(stream(3), 4);
    let builds = workers.builds();
    let rebuilt = builds.rebuild("trails", "a test", true).await.unwrap();
    until_state(&workers, &rebuilt, BuildState::Differs).await;
    let comparison = build(&workers, &rebuilt).await.unwrap().comparison.unwrap();
    assert_eq!((comparison.different, comparison.documents), (1, STREAMS as u64));
    let difference = &comparison.differences[0];
    assert_eq!(difference.key, stream(3).to_string());
    assert!(
        difference.places[0].contains("live [1,2,3,4,5,6], rebuilt [1,2,3,5,6]"),
        "it can be read: {difference:?}"
    );
    assert_eq!(builds.swap(&rebuilt, false).await, Err(BuildsError::Differs(rebuilt.clone())));
    assert_eq!(builds.compare(&rebuilt, 9).await.unwrap().different, 1);
    assert_eq!(builds.report_one("trails").await.unwrap().live, trails.id());
    builds.swap(&rebuilt, true).await.unwrap();
    assert_eq!(queried(house.store.as_ref(), &trails, stream(3)).await.unwrap(), [1, 2, 3, 5, 6]);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_belong_to_a_build_and_what_is_still_poison_is_parked_in_the_next_one() {
    let (house, trails) = (house(), Trails::partitioned());
    trails.poison(stream(1), 3);
    write(&house, 3).await;
    let workers = workers(&house, &trails);
    until_caught_up(&workers, house.log.as_ref()).await;
    let rebuilt = workers.builds().rebuild("trails", "a test", true).await.unwrap();
    until_live(&workers, &rebuilt).await;
    let letters = workers.letters(Some("trails"), None, 10).await.unwrap().items;
    let of = |id: &ProjectionId| letters.iter().find(|letter| letter.projection == *id).unwrap();
    assert_eq!((letters.len(), of(&rebuilt).waiting_events()), (2, 3));
    assert_ne!(of(&rebuilt).id, of(&trails.id()).id);
    assert_eq!(queried(house.store.as_ref(), &trails, stream(1)).await.unwrap(), [1, 2]);
    trails.mend();
    // Its runner may just be let go after the swap.
    until("retried", || async {
        workers.retry(of(&rebuilt).id).await.is_ok_and(|retried| retried.left.is_none())
    })
    .await;
    assert_eq!(queried(house.store.as_ref(), &trails, stream(1)).await.unwrap(), [1, 2, 3, 4, 5, 6]);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_for_every_process_and_through_a_restart() {
    let (house, trails) = (house(), Trails::partitioned());
    write(&house, 2).await;
    let workers = workers(&house, &trails);
    until_caught_up(&workers, house.log.as_ref()).await;
    assert_eq!(workers.builds().set_paused("trails", true).await, Ok(1));
    until("the runners have ended", || async { workers.status().runners.is_empty() }).await;
    workers.shutdown().await;
    let workers = self::workers(&house, &trails);
    write(&house, 1).await;
    until("the runners were not started", || async { workers.status().runners.is_empty() }).await;
    assert_eq!(queried(house.store.as_ref(), &trails, stream(0)).await.unwrap(), [1, 2, 3, 4]);
    assert!(build(&workers, &trails.id()).await.unwrap().paused);
    assert_eq!(workers.builds().set_paused("trails_v1", false).await, Ok(1));
    until("it goes on", || async {
        queried(house.store.as_ref(), &trails, stream(0)).await == Ok(vec![1, 2, 3, 4, 5, 6])
    })
    .await;
    assert!(workers.builds().set_paused("nothing", true).await.is_err());
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_projection_is_rebuilt_by_itself_and_the_version_before_answers_until_it_is_live() {
    let house = house();
    let (old, new) = (Trails::partitioned(), Trails::changed());
    write(&house, 3).await;
    let before = workers(&house, &old);
    until_caught_up(&before, house.log.as_ref()).await;
    before.shutdown().await;

    let slow = WorkerSettings { rebuild_changed: false, ..quick() };
    let waiting = house.workers_with(vec![new.clone()], Arc::clone(&house.store), slow);
    until("it says so", || async { waiting.builds().unready().iter().any(|why| why.contains("trails_v2")) })
        .await;
    assert_eq!(queried(house.store.as_ref(), &new, stream(0)).await.unwrap(), [1, 2, 3, 4, 5, 6]);
    waiting.shutdown().await;

    let workers = workers(&house, &new);
    until_live(&workers, &new.id()).await;
    assert_eq!(queried(house.store.as_ref(), &new, stream(0)).await.unwrap(), [2, 3, 4, 5, 6]);
    let comparison = build(&workers, &new.id()).await.unwrap().comparison.unwrap();
    assert_eq!(comparison.different, STREAMS as u64, "another version is meant to differ, and it is shown");
    until("it is ready", || async { workers.builds().unready().is_empty() }).await;
    // A process of the release before would still read its own.
    assert_eq!(queried(house.store.as_ref(), &old, stream(0)).await.unwrap(), [1, 2, 3, 4, 5, 6]);
    workers.builds().drop_build(&old.id()).await.unwrap();
    until("dropped", || async { build(&workers, &old.id()).await.is_none() }).await;
    assert!(queried(house.store.as_ref(), &old, stream(0)).await.is_err());
    workers.shutdown().await;
    let restarted = self::workers(&house, &new);
    until_caught_up(&restarted, house.log.as_ref()).await;
    assert_eq!(restarted.builds().report_one("trails").await.unwrap().builds.len(), 1);
    restarted.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_workers_share_a_rebuild_and_what_a_dead_one_had_is_taken_over() {
    let trails = Trails::partitioned();
    // So many that two cannot have them all.
    let crew = Crew::new(vec![trails.clone()], PARTITIONS);
    let streams = || (0..12).map(stream);
    for _ in 0..4 {
        crew.append(streams()).await;
    }
    let (one, two, three) = (crew.hire("one"), crew.hire("two"), crew.hire("three"));
    crew.until_settled(&[&one, &two, &three]).await;
    let rebuilt = one.workers.builds().rebuild("trails", "a test", true).await.unwrap();
    crew.append(streams()).await;
    drop(three);
    crew.append(streams()).await;
    until_live(&two.workers, &rebuilt).await;
    crew.append(streams()).await;
    crew.until_settled(&[&one, &two]).await;
    let held: Vec<String> = [&one, &two].iter().flat_map(|hand| hand.held()).collect();
    let of_build = held.iter().filter(|scope| scope.starts_with("trails_v1_b1 "));
    assert_eq!(of_build.count(), usize::from(PARTITIONS), "{held:?}");
    crew.audit.check();
    crew.assert_as_rebuilt().await;
    let old = documents(crew.house.store.as_ref(), &trails.id()).await;
    assert_eq!(documents(crew.house.store.as_ref(), &rebuilt).await, old);
}

/// Announces a swap and holds the live build for it, like a process that dies before it goes on.
async fn leave_a_swap_behind(house: &House, live: &ProjectionId, to: &ProjectionId, for_ms: i64) {
    let (id, until) = (Uuid::now_v7(), Timestamp::now().plus_millis(for_ms));
    let change = async |projection: ProjectionId, key: DocumentKey, change: &dyn Fn(&mut Value)| {
        loop {
            let before =
                house.store.get_many(&projection, std::slice::from_ref(&key)).await.unwrap().pop().unwrap();
            let mut document: Value = before.as_ref().unwrap().parse().unwrap();
            change(&mut document);
            let writes = vec![Write { document: key.clone(), value: Json::of(&document).ok() }];
            let unchanged = vec![Write { document: key.clone(), value: before }];
            let projection = projection.clone();
            let batch = Batch { projection, writes, advances: Vec::new(), unchanged };
            if house.store.commit(batch).await.is_ok() {
                break;
            }
        }
    };
    let swap = json!({ "id": id, "to": to, "until": until });
    change(builds::id(), builds::alias_key(&live.name), &|alias| alias["swap"] = swap.clone()).await;
    let hold = json!({ "id": id, "upto": {}, "until": until, "swap": true });
    for partition in house.log.partitions() {
        let key = DocumentKey { collection: "turns", key: partition.to_string() };
        if house.store.checkpoint(live, partition).await.unwrap().is_none() {
            continue;
        }
        change(live.clone(), key, &|turn| {
            turn["transactions"] = json!(turn["transactions"].as_u64().unwrap() + 1);
            turn["hold"] = hold.clone();
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_whose_process_died_is_called_off_by_the_runners_it_held() {
    let (house, trails) = (house(), Trails::partitioned());
    write(&house, 2).await;
    let workers = workers(&house, &trails);
    until_caught_up(&workers, house.log.as_ref()).await;
    let rebuilt = workers.builds().rebuild("trails", "a test", false).await.unwrap();
    until_state(&workers, &rebuilt, BuildState::Ready).await;
    leave_a_swap_behind(&house, &trails.id(), &rebuilt, 3000).await;
    assert!(matches!(workers.builds().swap(&rebuilt, false).await, Err(BuildsError::UnderWay(_))));
    write(&house, 1).await;
    assert_eq!(queried(house.store.as_ref(), &trails, stream(0)).await.unwrap().len(), 4, "it stands still");
    until("it goes on", || async {
        queried(house.store.as_ref(), &trails, stream(0)).await.is_ok_and(|trail| trail.len() == 6)
    })
    .await;
    let alias = house.store.get_many(&builds::id(), &[builds::alias_key("trails")]).await.unwrap();
    let alias: Alias = alias[0].as_ref().unwrap().parse().unwrap();
    assert_eq!((alias.swap, alias.build), (None, 0), "before anything was written");
    workers.builds().swap(&rebuilt, false).await.unwrap();
    workers.shutdown().await;
}
