//! Folding golden histories: what every aggregate and every projection makes of them, step by step.

use std::collections::HashMap;

use commands::Aggregate;
use events::{DomainEvent, RecordedEvent, ids::EventId};
use projections::{ApplyError, DocumentKey, Json, Projection, View, Write};
use schemars::JsonSchema;

use crate::golden::Histories;

/// Something to be done for every aggregate there is.
pub trait AggregateVisitor {
    /// Called once for each.
    fn visit<A: Aggregate<Command: JsonSchema>>(&mut self);
}

/// The aggregates there are. A test compares them with the categories of streams.
pub fn for_each_aggregate(visitor: &mut impl AggregateVisitor) {
    visitor.visit::<commands::account::Account>();
    visitor.visit::<commands::login::Login>();
    visitor.visit::<commands::session::Session>();
    visitor.visit::<commands::registration::Registration>();
    visitor.visit::<commands::job::Job>();
    visitor.visit::<commands::contract::Contract>();
    visitor.visit::<commands::hire::Hire>();
    visitor.visit::<commands::payment::Payment>();
    visitor.visit::<commands::escrow::Escrow>();
    visitor.visit::<commands::wallet::Wallet>();
    visitor.visit::<commands::payout::Payout>();
    visitor.visit::<commands::payment_method::PaymentMethod>();
    visitor.visit::<commands::payout_destination::PayoutDestination>();
    visitor.visit::<commands::receipt::Receipt>();
    visitor.visit::<commands::funding::Funding>();
    visitor.visit::<commands::release::Release>();
    visitor.visit::<commands::payout_run::PayoutRun>();
    visitor.visit::<commands::reconciliation::Reconciliation>();
    visitor.visit::<commands::test_clock::TestClock>();
}

/// The state of `A` after every event of every golden stream of its category. All of them, since what a later event
/// hides would go unseen in the last one.
pub fn states<A: Aggregate>(histories: &[Histories]) -> Vec<A> {
    let histories = histories.iter().filter(|histories| histories.category == A::CATEGORY);
    let streams = histories.flat_map(|histories| &histories.streams);
    let states = streams.flat_map(|stream| {
        stream.iter().scan(A::default(), |state, event| {
            if let Some(event) = A::Event::from_event(event.payload.clone()) {
                state.evolve(&event);
            }
            Some(state.clone())
        })
    });
    states.collect()
}

/// A golden event that a projection cannot apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{projection} cannot apply {event}: {reason}")]
pub struct Unfoldable {
    /// Which projection.
    pub projection: String,
    /// Which event.
    pub event: EventId,
    /// What it says.
    pub reason: String,
}

/// What `projection` writes for every event that it applies, in the order of `events`.
///
/// # Errors
/// An event that cannot be applied.
pub fn writes(projection: &dyn Projection, events: &[RecordedEvent]) -> Result<Vec<Write>, Unfoldable> {
    let mut documents: HashMap<DocumentKey, Json> = HashMap::new();
    let mut all = Vec::new();
    let wanted = |event: &&RecordedEvent| projection.topics().contains(&event.stream.category.service());
    for event in events.iter().filter(wanted) {
        // A view for each event: what it changes is all that comes out.
        let mut view = View::remembering(0);
        loop {
            match view.attempt(projection, event) {
                Ok(_) => break,
                Err(ApplyError::Missing(key)) => {
                    let value = documents.get(&key).cloned();
                    view.load(key, value);
                }
                Err(ApplyError::Poison(reason)) => {
                    let projection = projection.id().to_string();
                    return Err(Unfoldable { projection, event: event.id, reason });
                }
            }
        }
        for write in view.writes() {
            match &write.value {
                Some(json) => documents.insert(write.document.clone(), json.clone()),
                None => documents.remove(&write.document),
            };
            all.push(write);
        }
    }
    Ok(all)
}
