//! Bad input is refused with a code, and changes nothing.

use http::Method;
use serde_json::json;

use crate::harness::{House, charge};

#[tokio::test]
async fn given_orders_that_make_no_sense_when_they_are_sent_then_each_is_refused() {
    let house = House::open().await;
    let with = |field: &str, value: serde_json::Value| {
        let mut order = charge("order-1", 100, "pm_card");
        order[field] = value;
        order
    };
    let amount = |amount: serde_json::Value| with("amount", json!({ "amount": amount, "currency": "GHS" }));
    let refused = [
        amount(json!("0")),
        amount(json!("-1")),
        amount(json!("1.5")),
        amount(json!("1e3")),
        amount(json!("007")),
        amount(json!("+7")),
        amount(json!("1000000000001")),
        amount(json!("99999999999999999999")),
        amount(json!(100)),
        with("amount", json!({ "amount": "1", "currency": "XXX" })),
        with("amount", json!({ "amount": "1", "currency": "ghs" })),
        with("amount", json!({ "amount": "1", "currency": "GHS", "vat": "1" })),
        with("reference", json!("")),
        with("reference", json!("a b")),
        with("reference", json!("a".repeat(129))),
        with("capture", json!("later")),
        with("color", json!("red")),
        json!({}),
    ];
    for order in refused {
        house.client.post("/v1/charges", order).await.refused(422, "invalid");
    }
    assert_eq!(house.client.get("/v1/charges").await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn given_a_body_that_is_no_json_or_too_large_when_it_is_sent_then_it_is_refused() {
    let house = House::open().await;
    let send = async |body: &str| house.client.send(Method::POST, "/v1/charges", body).await.unwrap();
    send("{").await.refused(400, "malformed");
    send(&format!("{{\"reference\":\"{}\"}}", "a".repeat(70_000))).await.refused(413, "malformed");
}

#[tokio::test]
async fn given_a_path_that_is_none_when_it_is_asked_then_it_is_not_found_and_a_wrong_method_is_said() {
    let house = House::open().await;
    house.client.get("/v2/charges").await.refused(404, "not_found");
    house.client.delete("/v1/charges").await.refused(405, "method_not_allowed");
}
