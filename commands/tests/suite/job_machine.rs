//! Whatever anybody asks of a job, in whatever order: only the transitions there are, one award, one active bid each.

use std::collections::{BTreeMap, BTreeSet};

use commands::{
    Actor, Policy,
    job::{BidStatus, Job, JobCommand, JobStatus},
};
use events::{
    Money,
    ids::{AccountId, BidId},
    vocabulary::{
        identity::Role,
        jobs::{BidTerms, Budget, JobClosure, JobEvent, JobTerms, ReopenReason},
    },
};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    fixtures::*,
    machine::{Machine, explore, survey},
};

#[derive(Clone, Debug)]
enum Intent {
    Create(JobTerms),
    Edit(JobTerms),
    Publish,
    Cancel,
    Expire,
    Submit(AccountId, BidTerms),
    Revise(usize, BidTerms),
    Withdraw(usize),
    Accept(usize),
    Reject(usize),
    RejectOthers,
    Reopen,
    Start,
    Close(JobClosure),
}

#[derive(Clone, Debug)]
struct Step {
    intent: Intent,
    /// Somebody else than the one whose business it is.
    stranger: Option<Actor>,
    /// Of another contract than the awarded one.
    wrong_contract: bool,
    wait_ms: i64,
}

fn amounts() -> impl Strategy<Value = Money> {
    let minor = prop_oneof![8 => 1..1_000_i64, 1 => select(vec![0, -1, i64::MAX])];
    let currency = prop_oneof![9 => Just("GHS"), 1 => Just("USD")];
    (minor, currency).prop_map(|(minor, currency)| money(minor, currency))
}

fn terms() -> impl Strategy<Value = JobTerms> {
    (amounts(), amounts(), "[a-z]{0,3}").prop_map(|(one, other, title)| {
        let sorted = one.minor() <= other.minor();
        let budget = if sorted { Budget { min: one, max: other } } else { Budget { min: other, max: one } };
        JobTerms { title, budget, ..job_terms() }
    })
}

fn offers() -> impl Strategy<Value = BidTerms> {
    let parts = vec(amounts(), 0..4);
    (parts, prop_oneof![9 => Just(0), 1 => Just(1)]).prop_map(|(parts, off)| {
        let sum = parts.iter().fold(0_i64, |sum, part| sum.saturating_add(part.minor()));
        let currency = parts.first().map_or(cedis(0), |first| *first).currency();
        let milestones = parts.iter().map(|part| milestone("a part", *part)).collect();
        BidTerms { amount: Money::new(sum.saturating_add(off), currency), milestones, ..bid_terms() }
    })
}

fn intents() -> impl Strategy<Value = Intent> {
    let who = select(vec![kofi(), yaw(), ama(), esi()]);
    prop_oneof![
        3 => terms().prop_map(Intent::Create),
        2 => terms().prop_map(Intent::Edit),
        4 => Just(Intent::Publish),
        1 => Just(Intent::Cancel),
        2 => Just(Intent::Expire),
        8 => (who, offers()).prop_map(|(worker, terms)| Intent::Submit(worker, terms)),
        3 => (0..8_usize, offers()).prop_map(|(bid, terms)| Intent::Revise(bid, terms)),
        1 => (0..8_usize).prop_map(Intent::Withdraw),
        3 => (0..8_usize).prop_map(Intent::Accept),
        1 => (0..8_usize).prop_map(Intent::Reject),
        2 => Just(Intent::RejectOthers),
        2 => Just(Intent::Reopen),
        2 => Just(Intent::Start),
        2 => select(vec![JobClosure::Completed, JobClosure::Cancelled]).prop_map(Intent::Close),
    ]
}

fn actors() -> impl Strategy<Value = Actor> {
    let both = |id| Actor::Account { id, roles: BTreeSet::from([Role::Client, Role::Worker]) };
    select(vec![client(ama()), client(esi()), worker(kofi()), both(ama()), both(yaw()), admin(), service()])
}

