//! What the payment provider tells us: believed when it is signed, kept as a receipt, and answered once that is on the log.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, State},
};
use commands::{
    Actor,
    payment::Payment,
    payout::Payout,
    receipt::{Receipt, ReceiptCommand},
};
use events::{
    Personal, Timestamp, Version,
    ids::{AccountId, CommandId, ReceiptId},
    vocabulary::payments::Notice,
};
use projections::money::webhook_log::{self, WebhookLog};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workers::payments::{PaymentProvider, VerifiedWebhook, WebhookRefusal};

use crate::{
    app::App,
    commanding::{NOTHING, Order},
    consistency::Seen,
    http::{
        Answer, Code, Intent, Path, Problem, Query, Route,
        context::Accompanied,
        cursor::{Items, PageAsked, Paging},
        get,
        input::collect,
        operation::{Input, Operation},
        post,
    },
    security::OperatorCaller,
};

/// Webhooks. Their path has no version: it is agreed on with the provider.
pub fn routes() -> Vec<Route> {
    vec![
        post("/webhooks/{provider}", receive)
            .named(
                "receiveWebhook",
                "For the payment provider: tell what became of a charge, refund or payout",
            )
            .problems([
                Code::WebhookSignatureMissing,
                Code::WebhookSignatureMalformed,
                Code::WebhookSignatureWrong,
                Code::WebhookTooOld,
                Code::WebhookTooNew,
                Code::WebhookNotJson,
                Code::WebhookUnknownShape,
            ])
            .rejects(),
        get("/api/v1/admin/webhooks", list)
            .named("listWebhooks", "What payment providers told, newest first, and what came of it"),
    ]
}

/// Which provider.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ProviderPath {
    /// Its name: `sandbox`.
    provider: String,
}

/// The provider need not tell it again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WebhookTaken {
    /// What was told is kept here.
    receipt: ReceiptId,
    /// It had been told before, and changed nothing.
    known: bool,
    /// The receipt's version.
    version: Version,
}

async fn receive(
    State(app): State<App>,
    Path(ProviderPath { provider: name }): Path<ProviderPath>,
    Accompanied(context): Accompanied,
    delivery: Delivery,
) -> Result<Answer<WebhookTaken>, Problem> {
    let provider = app.provider.as_ref().filter(|provider| provider.name() == name);
    let provider = provider.ok_or_else(Problem::not_found)?;
    let signature = delivery.header(provider.signature_header());
    let webhook = provider.read_webhook(signature, &delivery.body, Timestamp::now()).map_err(refused)?;
    let receipt = ReceiptId::of(&name, &webhook.provider_event);
    let body = sealed(&app, &webhook).await?;
    let intent = Intent::without_key(context, Seen::nothing());
    let outcome = app
        .command::<Receipt, _>(Order {
            intent: &intent,
            actor: &Actor::System,
            // A repetition is told by the receipt itself: it may be signed anew, and has no key.
            command_id: CommandId::fresh(),
            id: receipt,
            command: ReceiptCommand::Record {
                provider: name,
                event: webhook.provider_event,
                notice: webhook.notice,
                body,
            },
            expected: None,
            asked: &NOTHING,
        })
        .await?;
    let result = if outcome.events.is_empty() { "known" } else { "taken" };
    metrics::counter!("guildhall_webhooks_total", "result" => result).increment(1);
    let taken = WebhookTaken { receipt, known: outcome.events.is_empty(), version: outcome.version };
    Ok(Answer::new(taken))
}

/// The webhook as it came, sealed for whom it is about; nothing when that is nobody we know, or somebody who was erased.
async fn sealed(app: &App, webhook: &VerifiedWebhook) -> Result<Option<Personal<String>>, Problem> {
    let Some(subject) = subject(app, &webhook.notice).await? else { return Ok(None) };
    app.seal_unless_erased(subject, webhook.body.clone()).await
}

/// Whom a notice is about.
async fn subject(app: &App, notice: &Notice) -> Result<Option<AccountId>, Problem> {
    match notice {
        Notice::PaymentActionRequired { payment, .. }
        | Notice::PaymentAuthorized { payment, .. }
        | Notice::PaymentConfirmed { payment, .. }
        | Notice::PaymentFailed { payment, .. }
        | Notice::RefundPaid { payment, .. }
        | Notice::RefundFailed { payment, .. } => {
            let payment = app.executor.load::<Payment>(*payment).await?.state;
            Ok(payment.created().map(|created| created.payer))
        }
        Notice::PayoutPaid { payout, .. }
        | Notice::PayoutFailed { payout, .. }
        | Notice::PayoutReturned { payout, .. } => {
            let payout = app.executor.load::<Payout>(*payout).await?.state;
            Ok(payout.requested().map(|requested| requested.account))
        }
        Notice::Other { .. } => Ok(None),
    }
}

fn refused(refusal: WebhookRefusal) -> Problem {
    let code = match refusal {
        WebhookRefusal::SignatureMissing => Code::WebhookSignatureMissing,
        WebhookRefusal::SignatureMalformed => Code::WebhookSignatureMalformed,
        WebhookRefusal::SignatureWrong => Code::WebhookSignatureWrong,
        WebhookRefusal::TooOld => Code::WebhookTooOld,
        WebhookRefusal::TooNew => Code::WebhookTooNew,
        WebhookRefusal::TooLarge => Code::TooLarge,
        WebhookRefusal::NotJson => Code::WebhookNotJson,
        WebhookRefusal::UnknownShape => Code::WebhookUnknownShape,
    };
    metrics::counter!("guildhall_webhooks_total", "result" => code.code()).increment(1);
    tracing::warn!(code = code.code(), "a webhook is not believed");
    Problem::new(code, refusal.to_string())
}

/// A webhook as it arrived: its raw bytes are what was signed.
#[derive(Debug)]
pub struct Delivery {
    headers: http::HeaderMap,
    body: Bytes,
}

impl Delivery {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl FromRequest<App> for Delivery {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        Ok(Self { headers: head.headers, body: collect(body, app.settings.http.body_bytes_max).await? })
    }
}

impl Input for Delivery {
    fn describe(operation: &mut Operation) {
        operation
            .request_headers
            .push(("sandbox-signature", "The sandbox's: time and signature of the raw body."));
        operation.body = Some(crate::http::operation::schema_of::<serde_json::Value>);
        operation.problems.insert(Code::TooLarge);
    }
}

async fn list(
    State(app): State<App>,
    OperatorCaller(caller): OperatorCaller,
    seen: Seen,
    Query(asked): Query<PageAsked>,
) -> Result<Answer<Items<webhook_log::Receipt>>, Problem> {
    let paging = Paging::new(&app.links, "webhooks", &caller.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &WebhookLog).await?;
    let page = webhook_log::list(&*app.store, None, request).await?;
    Ok(Answer::new(paging.answer(page)))
}
