//! Payouts: asked for, looked at when they are large, sent with a batch, tried again, paid, and sometimes returned.

use commands::{
    Policy,
    payout::{Payout, PayoutCommand, PayoutStatus},
};
use events::{
    Timestamp,
    vocabulary::{
        identity::Role,
        payments::{
            PayoutApproved, PayoutCancelled, PayoutDispatched, PayoutEvent, PayoutFailed, PayoutPaid,
            PayoutRejected, PayoutRequested, PayoutRequeued, PayoutReversed, PayoutReviewRequested,
        },
    },
};

use super::{fixtures::*, scenario::*};

const HOUR_MS: i64 = 60 * MINUTE_MS;

fn request_of(amount: i64) -> PayoutCommand {
    PayoutCommand::Request { amount: cedis(amount), destination: id(0x51), token: "ba_1".to_owned() }
}

fn requested_of(amount: i64) -> PayoutEvent {
    let (amount, destination, token) = (cedis(amount), id(0x51), "ba_1".to_owned());
    PayoutRequested { account: kofi(), amount, destination, token }.into()
}

fn requested() -> PayoutEvent {
    requested_of(9_000)
}

fn review() -> PayoutEvent {
    PayoutReviewRequested {}.into()
}

/// It is noon; batches go on the hour.
fn one_o_clock() -> Timestamp {
    noon_plus(HOUR_MS)
}

fn approved() -> PayoutEvent {
    PayoutApproved { by: None, dispatch_at: one_o_clock() }.into()
}

fn dispatched(attempt: u32) -> PayoutEvent {
    PayoutDispatched { attempt }.into()
}

fn paid(attempt: u32, reference: &str) -> PayoutEvent {
    let (reference, transfer) = (reference.to_owned(), fresh_transfer(0));
    PayoutPaid { attempt, reference, amount: cedis(9_000), transfer }.into()
}

fn failed(attempt: u32) -> PayoutEvent {
    PayoutFailed { attempt, code: "bank_away".to_owned() }.into()
}

fn requeued() -> PayoutEvent {
    PayoutRequeued { dispatch_at: one_o_clock() }.into()
}

fn reversed(attempt: u32) -> PayoutEvent {
    let (code, transfer) = ("account_closed".to_owned(), fresh_transfer(1));
    PayoutReversed { attempt, code, amount: cedis(9_000), transfer }.into()
}

fn cancelled() -> PayoutEvent {
    PayoutCancelled { by: None }.into()
}

fn confirm(attempt: u32) -> PayoutCommand {
    PayoutCommand::ConfirmPaid { attempt, reference: "po_1".to_owned() }
}

fn fail(attempt: u32) -> PayoutCommand {
    PayoutCommand::Fail { attempt, code: "bank_away".to_owned() }
}

fn reverse(attempt: u32) -> PayoutCommand {
    PayoutCommand::Reverse { attempt, code: "account_closed".to_owned() }
}

fn and(further: impl IntoIterator<Item = PayoutEvent>) -> Vec<PayoutEvent> {
    [requested()].into_iter().chain(further).collect()
}

/// A history that leads to each status there is to stay in.
fn histories() -> Vec<(PayoutStatus, Vec<PayoutEvent>)> {
    let sent = || [approved(), dispatched(1)];
    vec![
        (PayoutStatus::Requested, and([])),
        (PayoutStatus::InReview, and([review()])),
        (PayoutStatus::Queued, and([approved()])),
        (PayoutStatus::Processing, and(sent())),
        (PayoutStatus::Failed, and(sent().into_iter().chain([failed(1)]))),
        (PayoutStatus::Paid, and(sent().into_iter().chain([paid(1, "po_1")]))),
        (PayoutStatus::Reversed, and(sent().into_iter().chain([paid(1, "po_1"), reversed(1)]))),
        (PayoutStatus::Rejected, and([review(), PayoutRejected { by: id(0xad) }.into()])),
        (PayoutStatus::Cancelled, and([cancelled()])),
    ]
}

