//! Accounts: registered once, changed by their holders, governed by administrators, forgotten for good.

use std::collections::BTreeSet;

use commands::{
    Actor,
    account::{Account, AccountCommand},
};
use events::{
    ids::LoginId,
    vocabulary::identity::{
        AccountErased, AccountEvent, AccountRegistered, AccountReinstated, AccountSuspended, EmailVerified,
        IdentityLinked, PasswordChanged, Role, RoleAssigned,
    },
};

use super::{fixtures::*, scenario::*};

fn register(login: LoginId) -> AccountCommand {
    AccountCommand::Register {
        login,
        email: sealed(ama(), "e-mail"),
        display_name: sealed(ama(), "name"),
        password_hash: sealed(ama(), "password"),
        roles: BTreeSet::from([Role::Client]),
    }
}

fn registered() -> AccountEvent {
    AccountRegistered {
        login: the_login(),
        email: sealed(ama(), "e-mail"),
        display_name: sealed(ama(), "name"),
        password_hash: sealed(ama(), "password"),
        roles: BTreeSet::from([Role::Client]),
    }
    .into()
}

fn suspended() -> AccountEvent {
    AccountSuspended { reason: sealed(ama(), "fraud") }.into()
}

fn erased() -> AccountEvent {
    AccountErased {}.into()
}

fn link(issuer: &str, subject: &str) -> AccountCommand {
    AccountCommand::LinkIdentity { issuer: issuer.to_owned(), subject: sealed(ama(), subject) }
}

fn linked(issuer: &str, subject: &str) -> AccountEvent {
    IdentityLinked { issuer: issuer.to_owned(), subject: sealed(ama(), subject) }.into()
}

fn change_password(text: &str) -> AccountCommand {
    AccountCommand::ChangePassword { password_hash: sealed(ama(), text) }
}

fn own_commands() -> [AccountCommand; 3] {
    [AccountCommand::VerifyEmail, change_password("new"), link("https://id", "42")]
}

fn admin_commands() -> [AccountCommand; 3] {
    let suspend = AccountCommand::Suspend { reason: sealed(ama(), "fraud") };
    [AccountCommand::AssignRole { role: Role::Worker }, suspend, AccountCommand::Reinstate]
}

/// A question about Ama's account.
fn of_ama(history: impl IntoIterator<Item = AccountEvent>, command: AccountCommand) -> When<Account> {
    given::<Account>(history).when(command).of(ama())
}

// ---- register, abandon ----

#[test]
fn an_account_is_registered_for_a_reservation() {
    for actor in [process(), Actor::System] {
        of_ama([], register(the_login())).by(actor).then([registered()]);
    }
}

#[test]
fn registering_again_for_the_same_reservation_has_nothing_left_to_do() {
    of_ama([registered()], register(the_login())).then_nothing();
}

#[test]
fn an_account_is_not_registered_for_two_reservations() {
    of_ama([registered()], register(id(0xdead))).then_too_late("account_already_exists");
}

#[test]
fn an_account_is_registered_with_a_role() {
    let AccountCommand::Register { login, email, display_name, password_hash, .. } = register(the_login())
    else {
        unreachable!("that is what it makes");
    };
    let roles = BTreeSet::new();
    let command = AccountCommand::Register { login, email, display_name, password_hash, roles };
    of_ama([], command).then_invalid("roles_missing");
}

#[test]
fn an_account_that_was_given_up_is_never_registered() {
    of_ama([], AccountCommand::Abandon { login: the_login() }).by(process()).then([erased()]);
    of_ama([erased()], register(the_login())).then_too_late("account_erased");
    of_ama([erased()], AccountCommand::Abandon { login: the_login() }).then_nothing();
}

#[test]
fn an_account_that_was_registered_is_not_given_up() {
    of_ama([registered()], AccountCommand::Abandon { login: the_login() })
        .then_too_late("account_already_registered");
}

#[test]
fn giving_up_another_reservation_leaves_the_account_alone() {
    of_ama([registered()], AccountCommand::Abandon { login: id(0xdead) }).then_nothing();
}

#[test]
fn only_the_machinery_registers_and_gives_up() {
    for command in [register(the_login()), AccountCommand::Abandon { login: the_login() }] {
        for actor in [client(ama()), admin(), service()] {
            of_ama([], command.clone()).by(actor).then_forbidden("internal_only");
        }
    }
}

// ---- what the holder does ----

#[test]
fn the_holder_verifies_the_address_once() {
    for actor in [client(ama()), process()] {
        of_ama([registered()], AccountCommand::VerifyEmail).by(actor).then([EmailVerified {}.into()]);
    }
    of_ama([registered(), EmailVerified {}.into()], AccountCommand::VerifyEmail).then_nothing();
}

#[test]
fn the_holder_changes_the_password() {
    let changed = PasswordChanged { password_hash: sealed(ama(), "new") };
    of_ama([registered()], change_password("new")).by(client(ama())).then([changed.clone().into()]);
    let account = fold::<Account>([registered(), changed.into()]);
    assert_eq!(account.password_hash(), Some(&sealed(ama(), "new")));
    of_ama([registered()], change_password("password")).by(client(ama())).then_nothing();
}

