//! What somebody pays with: theirs alone, and gone for good when removed.

use commands::payment_method::{PaymentMethod, PaymentMethodCommand};
use events::vocabulary::payments::{PaymentMethodAdded, PaymentMethodEvent, PaymentMethodRemoved};

use super::{fixtures::*, scenario::*};

fn add(token: &str) -> PaymentMethodCommand {
    PaymentMethodCommand::Add { token: token.to_owned(), label: sealed(ama(), "Visa 4242") }
}

fn added() -> PaymentMethodEvent {
    let label = sealed(ama(), "Visa 4242");
    PaymentMethodAdded { owner: ama(), token: "tok_visa".to_owned(), label }.into()
}

fn removed() -> PaymentMethodEvent {
    PaymentMethodRemoved {}.into()
}

#[test]
fn somebody_adds_what_they_pay_with_once() {
    given_nothing::<PaymentMethod>().when(add("tok_visa")).by(client(ama())).then([added()]);
    given::<PaymentMethod>([added()]).when(add("tok_visa")).by(client(ama())).then_nothing();
    for (token, actor) in [("tok_other", client(ama())), ("tok_visa", client(esi()))] {
        let asked = given::<PaymentMethod>([added()]).when(add(token)).by(actor);
        asked.then_too_late("payment_method_already_exists");
    }
    given_nothing::<PaymentMethod>().when(add(" ")).by(client(ama())).then_invalid("token_missing");
    for actor in [service(), process()] {
        given_nothing::<PaymentMethod>().when(add("tok_visa")).by(actor).then_forbidden("not_an_account");
    }
}

#[test]
fn its_owner_removes_it_and_a_stranger_does_not_know_that_it_is_there() {
    let remove = || PaymentMethodCommand::Remove;
    given::<PaymentMethod>([added()]).when(remove()).by(client(ama())).then([removed()]);
    given::<PaymentMethod>([added(), removed()]).when(remove()).by(client(ama())).then_nothing();
    for history in [vec![], vec![added()]] {
        let asked = given::<PaymentMethod>(history).when(remove()).by(client(esi()));
        asked.then_not_found("payment_method_not_found");
    }
}

#[test]
fn its_owner_alone_pays_with_it_while_it_is_there() {
    let method: PaymentMethod = fold([added()]);
    assert_eq!((method.token_for(ama()), method.token_for(esi())), (Some("tok_visa"), None));
    let gone: PaymentMethod = fold([added(), removed()]);
    assert_eq!((gone.token_for(ama()), gone.owner()), (None, Some(ama())));
}
