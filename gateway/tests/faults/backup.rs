//! The drill: a house is lost under load and comes back from its backup on an empty machine; and what `kill -9` does to a
//! backup or a restore.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use events::{
    Category, CommandStamp, CommitBuilder, Partition, StreamId, Timestamp,
    envelope::CommandHash,
    ids::{CommandId, JobId},
    keys::{KeyRing, MasterKey},
    log::{EventLog, LogOptions, ReadLimit, StoredCommit},
    stream::BEFORE_FIRST,
    vocabulary::jobs::{JobEvent, JobExpired},
};
use futures_util::future::join_all;
use projections::StoreOptions;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::watch;

use crate::{
    TURN,
    crash::{everything_is_there_once, rebuilt_read_models_are_the_same, settle},
    driver::{Driver, Trail},
    process::{Process, Setup},
};

/// How often a backup is killed, and then a restore.
const KILLS: usize = 12;
/// Commits of the log that is backed up while it is killed, and those that come between two backups.
const COMMITS: usize = 16_000;
const COMMITS_BETWEEN: usize = 500;

/// A parent folder, and in it the house, its backup, its keys.
struct Places {
    _parent: tempfile::TempDir,
    log: PathBuf,
    keys: PathBuf,
    old: Setup,
    new: Setup,
}

impl Places {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let (old, new) = (Setup::embedded(&at("old")), Setup::embedded(&at("new")));
        Self { log: at("backup"), keys: at("keys"), old, new, _parent: parent }
    }

    fn backup(&self) -> Vec<&str> {
        let (log, keys) = (self.log.to_str().unwrap(), self.keys.to_str().unwrap());
        vec!["backup", "--to", log, "--keys-to", keys, "--segment-mib", "1"]
    }

    fn restore(&self) -> Vec<&str> {
        vec!["restore", "--from", self.log.to_str().unwrap(), "--keys", self.keys.to_str().unwrap()]
    }

    fn verify(&self) -> String {
        self.old.run(&["backup", "verify", self.log.to_str().unwrap(), "--keys", self.keys.to_str().unwrap()])
    }
}

