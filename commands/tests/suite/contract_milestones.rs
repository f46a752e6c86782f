//! Milestones: planned → funded → submitted → approved → released, with changes, refunds and disputes on the way.

use commands::{
    Actor,
    contract::{Contract, ContractCommand, ContractStatus, MilestoneStatus},
};
use events::{
    Timestamp,
    vocabulary::jobs::{
        ChangesRequested, ContractCancelled, ContractCompleted, ContractEvent, DisputeOutcome, FundingOrder,
        FundingRequested, MilestoneApproved, MilestoneDisputeSettled, MilestoneRefunded, WorkSubmitted,
    },
};

use super::{contract_signing::*, fixtures::*, scenario::*};

fn refunded(milestone: u32) -> ContractEvent {
    MilestoneRefunded { milestone }.into()
}

fn settled(milestone: u32, outcome: DisputeOutcome) -> ContractEvent {
    MilestoneDisputeSettled { milestone, outcome }.into()
}

fn changes_requested() -> ContractEvent {
    ChangesRequested { milestone: 1, note: sealed(ama(), "whiter") }.into()
}

fn submit_work() -> ContractCommand {
    ContractCommand::SubmitWork { milestone: 1, note: sealed(kofi(), "done") }
}

fn request_changes() -> ContractCommand {
    ContractCommand::RequestChanges { milestone: 1, note: sealed(ama(), "whiter") }
}

fn settle(outcome: DisputeOutcome) -> ContractCommand {
    ContractCommand::SettleDispute { milestone: 1, outcome }
}

/// A history that leads milestone 1 to each status, while milestone 2 stays planned where it can.
fn history_of(status: MilestoneStatus) -> Vec<ContractEvent> {
    let further = match status {
        MilestoneStatus::Planned => vec![],
        MilestoneStatus::Funded => vec![funded(1)],
        MilestoneStatus::Submitted => vec![funded(1), work_submitted(1)],
        MilestoneStatus::ChangesRequested => vec![funded(1), work_submitted(1), changes_requested()],
        MilestoneStatus::Approved => vec![funded(1), work_submitted(1), approved(1)],
        MilestoneStatus::Released => paid(1).to_vec(),
        MilestoneStatus::Refunded => vec![funded(1), refunded(1)],
        MilestoneStatus::Disputed => vec![funded(1), disputed(1)],
        MilestoneStatus::Split => vec![funded(1), disputed(1), settled(1, DisputeOutcome::Split)],
        MilestoneStatus::Cancelled => vec![ContractCancelled { by: Some(ama()) }.into()],
    };
    agreed_and(further)
}

const ALL: [MilestoneStatus; 10] = [
    MilestoneStatus::Planned,
    MilestoneStatus::Funded,
    MilestoneStatus::Submitted,
    MilestoneStatus::ChangesRequested,
    MilestoneStatus::Approved,
    MilestoneStatus::Released,
    MilestoneStatus::Refunded,
    MilestoneStatus::Disputed,
    MilestoneStatus::Split,
    MilestoneStatus::Cancelled,
];

/// From every status but these, the command is refused with this code.
#[track_caller]
fn refused_but_from(from: &[MilestoneStatus], command: &ContractCommand, actor: &Actor, code: &str) {
    for status in ALL.into_iter().filter(|status| !from.contains(status)) {
        let asked = given::<Contract>(history_of(status)).when(command.clone()).by(actor.clone());
        asked.then_too_late(code);
    }
}

// ---- funding ----

#[test]
fn the_client_asks_to_pay_for_a_planned_milestone_and_may_ask_again() {
    let order = FundingOrder { payment: command_id(1).derive(0), client: ama(), worker: kofi() };
    let requested: ContractEvent =
        FundingRequested { milestone: 2, amount: cedis(20_000), order: Some(order) }.into();
    for further in [vec![], vec![funded(1)], vec![requested.clone()]] {
        given::<Contract>(agreed_and(further))
            .when(ContractCommand::RequestFunding { milestone: 2 })
            .by(client(ama()))
            .then([requested.clone()]);
    }
}

#[test]
fn funding_is_asked_for_when_both_have_signed_and_nothing_is_disputed() {
    let request = ContractCommand::RequestFunding { milestone: 2 };
    use ContractStatus::*;
    for status in [Proposed, Completed, Cancelled, Declined, Expired] {
        given::<Contract>(super::contract_signing::history_of(status))
            .when(request.clone())
            .by(client(ama()))
            .then_too_late("contract_not_signed");
    }
    given::<Contract>(history_of(MilestoneStatus::Disputed))
        .when(request)
        .by(client(ama()))
        .then_too_late("contract_not_active");
}

