//! How managers hear of events, how their steps are carried out, and how timers fire.
//!
//! The functions here know every manager; workers call them and know none.

#![deny(clippy::wildcard_enum_match_arm)]

use super::{ProcessError, ProcessManager, StepCommand};
use crate::{
    account::Account,
    aggregate::{Actor, Aggregate, Rejection},
    contract::Contract,
    escrow::Escrow,
    executor::{CommandError, Conflict, Executor, Outage, Request},
    funding::Funding,
    hire::Hire,
    job::{Job, JobCommand},
    login::Login,
    payment::Payment,
    payout::Payout,
    payout_run::PayoutRun,
    receipt::Receipt,
    registration::Registration,
    release::Release,
    wallet::Wallet,
};
use events::{
    Category, Id, RecordedEvent, StreamId, Timestamp,
    envelope::CommandHash,
    ids::{CommandId, EventId, JobId, hash_parts},
    vocabulary::{StepOutcome, jobs::JOB_EXPIRY_TIMER},
};

/// The request that all this goes back to, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// See [`events::CommandStamp::correlation_id`].
    pub correlation_id: String,
    /// See [`events::CommandStamp::causation_id`].
    pub causation_id: Option<EventId>,
    /// See [`events::CommandStamp::traceparent`].
    pub traceparent: Option<String>,
}

impl Origin {
    /// What `event` leads to goes back to what led to `event`.
    pub fn of(event: &RecordedEvent) -> Self {
        Self {
            correlation_id: event.stamp.correlation_id.clone(),
            causation_id: Some(event.id),
            traceparent: event.stamp.traceparent.clone(),
        }
    }

    /// Nothing is known but the stream that asks.
    fn unknown(stream: StreamId) -> Self {
        Self { correlation_id: stream.to_string(), causation_id: None, traceparent: None }
    }
}

/// Tells every manager that has to do with it of `event`.
///
/// # Errors
/// [`ProcessError::Retry`] when the log is away or contended.
pub async fn react(executor: &Executor, event: &RecordedEvent) -> Result<(), ProcessError> {
    tell::<Registration>(executor, event).await?;
    tell::<Hire>(executor, event).await?;
    tell::<Funding>(executor, event).await?;
    tell::<Release>(executor, event).await?;
    tell::<PayoutRun>(executor, event).await
}

async fn tell<M: ProcessManager>(executor: &Executor, event: &RecordedEvent) -> Result<(), ProcessError> {
    let Some((id, command)) = M::react(event) else { return Ok(()) };
    let category = M::CATEGORY.name();
    let command_id = CommandId::from_event(category, event.id);
    let cause = event.id.uuid();
    let parts: [&[u8]; 3] = [b"reaction", category.as_bytes(), cause.as_bytes()];
    let actor = Actor::Process { stream: StreamId::new(M::CATEGORY, id) };
    report(executor, request::<M>(id, command, command_id, &parts, actor, Origin::of(event))).await
}

/// Carries out step `number` of the manager at `stream`, and before it what it counts on; reports each outcome to the
/// manager. Does nothing when the step is settled.
///
/// # Errors
/// [`ProcessError::Retry`] when the log is away or contended; [`ProcessError::Poison`] when `stream` is no manager's.
pub async fn dispatch_step(executor: &Executor, stream: StreamId, number: u32) -> Result<(), ProcessError> {
    dispatch_step_from(executor, stream, number, &Origin::unknown(stream)).await
}

/// [`dispatch_step`], with what the request for the step goes back to.
///
/// # Errors
/// See [`dispatch_step`].
pub async fn dispatch_step_from(
    executor: &Executor,
    stream: StreamId,
    number: u32,
    origin: &Origin,
) -> Result<(), ProcessError> {
    match stream.category {
        Category::Registration => {
            carry_out_with_those_before::<Registration>(executor, stream, number, origin).await
        }
        Category::Hire => carry_out_with_those_before::<Hire>(executor, stream, number, origin).await,
        Category::Funding => carry_out_with_those_before::<Funding>(executor, stream, number, origin).await,
        Category::Release => carry_out_with_those_before::<Release>(executor, stream, number, origin).await,
        Category::PayoutRun => {
            carry_out_with_those_before::<PayoutRun>(executor, stream, number, origin).await
        }
        Category::Receipt => carry_out_with_those_before::<Receipt>(executor, stream, number, origin).await,
        Category::Account
        | Category::Login
        | Category::Session
        | Category::Job
        | Category::Contract
        | Category::Payment
        | Category::Escrow
        | Category::Wallet
        | Category::Payout
        | Category::PaymentMethod
        | Category::PayoutDestination
        | Category::Reconciliation
        | Category::TestClock => Err(ProcessError::Poison(format!("{stream} is no process manager"))),
    }
}