/// Lets new drivers walk so many jobs through their lives, to the end.
async fn trails(
    process: &Process,
    numbers: std::ops::Range<usize>,
    count: &Arc<watch::Sender<u64>>,
) -> Vec<Trail> {
    let client = process.client();
    let mut walking = Vec::new();
    for number in numbers {
        let driver = Driver::new(&client, number, Arc::clone(count)).await;
        walking.push(tokio::spawn(driver.finish(client.clone())));
    }
    let mut trails = Vec::new();
    for driver in walking {
        trails.extend(driver.await.unwrap());
    }
    trails
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_that_is_lost_under_load_comes_back_on_an_empty_machine_and_goes_on() {
    let _turn = TURN.lock().await;
    let places = Places::new();
    let count = Arc::new(watch::Sender::new(0));
    let process = places.old.start().await;
    let mut kept = trails(&process, 0..3, &count).await;
    // What is acknowledged before a backup begins is in it, however much is written meanwhile.
    let mut load = Vec::new();
    for number in 10..14 {
        let driver = Driver::new(&process.client(), number, Arc::clone(&count)).await;
        load.push(tokio::spawn(driver.run(process.client(), None)));
    }
    for _ in 0..3 {
        let enough = *count.borrow() + 20;
        count.subscribe().wait_for(|count| *count >= enough).await.unwrap();
        let told = places.old.run(&places.backup());
        assert!(told.starts_with("ok: log "), "{told}");
    }
    process.kill();
    for driver in load {
        driver.await.unwrap();
    }
    std::fs::remove_dir_all(&places.old.folder).unwrap();

    assert!(places.verify().starts_with("ok: a backup of the log "));
    let told = places.new.run(&places.restore());
    assert!(told.contains("every chain holds"), "{told}");
    assert!(places.new.run(&["log", "verify"]).starts_with("ok: "));
    let process = places.new.start().await;
    let token = places.new.run(&["token", "create", "--service", "driver", "--role", "operator"]);
    settle(&process.client(), token.trim()).await;
    everything_is_there_once(&process.client(), &kept).await;
    kept.extend(trails(&process, 20..23, &count).await);
    settle(&process.client(), token.trim()).await;
    everything_is_there_once(&process.client(), &kept).await;
    process.stop();
    let live = StoreOptions::at(format!("embedded:{}", places.new.folder.display()));
    rebuilt_read_models_are_the_same(&places.new.folder, &live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_and_a_restore_that_are_killed_again_and_again_end_in_the_same_log() {
    let _turn = TURN.lock().await;
    let places = Places::new();
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    std::fs::create_dir_all(&places.old.folder).unwrap();
    make_keys(&places.old.folder);
    let log = events::open(&LogOptions::embedded(&places.old.folder)).unwrap();
    write(&log, COMMITS).await;
    let mut broken_off = 0;
    for _ in 0..KILLS {
        // Killed when so many of its files are there, or a moment later.
        let commits = places.log.join("log");
        let (files, later_us) = (random.random_range(1..12), random.random_range(0..4000));
        let enough = || std::fs::read_dir(&commits).is_ok_and(|found| found.count() >= files);
        broken_off += usize::from(killed(&places.old, &places.backup(), enough, later_us).await);
        if places.log.join("manifest.json").exists() {
            assert!(places.verify().starts_with("ok: "), "the one before it is whole");
        }
        write(&log, COMMITS_BETWEEN).await;
    }
    assert!(broken_off > 0, "none was killed in the middle");
    let told = places.old.run(&places.backup());
    assert!(told.starts_with("ok: log "), "{told}");
    assert!(places.verify().starts_with("ok: "));

    for _ in 0..KILLS {
        let bytes = random.random_range(0..12 << 20);
        let file = places.new.folder.join("restoring").join("log.db");
        let wal = places.new.folder.join("restoring").join("log.db-wal");
        let size = |file: &Path| std::fs::metadata(file).map_or(0, |file| file.len());
        let enough = || size(&file) + size(&wal) >= bytes;
        if !killed(&places.new, &places.restore(), enough, random.random_range(0..4000)).await {
            break;
        }
        let whole = places.new.folder.join("log.db").exists();
        assert!(!whole || places.new.folder.join("restoring").exists(), "half a log in its place");
    }
    if !places.new.folder.join("log.db").exists() || places.new.folder.join("restoring").exists() {
        places.new.run(&places.restore());
    }
    let restored = events::open(&LogOptions::embedded(&places.new.folder)).unwrap();
    for partition in log.partitions() {
        assert_eq!(all(&log, partition), all(&restored, partition));
    }
    restored.verify().unwrap();
}

/// Starts a command and kills it; whether that came before its end.
async fn killed(setup: &Setup, arguments: &[&str], enough: impl Fn() -> bool, later_us: u64) -> bool {
    let mut command = setup.command();
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    while child.try_wait().unwrap().is_none() && !enough() {
        tokio::time::sleep(std::time::Duration::from_micros(200)).await;
    }
    tokio::time::sleep(std::time::Duration::from_micros(later_us)).await;
    let over = child.try_wait().unwrap();
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    assert!(over.is_none_or(|status| status.success()), "{}", String::from_utf8_lossy(&output.stderr));
    over.is_none()
}

/// The key file of a development house.
fn make_keys(folder: &Path) {
    let settings = gateway::settings::Layers::defaults().settings().unwrap();
    let master = secrecy::ExposeSecret::expose_secret(&settings.secrets.master_key).to_owned();
    KeyRing::open(&folder.join("keys.db"), &MasterKey::from_hex(&master).unwrap()).unwrap();
}

async fn write(log: &Arc<dyn EventLog>, commits: usize) {
    let mut left = commits;
    while left > 0 {
        let now = left.min(2000);
        let stamp = CommandStamp {
            command_id: CommandId::fresh(),
            command_hash: CommandHash([7; 16]),
            correlation_id: "fault test".into(),
            causation_id: None,
            actor: "system".into(),
            traceparent: None,
            time: Timestamp::now(),
        };
        let appends = (0..now).map(|_| {
            let mut builder = CommitBuilder::new(StreamId::new(Category::Job, JobId::fresh()), 1);
            builder.push::<JobEvent>(&stamp, &[JobExpired {}.into()]);
            log.append(builder.finish().unwrap())
        });
        for verdict in join_all(appends).await {
            verdict.unwrap();
        }
        left -= now;
    }
}

fn all(log: &Arc<dyn EventLog>, partition: Partition) -> Vec<StoredCommit> {
    let everything = ReadLimit { commits: usize::MAX, bytes: usize::MAX };
    log.read(partition, BEFORE_FIRST, everything).unwrap()
}