#[test]
fn money_goes_nowhere_without_a_destination() {
    let gone = PayoutCommand::Request { amount: cedis(9_000), destination: id(0x51), token: String::new() };
    given_nothing::<Payout>().when(gone).by(worker(kofi())).then_not_found("payout_destination_not_found");
}

#[test]
fn a_user_asks_for_money_once() {
    given_nothing::<Payout>().when(request_of(9_000)).by(worker(kofi())).then([requested()]);
    given::<Payout>([requested()]).when(request_of(9_000)).by(worker(kofi())).then_nothing();
    given::<Payout>([requested()])
        .when(request_of(1))
        .by(worker(kofi()))
        .then_too_late("payout_already_exists");
    given_nothing::<Payout>().when(request_of(0)).by(worker(kofi())).then_invalid("amount_not_positive");
    given_nothing::<Payout>().when(request_of(1)).by(service()).then_forbidden("not_an_account");
}

#[test]
fn a_small_payout_waits_for_its_batch_and_a_large_one_for_somebody_to_look_at_it() {
    given::<Payout>([requested_of(499_999)]).when(PayoutCommand::Admit).then([approved()]);
    given::<Payout>([requested_of(500_000)]).when(PayoutCommand::Admit).then([review()]);
    for (status, history) in histories().into_iter().skip(1) {
        assert_eq!(fold::<Payout>(history.clone()).status(), Some(status));
        given::<Payout>(history).when(PayoutCommand::Admit).then_nothing();
    }
}

#[test]
fn batches_go_on_the_hour() {
    for (now, batch) in [(-1, 0), (0, 1), (1, 1), (HOUR_MS - 1, 1)] {
        let approved = PayoutApproved { by: None, dispatch_at: noon_plus(batch * HOUR_MS) };
        given::<Payout>([requested()]).when(PayoutCommand::Admit).at(noon_plus(now)).then([approved.into()]);
    }
}

#[test]
fn an_administrator_decides_on_what_is_in_review() {
    let by = Some(id(0xad));
    let approved = PayoutApproved { by, dispatch_at: one_o_clock() };
    given::<Payout>(and([review()])).when(PayoutCommand::Approve).by(admin()).then([approved.into()]);
    let rejected = PayoutRejected { by: id(0xad) };
    given::<Payout>(and([review()])).when(PayoutCommand::Reject).by(admin()).then([rejected.into()]);
    for command in [PayoutCommand::Approve, PayoutCommand::Reject] {
        for (_, history) in histories().into_iter().filter(|(status, _)| *status != PayoutStatus::InReview) {
            given::<Payout>(history).when(command.clone()).by(admin()).then_too_late("payout_not_in_review");
        }
        for actor in [worker(kofi()), client(ama()), service(), process()] {
            let asked = given::<Payout>(and([review()])).when(command.clone()).by(actor);
            asked.then_forbidden("not_an_admin");
        }
        let asked = given::<Payout>(and([review()])).when(command).by(as_role(kofi(), Role::Admin));
        asked.then_forbidden("own_payout");
    }
}

#[test]
fn a_payout_is_taken_back_before_it_is_sent() {
    let by_kofi: PayoutEvent = PayoutCancelled { by: Some(kofi()) }.into();
    for (status, history) in histories() {
        let asked = given::<Payout>(history).when(PayoutCommand::Cancel).by(worker(kofi()));
        match status {
            PayoutStatus::Requested | PayoutStatus::Queued | PayoutStatus::Failed => {
                asked.then([by_kofi.clone()]);
            }
            PayoutStatus::Cancelled => asked.then_nothing(),
            PayoutStatus::InReview
            | PayoutStatus::Processing
            | PayoutStatus::Paid
            | PayoutStatus::Reversed
            | PayoutStatus::Rejected => asked.then_too_late("payout_not_cancellable"),
        }
    }
    given::<Payout>([requested()])
        .when(PayoutCommand::Cancel)
        .by(worker(yaw()))
        .then_forbidden("not_your_payout");
    given::<Payout>([requested()]).when(PayoutCommand::Cancel).then([cancelled()]);
}

