//! Reactions, steps and timers through the executor on a real log: carried through once, however often they are tried.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use commands::{
    Actor, Aggregate, CommandError, Executor, ExecutorSettings, Outcome, Policy, Rejection, Request,
    account::Account,
    contract::{Contract, ContractCommand, ContractStatus},
    hire::{self, Hire, PROPOSAL_TIMER},
    job::{Job, JobCommand, JobStatus},
    login::{Login, LoginCommand},
    process::{Origin, ProcessError, dispatch_step, dispatch_step_from, fire_timer, react},
    registration::{self, ABANDONED_TIMER, Registration},
};
use events::{
    Category, Id, Offset, Partition, RecordedEvent, StreamId,
    envelope::CommandHash,
    ids::{AccountId, BidId, CommandId, ContractId, JobId},
    log::{EventLog, LogOptions, ReadLimit},
    stream::BEFORE_FIRST,
    time::DomainClock,
    vocabulary::{
        StepChange,
        identity::{EmailReserved, LoginEvent, RegistrationResult, Role},
        jobs::{HireResult, JOB_EXPIRY_TIMER, JobEvent},
    },
};
use tempfile::TempDir;

use super::fixtures::*;

/// A server without its workers: the tests do their work.
struct Server {
    log: Arc<dyn EventLog>,
    executor: Executor,
    clock: DomainClock,
    told: Vec<(Partition, Offset)>,
    _folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = events::open(&LogOptions::embedded(folder.path())).expect("opens");
        let clock = DomainClock::new();
        let (policy, settings) = (Arc::new(Policy::default()), ExecutorSettings::default());
        let executor = Executor::start(Arc::clone(&log), policy, clock.clone(), None, settings);
        let told = log.partitions().into_iter().map(|partition| (partition, BEFORE_FIRST)).collect();
        Self { log, executor, clock, told, _folder: folder }
    }

    fn events_after(&self, partition: Partition, after: Offset) -> Vec<RecordedEvent> {
        let limit = ReadLimit { commits: 1_000, bytes: 1 << 20 };
        let commits = self.log.read(partition, after, limit).expect("reads");
        let events = commits.iter().flat_map(|commit| commit.events().expect("a batch"));
        events.map(|event| event.expect("decodes")).collect()
    }

    fn all_events(&self) -> Vec<RecordedEvent> {
        self.told.iter().flat_map(|(partition, _)| self.events_after(*partition, BEFORE_FIRST)).collect()
    }

    /// Tells the managers of what is new and carries out what they ask for, until nothing is new.
    async fn work(&mut self) {
        loop {
            let mut news = Vec::new();
            for (partition, after) in self.told.clone() {
                news.extend(self.events_after(partition, after));
            }
            if news.is_empty() {
                return;
            }
            for event in news {
                self.work_on(&event).await.expect("carried through");
                let of_partition =
                    |(partition, _): &&mut (Partition, Offset)| *partition == event.position.partition;
                self.told.iter_mut().find(of_partition).expect("a known partition").1 = event.position.offset;
            }
        }
    }

    async fn work_on(&self, event: &RecordedEvent) -> Result<(), ProcessError> {
        react(&self.executor, event).await?;
        if let Some(StepChange::Requested(number)) = event.payload.step_change() {
            dispatch_step_from(&self.executor, event.stream, number, &Origin::of(event)).await?;
        }
        Ok(())
    }

    async fn ask<A: Aggregate>(
        &self,
        id: A::Id,
        command: A::Command,
        actor: Actor,
    ) -> Result<Outcome<A::Event>, CommandError<A::Rejection>> {
        self.ask_as::<A>(CommandId::fresh(), id, command, actor).await
    }

    async fn ask_as<A: Aggregate>(
        &self,
        command_id: CommandId,
        id: A::Id,
        command: A::Command,
        actor: Actor,
    ) -> Result<Outcome<A::Event>, CommandError<A::Rejection>> {
        let request = Request {
            id,
            command,
            command_id,
            command_hash: CommandHash([1; 16]),
            actor,
            expected: None,
            correlation_id: "a request".to_owned(),
            causation_id: None,
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        };
        self.executor.execute::<A>(request).await
    }

    async fn load<A: Aggregate>(&self, id: A::Id) -> Arc<A> {
        self.executor.load::<A>(id).await.expect("loads").state
    }

    async fn reserve(&self) -> EmailReserved {
        let account = AccountId::fresh();
        let command = LoginCommand::Reserve {
            account,
            email: sealed(account, "e-mail"),
            display_name: sealed(account, "name"),
            password_hash: sealed(account, "password"),
            roles: BTreeSet::from([Role::Client]),
        };
        let actor = Actor::Account { id: account, roles: BTreeSet::new() };
        let outcome = self.ask::<Login>(the_login(), command, actor).await.expect("reserved");
        match outcome.events.into_iter().next() {
            Some(LoginEvent::EmailReserved(reserved)) => reserved,
            other => panic!("not a reservation: {other:?}"),
        }
    }

    /// A job with two bids, awarded to Kofi's.
    async fn award(&mut self) -> (JobId, ContractId) {
        let job = JobId::fresh();
        for command in [JobCommand::Create { terms: job_terms() }, JobCommand::Publish] {
            self.ask::<Job>(job, command, client(ama())).await.expect("accepted");
        }
        for by in [kofi(), yaw()] {
            let submit = JobCommand::SubmitBid { terms: bid_terms() };
            self.ask::<Job>(job, submit, worker(by)).await.expect("accepted");
        }
        let bid: BidId = {
            let state = self.load::<Job>(job).await;
            state.bids().find(|(_, bid)| bid.worker() == kofi()).expect("the bid").0
        };
        let outcome =
            self.ask::<Job>(job, JobCommand::AcceptBid { bid }, client(ama())).await.expect("accepted");
        let contract = match outcome.events.first() {
            Some(JobEvent::BidAccepted(accepted)) => accepted.contract,
            other => panic!("not an award: {other:?}"),
        };
        self.work().await;
        (job, contract)
    }

    async fn sign_by_both(&mut self, contract: ContractId) {
        for actor in [client(ama()), worker(kofi())] {
            self.ask::<Contract>(contract, ContractCommand::Sign, actor).await.expect("signed");
        }
        self.work().await;
    }

    async fn check_everything_again(&self) {
        let before = self.all_events();
        for event in &before {
            self.work_on(event).await.expect("carried through");
        }
        assert_eq!(self.all_events(), before, "nothing is done twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reserved_address_becomes_an_account_with_and_without_the_gateways_help() {
    for with_help in [true, false] {
        let mut server = Server::start();
        let reserved = server.reserve().await;
        let origin = Origin { correlation_id: "a request".to_owned(), causation_id: None, traceparent: None };
        let first_step = registration::first_step(the_login(), &reserved, origin);
        if with_help {
            let outcome = server.executor.execute(first_step.clone()).await.expect("registered");
            assert!(!outcome.repeated);
        }
        server.work().await;
        let instance = registration::instance_of(the_login(), reserved.account);
        assert_eq!(
            server.load::<Registration>(instance).await.result(),
            Some(RegistrationResult::Registered)
        );
        assert!(server.load::<Login>(the_login()).await.is_claimed());
        let account = server.executor.load::<Account>(reserved.account).await.expect("loads");
        assert_eq!((account.state.is_active(), account.version), (true, 1));
        // A gateway that comes after the manager is answered as if it had been the first.
        assert!(server.executor.execute(first_step).await.expect("registered").repeated);
        server.check_everything_again().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_free_again_when_the_account_was_given_up() {
    let mut server = Server::start();
    let reserved = server.reserve().await;
    let [event] = server.all_events().try_into().expect("one event");
    react(&server.executor, &event).await.expect("told");
    let instance = registration::instance_of(the_login(), reserved.account);
    let stream = StreamId::new(Category::Registration, instance);
    let now = server.clock.now();
    fire_timer(&server.executor, stream, ABANDONED_TIMER, now).await.expect("not due");
    server.clock.set_offset_ms(11 * MINUTE_MS);
    fire_timer(&server.executor, stream, ABANDONED_TIMER, now.plus_millis(10 * MINUTE_MS))
        .await
        .expect("fired");
    // The step that gives the account up is carried out before the one that registers it.
    dispatch_step(&server.executor, stream, 2).await.expect("carried out");
    server.work().await;
    assert_eq!(server.load::<Registration>(instance).await.result(), Some(RegistrationResult::Abandoned));
    assert_eq!(server.load::<Login>(the_login()).await.account(), None);
    assert!(!server.load::<Account>(reserved.account).await.is_registered());
    server.reserve().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_award_leads_to_a_contract_and_the_contracts_end_to_the_jobs() {
    let mut server = Server::start();
    let (job, contract) = server.award().await;
    assert_eq!(server.load::<Contract>(contract).await.status(), Some(ContractStatus::Proposed));
    let state = server.load::<Job>(job).await;
    assert_eq!(state.bids().filter(|(_, bid)| bid.is_active()).count(), 0);
    server.sign_by_both(contract).await;
    let fund = |milestone| ContractCommand::ConfirmFunding { milestone };
    server.ask::<Contract>(contract, fund(1), process()).await.expect("funded");
    server.work().await;
    assert_eq!(server.load::<Job>(job).await.status(), Some(JobStatus::InProgress));
    server.ask::<Contract>(contract, fund(2), process()).await.expect("funded");
    for milestone in [1, 2] {
        let submit = ContractCommand::SubmitWork { milestone, note: sealed(kofi(), "done") };
        server.ask::<Contract>(contract, submit, worker(kofi())).await.expect("submitted");
        let approve = ContractCommand::Approve { milestone };
        server.ask::<Contract>(contract, approve, client(ama())).await.expect("approved");
        let release = ContractCommand::Release { milestone };
        server.ask::<Contract>(contract, release, process()).await.expect("released");
    }
    server.work().await;
    assert_eq!(server.load::<Job>(job).await.status(), Some(JobStatus::Completed));
    let result = server.load::<Hire>(hire::instance_of(contract)).await.result();
    assert_eq!(result, Some(HireResult::Completed));
    server.check_everything_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_whose_time_is_over_reopens_the_job() {
    let mut server = Server::start();
    let (job, contract) = server.award().await;
    let stream = StreamId::new(Category::Hire, hire::instance_of(contract));
    let due_at = server.load::<Contract>(contract).await.expires_at().expect("proposed");
    let before = server.all_events();
    fire_timer(&server.executor, stream, PROPOSAL_TIMER, due_at).await.expect("too early");
    assert_eq!(server.all_events(), before);
    server.clock.set_offset_ms(7 * DAY_MS);
    for _ in 0..2 {
        fire_timer(&server.executor, stream, PROPOSAL_TIMER, due_at).await.expect("fired");
    }
    server.work().await;
    assert_eq!(server.load::<Contract>(contract).await.status(), Some(ContractStatus::Expired));
    assert_eq!(server.load::<Job>(job).await.status(), Some(JobStatus::Published));
    assert_eq!(server.load::<Hire>(hire::instance_of(contract)).await.result(), Some(HireResult::Reopened));
    fire_timer(&server.executor, stream, PROPOSAL_TIMER, due_at).await.expect("late");
    server.check_everything_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_job_expires_by_its_timer() {
    let server = Server::start();
    let job = JobId::fresh();
    for command in [JobCommand::Create { terms: job_terms() }, JobCommand::Publish] {
        server.ask::<Job>(job, command, client(ama())).await.expect("accepted");
    }
    let due_at = server.load::<Job>(job).await.expires_at().expect("published");
    let stream = StreamId::new(Category::Job, job);
    fire_timer(&server.executor, stream, JOB_EXPIRY_TIMER, due_at).await.expect("too early");
    assert_eq!(server.load::<Job>(job).await.status(), Some(JobStatus::Published));
    server.clock.set_offset_ms(30 * DAY_MS);
    for _ in 0..2 {
        fire_timer(&server.executor, stream, JOB_EXPIRY_TIMER, due_at).await.expect("fired");
    }
    assert_eq!(server.load::<Job>(job).await.status(), Some(JobStatus::Expired));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_leads_to_carries_its_correlation_trace_and_cause() {
    let mut server = Server::start();
    server.award().await;
    let events = server.all_events();
    let caused = events.iter().filter(|event| event.stamp.actor.starts_with("process:")).count();
    assert!(caused >= 5, "the hire, its steps and what they led to");
    for event in &events {
        assert_eq!(event.stamp.correlation_id, "a request");
        assert!(event.stamp.traceparent.is_some());
        let by_a_person = event.stamp.actor.starts_with("account:");
        assert_eq!(event.stamp.causation_id.is_none(), by_a_person);
        if let Some(cause) = event.stamp.causation_id {
            assert!(events.iter().any(|other| other.id == cause), "the cause is an event");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nobodys_is_poison_and_what_may_pass_is_retried() {
    let server = Server::start();
    let job = StreamId::new(Category::Job, JobId::fresh());
    let now = server.clock.now();
    let poison = |result| matches!(result, Err(ProcessError::Poison(_)));
    assert!(poison(dispatch_step(&server.executor, job, 1).await));
    assert!(poison(fire_timer(&server.executor, job, "tea", now).await));
    let account = StreamId { category: Category::Account, ..job };
    assert!(poison(fire_timer(&server.executor, account, JOB_EXPIRY_TIMER, now).await));
    let hire = StreamId { category: Category::Hire, ..job };
    assert!(poison(fire_timer(&server.executor, hire, "tea", now).await));
    assert_eq!(dispatch_step(&server.executor, hire, 1).await, Ok(()), "a step nobody asked for");
    server.executor.close(Duration::from_secs(5)).await;
    let late = fire_timer(&server.executor, hire, PROPOSAL_TIMER, now).await;
    assert!(matches!(late, Err(ProcessError::Retry(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_command_changes_nothing_twice() {
    let server = Server::start();
    let job = JobId::fresh();
    let story = [
        (JobCommand::Create { terms: job_terms() }, client(ama())),
        (JobCommand::Publish, client(ama())),
        (JobCommand::SubmitBid { terms: bid_terms() }, worker(kofi())),
        (JobCommand::SubmitBid { terms: bid_terms() }, worker(kofi())),
        (JobCommand::SubmitBid { terms: bid_terms() }, worker(yaw())),
        (JobCommand::Cancel, worker(yaw())),
        (JobCommand::Cancel, client(ama())),
    ];
    for (command, actor) in story {
        let command_id = CommandId::fresh();
        let first = server.ask_as::<Job>(command_id, job, command.clone(), actor.clone()).await;
        let version = server.executor.load::<Job>(job).await.expect("loads").version;
        let again = server.ask_as::<Job>(command_id, job, command, actor).await;
        match (first, again) {
            (Ok(first), Ok(again)) => {
                assert_eq!((first.events, first.version), (again.events, again.version));
                assert!(!first.repeated && again.repeated);
            }
            (Err(CommandError::Rejected(first)), Err(CommandError::Rejected(again))) => {
                assert_eq!(first.code(), again.code());
            }
            (first, again) => panic!("{first:?} and then {again:?}"),
        }
        assert_eq!(server.executor.load::<Job>(job).await.expect("loads").version, version);
    }
    assert_eq!(server.load::<Job>(job).await.status(), Some(JobStatus::Cancelled));
}

#[test]
fn a_hire_has_the_bits_of_its_contract() {
    assert_eq!(hire::instance_of(the_contract()).uuid(), the_contract().uuid());
}
