//! What is in doubt is asked by our reference before anything is sent again.

use http::Method;

use crate::harness::{House, charge};

#[tokio::test]
async fn given_a_request_that_was_never_answered_when_it_is_looked_up_then_it_is_there() {
    let house = House::open().await;
    let body = charge("order-1", 1000, "pm_timeout_after_success").to_string();
    house.client.send(Method::POST, "/v1/charges", &body).await.unwrap_err();
    assert_eq!(house.status("/v1/charges/by-reference/order-1").await, "processing");
    house.settle().await;
    assert_eq!(house.status("/v1/charges/by-reference/order-1").await, "succeeded");
    // Sent again, it is answered, and done once.
    house.charge("order-1", 1000, "pm_timeout_after_success").await.expect(200);
    assert_eq!(house.balance("merchant").await, 1000);
}

#[tokio::test]
async fn given_a_payout_answered_with_an_error_when_it_is_looked_up_then_one_was_done_and_one_was_not() {
    let house = House::open().await;
    house.charged("order-1", 1000).await;
    house.payout("payout-1", 100, "ba_error_after_success").await.refused(500, "internal");
    house.payout("payout-2", 100, "ba_error").await.refused(500, "internal");
    assert_eq!(house.status("/v1/payouts/by-reference/payout-1").await, "processing");
    house.client.get("/v1/payouts/by-reference/payout-2").await.refused(404, "not_found");
    assert_eq!(house.balance("merchant").await, 900);
}

#[tokio::test]
async fn given_a_reference_that_was_never_sent_when_it_is_looked_up_then_there_is_nothing() {
    let house = House::open().await;
    for path in ["charges", "refunds", "payouts"] {
        house.client.get(&format!("/v1/{path}/by-reference/never")).await.refused(404, "not_found");
        house.client.get(&format!("/v1/{path}/never")).await.refused(404, "not_found");
    }
    house.client.get("/v1/events/never").await.refused(404, "not_found");
}

#[tokio::test]
async fn given_an_event_that_was_lost_when_the_charge_is_looked_up_then_its_outcome_is_known() {
    let house = House::open().await;
    house.charge("order-1", 1000, "pm_lost_event").await.expect(201);
    house.charge("order-2", 1000, "pm_card").await.expect(201);
    house.settle().await;
    assert_eq!(house.status("/v1/charges/by-reference/order-1").await, "succeeded");
    let letters = house.inbox.wait_for(1).await;
    assert!(letters.iter().all(|letter| letter.body["data"]["reference"] == "order-2"));
}
