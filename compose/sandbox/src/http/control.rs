//! `/control`: what only a sandbox has. The clock, the faults, the webhooks' target and disorder, payers and banks.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, post, put},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{App, Problem, faults::Standing, input::Body};
use crate::{
    books::{
        charges::{Charge, PayerAction},
        payouts::Payout,
    },
    settings::{Disorder, WebhookTarget, check_disorder},
    time::Time,
    tokens::{self, TokenLine},
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/control", get(overview))
        .route("/control/tokens", get(special_tokens))
        .route("/control/clock", post(advance))
        .route("/control/faults", post(add_fault).get(list_faults).delete(clear_faults))
        .route("/control/webhook", put(set_webhook))
        .route("/control/disorder", put(set_disorder))
        .route("/control/charges/{id}/action", post(payer_acts))
        .route("/control/payouts/{id}/return", post(return_payout))
}

#[derive(Debug, Serialize)]
struct Overview {
    now: Time,
    /// How far the clock was moved.
    clock_offset_ms: u64,
    /// Charges, refunds and payouts together.
    objects: usize,
    events_undelivered: usize,
    /// Where webhooks go.
    webhook_url: Option<String>,
    disorder: Disorder,
    faults: Vec<Standing>,
}

async fn overview(State(shop): State<App>) -> Result<Json<Overview>, Problem> {
    let numbers = |books: &mut crate::books::Books| {
        (books.now(), books.offset_ms(), books.objects(), books.events().undelivered())
    };
    let (now, clock_offset_ms, objects, events_undelivered) = shop.books.ask(numbers).await?;
    let webhook_url = shop.target.borrow().as_ref().map(|target| target.url().to_string());
    let (disorder, faults) = (*shop.disorder.borrow(), shop.faults.list());
    Ok(Json(Overview { now, clock_offset_ms, objects, events_undelivered, webhook_url, disorder, faults }))
}

#[derive(Debug, Serialize)]
struct Tokens {
    methods: Vec<TokenLine>,
    destinations: Vec<TokenLine>,
}

async fn special_tokens() -> Json<Tokens> {
    let (methods, destinations) = tokens::list();
    Json(Tokens { methods, destinations })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: u64,
}

#[derive(Debug, Serialize)]
struct Advanced {
    now: Time,
    /// How much became due on the way.
    happened: usize,
}

async fn advance(State(shop): State<App>, Body(order): Body<Advance>) -> Result<Json<Advanced>, Problem> {
    let advanced = shop.books.ask(move |books| {
        let happened = books.advance(order.advance_ms)?;
        Ok::<_, crate::books::refusal::Refusal>(Advanced { now: books.now(), happened })
    });
    Ok(Json(advanced.await??))
}

#[derive(Debug, Serialize)]
struct Faults {
    faults: Vec<Standing>,
}

async fn add_fault(State(shop): State<App>, Body(fault): Body<Standing>) -> Result<Json<Faults>, Problem> {
    shop.faults.add(fault)?;
    Ok(Json(Faults { faults: shop.faults.list() }))
}

async fn list_faults(State(shop): State<App>) -> Json<Faults> {
    Json(Faults { faults: shop.faults.list() })
}

async fn clear_faults(State(shop): State<App>) -> Json<Faults> {
    shop.faults.clear();
    Json(Faults { faults: Vec::new() })
}

/// Another target, other secrets, or both. What is left out stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewWebhook {
    url: Option<String>,
    secrets: Option<Vec<SecretString>>,
}

#[derive(Debug, Serialize)]
struct Webhook {
    url: String,
    /// How many secrets sign.
    secrets: usize,
}

async fn set_webhook(
    State(shop): State<App>,
    Body(order): Body<NewWebhook>,
) -> Result<Json<Webhook>, Problem> {
    let before = shop.target.borrow().clone();
    let target = match (order.url, order.secrets, before) {
        (Some(url), Some(secrets), _) => WebhookTarget::new(&url, secrets),
        (Some(url), None, Some(before)) => before.at(&url),
        (None, Some(secrets), Some(before)) => before.signed_with(secrets),
        (None, None, Some(before)) => Ok(before),
        (_, _, None) => Err("there is no webhook yet: it needs url and secrets".into()),
    };
    let target = target.map_err(Problem::invalid)?;
    let webhook = Webhook { url: target.url().to_string(), secrets: target.secrets().len() };
    shop.target.send_replace(Some(target));
    Ok(Json(webhook))
}

async fn set_disorder(
    State(shop): State<App>,
    Body(disorder): Body<Disorder>,
) -> Result<Json<Disorder>, Problem> {
    check_disorder(&disorder).map_err(Problem::invalid)?;
    shop.disorder.send_replace(disorder);
    Ok(Json(disorder))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    action: PayerAction,
}

async fn payer_acts(
    State(shop): State<App>,
    Path(id): Path<String>,
    Body(order): Body<Action>,
) -> Result<Json<Charge>, Problem> {
    Ok(Json(shop.books.ask(move |books| books.payer_acts(&id, order.action)).await??))
}

async fn return_payout(State(shop): State<App>, Path(id): Path<String>) -> Result<Json<Payout>, Problem> {
    Ok(Json(shop.books.ask(move |books| books.return_payout(&id)).await??))
}
