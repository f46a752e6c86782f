//! Payment methods: what somebody pays with, as the provider calls it.

use axum::extract::State;
use commands::payment_method::{PaymentMethod, PaymentMethodCommand};
use events::{Version, ids::PaymentMethodId};
use garde::Validate;
use projections::money::methods;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    commanding::{NOTHING, Order},
    consistency::Seen,
    http::{
        Answer, Body, Created, Document, IfMatch, Intent, Path, Problem, Query, Route,
        cursor::{Items, PageAsked, Paging},
        delete, get,
        input::{not_blank, provider_token},
        post,
    },
    security::{Caller, Person},
};

/// Payment methods.
pub fn routes() -> Vec<Route> {
    vec![
        post("/api/v1/payment-methods", add).named("addPaymentMethod", "Pay with this from now on").rejects(),
        get("/api/v1/payment-methods", list).named("listPaymentMethods", "What I pay with, newest first"),
        get("/api/v1/payment-methods/{payment_method}", one).named("getPaymentMethod", "One of mine"),
        delete("/api/v1/payment-methods/{payment_method}", remove)
            .named("removePaymentMethod", "Never pay with it again; what is under way goes on")
            .rejects(),
    ]
}

/// Which payment method.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub struct PaymentMethodPath {
    /// The payment method.
    payment_method: PaymentMethodId,
}

/// What somebody pays with.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct NewPaymentMethod {
    /// What the provider calls it. The card itself never comes here.
    #[garde(custom(provider_token))]
    #[schemars(regex(pattern = r"^[!-~]{1,200}$"))]
    token: String,
    /// By which its owner knows it.
    #[garde(length(chars, max = 100), custom(not_blank))]
    #[schemars(length(min = 1, max = 100))]
    label: String,
}

/// A payment method, as its owner sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PaymentMethodItem {
    /// The payment method.
    payment_method: PaymentMethodId,
    /// By which its owner knows it; null once erased.
    label: Option<String>,
    /// It is not used any more.
    removed: bool,
    /// Its version.
    version: Version,
}

/// What became of a payment method.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PaymentMethodChanged {
    /// The payment method.
    payment_method: PaymentMethodId,
    /// Its version after the command.
    version: Version,
}

async fn add(
    State(app): State<App>,
    person: Person,
    intent: Intent,
    Body(asked): Body<NewPaymentMethod>,
) -> Result<Created<PaymentMethodChanged>, Problem> {
    let command_id = intent.command_id(&person.actor);
    let payment_method: PaymentMethodId = command_id.derive(0);
    let [label] = app.seal(person.id, [asked.label.clone()]).await?;
    let outcome = app
        .command::<PaymentMethod, _>(Order {
            intent: &intent,
            actor: &person.actor,
            command_id,
            id: payment_method,
            command: PaymentMethodCommand::Add { token: asked.token.clone(), label },
            expected: None,
            asked: &asked,
        })
        .await?;
    let token = app.consistency_token::<PaymentMethod>(&intent.seen, payment_method, &outcome);
    let changed = PaymentMethodChanged { payment_method, version: outcome.version };
    let answer = Answer::new(changed).at(outcome.version).consistent(token);
    Ok(Created::new(format!("/api/v1/payment-methods/{payment_method}"), answer))
}

async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(PaymentMethodPath { payment_method }): Path<PaymentMethodPath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
) -> Result<Answer<PaymentMethodChanged>, Problem> {
    let outcome = app
        .command::<PaymentMethod, _>(Order {
            intent: &intent,
            actor: &caller.actor,
            command_id: intent.command_id(&caller.actor),
            id: payment_method,
            command: PaymentMethodCommand::Remove,
            expected,
            asked: &NOTHING,
        })
        .await?;
    let token = app.consistency_token::<PaymentMethod>(&intent.seen, payment_method, &outcome);
    let changed = PaymentMethodChanged { payment_method, version: outcome.version };
    Ok(Answer::new(changed).at(outcome.version).consistent(token))
}

async fn one(
    State(app): State<App>,
    person: Person,
    Path(PaymentMethodPath { payment_method }): Path<PaymentMethodPath>,
    _: Seen,
) -> Result<Document<PaymentMethodItem>, Problem> {
    let loaded = app.executor.load::<PaymentMethod>(payment_method).await?;
    let added = loaded.state.added().filter(|added| added.owner == person.id);
    let added = added.ok_or_else(Problem::not_found)?;
    let (label, removed, version) =
        (app.open(&added.label).await?, loaded.state.is_removed(), loaded.version);
    let item = PaymentMethodItem { payment_method, label, removed, version };
    Ok(Document(Answer::new(item).at(version)))
}

async fn list(
    State(app): State<App>,
    person: Person,
    seen: Seen,
    Query(asked): Query<PageAsked>,
) -> Result<Answer<Items<PaymentMethodItem>>, Problem> {
    let paging = Paging::new(&app.links, "payment-methods", &person.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &methods::Methods).await?;
    let page = methods::payment_methods(&*app.store, person.id, request).await?;
    let Items { items, next } = paging.answer(page);
    let mut answered = Vec::with_capacity(items.len());
    for found in items {
        let (payment_method, label) = (found.method, app.open(&found.label).await?);
        answered.push(PaymentMethodItem { payment_method, label, removed: false, version: found.version });
    }
    Ok(Answer::new(Items { items: answered, next }))
}
