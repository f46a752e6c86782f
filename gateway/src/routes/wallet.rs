//! One's wallet: what is there in each currency, and what happened to it.

use axum::extract::State;
use events::{
    Currency, Money, Timestamp, Version,
    ids::{ContractId, WalletId},
    vocabulary::payments::CreditSource,
};
use garde::Validate;
use projections::{
    PageRequest,
    money::{
        statement::{self, EntryKind, Line},
        wallets::{self, Balance, Wallets},
    },
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
    security::Person,
};

/// Nobody has more currencies than there are.
const CURRENCIES_MAX: usize = 200;

/// One's wallet.
pub fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/wallet", balances).named("getWallet", "What I have, by currency"),
        get("/api/v1/wallet/transactions", transactions)
            .named("listWalletTransactions", "What happened to my money, newest first"),
    ]
}

/// What somebody has.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WalletItem {
    /// One for each currency that money ever came in.
    balances: Vec<BalanceItem>,
}

/// What somebody has in one currency: posted = pending + in payout + available.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BalanceItem {
    /// In which currency.
    currency: Currency,
    /// All that is here.
    posted: Money,
    /// Earned just now, and not to be spent yet.
    pending: Money,
    /// Being paid out.
    in_payout: Money,
    /// What can be spent.
    available: Money,
    /// When it changed last.
    changed_at: Timestamp,
    /// The version of the wallet.
    version: Version,
}

impl From<Balance> for BalanceItem {
    fn from(balance: Balance) -> Self {
        Self {
            currency: balance.currency,
            posted: balance.posted,
            pending: balance.pending,
            in_payout: balance.in_payout,
            available: balance.available,
            changed_at: balance.changed_at,
            version: balance.version,
        }
    }
}

async fn balances(State(app): State<App>, person: Person, seen: Seen) -> Result<Answer<WalletItem>, Problem> {
    app.catch_up(seen, &Wallets).await?;
    let all = PageRequest { after: None, limit: CURRENCIES_MAX };
    let page = wallets::balances(&*app.store, person.id, all).await?;
    Ok(Answer::new(WalletItem { balances: page.items.into_iter().map(BalanceItem::from).collect() }))
}

/// Which transactions.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ListTransactions {
    /// In which currency.
    #[garde(skip)]
    currency: Option<Currency>,
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

/// Something that happened to somebody's money.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TransactionItem {
    /// The wallet.
    wallet: WalletId,
    /// What happened.
    kind: EntryKind,
    /// To how much.
    amount: Money,
    /// Because of which escrow or payout.
    cause: CreditSource,
    /// Which contract was worked for, if so.
    contract: Option<ContractId>,
    /// Which of its milestones, from 1.
    milestone: Option<u32>,
    /// Held until then.
    until: Option<Timestamp>,
    /// All that was here afterwards.
    posted: Money,
    /// What could be spent afterwards.
    available: Money,
    /// When.
    at: Timestamp,
}

impl From<Line> for TransactionItem {
    fn from(Line { entry, work }: Line) -> Self {
        Self {
            wallet: entry.wallet,
            kind: entry.kind,
            amount: entry.amount,
            cause: entry.cause,
            contract: work.map(|work| work.contract),
            milestone: work.map(|work| work.milestone),
            until: entry.until,
            posted: entry.posted,
            available: entry.available,
            at: entry.at,
        }
    }
}

async fn transactions(
    State(app): State<App>,
    person: Person,
    seen: Seen,
    Query(asked): Query<ListTransactions>,
) -> Result<Answer<Items<TransactionItem>>, Problem> {
    let paging = Paging::new(&app.links, "wallet-transactions", &person.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &Wallets).await?;
    let page = statement::list(&*app.store, person.id, asked.currency, request).await?;
    let Items { items, next } = paging.answer(page);
    Ok(Answer::new(Items { items: items.into_iter().map(TransactionItem::from).collect(), next }))
}
