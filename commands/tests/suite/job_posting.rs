//! The life of a job: draft → published → awarded → in progress → completed, with the ways out.

use commands::{
    Actor,
    job::{Job, JobCommand, JobStatus},
};
use events::{
    Timestamp,
    vocabulary::jobs::{
        BidAccepted, BidRejected, BidRejection, BidSubmitted, Budget, JobClosed, JobClosure, JobCreated,
        JobEdited, JobEvent, JobExpired, JobPublished, JobReopened, JobStarted, JobTerms, ReopenReason,
    },
};

use super::{fixtures::*, scenario::*};

pub fn created() -> JobEvent {
    JobCreated { client: ama(), terms: job_terms() }.into()
}

pub fn expires_at() -> Timestamp {
    noon_plus(30 * DAY_MS)
}

pub fn published() -> JobEvent {
    JobPublished { expires_at: expires_at() }.into()
}

pub fn submitted() -> JobEvent {
    BidSubmitted { bid: the_bid(), worker: kofi(), terms: bid_terms() }.into()
}

pub fn submitted_by_yaw() -> JobEvent {
    BidSubmitted { bid: other_bid(), worker: yaw(), terms: bid_terms() }.into()
}

pub fn accepted() -> JobEvent {
    BidAccepted { bid: the_bid(), contract: the_contract(), terms: contract_terms() }.into()
}

pub fn started() -> JobEvent {
    JobStarted { contract: the_contract() }.into()
}

pub fn closed(closure: JobClosure) -> JobEvent {
    JobClosed { closure }.into()
}

fn reopened() -> JobEvent {
    let (contract, reason) = (the_contract(), ReopenReason::ProposalExpired);
    JobReopened { contract, reason, expires_at: expires_at() }.into()
}

/// A history that leads to each status.
pub fn history_of(status: JobStatus) -> Vec<JobEvent> {
    let published = [created(), published(), submitted()];
    let further = match status {
        JobStatus::Draft => return vec![created()],
        JobStatus::Published => vec![],
        JobStatus::Awarded => vec![accepted()],
        JobStatus::InProgress => vec![accepted(), started()],
        JobStatus::Completed => vec![accepted(), started(), closed(JobClosure::Completed)],
        JobStatus::Cancelled => vec![accepted(), started(), closed(JobClosure::Cancelled)],
        JobStatus::Expired => vec![JobExpired {}.into()],
    };
    published.into_iter().chain(further).collect()
}

fn create(terms: JobTerms) -> JobCommand {
    JobCommand::Create { terms }
}

fn edit(terms: JobTerms) -> JobCommand {
    JobCommand::Edit { terms }
}

fn with_budget(min: events::Money, max: events::Money) -> JobTerms {
    JobTerms { budget: Budget { min, max }, ..job_terms() }
}

// ---- create ----

#[test]
fn a_client_drafts_a_job() {
    given_nothing::<Job>().when(create(job_terms())).by(client(ama())).then([created()]);
}

#[test]
fn only_a_client_drafts_a_job() {
    for actor in [worker(kofi()), admin(), process(), service(), Actor::System] {
        given_nothing::<Job>().when(create(job_terms())).by(actor).then_forbidden("not_a_client");
    }
}

#[test]
fn a_job_is_drafted_once() {
    given::<Job>([created()]).when(create(job_terms())).by(client(ama())).then_too_late("job_already_exists");
}

#[test]
fn skills_are_written_sorted_and_without_repetition() {
    let skills = ["patience", "brushes", "patience"].map(str::to_owned).to_vec();
    given_nothing::<Job>()
        .when(create(JobTerms { skills, ..job_terms() }))
        .by(client(ama()))
        .then([created()]);
}

#[test]
fn a_job_has_a_title() {
    for title in ["", "  \t"] {
        given_nothing::<Job>()
            .when(create(JobTerms { title: title.to_owned(), ..job_terms() }))
            .by(client(ama()))
            .then_invalid("title_missing");
    }
}

