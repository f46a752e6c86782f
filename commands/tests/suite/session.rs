//! Sessions: started, refreshed by rotation, ended by their holder, by an administrator, or by a token that was stolen.

use commands::{
    Actor,
    session::{Session, SessionCommand},
};
use events::{
    Timestamp,
    vocabulary::identity::{
        SessionEnd, SessionEvent, SessionRevoked, SessionRotated, SessionStarted, TokenReuseDetected,
    },
};

use super::{fixtures::*, scenario::*};

/// The hash of the `number`-th refresh token.
fn token(number: u64) -> String {
    format!("{number:016x}{:048x}", 0)
}

fn start() -> SessionCommand {
    SessionCommand::Start { account: ama(), device: sealed(ama(), "phone"), refresh_hash: token(0) }
}

fn expires_at() -> Timestamp {
    noon_plus(30 * DAY_MS)
}

fn started() -> SessionEvent {
    let (account, device, refresh_hash) = (ama(), sealed(ama(), "phone"), token(0));
    SessionStarted { account, device, refresh_hash, expires_at: expires_at() }.into()
}

fn rotate(presented: u64, fresh: u64) -> SessionCommand {
    SessionCommand::Rotate { presented_hash: token(presented), refresh_hash: token(fresh) }
}

/// The grace is ten seconds.
fn rotated(fresh: u64, at: Timestamp) -> SessionEvent {
    SessionRotated { refresh_hash: token(fresh), grace_until: at.plus_millis(10_000) }.into()
}

fn revoked(reason: SessionEnd) -> SessionEvent {
    SessionRevoked { reason }.into()
}

fn theft() -> [SessionEvent; 2] {
    [TokenReuseDetected {}.into(), revoked(SessionEnd::TokenReuse)]
}

// ---- start ----

#[test]
fn an_account_logs_in_until_the_set_time() {
    for actor in [client(ama()), process(), Actor::System] {
        given_nothing::<Session>().when(start()).by(actor).then([started()]);
    }
}

#[test]
fn nobody_logs_in_as_somebody_else() {
    for actor in [client(esi()), admin(), service()] {
        given_nothing::<Session>().when(start()).by(actor).then_forbidden("not_your_session");
    }
}

#[test]
fn a_session_starts_once() {
    given::<Session>([started()]).when(start()).by(client(ama())).then_too_late("session_already_started");
}

#[test]
fn a_token_is_known_by_a_well_formed_hash() {
    let hashes = ["", "abc", &token(1)[1..], &format!("{}0", token(1)), &token(0xabc).to_uppercase()];
    for hash in hashes.map(str::to_owned) {
        let device = sealed(ama(), "phone");
        given_nothing::<Session>()
            .when(SessionCommand::Start { account: ama(), device, refresh_hash: hash.clone() })
            .by(client(ama()))
            .then_invalid("token_hash_malformed");
        let pairs = [(token(0), hash.clone()), (hash, token(1))];
        for (presented_hash, refresh_hash) in pairs {
            given::<Session>([started()])
                .when(SessionCommand::Rotate { presented_hash, refresh_hash })
                .by(client(ama()))
                .then_invalid("token_hash_malformed");
        }
    }
}

// ---- rotate ----

#[test]
fn the_current_token_is_exchanged_for_a_new_one() {
    given::<Session>([started()]).when(rotate(0, 1)).by(client(ama())).then([rotated(1, noon())]);
    given::<Session>([started(), rotated(1, noon())])
        .when(rotate(1, 2))
        .by(client(ama()))
        .then([rotated(2, noon())]);
}

#[test]
fn a_late_retry_with_the_previous_token_is_answered_within_its_grace() {
    let within = noon_plus(10_000);
    given::<Session>([started(), rotated(1, noon())])
        .when(rotate(0, 2))
        .by(client(ama()))
        .at(within)
        .then([rotated(2, within)]);
}

#[test]
fn a_retry_may_itself_be_retried_within_the_grace() {
    given::<Session>([started(), rotated(1, noon()), rotated(2, noon())])
        .when(rotate(0, 3))
        .by(client(ama()))
        .at(noon_plus(5_000))
        .then([rotated(3, noon_plus(5_000))]);
}

#[test]
fn a_token_that_was_exchanged_long_ago_ends_the_session() {
    given::<Session>([started(), rotated(1, noon())])
        .when(rotate(0, 2))
        .by(client(ama()))
        .at(noon_plus(10_001))
        .then(theft());
}

