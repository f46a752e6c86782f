//! The provider's books: what was ordered, what became of it, where the money is, and what the merchant is told.
//!
//! They are a fold of [`Fact`]s. An order is decided on the books as they are, its facts are folded at once, and whoever
//! runs the books saves the facts before he answers.

pub(crate) mod charges;
pub(crate) mod events;
pub(crate) mod fact;
pub(crate) mod ledger;
pub(crate) mod page;
pub(crate) mod payouts;
pub(crate) mod refunds;
pub(crate) mod refusal;
mod shelf;

use std::collections::BTreeSet;

use charges::Charge;
use events::{Delivery, Event, Events};
use fact::{Fact, Record};
use ledger::{Account, Cause, Entry, Ledger};
use payouts::Payout;
use refunds::Refund;
use refusal::Refusal;
use shelf::{Item, Shelf};

use crate::{
    money::Money,
    settings::{Bounds, Timing},
    time::Time,
};

/// The format of the facts. Another one is refused.
const FORMAT: u32 = 1;
/// The clock can be moved so far in one go, and ten times as far altogether.
const ADVANCE_MS_MAX: u64 = 400 * 24 * 60 * 60 * 1000;

/// A record that does not fit the books: their file was changed by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unfit(pub(crate) &'static str);

/// What something was made into now, or had been made into before, by the same order.
#[derive(Clone, Debug)]
pub(crate) enum Made<T> {
    Now(T),
    Before(T),
}

/// What waits for its time, by its place on its shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timed {
    Charge(usize),
    Refund(usize),
    Payout(usize),
}

/// The provider's books.
#[derive(Debug)]
pub(crate) struct Books {
    now: Time,
    /// How far the clock was moved.
    offset_ms: u64,
    charges: Shelf<Charge>,
    refunds: Shelf<Refund>,
    payouts: Shelf<Payout>,
    ledger: Ledger,
    events: Events,
    timers: BTreeSet<(Time, Timed)>,
    unsaved: Vec<Record>,
    /// The size of the file, as far as it was saved.
    pub(crate) saved_bytes: u64,
    timing: Timing,
    bounds: Bounds,
}

impl Books {
    /// Empty books, before any fact: `opened` or `replay` comes next.
    pub(crate) fn new(timing: Timing, bounds: Bounds, machine: Time) -> Self {
        Self {
            now: machine,
            offset_ms: 0,
            charges: Shelf::default(),
            refunds: Shelf::default(),
            payouts: Shelf::default(),
            ledger: Ledger::default(),
            events: Events::default(),
            timers: BTreeSet::new(),
            unsaved: Vec::new(),
            saved_bytes: 0,
            timing,
            bounds,
        }
    }

    /// The first fact of new books.
    pub(crate) fn opened(&mut self) {
        self.record(Fact::BooksOpened { format: FORMAT });
    }

    /// Folds what was saved.
    pub(crate) fn replay(&mut self, record: &Record) -> Result<(), Unfit> {
        self.now = self.now.max(record.at);
        self.apply(record)
    }

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn offset_ms(&self) -> u64 {
        self.offset_ms
    }

    pub(crate) fn charges(&self) -> &[Charge] {
        self.charges.all()
    }

    pub(crate) fn refunds(&self) -> &[Refund] {
        self.refunds.all()
    }

    pub(crate) fn payouts(&self) -> &[Payout] {
        self.payouts.all()
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    pub(crate) fn events_mut(&mut self) -> &mut Events {
        &mut self.events
    }

    pub(crate) fn objects(&self) -> usize {
        self.charges.all().len() + self.refunds.all().len() + self.payouts.all().len()
    }

    /// The facts since the last call.
    pub(crate) fn take_unsaved(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.unsaved)
    }

    /// Lets everything happen that is due by the machine's clock and by how far ours was moved.
    pub(crate) fn tick(&mut self, machine: Time) {
        self.run_to(machine.plus_ms(self.offset_ms));
    }

    /// How long until something is due, by the machine's clock.
    pub(crate) fn due_in_ms(&self) -> Option<u64> {
        self.timers.first().map(|(due, _)| self.now.ms_until(*due))
    }

