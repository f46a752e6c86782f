//! One transaction: documents and checkpoints together, or nothing.

use events::{LogId, Service, stream::Partition};
use projections::{
    Advance, Batch, Checkpoint, Collection, DocumentKey, Index, Json, ProjectionId, ReadStore, StoreError,
    Write, builds,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::engines::over_every_engine;

const THINGS: Collection<Value> = Collection::new("things", &[Index { name: "by_size", fields: &["size"] }]);
const OTHERS: Collection<Value> = Collection::new("others", &[]);
const PARTITION: Partition = Partition { service: Service::Jobs, number: 0 };

fn projection() -> ProjectionId {
    ProjectionId::new("sample", 1)
}

fn thing(key: &str) -> DocumentKey {
    DocumentKey { collection: "things", key: key.into() }
}

fn write(key: &str, value: Value) -> Write {
    Write { document: thing(key), value: (value != Value::Null).then(|| Json::of(&value).unwrap()) }
}

fn step(log: u128, from: Option<i64>, to: i64) -> Advance {
    let checkpoint = |offset| Checkpoint { log: LogId(Uuid::from_u128(log)), offset };
    Advance { partition: PARTITION, from: from.map(checkpoint), to: checkpoint(to) }
}

fn batch(writes: Vec<Write>, advances: Vec<Advance>, unchanged: Vec<Write>) -> Batch {
    Batch { projection: projection(), writes, advances, unchanged }
}

async fn prepared(store: &dyn ReadStore) {
    store.prepare(&projection(), &[THINGS.spec, OTHERS.spec]).await.unwrap();
}

async fn value(store: &dyn ReadStore, key: &str) -> Option<Value> {
    let mut found = store.get_many(&projection(), &[thing(key)]).await.unwrap();
    found.pop().unwrap().map(|json| json.parse().unwrap())
}

async fn a_stale_checkpoint_is_fenced_and_nothing_is_written(store: &dyn ReadStore) {
    prepared(store).await;
    assert_eq!(store.checkpoint(&projection(), PARTITION).await, Ok(None));
    store.commit(batch(vec![write("a", json!({"size": 1}))], vec![step(7, None, 5)], vec![])).await.unwrap();
    for stale in [step(7, None, 9), step(7, Some(4), 9), step(8, Some(5), 9)] {
        let late = batch(vec![write("a", json!({"size": 2})), write("b", json!({}))], vec![stale], vec![]);
        assert_eq!(store.commit(late).await, Err(StoreError::Fenced));
    }
    assert_eq!(value(store, "a").await, Some(json!({"size": 1})));
    assert_eq!(value(store, "b").await, None);
    let checkpoint = store.checkpoint(&projection(), PARTITION).await.unwrap();
    assert_eq!(checkpoint, Some(step(7, None, 5).to));
    store.commit(batch(vec![], vec![step(7, Some(5), 9)], vec![])).await.unwrap();
}

async fn one_stale_checkpoint_among_several_stops_them_all(store: &dyn ReadStore) {
    prepared(store).await;
    let other = Partition { service: Service::Identity, number: 3 };
    let stale = Advance { partition: other, ..step(7, Some(1), 2) };
    assert_eq!(
        store.commit(batch(vec![], vec![step(7, None, 1), stale], vec![])).await,
        Err(StoreError::Fenced)
    );
    assert_eq!(store.checkpoint(&projection(), PARTITION).await, Ok(None));
}

async fn what_had_to_be_unchanged_is_compared_as_json(store: &dyn ReadStore) {
    prepared(store).await;
    store.commit(batch(vec![write("a", json!({"size": 1, "x": [1, 2]}))], vec![], vec![])).await.unwrap();
    let same = Write { document: thing("a"), value: Some(Json::from_text(r#"{ "x":[1,2], "size":1 }"#)) };
    store
        .commit(batch(vec![write("b", json!({}))], vec![], vec![same, write("z", Value::Null)]))
        .await
        .unwrap();
    for changed in
        [write("a", json!({"size": 2, "x": [1, 2]})), write("a", Value::Null), write("z", json!({}))]
    {
        let late = batch(vec![write("c", json!({}))], vec![], vec![changed]);
        assert_eq!(store.commit(late).await, Err(StoreError::Fenced));
    }
    assert_eq!(value(store, "b").await, Some(json!({})));
    assert_eq!(value(store, "c").await, None);
}

async fn what_is_written_only_if_it_was_unchanged_is_compared_as_json_as_well(store: &dyn ReadStore) {
    prepared(store).await;
    let exchange = async |from: Write, to: Write| store.commit(batch(vec![to], vec![], vec![from])).await;
    let (none, one, two) = (
        write("a", Value::Null),
        write("a", json!({"x": [1, 2], "size": 1})),
        write("a", json!({"size": 2})),
    );
    assert_eq!(exchange(none.clone(), one.clone()).await, Ok(()));
    assert_eq!(exchange(none.clone(), two.clone()).await, Err(StoreError::Fenced), "it is there");
    assert_eq!(exchange(two.clone(), none.clone()).await, Err(StoreError::Fenced), "it is another");
    let same = Write { document: thing("a"), value: Some(Json::from_text(r#"{ "size":1, "x":[1,2] }"#)) };
    assert_eq!(exchange(same, two.clone()).await, Ok(()));
    assert_eq!(exchange(one, none.clone()).await, Err(StoreError::Fenced), "it is another by now");
    assert_eq!(value(store, "a").await, Some(json!({"size": 2})));
    assert_eq!(exchange(two, none.clone()).await, Ok(()));
    assert_eq!(exchange(none.clone(), none).await, Ok(()), "it is not there, and is not to be");
    assert_eq!(value(store, "a").await, None);
}

async fn a_batch_with_an_unknown_collection_is_refused_whole(store: &dyn ReadStore) {
    prepared(store).await;
    let stray = Write {
        document: DocumentKey { collection: "nowhere", key: "a".into() },
        value: Some(Json::from_text("{}")),
    };
    let refused = store.commit(batch(vec![write("a", json!({})), stray], vec![], vec![])).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(value(store, "a").await, None);
}

async fn a_document_that_is_no_document_takes_the_whole_batch_with_it(store: &dyn ReadStore) {
    prepared(store).await;
    let broken = Write { document: thing("b"), value: Some(Json::from_text("[1")) };
    let refused =
        store.commit(batch(vec![write("a", json!({})), broken], vec![step(7, None, 1)], vec![])).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(value(store, "a").await, None);
    assert_eq!(store.checkpoint(&projection(), PARTITION).await, Ok(None));
}

async fn batches_that_come_at_once_are_each_carried_out_or_not_for_themselves(store: &dyn ReadStore) {
    prepared(store).await;
    let broken = Write { document: thing("c"), value: Some(Json::from_text("[1")) };
    for round in 1..=10 {
        let small = || write("a", json!({ "size": round }));
        let (first, fenced, second, refused, third) = tokio::join!(
            store.commit(batch(
                vec![small()],
                vec![step(7, (round > 1).then_some(round - 1), round)],
                vec![]
            )),
            store.commit(batch(vec![write("b", json!({}))], vec![], vec![write("z", json!({}))])),
            store.commit(batch(vec![write("d", json!({ "size": round }))], vec![], vec![])),
            store.commit(batch(vec![write("b", json!({})), broken.clone()], vec![], vec![])),
            store.commit(batch(vec![write("e", json!({ "size": round }))], vec![], vec![])),
        );
        assert_eq!((first, second, third), (Ok(()), Ok(()), Ok(())));
        assert_eq!(fenced, Err(StoreError::Fenced));
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        for key in ["a", "d", "e"] {
            assert_eq!(value(store, key).await, Some(json!({ "size": round })));
        }
        assert_eq!(value(store, "b").await, None);
        assert_eq!(store.checkpoint(&projection(), PARTITION).await, Ok(Some(step(7, None, round).to)));
    }
}

async fn many_documents_come_in_the_order_asked_for(store: &dyn ReadStore) {
    prepared(store).await;
    let other = DocumentKey { collection: "others", key: "a".into() };
    let stored = Write { document: other.clone(), value: Some(Json::from_text(r#"{"of":"others"}"#)) };
    let writes = vec![write("a", json!({"n": 1})), write("b", json!({"n": 2})), stored];
    store.commit(batch(writes, vec![], vec![])).await.unwrap();
    let keys = [thing("b"), thing("none"), other, thing("a"), thing("b")];
    let found = store.get_many(&projection(), &keys).await.unwrap();
    let found: Vec<Option<&str>> = found.iter().map(|json| json.as_ref().map(Json::text)).collect();
    let (a, b) = (Some(r#"{"n":1}"#), Some(r#"{"n":2}"#));
    assert_eq!(found, [b, None, Some(r#"{"of":"others"}"#), a, b]);
}

async fn a_dropped_projection_leaves_nothing_and_can_be_made_again(store: &dyn ReadStore) {
    prepared(store).await;
    store.commit(batch(vec![write("a", json!({"size": 1}))], vec![step(7, None, 5)], vec![])).await.unwrap();
    store.drop_projection(&projection()).await.unwrap();
    assert!(store.get_many(&projection(), &[thing("a")]).await.is_err());
    prepared(store).await;
    assert_eq!(value(store, "a").await, None);
    assert_eq!(store.checkpoint(&projection(), PARTITION).await, Ok(None));
}

async fn versions_of_a_projection_do_not_see_each_other(store: &dyn ReadStore) {
    prepared(store).await;
    let next = ProjectionId { version: 2, ..projection() };
    store.prepare(&next, &[THINGS.spec]).await.unwrap();
    store.commit(batch(vec![write("a", json!({"size": 1}))], vec![step(7, None, 5)], vec![])).await.unwrap();
    assert_eq!(store.get_many(&next, &[thing("a")]).await, Ok(vec![None]));
    assert_eq!(store.checkpoint(&next, PARTITION).await, Ok(None));
    store.drop_projection(&next).await.unwrap();
    assert_eq!(value(store, "a").await, Some(json!({"size": 1})));
}

async fn builds_of_a_version_do_not_see_each_other(store: &dyn ReadStore) {
    prepared(store).await;
    let rebuilt = projection().with_build(2);
    store.prepare(&rebuilt, &[THINGS.spec]).await.unwrap();
    store.commit(batch(vec![write("a", json!({"size": 1}))], vec![step(7, None, 5)], vec![])).await.unwrap();
    let beside = batch(vec![write("a", json!({"size": 2}))], vec![step(7, None, 3)], vec![]);
    store.commit(Batch { projection: rebuilt.clone(), ..beside }).await.unwrap();
    let log = LogId(Uuid::from_u128(7));
    assert_eq!(store.checkpoint(&projection(), PARTITION).await, Ok(Some(Checkpoint { log, offset: 5 })));
    assert_eq!(store.checkpoint(&rebuilt, PARTITION).await, Ok(Some(Checkpoint { log, offset: 3 })));
    assert_eq!(store.origins().await, Ok(vec![(projection(), log), (rebuilt.clone(), log)]));
    store.drop_projection(&projection()).await.unwrap();
    let kept = store.get_many(&rebuilt, &[thing("a")]).await.unwrap();
    assert_eq!(kept, [Json::of(&json!({"size": 2})).ok()]);
}

async fn what_is_known_of_builds_can_be_kept_without_preparing_anything(store: &dyn ReadStore) {
    let key = builds::alias_key("sample");
    assert_eq!(store.get_many(&builds::id(), std::slice::from_ref(&key)).await, Ok(vec![None]));
    let writes = vec![Write { document: key.clone(), value: Json::of(&json!({"version": 1})).ok() }];
    let unchanged = vec![Write { document: key.clone(), value: None }];
    let first = Batch { projection: builds::id(), writes, advances: vec![], unchanged };
    store.commit(first.clone()).await.unwrap();
    assert_eq!(store.commit(first).await, Err(StoreError::Fenced));
    let scanned = store.scan(&builds::id(), builds::ALIASES.spec.name, None, 10).await.unwrap();
    assert_eq!(scanned.len(), 1);
}

async fn another_declaration_of_the_same_version_is_refused(store: &dyn ReadStore) {
    prepared(store).await;
    prepared(store).await;
    let other: Collection<Value> =
        Collection::new("things", &[Index { name: "by_weight", fields: &["weight"] }]);
    let refused = store.prepare(&projection(), &[other.spec]).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
}

async fn a_name_that_is_not_plain_never_becomes_sql(store: &dyn ReadStore) {
    for name in ["things; DROP TABLE x", "Things", "", "th\"ings"] {
        let collection: Collection<Value> = Collection::new(name, &[]);
        let refused = store.prepare(&projection(), &[collection.spec]).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{name}: {refused:?}");
    }
    let bad = ProjectionId::new("x; y", 1);
    assert!(matches!(store.prepare(&bad, &[THINGS.spec]).await, Err(StoreError::Refused(_))));
    let hostile = "a'; DROP TABLE sample_v1__things; --";
    prepared(store).await;
    store.commit(batch(vec![write(hostile, json!({"size": hostile}))], vec![], vec![])).await.unwrap();
    assert_eq!(value(store, hostile).await, Some(json!({"size": hostile})));
}

over_every_engine! {
    a_stale_checkpoint_is_fenced_and_nothing_is_written,
    one_stale_checkpoint_among_several_stops_them_all,
    what_had_to_be_unchanged_is_compared_as_json,
    what_is_written_only_if_it_was_unchanged_is_compared_as_json_as_well,
    a_batch_with_an_unknown_collection_is_refused_whole,
    a_document_that_is_no_document_takes_the_whole_batch_with_it,
    batches_that_come_at_once_are_each_carried_out_or_not_for_themselves,
    many_documents_come_in_the_order_asked_for,
    a_dropped_projection_leaves_nothing_and_can_be_made_again,
    versions_of_a_projection_do_not_see_each_other,
    builds_of_a_version_do_not_see_each_other,
    what_is_known_of_builds_can_be_kept_without_preparing_anything,
    another_declaration_of_the_same_version_is_refused,
    a_name_that_is_not_plain_never_becomes_sql,
}
