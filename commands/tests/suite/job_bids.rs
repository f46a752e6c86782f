//! Bids: one active bid per worker, never on one's own job, milestones that sum to the price, one award.

use commands::{
    Actor, Policy,
    job::{BidStatus, Job, JobCommand, JobStatus},
};
use events::{
    Category, CommandStamp, CommitBuilder, Money, StreamId,
    ids::BidId,
    log::LogOptions,
    vocabulary::jobs::{
        BidAccepted, BidRejected, BidRejection, BidRevised, BidSubmitted, BidTerms, BidWithdrawn,
        ContractTerms, JobEvent, JobReopened, ReopenReason,
    },
};

use super::{fixtures::*, job_posting::*, recorded::recorded, scenario::*};

fn submit(terms: BidTerms) -> JobCommand {
    JobCommand::SubmitBid { terms }
}

fn offer(amount: Money, parts: &[Money]) -> BidTerms {
    let milestones = parts.iter().map(|part| milestone("a part", *part)).collect();
    BidTerms { amount, milestones, ..bid_terms() }
}

fn withdrawn() -> JobEvent {
    BidWithdrawn { bid: the_bid() }.into()
}

fn rejected(reason: BidRejection) -> JobEvent {
    BidRejected { bid: the_bid(), reason }.into()
}

fn open() -> Vec<JobEvent> {
    vec![created(), published()]
}

fn with_bid() -> Vec<JobEvent> {
    vec![created(), published(), submitted()]
}

fn with_bid_and(further: JobEvent) -> Vec<JobEvent> {
    vec![created(), published(), submitted(), further]
}

/// The ways in which a bid can be over.
fn over() -> [JobEvent; 3] {
    [withdrawn(), rejected(BidRejection::ByClient), accepted()]
}

// ---- submit ----

#[test]
fn a_worker_bids_on_a_published_job() {
    let bid: BidId = command_id(1).derive(0);
    given::<Job>(open()).when(submit(bid_terms())).by(worker(kofi())).then([BidSubmitted {
        bid,
        worker: kofi(),
        terms: bid_terms(),
    }
    .into()]);
}

#[test]
fn only_workers_bid() {
    for actor in [client(esi()), admin(), process(), service(), Actor::System] {
        given::<Job>(open()).when(submit(bid_terms())).by(actor).then_forbidden("not_a_worker");
    }
}

#[test]
fn nobody_bids_on_a_job_of_their_own() {
    given::<Job>(open()).when(submit(bid_terms())).by(worker(ama())).then_forbidden("own_job");
}

#[test]
fn bids_are_taken_while_the_job_is_published() {
    use JobStatus::*;
    for status in [Awarded, InProgress, Completed, Cancelled, Expired] {
        given::<Job>(history_of(status))
            .when(submit(bid_terms()))
            .by(worker(yaw()))
            .then_too_late("job_not_published");
    }
}

#[test]
fn bids_are_taken_until_the_job_expires_even_when_its_timer_is_late() {
    let bid = submit(bid_terms());
    given::<Job>(open()).when(bid.clone()).by(worker(kofi())).at(expires_at()).then_too_late("job_expired");
    let just_before = expires_at().plus_millis(-1);
    assert!(given::<Job>(open()).when(bid).by(worker(kofi())).at(just_before).decide().is_ok());
}

#[test]
fn a_worker_has_one_active_bid_on_a_job() {
    given::<Job>(with_bid()).when(submit(bid_terms())).by(worker(kofi())).then_too_late("bid_already_active");
    let revised = BidRevised { bid: the_bid(), terms: bid_terms() }.into();
    given::<Job>(with_bid_and(revised))
        .when(submit(bid_terms()))
        .by(worker(kofi()))
        .then_too_late("bid_already_active");
}

#[test]
fn a_worker_bids_again_after_a_withdrawal_or_a_rejection() {
    for end in [withdrawn(), rejected(BidRejection::ByClient)] {
        let answer = given::<Job>(with_bid_and(end)).when(submit(bid_terms())).by(worker(kofi())).decide();
        assert_eq!(answer.map(|events| events.len()), Ok(1));
    }
}

