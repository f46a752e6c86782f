//! The hire: from an accepted bid over the contract to a job that is reopened or closed.

use commands::{
    contract::ContractCommand,
    escrow::EscrowCommand,
    hire::{Hire, HireCommand, PROPOSAL_TIMER, instance_of},
    job::JobCommand,
    process::{ProcessManager, StepCommand},
};
use events::{
    Timestamp,
    ids::EscrowId,
    vocabulary::{
        StepOutcome,
        jobs::{
            BidAccepted, ContractCancelled, ContractCompleted, ContractDeclined, ContractEvent,
            ContractExpired, ContractProposed, ContractSigned, HireEnded, HireEvent, HireResult, HireStarted,
            HireStep, HireStepRequested, HireStepSettled, HireTimerStarted, HireTimerStopped, JobClosure,
            JobEvent, JobExpired, MilestoneFunded, MilestoneReleased, ReopenReason,
        },
    },
};

use super::{fixtures::*, recorded::recorded, scenario::*};

fn start() -> HireCommand {
    HireCommand::Start { contract: the_contract(), terms: contract_terms() }
}

fn requested(number: u32, step: HireStep) -> HireEvent {
    HireStepRequested { number, step }.into()
}

fn settled(number: u32, outcome: StepOutcome) -> HireEvent {
    HireStepSettled { number, outcome }.into()
}

fn done(number: u32) -> HireEvent {
    settled(number, StepOutcome::Done)
}

fn ended(result: HireResult) -> HireEvent {
    HireEnded { result }.into()
}

fn due_at() -> Timestamp {
    noon_plus(7 * DAY_MS)
}

fn timer_started() -> HireEvent {
    HireTimerStarted { timer: PROPOSAL_TIMER.to_owned(), due_at: due_at() }.into()
}

fn timer_stopped() -> HireEvent {
    HireTimerStopped { timer: PROPOSAL_TIMER.to_owned() }.into()
}

fn note_proposed() -> HireCommand {
    HireCommand::NoteProposed { expires_at: due_at() }
}

fn fire() -> HireCommand {
    HireCommand::FireTimer { timer: PROPOSAL_TIMER.to_owned() }
}

fn settle(number: u32, outcome: StepOutcome) -> HireCommand {
    HireCommand::SettleStep { number, outcome }
}

fn refused() -> StepOutcome {
    StepOutcome::Refused { code: "some_code".to_owned() }
}

fn reopen(reason: ReopenReason) -> HireStep {
    HireStep::ReopenJob { reason }
}

fn close(closure: JobClosure) -> HireStep {
    HireStep::CloseJob { closure }
}

fn open(milestone: u32) -> HireStep {
    HireStep::OpenEscrow { milestone }
}

fn expire(milestone: u32) -> HireStep {
    HireStep::ExpireEscrow { milestone }
}

fn started() -> [HireEvent; 3] {
    [
        HireStarted { contract: the_contract(), terms: contract_terms() }.into(),
        requested(1, HireStep::RejectOtherBids),
        requested(2, HireStep::ProposeContract),
    ]
}

fn started_and(further: impl IntoIterator<Item = HireEvent>) -> Vec<HireEvent> {
    started().into_iter().chain(further).collect()
}

/// The contract is proposed, the timer runs.
fn proposed() -> Vec<HireEvent> {
    started_and([done(1), done(2), timer_started()])
}

fn proposed_and(further: impl IntoIterator<Item = HireEvent>) -> Vec<HireEvent> {
    proposed().into_iter().chain(further).collect()
}

/// Signed by both, and a first milestone funded.
fn at_work() -> Vec<HireEvent> {
    proposed_and([timer_stopped(), requested(3, HireStep::StartJob)])
}

#[test]
fn an_accepted_bid_asks_for_the_other_bids_to_be_rejected_and_for_a_contract() {
    given_nothing::<Hire>().when(start()).by(process()).then(started());
    given::<Hire>(started()).when(start()).by(process()).then_nothing();
}

#[test]
fn a_contract_that_cannot_be_proposed_reopens_the_job() {
    given::<Hire>(started_and([done(1)])).when(settle(2, refused())).then([
        settled(2, refused()),
        timer_stopped(),
        requested(3, reopen(ReopenReason::ProposalRefused)),
    ]);
}

#[test]
fn bids_that_cannot_be_rejected_hold_nothing_up() {
    given::<Hire>(started()).when(settle(1, refused())).then([settled(1, refused())]);
}

