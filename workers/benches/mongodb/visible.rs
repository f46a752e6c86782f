//! From a command's answer until a query finds what it did, while nothing else happens: every read model is kept, as in the
//! product, and the one that is asked has passed the command's position.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use events::{Id, ids::JobId, log::EventLog};
use projections::{
    DocumentKey, Projection, ReadStore, StoreOptions,
    job_detail::{JOBS as DETAILS, JobDetails},
};
use workers::{RunState, Workers};

use crate::{
    history::Life,
    place::{clear, embedded_log, fresh_prefix, mongodb, settings, start},
    rounds,
};

/// Between two commands; all projectors are idle again by then.
const REST: Duration = Duration::from_millis(60);

/// Prints medians for both engines, taken in turns.
pub(crate) async fn measure(commands: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut houses = vec![
        House::open("mongodb", mongodb(&fresh_prefix()), &folder.path().join("one")).await,
        House::open(
            "sqlite",
            StoreOptions::at(format!("embedded:{}", folder.path().display())),
            &folder.path().join("two"),
        )
        .await,
    ];
    for _ in 0..rounds() {
        for house in &mut houses {
            house.watch(commands).await;
        }
    }
    for (house, goal) in houses.into_iter().zip([25, 10]) {
        house.tell_and_close(goal).await;
    }
}

/// An engine with a log of its own, and all projectors.
struct House {
    engine: &'static str,
    log: Arc<dyn EventLog>,
    store: Arc<dyn ReadStore>,
    workers: Workers,
    times: Vec<Duration>,
}

impl House {
    async fn open(engine: &'static str, options: StoreOptions, folder: &std::path::Path) -> Self {
        let (log, store) = (embedded_log(folder), projections::open(&options).unwrap());
        let all = projections::all();
        for projection in &all {
            workers::prepare_live(store.as_ref(), projection.as_ref()).await.unwrap();
        }
        let shared = engine == "mongodb";
        let settings = workers::WorkerSettings { shared, ..settings(all.len()) };
        let workers = start(all, &log, Arc::clone(&store), settings);
        let idle = |workers: &Workers| {
            let runners = workers.status().runners;
            !runners.is_empty() && runners.iter().all(|runner| runner.state == RunState::Waiting)
        };
        while !idle(&workers) {
            tokio::time::sleep(REST).await;
        }
        Self { engine, log, store, workers, times: Vec::new() }
    }

    async fn watch(&mut self, commands: usize) {
        for number in 0..commands {
            let mut life = Life::new(number);
            let mut progress = self.workers.progress();
            let commit = life.next_commit();
            let job = JobId::from_uuid(commit.stream.uuid);
            let position = self.log.append(commit).await.unwrap().position;
            let answered = Instant::now();
            loop {
                progress.borrow_and_update();
                let reached = self.store.checkpoint(&JobDetails.id(), position.partition).await.unwrap();
                if reached.is_some_and(|reached| reached.offset >= position.offset) {
                    break;
                }
                progress.changed().await.unwrap();
            }
            let key = DocumentKey { collection: DETAILS.spec.name, key: job.to_string() };
            let found = self.store.get_many(&JobDetails.id(), &[key]).await.unwrap();
            self.times.push(answered.elapsed());
            assert!(found[0].is_some(), "what was written is found");
            tokio::time::sleep(REST).await;
        }
    }

    async fn tell_and_close(mut self, goal_ms: u32) {
        self.times.sort();
        let (engine, count) = (self.engine, self.times.len());
        let ms =
            |permille: usize| self.times[(count * permille / 1000).min(count - 1)].as_secs_f64() * 1000.0;
        println!(
            "{engine:<8} {count} commands visible after p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms",
            ms(500),
            ms(900),
            ms(990)
        );
        println!("ratio visible_p50_ms_{engine} {:.1} goal <= {goal_ms}", ms(500));
        self.workers.shutdown().await;
        if engine == "mongodb" {
            clear(self.store.as_ref()).await;
        }
        self.log.close();
    }
}
