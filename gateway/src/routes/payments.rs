//! Payments: one for each wish to fund a milestone, attempted by its payer until the money comes.

use axum::extract::State;
use commands::{
    Actor, Loaded, Outcome,
    payment::{AttemptState, Payment, PaymentCommand, PaymentStatus, RefundState},
    payment_method::PaymentMethod,
};
use events::{
    Money, Timestamp, Version,
    ids::{AccountId, ContractId, PaymentId, PaymentMethodId},
    vocabulary::payments::{PaymentEvent, RefundReason},
};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    commanding::{NOTHING, Order},
    consistency::Seen,
    http::{Answer, Body, Code, Document, IfMatch, Intent, KeyedIntent, Path, Problem, Route, get, post},
    security::{Caller, Person},
};

/// Payments.
pub fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/payments/{payment}", one)
            .named("getPayment", "One payment with its attempts and refunds, for its payer"),
        post("/api/v1/payments/{payment}/attempts", attempt)
            .named("attemptPayment", "Try to pay, with another card for instance")
            .problems([Code::PaymentsNotOffered])
            .rejects(),
        post("/api/v1/payments/{payment}/cancel", cancel)
            .named("cancelPayment", "Do not want to pay any more; money that comes all the same goes back")
            .rejects(),
        post("/api/v1/admin/payments/{payment}/refunds/{refund}/retry", retry_refund)
            .named("retryRefund", "Order a refund that failed again; for administrators")
            .problems([Code::PaymentsNotOffered])
            .rejects(),
    ]
}

/// Which payment.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub struct PaymentPath {
    /// The payment.
    payment: PaymentId,
}

/// Which refund of which payment.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub struct RefundPath {
    /// The payment.
    payment: PaymentId,
    /// The refund's number, from 1.
    refund: u32,
}

/// What to pay with.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct NewAttempt {
    /// One of one's own.
    #[garde(skip)]
    payment_method: PaymentMethodId,
}

/// What became of a payment.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PaymentChanged {
    /// The payment.
    payment: PaymentId,
    /// Its version after the command.
    version: Version,
}

/// The provider is asked for the money.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AttemptStarted {
    /// The payment.
    payment: PaymentId,
    /// The attempt's number, from 1; what becomes of it shows on the payment.
    attempt: u32,
    /// The payment's version after the command.
    version: Version,
}

async fn attempt(
    State(app): State<App>,
    person: Person,
    Path(PaymentPath { payment }): Path<PaymentPath>,
    IfMatch(expected): IfMatch,
    KeyedIntent(intent): KeyedIntent,
    Body(asked): Body<NewAttempt>,
) -> Result<Answer<AttemptStarted>, Problem> {
    app.require_provider()?;
    let method = app.executor.load::<PaymentMethod>(asked.payment_method).await?.state;
    // Whether it is missing is judged where a repetition is told from a new wish.
    let token = method.token_for(person.id).unwrap_or_default().to_owned();
    let outcome = app
        .command::<Payment, _>(Order {
            intent: &intent,
            actor: &person.actor,
            command_id: intent.command_id(&person.actor),
            id: payment,
            command: PaymentCommand::Attempt { method: asked.payment_method, token },
            expected,
            asked: &asked,
        })
        .await?;
    let attempt = started(&outcome).ok_or_else(|| Problem::internal(&"an attempt without its event"))?;
    let consistency = app.consistency_token::<Payment>(&intent.seen, payment, &outcome);
    let started = AttemptStarted { payment, attempt, version: outcome.version };
    Ok(Answer::new(started).at(outcome.version).consistent(consistency))
}

fn started(outcome: &Outcome<PaymentEvent>) -> Option<u32> {
    outcome.events.iter().find_map(|event| {
        if let PaymentEvent::PaymentAttemptStarted(started) = event { Some(started.attempt) } else { None }
    })
}

