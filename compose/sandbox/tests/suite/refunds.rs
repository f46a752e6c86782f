//! A refund takes back no more than was charged, and no more than there is.

use serde_json::json;

use crate::harness::{House, charge};

#[tokio::test]
async fn given_a_charge_when_it_is_refunded_in_parts_then_the_parts_sum_to_it_and_no_further() {
    let house = House::open().await;
    let id = house.charged("order-1", 1000).await;
    house.refund("refund-1", &id, 600).await.expect(201);
    house.refund("refund-2", &id, 401).await.refused(422, "refund_too_large");
    house.refund("refund-3", &id, 400).await.expect(201);
    house.settle().await;
    assert_eq!(house.status("/v1/refunds/by-reference/refund-1").await, "succeeded");
    assert_eq!(
        house.client.get(&format!("/v1/charges/{id}")).await.expect(200)["refunded"]["amount"],
        "1000"
    );
    assert_eq!((house.balance("merchant").await, house.balance("cards").await), (0, 0));
    let letters = house.inbox.wait_for(3).await;
    assert_eq!(letters.iter().filter(|letter| letter.kind() == "refund.succeeded").count(), 2);
}

#[tokio::test]
async fn given_a_refund_that_fails_when_its_outcome_is_known_then_the_money_is_back() {
    let house = House::open().await;
    let id = house.charge("order-1", 1000, "pm_refund_fails").await.expect(201)["id"].clone();
    house.settle().await;
    house.refund("refund-1", id.as_str().unwrap(), 1000).await.expect(201);
    assert_eq!(house.balance("merchant").await, 0);
    assert_eq!(house.balance("refunds_under_way").await, 1000);
    house.settle().await;
    assert_eq!(house.status("/v1/refunds/by-reference/refund-1").await, "failed");
    assert_eq!(house.balance("merchant").await, 1000);
    house.refund("refund-2", id.as_str().unwrap(), 1000).await.expect(201);
}

#[tokio::test]
async fn given_what_cannot_be_refunded_when_it_is_asked_then_it_is_refused() {
    let house = House::open().await;
    house.refund("refund-1", "ch_never", 100).await.refused(404, "not_found");
    let processing = house.charge("order-1", 1000, "pm_card").await.expect(201)["id"].clone();
    house.refund("refund-1", processing.as_str().unwrap(), 100).await.refused(409, "wrong_status");
    house.settle().await;
    let euros = json!({ "reference": "refund-1", "charge": processing, "amount": { "amount": "1", "currency": "EUR" } });
    house.client.post("/v1/refunds", euros).await.refused(422, "currency_differs");
    house.payout("payout-1", 950, "ba_account").await.expect(201);
    house.refund("refund-1", processing.as_str().unwrap(), 100).await.refused(422, "balance_insufficient");
    house.client.post("/v1/charges", charge("order-2", 50, "pm_card")).await.expect(201);
    house.settle().await;
    house.refund("refund-1", processing.as_str().unwrap(), 100).await.expect(201);
}
