//! One story: a job, a bid, a contract, a milestone paid for, worked on, approved, and paid out.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use commands::{
    Actor, Aggregate, Request,
    contract::{Contract, ContractCommand},
    job::{Job, JobCommand},
    payment::{Payment, PaymentCommand},
    payout::{Payout, PayoutCommand},
};
use events::{
    Category, Id, Money, Personal, StreamId,
    envelope::CommandHash,
    ids::{
        AccountId, CommandId, ContractId, JobId, KeyId, PaymentId, PaymentMethodId, PayoutDestinationId,
        PayoutId, WalletId,
    },
    personal::Sealed,
    vocabulary::{
        identity::Role,
        jobs::{BidTerms, Budget, ContractEvent, JobTerms, ProposedMilestone},
    },
};
use uuid::Uuid;

use super::house::House;

/// What the milestone costs, and what of it the worker gets. Minor units.
const PRICE: i64 = 50_000;
const NET: i64 = 45_000;

/// Two people of a story.
struct Story<'a> {
    house: &'a House,
    asked: &'a AtomicU64,
    client: Actor,
    worker: Actor,
    /// The worker's account.
    account: AccountId,
}

/// Tells one; `asked` counts the commands that people give.
pub(super) async fn tell(house: &House, asked: &AtomicU64) {
    let (client, account) = (AccountId::fresh(), AccountId::fresh());
    let worker = as_role(account, Role::Worker);
    let story = Story { house, asked, client: as_role(client, Role::Client), worker, account };
    let contract = story.hire().await;
    let payment = story.pay(contract).await;
    story.heard(Category::Payment, payment, "PaymentConfirmed").await;
    story.heard(Category::Contract, contract, "MilestoneFunded").await;
    story.work(contract).await;
    story.be_paid().await;
}

impl Story<'_> {
    /// A contract that both have signed.
    async fn hire(&self) -> ContractId {
        let [create, bid, accept] = [(); 3].map(|()| CommandId::fresh());
        let (job, contract): (JobId, ContractId) = (create.derive(0), accept.derive(0));
        let terms = JobTerms {
            title: "Paint the fence".to_owned(),
            description: "White, two coats".to_owned(),
            category: "painting".to_owned(),
            skills: vec!["brushes".to_owned()],
            budget: Budget { min: cedis(PRICE / 2), max: cedis(PRICE * 2) },
        };
        self.ask_as::<Job>(create, &self.client, job, JobCommand::Create { terms }).await;
        self.ask::<Job>(&self.client, job, JobCommand::Publish).await;
        let terms = BidTerms {
            amount: cedis(PRICE),
            milestones: vec![ProposedMilestone { title: "all of it".to_owned(), amount: cedis(PRICE) }],
            cover_letter: self.note(),
        };
        self.ask_as::<Job>(bid, &self.worker, job, JobCommand::SubmitBid { terms }).await;
        let command = JobCommand::AcceptBid { bid: bid.derive(0) };
        self.ask_as::<Job>(accept, &self.client, job, command).await;
        self.heard(Category::Contract, contract, "ContractProposed").await;
        self.ask::<Contract>(&self.client, contract, ContractCommand::Sign).await;
        self.ask::<Contract>(&self.worker, contract, ContractCommand::Sign).await;
        contract
    }

    async fn pay(&self, contract: ContractId) -> PaymentId {
        let command = ContractCommand::RequestFunding { milestone: 1 };
        let events = self.ask::<Contract>(&self.client, contract, command).await;
        let order = events.iter().find_map(|event| match event {
            ContractEvent::FundingRequested(requested) => requested.order.as_ref(),
            _ => None,
        });
        let payment = order.unwrap().payment;
        self.heard(Category::Payment, payment, "PaymentCreated").await;
        let attempt =
            PaymentCommand::Attempt { method: PaymentMethodId::fresh(), token: "pm_card".to_owned() };
        self.ask::<Payment>(&self.client, payment, attempt).await;
        payment
    }

    async fn work(&self, contract: ContractId) {
        let submit = ContractCommand::SubmitWork { milestone: 1, note: self.note() };
        self.ask::<Contract>(&self.worker, contract, submit).await;
        self.ask::<Contract>(&self.client, contract, ContractCommand::Approve { milestone: 1 }).await;
        self.heard(Category::Wallet, self.wallet(), "HoldReleased").await;
        self.heard(Category::Contract, contract, "ContractCompleted").await;
    }

    async fn be_paid(&self) {
        let payout = PayoutId::fresh();
        let (destination, token) = (PayoutDestinationId::fresh(), "ba_account".to_owned());
        let request = PayoutCommand::Request { amount: cedis(NET), destination, token };
        self.ask::<Payout>(&self.worker, payout, request).await;
        self.heard(Category::Payout, payout, "PayoutPaid").await;
        self.heard(Category::Wallet, self.wallet(), "WalletDebited").await;
    }

    fn wallet(&self) -> WalletId {
        WalletId::of(self.account, cedis(0).currency())
    }

    /// Something personal, as opaque as the real thing.
    fn note(&self) -> Personal<String> {
        let kid = KeyId::from_uuid(Uuid::from_u128(9));
        Personal::from_sealed(Sealed { subject: self.account, kid, sealed: "sealed".to_owned() })
    }

    async fn heard(&self, category: Category, id: impl Id, event: &'static str) {
        self.house.heard.until(StreamId::new(category, id), event).await;
    }

    async fn ask<A: Aggregate>(&self, by: &Actor, id: A::Id, command: A::Command) -> Vec<A::Event> {
        self.ask_as::<A>(CommandId::fresh(), by, id, command).await
    }

    async fn ask_as<A: Aggregate>(
        &self,
        command_id: CommandId,
        by: &Actor,
        id: A::Id,
        command: A::Command,
    ) -> Vec<A::Event> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let outcome = self.house.executor.execute(Request::<A> {
            id,
            command,
            command_id,
            command_hash: CommandHash([1; 16]),
            actor: by.clone(),
            expected: None,
            correlation_id: "a-benchmark".to_owned(),
            causation_id: None,
            traceparent: None,
        });
        outcome.await.unwrap().events
    }
}

fn as_role(account: AccountId, role: Role) -> Actor {
    Actor::Account { id: account, roles: BTreeSet::from([role]) }
}

fn cedis(minor: i64) -> Money {
    Money::new(minor, "GHS".parse().unwrap())
}
