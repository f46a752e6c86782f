//! Two processes on the same few streams: how many of the records on the log are void.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use events::{Id, ids::TestClockId};
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::{
    all,
    house::{House, StreamKey, shuffled},
};

/// Set for the second process: the prefix of the topics.
const SECOND: &str = "GUILDHALL_BENCH_SECOND_PROCESS";
/// Set for the second process: seconds.
const SECONDS: &str = "GUILDHALL_BENCH_SECOND_PROCESS_SECONDS";
const HOT_STREAMS: u8 = 20;
const CLIENTS: usize = 24;

/// The same in both processes.
fn hot(prefix: &str) -> Vec<StreamKey> {
    let (_, digits) = prefix.split_once('-').unwrap();
    let first: Uuid = digits.parse().unwrap();
    let id = |number| Uuid::from_u128(first.as_u128().wrapping_add(u128::from(number)));
    (0..HOT_STREAMS).map(|number| TestClockId::from_uuid(id(number))).collect()
}

/// Whether this is the second process.
pub(super) fn is_second_process() -> bool {
    std::env::var_os(SECOND).is_some()
}

/// What the second process does: opens the log, says so, waits for the word, and loads the streams.
pub(super) fn second_process(runtime: &Runtime, brokers: &str) {
    let prefix = std::env::var(SECOND).unwrap();
    let seconds = std::env::var(SECONDS).unwrap().parse().unwrap();
    let house = Arc::new(House::open(runtime, brokers, &prefix));
    println!("ready");
    let mut word = String::new();
    std::io::stdin().read_line(&mut word).unwrap();
    let done = load(runtime, &house, &hot(&prefix), Duration::from_secs(seconds));
    println!("{done}");
}

fn load(runtime: &Runtime, house: &Arc<House>, ids: &[StreamKey], time: Duration) -> String {
    let done = all(runtime, CLIENTS, |client| {
        let (house, ids) = (Arc::clone(house), shuffled(ids, client));
        async move { house.executing_client(ids, time).await }
    });
    done.to_string()
}

/// The share of void records while two processes load the same streams.
pub(super) fn measure(runtime: &Runtime, brokers: &str, time: Duration) -> f64 {
    let prefix = format!("turns-{}", Uuid::now_v7().simple());
    let house = Arc::new(House::open(runtime, brokers, &prefix));
    let mut second = Command::new(std::env::current_exe().unwrap())
        .env(SECOND, &prefix)
        .env(SECONDS, time.as_secs().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(second.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "ready");
    let before = house.log.status();
    second.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let first = load(runtime, &house, &hot(&prefix), time);
    let other = said.next().unwrap().unwrap();
    assert!(second.wait().unwrap().success());
    let after = house.log.status();
    let (valid, void) = (after.commits - before.commits, after.voids - before.voids);
    println!("two processes, {CLIENTS} clients each, {HOT_STREAMS} streams: {first} and {other}");
    println!("  {valid} commits, {void} void");
    void as f64 / (valid + void).max(1) as f64
}
