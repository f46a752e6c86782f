//! What is asked to go wrong goes wrong, as often as asked, and nothing else does.

use std::time::Instant;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{House, charge};

impl House {
    async fn fault(&self, fault: Value) {
        self.client.post("/control/faults", fault).await.expect(200);
    }

    async fn exists(&self, reference: &str) -> bool {
        self.client.get(&format!("/v1/charges/by-reference/{reference}")).await.status == 200
    }
}

#[tokio::test]
async fn given_a_provider_that_is_down_when_it_is_asked_then_nothing_is_done_until_it_is_up() {
    let house = House::open().await;
    house.fault(json!({ "fault": "unavailable" })).await;
    house.charge("order-1", 100, "pm_card").await.refused(503, "unavailable");
    house.client.get("/v1/balances").await.refused(503, "unavailable");
    house.client.get("/health").await.expect(200);
    house.client.delete("/control/faults").await.expect(200);
    assert!(!house.exists("order-1").await);
    house.charge("order-1", 100, "pm_card").await.expect(201);
}

#[tokio::test]
async fn given_a_fault_with_a_number_when_it_is_used_up_then_everything_works_again() {
    let house = House::open().await;
    house.fault(json!({ "fault": "internal_error", "operation": "create_charge", "times": 2 })).await;
    for _ in 0..2 {
        house.charge("order-1", 100, "pm_card").await.refused(500, "internal");
        assert!(!house.exists("order-1").await);
    }
    house.charge("order-1", 100, "pm_card").await.expect(201);
    assert_eq!(house.client.get("/control/faults").await.expect(200)["faults"], json!([]));
}

#[tokio::test]
async fn given_faults_when_a_connection_breaks_off_then_one_was_done_before_and_one_was_not() {
    let house = House::open().await;
    let send = async |reference: &str| {
        let order = charge(reference, 100, "pm_card").to_string();
        house.client.send(Method::POST, "/v1/charges", &order).await
    };
    house.fault(json!({ "fault": "disconnect", "operation": "create_charge", "times": 1 })).await;
    send("order-1").await.unwrap_err();
    house.fault(json!({ "fault": "timeout_after_success", "operation": "create_charge", "times": 1 })).await;
    send("order-2").await.unwrap_err();
    house.fault(json!({ "fault": "error_after_success", "operation": "create_charge", "times": 1 })).await;
    house.charge("order-3", 100, "pm_card").await.refused(500, "internal");
    assert_eq!((house.exists("order-1").await, house.exists("order-2").await), (false, true));
    assert!(house.exists("order-3").await);
}

#[tokio::test]
async fn given_a_slow_provider_when_it_is_asked_then_it_is_done_and_answered_late() {
    let house = House::open().await;
    house.fault(json!({ "fault": "slow", "operation": "read", "times": 1 })).await;
    let began = Instant::now();
    house.client.get("/v1/balances").await.expect(200);
    // The lower bound is the promise; there is no upper one.
    assert!(began.elapsed().as_millis() >= 400);
    house.charge("order-1", 100, "pm_slow").await.expect(201);
}

#[tokio::test]
async fn given_a_good_card_when_it_shall_act_as_another_then_it_does_once() {
    let house = House::open().await;
    let fault =
        json!({ "fault": { "act_as": "pm_card_declined" }, "operation": "create_charge", "times": 1 });
    house.fault(fault).await;
    house.charge("order-1", 100, "pm_card-ama").await.expect(201);
    house.charge("order-2", 100, "pm_card-ama").await.expect(201);
    house.settle().await;
    assert_eq!(house.status("/v1/charges/by-reference/order-1").await, "failed");
    assert_eq!(house.status("/v1/charges/by-reference/order-2").await, "succeeded");
    let fault = json!({ "fault": { "act_as": "ba_failed" }, "operation": "create_payout", "times": 1 });
    house.fault(fault).await;
    house.payout("payout-1", 50, "ba_account").await.expect(201);
    house.settle().await;
    assert_eq!(house.status("/v1/payouts/by-reference/payout-1").await, "failed");
}

#[tokio::test]
async fn given_a_token_to_act_as_when_an_old_or_a_wrong_order_comes_then_it_waits_for_a_new_one() {
    let house = House::open().await;
    house.charge("order-1", 100, "pm_card").await.expect(201);
    let fault = json!({ "fault": { "act_as": "pm_error" }, "operation": "create_charge", "times": 1 });
    house.fault(fault).await;
    house.charge("order-1", 100, "pm_card").await.expect(200);
    house.charge("order-1", 101, "pm_card").await.refused(422, "reference_reused");
    house.charge("order-2", 100, "visa").await.refused(422, "unknown_token");
    house.charge("order-2", 100, "pm_card").await.refused(500, "internal");
    house.charge("order-2", 100, "pm_card").await.expect(201);
}

#[tokio::test]
async fn given_a_fault_that_makes_no_sense_when_it_is_asked_for_then_it_is_refused() {
    let house = House::open().await;
    let refused = [
        json!({ "fault": "explode" }),
        json!({ "fault": "slow", "times": 0 }),
        json!({ "fault": "slow", "operation": "create_world" }),
        json!({ "fault": { "act_as": "pm_card_declined" } }),
        json!({ "fault": { "act_as": "ba_account" }, "operation": "create_charge" }),
    ];
    for fault in refused {
        house.client.post("/control/faults", fault).await.refused(422, "invalid");
    }
}
