//! Wallets: each transfer is taken once, each hold answered once, and nobody spends what is held.

use commands::wallet::{Wallet, WalletCommand};
use events::{
    Id, Money,
    ids::{HoldId, TransferId},
    vocabulary::payments::{
        CreditSource, FundsHeld, HoldDeclined, HoldReason, HoldReleased, WalletCredited, WalletDebited,
        WalletEvent,
    },
};

use super::{fixtures::*, scenario::*};

fn from_escrow() -> CreditSource {
    CreditSource::Escrow { escrow: the_escrow() }
}

fn for_payout() -> HoldReason {
    HoldReason::Payout { payout: the_payout() }
}

fn of_transfer(transfer: TransferId) -> HoldId {
    HoldId::from_uuid(transfer.uuid())
}

fn credit(number: u128, amount: Money, source: CreditSource) -> WalletCommand {
    WalletCommand::Credit { account: kofi(), transfer: transfer(number), amount, source }
}

fn credited(number: u128, amount: Money, source: CreditSource) -> WalletEvent {
    WalletCredited { account: kofi(), transfer: transfer(number), amount, source }.into()
}

fn earned(number: u128, amount: Money) -> [WalletEvent; 2] {
    let until = noon_plus(5 * DAY_MS);
    let reason = HoldReason::Earned { escrow: the_escrow(), until };
    let held = FundsHeld { hold: of_transfer(transfer(number)), amount, reason };
    [credited(number, amount, from_escrow()), held.into()]
}

fn released(hold: HoldId, amount: Money) -> WalletEvent {
    HoldReleased { hold, amount }.into()
}

fn held(number: u128, amount: Money) -> WalletEvent {
    FundsHeld { hold: hold(number), amount, reason: for_payout() }.into()
}

fn declined(number: u128, amount: Money) -> WalletEvent {
    HoldDeclined { hold: hold(number), amount, reason: for_payout() }.into()
}

fn ask_to_hold(number: u128, amount: Money) -> WalletCommand {
    WalletCommand::Hold { hold: hold(number), amount, reason: for_payout() }
}

fn debit(number: u128, of: u128) -> WalletCommand {
    WalletCommand::Debit { hold: hold(number), transfer: transfer(of) }
}

fn debited(number: u128, of: u128, amount: Money) -> WalletEvent {
    WalletDebited { hold: hold(number), transfer: transfer(of), amount }.into()
}

/// 90 cedis that can be spent.
fn rich() -> Vec<WalletEvent> {
    let [credited, held] = earned(1, cedis(9_000));
    vec![credited, held, released(of_transfer(transfer(1)), cedis(9_000))]
}

fn rich_and(further: impl IntoIterator<Item = WalletEvent>) -> Vec<WalletEvent> {
    rich().into_iter().chain(further).collect()
}

#[track_caller]
fn assert_holds(history: impl IntoIterator<Item = WalletEvent>, posted: i64, available: i64) {
    let wallet: Wallet = fold(history);
    assert_eq!((wallet.posted(), wallet.available()), (Some(cedis(posted)), Some(cedis(available))));
}

#[test]
fn what_was_earned_is_there_at_once_and_available_later() {
    given_nothing::<Wallet>().when(credit(1, cedis(9_000), from_escrow())).then(earned(1, cedis(9_000)));
    assert_holds(earned(1, cedis(9_000)), 9_000, 0);
    let hold = of_transfer(transfer(1));
    given::<Wallet>(earned(1, cedis(9_000)))
        .when(WalletCommand::ReleaseHold { hold })
        .then([released(hold, cedis(9_000))]);
    assert_holds(rich(), 9_000, 9_000);
}

#[test]
fn what_comes_back_from_a_payout_is_available_at_once() {
    let source = CreditSource::Payout { payout: the_payout() };
    let command = credit(2, cedis(500), source);
    given::<Wallet>(rich()).when(command).then([credited(2, cedis(500), source)]);
    assert_holds(rich_and([credited(2, cedis(500), source)]), 9_500, 9_500);
}

