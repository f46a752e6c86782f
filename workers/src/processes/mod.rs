//! Process managers at work: they hear of events, their steps are issued, timers fire.
//!
//! Nothing here remembers anything that matters. The reactor has a checkpoint, open steps and running timers are read
//! models, and every command that is issued has an id that follows from its cause: so all of it can be lost, built
//! again and repeated, and nothing happens twice.

use std::{future::Future, pin::Pin, sync::Arc};

use commands::{
    Executor,
    process::{self, Origin, ProcessError},
};
use events::{
    Event, Id, RecordedEvent, StreamId, Version,
    envelope::parse_body,
    ids::{AccountId, EventId},
    keys::KeyRing,
    log::{EventLog, LogError},
    vocabulary::identity::AccountEvent,
};
use projections::{steps::OpenStep, timers::Timer};

mod dispatcher;
mod pump;
mod reactor;
mod share;
mod timers;

pub(crate) use dispatcher::Steps;
pub use pump::PumpStatus;
pub(crate) use pump::{Listed, Pump, PumpCell, Work};
pub(crate) use reactor::Reacting;
pub use reactor::reactor_id;
pub(crate) use share::Share;
pub(crate) use timers::DueTimers;

/// What a process manager's part of the work answers with.
pub type ProcessFuture<'a> = Pin<Box<dyn Future<Output = Result<(), ProcessError>> + Send + 'a>>;

/// What process managers are asked to do. [`Managers`] is the real one.
pub trait Processes: Send + Sync + 'static {
    /// Tells every manager that has to do with it of `event`.
    fn react<'a>(&'a self, event: &'a RecordedEvent) -> ProcessFuture<'a>;
    /// Carries out an open step, and the steps of its manager that are open before it.
    fn dispatch<'a>(&'a self, step: &'a OpenStep) -> ProcessFuture<'a>;
    /// Fires a timer that is due.
    fn fire<'a>(&'a self, timer: &'a Timer) -> ProcessFuture<'a>;
}

/// The process managers of `commands`, over the executor; and the keys of who was erased go.
#[derive(Clone)]
pub struct Managers {
    executor: Executor,
    log: Arc<dyn EventLog>,
    keys: Arc<KeyRing>,
}

impl std::fmt::Debug for Managers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Managers").field("executor", &self.executor).finish_non_exhaustive()
    }
}

/// Commits of a manager's stream that are looked through at once.
const COMMITS_AT_ONCE: usize = 100;
/// So many of its last events are looked through first.
const LAST_EVENTS: Version = 6;

impl Managers {
    /// The managers, deciding through `executor` on the history in `log`; `keys` is where personal data is erased.
    pub fn new(executor: Executor, log: Arc<dyn EventLog>, keys: Arc<KeyRing>) -> Self {
        Self { executor, log, keys }
    }

    /// Ends the keys of a person who was erased. Repeating it changes nothing.
    async fn forget_the_erased(&self, event: &RecordedEvent) -> Result<(), ProcessError> {
        let Event::Account(AccountEvent::AccountErased(_)) = &event.payload else { return Ok(()) };
        let (keys, person) = (Arc::clone(&self.keys), AccountId::from_uuid(event.stream.uuid));
        tokio::task::spawn_blocking(move || keys.erase(person))
            .await
            .map_err(|e| ProcessError::Retry(e.to_string()))?
            .map_err(|e| ProcessError::Retry(e.to_string()))
    }
}

/// What a step or effect goes back to, read from the event that asks for it.
pub(crate) async fn origin_of(
    log: &Arc<dyn EventLog>,
    stream: StreamId,
    requested_by: EventId,
) -> Result<Origin, ProcessError> {
    let log = Arc::clone(log);
    tokio::task::spawn_blocking(move || find_origin(log.as_ref(), stream, requested_by))
        .await
        .map_err(|e| ProcessError::Retry(e.to_string()))?
        .map_err(|e| ProcessError::Retry(e.to_string()))
}

fn find_origin(log: &dyn EventLog, stream: StreamId, requested_by: EventId) -> Result<Origin, LogError> {
    // What is carried out now was mostly asked for a moment ago.
    let late = log.head(stream)?.saturating_sub(LAST_EVENTS);
    if late > 0
        && let Some(event) = find_event(log, stream, late, requested_by)?
    {
        return Ok(Origin::of(&event));
    }
    let event = find_event(log, stream, 0, requested_by)?;
    Ok(event.map_or_else(
        || Origin { correlation_id: stream.to_string(), causation_id: Some(requested_by), traceparent: None },
        |event| Origin::of(&event),
    ))
}

/// An event of the stream behind the version `after`. What this release cannot read is passed over.
fn find_event(
    log: &dyn EventLog,
    stream: StreamId,
    mut after: Version,
    id: EventId,
) -> Result<Option<RecordedEvent>, LogError> {
    loop {
        let commits = log.load(stream, after, COMMITS_AT_ONCE)?;
        let Some(last) = commits.last() else { return Ok(None) };
        after = last.last_version();
        for commit in &commits {
            let found = parse_body(&commit.body).ok();
            let found = found.and_then(|events| {
                events.into_iter().find(|event| event.id == id)?.decode(commit.position).ok()
            });
            if found.is_some() {
                return Ok(found);
            }
        }
    }
}

impl Processes for Managers {
    fn react<'a>(&'a self, event: &'a RecordedEvent) -> ProcessFuture<'a> {
        Box::pin(async move {
            self.forget_the_erased(event).await?;
            process::react(&self.executor, event).await
        })
    }

    fn dispatch<'a>(&'a self, step: &'a OpenStep) -> ProcessFuture<'a> {
        Box::pin(async move {
            let origin = origin_of(&self.log, step.stream, step.requested_by).await?;
            process::dispatch_step_from(&self.executor, step.stream, step.number, &origin).await
        })
    }

    fn fire<'a>(&'a self, timer: &'a Timer) -> ProcessFuture<'a> {
        Box::pin(process::fire_timer(&self.executor, timer.stream, &timer.timer, timer.due_at))
    }
}
