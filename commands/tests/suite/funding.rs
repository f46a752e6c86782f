//! The funding: from the wish to pay to money in escrow, or back at the payer.

use commands::{
    contract::ContractCommand,
    escrow::EscrowCommand,
    funding::{Funding, FundingCommand, PAYMENT_TIMER, instance_of},
    payment::PaymentCommand,
    process::{ProcessManager, StepCommand},
};
use events::{
    Money,
    ids::TransferId,
    vocabulary::{
        StepOutcome,
        jobs::{ContractEvent, FundingOrder, FundingRequested},
        payments::{
            EscrowEvent, EscrowRefunded, FundingEnded, FundingEvent, FundingResult, FundingStarted,
            FundingStep, FundingStepRequested, FundingStepSettled, FundingTimerStarted, FundingTimerStopped,
            PaymentEvent, PaymentExpired,
        },
    },
};

use super::{fixtures::*, payment_attempts, recorded::recorded, scenario::*};

fn start() -> FundingCommand {
    let (contract, milestone, amount) = (the_contract(), 1, cedis(10_000));
    FundingCommand::Start { contract, milestone, amount, client: ama(), worker: kofi() }
}

fn requested(number: u32, step: FundingStep) -> FundingEvent {
    FundingStepRequested { number, step }.into()
}

fn settled(number: u32, outcome: StepOutcome) -> FundingEvent {
    FundingStepSettled { number, outcome }.into()
}

fn done(number: u32) -> FundingEvent {
    settled(number, StepOutcome::Done)
}

fn refused() -> StepOutcome {
    StepOutcome::Refused { code: "some_code".to_owned() }
}

fn settle(number: u32, outcome: StepOutcome) -> FundingCommand {
    FundingCommand::SettleStep { number, outcome }
}

fn timer_stopped() -> FundingEvent {
    FundingTimerStopped { timer: PAYMENT_TIMER.to_owned() }.into()
}

fn ended(result: FundingResult) -> FundingEvent {
    FundingEnded { result }.into()
}

fn fund() -> FundingStep {
    FundingStep::FundEscrow { transfer: transfer(1) }
}

fn take_back(transfer: TransferId, amount: Money) -> FundingStep {
    FundingStep::TakeBack { transfer, amount }
}

fn started() -> Vec<FundingEvent> {
    let (contract, milestone, amount) = (the_contract(), 1, cedis(10_000));
    let started = FundingStarted { contract, milestone, amount, client: ama(), worker: kofi() };
    vec![started.into(), requested(1, FundingStep::OpenEscrow), requested(2, FundingStep::CreatePayment)]
}

fn waiting_and(further: impl IntoIterator<Item = FundingEvent>) -> Vec<FundingEvent> {
    let due_at = noon_plus(15 * MINUTE_MS);
    let timer = FundingTimerStarted { timer: PAYMENT_TIMER.to_owned(), due_at };
    started().into_iter().chain([done(1), done(2), timer.into()]).chain(further).collect()
}

fn confirmed_and(further: impl IntoIterator<Item = FundingEvent>) -> Vec<FundingEvent> {
    waiting_and([timer_stopped(), requested(3, fund())].into_iter().chain(further))
}

#[test]
fn a_wish_to_pay_asks_for_a_place_for_the_money_and_for_a_payment_once() {
    given_nothing::<Funding>().when(start()).by(process()).then(started());
    given::<Funding>(started()).when(start()).by(process()).then_nothing();
}

#[test]
fn a_payment_that_is_not_confirmed_in_time_is_asked_to_expire() {
    let fire = || FundingCommand::FireTimer { timer: PAYMENT_TIMER.to_owned() };
    let due_at = noon_plus(15 * MINUTE_MS);
    let note = FundingCommand::NoteCreated { expires_at: due_at };
    let timer = FundingTimerStarted { timer: PAYMENT_TIMER.to_owned(), due_at };
    given::<Funding>(started()).when(note).then([timer.into()]);
    given::<Funding>(waiting_and([])).when(fire()).at(noon_plus(15 * MINUTE_MS - 1)).then_nothing();
    given::<Funding>(waiting_and([]))
        .when(fire())
        .at(due_at)
        .then([timer_stopped(), requested(3, FundingStep::ExpirePayment)]);
    given::<Funding>(confirmed_and([])).when(fire()).at(due_at).then_nothing();
    given::<Funding>(waiting_and([]))
        .when(FundingCommand::NoteNotPaid)
        .then([timer_stopped(), ended(FundingResult::NotPaid)]);
}

#[test]
fn money_goes_to_escrow_and_then_the_contract_is_told() {
    let confirmed = || FundingCommand::NoteConfirmed { transfer: transfer(1) };
    given::<Funding>(waiting_and([])).when(confirmed()).then([timer_stopped(), requested(3, fund())]);
    given::<Funding>(confirmed_and([])).when(confirmed()).then_nothing();
    let told = [done(3), requested(4, FundingStep::ConfirmFunding)];
    given::<Funding>(confirmed_and([])).when(settle(3, StepOutcome::Done)).then(told.clone());
    given::<Funding>(confirmed_and(told))
        .when(settle(4, StepOutcome::Done))
        .then([done(4), ended(FundingResult::Funded)]);
}