// ---- escrow ----

/// Signed by both; a place for the money of each of the two milestones is asked for.
fn signed() -> Vec<HireEvent> {
    proposed_and([timer_stopped(), requested(3, open(1)), requested(4, open(2))])
}

#[test]
fn a_signed_contract_has_a_place_for_each_milestones_money_opened_once() {
    given::<Hire>(signed()).when(HireCommand::NoteSigned).then_nothing();
    let hire: Hire = fold(signed());
    let (contract, milestone, terms) = (the_contract(), 2, contract_terms());
    let (client, worker, amount) = (terms.client, terms.worker, terms.milestones[1].amount);
    let expected = EscrowCommand::Open { contract, milestone, client, worker, amount };
    let escrow = EscrowId::of(contract, milestone);
    assert_eq!(hire.open_step(instance_of(contract), 4), Some(StepCommand::Escrow(escrow, expected)));
}

#[test]
fn what_was_opened_expires_when_the_contract_is_called_off_and_only_then() {
    let cancelled = [expire(1), expire(2), reopen(ReopenReason::ContractCancelled)];
    given::<Hire>(signed())
        .when(HireCommand::NoteCancelled)
        .then((5..).zip(cancelled).map(|(number, step)| requested(number, step)).collect::<Vec<_>>());
    let at_work: Vec<HireEvent> = signed().into_iter().chain([requested(5, HireStep::StartJob)]).collect();
    given::<Hire>(at_work.clone())
        .when(HireCommand::NoteCompleted)
        .then([requested(6, close(JobClosure::Completed))]);
    given::<Hire>(at_work).when(HireCommand::NoteCancelled).then([
        requested(6, expire(1)),
        requested(7, expire(2)),
        requested(8, close(JobClosure::Cancelled)),
    ]);
    let hire: Hire = fold(signed().into_iter().chain([requested(5, expire(1))]).collect::<Vec<_>>());
    let expected = StepCommand::Escrow(EscrowId::of(the_contract(), 1), EscrowCommand::Expire);
    assert_eq!(hire.open_step(instance_of(the_contract()), 5), Some(expected));
}

// ---- the proposal ----

#[test]
fn a_proposed_contract_starts_the_timer_once() {
    given::<Hire>(started()).when(note_proposed()).then([timer_started()]);
    given::<Hire>(proposed()).when(note_proposed()).then_nothing();
    given::<Hire>(proposed_and([timer_stopped()])).when(note_proposed()).then_nothing();
}

#[test]
fn a_signed_contract_stops_the_timer() {
    given::<Hire>(proposed()).when(HireCommand::NoteSigned).then([
        timer_stopped(),
        requested(3, open(1)),
        requested(4, open(2)),
    ]);
}

#[test]
fn a_contract_that_is_heard_of_as_signed_before_it_is_as_proposed_starts_no_timer() {
    given::<Hire>(started()).when(HireCommand::NoteSigned).then([
        timer_stopped(),
        requested(3, open(1)),
        requested(4, open(2)),
    ]);
    given::<Hire>(started_and([timer_stopped()])).when(note_proposed()).then_nothing();
}

#[test]
fn the_timer_asks_the_contract_to_expire() {
    given::<Hire>(proposed())
        .when(fire())
        .at(due_at())
        .then([timer_stopped(), requested(3, HireStep::ExpireContract)]);
}

#[test]
fn a_timer_that_is_early_late_or_unknown_does_nothing() {
    given::<Hire>(proposed()).when(fire()).at(due_at().plus_millis(-1)).then_nothing();
    given::<Hire>(proposed_and([timer_stopped()])).when(fire()).at(due_at()).then_nothing();
    given::<Hire>(started()).when(fire()).at(due_at()).then_nothing();
    given_nothing::<Hire>().when(fire()).at(due_at()).then_nothing();
    let other = HireCommand::FireTimer { timer: "tea".to_owned() };
    given::<Hire>(proposed()).when(other).at(due_at()).then_nothing();
}

#[test]
fn an_expired_contract_reopens_the_job_when_the_contract_says_so() {
    let expiring = proposed_and([timer_stopped(), requested(3, HireStep::ExpireContract)]);
    given::<Hire>(expiring.clone()).when(settle(3, StepOutcome::Done)).then([settled(3, StepOutcome::Done)]);
    given::<Hire>(expiring)
        .when(HireCommand::NoteExpired)
        .then([requested(4, reopen(ReopenReason::ProposalExpired))]);
}

