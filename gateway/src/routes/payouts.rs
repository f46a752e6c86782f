//! Payouts: money from a wallet to a bank, asked for by its owner, looked at by an administrator when it is much.

use axum::extract::State;
use commands::{
    Actor,
    payout::{Payout, PayoutCommand},
    payout_destination::PayoutDestination,
    wallet::Wallet,
};
use events::{
    Money, Timestamp, Version,
    ids::{AccountId, CommandId, PayoutDestinationId, PayoutId, WalletId},
};
use garde::Validate;
use projections::money::payouts::{self, PayoutStatus, Payouts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    commanding::{NOTHING, Order},
    consistency::Seen,
    http::{
        Answer, Body, Code, Created, Document, IfMatch, Intent, KeyedIntent, Path, Problem, Query, Route,
        cursor::{Items, PageAsked, Paging},
        get,
        input::positive,
        post,
    },
    security::{Caller, OperatorCaller, Person},
};

/// Payouts.
pub fn routes() -> Vec<Route> {
    vec![
        post("/api/v1/payouts", request)
            .named("requestPayout", "Be paid out of one's wallet, with the next batch")
            .problems([Code::InsufficientFunds, Code::PaymentsNotOffered])
            .rejects(),
        get("/api/v1/payouts", list).named("listPayouts", "My payouts, newest first"),
        get("/api/v1/payouts/{payout}", one).named("getPayout", "One payout, for whom it goes to"),
        post("/api/v1/payouts/{payout}/cancel", cancel)
            .named("cancelPayout", "Take it back, before it is sent")
            .rejects(),
        get("/api/v1/admin/payouts", in_review)
            .named("listPayoutsInReview", "Payouts that wait for an administrator, the longest first"),
        post("/api/v1/admin/payouts/{payout}/approve", approve)
            .named("approvePayout", "Let a payout in review be paid; for administrators")
            .rejects(),
        post("/api/v1/admin/payouts/{payout}/reject", reject)
            .named("rejectPayout", "Refuse a payout in review; for administrators")
            .rejects(),
    ]
}

/// Which payout.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub struct PayoutPath {
    /// The payout.
    payout: PayoutId,
}

/// How much, and where to.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct NewPayout {
    /// How much, more than zero.
    #[garde(custom(positive))]
    amount: Money,
    /// One of one's own, for the same currency.
    #[garde(skip)]
    payout_destination: PayoutDestinationId,
}

/// What became of a payout.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PayoutChanged {
    /// The payout.
    payout: PayoutId,
    /// Its version after the command.
    version: Version,
}

async fn request(
    State(app): State<App>,
    person: Person,
    KeyedIntent(intent): KeyedIntent,
    Body(asked): Body<NewPayout>,
) -> Result<Created<PayoutChanged>, Problem> {
    app.require_provider()?;
    let command_id = intent.command_id(&person.actor);
    let payout: PayoutId = command_id.derive(0);
    // A repetition is answered as the first was, whatever the wallet holds by now.
    if app.executor.load::<Payout>(payout).await?.version == 0 {
        require_available(&app, person.id, asked.amount).await?;
    }
    let destination = app.executor.load::<PayoutDestination>(asked.payout_destination).await?.state;
    let token = destination.token_for(person.id, asked.amount.currency()).unwrap_or_default().to_owned();
    let command =
        PayoutCommand::Request { amount: asked.amount, destination: asked.payout_destination, token };
    let asking = Asking { intent: &intent, actor: &person.actor, command_id, payout, expected: None };
    let answer = asking.command(&app, command, &asked).await?;
    Ok(Created::new(format!("/api/v1/payouts/{payout}"), answer))
}

/// The wallet itself decides when it is asked to hold the money; whoever asks for too much is told at once.
async fn require_available(app: &App, account: AccountId, amount: Money) -> Result<(), Problem> {
    let wallet = app.executor.load::<Wallet>(WalletId::of(account, amount.currency())).await?.state;
    let available = wallet.available().unwrap_or(Money::zero(amount.currency()));
    if available.minor() >= amount.minor() {
        return Ok(());
    }
    let available = serde_json::to_value(available).map_err(|error| Problem::internal(&error))?;
    Err(Problem::new(Code::InsufficientFunds, "the wallet has less available than that")
        .with("available", available))
}

async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(PayoutPath { payout }): Path<PayoutPath>,
    IfMatch(expected): IfMatch,
    KeyedIntent(intent): KeyedIntent,
) -> Result<Answer<PayoutChanged>, Problem> {
    let asking = Asking::new(&intent, &caller.actor, payout, expected);
    asking.command(&app, PayoutCommand::Cancel, &NOTHING).await
}

