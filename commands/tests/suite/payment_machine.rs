//! Whatever payer, provider and escrow do to a payment: only the transitions there are, and every unit is somewhere.

use std::collections::{BTreeMap, BTreeSet};

use commands::{
    Actor, Policy,
    payment::{Payment, PaymentCommand, PaymentStatus},
};
use events::{Money, vocabulary::payments::PaymentEvent};
use proptest::{collection::vec, prelude::*};

use super::{
    fixtures::*,
    machine::{Machine, explore, survey},
};

type Step = (PaymentCommand, Actor, i64);

fn scripts() -> impl Strategy<Value = Vec<Step>> {
    let attempt = 1..4_u32;
    let payer = client(ama());
    let (contract, token) = (the_contract(), "tok".to_owned());
    let internal = Just(process());
    let commands = prop_oneof![
        2 => Just(PaymentCommand::Create { payer: ama(), amount: cedis(100), contract, milestone: 1 }),
        2 => attempt.clone().prop_map(|attempt| PaymentCommand::RequireAction { attempt }),
        2 => attempt.clone().prop_map(|attempt| PaymentCommand::Authorize { attempt }),
        3 => attempt.clone()
            .prop_map(|attempt| PaymentCommand::FailAttempt { attempt, code: "declined".to_owned() }),
        3 => (attempt, prop_oneof![9 => Just(100_i64), 1 => Just(99)]).prop_map(|(attempt, amount)| {
            PaymentCommand::Confirm { attempt, reference: "ch".to_owned(), amount: cedis(amount) }
        }),
        1 => Just(PaymentCommand::Expire),
        4 => (0..4_u128, prop_oneof![Just(50_i64), Just(50), Just(100), -1..102_i64]).prop_map(
            |(number, amount)| PaymentCommand::TakeBack { transfer: transfer(number), amount: cedis(amount) },
        ),
        6 => (1..4_u32).prop_map(|refund| PaymentCommand::ConfirmRefund { refund }),
        2 => (1..4_u32)
            .prop_map(|refund| PaymentCommand::FailRefund { refund, code: "refused".to_owned() }),
    ];
    let by_payer = prop_oneof![
        5 => Just(PaymentCommand::Attempt { method: id(0x41), token }),
        1 => Just(PaymentCommand::Cancel),
    ];
    let waits = prop_oneof![9 => Just(0_i64), 1 => Just(MINUTE_MS)];
    let retry = (1..4_u32).prop_map(|refund| PaymentCommand::RetryRefund { refund });
    let one =
        prop_oneof![4 => (commands, internal), 2 => (by_payer, Just(payer)), 1 => (retry, Just(admin()))];
    vec((one, waits).prop_map(|((command, actor), wait_ms)| (command, actor, wait_ms)), 1..40)
}

/// DOMAIN.md §3, Payment, without chargebacks; attempts fail and are repeated, which leads back to "Created". What
/// begins, begins from "none".
fn table() -> BTreeSet<(String, String)> {
    let rows: [(&str, &[&str]); 7] = [
        ("none", &["Created"]),
        ("Created", &["Processing", "Confirmed", "Cancelled", "Expired"]),
        ("Processing", &["Created", "RequiresAction", "Authorized", "Confirmed", "Cancelled", "Expired"]),
        ("RequiresAction", &["Created", "Authorized", "Confirmed", "Cancelled", "Expired"]),
        ("Authorized", &["Created", "Confirmed", "Cancelled", "Expired"]),
        ("Confirmed", &["PartlyRefunded", "Refunded"]),
        ("PartlyRefunded", &["Refunded"]),
    ];
    let pairs = rows.iter().flat_map(|(from, to)| to.iter().map(|to| ((*from).to_owned(), (*to).to_owned())));
    pairs.collect()
}

fn name(status: Option<PaymentStatus>) -> String {
    status.map_or("none".to_owned(), |status| format!("{status:?}"))
}

/// All that came is in escrow, on its way back, or back; and the provider is asked for nothing twice.
fn check(payment: &Payment, history: &[PaymentEvent]) -> Result<(), TestCaseError> {
    let Some(payable) = payment.payable() else { return Ok(()) };
    let (mut here, mut escrow) = (0, 0);
    let (mut attempts, mut refunds, mut returned) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
    let mut came = BTreeSet::new();
    for event in history {
        match event {
            PaymentEvent::PaymentAttemptStarted(started) => {
                prop_assert!(attempts.insert(started.attempt), "an attempt is asked for twice");
            }
            PaymentEvent::PaymentConfirmed(confirmed) => {
                prop_assert!(came.insert(confirmed.attempt), "the same money is taken twice");
                escrow += confirmed.amount.minor();
            }
            PaymentEvent::PaymentConfirmedLate(late) => {
                prop_assert!(came.insert(late.attempt), "the same money is taken twice");
                here += late.amount.minor();
            }
            PaymentEvent::PaymentTransferReturned(back) => {
                prop_assert!(returned.insert(back.transfer), "a transfer is taken twice");
                (here, escrow) = (here + back.amount.minor(), escrow - back.amount.minor());
            }
            PaymentEvent::PaymentRefundRequested(refund) => {
                let before = refunds.insert(refund.refund, refund.amount);
                prop_assert!(before.is_none(), "a refund is asked for twice");
            }
            PaymentEvent::PaymentRefunded(refunded) => {
                prop_assert_eq!(refunds.get(&refunded.refund), Some(&refunded.amount));
                here -= refunded.amount.minor();
            }
            PaymentEvent::PaymentRefundFailed(failed) => {
                prop_assert_eq!(refunds.get(&failed.refund), Some(&failed.amount));
            }
            PaymentEvent::PaymentRefundReplaced(replaced) => {
                prop_assert!(refunds.contains_key(&replaced.refund) && !refunds.contains_key(&replaced.by));
            }
            PaymentEvent::PaymentCreated(_)
            | PaymentEvent::PaymentActionRequired(_)
            | PaymentEvent::PaymentAuthorized(_)
            | PaymentEvent::PaymentAttemptFailed(_)
            | PaymentEvent::PaymentCancelled(_)
            | PaymentEvent::PaymentExpired(_) => {}
        }
    }
    prop_assert_eq!(payable, Money::new(here, payable.currency()));
    prop_assert!(here >= 0 && (0..=100).contains(&escrow));
    Ok(())
}

fn run(script: Vec<Step>) -> Result<BTreeSet<(String, String)>, TestCaseError> {
    let (table, mut seen) = (table(), BTreeSet::new());
    let mut machine = Machine::<Payment>::new(Policy::default());
    for (command, actor, wait_ms) in script {
        machine.now = machine.now.plus_millis(wait_ms);
        let Ok(steps) = machine.ask(&command, actor) else { continue };
        for (before, event, after) in steps {
            let step = (name(before.status()), name(after.status()));
            if step.0 != step.1 {
                prop_assert!(table.contains(&step), "{step:?} by {event:?} is in no table");
                seen.insert(step);
            }
        }
        check(&machine.state, &machine.history)?;
        let open = machine.state.open_attempts().count();
        let under_way = matches!(
            machine.state.status(),
            Some(PaymentStatus::Processing | PaymentStatus::RequiresAction | PaymentStatus::Authorized)
        );
        prop_assert!(!under_way || open == 1);
    }
    machine.assert_folds()?;
    Ok(seen)
}

#[test]
fn whatever_happens_to_a_payment_its_rules_hold() {
    explore(300, &scripts(), |script| run(script).map(drop));
}

#[test]
fn every_transition_of_a_payment_is_reached_and_no_other() {
    assert_eq!(survey(4_000, &scripts(), run), table());
}
