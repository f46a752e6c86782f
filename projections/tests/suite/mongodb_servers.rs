//! What a read store in MongoDB asks of the servers and of what it finds there: refusals in sentences, and what is mended.

use events::{LogId, Service, stream::Partition};
use mongodb::{
    Client, Collection as Documents, Database,
    bson::{Document, doc},
};
use projections::{
    Advance, Batch, Checkpoint, Collection, DocumentKey, Index, Json, ProjectionId, ReadStore, StoreError,
    StoreOptions, Write, open,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{engines, engines::Fixture, members};

const THINGS: Collection<Value> = Collection::new("things", &[Index { name: "by_size", fields: &["size"] }]);
const PARTITION: Partition = Partition { service: Service::Jobs, number: 0 };

pub(crate) fn projection() -> ProjectionId {
    ProjectionId::new("sample", 1)
}

pub(crate) fn write(key: &str, value: &Value) -> Write {
    let document = DocumentKey { collection: "things", key: key.into() };
    Write { document, value: Some(Json::of(value).unwrap()) }
}

pub(crate) fn step(from: Option<i64>, to: i64) -> Vec<Advance> {
    let checkpoint = |offset| Checkpoint { log: LogId(Uuid::from_u128(7)), offset };
    vec![Advance { partition: PARTITION, from: from.map(checkpoint), to: checkpoint(to) }]
}

pub(crate) async fn prepare(store: &dyn ReadStore) -> Result<(), StoreError> {
    store.prepare(&projection(), &[THINGS.spec]).await
}

pub(crate) async fn commit(
    store: &dyn ReadStore,
    writes: Vec<Write>,
    advances: Vec<Advance>,
) -> Result<(), StoreError> {
    store.commit(Batch { projection: projection(), writes, advances, unchanged: Vec::new() }).await
}

pub(crate) async fn reached(store: &dyn ReadStore) -> Option<i64> {
    store.checkpoint(&projection(), PARTITION).await.unwrap().map(|checkpoint| checkpoint.offset)
}

pub(crate) async fn size(store: &dyn ReadStore, key: &str) -> Option<i64> {
    let key = DocumentKey { collection: "things", key: key.into() };
    let found = store.get_many(&projection(), &[key]).await.unwrap().pop().flatten();
    found.map(|json| json.parse::<Value>().unwrap()["size"].as_i64().unwrap())
}

/// The database that the sample lives in, past the store.
pub(crate) async fn behind_its_back(fixture: &Fixture) -> Database {
    let (url, prefix) = fixture.cleared.as_ref().unwrap();
    Client::with_uri_str(url).await.unwrap().database(&format!("{prefix}_shared"))
}

fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

async fn given_one_thing() -> Fixture {
    let fixture = engines::mongodb();
    prepare(fixture.store.as_ref()).await.unwrap();
    let things = vec![write("a", &json!({"size": 1}))];
    commit(fixture.store.as_ref(), things, step(None, 5)).await.unwrap();
    fixture
}

#[test]
fn a_url_or_a_prefix_that_makes_no_sense_is_refused_without_its_password() {
    for url in ["mongodb://", "mongodb://user:secret@:x/", "mongodb://user:secret@host/?w=what&tls=9"] {
        let reason = refused(open(&StoreOptions::at(url)).map(|_| ()));
        assert!(!reason.contains("secret"), "{reason}");
    }
    let prefix = refused(open(&engines::mongo_options("mongodb://host", "Guild.hall")).map(|_| ()));
    assert!(prefix.contains("Guild.hall"), "{prefix}");
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn a_standalone_server_is_refused_with_what_to_do() {
    let server = members::Standalone::start().await;
    for url in [server.url.clone(), format!("{}?replicaSet=rs0", server.url)] {
        let mut options = engines::mongo_options(&url, "guildhall");
        options.mongodb.selection_timeout = std::time::Duration::from_secs(1);
        let store = open(&options).unwrap();
        let reason = refused(prepare(store.as_ref()).await);
        assert!(reason.contains("standalone") && reason.contains("rs.initiate()"), "{reason}");
    }
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn an_index_that_was_dropped_or_changed_is_built_anew() {
    let fixture = given_one_thing().await;
    let database = behind_its_back(&fixture).await;
    let things: Documents<Document> = database.collection("sample_v1__things");
    for other in [None, Some(doc! { "fields.size": -1 })] {
        things.drop_index("by_size").await.unwrap();
        if let Some(key) = other {
            let index = doc! { "name": "by_size", "key": key };
            database
                .run_command(doc! { "createIndexes": "sample_v1__things", "indexes": [index] })
                .await
                .unwrap();
        }
        prepare(fixture.store.as_ref()).await.unwrap();
        let index = things.list_indexes().await.unwrap();
        let indexes: Vec<_> = futures_util::TryStreamExt::try_collect(index).await.unwrap();
        let mended = indexes.iter().find(|index| index.keys.contains_key("fields.size")).unwrap();
        assert_eq!(mended.keys, doc! { "fields.size": 1, "_id": 1 });
    }
    assert_eq!(
        (size(fixture.store.as_ref(), "a").await, reached(fixture.store.as_ref()).await),
        (Some(1), Some(5))
    );
    fixture.clear().await;
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn a_unique_index_that_is_not_ours_is_refused_and_any_other_is_left_alone() {
    let fixture = given_one_thing().await;
    let database = behind_its_back(&fixture).await;
    for (name, unique) in [("for_analysts", false), ("theirs", true)] {
        let index = doc! { "name": name, "key": { "fields.colour": 1 }, "unique": unique };
        let made =
            database.run_command(doc! { "createIndexes": "sample_v1__things", "indexes": [index] }).await;
        made.unwrap();
        let prepared = prepare(fixture.store.as_ref()).await;
        if unique {
            assert!(refused(prepared).contains("unique index theirs"));
        } else {
            prepared.unwrap();
            database.run_command(doc! { "dropIndexes": "sample_v1__things", "index": name }).await.unwrap();
        }
    }
    fixture.clear().await;
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn another_format_is_refused_with_a_sentence() {
    let fixture = given_one_thing().await;
    let records: Documents<Document> = behind_its_back(&fixture).await.collection("guildhall_projections");
    records.update_one(doc! { "_id": "sample_v1" }, doc! { "$set": { "format": 7 } }).await.unwrap();
    let reason = refused(prepare(fixture.store.as_ref()).await);
    assert!(reason.contains("format 7") && reason.contains("rebuilt"), "{reason}");
    fixture.clear().await;
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn a_database_that_is_dropped_while_somebody_writes_fences_and_begins_anew() {
    let fixture = given_one_thing().await;
    let store = fixture.store.as_ref();
    let other =
        open(&engines::mongo_options(&members::of_stack(), &fixture.cleared.as_ref().unwrap().1)).unwrap();
    prepare(other.as_ref()).await.unwrap();
    behind_its_back(&fixture).await.drop().await.unwrap();
    let late = || vec![write("b", &json!({"size": 2}))];
    assert_eq!(commit(store, late(), step(Some(5), 6)).await, Err(StoreError::Fenced));
    // Who has not written anything yet has no checkpoint that would be missing.
    assert_eq!(commit(other.as_ref(), late(), step(None, 6)).await, Err(StoreError::Fenced));
    let there = behind_its_back(&fixture).await.list_collection_names().await.unwrap();
    assert!(there.is_empty(), "{there:?}");
    prepare(store).await.unwrap();
    assert_eq!((size(store, "a").await, reached(store).await), (None, None));
    // The other one still speaks of what was dropped.
    assert_eq!(commit(other.as_ref(), late(), step(None, 6)).await, Err(StoreError::Fenced));
    commit(store, late(), step(None, 6)).await.unwrap();
    fixture.clear().await;
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn a_collection_that_was_dropped_takes_the_checkpoints_with_it() {
    let fixture = given_one_thing().await;
    let database = behind_its_back(&fixture).await;
    for comes_back in [false, true] {
        database.collection::<Document>("sample_v1__things").drop().await.unwrap();
        if comes_back {
            database.create_collection("sample_v1__things").await.unwrap();
        }
        prepare(fixture.store.as_ref()).await.unwrap();
        assert_eq!(reached(fixture.store.as_ref()).await, None);
        commit(fixture.store.as_ref(), vec![write("a", &json!({"size": 1}))], step(None, 5)).await.unwrap();
    }
    fixture.clear().await;
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn what_another_release_kept_in_another_database_is_found_and_dropped() {
    let fixture = given_one_thing().await;
    let (url, prefix) = fixture.cleared.clone().unwrap();
    let client = Client::with_uri_str(&url).await.unwrap();
    let names = [format!("{prefix}_shared"), format!("{prefix}_jobs")];
    for collection in ["guildhall_projections", "guildhall_checkpoints", "sample_v1__things"] {
        let rename = doc! {
            "renameCollection": format!("{}.{collection}", names[0]), "to": format!("{}.{collection}", names[1]),
        };
        client.database("admin").run_command(rename).await.unwrap();
    }
    let log = LogId(Uuid::from_u128(7));
    assert_eq!(fixture.store.origins().await.unwrap(), [(projection(), log)]);
    fixture.store.drop_projection(&projection()).await.unwrap();
    assert!(fixture.store.origins().await.unwrap().is_empty());
    let left = client.database(&names[1]).list_collection_names().await.unwrap();
    assert!(!left.contains(&"sample_v1__things".to_owned()), "{left:?}");
    fixture.clear().await;
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn a_document_beyond_the_largest_is_refused_by_name_and_takes_its_batch_with_it() {
    let fixture = given_one_thing().await;
    let huge = write("huge", &json!({"size": 1, "text": "x".repeat(17 * 1024 * 1024)}));
    let reason =
        refused(commit(fixture.store.as_ref(), vec![write("b", &json!({})), huge], step(Some(5), 6)).await);
    assert!(reason.contains("huge") && reason.contains("16777216"), "{reason}");
    assert_eq!(
        (size(fixture.store.as_ref(), "b").await, reached(fixture.store.as_ref()).await),
        (None, Some(5))
    );
    fixture.clear().await;
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn a_batch_beyond_every_limit_of_a_command_is_still_one_transaction() {
    let fixture = given_one_thing().await;
    // More bytes than a command, or an entry of the oplog, may have; and more statements than one of our commands has.
    let mut writes: Vec<Write> = (0..2)
        .map(|n| write(&format!("large{n}"), &json!({"size": n, "text": "x".repeat(9 * 1024 * 1024)})))
        .collect();
    writes.extend((0..12_000).map(|n| write(&format!("small{n}"), &json!({"size": n}))));
    commit(fixture.store.as_ref(), writes.clone(), step(Some(5), 6)).await.unwrap();
    for (key, expected) in [("large1", 1), ("small0", 0), ("small11999", 11_999)] {
        assert_eq!(size(fixture.store.as_ref(), key).await, Some(expected));
    }
    assert_eq!(commit(fixture.store.as_ref(), writes, step(Some(5), 7)).await, Err(StoreError::Fenced));
    fixture.clear().await;
}
