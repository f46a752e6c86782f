//! Memory of the whole product in one process: after 100 thousand events and after a million.
//!
//! Drives the real binary over HTTP. `GUILDHALL_BENCH_EVENTS` is the larger number (default 1 000 000; the smaller one
//! is a tenth of it).

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod load;

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use gateway::demo::Client;
use load::{closed_loop, median, people, setting};
use uuid::Uuid;

const CONNECTIONS: usize = 64;
const JOB: &str = r#"{"title":"A booking site for a small hotel","description":"Twelve rooms in Cape Coast. Guests choose dates, pay a deposit, and get a confirmation.","category":"web-development","skills":["design","rust"],"budget":{"min":{"amount":"400000","currency":"GHS"},"max":{"amount":"900000","currency":"GHS"}}}"#;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let events = setting("GUILDHALL_BENCH_EVENTS", 1_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    let (mut server, address) = start(folder.path());
    let token = runtime.block_on(log_in(address));
    let mut written = 0;
    let mut fill = |until: u64| {
        while written < until {
            // Tokens are short-lived, by design: log in anew for each stretch.
            let token = runtime.block_on(people::log_in(address, EMAIL)).unwrap_or_else(|| token.clone());
            let request = move || load::post("/api/v1/jobs", &token, Some(Uuid::now_v7()), JOB);
            let stretch = (until - written).min(200_000);
            let forever = Duration::from_secs(600);
            let measured = runtime.block_on(closed_loop(address, CONNECTIONS, forever, stretch, request));
            written += measured.answered;
            let load::Measured { rate, p50_ms, p99_ms, .. } = measured;
            println!("{written} events, {rate:.0}/s, p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms");
        }
        runtime.block_on(caught_up(address));
        settled_mib(&server)
    };
    let small = fill(events / 10);
    let large = fill(events);
    println!("resident after {} events {small:.0} MiB, after {events} events {large:.0} MiB", events / 10);
    server.kill().expect("the server is ours");
    server.wait().expect("the server is ours");
    println!("ratio memory_1m_vs_100k {:.3} goal <= 1.5", large / small);
    println!("ratio memory_of_300_mib {:.3} goal <= 1.0", large / 300.0);
}

fn start(folder: &std::path::Path) -> (Child, SocketAddr) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_guildhall"))
        .env("GUILDHALL_LISTEN", "127.0.0.1:0")
        .env("GUILDHALL_DATA", folder)
        .env("GUILDHALL_LOGGING__FORMAT", "human")
        .env("NO_COLOR", "1")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(server.stderr.take().expect("piped")).lines();
    let address = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.split("http://").nth(1)?.split_whitespace().next()?.parse().ok())
        .expect("the server says where it listens");
    std::thread::spawn(move || lines.for_each(drop));
    (server, address)
}

const EMAIL: &str = "bench@example.com";
async fn log_in(address: SocketAddr) -> String {
    people::register(address, EMAIL, "client").await;
    people::log_in(address, EMAIL).await.expect("the account exists")
}

/// Waits until every projector has folded all there is: the metrics' lag says so.
async fn caught_up(address: SocketAddr) {
    let started = Instant::now();
    let client = Client::new(&[format!("http://{address}")]);
    while started.elapsed() < Duration::from_secs(900) {
        if lag(&client).await == Some(0.0) {
            println!("projectors caught up after {:.1} s", started.elapsed().as_secs_f64());
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("the projectors did not catch up");
}

/// The largest lag of any projection, in events.
async fn lag(client: &Client) -> Option<f64> {
    let metrics = client.get_text("/metrics").await.ok()?;
    let lags = metrics.lines().filter(|line| line.starts_with("guildhall_projection_lag_commits"));
    lags.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).reduce(f64::max)
}

/// Resident memory at rest: the median of a few looks.
fn settled_mib(server: &Child) -> f64 {
    let looks = (0..10).map(|_| {
        std::thread::sleep(Duration::from_millis(300));
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib / 1024.0
    });
    median(looks.collect())
}
