//! What became of an effect, told to whom it concerns: what the provider answered, or was asked about.

use events::{
    StreamId,
    ids::CommandId,
    vocabulary::{StepOutcome, payments::Notice},
};

use super::{
    Origin, ProcessError, StepCommand,
    dispatch::{attempt, request},
};
use crate::{aggregate::Actor, executor::Executor, payment::Payment, payout::Payout, receipt::addressee};

/// Tells the payment or payout what became of the effect called `key`, as its receipt would have: the same outcome of the
/// same effect is the same command, whoever finds it out. A refusal is an answer: it was known already, or is not
/// believed.
///
/// # Errors
/// [`ProcessError::Retry`] when the log is away or contended; [`ProcessError::Poison`] when nobody is concerned.
pub async fn tell_outcome(
    executor: &Executor,
    key: &str,
    notice: &Notice,
    origin: &Origin,
) -> Result<StepOutcome, ProcessError> {
    let told = serde_json::to_vec(notice).map_err(|error| ProcessError::Poison(error.to_string()))?;
    let parts: [&[u8]; 3] = [b"effect", key.as_bytes(), &told];
    let by = |stream: StreamId| (CommandId::from_cause(&parts, stream.uuid), Actor::System, origin.clone());
    match addressee(notice) {
        Some(StepCommand::Payment(id, command)) => {
            let (command_id, actor, origin) = by(StreamId::new(events::Category::Payment, id));
            attempt::<Payment>(executor, request(id, command, command_id, &parts, actor, origin)).await
        }
        Some(StepCommand::Payout(id, command)) => {
            let (command_id, actor, origin) = by(StreamId::new(events::Category::Payout, id));
            attempt::<Payout>(executor, request(id, command, command_id, &parts, actor, origin)).await
        }
        Some(
            StepCommand::Account(..)
            | StepCommand::Login(..)
            | StepCommand::Job(..)
            | StepCommand::Contract(..)
            | StepCommand::Escrow(..)
            | StepCommand::Wallet(..),
        )
        | None => Err(ProcessError::Poison(format!("{key} is nobody's effect"))),
    }
}
