//! The registration: an e-mail address that was reserved becomes an account's own, or is free again; never both.

use std::collections::BTreeSet;

use commands::{
    Actor, Aggregate,
    account::AccountCommand,
    login::LoginCommand,
    process::{Origin, ProcessManager, StepCommand},
    registration::{ABANDONED_TIMER, Registration, RegistrationCommand, first_step, instance_of},
};
use events::{
    Timestamp,
    ids::CommandId,
    vocabulary::{
        StepOutcome,
        identity::{
            AccountErased, AccountEvent, AccountRegistered, EmailClaimed, LoginEvent, RegistrationEnded,
            RegistrationEvent, RegistrationResult, RegistrationStarted, RegistrationStep,
            RegistrationStepRequested, RegistrationStepSettled, RegistrationTimerStarted,
            RegistrationTimerStopped, Role,
        },
    },
};

use super::{fixtures::*, login::reserved, recorded::recorded, scenario::*};

fn start() -> RegistrationCommand {
    RegistrationCommand::Start {
        login: the_login(),
        account: ama(),
        email: sealed(ama(), "e-mail"),
        display_name: sealed(ama(), "name"),
        password_hash: sealed(ama(), "password"),
        roles: BTreeSet::from([Role::Client]),
    }
}

fn due_at() -> Timestamp {
    noon_plus(10 * MINUTE_MS)
}

fn started() -> [RegistrationEvent; 3] {
    let started = RegistrationStarted {
        login: the_login(),
        account: ama(),
        email: sealed(ama(), "e-mail"),
        display_name: sealed(ama(), "name"),
        password_hash: sealed(ama(), "password"),
        roles: BTreeSet::from([Role::Client]),
    };
    let timer = RegistrationTimerStarted { timer: ABANDONED_TIMER.to_owned(), due_at: due_at() };
    [started.into(), requested(1, RegistrationStep::RegisterAccount), timer.into()]
}

fn started_and(further: impl IntoIterator<Item = RegistrationEvent>) -> Vec<RegistrationEvent> {
    started().into_iter().chain(further).collect()
}

fn requested(number: u32, step: RegistrationStep) -> RegistrationEvent {
    RegistrationStepRequested { number, step }.into()
}

fn settled(number: u32, outcome: StepOutcome) -> RegistrationEvent {
    RegistrationStepSettled { number, outcome }.into()
}

fn timer_stopped() -> RegistrationEvent {
    RegistrationTimerStopped { timer: ABANDONED_TIMER.to_owned() }.into()
}

fn ended(result: RegistrationResult) -> RegistrationEvent {
    RegistrationEnded { result }.into()
}

fn refused() -> StepOutcome {
    StepOutcome::Refused { code: "some_code".to_owned() }
}

fn settle(number: u32, outcome: StepOutcome) -> RegistrationCommand {
    RegistrationCommand::SettleStep { number, outcome }
}

fn fire() -> RegistrationCommand {
    RegistrationCommand::FireTimer { timer: ABANDONED_TIMER.to_owned() }
}

/// The timer has fired, and the account was asked whether it can be given up.
fn giving_up() -> Vec<RegistrationEvent> {
    started_and([timer_stopped(), requested(2, RegistrationStep::AbandonAccount)])
}

#[test]
fn a_reserved_address_asks_for_an_account_and_starts_the_timer() {
    given_nothing::<Registration>().when(start()).by(process()).then(started());
    given::<Registration>(started()).when(start()).by(process()).then_nothing();
}

#[test]
fn an_account_that_was_registered_claims_the_address() {
    given::<Registration>(started()).when(settle(1, StepOutcome::Done)).then([
        settled(1, StepOutcome::Done),
        timer_stopped(),
        requested(2, RegistrationStep::ClaimEmail),
    ]);
}

#[test]
fn the_address_is_claimed_as_soon_as_the_account_is_heard_of_and_only_once() {
    let claim = [timer_stopped(), requested(2, RegistrationStep::ClaimEmail)];
    given::<Registration>(started()).when(RegistrationCommand::NoteRegistered).then(claim.clone());
    let heard = started_and(claim);
    given::<Registration>(heard.clone()).when(RegistrationCommand::NoteRegistered).then_nothing();
    given::<Registration>(heard).when(settle(1, StepOutcome::Done)).then([settled(1, StepOutcome::Done)]);
}