async fn carry_out_with_those_before<M: ProcessManager>(
    executor: &Executor,
    stream: StreamId,
    number: u32,
    origin: &Origin,
) -> Result<(), ProcessError> {
    let id = M::Id::from_uuid(stream.uuid);
    // Each round settles one step up to this one, so there are no more rounds than that.
    for _ in 0..number {
        let manager = executor.load::<M>(id).await.map_err(|outage| from_outage(&outage))?;
        if manager.state.open_step(id, number).is_none() {
            return Ok(());
        }
        let next = manager.state.step_before(number).unwrap_or(number);
        let Some(step) = manager.state.open_step(id, next) else { return Ok(()) };
        let outcome = carry_out(executor, stream, next, step, origin).await?;
        report(executor, settlement::<M>(id, next, outcome, origin.clone())).await?;
    }
    Ok(())
}

async fn carry_out(
    executor: &Executor,
    manager: StreamId,
    number: u32,
    step: StepCommand,
    origin: &Origin,
) -> Result<StepOutcome, ProcessError> {
    let origin = origin.clone();
    match step {
        StepCommand::Account(id, command) => {
            attempt(executor, step_request::<Account>(manager, number, id, command, origin)).await
        }
        StepCommand::Login(id, command) => {
            attempt(executor, step_request::<Login>(manager, number, id, command, origin)).await
        }
        StepCommand::Job(id, command) => {
            attempt(executor, step_request::<Job>(manager, number, id, command, origin)).await
        }
        StepCommand::Contract(id, command) => {
            attempt(executor, step_request::<Contract>(manager, number, id, command, origin)).await
        }
        StepCommand::Payment(id, command) => {
            attempt(executor, step_request::<Payment>(manager, number, id, command, origin)).await
        }
        StepCommand::Escrow(id, command) => {
            attempt(executor, step_request::<Escrow>(manager, number, id, command, origin)).await
        }
        StepCommand::Wallet(id, command) => {
            attempt(executor, step_request::<Wallet>(manager, number, id, command, origin)).await
        }
        StepCommand::Payout(id, command) => {
            attempt(executor, step_request::<Payout>(manager, number, id, command, origin)).await
        }
    }
}

/// The request that carries out step `number` of the manager at `manager`: the same whoever makes it. Its hash names
/// the step and not the content, which follows from the manager's history.
pub(crate) fn step_request<A: Aggregate>(
    manager: StreamId,
    number: u32,
    id: A::Id,
    command: A::Command,
    origin: Origin,
) -> Request<A> {
    let category = manager.category.name();
    let command_id = CommandId::from_step(category, manager.uuid, number);
    let parts: [&[u8]; 4] = [b"step", category.as_bytes(), manager.uuid.as_bytes(), &number.to_be_bytes()];
    request(id, command, command_id, &parts, Actor::Process { stream: manager }, origin)
}

/// The outcome does not count in the identity of the report: when two were found, the first one stands.
fn settlement<M: ProcessManager>(id: M::Id, number: u32, outcome: StepOutcome, origin: Origin) -> Request<M> {
    let stream = StreamId::new(M::CATEGORY, id);
    let category = M::CATEGORY.name();
    let parts: [&[u8]; 4] = [b"settled", category.as_bytes(), stream.uuid.as_bytes(), &number.to_be_bytes()];
    let command_id = CommandId::from_cause(&parts, stream.uuid);
    request(id, M::settle(number, outcome), command_id, &parts, Actor::Process { stream }, origin)
}

