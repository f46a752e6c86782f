//! The people, things and times that the specifications speak of.

use std::collections::BTreeSet;

use commands::Actor;
use events::{
    Category, Id, Money, Personal, StreamId, Timestamp,
    ids::{
        AccountId, BidId, CommandId, ContractId, EscrowId, HireId, HoldId, JobId, KeyId, LoginId, PaymentId,
        PayoutId, TransferId,
    },
    personal::Sealed,
    vocabulary::{
        identity::Role,
        jobs::{BidTerms, Budget, ContractTerms, JobTerms, ProposedMilestone},
    },
};
use uuid::Uuid;

pub const MINUTE_MS: i64 = 60_000;
pub const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// 2026-11-21T12:00:00Z.
pub fn noon() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().expect("a time")
}

pub fn noon_plus(millis: i64) -> Timestamp {
    noon().plus_millis(millis)
}

/// The `number`-th thing of a kind.
pub fn id<I: Id>(number: u128) -> I {
    I::from_uuid(Uuid::from_u128(number))
}

pub fn command_id(number: u128) -> CommandId {
    id(number)
}

/// Something about somebody; as opaque to a decider as the real thing.
pub fn sealed(subject: AccountId, text: &str) -> Personal<String> {
    Personal::from_sealed(Sealed { subject, kid: id::<KeyId>(9), sealed: text.to_owned() })
}

// ---- people ----

/// The client of the stories.
pub fn ama() -> AccountId {
    id(0xa)
}

/// Another client, a stranger to most things.
pub fn esi() -> AccountId {
    id(0xe)
}

/// The worker of the stories.
pub fn kofi() -> AccountId {
    id(0x1c)
}

/// Another worker.
pub fn yaw() -> AccountId {
    id(0x1f)
}

pub fn as_role(account: AccountId, role: Role) -> Actor {
    Actor::Account { id: account, roles: BTreeSet::from([role]) }
}

pub fn client(account: AccountId) -> Actor {
    as_role(account, Role::Client)
}

pub fn worker(account: AccountId) -> Actor {
    as_role(account, Role::Worker)
}

pub fn admin() -> Actor {
    as_role(id(0xad), Role::Admin)
}

pub fn process() -> Actor {
    Actor::Process { stream: StreamId::new(Category::Hire, id::<HireId>(7)) }
}

pub fn service() -> Actor {
    Actor::Service { name: "reports".to_owned() }
}

// ---- money and terms ----

pub fn money(minor: i64, currency: &str) -> Money {
    Money::new(minor, currency.parse().expect("a currency"))
}

pub fn cedis(minor: i64) -> Money {
    money(minor, "GHS")
}

pub fn job_terms() -> JobTerms {
    JobTerms {
        title: "Paint the fence".to_owned(),
        description: "White, two coats".to_owned(),
        category: "painting".to_owned(),
        skills: vec!["brushes".to_owned(), "patience".to_owned()],
        budget: Budget { min: cedis(10_000), max: cedis(50_000) },
    }
}

pub fn milestone(title: &str, amount: Money) -> ProposedMilestone {
    ProposedMilestone { title: title.to_owned(), amount }
}

/// Two milestones, 100 and 200 cedis.
pub fn bid_terms() -> BidTerms {
    BidTerms {
        amount: cedis(30_000),
        milestones: vec![milestone("first coat", cedis(10_000)), milestone("second coat", cedis(20_000))],
        cover_letter: sealed(kofi(), "I paint fences"),
    }
}

// ---- things ----

pub fn the_job() -> JobId {
    id(1)
}

pub fn the_bid() -> BidId {
    id(0xb1)
}

pub fn other_bid() -> BidId {
    id(0xb2)
}

pub fn the_contract() -> ContractId {
    id(0xc1)
}

pub fn the_login() -> LoginId {
    id(0x10)
}

/// What Ama and Kofi agree on.
pub fn contract_terms() -> ContractTerms {
    let BidTerms { amount, milestones, .. } = bid_terms();
    ContractTerms {
        job: the_job(),
        bid: the_bid(),
        client: ama(),
        worker: kofi(),
        title: job_terms().title,
        price: amount,
        milestones,
    }
}

// ---- money on its way ----

pub fn the_payment() -> PaymentId {
    id(0xd1)
}

pub fn the_escrow() -> EscrowId {
    EscrowId::of(the_contract(), 1)
}

pub fn the_payout() -> PayoutId {
    id(0xf1)
}

pub fn transfer(number: u128) -> TransferId {
    id(0x7000 + number)
}

pub fn hold(number: u128) -> HoldId {
    id(0x8000 + number)
}

/// The `ordinal`-th transfer that command 1 brings into the world.
pub fn fresh_transfer(ordinal: u32) -> TransferId {
    command_id(1).derive(ordinal)
}
