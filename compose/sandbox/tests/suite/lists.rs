//! Lists are in order of creation, paged, and cut by time: nothing is missed or shown twice.

use serde_json::Value;

use crate::harness::House;

async fn walk(house: &House, path: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut after = String::from("0");
    loop {
        let page = house.client.get(&format!("{path}&after={after}")).await.expect(200);
        found.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return found,
        }
    }
}

#[tokio::test]
async fn given_more_than_a_page_when_the_pages_are_walked_then_each_item_is_there_once() {
    let house = House::open().await;
    for number in 0..7 {
        house.charged(&format!("order-{number}"), 100).await;
    }
    for (limit, path) in [(1, "charges"), (3, "charges"), (7, "entries"), (2, "entries")] {
        let items = walk(&house, &format!("/v1/{path}?limit={limit}")).await;
        let references: Vec<_> = items.iter().map(|item| item["reference"].as_str().unwrap()).collect();
        assert_eq!(references, (0..7).map(|number| format!("order-{number}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn given_days_of_business_when_one_day_is_asked_for_then_only_that_day_is_answered() {
    let house = House::open().await;
    let mut moments = Vec::new();
    for number in 0..3 {
        let charge = house.charge(&format!("order-{number}"), 100, "pm_card").await.expect(201);
        moments.push(charge["created_at"].as_str().unwrap().to_owned());
        house.advance(24 * 3600 * 1000).await;
    }
    let cut = |from: &str, to: &str| format!("/v1/charges?limit=1&from={from}&to={to}");
    let second = walk(&house, &cut(&moments[1], &moments[2])).await;
    assert_eq!(second.len(), 1);
    assert_eq!(second[0]["reference"], "order-1");
    assert_eq!(walk(&house, &format!("/v1/charges?from={}", moments[1])).await.len(), 2);
    assert_eq!(walk(&house, &format!("/v1/charges?to={}", moments[0])).await.len(), 0);
}

#[tokio::test]
async fn given_a_query_that_makes_no_sense_when_it_is_asked_then_it_is_refused() {
    let house = House::open().await;
    for query in ["limit=0", "limit=201", "limit=x", "from=yesterday", "color=red", "delivery=pending"] {
        house.client.get(&format!("/v1/charges?{query}")).await.refused(400, "invalid_query");
    }
    house.client.get("/v1/events?delivery=lost").await.refused(400, "invalid_query");
}
