//! Whole stories, from a posted job to the money at the worker's bank, against the rate of the command benchmark.
//!
//! People give their commands over HTTP to a server in which everything works that works in the product: process managers,
//! timers, effects, every projection, and a provider over HTTP that answers by signed webhooks. Nothing waits on the clock:
//! what is earned is held for a millisecond, and batches of payouts go every millisecond. 32 pairs of people tell stories at once,
//! each anew when one has ended. In the same round as many clients `POST` jobs to a gateway by whose side nothing works, as in
//! `cargo bench -p gateway --bench http`; and as many give bare commands to its executor, without HTTP.
//!
//! A story is worth the commands that it makes: those of its people, what the provider tells, what managers are told, the steps
//! they ask for, and the outcomes of these; each is a command that wrote. So the ratio says how much of what a gateway could do
//! is left for commands when everything that follows from one is done as well, and the other ratio the same of an executor
//! alone, which is the stricter one. How many of them people and provider gave and managers asked for is told beside.
//!
//! `GUILDHALL_BENCH_SECONDS` is the length of a round (5), `GUILDHALL_BENCH_ROUNDS` their number (5), `GUILDHALL_BENCH_STORIES` how
//! many are told at once (32). A ratio is the median of the rounds' ratios.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]
#![allow(clippy::print_stdout, reason = "its figures are its output")]
#![allow(clippy::float_arithmetic, reason = "rates and ratios")]

#[path = "../../../commands/benches/advance/mod.rs"]
mod advance;
#[path = "../alone/mod.rs"]
mod alone;
mod bare;
mod heard;
mod house;
#[path = "../load/mod.rs"]
mod load;
mod story;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use heard::{Heard, Tally};
use house::{Bare, Whole};
use load::{closed_loop, median, post, setting};
use story::{ASKED, Pair, Person};
use tokio::{runtime::Builder, task::JoinSet};
use uuid::Uuid;

const JOB: &str = r#"{"title":"Paint the fence","description":"White, two coats","category":"painting","skills":["brushes"],"budget":{"min":{"amount":"25000","currency":"GHS"},"max":{"amount":"100000","currency":"GHS"}}}"#;

fn main() {
    let servers = Builder::new_multi_thread().enable_all().build().unwrap();
    let clients = Builder::new_current_thread().enable_all().build().unwrap();
    let round = Duration::from_secs(setting("GUILDHALL_BENCH_SECONDS", 5));
    let rounds = setting("GUILDHALL_BENCH_ROUNDS", 5).max(1);
    let abreast = usize::try_from(setting("GUILDHALL_BENCH_STORIES", 32).max(1)).unwrap();
    println!("{abreast} stories, connections and clients at once, rounds of {} s", round.as_secs());

    let (whole, gateway) = servers.block_on(async { (Whole::open().await, Bare::open().await) });
    let heard = servers.block_on(async { Heard::follow(Arc::clone(&whole.server.app.log)) });
    let mut pairs = clients.block_on(register(whole.server.address(), abreast));
    let poster = clients.block_on(Person::register(gateway.address, "client"));
    let mut ratios = [const { Vec::new() }; 3];
    for number in 0..=rounds {
        until_written();
        let token = poster.token().to_owned();
        let request = move || post("/api/v1/jobs", &token, Some(Uuid::now_v7()), JOB);
        let posts = clients.block_on(closed_loop(gateway.address, abreast, round, u64::MAX, request));
        until_written();
        let bare = servers.block_on(bare::measure(&gateway.app.executor, abreast, round));
        until_written();
        let told = clients.block_on(tell(&mut pairs, &heard, round, || whole.lag()));
        clients.block_on(whole.until_rest());
        let of_each = [told.commands() / posts.rate, told.asked() / posts.rate, told.commands() / bare];
        let [ratio, asked, without_http] = of_each;
        println!(
            "  round {number}: posts {posts}; {bare:.0}/s by an executor alone; {told}: {ratio:.3} ({asked:.3}, {without_http:.3})"
        );
        // The first round warms everything up.
        if number > 0 {
            ratios.iter_mut().zip(of_each).for_each(|(ratios, ratio)| ratios.push(ratio));
        }
    }
    servers.block_on(whole.close());
    let [ratio, asked, without_http] = ratios.map(median);
    println!("by what people, provider and managers asked for alone {asked:.3} (no goal)");
    println!("ratio stories_vs_posted_commands {ratio:.3} goal >= 0.5");
    println!("ratio story_vs_bare_commands {without_http:.3} goal >= 0.5");
}