#[test]
fn an_account_that_is_heard_of_before_its_reservation_is_waited_for() {
    given_nothing::<Registration>().when(RegistrationCommand::NoteRegistered).then_nothing();
}

#[test]
fn a_claimed_address_ends_the_registration() {
    let claiming = started_and([
        settled(1, StepOutcome::Done),
        timer_stopped(),
        requested(2, RegistrationStep::ClaimEmail),
    ]);
    given::<Registration>(claiming)
        .when(settle(2, StepOutcome::Done))
        .then([settled(2, StepOutcome::Done), ended(RegistrationResult::Registered)]);
}

#[test]
fn a_registration_does_not_end_before_all_its_steps_are_answered() {
    let claiming = started_and([timer_stopped(), requested(2, RegistrationStep::ClaimEmail)]);
    let claim_answered = settled(2, StepOutcome::Done);
    given::<Registration>(claiming.clone()).when(settle(2, StepOutcome::Done)).then([claim_answered.clone()]);
    given::<Registration>(claiming.into_iter().chain([claim_answered]))
        .when(settle(1, StepOutcome::Done))
        .then([settled(1, StepOutcome::Done), ended(RegistrationResult::Registered)]);
}

#[test]
fn the_timer_asks_the_account_whether_it_can_be_given_up() {
    given::<Registration>(started())
        .when(fire())
        .at(due_at())
        .then([timer_stopped(), requested(2, RegistrationStep::AbandonAccount)]);
}

#[test]
fn a_timer_that_is_early_late_or_unknown_does_nothing() {
    given::<Registration>(started()).when(fire()).at(due_at().plus_millis(-1)).then_nothing();
    given::<Registration>(giving_up()).when(fire()).at(due_at()).then_nothing();
    let claiming = started_and([timer_stopped(), requested(2, RegistrationStep::ClaimEmail)]);
    given::<Registration>(claiming).when(fire()).at(due_at()).then_nothing();
    given_nothing::<Registration>().when(fire()).at(due_at()).then_nothing();
    let other = RegistrationCommand::FireTimer { timer: "tea".to_owned() };
    given::<Registration>(started()).when(other).at(due_at()).then_nothing();
}

#[test]
fn an_account_that_cannot_be_registered_is_given_up() {
    given::<Registration>(started()).when(settle(1, refused())).then([
        settled(1, refused()),
        timer_stopped(),
        requested(2, RegistrationStep::AbandonAccount),
    ]);
}

#[test]
fn only_an_account_that_was_given_up_releases_its_address() {
    given::<Registration>(giving_up())
        .when(settle(2, StepOutcome::Done))
        .then([settled(2, StepOutcome::Done), requested(3, RegistrationStep::ReleaseEmail)]);
}

#[test]
fn an_account_that_is_not_given_up_claims_its_address() {
    given::<Registration>(giving_up())
        .when(settle(2, refused()))
        .then([settled(2, refused()), requested(3, RegistrationStep::ClaimEmail)]);
}

#[test]
fn a_released_address_ends_the_registration_as_abandoned() {
    let releasing = giving_up().into_iter().chain([
        settled(2, StepOutcome::Done),
        requested(3, RegistrationStep::ReleaseEmail),
        settled(1, refused()),
    ]);
    given::<Registration>(releasing)
        .when(settle(3, StepOutcome::Done))
        .then([settled(3, StepOutcome::Done), ended(RegistrationResult::Abandoned)]);
}

#[test]
fn what_comes_after_the_end_changes_nothing() {
    let over = started_and([
        settled(1, StepOutcome::Done),
        timer_stopped(),
        requested(2, RegistrationStep::ClaimEmail),
        settled(2, StepOutcome::Done),
        ended(RegistrationResult::Registered),
    ]);
    let told = [
        start(),
        RegistrationCommand::NoteRegistered,
        settle(1, refused()),
        settle(2, refused()),
        settle(3, StepOutcome::Done),
        fire(),
    ];
    for command in told {
        given::<Registration>(over.clone()).when(command).at(due_at()).then_nothing();
    }
    assert_eq!(fold::<Registration>(over).result(), Some(RegistrationResult::Registered));
}

