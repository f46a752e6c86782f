//! Where somebody is paid: theirs alone, in one currency, and gone for good when removed.

use commands::payout_destination::{PayoutDestination, PayoutDestinationCommand};
use events::{
    Currency,
    vocabulary::payments::{PayoutDestinationAdded, PayoutDestinationEvent, PayoutDestinationRemoved},
};

use super::{fixtures::*, scenario::*};

fn currency(code: &str) -> Currency {
    code.parse().expect("a currency")
}

fn add(token: &str, code: &str) -> PayoutDestinationCommand {
    let (token, label) = (token.to_owned(), sealed(kofi(), "a bank 6789"));
    PayoutDestinationCommand::Add { token, currency: currency(code), label }
}

fn added() -> PayoutDestinationEvent {
    let (owner, token, label) = (kofi(), "ba_1".to_owned(), sealed(kofi(), "a bank 6789"));
    PayoutDestinationAdded { owner, token, currency: currency("GHS"), label }.into()
}

fn removed() -> PayoutDestinationEvent {
    PayoutDestinationRemoved {}.into()
}

#[test]
fn somebody_adds_where_they_are_paid_once() {
    given_nothing::<PayoutDestination>().when(add("ba_1", "GHS")).by(worker(kofi())).then([added()]);
    given::<PayoutDestination>([added()]).when(add("ba_1", "GHS")).by(worker(kofi())).then_nothing();
    let others = [("ba_2", "GHS", kofi()), ("ba_1", "USD", kofi()), ("ba_1", "GHS", yaw())];
    for (token, code, account) in others {
        let asked = given::<PayoutDestination>([added()]).when(add(token, code)).by(worker(account));
        asked.then_too_late("payout_destination_already_exists");
    }
    given_nothing::<PayoutDestination>()
        .when(add("", "GHS"))
        .by(worker(kofi()))
        .then_invalid("token_missing");
    for actor in [service(), process()] {
        let asked = given_nothing::<PayoutDestination>().when(add("ba_1", "GHS")).by(actor);
        asked.then_forbidden("not_an_account");
    }
}

#[test]
fn its_owner_removes_it_and_a_stranger_does_not_know_that_it_is_there() {
    let remove = || PayoutDestinationCommand::Remove;
    given::<PayoutDestination>([added()]).when(remove()).by(worker(kofi())).then([removed()]);
    given::<PayoutDestination>([added(), removed()]).when(remove()).by(worker(kofi())).then_nothing();
    for history in [vec![], vec![added()]] {
        let asked = given::<PayoutDestination>(history).when(remove()).by(worker(yaw()));
        asked.then_not_found("payout_destination_not_found");
    }
}

#[test]
fn its_owner_alone_is_paid_there_in_its_currency_while_it_is_there() {
    let destination: PayoutDestination = fold([added()]);
    assert_eq!(destination.token_for(kofi(), currency("GHS")), Some("ba_1"));
    assert_eq!(destination.token_for(kofi(), currency("USD")), None);
    assert_eq!(destination.token_for(yaw(), currency("GHS")), None);
    let gone: PayoutDestination = fold([added(), removed()]);
    assert_eq!((gone.token_for(kofi(), currency("GHS")), gone.owner()), (None, Some(kofi())));
}
