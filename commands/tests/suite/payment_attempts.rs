//! A payment up to its confirmation: one attempt at a time, in time, and the provider's last word counts.

use commands::{
    Policy,
    payment::{AttemptState, Payment, PaymentCommand, PaymentStatus},
};
use events::{
    Money,
    vocabulary::payments::{
        PaymentActionRequired, PaymentAttemptFailed, PaymentAttemptStarted, PaymentAuthorized,
        PaymentCancelled, PaymentConfirmed, PaymentConfirmedLate, PaymentCreated, PaymentEvent,
        PaymentExpired, PaymentRefundRequested, RefundReason,
    },
};

use super::{fixtures::*, scenario::*};

pub fn created() -> PaymentEvent {
    let (payer, contract, milestone) = (ama(), the_contract(), 1);
    let expires_at = noon_plus(15 * MINUTE_MS);
    PaymentCreated { payer, amount: cedis(10_000), contract, milestone, expires_at }.into()
}

pub fn started(attempt: u32) -> PaymentEvent {
    PaymentAttemptStarted { attempt, method: id(0x41), token: "tok_visa".to_owned() }.into()
}

pub fn failed(attempt: u32) -> PaymentEvent {
    PaymentAttemptFailed { attempt, code: "card_declined".to_owned() }.into()
}

pub fn confirmed(attempt: u32) -> PaymentEvent {
    let (reference, amount) = ("ch_1".to_owned(), cedis(10_000));
    PaymentConfirmed { attempt, reference, amount, transfer: fresh_transfer(0) }.into()
}

pub fn confirmed_late(attempt: u32) -> PaymentEvent {
    PaymentConfirmedLate { attempt, reference: "ch_1".to_owned(), amount: cedis(10_000) }.into()
}

pub fn refund(refund: u32, attempt: u32, amount: Money, reason: RefundReason) -> PaymentEvent {
    PaymentRefundRequested { refund, attempt, amount, reason }.into()
}

fn action_required(attempt: u32) -> PaymentEvent {
    PaymentActionRequired { attempt }.into()
}

fn authorized(attempt: u32) -> PaymentEvent {
    PaymentAuthorized { attempt }.into()
}

fn expired() -> PaymentEvent {
    PaymentExpired {}.into()
}

fn cancelled() -> PaymentEvent {
    PaymentCancelled { by: Some(ama()) }.into()
}

fn attempt() -> PaymentCommand {
    PaymentCommand::Attempt { method: id(0x41), token: "tok_visa".to_owned() }
}

fn fail(attempt: u32) -> PaymentCommand {
    PaymentCommand::FailAttempt { attempt, code: "card_declined".to_owned() }
}

pub fn confirm(attempt: u32) -> PaymentCommand {
    PaymentCommand::Confirm { attempt, reference: "ch_1".to_owned(), amount: cedis(10_000) }
}

fn create() -> PaymentCommand {
    let (payer, contract, milestone) = (ama(), the_contract(), 1);
    PaymentCommand::Create { payer, amount: cedis(10_000), contract, milestone }
}

pub fn created_and(further: impl IntoIterator<Item = PaymentEvent>) -> Vec<PaymentEvent> {
    [created()].into_iter().chain(further).collect()
}

#[test]
fn a_payment_is_created_once_and_keeps_its_time() {
    given_nothing::<Payment>().when(create()).by(process()).then([created()]);
    given::<Payment>([created()]).when(create()).at(noon_plus(MINUTE_MS)).then_nothing();
    let (payer, contract) = (ama(), the_contract());
    let other = PaymentCommand::Create { payer, amount: cedis(1), contract, milestone: 1 };
    given::<Payment>([created()]).when(other).then_too_late("payment_already_exists");
    let nothing = PaymentCommand::Create { payer, amount: cedis(0), contract, milestone: 1 };
    given_nothing::<Payment>().when(nothing).then_invalid("amount_not_positive");
}

#[test]
fn the_payer_tries_and_tries_again_with_another_card() {
    given::<Payment>([created()]).when(attempt()).by(client(ama())).then([started(1)]);
    let declined = created_and([started(1), failed(1)]);
    given::<Payment>(declined).when(attempt()).by(client(ama())).then([started(2)]);
}

