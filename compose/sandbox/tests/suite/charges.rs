//! A charge is answered at once and decided later, as its token says.

use serde_json::json;

use crate::harness::{House, charge};

#[tokio::test]
async fn given_a_good_card_when_charged_then_it_is_processed_first_and_succeeds_later() {
    let house = House::open().await;
    let made = house.charge("order-1", 1050, "pm_card").await.expect(201);
    assert_eq!(made["status"], "processing");
    assert_eq!(made["amount"], json!({ "amount": "1050", "currency": "GHS" }));
    assert_eq!(house.balance("merchant").await, 0);
    house.settle().await;
    let path = format!("/v1/charges/{}", made["id"].as_str().unwrap());
    assert_eq!(house.status(&path).await, "succeeded");
    assert_eq!(house.balance("merchant").await, 1050);
    let letters = house.inbox.wait_for(1).await;
    assert_eq!(letters[0].kind(), "charge.succeeded");
    assert_eq!(letters[0].body["data"], house.client.get(&path).await.expect(200));
}

#[tokio::test]
async fn given_a_bad_card_when_charged_then_it_fails_with_the_code_of_its_token_and_takes_nothing() {
    let house = House::open().await;
    let bad = [
        ("pm_card_declined", "card_declined"),
        ("pm_insufficient_funds", "insufficient_funds"),
        ("pm_expired_card", "expired_card"),
    ];
    for (token, code) in bad {
        let made = house.charge(&format!("order-{code}"), 500, token).await.expect(201);
        assert_eq!(made["status"], "processing");
        house.settle().await;
        let charge = house.client.get(&format!("/v1/charges/by-reference/order-{code}")).await.expect(200);
        assert_eq!((&charge["status"], &charge["failure"]["code"]), (&json!("failed"), &json!(code)));
    }
    assert_eq!(house.balance("merchant").await, 0);
    assert!(house.inbox.wait_for(3).await.iter().all(|letter| letter.kind() == "charge.failed"));
}

#[tokio::test]
async fn given_a_card_that_is_declined_at_once_when_charged_then_the_answer_says_so() {
    let house = House::open().await;
    let made = house.charge("order-1", 500, "pm_declined_at_once").await.expect(201);
    assert_eq!(made["status"], "failed");
    assert_eq!(house.inbox.wait_for(1).await[0].kind(), "charge.failed");
}

#[tokio::test]
async fn given_a_card_whose_payer_must_act_when_he_does_then_it_succeeds_and_when_he_does_not_it_fails() {
    let house = House::open().await;
    for (reference, action, end) in [("order-1", "succeed", "succeeded"), ("order-2", "fail", "failed")] {
        let made = house.charge(reference, 500, "pm_requires_action").await.expect(201);
        assert_eq!(made["status"], "requires_action");
        house.settle().await;
        let id = made["id"].as_str().unwrap();
        assert_eq!(house.status(&format!("/v1/charges/{id}")).await, "requires_action");
        let act = format!("/control/charges/{id}/action");
        house.client.post(&act, json!({ "action": action })).await.expect(200);
        house.settle().await;
        assert_eq!(house.status(&format!("/v1/charges/{id}")).await, end);
        house.client.post(&act, json!({ "action": action })).await.refused(409, "wrong_status");
    }
    assert_eq!(house.balance("merchant").await, 500);
}

#[tokio::test]
async fn given_a_manual_capture_when_it_is_captured_then_the_money_moves_and_not_before() {
    let house = House::open().await;
    let mut order = charge("order-1", 700, "pm_card");
    order["capture"] = json!("manual");
    let id = house.client.post("/v1/charges", order).await.expect(201)["id"].as_str().unwrap().to_owned();
    house.client.post(&format!("/v1/charges/{id}/capture"), json!({})).await.refused(409, "wrong_status");
    house.settle().await;
    assert_eq!(house.status(&format!("/v1/charges/{id}")).await, "authorized");
    assert_eq!(house.balance("merchant").await, 0);
    for _ in 0..2 {
        let captured = house.client.post(&format!("/v1/charges/{id}/capture"), json!({})).await.expect(200);
        assert_eq!(captured["status"], "succeeded");
        assert_eq!(house.balance("merchant").await, 700);
    }
}

#[tokio::test]
async fn given_a_charge_when_it_is_cancelled_then_only_one_that_waits_is() {
    let house = House::open().await;
    let waiting = house.charge("order-1", 700, "pm_requires_action").await.expect(201);
    let processing = house.charge("order-2", 700, "pm_card").await.expect(201);
    let cancel = |id: &str| format!("/v1/charges/{id}/cancel");
    let cancelled = house.client.post(&cancel(waiting["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(cancelled.expect(200)["status"], "cancelled");
    let late = house.client.post(&cancel(processing["id"].as_str().unwrap()), json!({})).await;
    late.refused(409, "wrong_status");
}

#[tokio::test]
async fn given_a_late_card_when_most_have_given_it_up_then_it_is_confirmed() {
    let house = House::open().await;
    house.charge("order-1", 700, "pm_late_confirmation").await.expect(201);
    house.advance(15 * 60 * 1000).await;
    assert_eq!(house.status("/v1/charges/by-reference/order-1").await, "processing");
    house.advance(5 * 60 * 1000).await;
    assert_eq!(house.status("/v1/charges/by-reference/order-1").await, "succeeded");
}

#[tokio::test]
async fn given_a_token_with_a_tail_when_charged_then_it_behaves_as_the_token_before_it() {
    let house = House::open().await;
    house.charge("order-1", 700, "pm_declined_at_once-of-ama").await.expect(201);
    assert_eq!(house.status("/v1/charges/by-reference/order-1").await, "failed");
    for unknown in ["pm_cards", "visa", "", "ba_account", "pm_card-with space"] {
        house.charge("order-2", 700, unknown).await.refused(422, "unknown_token");
    }
}
