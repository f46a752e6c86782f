//! Whole stories, from a posted job to the money at the worker's bank, against bare commands on the same embedded log.
//!
//! In a story everything works that works in the product: process managers, timers, effects, every projection, and a sandbox
//! provider over HTTP that answers by signed webhooks. Nothing waits on the clock: what is earned is held for no time, and
//! batches of payouts go every millisecond. 32 stories are told at once, each told anew when it has ended; 32 clients execute
//! bare commands on the same log while no worker runs.
//!
//! A story is worth the commands that it makes: those of its people, what the provider tells, what managers are told, the steps
//! they ask for, and the outcomes of these; each is a command that wrote. So the ratio says how much of what the log and the
//! executor can do is left for them when everything that follows from a command is done as well. How many of them people and
//! provider gave and managers asked for is told beside.
//!
//! `GUILDHALL_BENCH_SECONDS` is the length of a round (5), `GUILDHALL_BENCH_ROUNDS` their number (5), `GUILDHALL_BENCH_STORIES` how
//! many are told at once (32). The ratio is the median of the rounds' ratios.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]
#![allow(clippy::print_stdout, reason = "its figures are its output")]
#![allow(clippy::float_arithmetic, reason = "rates and ratios")]

mod bare;
mod heard;
mod house;
mod story;
mod webhooks;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use heard::Tally;
use house::House;

/// The product's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let round = Duration::from_secs(setting("GUILDHALL_BENCH_SECONDS", 5));
    let rounds = setting("GUILDHALL_BENCH_ROUNDS", 5).max(1);
    let abreast = setting("GUILDHALL_BENCH_STORIES", 32).max(1);
    println!("{abreast} stories and {abreast} clients at once, rounds of {} s", round.as_secs());
    let house = Arc::new(House::open().await);
    let mut ratios = Vec::new();
    for number in 0..=rounds {
        let bare = bare::measure(&house, abreast, round).await;
        let told = tell(&house, abreast, round).await;
        let ratio = told.commands_a_second() / bare;
        println!("  round {number}: bare {bare:.0} commands/s, {told}: {ratio:.3}");
        // The first round warms everything up.
        if number > 0 {
            ratios.push(ratio);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("ratio story_vs_bare_commands {:.3} goal >= 0.5", ratios[ratios.len() / 2]);
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// What a round of stories came to.
struct Told {
    stories: u64,
    /// Commands that people gave.
    asked: u64,
    tally: Tally,
    time: Duration,
    /// From the first command to the last event of a story, all together.
    lives: Duration,
}

impl Told {
    fn commands_a_second(&self) -> f64 {
        self.tally.commands as f64 / self.time.as_secs_f64()
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = |count: u64| count as f64 / self.stories.max(1) as f64;
        let Tally { commands, events, steps, receipts } = self.tally;
        write!(
            f,
            "{:.1} stories/s of {:.0} commands ({:.0} events; people, provider and steps: {:.0}) in {:.0} ms each",
            self.stories as f64 / self.time.as_secs_f64(),
            each(commands),
            each(events),
            each(self.asked + receipts + steps),
            self.lives.as_secs_f64() * 1000.0 / self.stories.max(1) as f64,
        )
    }
}

/// Stories, so many at once, for the time of a round: what was done from a moment on at which all were under way.
async fn tell(house: &Arc<House>, abreast: u64, round: Duration) -> Told {
    let workers = Arc::new(house.work().await);
    let [stories, asked, lives] = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
    let tellers: Vec<_> = (0..abreast)
        .map(|_| {
            let house = Arc::clone(house);
            let (stories, asked, lives) = (Arc::clone(&stories), Arc::clone(&asked), Arc::clone(&lives));
            tokio::spawn(async move {
                loop {
                    let began = Instant::now();
                    story::tell(&house, &asked).await;
                    stories.fetch_add(1, Ordering::Relaxed);
                    let micros = u64::try_from(began.elapsed().as_micros()).unwrap();
                    lives.fetch_add(micros, Ordering::Relaxed);
                }
            })
        })
        .collect();
    while stories.load(Ordering::Relaxed) < abreast * 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let now = || [&stories, &asked, &lives].map(|count| count.load(Ordering::Relaxed));
    let (before, tally, began) = (now(), house.heard.tally(), Instant::now());
    tokio::time::sleep(round).await;
    let (after, tally, time) = (now(), house.heard.tally().since(&tally), began.elapsed());
    tellers.iter().for_each(|teller| teller.abort());
    workers.shutdown().await;
    house.heard.forget();
    let [stories, asked, micros] = [0, 1, 2].map(|place| after[place] - before[place]);
    Told { stories, asked, tally, time, lives: Duration::from_micros(micros) }
}