#[test]
fn a_budget_is_positive() {
    for (min, max) in [(0, 100), (-5, 100), (0, 0), (5, -1)] {
        given_nothing::<Job>()
            .when(create(with_budget(cedis(min), cedis(max))))
            .by(client(ama()))
            .then_invalid("amount_not_positive");
    }
}

#[test]
fn a_budget_is_in_one_currency() {
    given_nothing::<Job>()
        .when(create(with_budget(cedis(100), money(200, "USD"))))
        .by(client(ama()))
        .then_invalid("currency_mismatch");
}

#[test]
fn a_budget_has_its_minimum_below_its_maximum() {
    given_nothing::<Job>()
        .when(create(with_budget(cedis(201), cedis(200))))
        .by(client(ama()))
        .then_invalid("budget_inverted");
}

#[test]
fn a_budget_may_be_one_amount() {
    let terms = with_budget(cedis(200), cedis(200));
    given_nothing::<Job>().when(create(terms.clone())).by(client(ama())).then([JobCreated {
        client: ama(),
        terms,
    }
    .into()]);
}

// ---- edit ----

#[test]
fn its_client_edits_a_draft_and_a_published_job() {
    let terms = JobTerms { title: "Paint the gate".to_owned(), ..job_terms() };
    for status in [JobStatus::Draft, JobStatus::Published] {
        given::<Job>(history_of(status))
            .when(edit(terms.clone()))
            .by(client(ama()))
            .then([JobEdited { terms: terms.clone() }.into()]);
    }
}

#[test]
fn an_edit_that_changes_nothing_is_none() {
    given::<Job>([created()]).when(edit(job_terms())).by(client(ama())).then_nothing();
}

#[test]
fn terms_are_fixed_by_the_award_and_stay_fixed() {
    use JobStatus::*;
    for status in [Awarded, InProgress, Completed, Cancelled, Expired] {
        given::<Job>(history_of(status))
            .when(edit(job_terms()))
            .by(client(ama()))
            .then_too_late("job_terms_fixed");
    }
}

#[test]
fn a_reopened_job_is_edited_again() {
    let history = [created(), published(), submitted(), accepted(), reopened()];
    let terms = JobTerms { title: "Paint the gate".to_owned(), ..job_terms() };
    given::<Job>(history).when(edit(terms.clone())).by(client(ama())).then([JobEdited { terms }.into()]);
}

#[test]
fn an_edit_is_held_to_the_same_rules_as_a_draft() {
    given::<Job>([created()])
        .when(edit(with_budget(cedis(0), cedis(5))))
        .by(client(ama()))
        .then_invalid("amount_not_positive");
}

#[test]
fn the_currency_is_fixed_while_there_are_active_bids() {
    let dollars = with_budget(money(1, "USD"), money(2, "USD"));
    given::<Job>([created(), published(), submitted()])
        .when(edit(dollars.clone()))
        .by(client(ama()))
        .then_too_late("job_currency_fixed");
    let rejected = BidRejected { bid: the_bid(), reason: BidRejection::ByClient }.into();
    given::<Job>([created(), published(), submitted(), rejected])
        .when(edit(dollars.clone()))
        .by(client(ama()))
        .then([JobEdited { terms: dollars }.into()]);
}

#[test]
fn a_job_whose_time_is_over_is_not_edited_even_when_its_timer_is_late() {
    given::<Job>(history_of(JobStatus::Published))
        .when(edit(JobTerms { title: "Late".to_owned(), ..job_terms() }))
        .by(client(ama()))
        .at(expires_at())
        .then_too_late("job_expired");
}

// ---- publish, cancel ----

#[test]
fn its_client_publishes_a_draft_until_the_set_time() {
    given::<Job>([created()]).when(JobCommand::Publish).by(client(ama())).then([published()]);
}

#[test]
fn only_a_draft_is_published() {
    use JobStatus::*;
    for status in [Published, Awarded, InProgress, Completed, Cancelled, Expired] {
        given::<Job>(history_of(status))
            .when(JobCommand::Publish)
            .by(client(ama()))
            .then_too_late("job_not_draft");
    }
}

#[test]
fn its_client_cancels_a_draft() {
    given::<Job>([created()])
        .when(JobCommand::Cancel)
        .by(client(ama()))
        .then([closed(JobClosure::Cancelled)]);
}

