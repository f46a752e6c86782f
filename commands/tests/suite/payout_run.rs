//! The payout run: from the wish to be paid to money that has left the wallet, or stays there.

use commands::{
    payout::PayoutCommand,
    payout_run::{BATCH_TIMER, PayoutRun, PayoutRunCommand, instance_of},
    process::{ProcessManager, StepCommand},
    wallet::{WalletCommand, hold_of_payout},
};
use events::{
    Timestamp,
    ids::WalletId,
    vocabulary::{
        StepOutcome,
        payments::{
            CreditSource, FundsHeld, HoldDeclined, HoldReason, PayoutApproved, PayoutCancelled,
            PayoutDispatched, PayoutEvent, PayoutPaid, PayoutRejected, PayoutRequeued, PayoutReversed,
            PayoutRunEnded, PayoutRunEvent, PayoutRunResult, PayoutRunStarted, PayoutRunStep,
            PayoutRunStepRequested, PayoutRunStepSettled, PayoutRunTimerStarted, PayoutRunTimerStopped,
            WalletEvent,
        },
    },
};

use super::{fixtures::*, recorded::recorded, scenario::*};

fn batch() -> Timestamp {
    noon_plus(60 * MINUTE_MS)
}

fn start() -> PayoutRunCommand {
    PayoutRunCommand::Start { account: kofi(), amount: cedis(9_000) }
}

fn requested(number: u32, step: PayoutRunStep) -> PayoutRunEvent {
    PayoutRunStepRequested { number, step }.into()
}

fn settled(number: u32, outcome: StepOutcome) -> PayoutRunEvent {
    PayoutRunStepSettled { number, outcome }.into()
}

fn done(number: u32) -> PayoutRunEvent {
    settled(number, StepOutcome::Done)
}

fn settle(number: u32, outcome: StepOutcome) -> PayoutRunCommand {
    PayoutRunCommand::SettleStep { number, outcome }
}

fn timer() -> PayoutRunEvent {
    PayoutRunTimerStarted { timer: BATCH_TIMER.to_owned(), due_at: batch() }.into()
}

fn timer_stopped() -> PayoutRunEvent {
    PayoutRunTimerStopped { timer: BATCH_TIMER.to_owned() }.into()
}

fn fire() -> PayoutRunCommand {
    PayoutRunCommand::FireTimer { timer: BATCH_TIMER.to_owned() }
}

fn ended(result: PayoutRunResult) -> PayoutRunEvent {
    PayoutRunEnded { result }.into()
}

fn dispatch() -> PayoutRunStep {
    PayoutRunStep::Dispatch { dispatch_at: batch() }
}

fn debit() -> PayoutRunStep {
    PayoutRunStep::DebitWallet { transfer: transfer(1) }
}

fn credit_back() -> PayoutRunStep {
    PayoutRunStep::CreditBack { transfer: transfer(2) }
}

fn started_and(further: impl IntoIterator<Item = PayoutRunEvent>) -> Vec<PayoutRunEvent> {
    let started = PayoutRunStarted { account: kofi(), amount: cedis(9_000) };
    let started = [started.into(), requested(1, PayoutRunStep::HoldFunds)];
    started.into_iter().chain(further).collect()
}

/// Held, admitted, and waiting for the batch.
fn queued_and(further: impl IntoIterator<Item = PayoutRunEvent>) -> Vec<PayoutRunEvent> {
    let queued = [done(1), requested(2, PayoutRunStep::Admit), done(2), timer()];
    started_and(queued.into_iter().chain(further))
}

fn sent_and(further: impl IntoIterator<Item = PayoutRunEvent>) -> Vec<PayoutRunEvent> {
    let sent = [timer_stopped(), requested(3, dispatch()), done(3)];
    queued_and(sent.into_iter().chain(further))
}

#[test]
fn the_money_is_held_before_the_payout_goes_on() {
    given_nothing::<PayoutRun>().when(start()).by(process()).then(started_and([]));
    given::<PayoutRun>(started_and([])).when(start()).then_nothing();
    given::<PayoutRun>(started_and([done(1)]))
        .when(PayoutRunCommand::NoteHeld)
        .then([requested(2, PayoutRunStep::Admit)]);
    given::<PayoutRun>(queued_and([])).when(PayoutRunCommand::NoteHeld).then_nothing();
}

#[test]
fn a_payout_of_more_than_there_is_is_cancelled() {
    let cancel = requested(2, PayoutRunStep::Cancel);
    given::<PayoutRun>(started_and([done(1)])).when(PayoutRunCommand::NoteDeclined).then([cancel.clone()]);
    let refused = StepOutcome::Refused { code: "currency_mismatch".to_owned() };
    given::<PayoutRun>(started_and([])).when(settle(1, refused.clone())).then([settled(1, refused), cancel]);
}

#[test]
fn a_payout_goes_with_its_batch_and_with_a_later_one_when_that_failed() {
    let queued = || PayoutRunCommand::NoteQueued { dispatch_at: batch() };
    let admitted = started_and([done(1), requested(2, PayoutRunStep::Admit), done(2)]);
    given::<PayoutRun>(admitted).when(queued()).then([timer()]);
    given::<PayoutRun>(queued_and([])).when(queued()).then_nothing();
    given::<PayoutRun>(queued_and([])).when(fire()).at(batch().plus_millis(-1)).then_nothing();
    given::<PayoutRun>(queued_and([]))
        .when(fire())
        .at(batch())
        .then([timer_stopped(), requested(3, dispatch())]);
    // Even with the same batch again, should clocks differ.
    given::<PayoutRun>(sent_and([timer()]))
        .when(fire())
        .at(batch())
        .then([timer_stopped(), requested(4, dispatch())]);
}

