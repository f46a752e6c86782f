//! The reservation of an e-mail address: free → reserved → claimed, or free again.

use std::collections::BTreeSet;

use commands::{
    Actor,
    login::{Login, LoginCommand},
};
use events::{
    ids::AccountId,
    vocabulary::identity::{EmailClaimed, EmailReleased, EmailReserved, LoginEvent, Role},
};

use super::{fixtures::*, scenario::*};

fn reserve(account: AccountId, roles: &[Role]) -> LoginCommand {
    LoginCommand::Reserve {
        account,
        email: sealed(account, "e-mail"),
        display_name: sealed(account, "name"),
        password_hash: sealed(account, "password"),
        roles: roles.iter().copied().collect(),
    }
}

pub fn reserved(account: AccountId, roles: &[Role]) -> EmailReserved {
    EmailReserved {
        account,
        email: sealed(account, "e-mail"),
        display_name: sealed(account, "name"),
        password_hash: sealed(account, "password"),
        roles: roles.iter().copied().collect(),
    }
}

fn held(account: AccountId) -> LoginEvent {
    reserved(account, &[Role::Client]).into()
}

fn claimed(account: AccountId) -> LoginEvent {
    EmailClaimed { account }.into()
}

fn released(account: AccountId) -> LoginEvent {
    EmailReleased { account }.into()
}

/// Somebody without any role yet.
fn newcomer(id: AccountId) -> Actor {
    Actor::Account { id, roles: BTreeSet::new() }
}

#[test]
fn a_free_address_is_reserved() {
    for actor in [newcomer(ama()), Actor::System, process()] {
        given_nothing::<Login>().when(reserve(ama(), &[Role::Client])).by(actor).then([held(ama())]);
    }
}

#[test]
fn an_address_that_is_held_is_not_reserved_again() {
    for history in [vec![held(ama())], vec![held(ama()), claimed(ama())]] {
        for account in [esi(), ama()] {
            given::<Login>(history.clone())
                .when(reserve(account, &[Role::Client]))
                .by(newcomer(account))
                .then_too_late("email_taken");
        }
    }
}

#[test]
fn a_released_address_is_free_for_anybody() {
    given::<Login>([held(ama()), released(ama())])
        .when(reserve(esi(), &[Role::Client]))
        .by(newcomer(esi()))
        .then([held(esi())]);
}

#[test]
fn nobody_reserves_an_address_for_somebody_else() {
    for actor in [newcomer(esi()), admin(), service()] {
        given_nothing::<Login>()
            .when(reserve(ama(), &[Role::Client]))
            .by(actor)
            .then_forbidden("not_your_account");
    }
}

#[test]
fn nobody_gives_themselves_a_role_beyond_client_and_worker() {
    let both = [Role::Client, Role::Worker];
    let asked = given_nothing::<Login>().when(reserve(ama(), &both)).by(newcomer(ama()));
    asked.then([reserved(ama(), &both).into()]);
    for role in [Role::Admin, Role::Analyst, Role::Operator, Role::Service] {
        given_nothing::<Login>()
            .when(reserve(ama(), &[Role::Client, role]))
            .by(newcomer(ama()))
            .then_forbidden("role_not_allowed");
        given_nothing::<Login>().when(reserve(ama(), &[role])).by(Actor::System).then([reserved(
            ama(),
            &[role],
        )
        .into()]);
    }
}

#[test]
fn an_account_has_a_role() {
    for actor in [newcomer(ama()), Actor::System] {
        given_nothing::<Login>().when(reserve(ama(), &[])).by(actor).then_invalid("roles_missing");
    }
}

#[test]
fn a_reserved_address_is_claimed_once() {
    let claim = LoginCommand::Claim { account: ama() };
    given::<Login>([held(ama())]).when(claim.clone()).by(process()).then([claimed(ama())]);
    given::<Login>([held(ama()), claimed(ama())]).when(claim).by(process()).then_nothing();
}

#[test]
fn an_address_is_claimed_only_for_the_account_that_holds_it() {
    let claim = || LoginCommand::Claim { account: ama() };
    for history in [vec![], vec![held(esi())], vec![held(ama()), released(ama())]] {
        given::<Login>(history).when(claim()).by(process()).then_too_late("not_the_holder");
    }
}

#[test]
fn a_reserved_address_is_released_once() {
    let release = LoginCommand::Release { account: ama() };
    given::<Login>([held(ama())]).when(release.clone()).by(process()).then([released(ama())]);
    for history in [vec![], vec![held(ama()), released(ama())], vec![held(esi())]] {
        given::<Login>(history).when(release.clone()).by(process()).then_nothing();
    }
}

#[test]
fn a_claimed_address_is_not_released() {
    given::<Login>([held(ama()), claimed(ama())])
        .when(LoginCommand::Release { account: ama() })
        .by(process())
        .then_too_late("login_claimed");
}

#[test]
fn only_the_machinery_claims_and_releases() {
    for command in [LoginCommand::Claim { account: ama() }, LoginCommand::Release { account: ama() }] {
        for actor in [client(ama()), admin(), service()] {
            given::<Login>([held(ama())]).when(command.clone()).by(actor).then_forbidden("internal_only");
        }
    }
}

#[test]
fn a_login_tells_who_holds_it() {
    assert_eq!(Login::default().account(), None);
    let login = fold::<Login>([held(ama())]);
    assert_eq!((login.account(), login.is_claimed()), (Some(ama()), false));
    let login = fold::<Login>([held(ama()), claimed(ama())]);
    assert_eq!((login.account(), login.is_claimed()), (Some(ama()), true));
}
