//! The release: from handed-in work to money that the worker can spend.

use commands::{
    contract::ContractCommand,
    escrow::EscrowCommand,
    process::{ProcessManager, StepCommand},
    release::{HOLD_TIMER, REVIEW_TIMER, Release, ReleaseCommand, instance_of},
    wallet::{WalletCommand, hold_of_earnings},
};
use events::{
    Timestamp,
    ids::WalletId,
    vocabulary::{
        StepOutcome,
        jobs::{ChangesRequested, ContractEvent, MilestoneApproved, MilestoneDisputed, WorkSubmitted},
        payments::{
            CreditSource, EscrowEvent, EscrowReleased, FundsHeld, HoldReason, ReleaseEnded, ReleaseEvent,
            ReleaseStarted, ReleaseStep, ReleaseStepRequested, ReleaseStepSettled, ReleaseTimerStarted,
            ReleaseTimerStopped, WalletEvent,
        },
    },
};

use super::{fixtures::*, recorded::recorded, scenario::*};

fn due_at() -> Timestamp {
    noon_plus(14 * DAY_MS)
}

fn submitted(review_until: Timestamp) -> ReleaseCommand {
    ReleaseCommand::NoteSubmitted { contract: the_contract(), milestone: 1, review_until }
}

fn timer(name: &str, due_at: Timestamp) -> ReleaseEvent {
    ReleaseTimerStarted { timer: name.to_owned(), due_at }.into()
}

fn stopped(name: &str) -> ReleaseEvent {
    ReleaseTimerStopped { timer: name.to_owned() }.into()
}

fn requested(number: u32, step: ReleaseStep) -> ReleaseEvent {
    ReleaseStepRequested { number, step }.into()
}

fn done(number: u32) -> ReleaseEvent {
    ReleaseStepSettled { number, outcome: StepOutcome::Done }.into()
}

fn settle(number: u32) -> ReleaseCommand {
    ReleaseCommand::SettleStep { number, outcome: StepOutcome::Done }
}

fn fire(name: &str) -> ReleaseCommand {
    ReleaseCommand::FireTimer { timer: name.to_owned() }
}

fn credit() -> ReleaseStep {
    ReleaseStep::CreditWallet { account: kofi(), transfer: transfer(1), amount: cedis(9_000) }
}

fn released() -> ReleaseCommand {
    ReleaseCommand::NoteEscrowReleased { worker: kofi(), transfer: transfer(1), net: cedis(9_000) }
}

/// Work waits for an answer.
fn in_review() -> Vec<ReleaseEvent> {
    let started = ReleaseStarted { contract: the_contract(), milestone: 1 };
    vec![started.into(), timer(REVIEW_TIMER, due_at())]
}

fn approved_and(further: impl IntoIterator<Item = ReleaseEvent>) -> Vec<ReleaseEvent> {
    let approved = [stopped(REVIEW_TIMER), requested(1, ReleaseStep::ReleaseEscrow)];
    in_review().into_iter().chain(approved).chain(further).collect()
}

fn paid_and(further: impl IntoIterator<Item = ReleaseEvent>) -> Vec<ReleaseEvent> {
    let paid = [done(1), requested(2, credit()), done(2), requested(3, ReleaseStep::ReleaseMilestone)];
    approved_and(paid.into_iter().chain([done(3)]).chain(further))
}

#[test]
fn a_submission_starts_the_review_period_and_a_resubmission_starts_it_again() {
    given_nothing::<Release>().when(submitted(due_at())).by(process()).then(in_review());
    given::<Release>(in_review()).when(submitted(due_at())).then_nothing();
    given::<Release>(in_review()).when(ReleaseCommand::NoteReviewOver).then([stopped(REVIEW_TIMER)]);
    let later = due_at().plus_millis(DAY_MS);
    let sent_back: Vec<ReleaseEvent> = in_review().into_iter().chain([stopped(REVIEW_TIMER)]).collect();
    given::<Release>(sent_back.clone()).when(submitted(later)).then([timer(REVIEW_TIMER, later)]);
    given::<Release>(sent_back).when(ReleaseCommand::NoteReviewOver).then_nothing();
}

#[test]
fn the_end_of_the_review_period_asks_the_contract_to_approve_that_submission() {
    given::<Release>(in_review()).when(fire(REVIEW_TIMER)).at(due_at().plus_millis(-1)).then_nothing();
    let step = ReleaseStep::EndReview { review_until: due_at() };
    given::<Release>(in_review())
        .when(fire(REVIEW_TIMER))
        .at(due_at())
        .then([stopped(REVIEW_TIMER), requested(1, step)]);
    given::<Release>(approved_and([])).when(fire(REVIEW_TIMER)).at(due_at()).then_nothing();
}

#[test]
fn approved_work_lets_the_money_go_once() {
    let asked = [stopped(REVIEW_TIMER), requested(1, ReleaseStep::ReleaseEscrow)];
    given::<Release>(in_review()).when(ReleaseCommand::NoteApproved).then(asked);
    given::<Release>(approved_and([])).when(ReleaseCommand::NoteApproved).then_nothing();
    given::<Release>(approved_and([])).when(submitted(due_at())).then_nothing();
}

