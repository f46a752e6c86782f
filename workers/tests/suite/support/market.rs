//! A small marketplace on the real executor: accounts, jobs, bids, a clock that can be moved.

use std::{collections::BTreeSet, sync::Arc};

use commands::{
    Actor, Aggregate, Executor, ExecutorSettings, Outcome, Policy, Request,
    job::{Job, JobCommand},
    login::{Login, LoginCommand},
    test_clock::{TestClock, TestClockCommand, the_test_clock},
};
use events::{
    Id, Money, Personal,
    envelope::CommandHash,
    ids::{AccountId, BidId, CommandId, ContractId, JobId, KeyId, LoginId},
    keys::KeyRing,
    personal::Sealed,
    time::DomainClock,
    vocabulary::{
        identity::Role,
        jobs::{BidTerms, Budget, JobTerms, ProposedMilestone},
    },
};
use projections::ReadStore;
use uuid::Uuid;
use workers::{Managers, Processes, WorkerSettings, Workers};

use super::House;

pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub struct Market {
    pub house: House,
    pub executor: Executor,
    pub clock: DomainClock,
    pub keys: Arc<KeyRing>,
}

impl Drop for Market {
    /// Whatever still has the log has nothing left to do with it, and its threads go.
    fn drop(&mut self) {
        self.house.log.close();
    }
}

impl Market {
    /// Must be called within a tokio runtime.
    pub fn new() -> Self {
        let (house, clock) = (House::new(), DomainClock::new());
        let (log, policy) = (Arc::clone(&house.log), Arc::new(Policy::default()));
        let executor = Executor::start(log, policy, clock.clone(), None, ExecutorSettings::default());
        Self { house, executor, clock, keys: Arc::new(KeyRing::in_memory().unwrap()) }
    }

    pub fn managers(&self) -> Managers {
        Managers::new(self.executor.clone(), Arc::clone(&self.keys))
    }

    /// All workers of the product.
    pub fn workers(&self) -> Workers {
        self.workers_on(Arc::clone(&self.house.store))
    }

    pub fn workers_on(&self, store: Arc<dyn ReadStore>) -> Workers {
        self.workers_with(store, Arc::new(self.managers()))
    }

    pub fn workers_with(&self, store: Arc<dyn ReadStore>, processes: Arc<dyn Processes>) -> Workers {
        let settings = WorkerSettings { processes: true, ..super::settings() };
        let (log, clock) = (Arc::clone(&self.house.log), self.clock.clone());
        Workers::start(projections::all(), processes, None, log, store, clock, settings)
    }

    /// Carries a command out that must not be refused.
    pub async fn run<A: Aggregate>(
        &self,
        actor: Actor,
        id: A::Id,
        command_id: CommandId,
        command: A::Command,
    ) -> Outcome<A::Event> {
        let request = Request::<A> {
            id,
            command,
            command_id,
            command_hash: CommandHash([1; 16]),
            actor,
            expected: None,
            correlation_id: "a-request".to_owned(),
            causation_id: None,
            traceparent: None,
        };
        self.executor.execute(request).await.unwrap()
    }

    pub async fn state<A: Aggregate>(&self, id: A::Id) -> Arc<A> {
        self.executor.load::<A>(id).await.unwrap().state
    }

    /// Reserves an address for an account to be.
    pub async fn register(&self, number: u128) -> (LoginId, AccountId) {
        let (login, account) = (LoginId::from_uuid(Uuid::from_u128(number)), AccountId::fresh());
        let reserve = LoginCommand::Reserve {
            account,
            email: sealed(account),
            display_name: sealed(account),
            password_hash: sealed(account),
            roles: BTreeSet::from([Role::Client, Role::Worker]),
        };
        self.run::<Login>(Actor::System, login, CommandId::fresh(), reserve).await;
        (login, account)
    }

    /// A published job of `client`.
    pub async fn publish(&self, client: AccountId) -> JobId {
        let create = CommandId::fresh();
        let job: JobId = create.derive(0);
        let terms = JobTerms {
            title: "Paint the fence".to_owned(),
            description: "White, two coats".to_owned(),
            category: "painting".to_owned(),
            skills: vec!["brushes".to_owned()],
            budget: Budget { min: cedis(100), max: cedis(90_000) },
        };
        self.run::<Job>(as_role(client, Role::Client), job, create, JobCommand::Create { terms }).await;
        let publish = JobCommand::Publish;
        self.run::<Job>(as_role(client, Role::Client), job, CommandId::fresh(), publish).await;
        job
    }

    pub async fn bid(&self, worker: AccountId, job: JobId) -> BidId {
        let submit = CommandId::fresh();
        let terms = BidTerms {
            amount: cedis(500),
            milestones: vec![ProposedMilestone { title: "all of it".to_owned(), amount: cedis(500) }],
            cover_letter: sealed(worker),
        };
        self.run::<Job>(as_role(worker, Role::Worker), job, submit, JobCommand::SubmitBid { terms }).await;
        submit.derive(0)
    }

    /// Awards the job; the contract that is to follow.
    pub async fn accept(&self, client: AccountId, job: JobId, bid: BidId) -> ContractId {
        let accept = CommandId::fresh();
        self.run::<Job>(as_role(client, Role::Client), job, accept, JobCommand::AcceptBid { bid }).await;
        accept.derive(0)
    }

    /// Moves domain time forward, by an event.
    pub async fn advance(&self, by_ms: i64) {
        let advance = TestClockCommand::Advance { by_ms };
        self.run::<TestClock>(Actor::System, the_test_clock(), CommandId::fresh(), advance).await;
    }
}

pub fn as_role(account: AccountId, role: Role) -> Actor {
    Actor::Account { id: account, roles: BTreeSet::from([role]) }
}

fn cedis(minor: i64) -> Money {
    Money::new(minor, "GHS".parse().unwrap())
}

/// Something about somebody; as opaque to workers as the real thing.
pub fn sealed(subject: AccountId) -> Personal<String> {
    let kid = KeyId::from_uuid(Uuid::from_u128(9));
    Personal::from_sealed(Sealed { subject, kid, sealed: "sealed".to_owned() })
}
