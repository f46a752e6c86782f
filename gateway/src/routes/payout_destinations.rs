//! Payout destinations: where somebody is paid, as the provider calls it.

use axum::extract::State;
use commands::payout_destination::{PayoutDestination, PayoutDestinationCommand};
use events::{Currency, Version, ids::PayoutDestinationId};
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

/// Payout destinations.
pub fn routes() -> Vec<Route> {
    vec![
        post("/api/v1/payout-destinations", add)
            .named("addPayoutDestination", "Be paid there from now on")
            .rejects(),
        get("/api/v1/payout-destinations", list)
            .named("listPayoutDestinations", "Where I am paid, newest first"),
        get("/api/v1/payout-destinations/{payout_destination}", one)
            .named("getPayoutDestination", "One of mine"),
        delete("/api/v1/payout-destinations/{payout_destination}", remove)
            .named("removePayoutDestination", "Never be paid there again; what is under way goes on")
            .rejects(),
    ]
}

/// Which payout destination.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub struct PayoutDestinationPath {
    /// The payout destination.
    payout_destination: PayoutDestinationId,
}

/// Where somebody is paid.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct NewPayoutDestination {
    /// What the provider calls it. The bank account itself never comes here.
    #[garde(custom(provider_token))]
    #[schemars(regex(pattern = r"^[!-~]{1,200}$"))]
    token: String,
    /// What it takes.
    #[garde(skip)]
    currency: Currency,
    /// By which its owner knows it.
    #[garde(length(chars, max = 100), custom(not_blank))]
    #[schemars(length(min = 1, max = 100))]
    label: String,
}

/// A payout destination, as its owner sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PayoutDestinationItem {
    /// The payout destination.
    payout_destination: PayoutDestinationId,
    /// What it takes.
    currency: Currency,
    /// By which its owner knows it; null once erased.
    label: Option<String>,
    /// It is not used any more.
    removed: bool,
    /// Its version.
    version: Version,
}

/// What became of a payout destination.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PayoutDestinationChanged {
    /// The payout destination.
    payout_destination: PayoutDestinationId,
    /// Its version after the command.
    version: Version,
}

async fn add(
    State(app): State<App>,
    person: Person,
    intent: Intent,
    Body(asked): Body<NewPayoutDestination>,
) -> Result<Created<PayoutDestinationChanged>, Problem> {
    let command_id = intent.command_id(&person.actor);
    let payout_destination: PayoutDestinationId = command_id.derive(0);
    let [label] = app.seal(person.id, [asked.label.clone()]).await?;
    let outcome = app
        .command::<PayoutDestination, _>(Order {
            intent: &intent,
            actor: &person.actor,
            command_id,
            id: payout_destination,
            command: PayoutDestinationCommand::Add {
                token: asked.token.clone(),
                currency: asked.currency,
                label,
            },
            expected: None,
            asked: &asked,
        })
        .await?;
    let token = app.consistency_token::<PayoutDestination>(&intent.seen, payout_destination, &outcome);
    let changed = PayoutDestinationChanged { payout_destination, version: outcome.version };
    let answer = Answer::new(changed).at(outcome.version).consistent(token);
    Ok(Created::new(format!("/api/v1/payout-destinations/{payout_destination}"), answer))
}

async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(PayoutDestinationPath { payout_destination }): Path<PayoutDestinationPath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
) -> Result<Answer<PayoutDestinationChanged>, Problem> {
    let outcome = app
        .command::<PayoutDestination, _>(Order {
            intent: &intent,
            actor: &caller.actor,
            command_id: intent.command_id(&caller.actor),
            id: payout_destination,
            command: PayoutDestinationCommand::Remove,
            expected,
            asked: &NOTHING,
        })
        .await?;
    let token = app.consistency_token::<PayoutDestination>(&intent.seen, payout_destination, &outcome);
    let changed = PayoutDestinationChanged { payout_destination, version: outcome.version };
    Ok(Answer::new(changed).at(outcome.version).consistent(token))
}

async fn one(
    State(app): State<App>,
    person: Person,
    Path(PayoutDestinationPath { payout_destination }): Path<PayoutDestinationPath>,
    _: Seen,
) -> Result<Document<PayoutDestinationItem>, Problem> {
    let loaded = app.executor.load::<PayoutDestination>(payout_destination).await?;
    let added = loaded.state.added().filter(|added| added.owner == person.id);
    let added = added.ok_or_else(Problem::not_found)?;
    let (label, removed, version) =
        (app.open(&added.label).await?, loaded.state.is_removed(), loaded.version);
    let item =
        PayoutDestinationItem { payout_destination, currency: added.currency, label, removed, version };
    Ok(Document(Answer::new(item).at(version)))
}

async fn list(
    State(app): State<App>,
    person: Person,
    seen: Seen,
    Query(asked): Query<PageAsked>,
) -> Result<Answer<Items<PayoutDestinationItem>>, Problem> {
    let paging = Paging::new(&app.links, "payout-destinations", &person.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &methods::Methods).await?;
    let page = methods::payout_destinations(&*app.store, person.id, request).await?;
    let Items { items, next } = paging.answer(page);
    let mut answered = Vec::with_capacity(items.len());
    for found in items {
        let (payout_destination, label) = (found.destination, app.open(&found.label).await?);
        answered.push(PayoutDestinationItem {
            payout_destination,
            currency: found.currency,
            label,
            removed: false,
            version: found.version,
        });
    }
    Ok(Answer::new(Items { items: answered, next }))
}
