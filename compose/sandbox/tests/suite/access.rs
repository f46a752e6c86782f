//! Everything but `/health` needs the API key.

use serde_json::json;

use crate::harness::{Client, House, charge, eventually};

#[tokio::test]
async fn given_no_key_or_a_wrong_one_when_anything_is_asked_then_it_is_refused() {
    let house = House::open().await;
    for key in ["", "wrong", "sk_sandbox_0123456789abcdef012345678"] {
        let stranger = Client::new(house.sandbox.address(), key);
        stranger.post("/v1/charges", charge("order-1", 100, "pm_card")).await.refused(401, "unauthenticated");
        stranger.get("/v1/balances").await.refused(401, "unauthenticated");
        stranger.post("/control/clock", json!({ "advance_ms": 1 })).await.refused(401, "unauthenticated");
        assert_eq!(stranger.get("/health").await.expect(200)["status"], "ok");
    }
}

#[tokio::test]
async fn given_a_sandbox_when_it_is_stopped_then_it_is_reached_no_more() {
    let house = House::open().await;
    let (client, sandbox) = (house.client.clone(), house.sandbox);
    client.get("/health").await.expect(200);
    sandbox.stop().await;
    client.send(http::Method::GET, "/health", "").await.unwrap_err();
}

#[tokio::test]
async fn given_a_sandbox_when_its_handle_is_dropped_then_it_stops_by_itself() {
    let house = House::open().await;
    let address = house.sandbox.address();
    drop(house.sandbox);
    let gone = async || Client::new(address, "").send(http::Method::GET, "/health", "").await.err();
    eventually("the sandbox is gone", gone).await;
}