async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(PaymentPath { payment }): Path<PaymentPath>,
    IfMatch(expected): IfMatch,
    KeyedIntent(intent): KeyedIntent,
) -> Result<Answer<PaymentChanged>, Problem> {
    plain(&app, &caller.actor, payment, expected, &intent, PaymentCommand::Cancel).await
}

async fn retry_refund(
    State(app): State<App>,
    person: Person,
    Path(RefundPath { payment, refund }): Path<RefundPath>,
    IfMatch(expected): IfMatch,
    KeyedIntent(intent): KeyedIntent,
) -> Result<Answer<PaymentChanged>, Problem> {
    app.require_provider()?;
    plain(&app, &person.actor, payment, expected, &intent, PaymentCommand::RetryRefund { refund }).await
}

/// A command without a body.
async fn plain(
    app: &App,
    actor: &Actor,
    payment: PaymentId,
    expected: Option<Version>,
    intent: &Intent,
    command: PaymentCommand,
) -> Result<Answer<PaymentChanged>, Problem> {
    let outcome = app
        .command::<Payment, _>(Order {
            intent,
            actor,
            command_id: intent.command_id(actor),
            id: payment,
            command,
            expected,
            asked: &NOTHING,
        })
        .await?;
    let token = app.consistency_token::<Payment>(&intent.seen, payment, &outcome);
    let changed = PaymentChanged { payment, version: outcome.version };
    Ok(Answer::new(changed).at(outcome.version).consistent(token))
}

/// A payment, as its payer sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PaymentItem {
    /// The payment.
    payment: PaymentId,
    /// Who pays.
    payer: AccountId,
    /// How much.
    amount: Money,
    /// For which contract.
    contract: ContractId,
    /// For which of its milestones, from 1.
    milestone: u32,
    /// Where it stands.
    status: PaymentStatus,
    /// Unpaid by then, it expires.
    expires_at: Timestamp,
    /// Every attempt, in order.
    attempts: Vec<AttemptItem>,
    /// Every refund, in order.
    refunds: Vec<RefundItem>,
    /// Its version.
    version: Version,
}

/// One try to get the money.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AttemptItem {
    /// Its number, from 1.
    attempt: u32,
    /// What it is paid with.
    payment_method: PaymentMethodId,
    /// What became of it.
    state: AttemptState,
    /// Why the provider would not: `card_declined`, for instance.
    failure: Option<String>,
}

/// Money that goes back to the payer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RefundItem {
    /// Its number, from 1.
    refund: u32,
    /// How much.
    amount: Money,
    /// Why.
    reason: RefundReason,
    /// What became of it.
    state: RefundState,
}

impl PaymentItem {
    fn of(payment: PaymentId, loaded: &Loaded<Payment>) -> Option<Self> {
        let (state, version) = (&loaded.state, loaded.version);
        let (created, status) = (state.created()?, state.status()?);
        let attempts = state.attempts().map(|line| AttemptItem {
            attempt: line.attempt,
            payment_method: line.method,
            state: line.state,
            failure: line.failure.map(str::to_owned),
        });
        let refunds = state.refunds().map(|line| RefundItem {
            refund: line.refund,
            amount: line.amount,
            reason: line.reason,
            state: line.state,
        });
        Some(Self {
            payment,
            payer: created.payer,
            amount: created.amount,
            contract: created.contract,
            milestone: created.milestone,
            status,
            expires_at: created.expires_at,
            attempts: attempts.collect(),
            refunds: refunds.collect(),
            version,
        })
    }
}

async fn one(
    State(app): State<App>,
    caller: Caller,
    Path(PaymentPath { payment }): Path<PaymentPath>,
    _: Seen,
) -> Result<Document<PaymentItem>, Problem> {
    let loaded = app.executor.load::<Payment>(payment).await?;
    let item = PaymentItem::of(payment, &loaded).filter(|item| caller.may_see(&[item.payer]));
    let item = item.ok_or_else(Problem::not_found)?;
    let version = item.version;
    Ok(Document(Answer::new(item).at(version)))
}
