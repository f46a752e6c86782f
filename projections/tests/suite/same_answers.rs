//! Two engines that were fed the same give the same documents, in the same order, page by page, whatever is asked.

use std::{collections::BTreeSet, sync::Arc};

use projections::{
    Batch, CollectionSpec, DocumentKey, Filter, Index, Json, Order, Projection, Query, ReadStore, Scalar,
    Write,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;

use crate::{
    engines,
    generator::{interleaved, marketplace},
    store_queries::scans_and_sorts_nothing,
    story::project,
};

/// Queries asked of each index.
const QUERIES: usize = 25;

/// Everything that a collection holds.
async fn all(
    store: &dyn ReadStore,
    projection: &dyn Projection,
    spec: &CollectionSpec,
) -> Vec<(String, Json)> {
    let (mut found, id) = (Vec::new(), projection.id());
    loop {
        let after = found.last().map(|(key, _): &(String, Json)| key.clone());
        let page = store.scan(&id, spec.name, after, 7).await.unwrap();
        if page.is_empty() {
            return found;
        }
        found.extend(page);
    }
}

/// A scalar that some document has in this field, or one that none has.
fn some_value(random: &mut StdRng, documents: &[Value], field: &str) -> Scalar {
    let mut values = BTreeSet::from([Scalar::from("nobody has this"), Scalar::from(3)]);
    for value in documents.iter().map(|document| &document[field]) {
        let elements = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        values.extend(elements.iter().filter_map(|value| serde_json::from_value(value.clone()).ok()));
    }
    let place = random.random_range(0..values.len());
    values.into_iter().nth(place).unwrap()
}

/// A query that `index` can serve, with narrowing filters at times.
fn some_query(
    random: &mut StdRng,
    projection: &dyn Projection,
    spec: &CollectionSpec,
    index: &Index,
    documents: &[Value],
) -> Query {
    let (order, leading) = index.fields.split_last().unwrap();
    let mut filters: Vec<Filter> = Vec::new();
    let mut add = |random: &mut StdRng, field: &'static str, pinned: bool| {
        let value = some_value(random, documents, field);
        filters.push(match (spec.arrays.contains(&field), pinned, random.random_range(0..3)) {
            (true, ..) => Filter::Has(field, value),
            (false, true, _) | (false, false, 0) => Filter::Is(field, value),
            (false, false, 1) => Filter::AtLeast(field, value),
            (false, false, _) => Filter::AtMost(field, value),
        });
    };
    for field in leading {
        add(random, field, true);
    }
    // A field that is pinned to one value and asked for another finds nothing.
    let free = |field: &&&'static str| spec.arrays.contains(*field) || !leading.contains(*field);
    let fields = spec.indexes.iter().flat_map(|index| index.fields).filter(free);
    let fields: Vec<&'static str> = fields.copied().collect();
    for _ in 0..random.random_range(0..3) {
        let field = fields[random.random_range(0..fields.len())];
        add(random, field, false);
    }
    let order = Order { field: order, descending: random.random_bool(0.5) };
    let limit = random.random_range(1..6);
    Query { projection: projection.id(), collection: spec.name, filters, order, after: None, limit }
}

async fn assert_same_pages(one: &dyn ReadStore, other: &dyn ReadStore, mut query: Query) -> usize {
    let mut found = 0;
    loop {
        let (expected, page) =
            (one.find(query.clone()).await.unwrap(), other.find(query.clone()).await.unwrap());
        assert_eq!(page, expected, "{query:?}");
        found += page.items.len();
        // What contradicts itself finds nothing, and how the server finds that does not matter.
        if !page.items.is_empty() {
            let plan = other.explain(query.clone()).await.unwrap();
            assert!(scans_and_sorts_nothing(&plan), "{query:?}: {plan}");
        }
        query.after = page.next;
        if query.after.is_none() {
            return found;
        }
    }
}

async fn assert_same_answers(
    projection: &dyn Projection,
    one: &dyn ReadStore,
    other: &dyn ReadStore,
    seed: u64,
) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let mut found = 0;
    for spec in projection.collections() {
        let documents = all(one, projection, spec).await;
        assert_eq!(all(other, projection, spec).await, documents, "{} {}", projection.name(), spec.name);
        let documents: Vec<Value> = documents.iter().map(|(_, json)| json.parse().unwrap()).collect();
        for index in spec.indexes {
            for _ in 0..QUERIES {
                let query = some_query(&mut random, projection, spec, index, &documents);
                found += assert_same_pages(one, other, query).await;
            }
        }
    }
    found
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn sqlite_and_mongodb_answer_every_query_alike() {
    let mut found = 0;
    for seed in 0..2 {
        let events = interleaved(&marketplace(seed, 8), seed + 1);
        let (sqlite, mongodb) = (engines::sqlite(), engines::mongodb());
        for projection in projections::all() {
            for store in [&sqlite.store, &mongodb.store] {
                project(Arc::clone(&projection), Arc::clone(store), &events, &[1, 7, 30]).await;
            }
            found +=
                assert_same_answers(projection.as_ref(), sqlite.store.as_ref(), mongodb.store.as_ref(), seed)
                    .await;
        }
        mongodb.clear().await;
    }
    assert!(found > 300, "only {found} documents were found: this test has gone blind");
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn bytes_that_only_text_keeps_are_the_same_after_a_round_trip() {
    let (sqlite, mongodb) = (engines::sqlite(), engines::mongodb());
    let texts = [
        r#"{"z":1,"a":2,"$set":{"a.b":1},"":0}"#,
        r#"{"n":18446744073709551615,"f":1.0,"e":1e300,"i":-0.0,"s":"\u0000 é 😀 \ud83d"}"#,
        r#"{ "spaces" : [ 1 , 2 ] }"#,
    ];
    let projection = projections::ProjectionId::new("sample", 1);
    let collection = projections::Collection::<Value>::new("texts", &[]);
    let write = |(number, text): (usize, &&str)| Write {
        document: DocumentKey { collection: "texts", key: format!("$k.{number}\u{0}") },
        value: Some(Json::from_text(*text)),
    };
    for store in [&sqlite.store, &mongodb.store] {
        store.prepare(&projection, &[collection.spec]).await.unwrap();
        let writes: Vec<Write> = texts.iter().enumerate().map(write).collect();
        let keys: Vec<DocumentKey> = writes.iter().map(|write| write.document.clone()).collect();
        let (projection, advances, unchanged) = (projection.clone(), Vec::new(), Vec::new());
        store.commit(Batch { projection: projection.clone(), writes, advances, unchanged }).await.unwrap();
        let found = store.get_many(&projection, &keys).await.unwrap();
        assert!(found.iter().zip(texts).all(|(found, text)| found.as_ref().unwrap().text() == text));
    }
    mongodb.clear().await;
}