#[test]
fn a_contract_signed_at_the_last_moment_goes_on() {
    let expiring = [timer_stopped(), requested(3, HireStep::ExpireContract), done(3)];
    given::<Hire>(proposed_and(expiring.clone()))
        .when(HireCommand::NoteSigned)
        .then([requested(4, open(1)), requested(5, open(2))]);
    given::<Hire>(proposed_and(expiring))
        .when(HireCommand::NoteFunded)
        .then([requested(4, HireStep::StartJob)]);
}

#[test]
fn a_declined_contract_reopens_the_job() {
    given::<Hire>(proposed())
        .when(HireCommand::NoteDeclined)
        .then([timer_stopped(), requested(3, reopen(ReopenReason::ProposalDeclined))]);
}

// ---- work ----

#[test]
fn the_first_funding_starts_the_job_once() {
    let signed = proposed_and([timer_stopped()]);
    given::<Hire>(signed).when(HireCommand::NoteFunded).then([requested(3, HireStep::StartJob)]);
    given::<Hire>(at_work()).when(HireCommand::NoteFunded).then_nothing();
}

#[test]
fn a_contract_cancelled_before_its_funding_reopens_the_job() {
    given::<Hire>(proposed_and([timer_stopped()]))
        .when(HireCommand::NoteCancelled)
        .then([requested(3, reopen(ReopenReason::ContractCancelled))]);
}

#[test]
fn a_contract_cancelled_after_its_funding_closes_the_job() {
    given::<Hire>(at_work())
        .when(HireCommand::NoteCancelled)
        .then([requested(4, close(JobClosure::Cancelled))]);
}

#[test]
fn a_completed_contract_closes_the_job() {
    given::<Hire>(at_work())
        .when(HireCommand::NoteCompleted)
        .then([requested(4, close(JobClosure::Completed))]);
}

#[test]
fn a_contract_that_is_heard_of_as_completed_before_it_is_as_funded_starts_the_job_first() {
    let completed =
        [timer_stopped(), requested(3, HireStep::StartJob), requested(4, close(JobClosure::Completed))];
    given::<Hire>(proposed()).when(HireCommand::NoteCompleted).then(completed.clone());
    given::<Hire>(proposed_and(completed)).when(HireCommand::NoteFunded).then_nothing();
}

// ---- the end ----

#[test]
fn a_hire_ends_when_its_last_step_is_answered() {
    let cases = [
        (reopen(ReopenReason::ProposalDeclined), HireResult::Reopened),
        (close(JobClosure::Completed), HireResult::Completed),
        (close(JobClosure::Cancelled), HireResult::Cancelled),
    ];
    for (step, result) in cases {
        for outcome in [StepOutcome::Done, refused()] {
            given::<Hire>(proposed_and([timer_stopped(), requested(3, step)]))
                .when(settle(3, outcome.clone()))
                .then([settled(3, outcome), ended(result)]);
        }
    }
}

#[test]
fn a_hire_does_not_end_before_all_its_steps_are_answered() {
    let reopening = started_and([timer_stopped(), requested(3, reopen(ReopenReason::ProposalDeclined))]);
    given::<Hire>(reopening.clone()).when(settle(3, StepOutcome::Done)).then([done(3)]);
    given::<Hire>(reopening.into_iter().chain([done(3), done(1)]))
        .when(settle(2, StepOutcome::Done))
        .then([done(2), ended(HireResult::Reopened)]);
}

fn everything_a_hire_is_told() -> Vec<HireCommand> {
    vec![
        start(),
        note_proposed(),
        HireCommand::NoteSigned,
        HireCommand::NoteDeclined,
        HireCommand::NoteExpired,
        HireCommand::NoteCancelled,
        HireCommand::NoteFunded,
        HireCommand::NoteCompleted,
        settle(1, StepOutcome::Done),
        settle(3, refused()),
        settle(4, StepOutcome::Done),
        fire(),
    ]
}

#[test]
fn what_comes_after_the_end_changes_nothing() {
    let last = requested(3, reopen(ReopenReason::ProposalDeclined));
    let over = proposed_and([timer_stopped(), last, done(3), ended(HireResult::Reopened)]);
    for command in everything_a_hire_is_told() {
        given::<Hire>(over.clone()).when(command).at(due_at()).then_nothing();
    }
    assert_eq!(fold::<Hire>(over).result(), Some(HireResult::Reopened));
}

