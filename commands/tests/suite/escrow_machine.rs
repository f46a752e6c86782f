//! Whatever is asked of an escrow, in whatever order: only the transitions there are, and every unit is somewhere.

use std::collections::BTreeSet;

use commands::{
    Policy,
    escrow::{Escrow, EscrowCommand, EscrowStatus},
};
use events::{Money, vocabulary::payments::EscrowEvent};
use proptest::{collection::vec, prelude::*};

use super::{
    fixtures::*,
    machine::{Machine, explore, survey},
};

fn commands() -> impl Strategy<Value = Vec<EscrowCommand>> {
    let (contract, client, worker) = (the_contract(), ama(), kofi());
    let one = prop_oneof![
        3 => (1..50_i64).prop_map(move |amount| {
            EscrowCommand::Open { contract, milestone: 1, client, worker, amount: cedis(amount) }
        }),
        4 => (0..3_u128, 1..50_i64).prop_map(|(number, amount)| EscrowCommand::Fund {
            payment: the_payment(),
            transfer: transfer(number),
            amount: cedis(amount),
        }),
        4 => proptest::option::of(-1..50_i64)
            .prop_map(|amount| EscrowCommand::Release { amount: amount.map(cedis) }),
        1 => Just(EscrowCommand::Refund),
        1 => Just(EscrowCommand::Expire),
    ];
    // Most of the time, the amount that is waited for.
    (vec(one, 1..30), 1..50_i64, any::<bool>()).prop_map(|(mut commands, price, same)| {
        for command in commands.iter_mut().filter(|_| same) {
            if let EscrowCommand::Open { amount, .. } | EscrowCommand::Fund { amount, .. } = command {
                *amount = cedis(price);
            }
        }
        commands
    })
}

/// DOMAIN.md §3, Escrow, without what disputes add; what begins, begins from "none".
fn table() -> BTreeSet<(String, String)> {
    let rows: [(&str, &[&str]); 4] = [
        ("none", &["Opened"]),
        ("Opened", &["Funded", "Expired"]),
        ("Funded", &["PartlyReleased", "Released", "Refunded"]),
        ("PartlyReleased", &["Released", "Refunded"]),
    ];
    let pairs = rows.iter().flat_map(|(from, to)| to.iter().map(|to| ((*from).to_owned(), (*to).to_owned())));
    pairs.collect()
}

fn name(status: Option<EscrowStatus>) -> String {
    status.map_or("none".to_owned(), |status| format!("{status:?}"))
}

fn check(escrow: &Escrow, history: &[EscrowEvent]) -> Result<(), TestCaseError> {
    let (Some(held), Some(status)) = (escrow.held(), escrow.status()) else { return Ok(()) };
    let (mut came, mut left) = (0, 0);
    for event in history {
        match event {
            EscrowEvent::EscrowOpened(_) | EscrowEvent::EscrowExpired(_) => {}
            EscrowEvent::EscrowFunded(funded) => came += funded.amount.minor(),
            EscrowEvent::EscrowReleased(released) => {
                prop_assert_eq!(released.fee.checked_add(released.net), Ok(released.amount));
                left += released.amount.minor();
            }
            EscrowEvent::EscrowRefunded(refunded) => left += refunded.amount.minor(),
        }
    }
    prop_assert_eq!(held, Money::new(came - left, held.currency()), "held = funded − released − refunded");
    prop_assert!(held.minor() >= 0);
    let holds = matches!(status, EscrowStatus::Funded | EscrowStatus::PartlyReleased);
    prop_assert_eq!(held.is_positive(), holds);
    Ok(())
}

fn run(commands: Vec<EscrowCommand>) -> Result<BTreeSet<(String, String)>, TestCaseError> {
    let (table, mut seen) = (table(), BTreeSet::new());
    let mut machine = Machine::<Escrow>::new(Policy::default());
    for command in commands {
        let Ok(steps) = machine.ask(&command, process()) else { continue };
        for (before, event, after) in steps {
            let step = (name(before.status()), name(after.status()));
            if step.0 != step.1 {
                prop_assert!(table.contains(&step), "{step:?} by {event:?} is in no table");
                seen.insert(step);
            }
        }
        check(&machine.state, &machine.history)?;
    }
    machine.assert_folds()?;
    Ok(seen)
}

#[test]
fn whatever_is_asked_of_an_escrow_its_rules_hold() {
    explore(300, &commands(), |commands| run(commands).map(drop));
}

#[test]
fn every_transition_of_an_escrow_is_reached_and_no_other() {
    assert_eq!(survey(2_000, &commands(), run), table());
}
