//! Workers over one read store in MongoDB and one log on Kafka, while some of them freeze, die and join: every read model is
//! in the end what the log makes of it, each scope has one worker, and each worker has its part.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::sync::watch;

use crate::{
    TURN, crash,
    driver::{Driver, Trail},
    harness::Client,
    process::{Process, Setup},
    stack::{brokers, databases, fresh_prefix, mongodb},
};

const DRIVERS: usize = 4;
const LEASE: Duration = Duration::from_secs(3);
/// How long the workers may take at the end to share the work and to have read everything.
const PATIENCE: Duration = Duration::from_secs(120);

/// One log and one read store, which no other test has.
struct Place {
    folder: tempfile::TempDir,
    brokers: String,
    prefix: String,
    store: String,
    databases: String,
}

impl Place {
    fn new() -> Self {
        let prefix = fresh_prefix();
        let databases = prefix.replace('-', "_");
        Self { folder: tempfile::tempdir().unwrap(), brokers: brokers(), prefix, store: mongodb(), databases }
    }

    fn setup(&self, name: &str, role: &[&'static str]) -> Setup {
        Setup::on_kafka(self.folder.path().join(name), role, &self.brokers, &self.prefix)
            .on_mongodb(&self.store, &self.databases)
            .with("WORKERS__LEASE_MS", &LEASE.as_millis().to_string())
            .with("WORKERS__HEARTBEAT_MS", &(LEASE / 6).as_millis().to_string())
    }

    async fn start(&self, name: &str, role: &[&'static str]) -> Process {
        let process = self.setup(name, role).start().await;
        process.ready().await;
        process
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the stack"]
async fn of_four_workers_one_is_frozen_two_are_killed_and_one_joins_and_nothing_is_lost_or_doubled() {
    let _turn = TURN.lock().await;
    let place = Place::new();
    let gateway = place.start("gateway", &["gateway"]).await;
    let mut workers = Vec::new();
    for name in ["one", "two", "three", "four"] {
        workers.push(place.start(name, &["worker"]).await);
    }
    let count = Arc::new(watch::Sender::new(0));
    let mut load = Vec::new();
    for number in 0..DRIVERS {
        let driver = Driver::new(&gateway.client(), number, Arc::clone(&count)).await;
        load.push(tokio::spawn(driver.run(gateway.client(), None)));
    }
    let more = async |acknowledged: u64| {
        let enough = *count.borrow() + acknowledged;
        let heard = count.subscribe().wait_for(|count| *count >= enough).await.is_ok();
        assert!(heard);
    };
    more(40).await;
    workers[0].signal("STOP");
    more(10).await;
    workers.pop().unwrap().kill();
    more(10).await;
    workers.pop().unwrap().kill();
    workers.push(place.start("five", &["worker"]).await);
    more(40).await;
    tokio::time::sleep(LEASE * 2).await;
    more(20).await;
    workers[0].signal("CONT");
    more(40).await;

    gateway.kill();
    let gateway = place.start("gateway", &["gateway"]).await;
    let mut trails: Vec<Trail> = Vec::new();
    for driver in load {
        trails.extend(driver.await.unwrap().finish(gateway.client()).await);
    }
    let token =
        place.setup("gateway", &[]).run(&["token", "create", "--service", "driver", "--role", "operator"]);
    let clients: Vec<Client> = workers.iter().map(Process::client).collect();
    share_all_and_have_read_all(&clients, token.trim()).await;
    crash::everything_is_there_once(&gateway.client(), &trails).await;
    names_the_holders(&gateway.client(), token.trim()).await;
    let letters = gateway.client().call("GET", "/ops/dead-letters").token(token.trim()).send().await;
    assert!(letters.items().is_empty(), "{}", letters.raw);
    gateway.stop();
    workers.into_iter().for_each(Process::stop);
    let live = databases(&place.store, &place.databases);
    crash::rebuilt_read_models_are_the_same(&place.folder.path().join("gateway"), &live).await;
}

/// A gateway runs nothing, and tells who has what all the same.
async fn names_the_holders(gateway: &Client, token: &str) {
    let report = gateway.call("GET", "/ops/projections").token(token).send().await;
    let scopes = report.body["fleet"]["scopes"].as_array().unwrap();
    assert!(!scopes.is_empty() && report.body["runners"].as_array().unwrap().is_empty(), "{}", report.raw);
    assert!(scopes.iter().all(|scope| scope["held_by"].is_string()), "{}", report.raw);
}

/// Waits until every scope is held by one of them, each has some, and nothing is left to read or to do.
async fn share_all_and_have_read_all(workers: &[Client], token: &str) {
    let settled = async {
        let mut quiet = 0;
        // What a step writes is read, and may lead to a next one: only what stays quiet has settled.
        while quiet < 5 {
            let mut reports = Vec::new();
            for worker in workers {
                reports.push(worker.call("GET", "/ops/projections").token(token).send().await.body);
            }
            quiet = if are_settled(&reports) { quiet + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, settled).await.is_err() {
        for worker in workers {
            eprintln!("{}", worker.call("GET", "/ops/projections").token(token).send().await.raw);
        }
        panic!("they do not settle");
    }
}

fn are_settled(reports: &[Value]) -> bool {
    let (mut held, mut all) = (BTreeSet::new(), BTreeSet::new());
    for report in reports {
        let before = held.len();
        for runner in report["runners"].as_array().unwrap() {
            let scope = (runner["projection"].as_str().unwrap(), runner["scope"].as_str().unwrap());
            all.insert(scope);
            let is_held_by_one = match runner["state"].as_str().unwrap() {
                "standby" => true,
                "waiting" => runner["lag_commits"] == 0 && held.insert(scope),
                _ => false,
            };
            if !is_held_by_one {
                return false;
            }
        }
        if held.len() == before || report["steps"]["listed"] != 0 {
            return false;
        }
    }
    held == all
}
