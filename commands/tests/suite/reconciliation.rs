//! A comparison of all books: asked for by an administrator or by the day, done once.

use commands::{
    Actor,
    reconciliation::{Reconciliation, ReconciliationCommand},
};
use events::{
    Timestamp,
    ids::ReconciliationId,
    vocabulary::payments::{ReconciliationCompleted, ReconciliationEvent, ReconciliationRequested},
};

use super::{fixtures::*, scenario::*};

const DAY_MICROS: i64 = DAY_MS * 1000;

fn requested() -> ReconciliationEvent {
    ReconciliationRequested { by: None }.into()
}

fn result(differences_total: u64) -> ReconciliationCompleted {
    ReconciliationCompleted {
        provider: "sandbox".to_owned(),
        books_from: Timestamp::from_micros(0),
        books_until: Timestamp::from_micros(2),
        books_next: Timestamp::from_micros(1),
        currencies: Vec::new(),
        differences: Vec::new(),
        differences_total,
        in_transit: Vec::new(),
        in_transit_total: 0,
    }
}

fn complete(differences_total: u64) -> ReconciliationCommand {
    ReconciliationCommand::Complete { result: Box::new(result(differences_total)) }
}

#[test]
fn administrators_and_the_machinery_have_the_books_compared() {
    let ask = || given_nothing::<Reconciliation>().when(ReconciliationCommand::Request);
    ask().by(Actor::System).then([requested()]);
    let by = admin().account();
    ask().by(admin()).then([ReconciliationRequested { by }.into()]);
    for actor in [client(ama()), worker(kofi()), service()] {
        ask().by(actor).then_forbidden("not_an_admin");
    }
}

#[test]
fn what_was_asked_for_is_not_asked_for_again() {
    given::<Reconciliation>([requested()]).when(ReconciliationCommand::Request).by(admin()).then_nothing();
}

#[test]
fn the_first_result_counts() {
    given::<Reconciliation>([requested()])
        .when(complete(0))
        .by(Actor::System)
        .then([ReconciliationEvent::from(result(0))]);
    let done = || given::<Reconciliation>([requested(), result(0).into()]);
    done().when(complete(7)).by(Actor::System).then_nothing();
    let state = fold::<Reconciliation>([requested(), result(0).into()]);
    assert!(!state.is_open() && state.completed() == Some(&result(0)));
    assert_survives_a_snapshot(&state);
}

#[test]
fn nobody_else_says_what_came_of_it_and_nothing_comes_of_what_nobody_asked_for() {
    given::<Reconciliation>([requested()]).when(complete(0)).by(admin()).then_forbidden("internal_only");
    let unasked = given_nothing::<Reconciliation>().when(complete(0)).by(Actor::System);
    unasked.then_not_found("reconciliation_not_found");
}

#[test]
fn every_day_has_one_comparison() {
    let at = |micros: i64| ReconciliationId::of_day(Timestamp::from_micros(micros));
    assert_eq!(at(0), at(DAY_MICROS - 1));
    assert_ne!(at(0), at(DAY_MICROS));
    assert_ne!(at(0), at(-1));
}
