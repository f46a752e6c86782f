//! A process that fills a copy and tells how long it took and how much memory it used.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::open;

/// Set for the process that fills: brokers, prefix and commits, separated by blanks.
const FILL: &str = "GUILDHALL_BENCH_FILL";

/// What it took to fill a copy.
pub(super) struct Filled {
    pub(super) time: Duration,
    pub(super) resident_quarter_mib: u64,
    pub(super) resident_max_mib: u64,
}

/// Whether this is the process that fills.
pub(super) fn is_filling_process() -> bool {
    std::env::var_os(FILL).is_some()
}

/// Fills a new copy in a process of its own.
pub(super) fn measure(brokers: &str, prefix: &str, commits: usize) -> Filled {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(FILL, format!("{brokers} {prefix} {commits}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    let mut figures = line.split(' ').map(|figure| figure.parse::<u64>().unwrap());
    let mut next = || figures.next().unwrap();
    Filled { time: Duration::from_micros(next()), resident_quarter_mib: next(), resident_max_mib: next() }
}

/// Fills a copy from the first record it judges until all that it judged is written, and prints the figures.
pub(super) fn fill() {
    let task = std::env::var(FILL).unwrap();
    let [brokers, prefix, commits] = task.split(' ').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let commits: u64 = commits.parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = open(brokers, prefix, folder.path());
    let (mut first, mut quarter, mut highest) = (None, None, 0);
    let ended = loop {
        let held = log.status().commits;
        if held > 0 {
            first.get_or_insert_with(Instant::now);
        }
        let resident = resident_mib();
        highest = highest.max(resident);
        if held >= commits / 4 {
            quarter.get_or_insert(resident);
        }
        if held >= commits {
            // What was judged is written behind: closing waits for it.
            log.close();
            break Instant::now();
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let time = ended - first.unwrap();
    println!("{} {} {highest}", time.as_micros(), quarter.unwrap());
}

/// Memory of this process that is in use, where the system tells it.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