#[test]
fn a_milestone_is_funded_once() {
    let request = ContractCommand::RequestFunding { milestone: 1 };
    let confirm = ContractCommand::ConfirmFunding { milestone: 1 };
    for status in [MilestoneStatus::Funded, MilestoneStatus::Submitted, MilestoneStatus::Released] {
        let history = history_of(status);
        given::<Contract>(history.clone())
            .when(request.clone())
            .by(client(ama()))
            .then_too_late("milestone_not_planned");
        given::<Contract>(history).when(confirm.clone()).by(process()).then_too_late("milestone_not_planned");
    }
}

#[test]
fn the_first_funding_makes_the_contract_active() {
    given::<Contract>(agreed())
        .when(ContractCommand::ConfirmFunding { milestone: 2 })
        .by(process())
        .then([funded(2)]);
    assert_eq!(fold::<Contract>(agreed()).status(), Some(ContractStatus::Signed));
    assert_eq!(fold::<Contract>(agreed_and([funded(2)])).status(), Some(ContractStatus::Active));
}

#[test]
fn money_that_arrives_while_another_milestone_is_disputed_is_taken() {
    given::<Contract>(history_of(MilestoneStatus::Disputed))
        .when(ContractCommand::ConfirmFunding { milestone: 2 })
        .by(process())
        .then([funded(2)]);
    let contract = fold::<Contract>(agreed_and([funded(1), disputed(1), funded(2)]));
    assert_eq!(contract.status(), Some(ContractStatus::Disputed));
}

#[test]
fn money_that_arrives_too_late_is_refused_so_that_it_goes_back() {
    use ContractStatus::*;
    for status in [Proposed, Completed, Cancelled, Declined, Expired] {
        given::<Contract>(super::contract_signing::history_of(status))
            .when(ContractCommand::ConfirmFunding { milestone: 1 })
            .by(process())
            .then_too_late("contract_not_signed");
    }
}

// ---- work ----

#[test]
fn the_worker_hands_work_in_and_again_after_changes() {
    for status in [MilestoneStatus::Funded, MilestoneStatus::ChangesRequested] {
        let note = sealed(kofi(), "done");
        given::<Contract>(history_of(status)).when(submit_work()).by(worker(kofi())).then([WorkSubmitted {
            milestone: 1,
            note,
            review_until: review_until(),
        }
        .into()]);
    }
}

#[test]
fn the_review_period_starts_anew_with_each_submission() {
    let later = noon_plus(DAY_MS);
    let expected: Timestamp = later.plus_millis(14 * DAY_MS);
    let note = sealed(kofi(), "done");
    given::<Contract>(history_of(MilestoneStatus::ChangesRequested))
        .when(submit_work())
        .by(worker(kofi()))
        .at(later)
        .then([WorkSubmitted { milestone: 1, note, review_until: expected }.into()]);
}

#[test]
fn work_is_handed_in_for_a_funded_milestone_only() {
    let from = [MilestoneStatus::Funded, MilestoneStatus::ChangesRequested];
    refused_but_from(&from, &submit_work(), &worker(kofi()), "milestone_not_in_work");
}

#[test]
fn the_client_asks_for_changes_of_submitted_work() {
    given::<Contract>(history_of(MilestoneStatus::Submitted))
        .when(request_changes())
        .by(client(ama()))
        .then([changes_requested()]);
    let from = [MilestoneStatus::Submitted];
    refused_but_from(&from, &request_changes(), &client(ama()), "milestone_not_submitted");
}

#[test]
fn the_client_approves_submitted_work() {
    let approve = ContractCommand::Approve { milestone: 1 };
    given::<Contract>(history_of(MilestoneStatus::Submitted))
        .when(approve.clone())
        .by(client(ama()))
        .then([approved(1)]);
    refused_but_from(&[MilestoneStatus::Submitted], &approve, &client(ama()), "milestone_not_submitted");
}

#[test]
fn work_without_an_answer_is_approved_when_the_review_period_is_over_not_before() {
    let approve = || ContractCommand::Approve { milestone: 1 };
    let history = history_of(MilestoneStatus::Submitted);
    let just_before = review_until().plus_millis(-1);
    given::<Contract>(history.clone()).when(approve()).by(process()).at(just_before).then_nothing();
    given::<Contract>(history).when(approve()).by(process()).at(review_until()).then([MilestoneApproved {
        milestone: 1,
        by: None,
    }
    .into()]);
}

