//! Whatever is poisoned, parked, mended, retried and restarted, in whatever order: every stream's events are applied
//! in order, each once, and in the end all of them.

use std::{sync::Arc, time::Duration};

use events::log::{
    LogOptions,
    simulated::{SimulatedBroker, SimulatedFaults},
};
use projections::Projection;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use workers::{WorkerSettings, Workers};

use crate::support::{House, append, projections::Trails, settings, stream, until_caught_up};

const STREAMS: u128 = 6;
const ACTIONS: usize = 60;

struct Life {
    random: StdRng,
    house: House,
    trails: Arc<Trails>,
    settings: WorkerSettings,
    workers: Workers,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut house = House::new();
        if random.random_bool(0.5) {
            // Two partitions, so that a joined document is fed from both.
            let broker = SimulatedBroker::new(seed, 2, SimulatedFaults::default());
            let republish_after = Duration::from_millis(50);
            house.log = broker
                .open(&LogOptions {
                    republish_after,
                    ..LogOptions::embedded(house.folder.path().join("copy"))
                })
                .unwrap();
        }
        let trails = match random.random_range(0..3) {
            0 => Trails::partitioned(),
            1 => Trails::joined(2),
            _ => Trails::joined_by_stream(),
        };
        let settings = WorkerSettings {
            batch_commits_max: random.random_range(1..6),
            followers_max: random.random_range(1..5),
            redrive_run_events_max: random.random_range(1..6),
            // Nothing, a commit or two, or all there is.
            recent_bytes_max: [0, 3_000, 1 << 20][random.random_range(0..3)],
            rest_max_ms: [0, 1, 10][random.random_range(0..3)],
            ..settings()
        };
        let projections = vec![Arc::clone(&trails) as Arc<dyn Projection>];
        let workers = house.workers_with(projections, Arc::clone(&house.store), settings.clone());
        Self { random, house, trails, settings, workers }
    }

    async fn act(&mut self) {
        let stream = stream(self.random.random_range(0..STREAMS));
        match self.random.random_range(0..10) {
            0..=4 => append(self.house.log.as_ref(), stream, self.random.random_range(1..4)).await,
            5 | 6 => {
                let ahead = self.random.random_range(1..4);
                self.trails.poison(stream, self.house.log.head(stream).unwrap() + ahead);
            }
            7 => self.retry_one().await,
            8 => {
                self.trails.mend();
                self.retry_one().await;
            }
            _ => self.restart().await,
        }
    }

    async fn retry_one(&mut self) {
        // A runner that has just been started may not have prepared its collections yet.
        let Ok(letters) = self.workers.letters(None, None, 100).await else { return };
        if !letters.items.is_empty() {
            let place = self.random.random_range(0..letters.items.len());
            let _ = self.workers.retry(letters.items[place].id).await;
        }
    }

    async fn restart(&mut self) {
        if self.random.random_bool(0.5) {
            self.workers.shutdown().await;
        }
        let projections = vec![Arc::clone(&self.trails) as Arc<dyn Projection>];
        let store = Arc::clone(&self.house.store);
        self.workers = self.house.workers_with(projections, store, self.settings.clone());
    }

    /// The applied events of every stream are its first ones, in order; of all, when `all` is said.
    async fn check(&self, all: bool, when: &str) {
        for number in 0..STREAMS {
            let trail = self.trails.trail(self.house.store.as_ref(), stream(number)).await;
            let expected: Vec<u64> = (1..=trail.len() as u64).collect();
            assert_eq!(trail, expected, "stream {number}, {when}");
            if all {
                let head = self.house.log.head(stream(number)).unwrap();
                assert_eq!(trail.len() as u64, head, "stream {number}, {when}");
            }
        }
    }

    async fn live(mut self, seed: u64) {
        for action in 0..ACTIONS {
            self.act().await;
            self.check(false, &format!("seed {seed}, action {action}")).await;
        }
        self.trails.mend();
        until_caught_up(&self.workers, self.house.log.as_ref()).await;
        for letter in self.workers.letters(None, None, 100).await.unwrap().items {
            assert_eq!(self.workers.retry(letter.id).await.unwrap().left, None, "seed {seed}");
        }
        assert!(self.workers.letters(None, None, 100).await.unwrap().items.is_empty());
        self.check(true, &format!("seed {seed}, at the end")).await;
        self.workers.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_and_completeness_survive_random_lives() {
    for seed in 0..20 {
        Life::new(seed).live(seed).await;
    }
}
