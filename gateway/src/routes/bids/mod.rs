//! Bids: submitted, revised and withdrawn by their worker, accepted and rejected by the job's client.

mod read;

use axum::extract::State;
use commands::{
    Actor, Outcome,
    job::{Job, JobCommand},
};
use events::{
    Money, Version,
    ids::{BidId, CommandId, ContractId, JobId},
    vocabulary::jobs::{BidTerms, JobEvent, ProposedMilestone},
};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::jobs::JobPath;
use crate::{
    app::App,
    commanding::{NOTHING, Order},
    http::{
        Answer, Body, Created, IfMatch, Intent, Path, Problem, Route, get,
        input::{not_blank, positive},
        post,
    },
    security::{Caller, Person},
};

/// Bids.
pub fn routes() -> Vec<Route> {
    vec![
        post("/api/v1/jobs/{job}/bids", submit).named("submitBid", "Offer to do a job").rejects(),
        post("/api/v1/jobs/{job}/bids/{bid}/revise", revise)
            .named("reviseBid", "Change an offer, whole")
            .rejects(),
        post("/api/v1/jobs/{job}/bids/{bid}/withdraw", withdraw)
            .named("withdrawBid", "Take an offer back")
            .rejects(),
        post("/api/v1/jobs/{job}/bids/{bid}/accept", accept)
            .named("acceptBid", "Award the job; a contract to sign follows")
            .rejects(),
        post("/api/v1/jobs/{job}/bids/{bid}/reject", reject)
            .named("rejectBid", "Turn an offer down")
            .rejects(),
        get("/api/v1/jobs/{job}/bids", read::of_job)
            .named("listJobBids", "The bids on a job: all for its client, for a worker their own"),
        get("/api/v1/jobs/{job}/bids/{bid}", read::one)
            .named("getBid", "One bid, for its worker and the job's client"),
        get("/api/v1/bids", read::own).named("listMyBids", "My bids over all jobs, newest first"),
    ]
}

/// Which bid on which job.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub struct BidPath {
    /// The job.
    pub job: JobId,
    /// The bid.
    pub bid: BidId,
}

/// One part of the work, as a bid proposes it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct NewMilestone {
    /// One line.
    #[garde(length(chars, max = 200), custom(not_blank))]
    #[schemars(length(min = 1, max = 200))]
    title: String,
    /// Its part of the price, more than zero.
    #[garde(custom(positive))]
    amount: Money,
}

/// What a worker offers. The milestones sum to the amount.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct NewBid {
    /// The whole price, more than zero.
    #[garde(custom(positive))]
    amount: Money,
    /// The parts, in order, at least one.
    #[garde(length(min = 1, max = 200), dive)]
    #[schemars(length(min = 1, max = 200))]
    milestones: Vec<NewMilestone>,
    /// Words to the client.
    #[garde(length(chars, max = 10000))]
    #[schemars(length(max = 10000))]
    cover_letter: String,
}

impl NewBid {
    /// As the decider takes it, with the worker's words sealed.
    async fn sealed(&self, app: &App, person: &Person) -> Result<BidTerms, Problem> {
        let [cover_letter] = app.seal(person.id, [self.cover_letter.clone()]).await?;
        let milestone = |milestone: &NewMilestone| ProposedMilestone {
            title: milestone.title.clone(),
            amount: milestone.amount,
        };
        Ok(BidTerms {
            amount: self.amount,
            milestones: self.milestones.iter().map(milestone).collect(),
            cover_letter,
        })
    }
}

/// What became of a bid.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BidChanged {
    /// The bid.
    bid: BidId,
    /// The job.
    job: JobId,
    /// The job's version after the command.
    version: Version,
}

/// The job is awarded.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BidAwarded {
    /// The bid.
    bid: BidId,
    /// The job.
    job: JobId,
    /// The contract that both sides are asked to sign; it can be read a moment later.
    contract: ContractId,
    /// The job's version after the command.
    version: Version,
}