/// Tells the aggregate at `stream` that its `timer` was due at `due_at`. The aggregate itself judges whether the timer
/// still runs and is due; a timer that comes late has nothing left to do.
///
/// # Errors
/// [`ProcessError::Retry`] when the log is away or contended; [`ProcessError::Poison`] for a timer nobody starts.
pub async fn fire_timer(
    executor: &Executor,
    stream: StreamId,
    timer: &str,
    due_at: Timestamp,
) -> Result<(), ProcessError> {
    match stream.category {
        Category::Registration => fire_managers::<Registration>(executor, stream, timer, due_at).await,
        Category::Hire => fire_managers::<Hire>(executor, stream, timer, due_at).await,
        Category::Funding => fire_managers::<Funding>(executor, stream, timer, due_at).await,
        Category::Release => fire_managers::<Release>(executor, stream, timer, due_at).await,
        Category::PayoutRun => fire_managers::<PayoutRun>(executor, stream, timer, due_at).await,
        Category::Job if timer == JOB_EXPIRY_TIMER => {
            let id = JobId::from_uuid(stream.uuid);
            report(executor, timer_request::<Job>(stream, id, JobCommand::Expire, timer, due_at)).await
        }
        Category::Job
        | Category::Account
        | Category::Login
        | Category::Session
        | Category::Contract
        | Category::Payment
        | Category::Escrow
        | Category::Wallet
        | Category::Payout
        | Category::PaymentMethod
        | Category::PayoutDestination
        | Category::Receipt
        | Category::Reconciliation
        | Category::TestClock => Err(unknown_timer(stream, timer)),
    }
}

async fn fire_managers<M: ProcessManager>(
    executor: &Executor,
    stream: StreamId,
    timer: &str,
    due_at: Timestamp,
) -> Result<(), ProcessError> {
    let command = M::fire(timer).ok_or_else(|| unknown_timer(stream, timer))?;
    let id = M::Id::from_uuid(stream.uuid);
    report(executor, timer_request::<M>(stream, id, command, timer, due_at)).await
}

fn timer_request<A: Aggregate>(
    stream: StreamId,
    id: A::Id,
    command: A::Command,
    timer: &str,
    due_at: Timestamp,
) -> Request<A> {
    let category = stream.category.name();
    let due = due_at.micros().to_be_bytes();
    let parts: [&[u8]; 5] = [b"timer", category.as_bytes(), stream.uuid.as_bytes(), timer.as_bytes(), &due];
    let command_id = CommandId::from_cause(&parts, stream.uuid);
    request(id, command, command_id, &parts, Actor::System, Origin::unknown(stream))
}

fn unknown_timer(stream: StreamId, timer: &str) -> ProcessError {
    ProcessError::Poison(format!("{stream} starts no timer {timer:?}"))
}

pub(super) fn request<A: Aggregate>(
    id: A::Id,
    command: A::Command,
    command_id: CommandId,
    identity: &[&[u8]],
    actor: Actor,
    origin: Origin,
) -> Request<A> {
    Request {
        id,
        command,
        command_id,
        command_hash: CommandHash(hash_parts(identity)),
        actor,
        expected: None,
        correlation_id: origin.correlation_id,
        causation_id: origin.causation_id,
        traceparent: origin.traceparent,
    }
}

/// A command whose rejection is an answer.
pub(super) async fn attempt<A: Aggregate>(
    executor: &Executor,
    request: Request<A>,
) -> Result<StepOutcome, ProcessError> {
    match executor.execute(request).await {
        Ok(_) => Ok(StepOutcome::Done),
        Err(CommandError::Rejected(rejection)) => {
            Ok(StepOutcome::Refused { code: rejection.code().to_owned() })
        }
        Err(CommandError::Conflict(conflict)) => Err(from_conflict(&conflict)),
        Err(CommandError::Outage(outage)) => Err(from_outage(&outage)),
    }
}

/// A command that nobody has reason to reject.
async fn report<A: Aggregate>(executor: &Executor, request: Request<A>) -> Result<(), ProcessError> {
    match attempt(executor, request).await? {
        StepOutcome::Done => Ok(()),
        StepOutcome::Refused { code } => Err(ProcessError::Poison(code)),
    }
}

fn from_conflict(conflict: &Conflict) -> ProcessError {
    match conflict {
        Conflict::Version { .. } | Conflict::Contended => ProcessError::Retry(conflict.to_string()),
        Conflict::CommandReused => ProcessError::Poison(conflict.to_string()),
    }
}

pub(super) fn from_outage(outage: &Outage) -> ProcessError {
    match outage {
        Outage::Unavailable(_)
        | Outage::InDoubt(_)
        | Outage::Overloaded
        | Outage::UnknownEvent(_)
        | Outage::Damaged(_) => ProcessError::Retry(outage.to_string()),
        Outage::TooLarge { .. } => ProcessError::Poison(outage.to_string()),
    }
}
