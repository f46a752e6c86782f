//! A payout leaves the balance when it is ordered, and comes back when it fails or is returned.

use serde_json::json;

use crate::harness::House;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn given_a_balance_when_a_payout_is_ordered_then_it_is_paid_and_told() {
    let house = House::open().await;
    house.charged("order-1", 1000).await;
    house.payout("payout-1", 1001, "ba_account").await.refused(422, "balance_insufficient");
    house.payout("payout-1", 400, "ba_nowhere").await.refused(422, "unknown_token");
    let payout = house.payout("payout-1", 400, "ba_account").await.expect(201);
    assert_eq!(payout["status"], "processing");
    assert_eq!((house.balance("merchant").await, house.balance("payouts_under_way").await), (600, 400));
    house.settle().await;
    assert_eq!(house.status("/v1/payouts/by-reference/payout-1").await, "paid");
    assert_eq!((house.balance("payouts_under_way").await, house.balance("banks").await), (0, 400));
    let letters = house.inbox.wait_for(2).await;
    assert!(letters.iter().any(|letter| letter.kind() == "payout.paid"));
}

#[tokio::test]
async fn given_a_closed_account_when_a_payout_is_ordered_then_it_fails_and_the_money_is_back() {
    let house = House::open().await;
    house.charged("order-1", 1000).await;
    house.payout("payout-1", 400, "ba_failed").await.expect(201);
    house.settle().await;
    let payout = house.client.get("/v1/payouts/by-reference/payout-1").await.expect(200);
    assert_eq!((&payout["status"], &payout["failure"]["code"]), (&json!("failed"), &json!("account_closed")));
    assert_eq!(house.balance("merchant").await, 1000);
}

#[tokio::test]
async fn given_a_paid_payout_when_days_pass_then_it_is_returned_and_paid_again_to_the_same_account() {
    let house = House::open().await;
    house.charged("order-1", 1000).await;
    house.payout("payout-1", 400, "ba_returned_once-kofi").await.expect(201);
    house.settle().await;
    assert_eq!(house.status("/v1/payouts/by-reference/payout-1").await, "paid");
    house.advance(3 * DAY_MS).await;
    assert_eq!(house.status("/v1/payouts/by-reference/payout-1").await, "returned");
    assert_eq!(house.balance("merchant").await, 1000);
    house.payout("payout-2", 400, "ba_returned_once-kofi").await.expect(201);
    house.advance(30 * DAY_MS).await;
    assert_eq!(house.status("/v1/payouts/by-reference/payout-2").await, "paid");
    let letters = house.inbox.wait_for(4).await;
    let kinds: Vec<_> = letters.iter().filter(|letter| letter.kind() == "payout.returned").collect();
    assert_eq!(kinds.len(), 1);
    assert_eq!(kinds[0].body["data"]["failure"]["code"], "returned_by_bank");
}

#[tokio::test]
async fn given_a_paid_payout_when_its_bank_is_told_to_return_it_then_it_comes_back_once() {
    let house = House::open().await;
    house.charged("order-1", 1000).await;
    let id = house.payout("payout-1", 400, "ba_account").await.expect(201)["id"].as_str().unwrap().to_owned();
    let back = format!("/control/payouts/{id}/return");
    house.client.post(&back, json!({})).await.refused(409, "wrong_status");
    house.settle().await;
    assert_eq!(house.client.post(&back, json!({})).await.expect(200)["status"], "returned");
    house.client.post(&back, json!({})).await.refused(409, "wrong_status");
    assert_eq!(house.balance("merchant").await, 1000);
}
