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
use events::{Event, Id, RecordedEvent, ids::AccountId, keys::KeyRing, vocabulary::identity::AccountEvent};
use projections::{steps::OpenStep, timers::Timer};

mod dispatcher;
mod prompter;
mod pump;
mod reactor;
mod share;
mod timers;

pub(crate) use dispatcher::Steps;
pub(crate) use prompter::{Ear, Prompter};
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
    keys: Arc<KeyRing>,
}

impl std::fmt::Debug for Managers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Managers").field("executor", &self.executor).finish_non_exhaustive()
    }
}

impl Managers {
    /// The managers, deciding through `executor`; `keys` is where personal data is erased.
    pub fn new(executor: Executor, keys: Arc<KeyRing>) -> Self {
        Self { executor, keys }
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

impl Processes for Managers {
    fn react<'a>(&'a self, event: &'a RecordedEvent) -> ProcessFuture<'a> {
        Box::pin(async move {
            self.forget_the_erased(event).await?;
            process::react(&self.executor, event).await
        })
    }

    fn dispatch<'a>(&'a self, step: &'a OpenStep) -> ProcessFuture<'a> {
        Box::pin(async move {
            let origin = Origin {
                correlation_id: step.correlation_id.clone(),
                causation_id: Some(step.requested_by),
                traceparent: step.traceparent.clone(),
            };
            process::dispatch_step_from(&self.executor, step.stream, step.number, &origin).await
        })
    }

    fn fire<'a>(&'a self, timer: &'a Timer) -> ProcessFuture<'a> {
        Box::pin(process::fire_timer(&self.executor, timer.stream, &timer.timer, timer.due_at))
    }
}
