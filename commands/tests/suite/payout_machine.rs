//! Whatever users, administrators and the provider do to a payout: only the transitions there are.

use std::collections::BTreeSet;

use commands::{
    Actor, Policy,
    payout::{Payout, PayoutCommand, PayoutStatus},
};
use events::vocabulary::payments::PayoutEvent;
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    fixtures::*,
    machine::{Machine, explore, survey},
};

fn scripts() -> impl Strategy<Value = Vec<(PayoutCommand, Actor)>> {
    let attempt = || prop_oneof![4 => Just(1_u32), 3 => Just(2), 1 => 0..4_u32];
    let internal = || Just(process());
    let people = select(vec![worker(kofi()), worker(yaw()), admin(), process()]);
    let code = "a_code".to_owned();
    let (failed, reversed) = (code.clone(), code);
    let one = prop_oneof![
        2 => (select(vec![9_000_i64, 900_000]), Just(worker(kofi()))).prop_map(|(amount, actor)| {
            let (amount, destination, token) = (cedis(amount), id(0x51), "ba".to_owned());
            (PayoutCommand::Request { amount, destination, token }, actor)
        }),
        3 => (Just(PayoutCommand::Admit), internal()),
        1 => (Just(PayoutCommand::Approve), Just(admin())),
        1 => (Just(PayoutCommand::Reject), Just(admin())),
        1 => (Just(PayoutCommand::Cancel), people),
        4 => (Just(PayoutCommand::Dispatch), internal()),
        2 => (
            attempt().prop_map(|attempt| PayoutCommand::ConfirmPaid { attempt, reference: "po".to_owned() }),
            internal(),
        ),
        3 => (
            attempt().prop_map(move |attempt| PayoutCommand::Fail { attempt, code: failed.clone() }),
            internal(),
        ),
        2 => (
            attempt().prop_map(move |attempt| PayoutCommand::Reverse { attempt, code: reversed.clone() }),
            internal(),
        ),
    ];
    vec(one, 1..40)
}

/// DOMAIN.md §3, Payout; what begins, begins from "none".
fn table() -> BTreeSet<(String, String)> {
    let rows: [(&str, &[&str]); 7] = [
        ("none", &["Requested"]),
        ("Requested", &["InReview", "Queued", "Cancelled"]),
        ("InReview", &["Queued", "Rejected"]),
        ("Queued", &["Processing", "Cancelled"]),
        ("Processing", &["Paid", "Failed"]),
        ("Failed", &["Queued", "Cancelled"]),
        ("Paid", &["Reversed"]),
    ];
    let pairs = rows.iter().flat_map(|(from, to)| to.iter().map(|to| ((*from).to_owned(), (*to).to_owned())));
    pairs.collect()
}

fn name(status: Option<PayoutStatus>) -> String {
    status.map_or("none".to_owned(), |status| format!("{status:?}"))
}

/// One intent for each attempt, money that leaves once and comes back at most once.
fn check(history: &[PayoutEvent]) -> Result<(), TestCaseError> {
    let (mut attempts, mut paid, mut back) = (BTreeSet::new(), 0, 0);
    for event in history {
        match event {
            PayoutEvent::PayoutDispatched(dispatched) => {
                prop_assert!(attempts.insert(dispatched.attempt), "an attempt is asked for twice");
                prop_assert_eq!(paid, 0, "what is paid is not paid again");
            }
            PayoutEvent::PayoutPaid(_) => paid += 1,
            PayoutEvent::PayoutReversed(_) => back += 1,
            PayoutEvent::PayoutRequested(_)
            | PayoutEvent::PayoutReviewRequested(_)
            | PayoutEvent::PayoutApproved(_)
            | PayoutEvent::PayoutRejected(_)
            | PayoutEvent::PayoutCancelled(_)
            | PayoutEvent::PayoutFailed(_)
            | PayoutEvent::PayoutRequeued(_) => {}
        }
    }
    prop_assert!(back <= paid && paid <= 1);
    Ok(())
}

fn run(script: Vec<(PayoutCommand, Actor)>) -> Result<BTreeSet<(String, String)>, TestCaseError> {
    let (table, mut seen) = (table(), BTreeSet::new());
    let mut policy = Policy::default();
    policy.money.payout_attempts_max = 2;
    let mut machine = Machine::<Payout>::new(policy);
    for (command, actor) in script {
        let Ok(steps) = machine.ask(&command, actor) else { continue };
        for (before, event, after) in steps {
            let step = (name(before.status()), name(after.status()));
            prop_assert!(table.contains(&step), "{step:?} by {event:?} is in no table");
            seen.insert(step);
        }
        prop_assert!(machine.state.status() != Some(PayoutStatus::Failed), "nobody would see to it");
    }
    check(&machine.history)?;
    machine.assert_folds()?;
    Ok(seen)
}

#[test]
fn whatever_happens_to_a_payout_its_rules_hold() {
    explore(300, &scripts(), |script| run(script).map(drop));
}

#[test]
fn every_transition_of_a_payout_is_reached_and_no_other() {
    assert_eq!(survey(3_000, &scripts(), run), table());
}