#[test]
fn a_payout_is_sent_once_for_each_attempt() {
    given::<Payout>(and([approved()])).when(PayoutCommand::Dispatch).then([dispatched(1)]);
    let again = and([approved(), dispatched(1), failed(1), requeued()]);
    given::<Payout>(again).when(PayoutCommand::Dispatch).then([dispatched(2)]);
    for (_, history) in histories().into_iter().filter(|(status, _)| *status != PayoutStatus::Queued) {
        given::<Payout>(history).when(PayoutCommand::Dispatch).then_nothing();
    }
}

#[test]
fn the_effect_is_told_what_it_needs_while_an_answer_is_waited_for() {
    for (status, history) in histories() {
        let payout: Payout = fold(history);
        let open = payout.open_dispatch().map(|open| (open.attempt, open.amount, open.token));
        let expected = (status == PayoutStatus::Processing).then_some((1, cedis(9_000), "ba_1"));
        assert_eq!(open, expected);
    }
}

#[test]
fn what_the_provider_paid_is_paid_once() {
    let sent = and([approved(), dispatched(1)]);
    given::<Payout>(sent.clone()).when(confirm(1)).then([paid(1, "po_1")]);
    for further in [vec![paid(1, "po_1")], vec![paid(1, "po_1"), reversed(1)]] {
        given::<Payout>([sent.clone(), further].concat()).when(confirm(1)).then_nothing();
    }
    given::<Payout>(sent).when(confirm(2)).then_too_late("attempt_not_open");
}

#[test]
fn what_failed_is_tried_again_and_given_up_in_the_end() {
    let sent = and([approved(), dispatched(1)]);
    given::<Payout>(sent.clone()).when(fail(1)).then([failed(1), requeued()]);
    let mut once = Policy::default();
    once.money.payout_attempts_max = 1;
    given::<Payout>(sent.clone()).when(fail(1)).under(once).then([failed(1), cancelled()]);
    for further in [vec![requeued()], vec![requeued(), dispatched(2)], vec![cancelled()]] {
        let history = [sent.clone(), vec![failed(1)], further].concat();
        given::<Payout>(history).when(fail(1)).then_nothing();
    }
    let paid = [sent, vec![paid(1, "po_1")]].concat();
    given::<Payout>(paid).when(fail(1)).then_too_late("attempt_not_open");
}

#[test]
fn what_was_paid_may_come_back_also_before_anybody_said_that_it_was_paid() {
    let sent = and([approved(), dispatched(1)]);
    let paid_before = [sent.clone(), vec![paid(1, "po_1")]].concat();
    given::<Payout>(paid_before.clone()).when(reverse(1)).then([reversed(1)]);
    given::<Payout>(sent).when(reverse(1)).then([paid(1, "account_closed"), reversed(1)]);
    let back = [paid_before, vec![reversed(1)]].concat();
    given::<Payout>(back).when(reverse(1)).then_nothing();
    given::<Payout>(and([approved()])).when(reverse(1)).then_too_late("attempt_not_open");
}

#[test]
fn the_machinery_alone_speaks_for_the_provider_and_the_wallet() {
    for command in [PayoutCommand::Admit, PayoutCommand::Dispatch, confirm(1), fail(1), reverse(1)] {
        for actor in [worker(kofi()), admin(), service()] {
            given::<Payout>([requested()]).when(command.clone()).by(actor).then_forbidden("internal_only");
        }
    }
    for command in [PayoutCommand::Admit, PayoutCommand::Cancel, confirm(1)] {
        given_nothing::<Payout>().when(command).then_not_found("payout_not_found");
    }
}
