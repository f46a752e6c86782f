//! Webhooks are repeated, delayed and reordered as the seed says.

use std::collections::BTreeMap;

use sandbox::Disorder;
use serde_json::json;

use crate::harness::{House, settings};

const COUNT: usize = 24;
/// Events and repetitions under these seeds.
const LETTERS_7: usize = COUNT + 8;
const LETTERS_8: usize = COUNT + 15;
/// The references in the order in which their events arrived for the first time, and how often each did.
async fn arrivals(disorder: Disorder, letters: usize) -> (Vec<usize>, BTreeMap<usize, usize>) {
    let mut settings = settings();
    settings.disorder = disorder;
    let house = House::with(settings).await;
    for number in 0..COUNT {
        house.charge(&number.to_string(), 100, "pm_card").await.expect(201);
    }
    house.settle().await;
    let (mut order, mut times) = (Vec::new(), BTreeMap::new());
    for letter in house.inbox.wait_for(letters).await {
        let number: usize = letter.body["data"]["reference"].as_str().unwrap().parse().unwrap();
        let seen: &mut usize = times.entry(number).or_default();
        *seen += 1;
        if *seen == 1 {
            order.push(number);
        }
    }
    (order, times)
}

#[tokio::test]
async fn given_delays_when_events_happen_at_once_then_some_overtake_others_and_all_arrive() {
    let disorder = Disorder { seed: 7, delay_percent: 50, delay_ms_max: 600, repeat_percent: 0 };
    let (order, times) = arrivals(disorder, COUNT).await;
    assert_ne!(order, (0..COUNT).collect::<Vec<_>>());
    assert!(times.len() == COUNT && times.values().all(|times| *times == 1));
}

#[tokio::test]
async fn given_repetitions_when_events_happen_then_each_arrives_twice() {
    let disorder = Disorder { seed: 7, repeat_percent: 100, ..Disorder::default() };
    let (_, times) = arrivals(disorder, 2 * COUNT).await;
    assert!(times.len() == COUNT && times.values().all(|times| *times == 2), "{times:?}");
}

#[tokio::test]
async fn given_one_seed_when_it_is_used_again_then_the_same_events_are_repeated_and_another_seed_has_others()
{
    let disorder = |seed| Disorder { seed, repeat_percent: 50, ..Disorder::default() };
    let repeated = async |seed, letters| arrivals(disorder(seed), letters).await.1;
    // Of 24 events these seeds repeat 8 and 15, as they always will.
    let (seven, again, eight) =
        (repeated(7, LETTERS_7).await, repeated(7, LETTERS_7).await, repeated(8, LETTERS_8).await);
    assert_eq!(seven, again);
    assert_ne!(seven, eight);
}

#[tokio::test]
async fn given_a_token_that_repeats_when_it_is_charged_then_its_event_arrives_three_times() {
    let house = House::open().await;
    house.charge("order-1", 100, "pm_duplicate_event").await.expect(201);
    house.settle().await;
    let letters = house.inbox.wait_for(3).await;
    assert!(letters.iter().all(|letter| letter.id() == letters[0].id() && letter.raw == letters[0].raw));
}

#[tokio::test]
async fn given_a_disorder_that_makes_no_sense_when_it_is_set_then_it_is_refused() {
    let house = House::open().await;
    let refused = [
        json!({ "seed": 1, "repeat_percent": 101, "delay_percent": 0, "delay_ms_max": 0 }),
        json!({ "seed": 1, "repeat_percent": 0, "delay_percent": 0, "delay_ms_max": 60_001 }),
        json!({ "seed": 1 }),
    ];
    for disorder in refused {
        house.client.put("/control/disorder", disorder).await.refused(422, "invalid");
    }
}
