//! What goes back to the payer: all that escrow refused or returned, and what came late or twice.

use commands::payment::{OpenRefund, Payment, PaymentCommand, PaymentStatus};
use events::{
    Money,
    vocabulary::payments::{
        PaymentEvent, PaymentExpired, PaymentRefundFailed, PaymentRefundReplaced, PaymentRefunded,
        PaymentTransferReturned, RefundReason,
    },
};

use super::{fixtures::*, payment_attempts::*, scenario::*};

fn take_back(number: u128, amount: Money) -> PaymentCommand {
    PaymentCommand::TakeBack { transfer: transfer(number), amount }
}

fn returned(number: u128, amount: Money) -> PaymentEvent {
    PaymentTransferReturned { transfer: transfer(number), amount }.into()
}

fn back(number: u32, amount: Money) -> PaymentEvent {
    refund(number, 1, amount, RefundReason::Returned)
}

fn refunded(refund: u32, amount: Money) -> PaymentEvent {
    PaymentRefunded { refund, amount }.into()
}

fn refund_failed(refund: u32) -> PaymentEvent {
    PaymentRefundFailed { refund, amount: cedis(10_000), code: "refund_refused".to_owned() }.into()
}

fn fail_refund(refund: u32) -> PaymentCommand {
    PaymentCommand::FailRefund { refund, code: "refund_refused".to_owned() }
}

/// It came when nobody waited for it any more, and goes back.
fn came_late_and(further: impl IntoIterator<Item = PaymentEvent>) -> Vec<PaymentEvent> {
    let late = refund(1, 1, cedis(10_000), RefundReason::Late);
    let history = [started(1), PaymentExpired {}.into(), confirmed_late(1), late];
    created_and(history.into_iter().chain(further))
}

fn in_escrow_and(further: impl IntoIterator<Item = PaymentEvent>) -> Vec<PaymentEvent> {
    created_and([started(1), confirmed(1)].into_iter().chain(further))
}

#[test]
fn what_escrow_returns_goes_to_the_payer_once() {
    let events = [returned(1, cedis(10_000)), back(1, cedis(10_000))];
    given::<Payment>(in_escrow_and([])).when(take_back(1, cedis(10_000))).then(events.clone());
    given::<Payment>(in_escrow_and(events)).when(take_back(1, cedis(10_000))).then_nothing();
}

#[test]
fn no_more_comes_back_than_went_to_escrow() {
    given::<Payment>(in_escrow_and([]))
        .when(take_back(1, cedis(10_001)))
        .then_too_late("payment_not_in_escrow");
    let part = in_escrow_and([returned(1, cedis(4_000)), back(1, cedis(4_000))]);
    given::<Payment>(part.clone()).when(take_back(2, cedis(6_001))).then_too_late("payment_not_in_escrow");
    let rest = [returned(2, cedis(6_000)), back(2, cedis(6_000))];
    given::<Payment>(part).when(take_back(2, cedis(6_000))).then(rest);
    given::<Payment>(created_and([started(1)]))
        .when(take_back(1, cedis(1)))
        .then_too_late("payment_not_in_escrow");
    given::<Payment>(in_escrow_and([])).when(take_back(1, cedis(0))).then_invalid("amount_not_positive");
}

#[test]
fn a_refund_is_confirmed_once_and_the_price_counts() {
    let part = in_escrow_and([returned(1, cedis(4_000)), back(1, cedis(4_000))]);
    let confirm = |refund| PaymentCommand::ConfirmRefund { refund };
    given::<Payment>(part.clone()).when(confirm(1)).then([refunded(1, cedis(4_000))]);
    given::<Payment>(part.clone()).when(confirm(2)).then_not_found("refund_not_found");
    let partly = [part, vec![refunded(1, cedis(4_000))]].concat();
    given::<Payment>(partly.clone()).when(confirm(1)).then_nothing();
    assert_eq!(fold::<Payment>(partly.clone()).status(), Some(PaymentStatus::PartlyRefunded));
    let rest = [returned(2, cedis(6_000)), back(2, cedis(6_000)), refunded(2, cedis(6_000))];
    let payment: Payment = fold([partly, rest.to_vec()].concat());
    assert_eq!(payment.status(), Some(PaymentStatus::Refunded));
    assert_eq!(payment.payable(), Some(cedis(0)));
}