#[test]
fn a_review_timer_that_comes_late_changes_nothing() {
    for status in ALL.into_iter().filter(|status| *status != MilestoneStatus::Submitted) {
        given::<Contract>(history_of(status))
            .when(ContractCommand::Approve { milestone: 1 })
            .by(process())
            .at(review_until())
            .then_nothing();
    }
}

#[test]
fn each_side_does_its_own_part_only() {
    let clients = [
        ContractCommand::RequestFunding { milestone: 1 },
        request_changes(),
        ContractCommand::Approve { milestone: 1 },
    ];
    let history = || given::<Contract>(history_of(MilestoneStatus::Submitted));
    for command in clients {
        history().when(command.clone()).by(worker(kofi())).then_forbidden("not_the_client");
        for stranger in [client(esi()), admin(), service()] {
            history().when(command.clone()).by(stranger).then_forbidden("not_a_party");
        }
    }
    history().when(submit_work()).by(client(ama())).then_forbidden("not_the_worker");
    for stranger in [worker(yaw()), admin(), process(), service()] {
        history().when(submit_work()).by(stranger).then_forbidden("not_a_party");
    }
}

// ---- release, refund ----

#[test]
fn an_approved_milestone_is_released() {
    let release = ContractCommand::Release { milestone: 1 };
    given::<Contract>(history_of(MilestoneStatus::Approved))
        .when(release.clone())
        .by(process())
        .then([released(1)]);
    refused_but_from(&[MilestoneStatus::Approved], &release, &process(), "milestone_not_approved");
}

#[test]
fn money_goes_back_before_work_is_submitted_or_when_changes_were_asked_for() {
    let refund = ContractCommand::Refund { milestone: 1 };
    let from = [MilestoneStatus::Funded, MilestoneStatus::ChangesRequested];
    for status in from {
        given::<Contract>(history_of(status)).when(refund.clone()).by(process()).then([refunded(1)]);
    }
    refused_but_from(&from, &refund, &process(), "milestone_not_refundable");
}

#[test]
fn with_the_last_milestone_the_contract_is_completed() {
    let before_the_end = paid(2).into_iter().chain([funded(1), work_submitted(1), approved(1)]);
    given::<Contract>(agreed_and(before_the_end))
        .when(ContractCommand::Release { milestone: 1 })
        .by(process())
        .then([released(1), ContractCompleted {}.into()]);
}

#[test]
fn a_contract_is_completed_when_some_of_its_money_went_to_the_worker() {
    given::<Contract>(agreed_and(paid(2).into_iter().chain([funded(1)])))
        .when(ContractCommand::Refund { milestone: 1 })
        .by(process())
        .then([refunded(1), ContractCompleted {}.into()]);
}

#[test]
fn a_contract_of_which_everything_was_refunded_is_cancelled_by_nobody() {
    given::<Contract>(agreed_and([funded(2), refunded(2), funded(1)]))
        .when(ContractCommand::Refund { milestone: 1 })
        .by(process())
        .then([refunded(1), ContractCancelled { by: None }.into()]);
}

#[test]
fn a_contract_with_a_planned_milestone_is_not_over() {
    given::<Contract>(history_of(MilestoneStatus::Approved))
        .when(ContractCommand::Release { milestone: 1 })
        .by(process())
        .then([released(1)]);
}

#[test]
fn with_a_cancelled_contract_its_planned_milestones_are_cancelled() {
    let cancelled = ContractCancelled { by: Some(ama()) }.into();
    let contract = fold::<Contract>(agreed_and(paid(1).into_iter().chain([cancelled])));
    let statuses: Vec<_> = contract.milestones().map(|milestone| milestone.status).collect();
    assert_eq!(statuses, [MilestoneStatus::Released, MilestoneStatus::Cancelled]);
}

// ---- dispute ----

#[test]
fn either_party_disputes_a_milestone_that_holds_money() {
    let dispute = ContractCommand::Dispute { milestone: 1 };
    let from = [MilestoneStatus::Funded, MilestoneStatus::Submitted, MilestoneStatus::ChangesRequested];
    for status in from {
        for actor in [client(ama()), worker(kofi()), process()] {
            given::<Contract>(history_of(status)).when(dispute.clone()).by(actor).then([disputed(1)]);
        }
    }
    refused_but_from(&from, &dispute, &client(ama()), "milestone_not_disputable");
    for stranger in [client(esi()), worker(yaw()), admin(), service()] {
        given::<Contract>(history_of(MilestoneStatus::Funded))
            .when(dispute.clone())
            .by(stranger)
            .then_forbidden("not_a_party");
    }
}

