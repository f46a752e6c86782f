//! Whatever anybody asks of a contract, in whatever order: only the transitions there are, and no money is forgotten.

use std::collections::BTreeSet;

use commands::{
    Actor, Policy,
    contract::{Contract, ContractCommand, ContractStatus, MilestoneStatus},
};
use events::{
    Money,
    vocabulary::jobs::{ContractTerms, DisputeOutcome},
};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    fixtures::*,
    machine::{Machine, explore, survey},
};

#[derive(Clone, Debug)]
struct Step {
    command: ContractCommand,
    actor: Actor,
    wait_ms: i64,
}

fn terms() -> impl Strategy<Value = ContractTerms> {
    (vec(1..1_000_i64, 1..4), prop_oneof![9 => Just(0_i64), 1 => Just(1)]).prop_map(|(parts, off)| {
        let price = cedis(parts.iter().sum::<i64>() + off);
        let milestones = parts.into_iter().map(|part| milestone("a part", cedis(part))).collect();
        ContractTerms { price, milestones, ..contract_terms() }
    })
}

/// A command with the one whose business it is.
fn intents() -> impl Strategy<Value = (ContractCommand, Actor)> {
    let number = || prop_oneof![6 => Just(1_u32), 6 => 2..4_u32, 1 => Just(0)];
    let party = || select(vec![client(ama()), worker(kofi())]);
    let outcomes = select(vec![DisputeOutcome::Released, DisputeOutcome::Refunded, DisputeOutcome::Split]);
    let internal = || Just(process());
    let (ama, kofi) = (client(ama()), worker(kofi()));
    let note = sealed(super::fixtures::kofi(), "a note");
    let other_note = note.clone();
    prop_oneof![
        4 => (terms().prop_map(|terms| ContractCommand::Propose { terms }), internal()),
        9 => (Just(ContractCommand::Sign), party()),
        1 => (Just(ContractCommand::Decline), party()),
        1 => (Just(ContractCommand::Cancel), party()),
        1 => (Just(ContractCommand::Expire), internal()),
        3 => (number().prop_map(|milestone| ContractCommand::RequestFunding { milestone }), Just(ama.clone())),
        9 => (number().prop_map(|milestone| ContractCommand::ConfirmFunding { milestone }), internal()),
        9 => (
            number().prop_map(move |milestone| ContractCommand::SubmitWork { milestone, note: note.clone() }),
            Just(kofi),
        ),
        6 => (
            number().prop_map(move |milestone| {
                ContractCommand::RequestChanges { milestone, note: other_note.clone() }
            }),
            Just(ama.clone()),
        ),
        8 => (
            number().prop_map(|milestone| ContractCommand::Approve { milestone }),
            prop_oneof![Just(ama), Just(process())],
        ),
        8 => (number().prop_map(|milestone| ContractCommand::Release { milestone }), internal()),
        4 => (number().prop_map(|milestone| ContractCommand::Refund { milestone }), internal()),
        4 => (number().prop_map(|milestone| ContractCommand::Dispute { milestone }), party()),
        4 => (
            (number(), outcomes)
                .prop_map(|(milestone, outcome)| ContractCommand::SettleDispute { milestone, outcome }),
            internal(),
        ),
    ]
}

fn scripts() -> impl Strategy<Value = Vec<Step>> {
    let strangers =
        select(vec![client(esi()), worker(yaw()), client(kofi()), worker(ama()), admin(), service()]);
    let stranger = prop_oneof![9 => Just(None), 1 => strangers.prop_map(Some)];
    let wait_ms = prop_oneof![19 => 0..DAY_MS, 1 => Just(15 * DAY_MS)];
    let step = (intents(), stranger, wait_ms).prop_map(|((command, natural), stranger, wait_ms)| Step {
        command,
        actor: stranger.unwrap_or(natural),
        wait_ms,
    });
    vec(step, 1..90)
}

type Transition = (String, String);

