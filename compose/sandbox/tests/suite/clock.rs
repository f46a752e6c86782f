//! The sandbox has a clock of its own: it can be moved forward, and what is due on the way happens at its time.

use serde_json::json;

use crate::harness::House;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn given_a_clock_when_it_is_moved_then_each_outcome_has_the_time_at_which_it_was_due() {
    let house = House::open().await;
    house.charged("order-1", 1000).await;
    house.payout("payout-1", 400, "ba_returned").await.expect(201);
    // Paid after a minute, and returned three days after that: in one move.
    house.advance(10 * DAY_MS).await;
    let entries = house.client.get("/v1/entries").await.expect(200);
    let at = |place: usize| entries["items"][place]["at"].as_str().unwrap().to_owned();
    let causes: Vec<_> =
        entries["items"].as_array().unwrap().iter().map(|entry| entry["cause"].clone()).collect();
    assert_eq!(causes, ["charge_succeeded", "payout_created", "payout_paid", "payout_returned"]);
    let moment = |text: String| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let (created, paid, returned) = (moment(at(1)), moment(at(2)), moment(at(3)));
    assert_eq!(paid - created, 60_000);
    assert_eq!(returned - paid, 3 * i64::try_from(DAY_MS).unwrap());
}

#[tokio::test]
async fn given_a_clock_when_nobody_moves_it_then_outcomes_come_by_themselves() {
    let mut settings = crate::harness::settings();
    settings.timing.answer_delay_ms = 1;
    let house = House::with(settings).await;
    house.charge("order-1", 1000, "pm_card").await.expect(201);
    assert_eq!(house.inbox.wait_for(1).await[0].kind(), "charge.succeeded");
}

#[tokio::test]
async fn given_a_clock_when_it_shall_go_too_far_or_back_then_it_is_refused() {
    let house = House::open().await;
    let moved = async |body| house.client.post("/control/clock", body).await;
    moved(json!({ "advance_ms": 401 * DAY_MS })).await.refused(422, "clock_too_far");
    moved(json!({ "advance_ms": -1 })).await.refused(422, "invalid");
    moved(json!({ "advance_ms": DAY_MS })).await.expect(200);
    assert_eq!(house.client.get("/control").await.expect(200)["clock_offset_ms"], DAY_MS);
}
