//! MongoDB goes away and comes back: commands are taken all the while, reads are refused and say so, nothing is lost, and
//! everything recovers by itself; so it does when a database is dropped.

use std::time::{Duration, Instant};

use http::StatusCode;

use crate::{
    TURN,
    driver::member,
    harness::{Client, Member, job},
    process::Setup,
    stack::{Stack, fresh_databases},
};

const PATIENCE: Duration = Duration::from_secs(90);
/// How long all of it is away: long enough for every projector to have given up more than once.
const AWAY: Duration = Duration::from_secs(12);

async fn post(client: &Client, owner: &Member, count: usize) -> Vec<String> {
    let mut made = Vec::new();
    for _ in 0..count {
        let reply = client.call("POST", "/api/v1/jobs").by(owner).json(&job()).send().await;
        made.push(reply.expect(StatusCode::CREATED).header("location"));
    }
    made
}

/// Waits until every job can be read.
async fn until_read(client: &Client, owner: &Member, jobs: &[String]) {
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
async fn until_refused(client: &Client, owner: &Member, job: &str) {
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
    let setup = Setup::embedded(folder.path())
        .on_mongodb(&stack.brokers, &prefix)
        .with("READ_STORE__SELECTION_TIMEOUT_MS", "2000")
        .with("WORKERS__BACKOFF_MAX_MS", "1000");
    let process = setup.start().await;
    process.ready().await;
    let client = process.client();
    let owner = member(&client, "owner", "client").await;
    let mut jobs = post(&client, &owner, 3).await;
    until_read(&client, &owner, &jobs).await;

    for act in ["kill", "pause"] {
        for member in 1..=3 {
            stack.member_fault(act, member).await;
        }
        let gone = Instant::now();
        until_refused(&client, &owner, &jobs[0]).await;
        while gone.elapsed() < AWAY {
            jobs.extend(post(&client, &owner, 2).await);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let undo = if act == "kill" { "start" } else { "resume" };
        let undone: Vec<_> = (1..=3).map(|member| stack.member_fault(undo, member)).collect();
        futures_util::future::join_all(undone).await;
        let returned = Instant::now();
        until_read(&client, &owner, &jobs).await;
        eprintln!(
            "after {act}, {} jobs were read {:.2} s after the last member was back",
            jobs.len(),
            returned.elapsed().as_secs_f64()
        );
        process.ready().await;
    }
    process.stop();
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
