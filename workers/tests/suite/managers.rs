//! The process managers carry their stories through by themselves, once, whatever is lost or dies on the way.

use std::{sync::Arc, time::Duration};

use commands::{
    Actor,
    account::{Account, AccountCommand},
    contract::{Contract, ContractCommand, ContractStatus},
    hire::{self, Hire},
    job::{Job, JobStatus},
    login::Login,
    process::ProcessError,
    registration::{self, Registration},
};
use events::{
    Category, Personal, RecordedEvent, StreamId, Version,
    ids::{AccountId, CommandId},
    log::ReadLimit,
    personal::Opened,
    stream::BEFORE_FIRST,
    vocabulary::{
        Event,
        identity::{RegistrationResult, Role},
        jobs::{HireResult, JobEvent},
    },
};
use projections::{ReadStore, steps::OpenStep, timers::Timer};
use workers::{Processes, Workers, processes::ProcessFuture, rebuild_and_compare};

use crate::support::{
    faults::FaultyStore,
    market::{DAY_MS, Market, as_role},
    until, until_caught_up,
};

async fn until_registered(market: &Market, login: events::ids::LoginId) {
    until("the address is claimed", || async { market.state::<Login>(login).await.is_claimed() }).await;
}

/// A client, a worker and another one.
fn people() -> [AccountId; 3] {
    [AccountId::fresh(), AccountId::fresh(), AccountId::fresh()]
}

