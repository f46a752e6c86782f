//! Answering a repeated command with the first outcome.

use events::{StreamId, log::KnownCommand};

use super::{
    CommandError, Conflict, Outage, Outcome, Request,
    decide::Answer,
    shard::Core,
    states::{decode, outage},
};
use crate::aggregate::Aggregate;

/// The outcome of the command that the log remembers; refused when it was another command.
pub(super) fn repeat<A: Aggregate>(
    core: &Core,
    stream: StreamId,
    request: &Request<A>,
    known: &KnownCommand,
) -> Answer<A> {
    if known.command_hash != request.command_hash {
        return Err(CommandError::Conflict(Conflict::CommandReused));
    }
    let events = events_of::<A>(core, stream, known).map_err(CommandError::Outage)?;
    let version = known.first_version + u64::from(known.count) - 1;
    Ok(Outcome { version, position: Some(known.position), events, repeated: true })
}

fn events_of<A: Aggregate>(
    core: &Core,
    stream: StreamId,
    known: &KnownCommand,
) -> Result<Vec<A::Event>, Outage> {
    let commits = core.log.load(stream, known.first_version - 1, 1).map_err(outage)?;
    let commit = commits.first().ok_or_else(|| {
        Outage::Damaged(format!("{stream} has no commit at version {}", known.first_version))
    })?;
    // What other commands wrote beside it need not be readable.
    let before = usize::try_from(known.first_version - commit.first_version).unwrap_or(usize::MAX);
    let own = decode::<A>(commit)?.skip(before).take(known.count as usize);
    own.map(|event| event.map(|decoded| decoded.event)).collect()
}