#[test]
fn all_may_bid_again_on_a_reopened_job() {
    let (contract, reason) = (the_contract(), ReopenReason::ProposalDeclined);
    let reopened: JobEvent = JobReopened { contract, reason, expires_at: expires_at() }.into();
    for actor in [worker(kofi()), worker(yaw())] {
        let history = with_bid().into_iter().chain([accepted(), reopened.clone()]);
        let answer = given::<Job>(history).when(submit(bid_terms())).by(actor).decide();
        assert_eq!(answer.map(|events| events.len()), Ok(1));
    }
}

#[test]
fn a_job_takes_a_bounded_number_of_bids_in_its_life() {
    let policy = Policy { bids_per_job_max: 1, ..Policy::default() };
    for history in [with_bid(), with_bid_and(withdrawn())] {
        given::<Job>(history)
            .when(submit(bid_terms()))
            .by(worker(yaw()))
            .under(policy.clone())
            .then_too_late("too_many_bids");
    }
}

// ---- the offer ----

#[test]
fn milestones_sum_to_the_price() {
    for (amount, parts) in [(100, vec![60, 41]), (100, vec![60, 39]), (100, vec![99])] {
        let parts: Vec<_> = parts.into_iter().map(cedis).collect();
        given::<Job>(open())
            .when(submit(offer(cedis(amount), &parts)))
            .by(worker(kofi()))
            .then_invalid("milestones_do_not_sum");
    }
}

#[test]
fn an_offer_has_a_milestone() {
    given::<Job>(open())
        .when(submit(offer(cedis(100), &[])))
        .by(worker(kofi()))
        .then_invalid("milestones_missing");
}

#[test]
fn an_offer_has_a_bounded_number_of_milestones() {
    let policy = Policy { milestones_per_bid_max: 2, ..Policy::default() };
    let three = offer(cedis(3), &[cedis(1), cedis(1), cedis(1)]);
    let refused = given::<Job>(open()).when(submit(three)).by(worker(kofi()));
    refused.under(policy.clone()).then_invalid("too_many_milestones");
    let two = offer(cedis(2), &[cedis(1), cedis(1)]);
    assert!(given::<Job>(open()).when(submit(two)).by(worker(kofi())).under(policy).decide().is_ok());
}

#[test]
fn every_amount_of_an_offer_is_positive() {
    let offers = [
        offer(cedis(0), &[cedis(0)]),
        offer(cedis(-1), &[cedis(-1)]),
        offer(cedis(100), &[cedis(100), cedis(0)]),
        offer(cedis(100), &[cedis(101), cedis(-1)]),
    ];
    for terms in offers {
        given::<Job>(open()).when(submit(terms)).by(worker(kofi())).then_invalid("amount_not_positive");
    }
}

#[test]
fn an_offer_is_in_the_currency_of_the_budget() {
    let dollars = |minor| money(minor, "USD");
    for terms in [offer(dollars(5), &[dollars(5)]), offer(cedis(5), &[cedis(2), dollars(3)])] {
        given::<Job>(open()).when(submit(terms)).by(worker(kofi())).then_invalid("currency_mismatch");
    }
}

#[test]
fn an_offer_that_cannot_be_summed_is_refused() {
    let terms = offer(cedis(i64::MAX), &[cedis(i64::MAX), cedis(i64::MAX)]);
    given::<Job>(open()).when(submit(terms)).by(worker(kofi())).then_invalid("amount_too_large");
}

#[test]
fn a_milestone_has_a_title() {
    let milestones = vec![milestone(" ", cedis(100))];
    given::<Job>(open())
        .when(submit(BidTerms { amount: cedis(100), milestones, ..bid_terms() }))
        .by(worker(kofi()))
        .then_invalid("title_missing");
}

#[test]
fn an_offer_may_lie_outside_the_budget() {
    let terms = offer(cedis(999_999), &[cedis(999_999)]);
    assert!(given::<Job>(open()).when(submit(terms)).by(worker(kofi())).decide().is_ok());
}

// ---- revise, withdraw ----

#[test]
fn its_worker_revises_a_bid_again_and_again() {
    let terms = offer(cedis(500), &[cedis(500)]);
    let revise = JobCommand::ReviseBid { bid: the_bid(), terms: terms.clone() };
    let revised: JobEvent = BidRevised { bid: the_bid(), terms }.into();
    given::<Job>(with_bid()).when(revise.clone()).by(worker(kofi())).then([revised.clone()]);
    given::<Job>(with_bid_and(revised.clone())).when(revise).by(worker(kofi())).then([revised]);
}

