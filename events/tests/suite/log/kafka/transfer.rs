//! A log moves to Kafka and back, and a node starts from another's backup.

use std::{sync::Arc, time::Duration};

use events::{
    StreamId,
    keys::KeyRing,
    log::{
        EventLog, LogOptions,
        backup::{BackupGauge, BackupOptions, People, Restoration, read_manifest, take},
        transfer::{TransferError, TransferGauge, TransferOptions, TransferReport, transfer},
    },
};
use tempfile::TempDir;

use super::support::{brokers, options, prefix, wait_until_equal};
use crate::log::support::{clock, commit, commit_of, job, stamp};

type Log = Arc<dyn EventLog>;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn copy(source: &Log, target: &Log) -> Result<TransferReport, TransferError> {
    transfer(source, target, &TransferOptions::default(), &TransferGauge::default()).await
}

async fn fill(log: &Log, streams: usize) -> Vec<StreamId> {
    let mut made = Vec::new();
    for number in 0..streams {
        let stream = if number % 5 == 0 { clock() } else { job() };
        let mut version = 1;
        for _ in 0..1 + number % 3 {
            log.append(commit_of(stream, version, &[(stamp(), 1), (stamp(), 2)])).await.unwrap();
            version += 3;
        }
        made.push(stream);
    }
    made
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn a_log_moves_to_kafka_and_back_byte_for_byte_and_breaks_off_on_the_way() {
    let (brokers, prefix) = (brokers(), prefix());
    let folders = [folder(), folder(), folder()];
    let source = events::open(&LogOptions::embedded(folders[0].path())).unwrap();
    let streams = fill(&source, 120).await;
    let mut wanted = options(&brokers, &prefix, folders[1].path());
    wanted.kafka.partitions = 3;
    let mut patience = Duration::from_millis(30);
    let (kafka, report) = loop {
        let target = events::open(&wanted).unwrap();
        match tokio::time::timeout(patience, copy(&source, &target)).await {
            Ok(report) => break (target, report.unwrap()),
            Err(_) => target.close(),
        }
        patience *= 2;
    };
    assert_eq!(report.streams, 120);
    let back = events::open(&LogOptions::embedded(folders[2].path())).unwrap();
    assert_eq!(copy(&kafka, &back).await.unwrap().commits, report.commits);
    for stream in &streams {
        let of = |log: &Log| -> Vec<_> {
            let commits = log.load(*stream, 0, 100).unwrap();
            commits.into_iter().map(|c| (c.first_version, c.count, c.chain, c.body)).collect()
        };
        assert_eq!(of(&source), of(&kafka));
        assert_eq!(of(&source), of(&back));
    }
    // The house goes on there; a copy from where it came is then refused.
    let stream = streams[1];
    let next = kafka.head(stream).unwrap() + 1;
    kafka.append(commit(stream, next, 1)).await.unwrap();
    assert_eq!(copy(&source, &kafka).await, Err(TransferError::OtherContent { stream, version: next }));
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn a_node_starts_from_a_backup_of_a_running_one() {
    let (brokers, prefix) = (brokers(), prefix());
    let folders = [folder(), folder()];
    let running = events::open(&options(&brokers, &prefix, folders[0].path())).unwrap();
    let streams = fill(&running, 30).await;
    let backup = folder();
    let order = BackupOptions::new(folders[0].path(), backup.path(), None);
    let taken = take(&order, &BackupGauge::default()).unwrap();
    assert_eq!(taken.manifest.log, running.id());
    let restoration = Restoration::begin(folders[1].path()).unwrap();
    let (keys, gauge) = (KeyRing::in_memory().unwrap(), BackupGauge::default());
    let manifest = read_manifest(backup.path()).unwrap();
    restoration.restore_log(backup.path(), &manifest, &mut People::new(&keys), &gauge).unwrap();
    restoration.finish().unwrap();
    fill(&running, 10).await;
    let started = events::open(&options(&brokers, &prefix, folders[1].path())).unwrap();
    let next = running.head(streams[2]).unwrap() + 1;
    running.append(commit(streams[2], next, 1)).await.unwrap();
    let logs = [running, started];
    wait_until_equal(&logs);
    logs[1].append(commit(streams[2], next + 1, 1)).await.unwrap();
    wait_until_equal(&logs);
    logs[1].verify().unwrap();
}
