//! Signing and calling off: proposed → signed by both | declined | expired; signed or active → cancelled.

use commands::{
    Actor, Policy,
    contract::{Contract, ContractCommand, ContractStatus},
};
use events::{
    Timestamp,
    ids::AccountId,
    vocabulary::jobs::{
        ContractCancelled, ContractCompleted, ContractDeclined, ContractEvent, ContractExpired,
        ContractProposed, ContractSigned, ContractTerms, MilestoneApproved, MilestoneDisputed,
        MilestoneFunded, MilestoneRefunded, MilestoneReleased, WorkSubmitted,
    },
};

use super::{fixtures::*, scenario::*};

pub fn expires_at() -> Timestamp {
    noon_plus(7 * DAY_MS)
}

pub fn proposed() -> ContractEvent {
    ContractProposed { terms: contract_terms(), expires_at: expires_at() }.into()
}

pub fn signed(by: AccountId, fully: bool) -> ContractEvent {
    ContractSigned { by, fully }.into()
}

/// Proposed and signed by both.
pub fn agreed() -> Vec<ContractEvent> {
    vec![proposed(), signed(ama(), false), signed(kofi(), true)]
}

pub fn agreed_and(further: impl IntoIterator<Item = ContractEvent>) -> Vec<ContractEvent> {
    agreed().into_iter().chain(further).collect()
}

pub fn funded(milestone: u32) -> ContractEvent {
    MilestoneFunded { milestone }.into()
}

pub fn review_until() -> Timestamp {
    noon_plus(14 * DAY_MS)
}

pub fn work_submitted(milestone: u32) -> ContractEvent {
    WorkSubmitted { milestone, note: sealed(kofi(), "done"), review_until: review_until() }.into()
}

pub fn approved(milestone: u32) -> ContractEvent {
    MilestoneApproved { milestone, by: Some(ama()) }.into()
}

pub fn released(milestone: u32) -> ContractEvent {
    MilestoneReleased { milestone }.into()
}

pub fn disputed(milestone: u32) -> ContractEvent {
    MilestoneDisputed { milestone }.into()
}

/// A milestone from its funding to the worker's wallet.
pub fn paid(milestone: u32) -> [ContractEvent; 4] {
    [funded(milestone), work_submitted(milestone), approved(milestone), released(milestone)]
}

/// A history that leads to each status.
pub fn history_of(status: ContractStatus) -> Vec<ContractEvent> {
    match status {
        ContractStatus::Proposed => vec![proposed(), signed(ama(), false)],
        ContractStatus::Signed => agreed(),
        ContractStatus::Active => agreed_and([funded(1)]),
        ContractStatus::Disputed => agreed_and([funded(1), disputed(1)]),
        ContractStatus::Completed => {
            agreed_and(paid(1).into_iter().chain(paid(2)).chain([ContractCompleted {}.into()]))
        }
        ContractStatus::Cancelled => agreed_and([ContractCancelled { by: Some(ama()) }.into()]),
        ContractStatus::Declined => vec![proposed(), ContractDeclined { by: kofi() }.into()],
        ContractStatus::Expired => vec![proposed(), ContractExpired {}.into()],
    }
}

fn propose(terms: ContractTerms) -> ContractCommand {
    ContractCommand::Propose { terms }
}

// ---- propose ----

#[test]
fn a_contract_is_proposed_until_the_set_time() {
    given_nothing::<Contract>().when(propose(contract_terms())).by(process()).then([proposed()]);
}

#[test]
fn proposing_the_same_again_has_nothing_left_to_do() {
    given::<Contract>(agreed()).when(propose(contract_terms())).by(process()).then_nothing();
}

#[test]
fn a_contract_is_not_proposed_again_on_other_terms() {
    let terms = ContractTerms { title: "Paint the gate".to_owned(), ..contract_terms() };
    given::<Contract>([proposed()])
        .when(propose(terms))
        .by(process())
        .then_too_late("contract_already_exists");
}

#[test]
fn the_milestones_of_a_contract_sum_to_its_price() {
    let terms = ContractTerms { price: cedis(30_001), ..contract_terms() };
    given_nothing::<Contract>().when(propose(terms)).by(process()).then_invalid("milestones_do_not_sum");
}

