//! Milestones of a contract: funded and approved by the client, worked on by the worker.

use axum::extract::State;
use commands::{
    Actor, Outcome,
    contract::{Contract, ContractCommand},
};
use events::{
    Money, Version,
    ids::{ContractId, EscrowId, PaymentId},
    vocabulary::jobs::ContractEvent,
};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    commanding::{NOTHING, Order},
    http::{Answer, Body, Code, IfMatch, Intent, KeyedIntent, Path, Problem, Route, input::not_blank, post},
    security::{Caller, Person},
};

/// Milestones.
pub fn routes() -> Vec<Route> {
    vec![
        post("/api/v1/contracts/{contract}/milestones/{milestone}/fund", fund)
            .named("fundMilestone", "Want to pay for it; a payment to be attempted follows")
            .problems([Code::PaymentsNotOffered])
            .rejects(),
        post("/api/v1/contracts/{contract}/milestones/{milestone}/submit", submit)
            .named("submitMilestone", "Hand in work; without an answer it counts as approved after a while")
            .rejects(),
        post("/api/v1/contracts/{contract}/milestones/{milestone}/request-changes", request_changes)
            .named("requestMilestoneChanges", "Want the work done differently")
            .rejects(),
        post("/api/v1/contracts/{contract}/milestones/{milestone}/approve", approve)
            .named("approveMilestone", "Accept the work; its money goes to the worker")
            .rejects(),
    ]
}

/// Which milestone of which contract.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub struct MilestonePath {
    /// The contract.
    contract: ContractId,
    /// Its number, from 1.
    milestone: u32,
}

/// Words about the work, to the other party.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct NewNote {
    /// The words.
    #[garde(length(chars, max = 10000), custom(not_blank))]
    #[schemars(length(min = 1, max = 10000))]
    note: String,
}

/// A payment will be there to be attempted.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FundingAsked {
    /// The contract.
    contract: ContractId,
    /// The milestone's number.
    milestone: u32,
    /// What it costs.
    amount: Money,
    /// The payment; it can be read and attempted a moment later.
    payment: PaymentId,
    /// Where the money will be kept.
    escrow: EscrowId,
    /// The contract's version after the command.
    version: Version,
}

/// What became of a milestone.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MilestoneChanged {
    /// The contract.
    contract: ContractId,
    /// The milestone's number.
    milestone: u32,
    /// The contract's version after the command.
    version: Version,
}

async fn fund(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<MilestonePath>,
    IfMatch(expected): IfMatch,
    KeyedIntent(intent): KeyedIntent,
) -> Result<Answer<FundingAsked>, Problem> {
    app.require_provider()?;
    let MilestonePath { contract, milestone } = path;
    let asking = Asking { app: &app, actor: &caller.actor, path, expected, intent: &intent };
    let outcome = asking.command(ContractCommand::RequestFunding { milestone }, &NOTHING).await?;
    let requested = outcome.events.iter().find_map(|event| {
        if let ContractEvent::FundingRequested(requested) = event { Some(requested) } else { None }
    });
    let order = requested.and_then(|requested| Some((requested.amount, requested.order.as_ref()?.payment)));
    let (amount, payment) = order.ok_or_else(|| Problem::internal(&"a funding without its event"))?;
    let token = app.consistency_token::<Contract>(&intent.seen, contract, &outcome);
    let escrow = EscrowId::of(contract, milestone);
    let asked = FundingAsked { contract, milestone, amount, payment, escrow, version: outcome.version };
    Ok(Answer::new(asked).at(outcome.version).consistent(token))
}

async fn submit(
    State(app): State<App>,
    person: Person,
    Path(path): Path<MilestonePath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
    Body(asked): Body<NewNote>,
) -> Result<Answer<MilestoneChanged>, Problem> {
    let [note] = app.seal(person.id, [asked.note.clone()]).await?;
    let command = ContractCommand::SubmitWork { milestone: path.milestone, note };
    Asking { app: &app, actor: &person.actor, path, expected, intent: &intent }.change(command, &asked).await
}

async fn request_changes(
    State(app): State<App>,
    person: Person,
    Path(path): Path<MilestonePath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
    Body(asked): Body<NewNote>,
) -> Result<Answer<MilestoneChanged>, Problem> {
    let [note] = app.seal(person.id, [asked.note.clone()]).await?;
    let command = ContractCommand::RequestChanges { milestone: path.milestone, note };
    Asking { app: &app, actor: &person.actor, path, expected, intent: &intent }.change(command, &asked).await
}

async fn approve(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<MilestonePath>,
    IfMatch(expected): IfMatch,
    KeyedIntent(intent): KeyedIntent,
) -> Result<Answer<MilestoneChanged>, Problem> {
    let command = ContractCommand::Approve { milestone: path.milestone };
    Asking { app: &app, actor: &caller.actor, path, expected, intent: &intent }
        .change(command, &NOTHING)
        .await
}

/// Who asks what of which milestone.
struct Asking<'a> {
    app: &'a App,
    actor: &'a Actor,
    path: MilestonePath,
    expected: Option<Version>,
    intent: &'a Intent,
}

impl Asking<'_> {
    async fn command(
        &self,
        command: ContractCommand,
        asked: &impl Serialize,
    ) -> Result<Outcome<ContractEvent>, Problem> {
        let order = Order::<'_, Contract, _> {
            intent: self.intent,
            actor: self.actor,
            command_id: self.intent.command_id(self.actor),
            id: self.path.contract,
            command,
            expected: self.expected,
            asked,
        };
        Ok(self.app.command(order).await?)
    }

    async fn change(
        &self,
        command: ContractCommand,
        asked: &impl Serialize,
    ) -> Result<Answer<MilestoneChanged>, Problem> {
        let outcome = self.command(command, asked).await?;
        let MilestonePath { contract, milestone } = self.path;
        let token = self.app.consistency_token::<Contract>(&self.intent.seen, contract, &outcome);
        let changed = MilestoneChanged { contract, milestone, version: outcome.version };
        Ok(Answer::new(changed).at(outcome.version).consistent(token))
    }
}