/// The job is awarded and the contract is there to be signed.
async fn until_proposed(market: &Market, contract: events::ids::ContractId) {
    until("the contract is proposed", || async {
        market.state::<Contract>(contract).await.status() == Some(ContractStatus::Proposed)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reserved_address_becomes_an_account() {
    let market = Market::new();
    let workers = market.workers();
    let (login, account) = market.register(1).await;
    until_registered(&market, login).await;
    assert!(market.state::<Account>(account).await.is_registered());
    let run = registration::instance_of(login, account);
    until("the registration is over", || async {
        market.state::<Registration>(run).await.result() == Some(RegistrationResult::Registered)
    })
    .await;
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_registration_frees_the_address() {
    let market = Market::new();
    // Nothing is dispatched at first, as if the step hung, until the registration has been given up.
    let gate = Arc::new(Gated { managers: market.managers(), open: Default::default() });
    let workers = market.workers_with(Arc::clone(&market.house.store), Arc::clone(&gate) as _);
    let (login, account) = market.register(1).await;
    until("the timer runs", || async {
        let page = projections::PageRequest::first(1);
        let timers = projections::timers::upcoming(market.house.store.as_ref(), page).await;
        timers.is_ok_and(|timers| timers.items.len() == 1)
    })
    .await;
    let abandon = AccountCommand::Abandon { login };
    market.run::<Account>(Actor::System, account, CommandId::fresh(), abandon).await;
    market.advance(11 * 60 * 1000).await;
    gate.open.store(true, std::sync::atomic::Ordering::SeqCst);
    until("the address is free", || async { market.state::<Login>(login).await.account().is_none() }).await;
    let run = registration::instance_of(login, account);
    until("the registration is over", || async {
        market.state::<Registration>(run).await.result() == Some(RegistrationResult::Abandoned)
    })
    .await;
    assert!(!market.state::<Account>(account).await.is_registered());
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_bid_becomes_a_proposed_contract() {
    let market = Market::new();
    let workers = market.workers();
    let [client, worker, other] = people();
    let job = market.publish(client).await;
    let (bid, loser) = (market.bid(worker, job).await, market.bid(other, job).await);
    let contract = market.accept(client, job, bid).await;
    until_proposed(&market, contract).await;
    until("the other bid is rejected", || async {
        let job = market.state::<Job>(job).await;
        job.bid(loser).is_some_and(|bid| !bid.is_active())
    })
    .await;
    for (account, role) in [(client, Role::Client), (worker, Role::Worker)] {
        let actor = as_role(account, role);
        market.run::<Contract>(actor, contract, CommandId::fresh(), ContractCommand::Sign).await;
    }
    until("no timer runs for the proposal", || async {
        let page = projections::PageRequest::first(100);
        let timers = projections::timers::upcoming(market.house.store.as_ref(), page).await.unwrap();
        timers.items.iter().all(|timer| timer.stream.category != Category::Hire)
    })
    .await;
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_that_nobody_signs_expires_and_the_job_is_reopened() {
    let market = Market::new();
    let workers = market.workers();
    let [client, worker, _] = people();
    let job = market.publish(client).await;
    let bid = market.bid(worker, job).await;
    let contract = market.accept(client, job, bid).await;
    until_proposed(&market, contract).await;
    market.advance(6 * DAY_MS).await;
    until_caught_up(&workers, market.house.log.as_ref()).await;
    assert_eq!(market.state::<Contract>(contract).await.status(), Some(ContractStatus::Proposed));
    market.advance(2 * DAY_MS).await;
    until("the contract has expired", || async {
        market.state::<Contract>(contract).await.status() == Some(ContractStatus::Expired)
    })
    .await;
    until("the hire is over", || async {
        market.state::<Hire>(hire::instance_of(contract)).await.result() == Some(HireResult::Reopened)
    })
    .await;
    assert_eq!(market.state::<Job>(job).await.status(), Some(JobStatus::Published));
    assert_eq!(market.clock.offset_ms(), 8 * DAY_MS);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_job_without_an_award_expires() {
    let market = Market::new();
    let workers = market.workers();
    let job = market.publish(AccountId::fresh()).await;
    market.advance(31 * DAY_MS).await;
    until("the job has expired", || async {
        market.state::<Job>(job).await.status() == Some(JobStatus::Expired)
    })
    .await;
    workers.shutdown().await;
}

/// The last version of every stream on the log.
fn heads(market: &Market) -> Vec<(StreamId, Version)> {
    let log = &market.house.log;
    let mut heads = std::collections::BTreeMap::new();
    for partition in log.partitions() {
        let all = ReadLimit { commits: 100_000, bytes: usize::MAX };
        for commit in log.read(partition, BEFORE_FIRST, all).unwrap() {
            heads.insert(commit.stream, commit.last_version());
        }
    }
    heads.into_iter().collect()
}

/// A whole story: registrations, an award, a proposal that expires, another award.
async fn tell_a_story(market: &Market) {
    let [client, worker, other] = people();
    for number in 0..3 {
        let (login, _) = market.register(number).await;
        until_registered(market, login).await;
    }
    let job = market.publish(client).await;
    let bid = market.bid(worker, job).await;
    let contract = market.accept(client, job, bid).await;
    until_proposed(market, contract).await;
    market.advance(8 * DAY_MS).await;
    until("the job is reopened", || async {
        market.state::<Hire>(hire::instance_of(contract)).await.result() == Some(HireResult::Reopened)
    })
    .await;
    let bid = market.bid(other, job).await;
    let contract = market.accept(client, job, bid).await;
    until_proposed(market, contract).await;
}

/// Nothing is open, nothing is due, everything is read, and it stays so.
async fn until_settled(market: &Market, workers: &Workers, store: &dyn ReadStore) {
    until("all is settled", || async {
        until_caught_up(workers, market.house.log.as_ref()).await;
        let before = heads(market);
        let page = || projections::PageRequest::first(10);
        let open = projections::steps::open(store, page()).await.unwrap();
        let due = projections::timers::due(store, market.clock.now(), page()).await.unwrap();
        until_caught_up(workers, market.house.log.as_ref()).await;
        open.items.is_empty() && due.items.is_empty() && before == heads(market)
    })
    .await;
}

async fn assert_read_models_are_what_the_log_says(market: &Market, store: &dyn ReadStore) {
    for projection in projections::all() {
        let name = format!("scratch-{}-{}", projection.name(), uuid());
        let scratch = market.house.another_store(&name);
        let log = Arc::clone(&market.house.log);
        let differences = rebuild_and_compare(projection, log, store, scratch, 10).await.unwrap();
        let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "{told:#?}");
    }
}

fn uuid() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_store_that_was_deleted_comes_back_and_nothing_happens_twice() {
    let market = Market::new();
    let workers = market.workers();
    tell_a_story(&market).await;
    until_settled(&market, &workers, market.house.store.as_ref()).await;
    workers.shutdown().await;
    assert_read_models_are_what_the_log_says(&market, market.house.store.as_ref()).await;

    let before = heads(&market);
    let fresh = market.house.another_store("fresh");
    let workers = market.workers_on(Arc::clone(&fresh));
    until_caught_up(&workers, market.house.log.as_ref()).await;
    until_settled(&market, &workers, fresh.as_ref()).await;
    workers.shutdown().await;
    assert_eq!(heads(&market), before, "a rebuild wrote events");
    assert_read_models_are_what_the_log_says(&market, fresh.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_die_again_and_again_on_a_failing_store_still_tell_the_story_once() {
    for seed in 0..2 {
        let market = Arc::new(Market::new());
        let telling = tokio::spawn({
            let market = Arc::clone(&market);
            async move { tell_a_story(&market).await }
        });
        let mut lives = 0_u64;
        while !telling.is_finished() {
            let store = Arc::clone(&market.house.store);
            // Each lives longer than the one before, so that the story has an end.
            let workers = match lives % 2 {
                0 => market.workers_on(FaultyStore::random(store, seed * 1000 + lives, 10)),
                _ => market.workers_on(FaultyStore::crash(store, 100 + lives * 50, seed == 1)),
            };
            tokio::time::sleep(Duration::from_millis(2 + 8 * lives)).await;
            drop(workers);
            lives += 1;
        }
        telling.await.unwrap();
        let workers = market.workers();
        until_settled(&market, &workers, market.house.store.as_ref()).await;
        workers.shutdown().await;
        assert!(lives > 2, "seed {seed}: only {lives} lives");
        assert_read_models_are_what_the_log_says(&market, market.house.store.as_ref()).await;
        assert_eq!(count(&market, |event| matches!(event, Event::Job(JobEvent::JobReopened(_)))), 1);
        assert_eq!(count(&market, |event| matches!(event, Event::Job(JobEvent::BidAccepted(_)))), 2);
    }
}

fn count(market: &Market, wanted: impl Fn(&Event) -> bool) -> usize {
    let log = &market.house.log;
    let all = ReadLimit { commits: 100_000, bytes: usize::MAX };
    let commits = log.partitions().into_iter().flat_map(|p| log.read(p, BEFORE_FIRST, all).unwrap());
    commits.flat_map(|c| c.events().unwrap()).filter(|event| wanted(&event.as_ref().unwrap().payload)).count()
}

/// Managers whose steps hang until the gate is opened.
struct Gated {
    managers: workers::Managers,
    open: std::sync::atomic::AtomicBool,
}

impl Processes for Gated {
    fn react<'a>(&'a self, event: &'a RecordedEvent) -> ProcessFuture<'a> {
        self.managers.react(event)
    }
    fn dispatch<'a>(&'a self, step: &'a OpenStep) -> ProcessFuture<'a> {
        if self.open.load(std::sync::atomic::Ordering::SeqCst) {
            return self.managers.dispatch(step);
        }
        Box::pin(async { Err(ProcessError::Retry("the gate is closed".to_owned())) })
    }
    fn fire<'a>(&'a self, timer: &'a Timer) -> ProcessFuture<'a> {
        self.managers.fire(timer)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_erased_can_no_longer_be_read_and_others_can() {
    let market = Market::new();
    let workers = market.workers();
    let (login, account) = market.register(1).await;
    until_registered(&market, login).await;
    let hers = Personal::seal(&market.keys, account, &"Ama".to_owned()).unwrap();
    let his = Personal::seal(&market.keys, AccountId::fresh(), &"Kofi".to_owned()).unwrap();
    let as_herself = as_role(account, Role::Client);
    market.run::<Account>(as_herself, account, CommandId::fresh(), AccountCommand::Erase).await;
    until("her name is gone", || async { hers.open(&market.keys) == Ok(Opened::Erased) }).await;
    assert_eq!(his.open(&market.keys), Ok(Opened::Value("Kofi".to_owned())));
    workers.shutdown().await;
}