    /// Moves the clock, and lets everything happen that becomes due on the way, each at its time. Answers how much did.
    pub(crate) fn advance(&mut self, by_ms: u64) -> Result<usize, Refusal> {
        let offset_ms = self.offset_ms.saturating_add(by_ms);
        if by_ms > ADVANCE_MS_MAX || offset_ms > 10 * ADVANCE_MS_MAX {
            return Err(Refusal::ClockTooFar);
        }
        self.room()?;
        let until = self.now.plus_ms(by_ms);
        self.record(Fact::ClockAdvanced { by_ms });
        Ok(self.run_to(until))
    }

    fn run_to(&mut self, until: Time) -> usize {
        let mut happened = 0;
        while let Some((due, timed)) = self.timers.first().copied().filter(|(due, _)| *due <= until) {
            self.timers.remove(&(due, timed));
            self.now = self.now.max(due);
            match timed {
                Timed::Charge(place) => self.charge_is_due(place),
                Timed::Refund(place) => self.refund_is_due(place),
                Timed::Payout(place) => self.payout_is_due(place),
            }
            happened += 1;
        }
        self.now = self.now.max(until);
        happened
    }

    pub(crate) fn delivered(&mut self, event: &str) {
        if self.events.get(event).is_some_and(|event| event.delivery == Delivery::Pending) {
            self.record(Fact::EventDelivered { event: event.into() });
        }
    }

    pub(crate) fn undelivered(&mut self, event: &str, reason: String) {
        if self.events.get(event).is_some_and(|event| event.delivery == Delivery::Pending) {
            self.record(Fact::EventUndelivered { event: event.into(), reason });
        }
    }

    /// Sends an event again, by hand.
    pub(crate) fn requeue(&mut self, event: &str) -> Result<Event, Refusal> {
        let found = self.events.get(event).ok_or(Refusal::NotFound)?;
        if found.delivery == Delivery::Pending {
            return Err(Refusal::WrongStatus(found.delivery.name()));
        }
        self.room()?;
        self.record(Fact::EventRequeued { event: event.into() });
        self.events.get(event).cloned().ok_or(Refusal::NotFound)
    }

    /// New orders need room. What was promised goes on without asking for any.
    fn room(&self) -> Result<(), Refusal> {
        if self.objects() >= self.bounds.objects_max || self.saved_bytes >= self.bounds.books_bytes_max {
            return Err(Refusal::BooksFull);
        }
        Ok(())
    }

    /// # Panics
    /// When a fact that was just decided does not fit the books it was decided on.
    fn record(&mut self, fact: Fact) {
        let record = Record { at: self.now, fact };
        self.apply(&record).expect("a fact fits the books it was decided on");
        self.unsaved.push(record);
    }

    fn apply(&mut self, record: &Record) -> Result<(), Unfit> {
        let at = record.at;
        match &record.fact {
            Fact::BooksOpened { format } if *format == FORMAT => Ok(()),
            Fact::BooksOpened { .. } => Err(Unfit("the books are of another format")),
            Fact::ClockAdvanced { by_ms } => {
                self.offset_ms = self.offset_ms.saturating_add(*by_ms);
                Ok(())
            }
            Fact::ChargeCreated(created) => self.apply_charge_created(at, created),
            Fact::ChargeChanged(changed) => self.apply_charge_changed(at, changed),
            Fact::RefundCreated(created) => self.apply_refund_created(at, created),
            Fact::RefundChanged(changed) => self.apply_refund_changed(at, changed),
            Fact::PayoutCreated(created) => self.apply_payout_created(at, created),
            Fact::PayoutChanged(changed) => self.apply_payout_changed(at, changed),
            Fact::EventDelivered { event } => self.events.set(event, Delivery::Delivered),
            Fact::EventUndelivered { event, reason } => {
                self.events.set(event, Delivery::Undelivered(reason.clone()))
            }
            Fact::EventRequeued { event } => self.events.set(event, Delivery::Pending),
        }
    }

    fn post(
        &mut self,
        at: Time,
        cause: Cause,
        object: &impl Item,
        (from, to): (Account, Account),
        amount: Money,
    ) {
        let (object, reference) = (object.id().to_owned(), object.reference().to_owned());
        self.ledger.post(Entry { number: 0, at, cause, object, reference, from, to, amount });
    }
}

/// A new id: `ch_` and 32 hexadecimal digits, in order of creation.
fn fresh(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::now_v7().simple())
}