#[test]
fn money_that_left_escrow_goes_to_the_workers_wallet_and_then_the_contract_is_told() {
    given::<Release>(approved_and([])).when(released()).then([requested(2, credit())]);
    let credited = approved_and([done(1), requested(2, credit())]);
    given::<Release>(credited.clone()).when(released()).then_nothing();
    given::<Release>(credited).when(settle(2)).then([done(2), requested(3, ReleaseStep::ReleaseMilestone)]);
}

#[test]
fn money_that_left_escrow_without_an_approval_is_somebody_elses() {
    given::<Release>(in_review()).when(released()).then_nothing();
    given_nothing::<Release>().when(released()).then_nothing();
}

#[test]
fn what_was_earned_can_be_spent_after_a_while_and_that_is_the_end() {
    let until = noon_plus(5 * DAY_MS);
    let held = || ReleaseCommand::NoteHeld { until };
    given::<Release>(paid_and([])).when(held()).then([timer(HOLD_TIMER, until)]);
    let waiting = || paid_and([timer(HOLD_TIMER, until)]);
    given::<Release>(waiting()).when(held()).then_nothing();
    given::<Release>(waiting()).when(fire(HOLD_TIMER)).at(until.plus_millis(-1)).then_nothing();
    let release = [stopped(HOLD_TIMER), requested(4, ReleaseStep::ReleaseHold)];
    given::<Release>(waiting()).when(fire(HOLD_TIMER)).at(until).then(release.clone());
    let over: Vec<ReleaseEvent> = waiting().into_iter().chain(release).collect();
    given::<Release>(over.clone()).when(held()).then_nothing();
    given::<Release>(over.clone()).when(settle(4)).then([done(4), ReleaseEnded {}.into()]);
    let ended: Release = fold(over.into_iter().chain([done(4), ReleaseEnded {}.into()]));
    assert!(ended.has_ended());
}

#[test]
fn each_step_is_a_command_and_they_are_carried_out_in_order() {
    let (instance, contract, milestone) = (instance_of(the_escrow()), the_contract(), 1);
    let wallet = WalletId::of(kofi(), cedis(0).currency());
    let (account, transfer, amount) = (kofi(), transfer(1), cedis(9_000));
    let source = CreditSource::Escrow { escrow: the_escrow() };
    let hold = hold_of_earnings(transfer);
    let steps = [
        (
            ReleaseStep::EndReview { review_until: due_at() },
            StepCommand::Contract(contract, ContractCommand::EndReview { milestone, review_until: due_at() }),
        ),
        (
            ReleaseStep::ReleaseEscrow,
            StepCommand::Escrow(the_escrow(), EscrowCommand::Release { amount: None }),
        ),
        (credit(), StepCommand::Wallet(wallet, WalletCommand::Credit { account, transfer, amount, source })),
        (
            ReleaseStep::ReleaseMilestone,
            StepCommand::Contract(contract, ContractCommand::Release { milestone }),
        ),
    ];
    for (step, expected) in steps {
        let release: Release = fold(in_review().into_iter().chain([requested(1, step)]));
        assert_eq!(release.open_step(instance, 1), Some(expected));
    }
    let release: Release = fold(paid_and([requested(4, ReleaseStep::ReleaseHold)]));
    let expected = StepCommand::Wallet(wallet, WalletCommand::ReleaseHold { hold });
    assert_eq!(release.open_step(instance, 4), Some(expected));
    let release: Release = fold(approved_and([requested(2, credit())]));
    assert_eq!((release.step_before(2), release.step_before(1)), (Some(1), None));
}

#[test]
fn it_hears_of_its_milestone_its_escrow_and_the_workers_wallet() {
    let instance = instance_of(the_escrow());
    let note = || sealed(kofi(), "done");
    let of_contract = |event: ContractEvent| Release::react(&recorded(the_contract(), event));
    let review_until = due_at();
    let heard = [
        (WorkSubmitted { milestone: 1, note: note(), review_until }.into(), submitted(review_until)),
        (ChangesRequested { milestone: 1, note: note() }.into(), ReleaseCommand::NoteReviewOver),
        (MilestoneDisputed { milestone: 1 }.into(), ReleaseCommand::NoteReviewOver),
        (MilestoneApproved { milestone: 1, by: None }.into(), ReleaseCommand::NoteApproved),
    ];
    for (event, command) in heard {
        assert_eq!(of_contract(event), Some((instance, command)));
    }
    let (amount, fee, net) = (cedis(10_000), cedis(1_000), cedis(9_000));
    let left: EscrowEvent = EscrowReleased { amount, fee, net, transfer: transfer(1), worker: kofi() }.into();
    assert_eq!(Release::react(&recorded(the_escrow(), left)), Some((instance, released())));
    let until = noon_plus(5 * DAY_MS);
    let held = |reason| -> WalletEvent { FundsHeld { hold: hold(1), amount, reason }.into() };
    let wallet = WalletId::of(kofi(), amount.currency());
    let earned = held(HoldReason::Earned { escrow: the_escrow(), until });
    let expected = Some((instance, ReleaseCommand::NoteHeld { until }));
    assert_eq!(Release::react(&recorded(wallet, earned)), expected);
    let of_payout = held(HoldReason::Payout { payout: the_payout() });
    assert_eq!(Release::react(&recorded(wallet, of_payout)), None);
}

#[test]
fn it_listens_to_the_machinery_alone() {
    for actor in [client(ama()), admin(), service()] {
        given_nothing::<Release>().when(submitted(due_at())).by(actor).then_forbidden("internal_only");
    }
}
