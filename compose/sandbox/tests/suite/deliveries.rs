//! A webhook is sent until it is answered 2xx, within bounds; then it is visible as undelivered.

use sandbox::{Delivery, Sandbox, WebhookTarget};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::harness::{API_KEY, Client, House, Inbox, SECRET, charge, eventually, settings};

async fn events(client: &Client, delivery: &str) -> Vec<Value> {
    let page = client.get(&format!("/v1/events?delivery={delivery}")).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

async fn one_event(client: &Client, delivery: &str) -> Value {
    let look = async || Some(events(client, delivery).await).filter(|found| found.len() == 1);
    eventually(delivery, look).await.remove(0)
}

#[tokio::test]
async fn given_a_receiver_in_trouble_when_it_recovers_then_the_event_arrives_with_the_same_bytes() {
    let house = House::open().await;
    house.inbox.answer([500, 503, 302, 404]);
    house.charged("order-1", 100).await;
    let letters = house.inbox.wait_for(5).await;
    assert_eq!(letters[4].answered, 204);
    assert!(letters.iter().all(|letter| letter.raw == letters[0].raw && letter.is_signed_with(SECRET)));
    let event = one_event(&house.client, "delivered").await;
    assert_eq!(event["id"], letters[0].id());
    assert_eq!(event["body"], letters[0].body);
    assert_eq!(house.inbox.letters().len(), 5);
}

#[tokio::test]
async fn given_a_receiver_that_never_takes_it_when_the_attempts_are_over_then_it_is_undelivered_until_resent()
{
    let mut settings = settings();
    settings.delivery = Delivery { attempts_max: 3, ..settings.delivery };
    let house = House::with(settings).await;
    house.inbox.answer([500, 500, 418]);
    house.charged("order-1", 100).await;
    let event = one_event(&house.client, "undelivered").await;
    assert_eq!(event["undelivered_because"], "3 attempts, the last one: answered 418");
    assert_eq!(house.inbox.letters().len(), 3);
    assert_eq!(house.client.get("/control").await.expect(200)["events_undelivered"], 1);
    let again = format!("/v1/events/{}/resend", event["id"].as_str().unwrap());
    house.client.post(&again, json!({})).await.expect(200);
    one_event(&house.client, "delivered").await;
    house.inbox.wait_for(4).await;
}

#[tokio::test]
async fn given_no_receiver_at_all_when_one_is_named_then_what_waited_arrives() {
    let mut settings = settings();
    settings.timing.answer_delay_ms = 0;
    let sandbox = Sandbox::start(settings).await.unwrap();
    let client = Client::new(sandbox.address(), API_KEY);
    for number in 0..3 {
        let order = charge(&format!("order-{number}"), 100, "pm_card");
        client.post("/v1/charges", order).await.expect(201);
    }
    let pending = async || Some(events(&client, "pending").await).filter(|found| found.len() == 3);
    eventually("three pending events", pending).await;
    let inbox = Inbox::open().await;
    sandbox.deliver_to(WebhookTarget::new(&inbox.url(), vec![SecretString::from(SECRET)]).unwrap());
    inbox.wait_for(3).await;
    let elsewhere = Inbox::open().await;
    client.put("/control/webhook", json!({ "url": elsewhere.url() })).await.expect(200);
    client.post("/v1/charges", charge("order-3", 100, "pm_card")).await.expect(201);
    assert_eq!(elsewhere.wait_for(1).await[0].body["data"]["reference"], "order-3");
    sandbox.stop().await;
}

#[tokio::test]
async fn given_a_receiver_that_cannot_be_reached_when_it_is_tried_then_it_says_so() {
    let mut settings = settings();
    settings.delivery = Delivery { attempts_max: 2, ..settings.delivery };
    let house = House::with(settings).await;
    // Port 9 of this machine: nobody listens there.
    house.client.put("/control/webhook", json!({ "url": "http://127.0.0.1:9/" })).await.expect(200);
    house.charged("order-1", 100).await;
    let event = one_event(&house.client, "undelivered").await;
    assert!(
        event["undelivered_because"].as_str().unwrap().starts_with("2 attempts, the last one: "),
        "{event}"
    );
    house.charge("order-2", 100, "pm_card").await.expect(201);
}