#[test]
fn a_contract_is_held_to_the_rules_of_prices() {
    let with = |milestones| ContractTerms { milestones, price: cedis(100), ..contract_terms() };
    let cases = [
        (with(vec![]), "milestones_missing"),
        (with(vec![milestone("", cedis(100))]), "title_missing"),
        (with(vec![milestone("a", cedis(100)), milestone("b", cedis(0))]), "amount_not_positive"),
        (with(vec![milestone("a", money(100, "USD"))]), "currency_mismatch"),
        (with(vec![milestone("a", cedis(i64::MAX)), milestone("b", cedis(1))]), "amount_too_large"),
        (ContractTerms { title: " ".to_owned(), ..contract_terms() }, "title_missing"),
        (ContractTerms { worker: ama(), ..contract_terms() }, "parties_equal"),
    ];
    for (terms, code) in cases {
        given_nothing::<Contract>().when(propose(terms)).by(process()).then_invalid(code);
    }
    let policy = Policy { milestones_per_bid_max: 1, ..Policy::default() };
    let asked = given_nothing::<Contract>().when(propose(contract_terms())).by(process());
    asked.under(policy).then_invalid("too_many_milestones");
}

// ---- sign, decline ----

#[test]
fn a_contract_is_signed_by_both_in_either_order() {
    for (first, second) in [(ama(), kofi()), (kofi(), ama())] {
        given::<Contract>([proposed()])
            .when(ContractCommand::Sign)
            .by(client(first))
            .then([signed(first, false)]);
        given::<Contract>([proposed(), signed(first, false)])
            .when(ContractCommand::Sign)
            .by(client(second))
            .then([signed(second, true)]);
    }
}

#[test]
fn signing_again_has_nothing_left_to_do() {
    given::<Contract>([proposed(), signed(ama(), false)])
        .when(ContractCommand::Sign)
        .by(client(ama()))
        .then_nothing();
    given::<Contract>(agreed()).when(ContractCommand::Sign).by(worker(kofi())).then_nothing();
}

#[test]
fn a_proposal_is_signed_until_it_expires_even_when_its_timer_is_late() {
    given::<Contract>([proposed()])
        .when(ContractCommand::Sign)
        .by(client(ama()))
        .at(expires_at())
        .then_too_late("proposal_expired");
    given::<Contract>([proposed()])
        .when(ContractCommand::Sign)
        .by(client(ama()))
        .at(expires_at().plus_millis(-1))
        .then([signed(ama(), false)]);
}

#[test]
fn a_contract_that_was_declined_or_has_expired_is_not_signed() {
    for status in [ContractStatus::Declined, ContractStatus::Expired] {
        given::<Contract>(history_of(status))
            .when(ContractCommand::Sign)
            .by(client(ama()))
            .then_too_late("contract_not_proposed");
    }
}

#[test]
fn either_party_declines_a_proposal_even_after_signing_it() {
    for history in [vec![proposed()], vec![proposed(), signed(ama(), false)]] {
        for party in [ama(), kofi()] {
            given::<Contract>(history.clone())
                .when(ContractCommand::Decline)
                .by(client(party))
                .then([ContractDeclined { by: party }.into()]);
        }
    }
}

#[test]
fn what_is_no_proposal_any_more_is_not_declined() {
    use ContractStatus::*;
    for status in [Signed, Active, Disputed, Completed, Cancelled, Declined, Expired] {
        given::<Contract>(history_of(status))
            .when(ContractCommand::Decline)
            .by(client(ama()))
            .then_too_late("contract_not_proposed");
    }
}

#[test]
fn only_the_parties_sign_and_decline() {
    for command in [ContractCommand::Sign, ContractCommand::Decline] {
        for actor in [client(esi()), worker(yaw()), admin(), process(), service(), Actor::System] {
            given::<Contract>([proposed()]).when(command.clone()).by(actor).then_forbidden("not_a_party");
        }
    }
}

// ---- expire ----

#[test]
fn a_proposal_expires_when_its_hire_says_so() {
    given::<Contract>(history_of(ContractStatus::Proposed))
        .when(ContractCommand::Expire)
        .by(process())
        .then([ContractExpired {}.into()]);
}

#[test]
fn a_timer_that_comes_late_changes_nothing() {
    use ContractStatus::*;
    for status in [Signed, Active, Disputed, Completed, Cancelled, Declined, Expired] {
        given::<Contract>(history_of(status)).when(ContractCommand::Expire).by(process()).then_nothing();
    }
    given_nothing::<Contract>().when(ContractCommand::Expire).by(process()).then_nothing();
}

// ---- cancel ----

