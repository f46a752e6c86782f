//! Escrow: opened, funded once, and emptied to the worker or to the client, with the fee to the unit.

use commands::{
    Policy,
    escrow::{Escrow, EscrowCommand},
};
use events::{
    Money,
    vocabulary::payments::{
        EscrowEvent, EscrowExpired, EscrowFunded, EscrowOpened, EscrowRefunded, EscrowReleased,
    },
};

use super::{fixtures::*, scenario::*};

fn opened_with(amount: Money, fee_basis_points: u32) -> EscrowEvent {
    let (contract, milestone, client, worker) = (the_contract(), 1, ama(), kofi());
    EscrowOpened { contract, milestone, client, worker, amount, fee_basis_points }.into()
}

fn opened() -> EscrowEvent {
    opened_with(cedis(10_000), 1_000)
}

fn funded_with(amount: Money) -> EscrowEvent {
    EscrowFunded { payment: the_payment(), transfer: transfer(1), amount }.into()
}

fn funded() -> [EscrowEvent; 2] {
    [opened(), funded_with(cedis(10_000))]
}

fn released(amount: i64, fee: i64) -> EscrowEvent {
    let (amount, fee, net) = (cedis(amount), cedis(fee), cedis(amount - fee));
    EscrowReleased { amount, fee, net, transfer: fresh_transfer(0), worker: kofi() }.into()
}

fn refunded(amount: i64) -> EscrowEvent {
    let (amount, transfer) = (cedis(amount), fresh_transfer(0));
    EscrowRefunded { amount, transfer, payment: the_payment() }.into()
}

fn open() -> EscrowCommand {
    let (contract, milestone, client, worker) = (the_contract(), 1, ama(), kofi());
    EscrowCommand::Open { contract, milestone, client, worker, amount: cedis(10_000) }
}

fn fund(number: u128, amount: Money) -> EscrowCommand {
    EscrowCommand::Fund { payment: the_payment(), transfer: transfer(number), amount }
}

fn release(amount: impl Into<Option<Money>>) -> EscrowCommand {
    EscrowCommand::Release { amount: amount.into() }
}

/// Every way for an escrow to wait for money no more.
fn not_waiting() -> Vec<Vec<EscrowEvent>> {
    let [opened, funded] = funded();
    let and = |further: Vec<EscrowEvent>| [vec![opened.clone()], further].concat();
    vec![
        and(vec![funded.clone()]),
        and(vec![funded.clone(), released(1, 0)]),
        and(vec![funded.clone(), released(10_000, 1_000)]),
        and(vec![funded, refunded(10_000)]),
        and(vec![EscrowExpired {}.into()]),
    ]
}

#[test]
fn an_escrow_is_opened_once_with_the_rate_of_that_moment() {
    given_nothing::<Escrow>().when(open()).then([opened()]);
    let mut later = Policy::default();
    later.money.fee_basis_points = 2_000;
    given::<Escrow>([opened()]).when(open()).under(later).then_nothing();
}

#[test]
fn an_escrow_is_of_one_milestone_and_of_more_than_nothing() {
    let other = EscrowCommand::Open {
        contract: the_contract(),
        milestone: 2,
        client: ama(),
        worker: kofi(),
        amount: cedis(10_000),
    };
    given::<Escrow>([opened()]).when(other).then_too_late("escrow_already_exists");
    let (contract, milestone, client, worker) = (the_contract(), 1, ama(), kofi());
    let nothing = EscrowCommand::Open { contract, milestone, client, worker, amount: cedis(0) };
    given_nothing::<Escrow>().when(nothing).then_invalid("amount_not_positive");
}

#[test]
fn the_money_of_a_transfer_is_taken_once() {
    given::<Escrow>([opened()]).when(fund(1, cedis(10_000))).then([funded_with(cedis(10_000))]);
    given::<Escrow>(funded()).when(fund(1, cedis(10_000))).then_nothing();
}

#[test]
fn a_second_transfer_is_refused_whatever_became_of_the_first() {
    for history in not_waiting() {
        given::<Escrow>(history).when(fund(2, cedis(10_000))).then_too_late("escrow_not_open");
    }
}

#[test]
fn only_what_the_milestone_costs_is_taken() {
    for amount in [cedis(9_999), cedis(10_001), money(10_000, "USD")] {
        given::<Escrow>([opened()]).when(fund(1, amount)).then_invalid("amount_differs");
    }
}

#[test]
fn all_of_it_goes_to_the_worker_less_the_fee() {
    given::<Escrow>(funded()).when(release(None)).then([released(10_000, 1_000)]);
    given::<Escrow>(funded()).when(release(cedis(4_000))).then([released(4_000, 400)]);
}

#[test]
fn a_fee_is_rounded_half_to_even_and_fee_and_net_are_the_amount() {
    // 2.5 % of 20, 60, 100 and 99 minor units: 0.5, 1.5, 2.5 and 2.475.
    for (amount, fee) in [(20, 0), (60, 2), (100, 2), (99, 2)] {
        let history = [opened_with(cedis(amount), 250), funded_with(cedis(amount))];
        given::<Escrow>(history).when(release(None)).then([released(amount, fee)]);
    }
}

#[test]
fn what_is_left_after_a_part_went_out_goes_either_way() {
    let history = || funded().into_iter().chain([released(4_000, 400)]);
    given::<Escrow>(history()).when(release(None)).then([released(6_000, 600)]);
    given::<Escrow>(history()).when(EscrowCommand::Refund).then([refunded(6_000)]);
    given::<Escrow>(history()).when(release(cedis(6_001))).then_too_late("escrow_not_enough_held");
}

#[test]
fn what_goes_back_goes_to_the_payment_it_came_from() {
    given::<Escrow>(funded()).when(EscrowCommand::Refund).then([refunded(10_000)]);
}

#[test]
fn nothing_leaves_an_escrow_that_holds_nothing() {
    let ended = not_waiting().into_iter().skip(2).chain([vec![opened()]]);
    for history in ended {
        for command in [release(None), release(cedis(1)), EscrowCommand::Refund] {
            given::<Escrow>(history.clone()).when(command).then_too_late("escrow_nothing_held");
        }
    }
}

#[test]
fn what_leaves_is_more_than_nothing_and_of_the_same_currency() {
    for amount in [0, -1] {
        given::<Escrow>(funded()).when(release(cedis(amount))).then_invalid("amount_not_positive");
    }
    given::<Escrow>(funded()).when(release(money(1, "USD"))).then_invalid("currency_mismatch");
}

#[test]
fn an_escrow_without_money_expires_and_any_other_does_not() {
    given::<Escrow>([opened()]).when(EscrowCommand::Expire).then([EscrowExpired {}.into()]);
    for history in not_waiting() {
        given::<Escrow>(history).when(EscrowCommand::Expire).then_nothing();
    }
}

#[test]
fn nothing_is_asked_of_an_escrow_that_is_not_there() {
    for command in [fund(1, cedis(1)), release(None), EscrowCommand::Refund, EscrowCommand::Expire] {
        given_nothing::<Escrow>().when(command).then_not_found("escrow_not_found");
    }
}

#[test]
fn only_the_machinery_moves_money_in_escrow() {
    let commands =
        [open(), fund(1, cedis(10_000)), release(None), EscrowCommand::Refund, EscrowCommand::Expire];
    for command in commands {
        for actor in [client(ama()), worker(kofi()), admin(), service()] {
            given::<Escrow>(funded()).when(command.clone()).by(actor).then_forbidden("internal_only");
        }
    }
}
