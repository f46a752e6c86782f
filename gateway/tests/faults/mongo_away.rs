//! MongoDB goes away and comes back: commands are taken all the while, reads are refused and say so, nothing is lost, and
//! everything recovers by itself; so it does when a database is dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::StatusCode;

use crate::{
    TURN, crash,
    driver::member,
    harness::{Client, Member, job},
    process::Setup,
    stack::{Stack, databases, fresh_databases},
};

const PATIENCE: Duration = Duration::from_secs(90);
const CLIENTS: usize = 4;

/// How long all of it is away: long enough for every projector to have given up more than once, or as many seconds as `AWAY_S`
/// says.
fn away() -> Duration {
    let seconds = std::env::var("AWAY_S").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(15))
}

pub(crate) async fn post(client: &Client, owner: &Member, count: usize) -> Vec<String> {
    let mut made = Vec::new();
    for _ in 0..count {
        let reply = client.call("POST", "/api/v1/jobs").by(owner).json(&job()).send().await;
        made.push(reply.expect(StatusCode::CREATED).header("location"));
    }
    made
}

/// Posts jobs until it is told to end, and never in vain; where they are found.
pub(crate) async fn keep_posting(client: Client, owner: Member, ended: Arc<AtomicBool>) -> Vec<String> {
    let mut made = Vec::new();
    while !ended.load(Ordering::SeqCst) {
        made.extend(post(&client, &owner, 1).await);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    made
}

/// Waits until every job can be read.
pub(crate) async fn until_read(client: &Client, owner: &Member, jobs: &[String]) {
    let since = Instant::now();
    for job in jobs {
        loop {
            let read = client.call("GET", job).by(owner).send().await;
            if read.status == StatusCode::OK {
                break;
            }
            assert!(since.elapsed() < PATIENCE, "{job}: {}", read.raw);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The server answers 503 for what it would have to read, and goes on answering.
pub(crate) async fn until_refused(client: &Client, owner: &Member, job: &str) {
    let since = Instant::now();
    loop {
        let read = client.call("GET", job).by(owner).send().await;
        if read.status == StatusCode::SERVICE_UNAVAILABLE {
            read.problem(503, "unavailable");
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{}", read.raw);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stack"]
async fn while_mongodb_is_away_commands_go_on_and_everything_recovers_by_itself() {
    let _turn = TURN.lock().await;
    let (stack, prefix) = (Stack::of_three_members().await, fresh_databases());
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::embedded(folder.path()).on_mongodb(&stack.brokers, &prefix).quick_to_notice();
    let process = setup.start().await;
    process.ready().await;
    let client = process.client();
    let mut owners = Vec::new();
    for number in 0..CLIENTS {
        owners.push(member(&client, &format!("owner-{number}"), "client").await);
    }
    let first = post(&client, &owners[0], 3).await;
    until_read(&client, &owners[0], &first).await;

    for act in ["kill", "pause"] {
        let ended = Arc::new(AtomicBool::new(false));
        let posting =
            |owner: &Member| tokio::spawn(keep_posting(client.clone(), owner.clone(), Arc::clone(&ended)));
        let load: Vec<_> = owners.iter().map(posting).collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        for member in 1..=3 {
            stack.member_fault(act, member).await;
        }
        let gone = Instant::now();
        until_refused(&client, &owners[0], &first[0]).await;
        tokio::time::sleep(away().saturating_sub(gone.elapsed())).await;
        let undo = if act == "kill" { "start" } else { "resume" };
        let undone: Vec<_> = (1..=3).map(|member| stack.member_fault(undo, member)).collect();
        futures_util::future::join_all(undone).await;
        let returned = Instant::now();
        until_read(&client, &owners[0], &first).await;
        let read = returned.elapsed();
        ended.store(true, Ordering::SeqCst);
        let mut jobs = 0;
        for (owner, posted) in owners.iter().zip(load) {
            let posted = posted.await.unwrap();
            until_read(&client, owner, &posted).await;
            jobs += posted.len();
        }
        eprintln!(
            "{act}, {:.0} s away: read again {:.2} s after the last member was back, all {jobs} jobs posted meanwhile after {:.2} s",
            gone.elapsed().saturating_sub(returned.elapsed()).as_secs_f64(),
            read.as_secs_f64(),
            returned.elapsed().as_secs_f64()
        );
        process.ready().await;
    }
    process.stop();
    crash::rebuilt_read_models_are_the_same(folder.path(), &databases(&stack.brokers, &prefix)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stack"]
async fn a_process_that_starts_while_mongodb_is_away_waits_for_it() {
    let _turn = TURN.lock().await;
    let (stack, prefix) = (Stack::of_three_members().await, fresh_databases());
    let folder = tempfile::tempdir().unwrap();
    for member in 1..=3 {
        stack.member_fault("kill", member).await;
    }
    let setup = Setup::embedded(folder.path()).on_mongodb(&stack.brokers, &prefix);
    let starting = tokio::spawn(async move { setup.start().await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!starting.is_finished(), "it serves without a read store");
    let started: Vec<_> = (1..=3).map(|member| stack.member_fault("start", member)).collect();
    futures_util::future::join_all(started).await;
    let process = starting.await.unwrap();
    process.ready().await;
    process.stop();
}