#[test]
fn a_revision_is_held_to_the_same_rules_as_an_offer() {
    let terms = offer(cedis(500), &[cedis(499)]);
    given::<Job>(with_bid())
        .when(JobCommand::ReviseBid { bid: the_bid(), terms })
        .by(worker(kofi()))
        .then_invalid("milestones_do_not_sum");
}

#[test]
fn a_bid_is_revised_only_while_the_job_is_open() {
    let revise = || JobCommand::ReviseBid { bid: other_bid(), terms: bid_terms() };
    let awarded = [created(), published(), submitted(), submitted_by_yaw(), accepted()];
    given::<Job>(awarded).when(revise()).by(worker(yaw())).then_too_late("job_not_published");
    given::<Job>([created(), published(), submitted_by_yaw()])
        .when(revise())
        .by(worker(yaw()))
        .at(expires_at())
        .then_too_late("job_expired");
}

#[test]
fn its_worker_withdraws_a_bid_also_when_another_was_accepted() {
    given::<Job>(with_bid())
        .when(JobCommand::WithdrawBid { bid: the_bid() })
        .by(worker(kofi()))
        .then([withdrawn()]);
    let awarded = [created(), published(), submitted(), submitted_by_yaw(), accepted()];
    given::<Job>(awarded)
        .when(JobCommand::WithdrawBid { bid: other_bid() })
        .by(worker(yaw()))
        .then([BidWithdrawn { bid: other_bid() }.into()]);
}

#[test]
fn nobody_else_revises_or_withdraws_a_bid() {
    let commands = [
        JobCommand::ReviseBid { bid: the_bid(), terms: bid_terms() },
        JobCommand::WithdrawBid { bid: the_bid() },
    ];
    for command in commands {
        for actor in [worker(yaw()), client(ama()), admin(), process(), service(), Actor::System] {
            given::<Job>(with_bid()).when(command.clone()).by(actor).then_forbidden("not_your_bid");
        }
    }
}

#[test]
fn a_bid_that_is_over_is_neither_revised_nor_withdrawn() {
    for end in over() {
        let revise = JobCommand::ReviseBid { bid: the_bid(), terms: bid_terms() };
        for command in [revise, JobCommand::WithdrawBid { bid: the_bid() }] {
            given::<Job>(with_bid_and(end.clone()))
                .when(command)
                .by(worker(kofi()))
                .then_too_late("bid_not_active");
        }
    }
}

// ---- accept, reject ----

#[test]
fn the_client_awards_the_job_to_a_bid_on_the_terms_of_job_and_bid() {
    let contract = command_id(1).derive(0);
    given::<Job>(with_bid())
        .when(JobCommand::AcceptBid { bid: the_bid() })
        .by(client(ama()))
        .of(the_job())
        .then([BidAccepted { bid: the_bid(), contract, terms: contract_terms() }.into()]);
}

#[test]
fn a_revised_bid_is_accepted_as_revised() {
    let terms = offer(cedis(500), &[cedis(500)]);
    let revised = BidRevised { bid: the_bid(), terms: terms.clone() }.into();
    let expected =
        ContractTerms { price: cedis(500), milestones: terms.milestones.clone(), ..contract_terms() };
    let contract = command_id(1).derive(0);
    given::<Job>(with_bid_and(revised))
        .when(JobCommand::AcceptBid { bid: the_bid() })
        .by(client(ama()))
        .then([BidAccepted { bid: the_bid(), contract, terms: expected }.into()]);
}

#[test]
fn a_job_has_one_award() {
    let history = [created(), published(), submitted(), submitted_by_yaw(), accepted()];
    for bid in [the_bid(), other_bid()] {
        given::<Job>(history.clone())
            .when(JobCommand::AcceptBid { bid })
            .by(client(ama()))
            .then_too_late("job_not_published");
    }
}

#[test]
fn a_bid_that_is_over_is_not_accepted() {
    for end in [withdrawn(), rejected(BidRejection::ByClient)] {
        given::<Job>(with_bid_and(end))
            .when(JobCommand::AcceptBid { bid: the_bid() })
            .by(client(ama()))
            .then_too_late("bid_not_active");
    }
}

#[test]
fn no_bid_is_accepted_when_the_time_of_the_job_is_over() {
    given::<Job>(with_bid())
        .when(JobCommand::AcceptBid { bid: the_bid() })
        .by(client(ama()))
        .at(expires_at())
        .then_too_late("job_expired");
}