#[test]
fn a_means_of_paying_that_is_not_there_pays_nothing() {
    let gone = PaymentCommand::Attempt { method: id(0x41), token: String::new() };
    given::<Payment>([created()]).when(gone).by(client(ama())).then_not_found("payment_method_not_found");
}

#[test]
fn who_looks_at_a_payment_sees_every_attempt_and_why_it_failed() {
    let payment = fold::<Payment>(created_and([started(1), failed(1), started(2)]));
    let seen: Vec<_> = payment.attempts().map(|line| (line.attempt, line.state, line.failure)).collect();
    assert_eq!(seen, [(1, AttemptState::Failed, Some("card_declined")), (2, AttemptState::Open, None)]);
    let payment = fold::<Payment>(created_and([started(1), failed(1), started(2), confirmed(1)]));
    let first = payment.attempts().next().expect("there is one");
    assert_eq!((first.state, first.failure), (AttemptState::Confirmed, Some("card_declined")));
}

#[test]
fn one_attempt_is_under_way_at_a_time() {
    for further in [vec![started(1)], vec![started(1), action_required(1)], vec![started(1), authorized(1)]] {
        given::<Payment>(created_and(further))
            .when(attempt())
            .by(client(ama()))
            .then_too_late("attempt_under_way");
    }
}

#[test]
fn a_payment_that_is_made_or_over_is_not_attempted() {
    for further in [vec![started(1), confirmed(1)], vec![expired()], vec![cancelled()]] {
        given::<Payment>(created_and(further))
            .when(attempt())
            .by(client(ama()))
            .then_too_late("payment_not_awaited");
    }
    // The timer may be late, the rule is not.
    given::<Payment>([created()])
        .when(attempt())
        .by(client(ama()))
        .at(noon_plus(15 * MINUTE_MS))
        .then_too_late("payment_not_awaited");
}

#[test]
fn attempts_are_bounded() {
    let mut policy = Policy::default();
    policy.money.payment_attempts_max = 1;
    given::<Payment>(created_and([started(1), failed(1)]))
        .when(attempt())
        .by(client(ama()))
        .under(policy)
        .then_too_late("too_many_attempts");
}

#[test]
fn only_the_payer_attempts_and_cancels() {
    for actor in [client(esi()), worker(kofi()), admin(), service()] {
        for command in [attempt(), PaymentCommand::Cancel] {
            given::<Payment>([created()]).when(command).by(actor.clone()).then_forbidden("not_the_payer");
        }
    }
}

#[test]
fn the_provider_tells_how_far_it_is_and_what_comes_late_is_nothing_new() {
    let (require, authorize) =
        (PaymentCommand::RequireAction { attempt: 1 }, PaymentCommand::Authorize { attempt: 1 });
    given::<Payment>(created_and([started(1)])).when(require.clone()).then([action_required(1)]);
    given::<Payment>(created_and([started(1)])).when(authorize.clone()).then([authorized(1)]);
    let asked = created_and([started(1), action_required(1)]);
    given::<Payment>(asked).when(authorize.clone()).then([authorized(1)]);
    let late = [
        vec![started(1), authorized(1)],
        vec![started(1), failed(1)],
        vec![started(1), failed(1), started(2)],
        vec![started(1), confirmed(1)],
        vec![started(1), expired()],
    ];
    for further in late {
        for command in [require.clone(), authorize.clone()] {
            given::<Payment>(created_and(further.clone())).when(command).then_nothing();
        }
    }
}

#[test]
fn an_attempt_fails_once_and_a_failure_that_comes_late_is_nothing_new() {
    given::<Payment>(created_and([started(1)])).when(fail(1)).then([failed(1)]);
    for further in [vec![started(1), failed(1)], vec![started(1), confirmed(1)]] {
        given::<Payment>(created_and(further)).when(fail(1)).then_nothing();
    }
    // What a payment that has ended left open is closed, and the payment stays where it is.
    given::<Payment>(created_and([started(1), expired()])).when(fail(1)).then([failed(1)]);
    let closed: Payment = fold(created_and([started(1), expired(), failed(1)]));
    assert_eq!((closed.status(), closed.open_attempts().count()), (Some(PaymentStatus::Expired), 0));
}