#[test]
fn with_a_cancelled_job_its_active_bids_are_out() {
    let withdrawn = events::vocabulary::jobs::BidWithdrawn { bid: other_bid() }.into();
    given::<Job>([created(), published(), submitted(), submitted_by_yaw(), withdrawn])
        .when(JobCommand::Cancel)
        .by(client(ama()))
        .then([
            BidRejected { bid: the_bid(), reason: BidRejection::JobClosed }.into(),
            closed(JobClosure::Cancelled),
        ]);
}

#[test]
fn a_job_with_an_award_or_an_end_is_not_cancelled() {
    use JobStatus::*;
    for status in [Awarded, InProgress, Completed, Cancelled, Expired] {
        given::<Job>(history_of(status))
            .when(JobCommand::Cancel)
            .by(client(ama()))
            .then_too_late("job_not_cancellable");
    }
}

#[test]
fn nobody_but_its_client_edits_publishes_or_cancels_a_job() {
    let history = || given::<Job>(history_of(JobStatus::Published));
    for command in [edit(job_terms()), JobCommand::Publish, JobCommand::Cancel] {
        for actor in [client(esi()), worker(kofi()), admin(), process(), service(), Actor::System] {
            history().when(command.clone()).by(actor).then_forbidden("not_your_job");
        }
    }
}

#[test]
fn a_draft_does_not_exist_for_strangers() {
    let commands = [
        edit(job_terms()),
        JobCommand::Publish,
        JobCommand::Cancel,
        JobCommand::SubmitBid { terms: bid_terms() },
        JobCommand::AcceptBid { bid: the_bid() },
    ];
    for command in commands {
        for actor in [client(esi()), worker(kofi()), admin(), service()] {
            given::<Job>([created()]).when(command.clone()).by(actor).then_not_found("job_not_found");
        }
    }
    let cancelled = [created(), closed(JobClosure::Cancelled)];
    given::<Job>(cancelled).when(JobCommand::Publish).by(client(esi())).then_not_found("job_not_found");
}

#[test]
fn a_draft_is_visible_to_its_client_and_a_published_job_to_all() {
    let draft = fold::<Job>([created()]);
    assert!(draft.is_visible_to(&client(ama())) && draft.is_visible_to(&process()));
    assert!(!draft.is_visible_to(&client(esi())) && !draft.is_visible_to(&admin()));
    assert!(fold::<Job>([created(), published()]).is_visible_to(&client(esi())));
    assert!(!Job::default().is_visible_to(&process()));
}

#[test]
fn what_was_never_drafted_is_not_there() {
    for command in [edit(job_terms()), JobCommand::Publish, JobCommand::RejectOtherBids] {
        given_nothing::<Job>().when(command.clone()).by(client(ama())).then_not_found("job_not_found");
        given_nothing::<Job>().when(command).by(process()).then_not_found("job_not_found");
    }
}

// ---- expire ----

#[test]
fn a_published_job_expires_at_its_time_and_its_bids_with_it() {
    for actor in [Actor::System, process()] {
        given::<Job>([created(), published(), submitted()])
            .when(JobCommand::Expire)
            .by(actor)
            .at(expires_at())
            .then([
                BidRejected { bid: the_bid(), reason: BidRejection::JobClosed }.into(),
                JobExpired {}.into(),
            ]);
    }
}

#[test]
fn a_job_does_not_expire_before_its_time() {
    given::<Job>(history_of(JobStatus::Published))
        .when(JobCommand::Expire)
        .at(expires_at().plus_millis(-1))
        .then_nothing();
}

#[test]
fn a_timer_that_comes_late_changes_nothing() {
    use JobStatus::*;
    for status in [Draft, Awarded, InProgress, Completed, Cancelled, Expired] {
        given::<Job>(history_of(status)).when(JobCommand::Expire).at(expires_at()).then_nothing();
    }
    given_nothing::<Job>().when(JobCommand::Expire).at(expires_at()).then_nothing();
}

