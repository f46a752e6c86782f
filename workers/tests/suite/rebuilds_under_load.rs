//! A read model in MongoDB is rebuilt and swapped while hundreds of commands a second change it: no reader ever sees an older
//! answer after a newer one, and the memory of the process does not grow with what it has read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use commands::job::{Job, JobCommand};
use events::{
    Money,
    ids::{AccountId, CommandId, JobId},
    vocabulary::{
        identity::Role,
        jobs::{Budget, JobTerms},
    },
};
use projections::{Projection, ReadStore, board::Board, job_detail, job_detail::JobDetails, open};
use workers::{WorkerSettings, Workers, rebuild_and_compare};

use crate::support::{
    Nobody,
    market::{Market, as_role},
    mongodb::fresh,
    rebuilds::until_live,
    settings, until_caught_up,
};

/// Jobs that are edited in turns.
const JOBS: usize = 40;
/// Commands a second that are sent.
const RATE: u64 = 500;
/// Sent at once, every so often.
const TOGETHER: u64 = 10;
/// Commands there are before anything is rebuilt.
const BEFORE: u64 = 3000;
const READERS: usize = 4;
const REBUILDS: u32 = 3;

/// A market whose clients never rest.
struct Busy {
    market: Market,
    client: AccountId,
    jobs: Vec<JobId>,
    sent: AtomicU64,
}

fn terms(number: u64) -> JobTerms {
    let cedis = |minor| Money::new(minor, "GHS".parse().unwrap());
    JobTerms {
        title: format!("Paint fence number {number}"),
        description: "White, two coats, and the gate as well".to_owned(),
        category: "painting".to_owned(),
        skills: vec!["brushes".to_owned()],
        budget: Budget { min: cedis(100), max: cedis(90_000) },
    }
}

impl Busy {
    async fn open() -> Arc<Self> {
        let (market, client) = (Market::new(), AccountId::fresh());
        let mut jobs = Vec::new();
        for number in 0..JOBS {
            let create = CommandId::fresh();
            let job: JobId = create.derive(0);
            let command = JobCommand::Create { terms: terms(number as u64) };
            market.run::<Job>(as_role(client, Role::Client), job, create, command).await;
            jobs.push(job);
        }
        Arc::new(Self { market, client, jobs, sent: AtomicU64::new(0) })
    }

    /// One command more.
    async fn edit(&self) {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let job = self.jobs[usize::try_from(number).unwrap() % JOBS];
        let command = JobCommand::Edit { terms: terms(number) };
        self.market.run::<Job>(as_role(self.client, Role::Client), job, CommandId::fresh(), command).await;
    }

    /// So many at once.
    async fn edit_together(self: &Arc<Self>, commands: u64) {
        let mut sent = tokio::task::JoinSet::new();
        for _ in 0..commands {
            let busy = Arc::clone(self);
            sent.spawn(async move { busy.edit().await });
        }
        while let Some(done) = sent.join_next().await {
            done.unwrap();
        }
    }

    /// Sends commands at the rate until it is told to end; what is late is sent all the same.
    async fn never_rest(self: Arc<Self>, ended: Arc<AtomicBool>) {
        let mut beat = tokio::time::interval(Duration::from_millis(1000 * TOGETHER / RATE));
        while !ended.load(Ordering::SeqCst) {
            beat.tick().await;
            self.edit_together(TOGETHER).await;
        }
    }

    fn workers(&self, store: &Arc<dyn ReadStore>) -> Workers {
        let projections: Vec<Arc<dyn Projection>> = vec![Arc::new(JobDetails), Arc::new(Board)];
        // Builds are given up at once: no query of this test takes long.
        let settings = WorkerSettings { batch_commits_max: 500, builds_drop_after_ms: 1, ..settings() };
        let (log, clock) = (Arc::clone(&self.market.house.log), self.market.clock.clone());
        Workers::start(projections, Arc::new(Nobody), None, log, Arc::clone(store), clock, settings)
    }
}

/// Reads jobs for ever, and sees none go back; how often.
async fn read(busy: Arc<Busy>, store: Arc<dyn ReadStore>, ended: Arc<AtomicBool>) -> u64 {
    let (mut newest, mut reads) = (vec![0; JOBS], 0);
    while !ended.load(Ordering::SeqCst) {
        for (job, newest) in busy.jobs.iter().zip(&mut newest) {
            let version =
                job_detail::get(store.as_ref(), *job).await.unwrap().map_or(0, |found| found.version);
            assert!(version >= *newest, "{job}: {version} after {newest}");
            *newest = version;
            reads += 1;
        }
    }
    reads
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    kib.and_then(|kib| kib.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the stack"]
async fn no_reader_sees_an_older_answer_while_a_read_model_is_swapped_under_five_hundred_commands_a_second() {
    let (busy, fresh) = (Busy::open().await, fresh());
    let store = open(&fresh.options).unwrap();
    for _ in 0..BEFORE / 100 {
        busy.edit_together(100).await;
    }
    let workers = busy.workers(&store);
    let log = Arc::clone(&busy.market.house.log);
    until_caught_up(&workers, log.as_ref()).await;
    let (ended, began, before) = (Arc::new(AtomicBool::new(false)), Instant::now(), resident_mib());
    let sending = tokio::spawn(Arc::clone(&busy).never_rest(Arc::clone(&ended)));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(read(Arc::clone(&busy), Arc::clone(&store), Arc::clone(&ended)));
    }
    let first = JobDetails.id();
    let mut old = first.clone();
    for number in 1..=REBUILDS {
        let rebuilt = workers.builds().rebuild(JobDetails.name(), "a test", true).await.unwrap();
        assert_eq!(rebuilt, first.with_build(number));
        until_live(&workers, &rebuilt).await;
        eprintln!(
            "swapped {:.1} s after the beginning, {} MiB",
            began.elapsed().as_secs_f64(),
            resident_mib()
        );
        workers.builds().drop_build(&old).await.unwrap();
        old = rebuilt;
    }
    ended.store(true, Ordering::SeqCst);
    sending.await.unwrap();
    let mut reads = 0;
    while let Some(read) = readers.join_next().await {
        reads += read.unwrap();
    }
    let sent = busy.sent.load(Ordering::Relaxed) - BEFORE;
    eprintln!(
        "{:.0} commands a second, {reads} reads, {before} MiB before and {} MiB after {REBUILDS} rebuilds",
        sent as f64 / began.elapsed().as_secs_f64(),
        resident_mib()
    );
    assert!(reads > 100 && sent > 500, "{reads} reads beside {sent} commands: this test has gone blind");
    until_caught_up(&workers, log.as_ref()).await;
    workers.shutdown().await;
    for projection in [Arc::new(JobDetails) as Arc<dyn Projection>, Arc::new(Board)] {
        let scratch = busy.market.house.another_store(&format!("scratch-{}", projection.name()));
        let compared = rebuild_and_compare(projection, Arc::clone(&log), store.as_ref(), scratch, 3).await;
        assert_eq!(compared.unwrap(), []);
    }
    fresh.clear().await;
}