#[test]
fn a_registration_listens_to_the_machinery_only() {
    for command in [start(), RegistrationCommand::NoteRegistered, settle(1, StepOutcome::Done), fire()] {
        for actor in [client(ama()), admin(), service()] {
            given::<Registration>(started()).when(command.clone()).by(actor).then_forbidden("internal_only");
        }
    }
}

// ---- who is asked, and who is told ----

#[test]
fn each_step_is_a_command_to_the_account_or_the_login() {
    let instance = instance_of(the_login(), ama());
    let asked = |further: Vec<RegistrationEvent>, number| {
        fold::<Registration>(started_and(further)).open_step(instance, number)
    };
    let register = AccountCommand::Register {
        login: the_login(),
        email: sealed(ama(), "e-mail"),
        display_name: sealed(ama(), "name"),
        password_hash: sealed(ama(), "password"),
        roles: BTreeSet::from([Role::Client]),
    };
    assert_eq!(asked(vec![], 1), Some(StepCommand::Account(ama(), register)));
    let login = the_login();
    let steps = [
        (RegistrationStep::AbandonAccount, StepCommand::Account(ama(), AccountCommand::Abandon { login })),
        (RegistrationStep::ClaimEmail, StepCommand::Login(login, LoginCommand::Claim { account: ama() })),
        (RegistrationStep::ReleaseEmail, StepCommand::Login(login, LoginCommand::Release { account: ama() })),
    ];
    for (step, command) in steps {
        assert_eq!(asked(vec![requested(2, step)], 2), Some(command));
        assert_eq!(asked(vec![requested(2, step), settled(2, StepOutcome::Done)], 2), None);
    }
    assert_eq!(asked(vec![], 2), None);
    assert_eq!(asked(vec![], 0), None);
    assert_eq!(Registration::default().open_step(instance, 1), None);
}

#[test]
fn reservation_and_account_find_the_same_registration() {
    let instance = instance_of(the_login(), ama());
    let reserved_event = reserved(ama(), &[Role::Client]);
    let told = Registration::react(&recorded::<LoginEvent>(the_login(), reserved_event.clone().into()));
    assert_eq!(told, Some((instance, start())));
    let registered = AccountRegistered {
        login: the_login(),
        email: sealed(ama(), "e-mail"),
        display_name: sealed(ama(), "name"),
        password_hash: sealed(ama(), "password"),
        roles: BTreeSet::from([Role::Client]),
    };
    let told = Registration::react(&recorded::<AccountEvent>(ama(), registered.into()));
    assert_eq!(told, Some((instance, RegistrationCommand::NoteRegistered)));
    assert_ne!(instance, instance_of(the_login(), esi()));
    assert_ne!(instance, instance_of(id(0xdead), ama()));
}

#[test]
fn other_events_are_nothing_to_a_registration() {
    let claimed = EmailClaimed { account: ama() };
    assert_eq!(Registration::react(&recorded::<LoginEvent>(the_login(), claimed.into())), None);
    let erased = AccountErased {};
    assert_eq!(Registration::react(&recorded::<AccountEvent>(ama(), erased.into())), None);
}

#[test]
fn the_gateways_first_step_is_the_managers_first_step() {
    let origin = Origin { correlation_id: "r".to_owned(), causation_id: None, traceparent: None };
    let request = first_step(the_login(), &reserved(ama(), &[Role::Client]), origin);
    let instance = instance_of(the_login(), ama());
    let manager = fold::<Registration>(started());
    assert_eq!(
        manager.open_step(instance, 1),
        Some(StepCommand::Account(request.id, request.command.clone()))
    );
    let category = Registration::CATEGORY.name();
    let uuid = events::Id::uuid(instance);
    assert_eq!(request.command_id, CommandId::from_step(category, uuid, 1));
    assert!(matches!(request.actor, Actor::Process { stream } if stream.uuid == uuid));
}

#[test]
fn giving_up_does_not_wait_for_a_registration_that_is_stuck() {
    let registration = fold::<Registration>(giving_up());
    assert_eq!((registration.step_before(1), registration.step_before(2)), (None, None));
}