fn scripts() -> impl Strategy<Value = Vec<Step>> {
    let stranger = prop_oneof![7 => Just(None), 1 => actors().prop_map(Some)];
    let wrong_contract = prop_oneof![9 => Just(false), 1 => Just(true)];
    let wait_ms = prop_oneof![9 => 0..DAY_MS, 1 => Just(31 * DAY_MS)];
    let step = (intents(), stranger, wrong_contract, wait_ms).prop_map(
        |(intent, stranger, wrong_contract, wait_ms)| Step { intent, stranger, wrong_contract, wait_ms },
    );
    vec(step, 1..60)
}

/// The command, and whose business it is.
fn command(job: &Job, step: &Step) -> (JobCommand, Actor) {
    let bids: Vec<(BidId, AccountId)> = job.bids().map(|(id, bid)| (id, bid.worker())).collect();
    let bid = |index: usize| {
        if bids.is_empty() { (id(0xdead), kofi()) } else { bids[index % bids.len()] }
    };
    let awarded = job.award().map_or(the_contract(), |award| award.contract);
    let contract = if step.wrong_contract { id(0xdead) } else { awarded };
    let by_client = client(ama());
    match step.intent.clone() {
        Intent::Create(terms) => (JobCommand::Create { terms }, by_client),
        Intent::Edit(terms) => (JobCommand::Edit { terms }, by_client),
        Intent::Publish => (JobCommand::Publish, by_client),
        Intent::Cancel => (JobCommand::Cancel, by_client),
        Intent::Expire => (JobCommand::Expire, Actor::System),
        Intent::Submit(by, terms) => (JobCommand::SubmitBid { terms }, worker(by)),
        Intent::Revise(index, terms) => {
            (JobCommand::ReviseBid { bid: bid(index).0, terms }, worker(bid(index).1))
        }
        Intent::Withdraw(index) => (JobCommand::WithdrawBid { bid: bid(index).0 }, worker(bid(index).1)),
        Intent::Accept(index) => (JobCommand::AcceptBid { bid: bid(index).0 }, by_client),
        Intent::Reject(index) => (JobCommand::RejectBid { bid: bid(index).0 }, by_client),
        Intent::RejectOthers => (JobCommand::RejectOtherBids, process()),
        Intent::Reopen => (JobCommand::Reopen { contract, reason: ReopenReason::ProposalExpired }, process()),
        Intent::Start => (JobCommand::Start { contract }, process()),
        Intent::Close(closure) => (JobCommand::Close { contract, closure }, process()),
    }
}

type Transition = (String, String);

/// DOMAIN.md §3, Job and Bid; what begins, begins from "none".
fn table() -> BTreeSet<Transition> {
    let job = [
        ("none", "Draft"),
        ("Draft", "Published"),
        ("Draft", "Cancelled"),
        ("Published", "Awarded"),
        ("Published", "Expired"),
        ("Published", "Cancelled"),
        ("Awarded", "Published"),
        ("Awarded", "InProgress"),
        ("InProgress", "Completed"),
        ("InProgress", "Cancelled"),
    ];
    let bid = [
        ("none", "bid Submitted"),
        ("bid Submitted", "bid Revised"),
        ("bid Submitted", "bid Accepted"),
        ("bid Submitted", "bid Rejected"),
        ("bid Submitted", "bid Withdrawn"),
        ("bid Revised", "bid Accepted"),
        ("bid Revised", "bid Rejected"),
        ("bid Revised", "bid Withdrawn"),
    ];
    job.into_iter().chain(bid).map(|(from, to)| (from.to_owned(), to.to_owned())).collect()
}

