//! Deciding a batch: the commands that wait for one stream become at most one commit.

use std::sync::Arc;

use events::{CommandStamp, CommitBuilder, StreamId, Timestamp, envelope::NewCommit, log::KnownCommand};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    CommandError, Conflict, Outage, Outcome, Request, answer,
    shard::Core,
    states::{self, Folded},
};
use crate::aggregate::{Aggregate, Context};

/// What a caller is told.
pub(super) type Answer<A> =
    Result<Outcome<<A as Aggregate>::Event>, CommandError<<A as Aggregate>::Rejection>>;

/// A command that waits for its answer.
pub(super) struct Waiting<A: Aggregate> {
    pub(super) request: Request<A>,
    pub(super) answer: oneshot::Sender<Answer<A>>,
    /// How often it was decided into a commit that was void.
    pub(super) attempts: u32,
    /// Its place among the bounded number of commands under way.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl<A: Aggregate> Waiting<A> {
    pub(super) fn answer(self, answer: Answer<A>) {
        // The caller may have gone away; the command has been carried out all the same.
        let _ = self.answer.send(answer);
    }
}

/// A commit in the making, with all answers that rest on it.
pub(super) struct Decided<A: Aggregate> {
    /// `None`: nothing to write, and nobody was held back.
    pub(super) commit: Option<NewCommit>,
    /// Answered when the commit was judged valid; decided again when it was void. In order.
    pub(super) held: Vec<(Waiting<A>, Answer<A>)>,
    /// Did not fit into this commit, or repeats a command of it: decided after it. In order.
    pub(super) postponed: Vec<Waiting<A>>,
    /// The state with the commit folded in.
    pub(super) folded: Folded<A>,
}

/// Decides `batch` in order on what has been judged. What rests on judged history alone is answered at once.
pub(super) fn decide<A: Aggregate>(
    core: &Core,
    stream: StreamId,
    batch: Vec<Waiting<A>>,
) -> Option<Decided<A>> {
    // A copy that lags behind its upstream could lack what these very commands wrote before.
    let judged = core
        .log
        .stale()
        .map_or_else(|| core.states.fold::<A>(stream), |reason| Err(Outage::Unavailable(reason)));
    let folded = match judged {
        Ok(folded) => folded,
        Err(outage) => {
            batch.into_iter().for_each(|waiting| without_state(core, stream, waiting, &outage));
            return None;
        }
    };
    let mut round = Round {
        core,
        now: core.clock.now(),
        builder: CommitBuilder::new(stream, folded.version + 1),
        stream,
        decided: Decided { commit: None, held: Vec::new(), postponed: Vec::new(), folded },
    };
    for waiting in batch {
        round.take(waiting);
    }
    let Round { builder, mut decided, .. } = round;
    decided.commit = builder.finish();
    if let Some(commit) = &decided.commit {
        decided.folded.commit = Some(commit.id);
        decided.folded.version = commit.first_version + u64::from(commit.count) - 1;
        decided.folded.folded_bytes += commit.body.len() as u64;
        commit.commands.iter().for_each(|span| decided.folded.written_by.add(span.command_id));
    }
    Some(decided)
}

/// The state cannot be had: what was carried out before is answered all the same, since "not carried out" is not true
/// of it.
fn without_state<A: Aggregate>(core: &Core, stream: StreamId, waiting: Waiting<A>, outage: &Outage) {
    let answer = match known(core, stream, &waiting.request) {
        Ok(Some(known)) => answer::repeat::<A>(core, stream, &waiting.request, &known),
        Ok(None) | Err(_) => Err(CommandError::Outage(outage.clone())),
    };
    waiting.answer(answer);
}

fn known<A: Aggregate>(
    core: &Core,
    stream: StreamId,
    request: &Request<A>,
) -> Result<Option<KnownCommand>, Outage> {
    core.log.find_command(stream, request.command_id).map_err(states::outage)
}

struct Round<'a, A: Aggregate> {
    core: &'a Core,
    now: Timestamp,
    builder: CommitBuilder,
    stream: StreamId,
    decided: Decided<A>,
}

impl<A: Aggregate> Round<'_, A> {
    fn take(&mut self, waiting: Waiting<A>) {
        let id = waiting.request.command_id;
        let repeats_this_batch = self.decided.held.iter().any(|(held, _)| held.request.command_id == id);
        if repeats_this_batch || !self.decided.postponed.is_empty() {
            return self.decided.postponed.push(waiting);
        }
        match self.known(&waiting.request) {
            Err(outage) => waiting.answer(Err(CommandError::Outage(outage))),
            Ok(Some(known)) => {
                let answer = answer::repeat::<A>(self.core, self.stream, &waiting.request, &known);
                waiting.answer(answer);
            }
            Ok(None) => self.decide(waiting),
        }
    }

    fn known(&self, request: &Request<A>) -> Result<Option<KnownCommand>, Outage> {
        if !self.decided.folded.written_by.may_hold(request.command_id) {
            return Ok(None);
        }
        known(self.core, self.stream, request)
    }

    fn decide(&mut self, waiting: Waiting<A>) {
        let version = self.builder.next_version() - 1;
        let request = &waiting.request;
        if let Some(expected) = request.expected.filter(|expected| *expected != version) {
            let conflict = Conflict::Version { expected, actual: version };
            return self.hold(waiting, Err(CommandError::Conflict(conflict)));
        }
        let context = Context {
            now: self.now,
            actor: request.actor.clone(),
            command_id: request.command_id,
            own: self.stream.uuid,
            policy: Arc::clone(&self.core.policy),
        };
        match self.decided.folded.state.decide(&request.command, &context) {
            Err(rejection) => self.hold(waiting, Err(CommandError::Rejected(rejection))),
            Ok(events) => self.write(waiting, events),
        }
    }

    fn write(&mut self, waiting: Waiting<A>, events: Vec<A::Event>) {
        let limit = self.core.log.commit_bytes_max();
        let stamp = stamp(&waiting.request, self.now);
        if let Err(bytes) = self.builder.push_within(&stamp, &events, limit) {
            if self.builder.is_empty() {
                return waiting.answer(Err(CommandError::Outage(Outage::TooLarge { bytes, limit })));
            }
            return self.decided.postponed.push(waiting);
        }
        if !events.is_empty() {
            let state = Arc::make_mut(&mut self.decided.folded.state);
            events.iter().for_each(|event| state.evolve(event));
        }
        let version = self.builder.next_version() - 1;
        self.hold(waiting, Ok(Outcome { version, position: None, events, repeated: false }));
    }

    /// Answers now what rests on judged history alone; holds back what rests on the commit in the making.
    fn hold(&mut self, waiting: Waiting<A>, answer: Answer<A>) {
        if self.builder.is_empty() {
            waiting.answer(answer);
        } else {
            self.decided.held.push((waiting, answer));
        }
    }
}

fn stamp<A: Aggregate>(request: &Request<A>, time: Timestamp) -> CommandStamp {
    CommandStamp {
        command_id: request.command_id,
        command_hash: request.command_hash,
        correlation_id: request.correlation_id.clone(),
        causation_id: request.causation_id,
        actor: request.actor.to_string(),
        traceparent: request.traceparent.clone(),
        time,
    }
}
