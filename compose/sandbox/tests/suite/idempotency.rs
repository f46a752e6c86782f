//! A reference stands for one order, for ever.

use serde_json::json;

use crate::harness::{House, charge, ghs};

#[tokio::test]
async fn given_an_order_when_it_is_repeated_then_the_answer_is_the_same_and_nothing_is_done_twice() {
    let house = House::open().await;
    let first = house.charge("order-1", 1000, "pm_card").await.expect(201);
    let again = house.charge("order-1", 1000, "pm_card").await.expect(200);
    assert_eq!(first, again);
    house.settle().await;
    let charge = house.charge("order-1", 1000, "pm_card").await.expect(200);
    assert_eq!((&charge["id"], &charge["status"]), (&first["id"], &json!("succeeded")));
    let id = charge["id"].as_str().unwrap();
    let refund = house.refund("refund-1", id, 100).await.expect(201);
    assert_eq!(house.refund("refund-1", id, 100).await.expect(200), refund);
    let payout = house.payout("payout-1", 100, "ba_account").await.expect(201);
    assert_eq!(house.payout("payout-1", 100, "ba_account").await.expect(200), payout);
    assert_eq!(house.balance("merchant").await, 800);
}

#[tokio::test]
async fn given_an_order_when_its_reference_comes_with_other_content_then_it_is_refused() {
    let house = House::open().await;
    let id = house.charged("order-1", 1000).await;
    house.charge("order-1", 1001, "pm_card").await.refused(422, "reference_reused");
    house.charge("order-1", 1000, "pm_card_declined").await.refused(422, "reference_reused");
    let mut manual = charge("order-1", 1000, "pm_card");
    manual["capture"] = json!("manual");
    house.client.post("/v1/charges", manual).await.refused(422, "reference_reused");
    let mut euros = charge("order-1", 1000, "pm_card");
    euros["amount"]["currency"] = json!("EUR");
    house.client.post("/v1/charges", euros).await.refused(422, "reference_reused");
    house.refund("refund-1", &id, 100).await.expect(201);
    house.refund("refund-1", &id, 101).await.refused(422, "reference_reused");
    house.payout("payout-1", 100, "ba_account").await.expect(201);
    house.payout("payout-1", 100, "ba_account-2").await.refused(422, "reference_reused");
}

#[tokio::test]
async fn given_many_who_send_one_order_at_once_when_all_are_answered_then_it_is_one_charge() {
    let house = House::open().await;
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let client = house.client.clone();
        senders.spawn(async move { client.post("/v1/charges", charge("order-1", 1000, "pm_card")).await });
    }
    let answers = senders.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().all(|answer| answer.body["id"] == answers[0].body["id"]));
}

#[tokio::test]
async fn given_a_charge_and_a_payout_when_they_have_one_reference_then_both_are_orders_of_their_own() {
    let house = House::open().await;
    house.charged("same", 1000).await;
    house.payout("same", 400, "ba_account").await.expect(201);
    let payout = house.client.get("/v1/payouts/by-reference/same").await.expect(200);
    assert_eq!(payout["amount"], ghs(400));
}
