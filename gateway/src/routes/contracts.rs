//! Contracts: signed or declined by both sides, read by both.

use axum::extract::State;
use commands::contract::{Contract, ContractCommand};
use events::{
    Money, Timestamp, Version,
    ids::{AccountId, BidId, ContractId, JobId},
};
use garde::Validate;
use projections::{
    contract_detail::{self, ContractDetail, ContractDetails},
    status::{ContractStatus, MilestoneStatus},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    commanding::{NOTHING, Order},
    consistency::Seen,
    http::{
        Answer, Document, IfMatch, Intent, Path, Problem, Query, Route,
        cursor::{Items, Paging},
        get, post,
    },
    security::{Caller, Person},
};

/// Contracts.
pub fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/contracts", list).named("listContracts", "My contracts, newest first"),
        get("/api/v1/contracts/{contract}", one).named("getContract", "One contract, for its parties"),
        post("/api/v1/contracts/{contract}/sign", sign).named("signContract", "Sign it").rejects(),
        post("/api/v1/contracts/{contract}/decline", decline)
            .named("declineContract", "Refuse to sign it")
            .rejects(),
        post("/api/v1/contracts/{contract}/cancel", cancel)
            .named("cancelContract", "Call a signed contract off, while no money is in escrow")
            .rejects(),
    ]
}

/// Which contract.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub struct ContractPath {
    /// The contract.
    pub contract: ContractId,
}

/// What became of a contract.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ContractChanged {
    /// The contract.
    contract: ContractId,
    /// Its version after the command.
    version: Version,
}

async fn sign(
    State(app): State<App>,
    caller: Caller,
    Path(ContractPath { contract }): Path<ContractPath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
) -> Result<Answer<ContractChanged>, Problem> {
    command(&app, &caller, contract, expected, &intent, ContractCommand::Sign).await
}

async fn decline(
    State(app): State<App>,
    caller: Caller,
    Path(ContractPath { contract }): Path<ContractPath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
) -> Result<Answer<ContractChanged>, Problem> {
    command(&app, &caller, contract, expected, &intent, ContractCommand::Decline).await
}

async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(ContractPath { contract }): Path<ContractPath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
) -> Result<Answer<ContractChanged>, Problem> {
    command(&app, &caller, contract, expected, &intent, ContractCommand::Cancel).await
}

async fn command(
    app: &App,
    caller: &Caller,
    contract: ContractId,
    expected: Option<Version>,
    intent: &Intent,
    command: ContractCommand,
) -> Result<Answer<ContractChanged>, Problem> {
    let outcome = app
        .command::<Contract, _>(Order {
            intent,
            actor: &caller.actor,
            command_id: intent.command_id(&caller.actor),
            id: contract,
            command,
            expected,
            asked: &NOTHING,
        })
        .await?;
    let token = app.consistency_token::<Contract>(&intent.seen, contract, &outcome);
    let changed = ContractChanged { contract, version: outcome.version };
    Ok(Answer::new(changed).at(outcome.version).consistent(token))
}

/// A contract, as its parties see it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ContractItem {
    /// The contract.
    contract: ContractId,
    /// The job it follows from.
    job: JobId,
    /// The accepted bid.
    bid: BidId,
    /// Who pays.
    client: AccountId,
    /// Who works.
    worker: AccountId,
    /// The job's title at the award.
    title: String,
    /// The whole price.
    price: Money,
    /// The parts, in order.
    milestones: Vec<MilestoneItem>,
    /// Where it stands.
    status: ContractStatus,
    /// Who has signed, in order.
    signed_by: Vec<AccountId>,
    /// Who declined or cancelled it.
    ended_by: Option<AccountId>,
    /// When it was proposed.
    proposed_at: Timestamp,
    /// Unsigned by then, it expires.
    expires_at: Timestamp,
    /// When the last party signed.
    signed_at: Option<Timestamp>,
    /// When it was declined, cancelled, completed or expired.
    ended_at: Option<Timestamp>,
    /// Its version.
    version: Version,
}

/// One part of the work.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MilestoneItem {
    /// Its number, from 1.
    number: u32,
    /// One line.
    title: String,
    /// Its part of the price.
    amount: Money,
    /// Where it stands.
    status: MilestoneStatus,
    /// The last word about it; null when there is none, or its author was erased.
    note: Option<String>,
    /// Submitted work without an answer counts as approved then.
    review_until: Option<Timestamp>,
}

impl ContractItem {
    async fn of(app: &App, detail: ContractDetail) -> Result<Self, Problem> {
        let mut milestones = Vec::with_capacity(detail.milestones.len());
        for milestone in detail.milestones {
            let note = match &milestone.note {
                Some(note) => app.open(note).await?,
                None => None,
            };
            milestones.push(MilestoneItem {
                number: milestone.number,
                title: milestone.title,
                amount: milestone.amount,
                status: milestone.status,
                note,
                review_until: milestone.review_until,
            });
        }
        Ok(Self {
            contract: detail.contract,
            job: detail.job,
            bid: detail.bid,
            client: detail.client,
            worker: detail.worker,
            title: detail.title,
            price: detail.price,
            milestones,
            status: detail.status,
            signed_by: detail.signed_by,
            ended_by: detail.ended_by,
            proposed_at: detail.proposed_at,
            expires_at: detail.expires_at,
            signed_at: detail.signed_at,
            ended_at: detail.ended_at,
            version: detail.version,
        })
    }
}

async fn one(
    State(app): State<App>,
    person: Person,
    Path(ContractPath { contract }): Path<ContractPath>,
    seen: Seen,
) -> Result<Document<ContractItem>, Problem> {
    app.catch_up(seen, &ContractDetails).await?;
    let found = contract_detail::get(&*app.store, contract).await?;
    let detail = found.filter(|detail| detail.parties.contains(&person.id)).ok_or_else(Problem::not_found)?;
    let version = detail.version;
    Ok(Document(Answer::new(ContractItem::of(&app, detail).await?).at(version)))
}

/// Which of one's contracts.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ListContracts {
    /// Where the contract stands.
    #[garde(skip)]
    status: Option<ContractStatus>,
    /// At most this many, 20 unless said otherwise.
    #[garde(range(min = 1, max = 100))]
    #[schemars(range(min = 1, max = 100))]
    #[serde(skip_serializing)]
    limit: Option<u16>,
    /// `next` of the page before.
    #[garde(length(max = 1000))]
    #[serde(skip_serializing)]
    cursor: Option<String>,
}

async fn list(
    State(app): State<App>,
    person: Person,
    seen: Seen,
    Query(asked): Query<ListContracts>,
) -> Result<Answer<Items<ContractItem>>, Problem> {
    let paging = Paging::new(&app.links, "contracts", &person.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &ContractDetails).await?;
    let page = contract_detail::list(&*app.store, person.id, asked.status, request).await?;
    let Items { items, next } = paging.answer(page);
    let mut answered = Vec::with_capacity(items.len());
    for detail in items {
        answered.push(ContractItem::of(&app, detail).await?);
    }
    Ok(Answer::new(Items { items: answered, next }))
}
