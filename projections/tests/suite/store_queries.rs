//! Queries: every filter, both orders, arrays, all by declared indexes.

use projections::{
    Batch, Collection, DocumentKey, Filter, Index, Json, Order, ProjectionId, Query, ReadStore, Scalar,
    StoreError, Write,
};
use serde_json::{Value, json};

use crate::engines::over_every_engine;

pub(crate) const ROWS: Collection<Value> = Collection::new(
    "rows",
    &[
        Index { name: "by_tag", fields: &["tags", "kind", "rank"] },
        Index { name: "by_kind", fields: &["kind", "rank"] },
        Index { name: "by_rank", fields: &["rank"] },
        Index { name: "by_label", fields: &["label"] },
    ],
)
.with_arrays(&["tags"])
.with_fields(&["size"]);

pub(crate) fn projection() -> ProjectionId {
    ProjectionId::new("sample", 1)
}

pub(crate) async fn put(store: &dyn ReadStore, rows: impl IntoIterator<Item = (&str, Value)>) {
    store.prepare(&projection(), &[ROWS.spec]).await.unwrap();
    let writes = rows.into_iter().map(|(key, value)| Write {
        document: DocumentKey { collection: "rows", key: key.into() },
        value: (value != Value::Null).then(|| Json::of(&value).unwrap()),
    });
    let (writes, advances, unchanged) = (writes.collect(), Vec::new(), Vec::new());
    store.commit(Batch { projection: projection(), writes, advances, unchanged }).await.unwrap();
}

pub(crate) fn query(filters: Vec<Filter>, order: Order) -> Query {
    let (projection, collection) = (projection(), ROWS.spec.name);
    Query { projection, collection, filters, order, after: None, limit: 100 }
}

/// What no engine's plan says of a query that an index serves in its order.
pub(crate) fn scans_and_sorts_nothing(plan: &str) -> bool {
    let says = |line: &str| {
        line.contains("TEMP B-TREE") || line.starts_with("COLLSCAN") || line.split(' ').next() == Some("SORT")
    };
    !plan.lines().any(says)
}

/// The `name` fields of what is found, in order; the engine must do it by `index`, without a scan.
async fn found(store: &dyn ReadStore, index: &str, filters: Vec<Filter>, order: Order) -> String {
    let query = query(filters, order);
    let plan = store.explain(query.clone()).await.unwrap();
    assert!(plan.contains(index) && scans_and_sorts_nothing(&plan), "{plan}");
    let page = store.find(query).await.unwrap();
    let names =
        page.items.iter().map(|json| json.parse::<Value>().unwrap()["name"].as_str().unwrap().to_owned());
    names.collect::<Vec<_>>().join(" ")
}

async fn sample(store: &dyn ReadStore) {
    let row = |name: &str, kind: &str, rank: i64, size: i64, tags: &[&str]| json!({"name": name, "kind": kind, "rank": rank, "size": size, "tags": tags, "label": name.to_uppercase()});
    put(
        store,
        [
            ("1", row("ant", "x", 3, 10, &["red", "small"])),
            ("2", row("bee", "x", 1, 20, &["yellow", "small", "small"])),
            ("3", row("cat", "y", 2, 30, &["red"])),
            ("4", row("dog", "x", 3, 40, &["red", "big"])),
            (
                "5",
                json!({"name": "emu", "kind": null, "rank": 4, "size": 50, "tags": ["red"], "label": "EMU"}),
            ),
            ("6", json!({"name": "fox", "kind": "x", "size": null, "tags": null})),
            (
                "7",
                json!({"name": "gnu", "kind": ["x"], "rank": "4", "size": "35", "tags": "red", "label": 7}),
            ),
        ],
    )
    .await;
}

fn is(field: &'static str, value: impl Into<Scalar>) -> Filter {
    Filter::Is(field, value.into())
}
fn has(value: &str) -> Filter {
    Filter::Has("tags", value.into())
}

async fn equality_finds_what_is_equal_in_both_orders(store: &dyn ReadStore) {
    sample(store).await;
    let (up, down) = (Order::ascending("rank"), Order::descending("rank"));
    assert_eq!(found(store, "by_kind", vec![is("kind", "x")], up).await, "bee ant dog");
    assert_eq!(found(store, "by_kind", vec![is("kind", "x")], down).await, "dog ant bee");
    assert_eq!(found(store, "by_kind", vec![is("kind", "z")], up).await, "");
    assert_eq!(found(store, "by_kind", vec![is("kind", 1)], up).await, "");
}

async fn a_document_without_a_value_matches_nothing_and_is_not_listed(store: &dyn ReadStore) {
    sample(store).await;
    assert_eq!(found(store, "by_rank", vec![], Order::ascending("rank")).await, "bee cat ant dog emu gnu");
    assert_eq!(found(store, "by_kind", vec![is("kind", "x")], Order::ascending("rank")).await, "bee ant dog");
    let small = Filter::AtMost("size", 1000.into());
    assert_eq!(found(store, "by_rank", vec![small], Order::descending("rank")).await, "emu dog ant cat bee");
}

