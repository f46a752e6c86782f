//! Many marketplaces at once: each from a posted job to a signed contract, with progress and a rate.

use std::{sync::Arc, time::Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    Client, DemoError, Reply,
    cast::{Person, fresh_run, job, offer},
};

/// Accounts of each kind; password hashing is dear by design, so marketplaces share them.
const PEOPLE_MAX: u64 = 8;
/// Requests that make one marketplace: post, publish, two bids, revise, accept, two signatures, and the look-ups.
const COMMANDS_A_MARKETPLACE: u64 = 8;

/// Makes `count` marketplaces, `concurrency` at a time.
///
/// # Errors
/// The first answer that was not the expected one.
pub async fn run(client: &Client, count: u64, concurrency: u64) -> Result<(), DemoError> {
    let (clients, workers) = people(client, count.min(PEOPLE_MAX)).await?;
    let arrived = client.memory();
    let started = Instant::now();
    let progress = bar(count);
    let permits = Arc::new(Semaphore::new(concurrency as usize));
    let mut making = JoinSet::new();
    for number in 0..count {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
        while let Some(done) = making.try_join_next() {
            finish(done, &progress)?;
        }
        let memory = arrived.fork();
        let owner = clients[number as usize % clients.len()].remembering(&memory);
        let first = workers[number as usize % workers.len()].remembering(&memory);
        let second = workers[(number as usize + 1) % workers.len()].remembering(&memory);
        making.spawn(async move {
            let made = marketplace(&owner, &first, &second, number).await;
            drop(permit);
            made
        });
    }
    while let Some(done) = making.join_next().await {
        finish(done, &progress)?;
    }
    progress.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let rate = |n: u64| n as f64 / seconds;
    eprintln!(
        "{count} marketplaces in {seconds:.1} s: {:.1} marketplaces/s, {:.0} commands/s",
        rate(count),
        rate(count * COMMANDS_A_MARKETPLACE)
    );
    Ok(())
}

fn finish(
    done: Result<Result<(), DemoError>, tokio::task::JoinError>,
    progress: &ProgressBar,
) -> Result<(), DemoError> {
    progress.inc(1);
    done.unwrap_or_else(|error| Err(DemoError::Unexpected(format!("a marketplace broke off: {error}"))))
}

fn bar(count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} marketplaces  {per_sec}  {eta} left")
        .expect("the template is well-formed");
    ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::stderr()).with_style(style)
}

async fn people(client: &Client, each: u64) -> Result<(Vec<Person>, Vec<Person>), DemoError> {
    let run = fresh_run();
    let (mut clients, mut workers) = (Vec::new(), Vec::new());
    for number in 0..each {
        clients.push(Person::arrives(client, &format!("Client{number} Demo"), "client", &run).await?);
    }
    for number in 0..each.max(2) {
        workers.push(Person::arrives(client, &format!("Worker{number} Demo"), "worker", &run).await?);
    }
    Ok((clients, workers))
}

async fn marketplace(owner: &Person, first: &Person, second: &Person, number: u64) -> Result<(), DemoError> {
    let title = format!("Job number {number}");
    let posted = owner.does("/api/v1/jobs", job(&title, "One of many.", &["rust"], (10_000, 90_000))).await?;
    let id = posted.text("/job").to_owned();
    owner.does(&format!("/api/v1/jobs/{id}/publish"), json!({})).await?;
    let bids = format!("/api/v1/jobs/{id}/bids");
    let low = first.does(&bids, offer("I will do it.", &[("Half", 20_000), ("Rest", 20_000)])).await?;
    second.does(&bids, offer("So will I.", &[("All", 50_000)])).await?;
    let revised = offer("For less.", &[("Half", 15_000), ("Rest", 20_000)]);
    first.does(&format!("{bids}/{}/revise", low.text("/bid")), revised).await?;
    let accepted = owner.does(&format!("{bids}/{}/accept", low.text("/bid")), json!({})).await?;
    let contract = accepted.text("/contract").to_owned();
    let proposed = |reply: &Reply| reply.status.is_success().then_some(());
    first.sees("the contract is proposed", &format!("/api/v1/contracts/{contract}"), proposed).await?;
    first.does(&format!("/api/v1/contracts/{contract}/sign"), json!({})).await?;
    owner.does(&format!("/api/v1/contracts/{contract}/sign"), json!({})).await?;
    Ok(())
}
