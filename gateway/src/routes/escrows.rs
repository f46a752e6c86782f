//! Escrows: where the money of each milestone is kept, for its contract's parties to look at.

use axum::extract::State;
use commands::{
    Loaded,
    contract::Contract,
    escrow::{Escrow, EscrowStatus},
};
use events::{
    Money, Version,
    ids::{AccountId, ContractId, EscrowId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::contracts::ContractPath;
use crate::{
    app::App,
    consistency::Seen,
    http::{Answer, Document, Path, Problem, Route, get},
    security::Caller,
};

/// Escrows.
pub fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/escrows/{escrow}", one).named("getEscrow", "One milestone's money, for the parties"),
        get("/api/v1/contracts/{contract}/escrows", of_contract)
            .named("listContractEscrows", "The money of each milestone that was ever to be funded, in order"),
    ]
}

/// Which escrow.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub struct EscrowPath {
    /// The escrow.
    escrow: EscrowId,
}

/// One milestone's money: held = funded − released − refunded.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EscrowItem {
    /// The escrow.
    escrow: EscrowId,
    /// The contract.
    contract: ContractId,
    /// The milestone's number, from 1.
    milestone: u32,
    /// Who pays.
    client: AccountId,
    /// Who is paid.
    worker: AccountId,
    /// What the milestone costs.
    amount: Money,
    /// The platform's share of what is released, in 1/10 000.
    fee_basis_points: u32,
    /// Where it stands.
    status: EscrowStatus,
    /// What came.
    funded: Money,
    /// What went to the worker, fees included.
    released: Money,
    /// What went back.
    refunded: Money,
    /// What is here now.
    held: Money,
    /// Its version.
    version: Version,
}

impl EscrowItem {
    fn of(escrow: EscrowId, loaded: &Loaded<Escrow>) -> Option<Self> {
        let (state, version) = (&loaded.state, loaded.version);
        let opened = state.opened()?;
        Some(Self {
            escrow,
            contract: opened.contract,
            milestone: opened.milestone,
            client: opened.client,
            worker: opened.worker,
            amount: opened.amount,
            fee_basis_points: opened.fee_basis_points,
            status: state.status()?,
            funded: state.funded()?,
            released: state.released()?,
            refunded: state.refunded()?,
            held: state.held()?,
            version,
        })
    }
}

async fn one(
    State(app): State<App>,
    caller: Caller,
    Path(EscrowPath { escrow }): Path<EscrowPath>,
    _: Seen,
) -> Result<Document<EscrowItem>, Problem> {
    let item = EscrowItem::of(escrow, &app.executor.load::<Escrow>(escrow).await?);
    let item = item.filter(|item| caller.may_see(&[item.client, item.worker]));
    let item = item.ok_or_else(Problem::not_found)?;
    let version = item.version;
    Ok(Document(Answer::new(item).at(version)))
}

/// All of a contract's escrows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ContractEscrows {
    /// One for each milestone that somebody wanted to fund, in order.
    items: Vec<EscrowItem>,
}

/// A contract has few milestones, and each one's escrow is known by its number.
async fn of_contract(
    State(app): State<App>,
    caller: Caller,
    Path(ContractPath { contract }): Path<ContractPath>,
    _: Seen,
) -> Result<Answer<ContractEscrows>, Problem> {
    let agreement = app.executor.load::<Contract>(contract).await?.state;
    let parties = agreement.parties().filter(|parties| caller.may_see(&[parties.client, parties.worker]));
    parties.ok_or_else(Problem::not_found)?;
    let mut items = Vec::new();
    for milestone in agreement.milestones() {
        let escrow = EscrowId::of(contract, milestone.number);
        items.extend(EscrowItem::of(escrow, &app.executor.load::<Escrow>(escrow).await?));
    }
    Ok(Answer::new(ContractEscrows { items }))
}