#[test]
fn the_holder_links_one_identity_of_an_issuer() {
    let history = [registered(), linked("https://id", "42")];
    of_ama([registered()], link("https://id", "42")).by(client(ama())).then([linked("https://id", "42")]);
    of_ama(history.clone(), link("https://id", "42")).by(client(ama())).then_nothing();
    of_ama(history.clone(), link("https://id", "43"))
        .by(client(ama()))
        .then_too_late("identity_already_linked");
    of_ama(history, link("https://other", "43")).by(client(ama())).then([linked("https://other", "43")]);
}

#[test]
fn the_number_of_linked_identities_is_bounded() {
    let history = (0..10).map(|number| linked(&format!("https://{number}"), "42"));
    of_ama([registered()].into_iter().chain(history), link("https://one-more", "42"))
        .by(client(ama()))
        .then_too_late("too_many_identities");
}

#[test]
fn nobody_else_does_what_the_holder_does() {
    for command in own_commands() {
        for actor in [client(esi()), admin(), service()] {
            of_ama([registered()], command.clone()).by(actor).then_forbidden("not_your_account");
        }
    }
}

#[test]
fn a_suspended_holder_does_nothing() {
    for command in own_commands().into_iter().chain([AccountCommand::Erase]) {
        of_ama([registered(), suspended()], command).by(client(ama())).then_forbidden("account_suspended");
    }
}

// ---- what administrators do ----

#[test]
fn an_administrator_assigns_a_role_once() {
    for actor in [admin(), Actor::System] {
        of_ama([registered()], AccountCommand::AssignRole { role: Role::Worker })
            .by(actor)
            .then([RoleAssigned { role: Role::Worker }.into()]);
    }
    of_ama([registered()], AccountCommand::AssignRole { role: Role::Client }).by(admin()).then_nothing();
}

#[test]
fn an_administrator_suspends_and_reinstates() {
    let suspend = || AccountCommand::Suspend { reason: sealed(ama(), "fraud") };
    let reinstated: AccountEvent = AccountReinstated {}.into();
    for actor in [admin(), process(), Actor::System] {
        of_ama([registered()], suspend()).by(actor.clone()).then([suspended()]);
        of_ama([registered(), suspended()], AccountCommand::Reinstate).by(actor).then([reinstated.clone()]);
    }
    of_ama([registered(), suspended()], suspend()).by(admin()).then_nothing();
    of_ama([registered()], AccountCommand::Reinstate).by(admin()).then_nothing();
}

#[test]
fn nobody_else_does_what_administrators_do() {
    for command in admin_commands() {
        for actor in [client(ama()), client(esi()), as_role(esi(), Role::Operator), service()] {
            of_ama([registered()], command.clone()).by(actor).then_forbidden("not_an_administrator");
        }
    }
    of_ama([registered()], AccountCommand::AssignRole { role: Role::Admin })
        .by(process())
        .then_forbidden("not_an_administrator");
}

// ---- erase ----

#[test]
fn an_account_is_erased_once() {
    for actor in [client(ama()), admin(), process(), Actor::System] {
        of_ama([registered()], AccountCommand::Erase).by(actor.clone()).then([erased()]);
        of_ama([registered(), erased()], AccountCommand::Erase).by(actor).then_nothing();
    }
    of_ama([registered(), suspended()], AccountCommand::Erase).by(admin()).then([erased()]);
}

#[test]
fn nobody_erases_somebody_else() {
    for actor in [client(esi()), service()] {
        of_ama([registered()], AccountCommand::Erase).by(actor).then_forbidden("not_your_account");
    }
}

#[test]
fn nothing_is_done_to_an_erased_account() {
    let history = [registered(), erased()];
    for command in own_commands() {
        of_ama(history.clone(), command).by(client(ama())).then_too_late("account_erased");
    }
    for command in admin_commands() {
        of_ama(history.clone(), command).by(admin()).then_too_late("account_erased");
    }
}

#[test]
fn an_erased_account_keeps_nothing_of_the_person() {
    let account = fold::<Account>([registered(), linked("https://id", "42"), suspended(), erased()]);
    assert!(account.is_erased() && !account.is_registered() && !account.is_active());
    assert!(account.email().is_none() && account.password_hash().is_none() && account.roles().is_empty());
    assert_eq!(account.identities().count(), 0);
}

#[test]
fn what_was_never_registered_is_not_there() {
    for command in own_commands() {
        of_ama([], command).by(client(ama())).then_not_found("account_not_found");
    }
    for command in admin_commands().into_iter().chain([AccountCommand::Erase]) {
        of_ama([], command).by(admin()).then_not_found("account_not_found");
    }
}

#[test]
fn an_account_tells_of_itself() {
    let history = [registered(), EmailVerified {}.into(), RoleAssigned { role: Role::Worker }.into()];
    let account = fold::<Account>(history.clone());
    assert!(account.is_registered() && account.is_active() && account.is_email_verified());
    assert_eq!(account.roles(), &BTreeSet::from([Role::Client, Role::Worker]));
    assert_eq!(account.login(), Some(the_login()));
    assert_eq!(account.email(), Some(&sealed(ama(), "e-mail")));
    assert_eq!(account.display_name(), Some(&sealed(ama(), "name")));
    let account = fold::<Account>(history.into_iter().chain([suspended()]));
    assert!(account.is_suspended() && account.is_registered() && !account.is_active());
}
