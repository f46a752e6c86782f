//! Receipts: what a provider told is kept once and passed on to whom it concerns.

use commands::{
    payment::PaymentCommand,
    payout::PayoutCommand,
    process::{ProcessManager, StepCommand},
    receipt::{Receipt, ReceiptCommand},
};
use events::{
    ids::ReceiptId,
    vocabulary::{
        StepChange, StepOutcome,
        payments::{Notice, ReceiptEvent, ReceiptRecorded, ReceiptSettled},
    },
};

use super::{fixtures::*, scenario::*};

fn confirmation() -> Notice {
    let (reference, amount) = ("ch_1".to_owned(), cedis(10_000));
    Notice::PaymentConfirmed { payment: the_payment(), attempt: 1, reference, amount }
}

fn record(notice: Notice) -> ReceiptCommand {
    let (provider, event) = ("sandbox".to_owned(), "evt_1".to_owned());
    ReceiptCommand::Record { provider, event, notice, body: Some(sealed(ama(), "all of it")) }
}

fn recorded(notice: Notice) -> ReceiptEvent {
    let (provider, event) = ("sandbox".to_owned(), "evt_1".to_owned());
    ReceiptRecorded { provider, event, notice, body: Some(sealed(ama(), "all of it")) }.into()
}

fn settled(outcome: StepOutcome) -> ReceiptEvent {
    ReceiptSettled { outcome }.into()
}

fn refused() -> StepOutcome {
    StepOutcome::Refused { code: "attempt_not_found".to_owned() }
}

#[test]
fn what_a_provider_tells_is_kept_once_however_often_it_is_told() {
    given_nothing::<Receipt>().when(record(confirmation())).then([recorded(confirmation())]);
    let again = ReceiptCommand::Record {
        provider: "sandbox".to_owned(),
        event: "evt_1".to_owned(),
        notice: confirmation(),
        body: Some(sealed(ama(), "sealed anew")),
    };
    given::<Receipt>([recorded(confirmation())]).when(again).then_nothing();
}

#[test]
fn two_stories_under_one_name_are_refused() {
    let other = record(Notice::RefundPaid { payment: the_payment(), refund: 1 });
    given::<Receipt>([recorded(confirmation())]).when(other).then_too_late("receipt_differs");
    let nameless = ReceiptCommand::Record {
        provider: "sandbox".to_owned(),
        event: " ".to_owned(),
        notice: confirmation(),
        body: None,
    };
    given_nothing::<Receipt>().when(nameless).then_invalid("event_missing");
}

#[test]
fn an_event_of_a_provider_has_one_receipt_whoever_keeps_it() {
    assert_eq!(ReceiptId::of("sandbox", "evt_1"), ReceiptId::of("sandbox", "evt_1"));
    assert_ne!(ReceiptId::of("sandbox", "evt_1"), ReceiptId::of("other", "evt_1"));
    assert_ne!(ReceiptId::of("sandbox", "evt_1"), ReceiptId::of("sandbox", "evt_2"));
}

#[test]
fn what_concerns_nobody_is_settled_at_once() {
    let other = Notice::Other { name: "customer.updated".to_owned() };
    given_nothing::<Receipt>()
        .when(record(other.clone()))
        .then([recorded(other), settled(StepOutcome::Done)]);
}

#[test]
fn a_notice_is_passed_on_to_whom_it_concerns() {
    let (payment, payout, attempt) = (the_payment(), the_payout(), 2);
    let (reference, code) = (|| "ref".to_owned(), || "a_code".to_owned());
    let to_payment = |command| StepCommand::Payment(payment, command);
    let to_payout = |command| StepCommand::Payout(payout, command);
    let amount = cedis(5);
    let told = [
        (
            Notice::PaymentActionRequired { payment, attempt },
            to_payment(PaymentCommand::RequireAction { attempt }),
        ),
        (Notice::PaymentAuthorized { payment, attempt }, to_payment(PaymentCommand::Authorize { attempt })),
        (
            Notice::PaymentConfirmed { payment, attempt, reference: reference(), amount },
            to_payment(PaymentCommand::Confirm { attempt, reference: reference(), amount }),
        ),
        (
            Notice::PaymentFailed { payment, attempt, code: code() },
            to_payment(PaymentCommand::FailAttempt { attempt, code: code() }),
        ),
        (Notice::RefundPaid { payment, refund: 3 }, to_payment(PaymentCommand::ConfirmRefund { refund: 3 })),
        (
            Notice::RefundFailed { payment, refund: 3, code: code() },
            to_payment(PaymentCommand::FailRefund { refund: 3, code: code() }),
        ),
        (
            Notice::PayoutPaid { payout, attempt, reference: reference() },
            to_payout(PayoutCommand::ConfirmPaid { attempt, reference: reference() }),
        ),
        (
            Notice::PayoutFailed { payout, attempt, code: code() },
            to_payout(PayoutCommand::Fail { attempt, code: code() }),
        ),
        (
            Notice::PayoutReturned { payout, attempt, code: code() },
            to_payout(PayoutCommand::Reverse { attempt, code: code() }),
        ),
    ];
    for (notice, expected) in told {
        let receipt: Receipt = fold([recorded(notice)]);
        assert_eq!(receipt.open_step(id(1), 1), Some(expected));
        assert_eq!(receipt.open_step(id(1), 2), None);
    }
}

#[test]
fn what_came_of_it_is_written_down_once_refusals_included() {
    for outcome in [StepOutcome::Done, refused()] {
        let settle = Receipt::settle(1, outcome.clone());
        let kept = recorded(confirmation());
        given::<Receipt>([kept.clone()]).when(settle.clone()).then([settled(outcome.clone())]);
        given::<Receipt>([kept.clone(), settled(refused())]).when(settle).then_nothing();
        let receipt: Receipt = fold([kept, settled(outcome.clone())]);
        assert_eq!((receipt.outcome(), receipt.open_step(id(1), 1)), (Some(&outcome), None));
    }
    given_nothing::<Receipt>().when(Receipt::settle(1, StepOutcome::Done)).then_nothing();
    assert_eq!(recorded(confirmation()).step_change(), Some(StepChange::Requested(1)));
}

#[test]
fn the_machinery_alone_keeps_receipts() {
    for command in [record(confirmation()), Receipt::settle(1, StepOutcome::Done)] {
        for actor in [client(ama()), admin(), service()] {
            given_nothing::<Receipt>().when(command.clone()).by(actor).then_forbidden("internal_only");
        }
    }
}