#[test]
fn a_transfer_is_taken_once() {
    given::<Wallet>(rich()).when(credit(1, cedis(9_000), from_escrow())).then_nothing();
    given::<Wallet>(rich()).when(credit(1, cedis(1), from_escrow())).then_nothing();
}

#[test]
fn a_wallet_is_of_one_account_and_one_currency() {
    let (account, transfer, source) = (yaw(), transfer(2), from_escrow());
    let other = WalletCommand::Credit { account, transfer, amount: cedis(1), source };
    given::<Wallet>(rich()).when(other).then_too_late("not_the_owner");
    let dollars = credit(2, money(1, "USD"), from_escrow());
    given::<Wallet>(rich()).when(dollars).then_invalid("currency_mismatch");
    given::<Wallet>(rich()).when(ask_to_hold(1, money(1, "USD"))).then_invalid("currency_mismatch");
}

#[test]
fn what_cannot_be_summed_or_is_less_than_nothing_is_not_taken() {
    let too_much = credit(2, cedis(i64::MAX), from_escrow());
    given::<Wallet>(rich()).when(too_much).then_invalid("amount_too_large");
    given::<Wallet>(rich()).when(credit(2, cedis(-1), from_escrow())).then_invalid("amount_not_positive");
    for amount in [0, -1] {
        given::<Wallet>(rich()).when(ask_to_hold(1, cedis(amount))).then_invalid("amount_not_positive");
    }
}

#[test]
fn what_is_available_can_be_held_to_the_last_unit() {
    given::<Wallet>(rich()).when(ask_to_hold(1, cedis(9_000))).then([held(1, cedis(9_000))]);
    assert_holds(rich_and([held(1, cedis(9_000))]), 9_000, 0);
}

#[test]
fn more_than_is_available_is_declined_for_good() {
    let declined = declined(1, cedis(9_001));
    given::<Wallet>(rich()).when(ask_to_hold(1, cedis(9_001))).then([declined.clone()]);
    given_nothing::<Wallet>().when(ask_to_hold(1, cedis(9_001))).then([declined.clone()]);
    // Even when there would be enough by now.
    let later = rich_and([declined, credited(2, cedis(500), CreditSource::Payout { payout: the_payout() })]);
    given::<Wallet>(later).when(ask_to_hold(1, cedis(9_001))).then_nothing();
}

#[test]
fn what_is_held_is_not_held_again() {
    let history = rich_and([held(1, cedis(6_000))]);
    given::<Wallet>(history.clone()).when(ask_to_hold(2, cedis(3_001))).then([declined(2, cedis(3_001))]);
    given::<Wallet>(history).when(ask_to_hold(1, cedis(6_000))).then_nothing();
}

#[test]
fn a_hold_that_ended_does_not_begin_again() {
    let ends = [released(hold(1), cedis(6_000)), debited(1, 7, cedis(6_000))];
    for end in ends {
        let history = rich_and([held(1, cedis(6_000)), end]);
        given::<Wallet>(history.clone()).when(ask_to_hold(1, cedis(100))).then_nothing();
        given::<Wallet>(history).when(WalletCommand::ReleaseHold { hold: hold(1) }).then_nothing();
    }
}

#[test]
fn what_has_left_is_gone_with_its_hold_and_once() {
    let history = rich_and([held(1, cedis(6_000))]);
    given::<Wallet>(history.clone()).when(debit(1, 7)).then([debited(1, 7, cedis(6_000))]);
    let after = rich_and([held(1, cedis(6_000)), debited(1, 7, cedis(6_000))]);
    assert_holds(after.clone(), 3_000, 3_000);
    given::<Wallet>(after.clone()).when(debit(1, 7)).then_nothing();
    given::<Wallet>(after).when(debit(1, 8)).then_too_late("hold_not_found");
}

#[test]
fn only_the_machinery_moves_money_in_a_wallet() {
    let release = WalletCommand::ReleaseHold { hold: hold(1) };
    for command in [credit(2, cedis(1), from_escrow()), ask_to_hold(1, cedis(1)), release, debit(1, 7)] {
        for actor in [client(ama()), worker(kofi()), admin(), service()] {
            given::<Wallet>(rich()).when(command.clone()).by(actor).then_forbidden("internal_only");
        }
    }
}