#[test]
fn what_escrow_refuses_goes_back_to_the_payer() {
    let back = [settled(3, refused()), requested(4, take_back(transfer(1), cedis(10_000)))];
    given::<Funding>(confirmed_and([])).when(settle(3, refused())).then(back.clone());
    given::<Funding>(confirmed_and(back))
        .when(settle(4, StepOutcome::Done))
        .then([done(4), ended(FundingResult::Returned)]);
}

#[test]
fn what_the_contract_has_no_use_for_leaves_escrow_and_goes_back_to_the_payer() {
    let history = confirmed_and([done(3), requested(4, FundingStep::ConfirmFunding)]);
    let refund = [settled(4, refused()), requested(5, FundingStep::RefundEscrow)];
    given::<Funding>(history.clone()).when(settle(4, refused())).then(refund.clone());
    let refunding = [history, refund.to_vec(), vec![done(5)]].concat();
    let refunded = FundingCommand::NoteEscrowRefunded { transfer: transfer(2), amount: cedis(10_000) };
    let step = take_back(transfer(2), cedis(10_000));
    given::<Funding>(refunding.clone()).when(refunded.clone()).then([requested(6, step)]);
    let asked = [refunding, vec![requested(6, step)]].concat();
    given::<Funding>(asked).when(refunded).then_nothing();
}

#[test]
fn what_escrow_returns_after_the_end_is_still_seen_to() {
    let end = [done(3), requested(4, FundingStep::ConfirmFunding), done(4), ended(FundingResult::Funded)];
    let refunded = FundingCommand::NoteEscrowRefunded { transfer: transfer(2), amount: cedis(4_000) };
    let step = take_back(transfer(2), cedis(4_000));
    given::<Funding>(confirmed_and(end)).when(refunded).then([requested(5, step)]);
}

#[test]
fn a_payment_that_cannot_be_is_the_end() {
    let history = started().into_iter().chain([done(1)]).collect::<Vec<_>>();
    given::<Funding>(history)
        .when(settle(2, refused()))
        .then([settled(2, refused()), ended(FundingResult::NotPaid)]);
}

#[test]
fn each_step_is_a_command_and_they_are_carried_out_in_order() {
    let (contract, milestone, amount, payment) = (the_contract(), 1, cedis(10_000), the_payment());
    let instance = instance_of(payment);
    let funding: Funding = fold(started());
    let open = EscrowCommand::Open { contract, milestone, client: ama(), worker: kofi(), amount };
    assert_eq!(funding.open_step(instance, 1), Some(StepCommand::Escrow(the_escrow(), open)));
    let create = PaymentCommand::Create { payer: ama(), amount, contract, milestone };
    assert_eq!(funding.open_step(instance, 2), Some(StepCommand::Payment(payment, create)));
    assert_eq!((funding.step_before(2), funding.step_before(1)), (Some(1), None));
    let steps = [
        (FundingStep::ExpirePayment, StepCommand::Payment(payment, PaymentCommand::Expire)),
        (
            fund(),
            StepCommand::Escrow(the_escrow(), EscrowCommand::Fund { payment, transfer: transfer(1), amount }),
        ),
        (
            FundingStep::ConfirmFunding,
            StepCommand::Contract(contract, ContractCommand::ConfirmFunding { milestone }),
        ),
        (FundingStep::RefundEscrow, StepCommand::Escrow(the_escrow(), EscrowCommand::Refund)),
        (
            take_back(transfer(2), cedis(5)),
            StepCommand::Payment(
                payment,
                PaymentCommand::TakeBack { transfer: transfer(2), amount: cedis(5) },
            ),
        ),
    ];
    for (step, expected) in steps {
        let funding: Funding = fold(waiting_and([requested(3, step)]));
        assert_eq!(funding.open_step(instance, 3), Some(expected));
    }
}

#[test]
fn it_hears_of_its_contract_its_payment_and_its_escrow() {
    let order = FundingOrder { payment: the_payment(), client: ama(), worker: kofi() };
    let request = |order| FundingRequested { milestone: 1, amount: cedis(10_000), order };
    let told = |order| {
        let event: ContractEvent = request(order).into();
        Funding::react(&recorded(the_contract(), event))
    };
    assert_eq!(told(Some(order)), Some((instance_of(the_payment()), start())));
    assert_eq!(told(None), None);
    let of_payment = |event: PaymentEvent| Funding::react(&recorded(the_payment(), event));
    let expires_at = noon_plus(15 * MINUTE_MS);
    let heard = [
        (payment_attempts::created(), Some(FundingCommand::NoteCreated { expires_at })),
        (payment_attempts::confirmed(1), Some(FundingCommand::NoteConfirmed { transfer: fresh_transfer(0) })),
        (PaymentExpired {}.into(), Some(FundingCommand::NoteNotPaid)),
        (payment_attempts::confirmed_late(1), None),
        (payment_attempts::started(1), None),
    ];
    for (event, command) in heard {
        assert_eq!(of_payment(event), command.map(|command| (instance_of(the_payment()), command)));
    }
    let (amount, transfer) = (cedis(1), transfer(3));
    let refunded: EscrowEvent = EscrowRefunded { amount, transfer, payment: the_payment() }.into();
    let note = FundingCommand::NoteEscrowRefunded { transfer, amount };
    assert_eq!(Funding::react(&recorded(the_escrow(), refunded)), Some((instance_of(the_payment()), note)));
}

#[test]
fn it_listens_to_the_machinery_alone() {
    for actor in [client(ama()), admin(), service()] {
        given_nothing::<Funding>().when(start()).by(actor).then_forbidden("internal_only");
    }
}