/// DOMAIN.md §3, Contract and Milestone; what begins, begins from "none".
fn table() -> BTreeSet<Transition> {
    let contract: [(&str, &[&str]); 5] = [
        ("none", &["Proposed"]),
        ("Proposed", &["Signed", "Declined", "Expired"]),
        ("Signed", &["Active", "Cancelled"]),
        ("Active", &["Completed", "Cancelled", "Disputed"]),
        ("Disputed", &["Active", "Completed", "Cancelled"]),
    ];
    let milestone: [(&str, &[&str]); 7] = [
        ("none", &["Planned"]),
        ("Planned", &["Funded", "Cancelled"]),
        ("Funded", &["Submitted", "Refunded", "Disputed"]),
        ("Submitted", &["ChangesRequested", "Approved", "Disputed"]),
        ("ChangesRequested", &["Submitted", "Refunded", "Disputed"]),
        ("Approved", &["Released"]),
        ("Disputed", &["Released", "Refunded", "Split"]),
    ];
    let pairs = |rows: &[(&str, &[&str])], kind: &str| -> Vec<Transition> {
        let named = |name: &str| if name == "none" { name.to_owned() } else { format!("{kind}{name}") };
        rows.iter().flat_map(|(from, to)| to.iter().map(|to| (named(from), named(to)))).collect()
    };
    let contract = pairs(&contract, "");
    contract.into_iter().chain(pairs(&milestone, "milestone ")).collect()
}

fn transitions(before: &Contract, after: &Contract) -> BTreeSet<Transition> {
    let of_contract =
        |contract: &Contract| contract.status().map_or("none".to_owned(), |status| format!("{status:?}"));
    let of_milestone = |contract: &Contract, number| {
        let milestone = contract.milestone(number);
        milestone.map_or("none".to_owned(), |milestone| format!("milestone {:?}", milestone.status))
    };
    let milestones = (1..=4).map(|number| (of_milestone(before, number), of_milestone(after, number)));
    milestones.chain([(of_contract(before), of_contract(after))]).filter(|(from, to)| from != to).collect()
}

fn check_invariants(contract: &Contract) -> Result<(), TestCaseError> {
    let (Some(status), Some(price)) = (contract.status(), contract.price()) else { return Ok(()) };
    let amounts = contract.milestones().map(|milestone| milestone.amount);
    prop_assert_eq!(Money::sum(price.currency(), amounts), Ok(price), "milestones sum to the price");
    let statuses: Vec<MilestoneStatus> = contract.milestones().map(|milestone| milestone.status).collect();
    let holds_money = statuses.iter().any(|status| status.holds_money());
    let all_ended = statuses.iter().all(|status| status.has_ended());
    let untouched = statuses.iter().all(|status| *status == MilestoneStatus::Planned);
    let disputed = statuses.contains(&MilestoneStatus::Disputed);
    let paid = statuses.iter().any(|s| matches!(s, MilestoneStatus::Released | MilestoneStatus::Split));
    let signed = contract.is_signed_by(ama()) && contract.is_signed_by(kofi());
    prop_assert_eq!(disputed, status == ContractStatus::Disputed);
    match status {
        ContractStatus::Proposed | ContractStatus::Declined | ContractStatus::Expired => {
            prop_assert!(untouched && !signed);
        }
        ContractStatus::Signed => prop_assert!(untouched && signed),
        ContractStatus::Active | ContractStatus::Disputed => prop_assert!(!untouched && signed && !all_ended),
        ContractStatus::Completed => prop_assert!(all_ended && paid && !holds_money && signed),
        ContractStatus::Cancelled => prop_assert!(all_ended && !holds_money && signed),
    }
    for milestone in contract.milestones() {
        let awaited = milestone.status == MilestoneStatus::Submitted;
        prop_assert_eq!(milestone.review_until.is_some(), awaited, "a review period runs exactly then");
    }
    Ok(())
}

fn run(script: Vec<Step>) -> Result<BTreeSet<Transition>, TestCaseError> {
    let (table, mut seen) = (table(), BTreeSet::new());
    let mut machine = Machine::<Contract>::new(Policy::default());
    for Step { command, actor, wait_ms } in script {
        machine.now = machine.now.plus_millis(wait_ms);
        let was = machine.state.clone();
        let Ok(steps) = machine.ask(&command, actor) else {
            prop_assert!(machine.state == was, "a refusal changes nothing");
            continue;
        };
        for (before, event, after) in &steps {
            for transition in transitions(before, after) {
                prop_assert!(table.contains(&transition), "{transition:?} by {event:?} is in no table");
            }
        }
        for transition in transitions(&was, &machine.state) {
            prop_assert!(table.contains(&transition), "{transition:?} by {command:?} is in no table");
            seen.insert(transition);
        }
        check_invariants(&machine.state)?;
    }
    machine.assert_folds()?;
    Ok(seen)
}

#[test]
fn whatever_is_asked_of_a_contract_its_rules_hold() {
    explore(300, &scripts(), |script| run(script).map(|_| ()));
}

#[test]
fn every_transition_of_contracts_and_milestones_is_reached_and_no_other() {
    assert_eq!(survey(3_000, &scripts(), run), table());
}