/// What one leaves to the disk is not for the next one to wait for.
fn until_written() {
    assert!(std::process::Command::new("sync").status().unwrap().success());
}

/// What this process has used of the processors: unlike the time it took, hardly anybody else's doing.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, which may have spaces: user and system time are the 12th and 13th, in hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}

async fn register(address: SocketAddr, count: usize) -> Vec<Pair> {
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push(Pair::register(address).await);
    }
    pairs
}

/// What a round of stories came to.
struct Told {
    stories: u64,
    tally: Tally,
    time: Duration,
    /// From the first command to the last event of a story, all together.
    lives: Duration,
    /// Of everybody, those who tell included.
    processor: Duration,
    /// Commits that the slowest projector had not read when the time was over.
    lag: u64,
}

impl Told {
    /// Commands that wrote, a second.
    fn commands(&self) -> f64 {
        self.tally.commands as f64 / self.time.as_secs_f64()
    }

    /// What people and provider gave and managers asked for, a second.
    fn asked(&self) -> f64 {
        (self.stories * ASKED + self.tally.receipts + self.tally.steps) as f64 / self.time.as_secs_f64()
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = |count: f64| count * self.time.as_secs_f64() / self.stories.max(1) as f64;
        write!(
            f,
            "{:.1} stories/s of {:.0} commands ({:.0} events; people, provider and steps: {:.0}) in {:.0} ms each, {:.1} ms of a processor, projectors {} commits behind",
            self.stories as f64 / self.time.as_secs_f64(),
            each(self.commands()),
            self.tally.events as f64 / self.stories.max(1) as f64,
            each(self.asked()),
            self.lives.as_secs_f64() * 1000.0 / self.stories.max(1) as f64,
            self.processor.as_secs_f64() * 1000.0 / self.stories.max(1) as f64,
            self.lag,
        )
    }
}

/// Stories of all pairs at once, for the time of a round: what was done from a moment on at which all were under way. Every
/// story is told to its end.
async fn tell(pairs: &mut Vec<Pair>, heard: &Heard, round: Duration, lag: impl Fn() -> u64) -> Told {
    let [stories, lives] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    let abreast = pairs.len() as u64;
    let mut tellers = JoinSet::new();
    for mut pair in pairs.drain(..) {
        let (stories, lives, over) = (Arc::clone(&stories), Arc::clone(&lives), Arc::clone(&over));
        let heard = heard.clone();
        tellers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                pair.tell(&heard).await;
                stories.fetch_add(1, Ordering::Relaxed);
                lives.fetch_add(u64::try_from(began.elapsed().as_micros()).unwrap(), Ordering::Relaxed);
            }
            pair
        });
    }
    while stories.load(Ordering::Relaxed) < abreast * 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let now = || [&stories, &lives].map(|count| count.load(Ordering::Relaxed));
    let (before, tally, worked, began) = (now(), heard.tally(), processor_time(), Instant::now());
    tokio::time::sleep(round).await;
    let (after, tally, time) = (now(), heard.tally().since(&tally), began.elapsed());
    let (processor, lag) = (processor_time() - worked, lag());
    over.store(true, Ordering::Relaxed);
    while let Some(pair) = tellers.join_next().await {
        pairs.push(pair.unwrap());
    }
    let [stories, micros] = [0, 1].map(|place| after[place] - before[place]);
    Told { stories, tally, time, lives: Duration::from_micros(micros), processor, lag }
}