#[test]
fn a_reopened_job_expires_at_its_new_time() {
    let later = expires_at().plus_millis(DAY_MS);
    let (contract, reason) = (the_contract(), ReopenReason::ProposalDeclined);
    let reopened = JobReopened { contract, reason, expires_at: later }.into();
    let history = [created(), published(), submitted(), accepted(), reopened];
    given::<Job>(history.clone()).when(JobCommand::Expire).at(expires_at()).then_nothing();
    given::<Job>(history).when(JobCommand::Expire).at(later).then([JobExpired {}.into()]);
}

// ---- reopen, start, close ----

#[test]
fn an_award_that_came_to_nothing_reopens_the_job() {
    let (contract, reason) = (the_contract(), ReopenReason::ProposalExpired);
    given::<Job>(history_of(JobStatus::Awarded))
        .when(JobCommand::Reopen { contract, reason })
        .by(process())
        .then([reopened()]);
}

#[test]
fn only_an_awarded_job_is_reopened_and_only_for_its_contract() {
    use JobStatus::*;
    let reason = ReopenReason::ProposalExpired;
    for status in [Draft, Published, InProgress, Completed, Cancelled, Expired] {
        given::<Job>(history_of(status))
            .when(JobCommand::Reopen { contract: the_contract(), reason })
            .by(process())
            .then_too_late("job_not_awarded");
    }
    given::<Job>(history_of(Awarded))
        .when(JobCommand::Reopen { contract: id(0xdead), reason })
        .by(process())
        .then_too_late("job_not_awarded");
}

#[test]
fn a_funded_contract_starts_the_job_once() {
    let start = JobCommand::Start { contract: the_contract() };
    given::<Job>(history_of(JobStatus::Awarded)).when(start.clone()).by(process()).then([started()]);
    given::<Job>(history_of(JobStatus::InProgress)).when(start).by(process()).then_nothing();
}

#[test]
fn only_an_awarded_job_is_started_and_only_by_its_contract() {
    use JobStatus::*;
    for status in [Draft, Published, Completed, Cancelled, Expired] {
        given::<Job>(history_of(status))
            .when(JobCommand::Start { contract: the_contract() })
            .by(process())
            .then_too_late("job_not_awarded");
    }
    given::<Job>(history_of(Awarded))
        .when(JobCommand::Start { contract: id(0xdead) })
        .by(process())
        .then_too_late("job_not_awarded");
}

#[test]
fn a_job_in_progress_closes_with_its_contract_once() {
    for closure in [JobClosure::Completed, JobClosure::Cancelled] {
        let close = JobCommand::Close { contract: the_contract(), closure };
        let history = history_of(JobStatus::InProgress);
        given::<Job>(history.clone()).when(close.clone()).by(process()).then([closed(closure)]);
        given::<Job>(history.into_iter().chain([closed(closure)])).when(close).by(process()).then_nothing();
    }
}

#[test]
fn only_a_job_in_progress_is_closed_and_only_by_its_contract() {
    use JobStatus::*;
    let closure = JobClosure::Completed;
    for status in [Draft, Published, Awarded, Cancelled, Expired] {
        given::<Job>(history_of(status))
            .when(JobCommand::Close { contract: the_contract(), closure })
            .by(process())
            .then_too_late("job_not_in_progress");
    }
    given::<Job>(history_of(InProgress))
        .when(JobCommand::Close { contract: id(0xdead), closure })
        .by(process())
        .then_too_late("job_not_in_progress");
}

#[test]
fn what_the_machinery_does_nobody_else_does() {
    let commands = [
        JobCommand::Expire,
        JobCommand::RejectOtherBids,
        JobCommand::Reopen { contract: the_contract(), reason: ReopenReason::ProposalExpired },
        JobCommand::Start { contract: the_contract() },
        JobCommand::Close { contract: the_contract(), closure: JobClosure::Completed },
    ];
    for command in commands {
        for actor in [client(ama()), worker(kofi()), admin(), service()] {
            given::<Job>(history_of(JobStatus::Awarded))
                .when(command.clone())
                .by(actor)
                .then_forbidden("internal_only");
        }
    }
}