#[test]
fn a_confirmation_in_time_sends_the_money_to_escrow_once() {
    for before in [vec![], vec![action_required(1)], vec![authorized(1)], vec![failed(1)]] {
        let further = [started(1)].into_iter().chain(before);
        given::<Payment>(created_and(further)).when(confirm(1)).then([confirmed(1)]);
    }
    given::<Payment>(created_and([started(1), confirmed(1)])).when(confirm(1)).then_nothing();
}

#[test]
fn a_confirmation_after_the_end_is_taken_and_sent_back_once() {
    for end in [expired(), cancelled()] {
        let history = created_and([started(1), end]);
        let back = [confirmed_late(1), refund(1, 1, cedis(10_000), RefundReason::Late)];
        given::<Payment>(history.clone()).when(confirm(1)).then(back.clone());
        given::<Payment>([history, back.to_vec()].concat()).when(confirm(1)).then_nothing();
    }
}

#[test]
fn money_that_comes_a_second_time_goes_back() {
    let history = created_and([started(1), failed(1), started(2), confirmed(2)]);
    let back = [confirmed_late(1), refund(1, 1, cedis(10_000), RefundReason::Repeated)];
    given::<Payment>(history).when(confirm(1)).then(back);
}

#[test]
fn another_amount_and_another_attempt_are_not_what_is_waited_for() {
    for amount in [cedis(9_999), money(10_000, "USD")] {
        let command = PaymentCommand::Confirm { attempt: 1, reference: "ch_1".to_owned(), amount };
        given::<Payment>(created_and([started(1)])).when(command).then_invalid("amount_differs");
    }
    for command in [confirm(2), fail(0), PaymentCommand::Authorize { attempt: 2 }] {
        given::<Payment>(created_and([started(1)])).when(command).then_not_found("attempt_not_found");
    }
}

#[test]
fn a_payment_that_is_awaited_expires_and_any_other_does_not() {
    for further in [vec![], vec![started(1)], vec![started(1), authorized(1)]] {
        given::<Payment>(created_and(further)).when(PaymentCommand::Expire).then([expired()]);
    }
    for further in [vec![started(1), confirmed(1)], vec![expired()], vec![cancelled()]] {
        given::<Payment>(created_and(further)).when(PaymentCommand::Expire).then_nothing();
    }
}

#[test]
fn the_payer_cancels_what_is_awaited() {
    for further in [vec![], vec![started(1)]] {
        given::<Payment>(created_and(further))
            .when(PaymentCommand::Cancel)
            .by(client(ama()))
            .then([cancelled()]);
    }
    given::<Payment>(created_and([cancelled()])).when(PaymentCommand::Cancel).then_nothing();
    for further in [vec![started(1), confirmed(1)], vec![expired()]] {
        given::<Payment>(created_and(further))
            .when(PaymentCommand::Cancel)
            .then_too_late("payment_not_awaited");
    }
}

#[test]
fn the_machinery_alone_speaks_for_the_provider() {
    let commands = [
        create(),
        PaymentCommand::RequireAction { attempt: 1 },
        PaymentCommand::Authorize { attempt: 1 },
        fail(1),
        confirm(1),
        PaymentCommand::Expire,
        PaymentCommand::TakeBack { transfer: transfer(1), amount: cedis(1) },
        PaymentCommand::ConfirmRefund { refund: 1 },
    ];
    for command in commands {
        for actor in [client(ama()), admin(), service()] {
            let history = created_and([started(1)]);
            given::<Payment>(history).when(command.clone()).by(actor).then_forbidden("internal_only");
        }
    }
}

#[test]
fn nothing_is_asked_of_a_payment_that_is_not_there() {
    for command in [confirm(1), PaymentCommand::Expire, PaymentCommand::Cancel] {
        given_nothing::<Payment>().when(command).then_not_found("payment_not_found");
    }
}
