//! Pages: each document exactly once, whatever is written meanwhile.

use std::collections::BTreeMap;

use projections::{Cursor, Filter, Order, Query, ReadStore, Scalar};
use serde_json::{Value, json};

use crate::{
    engines::over_every_engine,
    store_queries::{put, query},
};

fn row(number: usize) -> (String, Value) {
    let key = format!("{:03}", (number * 37) % 200);
    let value = json!({
        "name": key, "kind": if number.is_multiple_of(3) { "x" } else { "y" }, "rank": number / 7,
        "tags": ["all", format!("tag{}", number % 5)], "label": "l",
    });
    (key, value)
}

async fn write(store: &dyn ReadStore, numbers: std::ops::Range<usize>) {
    let rows: Vec<_> = numbers.map(row).collect();
    put(store, rows.iter().map(|(key, value)| (key.as_str(), value.clone()))).await;
}

/// How often each name was seen, page by page; between two pages `meanwhile` is called.
async fn walk(
    store: &dyn ReadStore,
    query: Query,
    mut meanwhile: impl AsyncFnMut(usize),
) -> (Vec<(i64, String)>, usize) {
    let (mut seen, mut query, mut pages) = (Vec::new(), query, 0);
    loop {
        let page = store.find(query.clone()).await.unwrap();
        assert!(page.items.len() <= query.limit);
        for item in &page.items {
            let value: Value = item.parse().unwrap();
            seen.push((value["rank"].as_i64().unwrap(), value["name"].as_str().unwrap().to_owned()));
        }
        pages += 1;
        if page.next.is_none() {
            return (seen, pages);
        }
        assert_eq!(page.items.len(), query.limit);
        query.after = page.next;
        meanwhile(pages).await;
    }
}

async fn pages_visit_every_document_once_in_order(store: &dyn ReadStore) {
    write(store, 0..200).await;
    let filters = [
        vec![],
        vec![Filter::Is("kind", "y".into())],
        vec![Filter::Has("tags", "all".into()), Filter::Is("kind", "y".into())],
    ];
    for filters in filters {
        for order in [Order::ascending("rank"), Order::descending("rank")] {
            let expected_count = (0..200).filter(|n| filters.is_empty() || n % 3 != 0).count();
            for limit in [1, 7, 199, 200] {
                let query = Query { limit, ..query(filters.clone(), order) };
                let (seen, _) = walk(store, query, async |_| {}).await;
                let mut sorted = seen.clone();
                sorted.sort();
                sorted.dedup();
                if order.descending {
                    sorted.reverse();
                }
                assert_eq!(seen, sorted);
                assert_eq!(seen.len(), expected_count);
            }
        }
    }
}

async fn documents_that_stay_are_seen_once_while_others_come(store: &dyn ReadStore) {
    write(store, 0..100).await;
    for order in [Order::ascending("rank"), Order::descending("rank")] {
        let query = Query { limit: 9, ..query(vec![Filter::Is("kind", "x".into())], order) };
        let (seen, pages) = walk(store, query, async |page| {
            write(store, (100 + page)..(101 + page)).await;
        })
        .await;
        assert!(pages > 3);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        seen.into_iter().for_each(|(_, name)| *counts.entry(name).or_default() += 1);
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
        let stayed = (0..100).filter(|n| n % 3 == 0).map(|n| row(n).0);
        assert!(stayed.into_iter().all(|name| counts.contains_key(&name)));
    }
}

async fn a_cursor_need_not_point_at_a_document_that_is_still_there(store: &dyn ReadStore) {
    write(store, 0..20).await;
    let after = Some(Cursor { value: Scalar::Integer(1), key: "nothing has this key".into() });
    let (seen, _) =
        walk(store, Query { after, ..query(vec![], Order::ascending("rank")) }, async |_| {}).await;
    assert!(seen.iter().all(|(rank, _)| *rank >= 2));
    assert_eq!(seen.len(), (0..20).filter(|n| n / 7 >= 2).count());
}

over_every_engine! {
    pages_visit_every_document_once_in_order,
    documents_that_stay_are_seen_once_while_others_come,
    a_cursor_need_not_point_at_a_document_that_is_still_there,
}
