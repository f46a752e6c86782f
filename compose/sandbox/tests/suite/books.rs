//! The books are double-entry and always zero, whatever is ordered, returned and refused, in whatever order.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{House, ghs};

/// The token, the amount, and whether time passes afterwards.
#[derive(Clone, Debug)]
enum Step {
    Charge(&'static str, i64),
    Refund(usize, i64),
    Payout(&'static str, i64),
    Time(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let methods =
        prop::sample::select(vec!["pm_card", "pm_card_declined", "pm_refund_fails", "pm_late_confirmation"]);
    let destinations =
        prop::sample::select(vec!["ba_account", "ba_failed", "ba_returned", "ba_returned_once"]);
    prop_oneof![
        3 => (methods, 1..1000_i64).prop_map(|(token, minor)| Step::Charge(token, minor)),
        2 => (0..8_usize, 1..600_i64).prop_map(|(which, minor)| Step::Refund(which, minor)),
        2 => (destinations, 1..600_i64).prop_map(|(token, minor)| Step::Payout(token, minor)),
        3 => (0..5 * 24 * 3600 * 1000_u64).prop_map(Step::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn given_any_orders_when_time_passes_then_the_books_are_zero_and_agree_with_the_entries(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }
}

async fn play(steps: Vec<Step>) {
    let house = House::open().await;
    let mut charges: Vec<String> = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Charge(token, minor) => {
                let charge = house.charge(&format!("c{number}"), minor, token).await.expect(201);
                charges.push(charge["id"].as_str().unwrap().to_owned());
            }
            Step::Refund(which, minor) => {
                let Some(charge) = charges.get(which) else { continue };
                house.refund(&format!("r{number}"), charge, minor).await;
            }
            Step::Payout(token, minor) => {
                house.payout(&format!("p{number}"), minor, token).await;
            }
            Step::Time(ms) => house.advance(ms).await,
        }
        assert!(house.balance("merchant").await >= 0);
        books_are_zero(&house).await;
    }
    house.advance(30 * 24 * 3600 * 1000).await;
    books_are_zero(&house).await;
    for under_way in ["refunds_under_way", "payouts_under_way"] {
        assert_eq!(house.balance(under_way).await, 0, "at rest nothing is {under_way}");
    }
}

async fn books_are_zero(house: &House) {
    let balances = house.client.get("/v1/balances").await.expect(200);
    let entries = house.client.get("/v1/entries?limit=200").await.expect(200);
    assert_eq!(entries["next"], Value::Null);
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for entry in entries["items"].as_array().unwrap() {
        let minor: i64 = entry["amount"]["amount"].as_str().unwrap().parse().unwrap();
        *sums.entry(entry["from"].as_str().unwrap().into()).or_default() -= minor;
        *sums.entry(entry["to"].as_str().unwrap().into()).or_default() += minor;
    }
    for currency in balances["currencies"].as_array().unwrap() {
        assert_eq!(currency["sum"], "0");
        for line in currency["accounts"].as_array().unwrap() {
            assert_eq!(line["balance"], sums[line["account"].as_str().unwrap()].to_string());
        }
    }
}

#[tokio::test]
async fn given_two_currencies_when_both_move_then_each_is_zero_by_itself() {
    let house = House::open().await;
    house.charged("order-1", 1000).await;
    let yen = json!({ "reference": "order-2", "amount": { "amount": "7", "currency": "JPY" }, "method": "pm_card" });
    house.client.post("/v1/charges", yen).await.expect(201);
    house.settle().await;
    let balances = house.client.get("/v1/balances").await.expect(200);
    let currencies = balances["currencies"].as_array().unwrap();
    assert_eq!(currencies.len(), 2);
    assert!(currencies.iter().all(|currency| currency["sum"] == "0"));
    let dollars = json!({ "reference": "p", "amount": { "amount": "1", "currency": "USD" }, "destination": "ba_account" });
    house.client.post("/v1/payouts", dollars).await.refused(422, "balance_insufficient");
}

#[tokio::test]
async fn given_a_charge_when_it_succeeds_then_its_entry_names_it_and_our_reference() {
    let house = House::open().await;
    let id = house.charged("order-1", 1000).await;
    let entries = house.client.get("/v1/entries").await.expect(200);
    let entry = &entries["items"][0];
    assert_eq!((&entry["object"], &entry["reference"]), (&json!(id), &json!("order-1")));
    assert_eq!((&entry["cause"], &entry["amount"]), (&json!("charge_succeeded"), &ghs(1000)));
    assert_eq!((&entry["from"], &entry["to"]), (&json!("cards"), &json!("merchant")));
}