async fn approve(
    State(app): State<App>,
    person: Person,
    Path(PayoutPath { payout }): Path<PayoutPath>,
    IfMatch(expected): IfMatch,
    KeyedIntent(intent): KeyedIntent,
) -> Result<Answer<PayoutChanged>, Problem> {
    let asking = Asking::new(&intent, &person.actor, payout, expected);
    asking.command(&app, PayoutCommand::Approve, &NOTHING).await
}

async fn reject(
    State(app): State<App>,
    person: Person,
    Path(PayoutPath { payout }): Path<PayoutPath>,
    IfMatch(expected): IfMatch,
    KeyedIntent(intent): KeyedIntent,
) -> Result<Answer<PayoutChanged>, Problem> {
    let asking = Asking::new(&intent, &person.actor, payout, expected);
    asking.command(&app, PayoutCommand::Reject, &NOTHING).await
}

/// Who asks what of which payout.
struct Asking<'a> {
    intent: &'a Intent,
    actor: &'a Actor,
    command_id: CommandId,
    payout: PayoutId,
    expected: Option<Version>,
}

impl<'a> Asking<'a> {
    fn new(intent: &'a Intent, actor: &'a Actor, payout: PayoutId, expected: Option<Version>) -> Self {
        Self { intent, actor, command_id: intent.command_id(actor), payout, expected }
    }

    async fn command(
        self,
        app: &App,
        command: PayoutCommand,
        asked: &impl Serialize,
    ) -> Result<Answer<PayoutChanged>, Problem> {
        let Self { intent, actor, command_id, payout, expected } = self;
        let order =
            Order::<'_, Payout, _> { intent, actor, command_id, id: payout, command, expected, asked };
        let outcome = app.command(order).await?;
        let token = app.consistency_token::<Payout>(&intent.seen, payout, &outcome);
        let changed = PayoutChanged { payout, version: outcome.version };
        Ok(Answer::new(changed).at(outcome.version).consistent(token))
    }
}

/// A payout, as the one whom it goes to sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PayoutItem {
    /// The payout.
    payout: PayoutId,
    /// Whom it goes to.
    account: AccountId,
    /// How much.
    amount: Money,
    /// Where to.
    payout_destination: PayoutDestinationId,
    /// Where it stands.
    status: PayoutStatus,
    /// The batch it goes with, once it was let through.
    dispatch_at: Option<Timestamp>,
    /// How often the provider was told to pay it.
    attempts: u32,
    /// The provider's last reason for not paying, or for the money's return.
    failure: Option<String>,
    /// When it was asked for.
    requested_at: Timestamp,
    /// When the provider paid.
    paid_at: Option<Timestamp>,
    /// When it came back, was refused or called off.
    ended_at: Option<Timestamp>,
    /// Its version.
    version: Version,
}

impl From<payouts::Payout> for PayoutItem {
    fn from(payout: payouts::Payout) -> Self {
        Self {
            payout: payout.payout,
            account: payout.account,
            amount: payout.amount,
            payout_destination: payout.destination,
            status: payout.status,
            dispatch_at: payout.dispatch_at,
            attempts: payout.attempt,
            failure: payout.code,
            requested_at: payout.requested_at,
            paid_at: payout.paid_at,
            ended_at: payout.ended_at,
            version: payout.version,
        }
    }
}

async fn one(
    State(app): State<App>,
    caller: Caller,
    Path(PayoutPath { payout }): Path<PayoutPath>,
    seen: Seen,
) -> Result<Document<PayoutItem>, Problem> {
    app.catch_up(seen, &Payouts).await?;
    let item = payouts::get(&*app.store, payout).await?.map(PayoutItem::from);
    let item = item.filter(|item| caller.may_see(&[item.account])).ok_or_else(Problem::not_found)?;
    let version = item.version;
    Ok(Document(Answer::new(item).at(version)))
}

/// Which payouts.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ListPayouts {
    /// Where the payout stands.
    #[garde(skip)]
    status: Option<PayoutStatus>,
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
    Query(asked): Query<ListPayouts>,
) -> Result<Answer<Items<PayoutItem>>, Problem> {
    let paging = Paging::new(&app.links, "payouts", &person.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &Payouts).await?;
    let page = payouts::list(&*app.store, person.id, asked.status, request).await?;
    let Items { items, next } = paging.answer(page);
    Ok(Answer::new(Items { items: items.into_iter().map(PayoutItem::from).collect(), next }))
}

/// What waits for an administrator.
async fn in_review(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    seen: Seen,
    Query(asked): Query<PageAsked>,
) -> Result<Answer<Items<PayoutItem>>, Problem> {
    let paging = Paging::new(&app.links, "payouts-in-review", &caller.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &Payouts).await?;
    let page = payouts::standing_at(&*app.store, PayoutStatus::InReview, request).await?;
    let Items { items, next } = paging.answer(page);
    Ok(Answer::new(Items { items: items.into_iter().map(PayoutItem::from).collect(), next }))
}
