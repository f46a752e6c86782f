//! A decision in the making: the state as it will be after the events decided so far.

use crate::aggregate::Aggregate;

/// Events are decided one by one, each on the state that those before it lead to.
#[derive(Debug)]
pub(crate) struct Draft<A: Aggregate> {
    state: A,
    events: Vec<A::Event>,
}

impl<A: Aggregate> Draft<A> {
    /// Nothing is decided yet.
    pub(crate) fn on(state: &A) -> Self {
        Self { state: state.clone(), events: Vec::new() }
    }

    /// The state with all that was decided.
    pub(crate) fn state(&self) -> &A {
        &self.state
    }

    /// Decides one more event.
    pub(crate) fn push(&mut self, event: impl Into<A::Event>) {
        let event = event.into();
        self.state.evolve(&event);
        self.events.push(event);
    }

    /// What was decided, in order.
    pub(crate) fn finish(self) -> Vec<A::Event> {
        self.events
    }
}
