//! Everything that can grow has a bound, and a clear answer at it.

use sandbox::{Bounds, Sandbox, Settings};
use secrecy::SecretString;
use serde_json::json;

use crate::harness::{House, charge, settings};

async fn bounded(bounds: Bounds) -> House {
    House::with(Settings { bounds, ..settings() }).await
}

#[tokio::test]
async fn given_full_books_when_something_new_is_ordered_then_it_is_refused_and_the_old_goes_on() {
    let house = bounded(Bounds { objects_max: 2, ..Bounds::default() }).await;
    house.charged("order-1", 100).await;
    house.charge("order-2", 100, "pm_card").await.expect(201);
    house.charge("order-3", 100, "pm_card").await.refused(507, "books_full");
    house.payout("payout-1", 50, "ba_account").await.refused(507, "books_full");
    house.charge("order-2", 100, "pm_card").await.expect(200);
    assert_eq!(house.status("/v1/charges/by-reference/order-1").await, "succeeded");
}

#[tokio::test]
async fn given_a_full_file_when_something_new_is_ordered_then_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds { books_bytes_max: 300, ..Bounds::default() };
    let books = Some(folder.path().join("books"));
    let house = House::with(Settings { bounds, books, ..settings() }).await;
    house.charge("order-1", 100, "pm_card").await.expect(201);
    house.charge("order-2", 100, "pm_card").await.refused(507, "books_full");
}

#[tokio::test]
async fn given_a_short_queue_when_many_come_at_once_then_each_is_done_or_told_that_it_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds { queue_max: 1, ..Bounds::default() };
    let books = Some(folder.path().join("books"));
    let house = House::with(Settings { bounds, books, ..settings() }).await;
    let mut senders = tokio::task::JoinSet::new();
    for number in 0..64 {
        let client = house.client.clone();
        let order = charge(&format!("order-{number}"), 100, "pm_card");
        senders.spawn(async move { client.post("/v1/charges", order).await });
    }
    let mut made = 0;
    for answer in senders.join_all().await {
        if answer.status == 201 {
            made += 1;
        } else {
            answer.refused(503, "overloaded");
        }
    }
    let charges = house.client.get("/v1/charges?limit=200").await.expect(200);
    assert_eq!(charges["items"].as_array().unwrap().len(), made);
}

#[tokio::test]
async fn given_too_many_faults_when_another_is_asked_for_then_it_is_refused() {
    let house = bounded(Bounds { faults_max: 1, ..Bounds::default() }).await;
    let fault = json!({ "fault": "slow", "operation": "create_refund" });
    house.client.post("/control/faults", fault.clone()).await.expect(200);
    house.client.post("/control/faults", fault).await.refused(409, "too_many_faults");
}

#[tokio::test]
async fn given_settings_that_make_no_sense_when_it_starts_then_it_refuses() {
    let mut queue = settings();
    queue.bounds.queue_max = 0;
    let mut disorder = settings();
    disorder.disorder.repeat_percent = 101;
    let key = Settings::new(SecretString::from("short"));
    for settings in [queue, disorder, key] {
        assert!(matches!(Sandbox::start(settings).await, Err(sandbox::StartError::Settings(_))));
    }
}