async fn submit(
    State(app): State<App>,
    person: Person,
    Path(JobPath { job }): Path<JobPath>,
    intent: Intent,
    Body(asked): Body<NewBid>,
) -> Result<Created<BidChanged>, Problem> {
    let command_id = intent.command_id(&person.actor);
    let bid: BidId = command_id.derive(0);
    let command = JobCommand::SubmitBid { terms: asked.sealed(&app, &person).await? };
    let asking = Asking { intent: &intent, actor: &person.actor, command_id, job, expected: None };
    let outcome = asking.command(&app, command, &asked).await?;
    let answer = changed(&app, &intent, job, bid, &outcome);
    Ok(Created::new(format!("/api/v1/jobs/{job}/bids/{bid}"), answer))
}

async fn revise(
    State(app): State<App>,
    person: Person,
    Path(BidPath { job, bid }): Path<BidPath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
    Body(asked): Body<NewBid>,
) -> Result<Answer<BidChanged>, Problem> {
    let command = JobCommand::ReviseBid { bid, terms: asked.sealed(&app, &person).await? };
    let asking = Asking::new(&intent, &person.actor, job, expected);
    let outcome = asking.command(&app, command, &asked).await?;
    Ok(changed(&app, &intent, job, bid, &outcome))
}

async fn withdraw(
    State(app): State<App>,
    caller: Caller,
    Path(BidPath { job, bid }): Path<BidPath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
) -> Result<Answer<BidChanged>, Problem> {
    let asking = Asking::new(&intent, &caller.actor, job, expected);
    let outcome = asking.command(&app, JobCommand::WithdrawBid { bid }, &NOTHING).await?;
    Ok(changed(&app, &intent, job, bid, &outcome))
}

async fn reject(
    State(app): State<App>,
    caller: Caller,
    Path(BidPath { job, bid }): Path<BidPath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
) -> Result<Answer<BidChanged>, Problem> {
    let asking = Asking::new(&intent, &caller.actor, job, expected);
    let outcome = asking.command(&app, JobCommand::RejectBid { bid }, &NOTHING).await?;
    Ok(changed(&app, &intent, job, bid, &outcome))
}

async fn accept(
    State(app): State<App>,
    caller: Caller,
    Path(BidPath { job, bid }): Path<BidPath>,
    IfMatch(expected): IfMatch,
    intent: Intent,
) -> Result<Answer<BidAwarded>, Problem> {
    let asking = Asking::new(&intent, &caller.actor, job, expected);
    let outcome = asking.command(&app, JobCommand::AcceptBid { bid }, &NOTHING).await?;
    let contract = outcome.events.iter().find_map(|event| {
        if let JobEvent::BidAccepted(accepted) = event { Some(accepted.contract) } else { None }
    });
    let contract = contract.ok_or_else(|| Problem::internal(&"an award without its event"))?;
    let token = app.consistency_token::<Job>(&intent.seen, job, &outcome);
    let awarded = BidAwarded { bid, job, contract, version: outcome.version };
    Ok(Answer::new(awarded).at(outcome.version).consistent(token))
}

/// Who asks what of which job.
struct Asking<'a> {
    intent: &'a Intent,
    actor: &'a Actor,
    command_id: CommandId,
    job: JobId,
    expected: Option<Version>,
}

impl<'a> Asking<'a> {
    fn new(intent: &'a Intent, actor: &'a Actor, job: JobId, expected: Option<Version>) -> Self {
        Self { intent, actor, command_id: intent.command_id(actor), job, expected }
    }

    async fn command(
        self,
        app: &App,
        command: JobCommand,
        asked: &impl Serialize,
    ) -> Result<Outcome<JobEvent>, Problem> {
        let Self { intent, actor, command_id, job, expected } = self;
        let order = Order::<'_, Job, _> { intent, actor, command_id, id: job, command, expected, asked };
        Ok(app.command(order).await?)
    }
}

fn changed(
    app: &App,
    intent: &Intent,
    job: JobId,
    bid: BidId,
    outcome: &Outcome<JobEvent>,
) -> Answer<BidChanged> {
    let token = app.consistency_token::<Job>(&intent.seen, job, outcome);
    Answer::new(BidChanged { bid, job, version: outcome.version }).at(outcome.version).consistent(token)
}