#[test]
fn a_contract_is_disputed_until_its_last_dispute_is_settled() {
    let status = |further: &[ContractEvent]| fold::<Contract>(agreed_and(further.to_vec())).status();
    let both = [funded(1), funded(2), disputed(1), disputed(2)];
    assert_eq!(status(&both), Some(ContractStatus::Disputed));
    let one = [funded(1), funded(2), disputed(1), disputed(2), settled(1, DisputeOutcome::Split)];
    assert_eq!(status(&one), Some(ContractStatus::Disputed));
    let none = [funded(1), funded(2), disputed(1), settled(1, DisputeOutcome::Refunded)];
    assert_eq!(status(&none), Some(ContractStatus::Active));
}

#[test]
fn other_milestones_go_on_while_one_is_disputed() {
    given::<Contract>(agreed_and([funded(1), funded(2), disputed(2)]))
        .when(submit_work())
        .by(worker(kofi()))
        .then([work_submitted(1)]);
}

#[test]
fn a_dispute_is_settled_in_one_of_three_ways() {
    let outcomes = [
        (DisputeOutcome::Released, MilestoneStatus::Released),
        (DisputeOutcome::Refunded, MilestoneStatus::Refunded),
        (DisputeOutcome::Split, MilestoneStatus::Split),
    ];
    for (outcome, status) in outcomes {
        let history = history_of(MilestoneStatus::Disputed);
        given::<Contract>(history.clone()).when(settle(outcome)).by(process()).then([settled(1, outcome)]);
        let contract = fold::<Contract>(history.into_iter().chain([settled(1, outcome)]));
        assert_eq!(contract.milestone(1).map(|milestone| milestone.status), Some(status));
    }
    let from = [MilestoneStatus::Disputed];
    refused_but_from(&from, &settle(DisputeOutcome::Split), &process(), "milestone_not_disputed");
}

#[test]
fn a_dispute_about_the_last_milestone_ends_the_contract() {
    let after_pay = agreed_and(paid(2).into_iter().chain([funded(1), disputed(1)]));
    for outcome in [DisputeOutcome::Released, DisputeOutcome::Refunded, DisputeOutcome::Split] {
        given::<Contract>(after_pay.clone())
            .when(settle(outcome))
            .by(process())
            .then([settled(1, outcome), ContractCompleted {}.into()]);
    }
    let after_refund = agreed_and([funded(2), refunded(2), funded(1), disputed(1)]);
    let ends: [(DisputeOutcome, ContractEvent); 3] = [
        (DisputeOutcome::Released, ContractCompleted {}.into()),
        (DisputeOutcome::Split, ContractCompleted {}.into()),
        (DisputeOutcome::Refunded, ContractCancelled { by: None }.into()),
    ];
    for (outcome, end) in ends {
        given::<Contract>(after_refund.clone())
            .when(settle(outcome))
            .by(process())
            .then([settled(1, outcome), end]);
    }
}

// ---- numbers ----

#[test]
fn milestones_are_counted_from_one() {
    let contract = fold::<Contract>(agreed());
    let first = contract.milestone(1).expect("the first");
    assert_eq!((first.number, first.title, first.amount), (1, "first coat", cedis(10_000)));
    assert_eq!(contract.milestones().count(), 2);
    for milestone in [0, 3, u32::MAX] {
        assert!(contract.milestone(milestone).is_none());
        let by_client = ContractCommand::RequestFunding { milestone };
        given::<Contract>(agreed()).when(by_client).by(client(ama())).then_not_found("milestone_not_found");
        for command in [
            ContractCommand::ConfirmFunding { milestone },
            ContractCommand::Release { milestone },
            ContractCommand::Approve { milestone },
        ] {
            given::<Contract>(agreed()).when(command).by(process()).then_not_found("milestone_not_found");
        }
    }
}

// ---- the end of a review period, as the release judges it ----

#[test]
fn the_end_of_the_review_period_that_runs_approves_the_work() {
    let review_until = noon_plus(14 * DAY_MS);
    let end = |review_until| ContractCommand::EndReview { milestone: 1, review_until };
    let approved: ContractEvent = MilestoneApproved { milestone: 1, by: None }.into();
    // Whatever the time is here: the timer judged it.
    given::<Contract>(history_of(MilestoneStatus::Submitted)).when(end(review_until)).then([approved]);
    let other = end(review_until.plus_millis(1));
    given::<Contract>(history_of(MilestoneStatus::Submitted)).when(other).then_nothing();
    for status in ALL.into_iter().filter(|status| *status != MilestoneStatus::Submitted) {
        given::<Contract>(history_of(status)).when(end(review_until)).then_nothing();
    }
    given::<Contract>(history_of(MilestoneStatus::Submitted))
        .when(end(review_until))
        .by(client(ama()))
        .then_forbidden("internal_only");
}