#[test]
fn what_comes_before_the_beginning_changes_nothing() {
    for command in everything_a_hire_is_told().into_iter().filter(|command| *command != start()) {
        given_nothing::<Hire>().when(command).at(due_at()).then_nothing();
    }
}

#[test]
fn a_hire_listens_to_the_machinery_only() {
    for command in everything_a_hire_is_told() {
        for actor in [client(ama()), admin(), service()] {
            given::<Hire>(started()).when(command.clone()).by(actor).then_forbidden("internal_only");
        }
    }
}

// ---- who is asked, and who is told ----

#[test]
fn each_step_is_a_command_to_the_job_or_the_contract() {
    let (contract, job) = (the_contract(), the_job());
    let steps = [
        (HireStep::ExpireContract, StepCommand::Contract(contract, ContractCommand::Expire)),
        (
            reopen(ReopenReason::ProposalExpired),
            StepCommand::Job(job, JobCommand::Reopen { contract, reason: ReopenReason::ProposalExpired }),
        ),
        (HireStep::StartJob, StepCommand::Job(job, JobCommand::Start { contract })),
        (
            close(JobClosure::Completed),
            StepCommand::Job(job, JobCommand::Close { contract, closure: JobClosure::Completed }),
        ),
    ];
    let instance = instance_of(contract);
    for (step, command) in steps {
        let hire = fold::<Hire>(proposed_and([requested(3, step)]));
        assert_eq!(hire.open_step(instance, 3), Some(command));
        let hire = fold::<Hire>(proposed_and([requested(3, step), done(3)]));
        assert_eq!(hire.open_step(instance, 3), None);
    }
    let hire = fold::<Hire>(started());
    let reject = StepCommand::Job(job, JobCommand::RejectOtherBids);
    let propose = StepCommand::Contract(contract, ContractCommand::Propose { terms: contract_terms() });
    assert_eq!((hire.open_step(instance, 1), hire.open_step(instance, 2)), (Some(reject), Some(propose)));
    assert_eq!((hire.open_step(instance, 0), hire.open_step(instance, 3)), (None, None));
}

#[test]
fn bid_and_contract_find_the_same_hire() {
    let instance = instance_of(the_contract());
    let accepted = BidAccepted { bid: the_bid(), contract: the_contract(), terms: contract_terms() }.into();
    assert_eq!(Hire::react(&recorded::<JobEvent>(the_job(), accepted)), Some((instance, start())));
    let told: [(ContractEvent, HireCommand); 7] = [
        (ContractProposed { terms: contract_terms(), expires_at: due_at() }.into(), note_proposed()),
        (ContractSigned { by: ama(), fully: true }.into(), HireCommand::NoteSigned),
        (ContractDeclined { by: ama() }.into(), HireCommand::NoteDeclined),
        (ContractExpired {}.into(), HireCommand::NoteExpired),
        (ContractCancelled { by: None }.into(), HireCommand::NoteCancelled),
        (MilestoneFunded { milestone: 2 }.into(), HireCommand::NoteFunded),
        (ContractCompleted {}.into(), HireCommand::NoteCompleted),
    ];
    for (event, command) in told {
        let event = recorded::<ContractEvent>(the_contract(), event);
        assert_eq!(Hire::react(&event), Some((instance, command)));
    }
}

#[test]
fn other_events_are_nothing_to_a_hire() {
    assert_eq!(Hire::react(&recorded::<JobEvent>(the_job(), JobExpired {}.into())), None);
    let half_signed = ContractSigned { by: ama(), fully: false };
    for event in [half_signed.into(), MilestoneReleased { milestone: 1 }.into()] {
        assert_eq!(Hire::react(&recorded::<ContractEvent>(the_contract(), event)), None);
    }
}

#[test]
fn the_steps_of_a_hire_are_carried_out_one_after_the_other() {
    let hire = fold::<Hire>(started_and([requested(3, HireStep::StartJob)]));
    assert_eq!([1, 2, 3].map(|number| hire.step_before(number)), [None, Some(1), Some(1)]);
    let hire = fold::<Hire>(started_and([requested(3, HireStep::StartJob), done(1)]));
    assert_eq!([2, 3].map(|number| hire.step_before(number)), [None, Some(2)]);
    assert_eq!(Hire::default().step_before(1), None);
}
