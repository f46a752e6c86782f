//! The test clock: forward only, by operators only, and not without end.

use commands::{
    Actor,
    test_clock::{TestClock, TestClockCommand, the_test_clock},
};
use events::vocabulary::{
    admin::{TestClockEvent, TestClockMoved},
    identity::Role,
};

use super::{fixtures::*, scenario::*};

const CENTURY_MS: i64 = 100 * 366 * DAY_MS;

fn advance(by_ms: i64) -> TestClockCommand {
    TestClockCommand::Advance { by_ms }
}

fn moved(offset_ms: i64) -> TestClockEvent {
    TestClockMoved { offset_ms }.into()
}

#[test]
fn time_adds_up() {
    given_nothing::<TestClock>().when(advance(DAY_MS)).then([moved(DAY_MS)]);
    given::<TestClock>([moved(DAY_MS)]).when(advance(1)).then([moved(DAY_MS + 1)]);
    assert_eq!(fold::<TestClock>([moved(DAY_MS), moved(2 * DAY_MS)]).offset_ms(), 2 * DAY_MS);
}

#[test]
fn time_does_not_run_backwards_or_stand() {
    for by_ms in [0, -1, i64::MIN] {
        given::<TestClock>([moved(DAY_MS)]).when(advance(by_ms)).then_invalid("time_not_forward");
    }
}

#[test]
fn time_does_not_leave_the_calendar() {
    given_nothing::<TestClock>().when(advance(CENTURY_MS)).then([moved(CENTURY_MS)]);
    given::<TestClock>([moved(CENTURY_MS)]).when(advance(1)).then_invalid("time_too_far");
    given::<TestClock>([moved(1)]).when(advance(i64::MAX)).then_invalid("time_too_far");
}

#[test]
fn only_operators_move_time() {
    for actor in [as_role(ama(), Role::Operator), admin(), service(), Actor::System] {
        given_nothing::<TestClock>().when(advance(1)).by(actor).then([moved(1)]);
    }
    for actor in [client(ama()), worker(kofi()), as_role(ama(), Role::Analyst), process()] {
        given_nothing::<TestClock>().when(advance(1)).by(actor).then_forbidden("not_an_operator");
    }
}

#[test]
fn there_is_one_test_clock() {
    assert_eq!(the_test_clock().to_string(), "clk_00000000000000000000000000000000");
}
