//! `kill -9` in the middle of load: nothing acknowledged is lost, nothing is done twice.

use std::{path::Path, sync::Arc, time::Duration};

use events::log::LogOptions;
use projections::StoreOptions;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tokio::sync::watch;
use workers::rebuild_and_compare;

use crate::{
    TURN,
    driver::{Driver, Trail},
    harness::Client,
    process::Setup,
    stack::{databases, fresh_databases, mongodb},
};

/// How often it is killed, unless `CRASHES` says otherwise.
const ROUNDS: u32 = 50;
const DRIVERS: usize = 4;
/// The process is killed after between so many acknowledgements, and so many microseconds later.
const ACKNOWLEDGED: std::ops::Range<u64> = 1..30;
const LATER_US: std::ops::Range<u64> = 0..5000;
/// A round in which this passes without these has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn rounds() -> u32 {
    std::env::var("CRASHES").ok().and_then(|crashes| crashes.parse().ok()).unwrap_or(ROUNDS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_and_happened_once() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}", folder.path().display());
    killed_again_and_again(&Setup::embedded(folder.path()), &StoreOptions::at(url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the stack"]
async fn what_was_acknowledged_survives_and_happened_once_with_read_models_in_mongodb() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let (url, prefix) = (mongodb(), fresh_databases());
    let setup = Setup::embedded(folder.path()).on_mongodb(&url, &prefix);
    killed_again_and_again(&setup, &databases(&url, &prefix)).await;
}

/// Kills the process in the middle of load, then compares what is there with what was acknowledged, and every read model in
/// `live` with one that is built anew.
async fn killed_again_and_again(setup: &Setup, live: &StoreOptions) {
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let count = Arc::new(watch::Sender::new(0));
    let mut drivers = prepare(setup, &count).await;
    for _ in 0..rounds() {
        let process = setup.start().await;
        let enough = *count.borrow() + random.random_range(ACKNOWLEDGED);
        let run = |driver: Driver| tokio::spawn(driver.run(process.client(), None));
        let load: Vec<_> = drivers.into_iter().map(run).collect();
        let mut acknowledged = count.subscribe();
        let heard =
            tokio::time::timeout(PATIENCE, acknowledged.wait_for(|count| *count >= enough)).await.is_ok();
        if !heard {
            eprintln!("{}", process.client().call("GET", "/health/ready").send().await.raw);
        }
        tokio::time::sleep(Duration::from_micros(random.random_range(LATER_US))).await;
        process.kill();
        drivers = Vec::new();
        for driver in load {
            drivers.push(driver.await.unwrap());
        }
        assert!(heard, "the server answers no more");
    }
    let process = setup.start().await;
    let client = process.client();
    let mut trails = Vec::new();
    for driver in drivers {
        trails.extend(driver.finish(client.clone()).await);
    }
    let token = setup.run(&["token", "create", "--service", "driver", "--role", "operator"]);
    settle(&client, token.trim()).await;
    everything_is_there_once(&client, &trails).await;
    repetitions_change_nothing(&client, token.trim(), &trails).await;
    let verified = setup.run(&["log", "verify"]);
    assert!(verified.starts_with("ok: "), "{verified}");
    process.stop();
    rebuilt_read_models_are_the_same(&setup.folder, live).await;
}

/// Makes the people, and lets the server stop in order.
async fn prepare(setup: &Setup, count: &Arc<watch::Sender<u64>>) -> Vec<Driver> {
    let process = setup.start().await;
    let client = process.client();
    let mut drivers = Vec::new();
    for number in 0..DRIVERS {
        drivers.push(Driver::new(&client, number, Arc::clone(count)).await);
    }
    process.stop();
    drivers
}

/// Waits until every read model has seen everything and no step is open.
pub(crate) async fn settle(client: &Client, token: &str) {
    let mut quiet = 0;
    // What a step writes is read, and may lead to a next one: only what stays quiet has settled.
    while quiet < 5 {
        let report = client.call("GET", "/ops/projections").token(token).send().await;
        let runners = report.body["runners"].as_array().unwrap();
        let waiting = |runner: &Value| runner["state"] == "waiting" && runner["lag_commits"] == 0;
        let settled = runners.iter().all(waiting) && report.body["steps"]["listed"] == 0;
        quiet = if settled { quiet + 1 } else { 0 };
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Each job, bid, award and signature is there, and the versions leave no room for a second one.
pub(crate) async fn everything_is_there_once(client: &Client, trails: &[Trail]) {
    for trail in trails {
        let job = client.call("GET", &format!("/api/v1/jobs/{}", trail.job)).by(&trail.client).send().await;
        assert_eq!(job.body["version"], trail.job_version, "{}", job.raw);
        assert_eq!(job.body["bids"]["total"], u32::from(trail.bid.is_some()), "{}", job.raw);
        if let Some(contract) = &trail.contract {
            let path = format!("/api/v1/contracts/{contract}");
            let contract = client.call("GET", &path).by(&trail.client).send().await;
            assert_eq!(contract.body["signed_by"].as_array().unwrap().len(), 1, "{}", contract.raw);
            assert_eq!(contract.body["version"], 2, "{}", contract.raw);
        }
    }
    let mut owners: Vec<_> = trails.iter().map(|trail| &trail.client).collect();
    owners.dedup_by_key(|owner| &owner.account);
    for owner in owners {
        let expected = trails.iter().filter(|trail| trail.client.account == owner.account).count();
        assert_eq!(all(client, "/api/v1/me/jobs", &owner.token).await.len(), expected);
    }
}

/// Every item of a list, page by page.
async fn all(client: &Client, path: &str, token: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut next = format!("{path}?limit=100");
    loop {
        let page = client.call("GET", &next).token(token).send().await.expect(http::StatusCode::OK);
        items.extend(page.items().to_vec());
        let Some(cursor) = page.body["next"].as_str() else { return items };
        next = format!("{path}?limit=100&cursor={cursor}");
    }
}

async fn repetitions_change_nothing(client: &Client, token: &str, trails: &[Trail]) {
    let ends = async || client.call("GET", "/ops/log").token(token).send().await.body["partitions"].clone();
    let before = ends().await;
    for acknowledged in trails.iter().flat_map(|trail| &trail.acknowledged) {
        let again = acknowledged.operation.send(client).await.unwrap();
        assert_eq!(again.raw, acknowledged.answer);
    }
    assert_eq!(ends().await, before);
}

/// Folds the log anew and compares every document of every read model, timers and steps among them.
pub(crate) async fn rebuilt_read_models_are_the_same(folder: &Path, live: &StoreOptions) {
    let at = |folder: &Path| format!("embedded:{}", folder.display());
    let scratch = tempfile::tempdir().unwrap();
    // Of a log on Kafka this is the copy, as it was when its process ended.
    let log = events::log::open(&LogOptions { read_only: true, ..LogOptions::embedded(folder) }).unwrap();
    let live = projections::open(live).unwrap();
    let rebuilt = projections::open(&StoreOptions::at(at(scratch.path()))).unwrap();
    for projection in projections::all() {
        let (name, log) = (projection.name(), Arc::clone(&log));
        let compared = rebuild_and_compare(projection, log, live.as_ref(), Arc::clone(&rebuilt), 3).await;
        let differences: Vec<_> = compared.unwrap().iter().map(ToString::to_string).collect();
        assert!(differences.is_empty(), "{name}: {differences:#?}");
    }
}
