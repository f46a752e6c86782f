//! Read models in MongoDB against the least that could be done: the same documents upserted by the driver alone, in the same
//! batches, in a bare majority transaction or in a bare unordered bulk.
//!
//! - `projecting`: the workers, from an empty read store to the end of a log.
//! - `rebuild`: another build of a read model of many events beside the live one, in a process of its own, with its memory.
//! - `visible`: from a command's answer until a query finds what it did, while nothing else happens; on SQLite as well.
//!
//! What the bare runs write was recorded from the workers, so it is the same, batch by batch, and is made ready beforehand: only
//! what the driver and the server do is counted. They have the same indexes; the line `no index` says what they would do
//! without. Rounds of everything are in turns, and medians count.
//!
//! Run it under `compose/stack run --only mongo --`. `GUILDHALL_BENCH_ONLY=projecting,visible` runs parts of it;
//! `GUILDHALL_BENCH_EVENTS` (1 000 000 unless set) is how many events are rebuilt, `GUILDHALL_BENCH_JOBS` (4000, some 20 events
//! each) how many jobs are projected, `GUILDHALL_BENCH_COMMANDS` (200) how many commands are watched in a round,
//! `GUILDHALL_BENCH_ROUNDS` (3) how many rounds there are. A million events want more than the little memory that the stack gives
//! mongod: `GUILDHALL_STACK_MONGO_CACHE_GB=2`.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::float_arithmetic, reason = "a benchmark")]

#[path = "../rebuild/history.rs"]
mod history;
#[path = "../nobody/mod.rs"]
mod nobody;
mod place;
mod projecting;
mod rebuild;
#[path = "../rebuild/recording.rs"]
mod recording;
mod spool;
mod visible;

use std::{str::FromStr, time::Duration};

/// Jobs that are under way at the same time: a batch is of about so many documents.
const ABREAST: usize = 1000;

#[tokio::main]
async fn main() {
    if rebuild::is_asked_of_this_process() {
        return rebuild::carry_out().await;
    }
    let only = std::env::var("GUILDHALL_BENCH_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only.split(',').any(|name| name == part);
    if wanted("projecting") {
        projecting::measure(number("GUILDHALL_BENCH_JOBS", 4000)).await;
    }
    if wanted("rebuild") {
        rebuild::measure(number("GUILDHALL_BENCH_EVENTS", 1_000_000)).await;
    }
    if wanted("visible") {
        visible::measure(number("GUILDHALL_BENCH_COMMANDS", 200)).await;
    }
}

fn rounds() -> usize {
    number("GUILDHALL_BENCH_ROUNDS", 3_usize).max(1)
}

/// The number in a variable, or this one.
fn number<T: FromStr>(variable: &str, otherwise: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// How many times faster than `whole` the `least` was.
fn ratio(least: Duration, whole: Duration) -> f64 {
    least.as_secs_f64() / whole.as_secs_f64()
}
