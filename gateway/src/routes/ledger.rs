//! The ledger, for administrators and operators: what every account comes to, and what is on its way.

use axum::extract::State;
use events::Timestamp;
use garde::Validate;
use projections::money::{
    ledger::Ledger,
    transfers::{self, Transfer, TransferStatus},
    trial_balance::{self, CurrencyTrial},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    consistency::Seen,
    http::{
        Answer, Problem, Query, Route,
        cursor::{Items, Paging},
        get,
    },
    security::OperatorCaller,
};

/// The ledger.
pub fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/admin/ledger/trial-balance", balance)
            .named("getTrialBalance", "What every account comes to in each currency, now or at some time"),
        get("/api/v1/admin/ledger/transfers", transfers)
            .named("listTransfers", "Money on its way, the oldest first; or transfers that have arrived"),
    ]
}

/// Of when.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct AskTrialBalance {
    /// All entries up to then, included; all there are when nothing is said.
    #[garde(skip)]
    at: Option<Timestamp>,
}

/// What every account comes to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TrialBalance {
    /// Of when, if that was asked for.
    at: Option<Timestamp>,
    /// All debits are all credits, in every currency.
    balanced: bool,
    /// Every currency that money ever moved in, by code.
    currencies: Vec<CurrencyTrial>,
}

async fn balance(
    State(app): State<App>,
    _: OperatorCaller,
    seen: Seen,
    Query(asked): Query<AskTrialBalance>,
) -> Result<Answer<TrialBalance>, Problem> {
    app.catch_up(seen, &Ledger).await?;
    let currencies = trial_balance::trial_balance(&*app.store, asked.at).await?;
    let balanced = currencies.iter().all(|currency| currency.difference.minor() == 0);
    Ok(Answer::new(TrialBalance { at: asked.at, balanced, currencies }))
}

/// Which transfers.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ListTransfers {
    /// Where the transfer stands; open when nothing is said.
    #[garde(skip)]
    status: Option<TransferStatus>,
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

async fn transfers(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    seen: Seen,
    Query(asked): Query<ListTransfers>,
) -> Result<Answer<Items<Transfer>>, Problem> {
    let paging = Paging::new(&app.links, "transfers", &caller.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &Ledger).await?;
    let status = asked.status.unwrap_or(TransferStatus::Open);
    let page = transfers::list(&*app.store, status, request).await?;
    Ok(Answer::new(paging.answer(page)))
}
