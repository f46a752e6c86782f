//! Databases that are dropped under a running worker come back by themselves, letters of what is still poison among them.

use std::{path::Path, process::Command, sync::Arc};

use events::{Partition, Service, StreamId};
use projections::{Projection, ProjectionId, ReadStore, my_jobs::MyJobs, open};
use workers::{WorkerSettings, Workers, rebuild_and_compare};

use crate::{
    history::Life,
    support::{
        House,
        fleet::shared_settings,
        mongodb::{FreshStore, fresh},
        projections::Trails,
        until,
    },
};

const JOBS: Partition = Partition { service: Service::Jobs, number: 0 };

/// Drops databases as somebody would by mistake: nobody here is told.
fn drop_databases(store: &FreshStore, homes: &[&str]) {
    let url = store.options.url.strip_prefix("mongodb://").unwrap();
    let first = url.split(['/', ',']).next().unwrap();
    let names = homes.iter().map(|home| format!("{}_{home}", store.options.mongodb.database_prefix));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose/lib/mongo.py");
    let status = Command::new("python3").arg(script).args(["drop", first]).args(names).status().unwrap();
    assert!(status.success());
}

fn read(house: &House, store: &Arc<dyn ReadStore>, trails: &Arc<Trails>) -> Workers {
    let projections: Vec<Arc<dyn Projection>> = vec![trails.clone(), Arc::new(MyJobs)];
    let settings = WorkerSettings { name: "one".to_owned(), batch_commits_max: 500, ..shared_settings() };
    house.workers_with(projections, Arc::clone(store), settings)
}

/// The sequences that have a letter.
async fn blocked(workers: &Workers) -> Vec<String> {
    let letters = workers.letters(Some("trails"), None, 10).await.map(|page| page.items).unwrap_or_default();
    let mut blocked: Vec<String> = letters.into_iter().map(|letter| letter.sequence).collect();
    blocked.sort();
    blocked
}

/// Jobs whose lives go on, each with the stream of its own events.
struct Jobs(Vec<(StreamId, Life)>);

impl Jobs {
    async fn begin(house: &House, jobs: usize) -> Self {
        let mut begun = Self(Vec::new());
        for number in 0..jobs {
            let mut life = Life::new(number);
            let commit = life.next_commit();
            let stream = commit.stream;
            house.log.append(commit).await.unwrap();
            begun.0.push((stream, life));
        }
        begun
    }

    async fn go_on(&mut self, house: &House, commits: usize) {
        for (_, life) in &mut self.0 {
            for _ in 0..commits {
                house.log.append(life.next_commit()).await.unwrap();
            }
        }
    }

    /// As text, in order.
    fn streams(&self, numbers: &[usize]) -> Vec<String> {
        let mut streams: Vec<String> = numbers.iter().map(|number| self.0[*number].0.to_string()).collect();
        streams.sort();
        streams
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the stack"]
async fn databases_that_are_dropped_come_back_by_themselves_with_the_letters_of_what_is_still_poison() {
    let (house, fresh) = (House::new(), fresh());
    let store = open(&fresh.options).unwrap();
    let (trails, mut jobs) = (Trails::partitioned(), Jobs::begin(&house, 4).await);
    let of = |number: usize| jobs.0[number].0;
    let [first, second, last] = [of(0), of(1), of(3)];
    trails.poison(first, 2);
    trails.poison(second, 1);
    jobs.go_on(&house, 2).await;
    let workers = read(&house, &store, &trails);
    let is = async |letters: Vec<String>, trail: &[u64]| {
        blocked(&workers).await == letters && trails.trail(store.as_ref(), last).await == trail
    };
    until("two are parked", || is(jobs.streams(&[0, 1]), &[1, 2, 3])).await;
    let known = || workers.status().fleet.is_some_and(|fleet| fleet.members.iter().any(|one| one.alive));
    until("the worker is known", async || known()).await;

    // Nothing happens meanwhile: nobody is woken by an event.
    trails.mend_one(second, 1);
    drop_databases(&fresh, &["shared", "jobs"]);
    until("what is no poison any more is applied", || is(jobs.streams(&[0]), &[1, 2, 3])).await;
    assert_eq!(trails.trail(store.as_ref(), second).await, [1, 2, 3]);
    assert_eq!(trails.trail(store.as_ref(), first).await, [1]);

    drop_databases(&fresh, &["shared", "jobs"]);
    jobs.go_on(&house, 1).await;
    until("it goes on", || is(jobs.streams(&[0]), &[1, 2, 3, 4])).await;
    trails.mend();
    let letter = workers.letters(Some("trails"), None, 1).await.unwrap().items.remove(0);
    assert_eq!(workers.retry(letter.id).await.unwrap().left, None);
    until("all of it is read", async || {
        let at =
            async |id: &ProjectionId| store.checkpoint(id, JOBS).await.ok().flatten().map(|at| at.offset);
        let end = house.log.end(JOBS).unwrap();
        at(&trails.id()).await == Some(end) && at(&MyJobs.id()).await == Some(end)
    })
    .await;
    for projection in [trails.clone() as Arc<dyn Projection>, Arc::new(MyJobs)] {
        let scratch = house.another_store(&format!("scratch-{}", projection.name()));
        let compared =
            rebuild_and_compare(projection, Arc::clone(&house.log), store.as_ref(), scratch, 3).await;
        assert_eq!(compared.unwrap(), []);
    }
    workers.shutdown().await;
    fresh.clear().await;
}