async fn whole_numbers_come_before_text_and_text_by_its_bytes(store: &dyn ReadStore) {
    let names = ["b", "a", "B", "é", "", "10", "9"];
    let rows: Vec<(String, Value)> = (names.iter().enumerate())
        .map(|(n, name)| (n.to_string(), json!({"name": format!("<{name}>"), "label": name})))
        .chain([
            ("x".into(), json!({"name": "-5", "label": -5})),
            ("y".into(), json!({"name": "3", "label": 3})),
        ])
        .collect();
    put(store, rows.iter().map(|(key, value)| (key.as_str(), value.clone()))).await;
    let all = found(store, "by_label", vec![], Order::ascending("label")).await;
    assert_eq!(all, "-5 3 <> <10> <9> <B> <a> <b> <é>");
}

async fn ranges_include_their_ends_and_stay_within_their_kind(store: &dyn ReadStore) {
    sample(store).await;
    let up = Order::ascending("rank");
    let (low, high) = (Filter::AtLeast("rank", 2.into()), Filter::AtMost("rank", 3.into()));
    assert_eq!(found(store, "by_rank", vec![low.clone()], up).await, "cat ant dog emu");
    assert_eq!(found(store, "by_rank", vec![low, high.clone()], up).await, "cat ant dog");
    assert_eq!(found(store, "by_kind", vec![is("kind", "x"), high], up).await, "bee ant dog");
    let size = vec![Filter::AtLeast("size", 20.into()), Filter::AtMost("size", 40.into())];
    assert_eq!(found(store, "by_rank", size, up).await, "bee cat dog");
    assert_eq!(found(store, "by_rank", vec![Filter::AtMost("rank", "5".into())], up).await, "gnu");
}

async fn an_array_is_found_by_each_of_its_elements(store: &dyn ReadStore) {
    sample(store).await;
    let (up, x) = (Order::ascending("rank"), || is("kind", "x"));
    assert_eq!(found(store, "by_tag", vec![has("red"), x()], up).await, "ant dog");
    assert_eq!(found(store, "by_tag", vec![x(), has("small")], up).await, "bee ant");
    assert_eq!(found(store, "by_tag", vec![has("red"), x(), has("small")], up).await, "ant");
    assert_eq!(found(store, "by_tag", vec![has("red"), x(), has("yellow")], up).await, "");
    assert_eq!(found(store, "by_rank", vec![has("red")], Order::descending("rank")).await, "dog ant cat");
}

async fn entries_follow_the_document_when_it_changes_or_goes(store: &dyn ReadStore) {
    sample(store).await;
    let up = Order::ascending("rank");
    put(
        store,
        [
            ("1", json!({"name": "ant", "kind": "x", "rank": 9, "tags": ["blue", "small"]})),
            ("4", Value::Null),
            ("2", json!({"name": "bee", "kind": "y", "rank": 1, "tags": ["small"]})),
        ],
    )
    .await;
    assert_eq!(found(store, "by_tag", vec![has("red"), is("kind", "x")], up).await, "");
    assert_eq!(found(store, "by_tag", vec![has("small"), is("kind", "x")], up).await, "ant");
    assert_eq!(found(store, "by_tag", vec![has("small"), is("kind", "y")], up).await, "bee");
    assert_eq!(found(store, "by_kind", vec![is("kind", "x")], up).await, "ant");
    assert_eq!(found(store, "by_rank", vec![], up).await, "bee cat emu ant gnu");
}

async fn a_query_that_no_index_serves_is_refused(store: &dyn ReadStore) {
    sample(store).await;
    let refused = [
        query(vec![], Order::ascending("size")),
        query(vec![is("kind", "x")], Order::ascending("name")),
        query(vec![is("nothing", "x")], Order::ascending("rank")),
        query(vec![Filter::Has("kind", "x".into())], Order::ascending("rank")),
        query(vec![is("tags", "red")], Order::ascending("rank")),
        Query { limit: 0, ..query(vec![], Order::ascending("rank")) },
        Query { collection: "nowhere", ..query(vec![], Order::ascending("rank")) },
    ];
    for query in refused {
        let answer = store.find(query.clone()).await;
        assert!(matches!(answer, Err(StoreError::Refused(_))), "{query:?}: {answer:?}");
    }
}

over_every_engine! {
    equality_finds_what_is_equal_in_both_orders,
    a_document_without_a_value_matches_nothing_and_is_not_listed,
    whole_numbers_come_before_text_and_text_by_its_bytes,
    ranges_include_their_ends_and_stay_within_their_kind,
    an_array_is_found_by_each_of_its_elements,
    entries_follow_the_document_when_it_changes_or_goes,
    a_query_that_no_index_serves_is_refused,
}
