//! The file of the embedded store: what was committed stays, what is foreign is refused.

use events::{LogId, Service, stream::Partition};
use projections::{
    Advance, Batch, Checkpoint, DocumentKey, Json, StoreError, StoreOptions, Write,
    board::{DRAFTS, ENTRIES},
    open,
};
use uuid::Uuid;

fn options(folder: &tempfile::TempDir) -> StoreOptions {
    StoreOptions::at(format!("embedded:{}", folder.path().display()))
}

fn refused(options: &StoreOptions) -> String {
    match open(options) {
        Err(StoreError::Refused(reason)) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the store was opened"),
    }
}

#[tokio::test]
async fn documents_and_checkpoints_are_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let board = projections::ProjectionId::new("board", 1);
    let partition = Partition { service: Service::Jobs, number: 0 };
    let to = Checkpoint { log: LogId(Uuid::from_u128(1)), offset: 5 };
    let key = DocumentKey { collection: "drafts", key: "a".into() };
    let value = Some(Json::from_text(r#"{"n":1}"#));
    {
        let store = open(&options(&folder)).unwrap();
        store.prepare(&board, &[ENTRIES.spec, DRAFTS.spec]).await.unwrap();
        let writes = vec![Write { document: key.clone(), value: value.clone() }];
        let advances = vec![Advance { partition, from: None, to }];
        let batch = Batch { projection: board.clone(), writes, advances, unchanged: vec![] };
        store.commit(batch).await.unwrap();
    }
    let store = open(&options(&folder)).unwrap();
    store.prepare(&board, &[ENTRIES.spec, DRAFTS.spec]).await.unwrap();
    assert_eq!(store.get_many(&board, &[key]).await.unwrap(), [value]);
    assert_eq!(store.checkpoint(&board, partition).await.unwrap(), Some(to));
}

#[test]
fn a_file_of_another_format_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&options(&folder)).unwrap());
    let connection = rusqlite::Connection::open(folder.path().join("read.db")).unwrap();
    connection.pragma_update(None, "user_version", 7).unwrap();
    drop(connection);
    let reason = refused(&options(&folder));
    assert!(reason.contains("format 7") && reason.contains("rebuilt"), "{reason}");
}

#[tokio::test]
async fn a_file_of_the_format_before_is_read_as_the_first_builds() {
    let folder = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("read.db")).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE guildhall_collections (
                 projection TEXT NOT NULL, version INTEGER NOT NULL, collection TEXT NOT NULL,
                 declaration TEXT NOT NULL, tables TEXT NOT NULL,
                 PRIMARY KEY (projection, version, collection)
             ) WITHOUT ROWID;
             CREATE TABLE guildhall_checkpoints (
                 projection TEXT NOT NULL, version INTEGER NOT NULL, partition TEXT NOT NULL,
                 log BLOB NOT NULL, offset INTEGER NOT NULL,
                 PRIMARY KEY (projection, version, partition)
             ) WITHOUT ROWID;
             CREATE TABLE board_v1__drafts (key TEXT NOT NULL PRIMARY KEY, document TEXT NOT NULL);
             INSERT INTO board_v1__drafts VALUES ('a', '{\"n\":1}');
             INSERT INTO guildhall_collections VALUES
                 ('board', 1, 'drafts', ' arrays() fields()', 'board_v1__drafts');
             INSERT INTO guildhall_checkpoints VALUES ('board', 1, 'jobs/0', zeroblob(16), 5);
             PRAGMA application_id = 0x47487264;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(connection);
    let store = open(&options(&folder)).unwrap();
    let board = projections::ProjectionId::new("board", 1);
    store.prepare(&board, &[DRAFTS.spec]).await.unwrap();
    let key = DocumentKey { collection: "drafts", key: "a".into() };
    assert_eq!(store.get_many(&board, &[key]).await.unwrap(), [Some(Json::from_text(r#"{"n":1}"#))]);
    let partition = Partition { service: Service::Jobs, number: 0 };
    let kept = Checkpoint { log: LogId(Uuid::nil()), offset: 5 };
    assert_eq!(store.checkpoint(&board, partition).await.unwrap(), Some(kept));
}

#[tokio::test]
async fn a_build_that_was_made_elsewhere_is_read_like_the_one_that_was_prepared_here() {
    let folder = tempfile::tempdir().unwrap();
    let (here, elsewhere) = (open(&options(&folder)).unwrap(), open(&options(&folder)).unwrap());
    let board = projections::ProjectionId::new("board", 1);
    here.prepare(&board, &[ENTRIES.spec, DRAFTS.spec]).await.unwrap();
    let rebuilt = board.with_build(3);
    elsewhere.prepare(&rebuilt, &[ENTRIES.spec, DRAFTS.spec]).await.unwrap();
    let key = DocumentKey { collection: "drafts", key: "a".into() };
    let value = Some(Json::from_text(r#"{"n":1}"#));
    let writes = vec![Write { document: key.clone(), value: value.clone() }];
    let batch = Batch { projection: rebuilt.clone(), writes, advances: vec![], unchanged: vec![] };
    elsewhere.commit(batch).await.unwrap();
    assert_eq!(here.get_many(&rebuilt, &[key]).await.unwrap(), [value]);
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(connection);
    assert!(refused(&options(&folder)).contains("not a read store"));
    std::fs::write(&path, "no database at all, but long enough to be looked at ".repeat(20)).unwrap();
    refused(&options(&folder));
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("no database"));
}

#[test]
fn an_unknown_engine_is_refused() {
    for url in ["mysql://host", "embedded:", "./data", ""] {
        refused(&StoreOptions::at(url));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_stays_bounded_while_a_writer_never_pauses() {
    let folder = tempfile::tempdir().unwrap();
    let wal_bytes = 256 * 1024;
    let store = open(&StoreOptions { wal_bytes, ..options(&folder) }).unwrap();
    let projection = projections::ProjectionId::new("board", 1);
    store.prepare(&projection, &[DRAFTS.spec]).await.unwrap();
    let text = Some(Json::of(&"x".repeat(2000)).unwrap());
    for round in 0..100 {
        let write = |n| Write {
            document: DocumentKey { collection: "drafts", key: format!("{round}-{n}") },
            value: text.clone(),
        };
        let (writes, projection) = ((0..20).map(write).collect(), projection.clone());
        store.commit(Batch { projection, writes, advances: vec![], unchanged: vec![] }).await.unwrap();
    }
    let bytes = std::fs::metadata(folder.path().join("read.db-wal")).unwrap().len();
    assert!(bytes <= 5 * wal_bytes, "{bytes}");
}