fn transitions(before: &Job, after: &Job) -> BTreeSet<Transition> {
    let of_job = |job: &Job| job.status().map_or("none".to_owned(), |status| format!("{status:?}"));
    let of_bids = |job: &Job| -> BTreeMap<BidId, String> {
        job.bids().map(|(id, bid)| (id, format!("bid {:?}", bid.status()))).collect()
    };
    let (bids_before, bids_after) = (of_bids(before), of_bids(after));
    assert!(bids_before.keys().all(|id| bids_after.contains_key(id)), "a bid is never forgotten");
    let bids = bids_after
        .into_iter()
        .map(|(id, to)| (bids_before.get(&id).cloned().unwrap_or_else(|| "none".to_owned()), to));
    bids.chain([(of_job(before), of_job(after))]).filter(|(from, to)| from != to).collect()
}

fn check_invariants(job: &Job) -> Result<(), TestCaseError> {
    let Some(terms) = job.terms() else { return Ok(()) };
    let budget = terms.budget;
    prop_assert!(budget.min.is_positive() && budget.min.minor() <= budget.max.minor());
    prop_assert_eq!(budget.min.currency(), budget.max.currency());
    let mut workers = BTreeSet::new();
    for (_, bid) in job.bids().filter(|(_, bid)| bid.is_active()) {
        prop_assert!(workers.insert(bid.worker()), "one active bid per worker");
        prop_assert_ne!(Some(bid.worker()), job.client(), "never on one's own job");
        prop_assert_eq!(bid.amount().currency(), budget.max.currency());
    }
    for (_, bid) in job.bids() {
        let parts = bid.milestones().iter().map(|milestone| milestone.amount);
        prop_assert_eq!(Money::sum(bid.amount().currency(), parts), Ok(bid.amount()));
        prop_assert!(bid.milestones().iter().all(|milestone| milestone.amount.is_positive()));
    }
    let status = job.status().expect("it has terms");
    let must_have_award = matches!(status, JobStatus::Awarded | JobStatus::InProgress | JobStatus::Completed);
    let may_have_award = must_have_award || status == JobStatus::Cancelled;
    prop_assert!(job.award().is_some() || !must_have_award);
    prop_assert!(job.award().is_none() || may_have_award);
    if let Some(award) = job.award() {
        prop_assert_eq!(job.bid(award.bid).map(|bid| bid.status()), Some(BidStatus::Accepted));
    }
    if matches!(status, JobStatus::Completed | JobStatus::Expired) {
        prop_assert!(
            status == JobStatus::Completed || workers.is_empty(),
            "an expired job has no active bid"
        );
    }
    Ok(())
}

fn run(script: Vec<Step>) -> Result<BTreeSet<Transition>, TestCaseError> {
    let policy = Policy { bids_per_job_max: 6, milestones_per_bid_max: 3, ..Policy::default() };
    let (table, mut seen) = (table(), BTreeSet::new());
    let mut machine = Machine::<Job>::new(policy);
    for step in script {
        machine.now = machine.now.plus_millis(step.wait_ms);
        let (command, natural) = command(&machine.state, &step);
        let was = machine.state.clone();
        let actor = step.stranger.clone().unwrap_or(natural);
        let Ok(steps) = machine.ask(&command, actor) else {
            prop_assert!(machine.state == was, "a refusal changes nothing");
            continue;
        };
        for (before, event, after) in &steps {
            if let JobEvent::JobEdited(_) = event {
                let status = before.status();
                prop_assert!(matches!(status, Some(JobStatus::Draft | JobStatus::Published)));
                prop_assert!(before.award().is_none(), "no edit of terms after the award");
            }
            if let JobEvent::BidAccepted(_) = event {
                prop_assert!(before.award().is_none(), "one award");
            }
            for transition in transitions(before, after) {
                prop_assert!(table.contains(&transition), "{transition:?} is in no table");
                seen.insert(transition);
            }
        }
        check_invariants(&machine.state)?;
        prop_assert!(machine.state.bids().count() <= 6);
    }
    machine.assert_folds()?;
    Ok(seen)
}

#[test]
fn whatever_is_asked_of_a_job_its_rules_hold() {
    explore(300, &scripts(), |script| run(script).map(|_| ()));
}

#[test]
fn every_transition_of_jobs_and_bids_is_reached_and_no_other() {
    assert_eq!(survey(800, &scripts(), run), table());
}