#[test]
fn the_client_rejects_a_bid() {
    given::<Job>(with_bid())
        .when(JobCommand::RejectBid { bid: the_bid() })
        .by(client(ama()))
        .then([rejected(BidRejection::ByClient)]);
}

#[test]
fn a_bid_that_is_over_is_not_rejected() {
    for end in over() {
        given::<Job>(with_bid_and(end))
            .when(JobCommand::RejectBid { bid: the_bid() })
            .by(client(ama()))
            .then_too_late("bid_not_active");
    }
}

#[test]
fn nobody_but_the_client_accepts_or_rejects_a_bid() {
    let commands = [JobCommand::AcceptBid { bid: the_bid() }, JobCommand::RejectBid { bid: the_bid() }];
    for command in commands {
        for actor in [client(esi()), worker(kofi()), worker(yaw()), admin(), process(), Actor::System] {
            given::<Job>(with_bid()).when(command.clone()).by(actor).then_forbidden("not_your_job");
        }
    }
}

#[test]
fn a_bid_that_was_never_made_is_not_there() {
    let bid = id(0xdead);
    for command in [JobCommand::AcceptBid { bid }, JobCommand::RejectBid { bid }] {
        given::<Job>(with_bid()).when(command).by(client(ama())).then_not_found("bid_not_found");
    }
    let revise = JobCommand::ReviseBid { bid, terms: bid_terms() };
    for command in [revise, JobCommand::WithdrawBid { bid }] {
        given::<Job>(with_bid()).when(command).by(worker(kofi())).then_not_found("bid_not_found");
    }
}

#[test]
fn after_the_award_the_other_bids_are_rejected() {
    let history = vec![created(), published(), submitted(), submitted_by_yaw(), accepted()];
    let out: JobEvent = BidRejected { bid: other_bid(), reason: BidRejection::AnotherAccepted }.into();
    given::<Job>(history.clone()).when(JobCommand::RejectOtherBids).by(process()).then([out.clone()]);
    given::<Job>(history.into_iter().chain([out]))
        .when(JobCommand::RejectOtherBids)
        .by(process())
        .then_nothing();
}

#[test]
fn without_an_award_no_other_bids_are_rejected() {
    given::<Job>(with_bid()).when(JobCommand::RejectOtherBids).by(process()).then_nothing();
}

#[test]
fn a_job_tells_of_its_bids_and_its_award() {
    let job = fold::<Job>(with_bid_and(accepted()));
    let bid = job.bid(the_bid()).expect("the bid");
    assert_eq!((bid.worker(), bid.amount(), bid.status()), (kofi(), cedis(30_000), BidStatus::Accepted));
    assert_eq!(bid.milestones(), bid_terms().milestones);
    assert_eq!(job.bids().map(|(id, _)| id).collect::<Vec<_>>(), [the_bid()]);
    assert_eq!(job.award().map(|award| (award.bid, award.contract)), Some((the_bid(), the_contract())));
    assert_eq!((job.client(), job.status()), (Some(ama()), Some(JobStatus::Awarded)));
    assert_eq!(job.terms(), Some(&job_terms()));
    assert_eq!(job.expires_at(), Some(expires_at()));
    assert!(job.bid(other_bid()).is_none());
}

#[test]
fn all_bids_of_a_full_job_are_rejected_in_one_commit() {
    let policy = Policy { bids_per_job_max: Policy::BIDS_PER_JOB_LIMIT, ..Policy::default() };
    let mut history = open();
    for number in 0..policy.bids_per_job_max as u128 {
        let (bid, worker) = (id(0x1000 + number), id(0x1000 + number));
        history.push(BidSubmitted { bid, worker, terms: bid_terms() }.into());
    }
    let asked = given::<Job>(history).when(JobCommand::Cancel).by(client(ama()));
    let out = asked.decide().expect("accepted");
    assert_eq!(out.len(), policy.bids_per_job_max + 1);
    let stream = StreamId::new(Category::Job, the_job());
    let stamp = CommandStamp {
        traceparent: Some("0".repeat(55)),
        correlation_id: "0".repeat(128),
        causation_id: Some(id(1)),
        ..recorded(the_job(), created()).stamp
    };
    let mut commit = CommitBuilder::new(stream, 1_000_000);
    commit.push(&stamp, &out);
    let limit = LogOptions::embedded("unused").commit_bytes_max;
    assert!(commit.size_bytes() < limit, "{} bytes of {limit}", commit.size_bytes());
}