#[test]
fn either_party_cancels_a_signed_contract() {
    for party in [ama(), kofi()] {
        given::<Contract>(agreed())
            .when(ContractCommand::Cancel)
            .by(client(party))
            .then([ContractCancelled { by: Some(party) }.into()]);
    }
}

#[test]
fn the_machinery_cancels_in_nobodys_name() {
    given::<Contract>(agreed())
        .when(ContractCommand::Cancel)
        .by(process())
        .then([ContractCancelled { by: None }.into()]);
}

#[test]
fn an_active_contract_is_cancelled_when_no_money_is_in_escrow() {
    given::<Contract>(agreed_and(paid(1)))
        .when(ContractCommand::Cancel)
        .by(client(ama()))
        .then([ContractCancelled { by: Some(ama()) }.into()]);
}

#[test]
fn nothing_is_cancelled_while_money_is_in_escrow() {
    let changes = events::vocabulary::jobs::ChangesRequested { milestone: 1, note: sealed(ama(), "no") };
    let in_escrow: [Vec<ContractEvent>; 5] = [
        vec![funded(1)],
        vec![funded(1), work_submitted(1)],
        vec![funded(1), work_submitted(1), changes.into()],
        vec![funded(1), work_submitted(1), approved(1)],
        vec![funded(1), disputed(1)],
    ];
    for further in in_escrow {
        for actor in [client(ama()), worker(kofi()), process()] {
            given::<Contract>(agreed_and(further.clone()))
                .when(ContractCommand::Cancel)
                .by(actor)
                .then_too_late("money_in_escrow");
        }
    }
}

#[test]
fn a_contract_that_is_not_signed_or_has_ended_is_not_cancelled() {
    use ContractStatus::*;
    for status in [Proposed, Completed, Cancelled, Declined, Expired] {
        given::<Contract>(history_of(status))
            .when(ContractCommand::Cancel)
            .by(client(ama()))
            .then_too_late("contract_not_cancellable");
    }
}

#[test]
fn nobody_but_the_parties_and_the_machinery_cancels() {
    for actor in [client(esi()), worker(yaw()), admin(), service()] {
        given::<Contract>(agreed()).when(ContractCommand::Cancel).by(actor).then_forbidden("not_a_party");
    }
}

#[test]
fn what_the_machinery_does_nobody_else_does() {
    let outcome = events::vocabulary::jobs::DisputeOutcome::Split;
    let commands = [
        propose(contract_terms()),
        ContractCommand::Expire,
        ContractCommand::ConfirmFunding { milestone: 1 },
        ContractCommand::Release { milestone: 1 },
        ContractCommand::Refund { milestone: 1 },
        ContractCommand::SettleDispute { milestone: 1, outcome },
    ];
    for command in commands {
        for actor in [client(ama()), worker(kofi()), admin(), service()] {
            given::<Contract>(agreed()).when(command.clone()).by(actor).then_forbidden("internal_only");
        }
    }
}

#[test]
fn what_was_never_proposed_is_not_there() {
    for command in [ContractCommand::Sign, ContractCommand::Cancel, ContractCommand::Approve { milestone: 1 }]
    {
        given_nothing::<Contract>().when(command).by(client(ama())).then_not_found("contract_not_found");
    }
}

#[test]
fn a_contract_tells_of_its_parties_and_its_state() {
    let contract = fold::<Contract>([proposed(), signed(kofi(), false)]);
    let parties = contract.parties().expect("parties");
    assert_eq!((parties.client, parties.worker), (ama(), kofi()));
    assert!(parties.include(ama()) && parties.include(kofi()) && !parties.include(esi()));
    assert!(contract.is_signed_by(kofi()) && !contract.is_signed_by(ama()) && !contract.is_signed_by(esi()));
    assert_eq!(contract.status(), Some(ContractStatus::Proposed));
    assert_eq!(contract.expires_at(), Some(expires_at()));
    assert_eq!((contract.terms(), contract.price()), (Some(&contract_terms()), Some(cedis(30_000))));
    let refunded: ContractEvent = MilestoneRefunded { milestone: 1 }.into();
    let statuses = [vec![funded(1)], vec![funded(1), refunded]]
        .map(|further| fold::<Contract>(agreed_and(further)).milestone(1).map(|milestone| milestone.status));
    use commands::contract::MilestoneStatus::{Funded, Refunded};
    assert_eq!(statuses, [Some(Funded), Some(Refunded)]);
}
