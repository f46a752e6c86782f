//! Three gateways, 48 clients, 20 hot streams, three brokers: nothing lost, nothing doubled, the copies equal at the end,
//! whoever dies meanwhile.
//!
//! `GUILDHALL_STACK_LOAD_SECONDS` makes the load of each run longer.

mod copies;
mod load;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    TURN,
    driver::member,
    process::{Process, Setup},
    stack::{Stack, fresh_prefix},
};
use load::{Bidder, Doors};

const GATEWAYS: usize = 3;
const CLIENTS: usize = 48;
const JOBS: usize = 20;
/// How long the gateways may take at the end to have read everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the load lasts when nothing is disturbed.
fn load_time() -> Duration {
    let seconds = std::env::var("GUILDHALL_STACK_LOAD_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

/// The gateways and who talks to them.
struct Field {
    _folder: TempDir,
    stack: &'static Stack,
    prefix: String,
    setups: Vec<Setup>,
    gateways: Vec<Process>,
    doors: Doors,
    jobs: Arc<Vec<String>>,
    stop: watch::Sender<bool>,
    load: Vec<JoinHandle<Bidder>>,
}

impl Field {
    /// Opens the gateways, publishes the jobs, and lets the clients begin.
    async fn open() -> Self {
        let (stack, prefix) = (Stack::of_three().await, fresh_prefix());
        let folder = tempfile::tempdir().unwrap();
        let setup = |number: usize| {
            let own = folder.path().join(format!("gateway-{number}"));
            Setup::on_kafka(own, &["gateway"], &stack.brokers, &prefix)
        };
        let setups: Vec<Setup> = (0..GATEWAYS).map(setup).collect();
        let mut gateways = Vec::new();
        for setup in &setups {
            let gateway = setup.start().await;
            gateway.ready().await;
            gateways.push(gateway);
        }
        let doors = Doors::new(gateways.iter().map(Process::client).collect());
        let (jobs, bidders) = prepare(&doors).await;
        let (jobs, stop) = (Arc::new(jobs), watch::Sender::new(false));
        let run =
            |bidder: Bidder| tokio::spawn(bidder.run(doors.clone(), Arc::clone(&jobs), stop.subscribe()));
        let load = bidders.into_iter().map(run).collect();
        Self { _folder: folder, stack, prefix, setups, gateways, doors, jobs, stop, load }
    }

    /// `kill -9`, and the same folder again.
    async fn kill_and_restart(&mut self, number: usize) {
        let fresh = {
            let killed = self.gateways.remove(number);
            killed.kill();
            self.setups[number].start().await
        };
        self.doors.replace(number, fresh.client());
        self.gateways.insert(number, fresh);
    }

    /// Ends the load, waits until every gateway has read everything, and compares.
    async fn close(self, title: &str, moments: &[(&str, Instant)]) {
        self.stop.send_replace(true);
        let mut bidders = Vec::new();
        for bidder in self.load {
            bidders.push(bidder.await.unwrap());
        }
        let reports = settle(&self.doors, &self.setups[0]).await;
        for gateway in self.gateways {
            gateway.stop();
        }
        let folders = self.setups.iter().map(|setup| copies::copy(&setup.folder));
        let held: Vec<_> = folders.collect();
        copies::are_equal(&held);
        let mut repeated = std::collections::BTreeMap::<String, u64>::new();
        for (reason, times) in bidders.iter().flat_map(|bidder| &bidder.repeated) {
            *repeated.entry(reason.clone()).or_default() += times;
        }
        let acknowledged: Vec<_> = bidders.into_iter().flat_map(|bidder| bidder.acknowledged).collect();
        let (commits, commands) = copies::hold_what_was_acknowledged(&held[0], &self.jobs, &acknowledged);
        // Every copy judges every record: the one that was not restarted has seen them all.
        let voids = reports.iter().filter_map(|report| report["voids"].as_u64()).max().unwrap_or_default();
        let mut times: Vec<Instant> = acknowledged.iter().map(|known| known.at).collect();
        times.sort_unstable();
        let seconds = times[times.len() - 1].duration_since(times[0]).as_secs_f64();
        eprintln!(
            "{title}: {commands} commands in {seconds:.1} s, {:.1} a commit; {voids} records void beside {commits} commits \
             (as far as the gateway that ran longest saw); the longest silence took {:.2} s; repeated: {repeated:?}",
            commands as f64 / commits as f64,
            longest_silence(&times, times[0]).as_secs_f64(),
        );
        for (what, moment) in moments {
            let next = times.iter().find(|time| *time >= moment).map(|time| time.duration_since(*moment));
            eprintln!(
                "{title}: after {what} the next acknowledgement came within {:.3} s, the longest silence since took {:.2} s",
                next.unwrap_or_default().as_secs_f64(),
                longest_silence(&times, *moment).as_secs_f64(),
            );
        }
    }
}

/// The longest time without an acknowledgement after a moment.
fn longest_silence(times: &[Instant], after: Instant) -> Duration {
    let mut last = after;
    let mut longest = Duration::ZERO;
    for time in times.iter().filter(|time| **time >= after) {
        longest = longest.max(time.duration_since(last));
        last = *time;
    }
    longest
}

/// One who posts, and those who bid.
async fn prepare(doors: &Doors) -> (Vec<String>, Vec<Bidder>) {
    let door = doors.at(0);
    let owner = member(&door, "owner", "client").await;
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        let posted = door.call("POST", "/api/v1/jobs").by(&owner).json(&crate::harness::job()).send().await;
        let job = posted.expect(StatusCode::CREATED).text("/job");
        let published = door.call("POST", &format!("/api/v1/jobs/{job}/publish")).by(&owner).send().await;
        published.expect(StatusCode::OK);
        jobs.push(job);
    }
    let arriving = (0..CLIENTS).map(|number| {
        let door = doors.at(number);
        tokio::spawn(async move {
            Bidder::new(number, member(&door, &format!("worker-{number}"), "worker").await)
        })
    });
    let mut bidders = Vec::new();
    for bidder in arriving.collect::<Vec<_>>() {
        bidders.push(bidder.await.unwrap());
    }
    for number in 0..GATEWAYS {
        let path = format!("/api/v1/jobs/{}", jobs[JOBS - 1]);
        while !doors.at(number).call("GET", &path).send().await.status.is_success() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    (jobs, bidders)
}

/// Waits until every gateway's copy ends where the others' do; their reports.
async fn settle(doors: &Doors, setup: &Setup) -> Vec<Value> {
    let token = setup.run(&["token", "create", "--service", "faults", "--role", "operator"]);
    let since = Instant::now();
    loop {
        let mut reports = Vec::new();
        for number in 0..GATEWAYS {
            let report = doors.at(number).call("GET", "/ops/log").token(token.trim()).send().await;
            reports.push(report.expect(StatusCode::OK).body);
        }
        let current = reports.iter().all(|report| report["behind"] == json!(0) && report["away"].is_null());
        if current && reports.iter().all(|report| report["partitions"] == reports[0]["partitions"]) {
            return reports;
        }
        assert!(since.elapsed() < PATIENCE, "the gateways do not come to the same end: {reports:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stack"]
async fn three_gateways_on_kafka_write_one_history() {
    let _turn = TURN.lock().await;
    let field = Field::open().await;
    tokio::time::sleep(load_time()).await;
    field.close("undisturbed", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stack"]
async fn gateways_on_kafka_that_are_killed_lose_nothing() {
    let _turn = TURN.lock().await;
    let mut field = Field::open().await;
    let since = Instant::now();
    let mut number = 0;
    while since.elapsed() < load_time() * 2 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        field.kill_and_restart(number % GATEWAYS).await;
        number += 1;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    field.close(&format!("{number} gateways killed"), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stack"]
async fn a_leading_kafka_broker_that_is_killed_and_returns_loses_nothing() {
    let _turn = TURN.lock().await;
    let field = Field::open().await;
    let leader = field.stack.leader(&format!("{}.jobs.events", field.prefix)).await;
    tokio::time::sleep(load_time() / 3).await;
    let killed = Instant::now();
    field.stack.fault("kill", leader).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let started = Instant::now();
    field.stack.fault("start", leader).await;
    let returned = Instant::now();
    tokio::time::sleep(load_time() / 3).await;
    let moments = [("the kill", killed), ("the start", started), ("the return", returned)];
    field.close("the leading broker killed", &moments).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stack"]
async fn a_frozen_gateway_on_kafka_neither_holds_up_the_others_nor_writes_late() {
    let _turn = TURN.lock().await;
    let field = Field::open().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    field.gateways[1].signal("STOP");
    let frozen = Instant::now();
    tokio::time::sleep(Duration::from_secs(30)).await;
    field.gateways[1].signal("CONT");
    let thawed = Instant::now();
    tokio::time::sleep(Duration::from_secs(5)).await;
    field.close("a gateway frozen for 30 s", &[("the freeze", frozen), ("the thaw", thawed)]).await;
}