#[test]
fn what_was_paid_leaves_the_wallet_and_what_comes_back_later_returns_to_it() {
    let paid = PayoutRunCommand::NotePaid { transfer: transfer(1) };
    given::<PayoutRun>(sent_and([])).when(paid.clone()).then([requested(4, debit())]);
    let owed = || sent_and([requested(4, debit())]);
    given::<PayoutRun>(owed()).when(paid).then_nothing();
    let end = [done(4), ended(PayoutRunResult::Paid)];
    given::<PayoutRun>(owed()).when(settle(4, StepOutcome::Done)).then(end.clone());
    let over: Vec<PayoutRunEvent> = owed().into_iter().chain(end).collect();
    let reversed = PayoutRunCommand::NoteReversed { transfer: transfer(2) };
    given::<PayoutRun>(over.clone()).when(reversed.clone()).then([requested(5, credit_back())]);
    let back = [over, vec![requested(5, credit_back())]].concat();
    given::<PayoutRun>(back.clone()).when(reversed).then_nothing();
    given::<PayoutRun>(back).when(settle(5, StepOutcome::Done)).then([done(5)]);
}

#[test]
fn what_is_given_up_can_be_spent_again() {
    let release = requested(3, PayoutRunStep::ReleaseHold);
    given::<PayoutRun>(queued_and([]))
        .when(PayoutRunCommand::NoteGivenUp)
        .then([timer_stopped(), release.clone()]);
    let history = queued_and([timer_stopped(), release]);
    given::<PayoutRun>(history.clone()).when(PayoutRunCommand::NoteGivenUp).then_nothing();
    given::<PayoutRun>(history)
        .when(settle(3, StepOutcome::Done))
        .then([done(3), ended(PayoutRunResult::GivenUp)]);
}

#[test]
fn each_step_is_a_command_and_they_are_carried_out_in_order() {
    let (payout, amount, account) = (the_payout(), cedis(9_000), kofi());
    let wallet = WalletId::of(account, amount.currency());
    let hold = hold_of_payout(payout);
    let to_wallet = |command| StepCommand::Wallet(wallet, command);
    let to_payout = |command| StepCommand::Payout(payout, command);
    let source = CreditSource::Payout { payout };
    let reason = HoldReason::Payout { payout };
    let steps = [
        (PayoutRunStep::HoldFunds, to_wallet(WalletCommand::Hold { hold, amount, reason })),
        (PayoutRunStep::Admit, to_payout(PayoutCommand::Admit)),
        (PayoutRunStep::Cancel, to_payout(PayoutCommand::Cancel)),
        (dispatch(), to_payout(PayoutCommand::Dispatch)),
        (debit(), to_wallet(WalletCommand::Debit { hold, transfer: transfer(1) })),
        (credit_back(), to_wallet(WalletCommand::Credit { account, transfer: transfer(2), amount, source })),
        (PayoutRunStep::ReleaseHold, to_wallet(WalletCommand::ReleaseHold { hold })),
    ];
    for (step, expected) in steps {
        let run: PayoutRun = fold(started_and([requested(2, step)]));
        assert_eq!(run.open_step(instance_of(payout), 2), Some(expected));
        assert_eq!((run.step_before(2), run.step_before(1)), (Some(1), None));
    }
}

#[test]
fn it_hears_of_its_payout_and_of_the_hold_in_the_wallet() {
    let instance = instance_of(the_payout());
    let of_payout = |event: PayoutEvent| PayoutRun::react(&recorded(the_payout(), event));
    let (attempt, amount, dispatch_at) = (1, cedis(9_000), batch());
    let queued = Some((instance, PayoutRunCommand::NoteQueued { dispatch_at }));
    assert_eq!(of_payout(PayoutApproved { by: None, dispatch_at }.into()), queued);
    assert_eq!(of_payout(PayoutRequeued { dispatch_at }.into()), queued);
    let given_up = Some((instance, PayoutRunCommand::NoteGivenUp));
    assert_eq!(of_payout(PayoutCancelled { by: None }.into()), given_up);
    assert_eq!(of_payout(PayoutRejected { by: id(0xad) }.into()), given_up);
    assert_eq!(of_payout(PayoutDispatched { attempt }.into()), None);
    let paid = PayoutPaid { attempt, reference: "po_1".to_owned(), amount, transfer: transfer(1) };
    let note = PayoutRunCommand::NotePaid { transfer: transfer(1) };
    assert_eq!(of_payout(paid.into()), Some((instance, note)));
    let reversed = PayoutReversed { attempt, code: "closed".to_owned(), amount, transfer: transfer(2) };
    let note = PayoutRunCommand::NoteReversed { transfer: transfer(2) };
    assert_eq!(of_payout(reversed.into()), Some((instance, note)));
    let wallet = WalletId::of(kofi(), amount.currency());
    let of_wallet = |event: WalletEvent| PayoutRun::react(&recorded(wallet, event));
    let (hold, reason) = (hold_of_payout(the_payout()), HoldReason::Payout { payout: the_payout() });
    let held = of_wallet(FundsHeld { hold, amount, reason }.into());
    assert_eq!(held, Some((instance, PayoutRunCommand::NoteHeld)));
    let declined = of_wallet(HoldDeclined { hold, amount, reason }.into());
    assert_eq!(declined, Some((instance, PayoutRunCommand::NoteDeclined)));
    let reason = HoldReason::Earned { escrow: the_escrow(), until: batch() };
    assert_eq!(of_wallet(FundsHeld { hold, amount, reason }.into()), None);
}

#[test]
fn it_listens_to_the_machinery_alone() {
    for actor in [worker(kofi()), admin(), service()] {
        given_nothing::<PayoutRun>().when(start()).by(actor).then_forbidden("internal_only");
    }
}