#[test]
fn what_came_late_goes_back_and_the_payment_stays_where_it_was() {
    let late = refund(1, 1, cedis(10_000), RefundReason::Late);
    let history = created_and([started(1), PaymentExpired {}.into(), confirmed_late(1), late]);
    let payment: Payment = fold(history.clone());
    assert_eq!(payment.payable(), Some(cedis(10_000)));
    let open = OpenRefund { refund: 1, attempt: 1, amount: cedis(10_000) };
    assert_eq!(payment.open_refunds().collect::<Vec<_>>(), [open]);
    given::<Payment>(history.clone())
        .when(PaymentCommand::ConfirmRefund { refund: 1 })
        .then([refunded(1, cedis(10_000))]);
    let payment: Payment = fold([history, vec![refunded(1, cedis(10_000))]].concat());
    assert_eq!((payment.status(), payment.payable()), (Some(PaymentStatus::Expired), Some(cedis(0))));
    assert_eq!(payment.open_refunds().count(), 0);
}

#[test]
fn what_came_twice_goes_back_and_the_price_stays_in_escrow() {
    let surplus = refund(1, 1, cedis(10_000), RefundReason::Repeated);
    let twice = [started(1), failed(1), started(2), confirmed(2), confirmed_late(1), surplus];
    let history = created_and(twice.into_iter().chain([refunded(1, cedis(10_000))]));
    assert_eq!(fold::<Payment>(history.clone()).status(), Some(PaymentStatus::Confirmed));
    let later = [returned(1, cedis(10_000)), refund(2, 2, cedis(10_000), RefundReason::Returned)];
    given::<Payment>(history).when(take_back(1, cedis(10_000))).then(later);
}

#[test]
fn a_refund_that_failed_is_still_owed_and_nobody_sends_it_again_by_itself() {
    given::<Payment>(came_late_and([])).when(fail_refund(1)).then([refund_failed(1)]);
    given::<Payment>(came_late_and([refund_failed(1)])).when(fail_refund(1)).then_nothing();
    given::<Payment>(came_late_and([refunded(1, cedis(10_000))])).when(fail_refund(1)).then_nothing();
    given::<Payment>(came_late_and([])).when(fail_refund(2)).then_not_found("refund_not_found");
    given::<Payment>(came_late_and([]))
        .when(fail_refund(1))
        .by(client(ama()))
        .then_forbidden("internal_only");
    let payment: Payment = fold(came_late_and([refund_failed(1)]));
    assert_eq!(payment.payable(), Some(cedis(10_000)));
    assert_eq!((payment.open_refunds().count(), payment.failed_refunds().collect::<Vec<_>>()), (0, vec![1]));
}

#[test]
fn an_administrator_orders_a_failed_refund_again_once_under_a_new_number() {
    let retry = || PaymentCommand::RetryRefund { refund: 1 };
    let replaced = PaymentEvent::from(PaymentRefundReplaced { refund: 1, by: 2 });
    let second = [replaced, refund(2, 1, cedis(10_000), RefundReason::Late)];
    let failed = || came_late_and([refund_failed(1)]);
    given::<Payment>(failed()).when(retry()).by(admin()).then(second.clone());
    given::<Payment>(failed()).when(retry()).by(client(ama())).then_forbidden("not_an_admin");
    given::<Payment>(came_late_and([])).when(retry()).by(admin()).then_too_late("refund_not_failed");
    let again = came_late_and([refund_failed(1)].into_iter().chain(second));
    given::<Payment>(again.clone()).when(retry()).by(admin()).then_too_late("refund_not_failed");
    given::<Payment>(again.clone())
        .when(PaymentCommand::ConfirmRefund { refund: 1 })
        .then_not_found("refund_not_found");
    let payment: Payment = fold(again.clone());
    assert_eq!((payment.payable(), payment.failed_refunds().count()), (Some(cedis(10_000)), 0));
    let payment: Payment = fold([again, vec![refunded(2, cedis(10_000))]].concat());
    assert_eq!(payment.payable(), Some(cedis(0)));
}

#[test]
fn the_price_ordered_back_twice_goes_back_once() {
    let price = cedis(10_000);
    let replaced = PaymentRefundReplaced { refund: 1, by: 2 }.into();
    let twice = [returned(1, price), back(1, price), refund_failed(1), replaced, back(2, price)];
    let history = in_escrow_and(twice);
    given::<Payment>(history.clone()).when(take_back(2, cedis(1))).then_too_late("payment_not_in_escrow");
    let payment: Payment = fold([history, vec![refunded(2, price)]].concat());
    assert_eq!((payment.status(), payment.payable()), (Some(PaymentStatus::Refunded), Some(cedis(0))));
}

#[test]
fn a_refund_that_arrives_after_it_failed_is_believed() {
    let failed = came_late_and([refund_failed(1)]);
    given::<Payment>(failed)
        .when(PaymentCommand::ConfirmRefund { refund: 1 })
        .then([refunded(1, cedis(10_000))]);
}