#[test]
fn however_often_a_thief_rotates_the_stolen_token_is_known() {
    let rotations = (1..=500).map(|number| rotated(number, noon()));
    given::<Session>([started()].into_iter().chain(rotations))
        .when(rotate(0, 1_000))
        .by(client(ama()))
        .at(noon_plus(MINUTE_MS))
        .then(theft());
}

#[test]
fn after_a_theft_nobody_refreshes() {
    let history: Vec<_> = [started(), rotated(1, noon())].into_iter().chain(theft()).collect();
    for presented in [0, 1] {
        given::<Session>(history.clone())
            .when(rotate(presented, 2))
            .by(client(ama()))
            .then_too_late("session_revoked");
    }
}

#[test]
fn a_token_of_another_session_is_refused_and_ends_nothing() {
    given::<Session>([started()]).when(rotate(7, 8)).by(client(ama())).then_forbidden("token_unknown");
}

#[test]
fn a_new_token_is_new() {
    let history = [started(), rotated(1, noon())];
    for fresh in [0, 1] {
        given::<Session>(history.clone())
            .when(rotate(1, fresh))
            .by(client(ama()))
            .then_invalid("token_not_fresh");
    }
}

#[test]
fn a_session_is_not_refreshed_beyond_its_time() {
    given::<Session>([started()])
        .when(rotate(0, 1))
        .by(client(ama()))
        .at(expires_at())
        .then_too_late("session_expired");
}

#[test]
fn a_session_is_refreshed_a_bounded_number_of_times() {
    let rotations = (1..=10_000).map(|number| rotated(number, noon()));
    given::<Session>([started()].into_iter().chain(rotations))
        .when(rotate(10_000, 10_001))
        .by(client(ama()))
        .then_too_late("session_worn_out");
}

#[test]
fn nobody_else_refreshes_a_session() {
    for actor in [client(esi()), admin(), service()] {
        given::<Session>([started()]).when(rotate(0, 1)).by(actor).then_forbidden("not_your_session");
    }
}

// ---- revoke ----

#[test]
fn a_session_is_ended_by_those_who_may() {
    let allowed = [
        (SessionEnd::LoggedOut, client(ama())),
        (SessionEnd::PasswordChanged, client(ama())),
        (SessionEnd::PasswordChanged, process()),
        (SessionEnd::ByAdmin, admin()),
        (SessionEnd::TokenReuse, Actor::System),
    ];
    for (reason, actor) in allowed {
        given::<Session>([started()])
            .when(SessionCommand::Revoke { reason })
            .by(actor)
            .then([revoked(reason)]);
    }
}

#[test]
fn a_session_is_not_ended_by_others_or_under_a_pretext() {
    let refused = [
        (SessionEnd::LoggedOut, client(esi())),
        (SessionEnd::LoggedOut, admin()),
        (SessionEnd::ByAdmin, client(ama())),
        (SessionEnd::TokenReuse, client(ama())),
        (SessionEnd::TokenReuse, admin()),
        (SessionEnd::LoggedOut, service()),
    ];
    for (reason, actor) in refused {
        given::<Session>([started()])
            .when(SessionCommand::Revoke { reason })
            .by(actor)
            .then_forbidden("not_your_session");
    }
}

#[test]
fn ending_a_session_again_has_nothing_left_to_do() {
    given::<Session>([started(), revoked(SessionEnd::ByAdmin)])
        .when(SessionCommand::Revoke { reason: SessionEnd::LoggedOut })
        .by(client(ama()))
        .then_nothing();
}

#[test]
fn what_never_started_is_not_there() {
    for command in [rotate(0, 1), SessionCommand::Revoke { reason: SessionEnd::LoggedOut }] {
        given_nothing::<Session>().when(command).by(client(ama())).then_not_found("session_not_found");
    }
}

#[test]
fn a_session_is_live_from_its_start_to_its_end() {
    assert!(!Session::default().is_live(noon()));
    let session = fold::<Session>([started()]);
    assert!(session.is_live(noon()) && session.is_live(expires_at().plus_millis(-1)));
    assert!(!session.is_live(expires_at()));
    assert_eq!((session.account(), session.expires_at()), (Some(ama()), Some(expires_at())));
    let ended = fold::<Session>([started(), revoked(SessionEnd::LoggedOut)]);
    assert_eq!((ended.is_live(noon()), ended.ended()), (false, Some(SessionEnd::LoggedOut)));
}
