//! `guildhall backup` and `guildhall restore`, on the real binary: what comes back, what stays erased, and what is never
//! trusted.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use commands::account::AccountCommand;
use events::{Personal, personal::Opened};
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    accounts::command,
    cli::{guildhall, text},
    harness::{Guild, Member},
};

/// Where a house's backups are.
struct Backup {
    _parent: TempDir,
    log: PathBuf,
    keys: PathBuf,
}

impl Backup {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let [log, keys] = ["log", "keys"].map(|name| parent.path().join(name));
        Self { _parent: parent, log, keys }
    }

    /// Of the house in this folder; what was said.
    fn take(&self, data: &Path) -> String {
        let arguments =
            ["backup", "--to", self.log.to_str().unwrap(), "--keys-to", self.keys.to_str().unwrap()];
        done(guildhall(data, &arguments, ""))
    }

    /// To an empty folder, with the keys of this one.
    fn restore(&self, keys: &Path) -> (TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["restore", "--from", self.log.to_str().unwrap(), "--keys", keys.to_str().unwrap()];
        let told = done(guildhall(folder.path(), &arguments, ""));
        (folder, told)
    }

    fn manifest(&self) -> Value {
        let text = fs::read(self.log.join("manifest.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["content"].take()
    }
}

fn done(output: Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "no progress in a pipe: {}", text(&output.stderr));
    text(&output.stdout)
}

fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}

/// Asks until so many jobs are on the board.
async fn on_board(guild: &Guild, by: &Member, jobs: usize) -> Value {
    let of = |board: &Value| board["items"].as_array().is_some_and(|items| items.len() == jobs);
    guild.until(by, "/api/v1/jobs", of).await
}

#[tokio::test]
async fn a_house_that_is_lost_comes_back_as_it_was_when_its_backup_was_taken() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let worker = guild.member("kofi", &["worker"]).await;
    let job = guild.published(&client).await;
    let bids = format!("/api/v1/jobs/{job}/bids");
    guild.bid(&worker, &job).await;
    on_board(&guild, &client, 1).await;
    let backup = Backup::new();
    let told = backup.take(guild.folder());
    assert!(told.starts_with("ok: log ") && told.contains("jobs/0/"), "{told}");
    assert!(told.contains(": 2 keys, 0 people erased"), "{told}");
    let board = |model: &Value| model["read_model"] == "board_v1" && model["partition"] == "jobs/0";
    let manifest = backup.manifest();
    assert!(manifest["read_models"].as_array().unwrap().iter().any(board), "{manifest}");
    let made = guild.post("/api/v1/jobs").by(&client).json(&crate::harness::job()).send().await;
    let later = made.expect(StatusCode::CREATED);
    guild.stop().await;

    let (folder, told) = backup.restore(&backup.keys);
    assert!(told.contains("every chain holds") && told.contains("it is the log "), "{told}");
    let verified = done(guildhall(folder.path(), &["log", "verify"], ""));
    assert!(verified.starts_with("ok: "), "{verified}");
    let guild = Guild::serve(folder).await;
    on_board(&guild, &client, 1).await;
    let seen = guild.until(&client, &bids, |bids| bids["items"][0]["cover_letter"] != json!(null)).await;
    assert_eq!(seen["items"][0]["cover_letter"], "I forge gates since 1990.");
    guild.get(&later.header("location")).by(&client).send().await.expect(StatusCode::NOT_FOUND);
    // What a client has seen of the lost history is told apart, and it goes on without.
    let old = guild.get("/api/v1/jobs").by(&client).after(&later).send().await;
    old.problem(400, "invalid_consistency_token");
    let again = guild.log_in("kofi@example.com").await;
    let job = guild.published(&client).await;
    guild.bid(&again, &job).await;
    on_board(&guild, &client, 2).await;
    guild.stop().await;
}

#[tokio::test]
async fn a_read_store_that_is_ahead_of_the_restored_log_is_built_anew_and_never_trusted() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let kept = guild.published(&client).await;
    let backup = Backup::new();
    backup.take(guild.folder());
    let lost = [guild.published(&client).await, guild.published(&client).await];
    on_board(&guild, &client, 3).await;
    let old = guild.stop_and_keep().await;
    // Whoever closes the file last copies its write-ahead log back, a moment after the server has stopped.
    while old.path().join("read.db-wal").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    // Once at once, and once when the log has grown beyond what that read store had read.
    for grown in [0, 4] {
        let (folder, _) = backup.restore(&backup.keys);
        let mut jobs = vec![kept.clone()];
        let folder = if grown == 0 {
            folder
        } else {
            let guild = Guild::serve_with(folder, |layers| {
                layers.set("workers.projectors", false, gateway::settings::Origin::Given).unwrap();
                layers.set("workers.processes", false, gateway::settings::Origin::Given).unwrap();
            })
            .await;
            for _ in 0..grown {
                jobs.push(guild.published(&client).await);
            }
            guild.stop_and_keep().await
        };
        while folder.path().join("read.db-wal").exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        fs::copy(old.path().join("read.db"), folder.path().join("read.db")).unwrap();
        let guild = Guild::serve(folder).await;
        on_board(&guild, &client, jobs.len()).await;
        for job in &jobs {
            guild.until(&client, &format!("/api/v1/jobs/{job}"), |job| job["status"] == "published").await;
        }
        for job in &lost {
            let path = format!("/api/v1/jobs/{job}");
            guild.get(&path).by(&client).send().await.expect(StatusCode::NOT_FOUND);
        }
        guild.stop().await;
    }
}

/// Settings of a house whose read models are in the MongoDB at `url`, also for commands in its folder.
fn on_mongodb(folder: &Path, url: &str, prefix: &str) -> impl FnOnce(&mut gateway::settings::Layers) + use<> {
    let settings = [("read_store.url", url), ("read_store.database_prefix", prefix)];
    let settings = settings.map(|(key, value)| (key, value.to_owned()));
    let lines = settings.each_ref().map(|(key, value)| format!("{key} = '{value}'\n")).concat();
    fs::write(folder.join("guildhall.toml"), lines + "read_store.selection_timeout_ms = 200\n").unwrap();
    move |layers| {
        for (key, value) in settings {
            layers.set(key, value, gateway::settings::Origin::Given).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the stack"]
async fn read_models_in_mongodb_that_are_ahead_of_the_restored_log_are_built_anew() {
    let url = std::env::var("GUILDHALL_STACK_MONGO")
        .expect("needs the stack: run this test as compose/stack run --only mongo -- cargo test …");
    let prefix = format!("b{}", &uuid::Uuid::now_v7().simple().to_string()[12..]);
    let folder = tempfile::tempdir().unwrap();
    let settings = on_mongodb(folder.path(), &url, &prefix);
    let guild = Guild::serve_with(folder, settings).await;
    let client = guild.member("ama", &["client"]).await;
    let kept = guild.published(&client).await;
    on_board(&guild, &client, 1).await;
    let backup = Backup::new();
    backup.take(guild.folder());
    let manifest = backup.manifest();
    let board = |model: &Value| model["read_model"] == "board_v1" && model["partition"] == "jobs/0";
    assert!(manifest["read_models"].as_array().unwrap().iter().any(board), "{manifest}");
    guild.published(&client).await;
    on_board(&guild, &client, 2).await;
    guild.stop().await;
    let (folder, _) = backup.restore(&backup.keys);
    let settings = on_mongodb(folder.path(), &url, &prefix);
    let guild = Guild::serve_with(folder, settings).await;
    let board = on_board(&guild, &client, 1).await;
    assert_eq!(board["items"][0]["job"], json!(kept));
    guild.published(&client).await;
    on_board(&guild, &client, 2).await;
    guild.stop().await;
}

#[tokio::test]
async fn a_read_store_that_is_away_is_not_noted_and_costs_no_backup() {
    let guild = Guild::start_quiet().await;
    guild.member("ama", &["client"]).await;
    drop(on_mongodb(guild.folder(), "mongodb://127.0.0.1:9/?replicaSet=rs0", "nobody"));
    let backup = Backup::new();
    let arguments =
        ["backup", "--to", backup.log.to_str().unwrap(), "--keys-to", backup.keys.to_str().unwrap()];
    let taken = guildhall(guild.folder(), &arguments, "");
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    assert!(
        text(&taken.stderr).contains("how far the read models are is not noted"),
        "{}",
        text(&taken.stderr)
    );
    assert_eq!(backup.manifest()["read_models"], json!([]));
    backup.restore(&backup.keys);
    guild.stop().await;
}

#[tokio::test]
async fn who_was_erased_after_the_backup_stays_erased_with_todays_keys() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let worker = guild.member("kofi", &["worker"]).await;
    let path = format!("/api/v1/jobs/{}/bids", guild.published(&client).await);
    let made = guild.post(&path).by(&worker).json(&crate::harness::bid()).send().await;
    made.expect(StatusCode::CREATED);
    let backup = Backup::new();
    backup.take(guild.folder());
    let keys = &guild.server.app.keys;
    let his = Personal::seal(keys, worker.account.parse().unwrap(), &"Kofi".to_owned()).unwrap();
    command(&guild, &worker, AccountCommand::Erase).await;
    while his.open(keys).unwrap() != Opened::Erased {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let old = guild.stop_and_keep().await;

    let (folder, told) = backup.restore(old.path());
    assert!(told.contains("1 accounts were erased again, as the keys say"), "{told}");
    let guild = Guild::serve(folder).await;
    let seen = guild.until(&client, &path, |bids| bids["items"][0]["worker"] != json!(null)).await;
    assert_eq!(seen["items"][0]["cover_letter"], Value::Null);
    guild.get("/api/v1/me").by(&worker).send().await.problem(401, "session_ended");
    let credentials = json!({ "email": "kofi@example.com", "password": crate::harness::PASSWORD });
    guild.post("/api/v1/auth/login").json(&credentials).send().await.expect(StatusCode::UNAUTHORIZED);
    guild.log_in("ama@example.com").await;
    guild.stop().await;

    // With keys from before, only what the log does not know comes back; with a log that knows, not even that.
    let (_, told) = backup.restore(&backup.keys);
    assert!(!told.contains("erased again"), "{told}");
    let newer = Backup::new();
    newer.take(old.path());
    let (folder, told) = newer.restore(&backup.keys);
    assert!(told.contains("the keys of 1 people were erased again, as the log says"), "{told}");
    let guild = Guild::serve(folder).await;
    assert_eq!(his.open(&guild.server.app.keys), Ok(Opened::Erased));
    guild.stop().await;
}

#[tokio::test]
async fn a_backup_is_verified_and_a_changed_byte_or_a_missing_key_is_told() {
    let guild = Guild::start_quiet().await;
    let client = guild.member("ama", &["client"]).await;
    guild.draft(&client).await;
    let backup = Backup::new();
    backup.take(guild.folder());
    let (log, keys) = (backup.log.to_str().unwrap(), backup.keys.to_str().unwrap());
    let told = done(guildhall(guild.folder(), &["backup", "verify", log, "--keys", keys], ""));
    assert!(told.starts_with("ok: a backup of the log ") && told.contains("the keys open all "), "{told}");
    let other = tempfile::tempdir().unwrap();
    let keys = other.path().join("keys.db");
    let settings = gateway::settings::Layers::defaults().settings().unwrap();
    let master = secrecy::ExposeSecret::expose_secret(&settings.secrets.master_key).to_owned();
    events::keys::KeyRing::open(&keys, &events::keys::MasterKey::from_hex(&master).unwrap()).unwrap();
    let strangers = ["backup", "verify", log, "--keys", other.path().to_str().unwrap()];
    let told = refused(&guildhall(guild.folder(), &strangers, ""), 1);
    assert!(told.contains("sealed values have a key that this key file has not"), "{told}");
    let file = fs::read_dir(backup.log.join("log")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&file).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs::write(&file, bytes).unwrap();
    let told = refused(&guildhall(guild.folder(), &["backup", "verify", log], ""), 1);
    assert!(told.contains("the backup is damaged: ") && told.contains(".commits"), "{told}");
    guild.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let guild = Guild::start_quiet().await;
    guild.member("ama", &["client"]).await;
    let backup = Backup::new();
    backup.take(guild.folder());
    let (log, keys) = (backup.log.to_str().unwrap(), backup.keys.to_str().unwrap());
    let ask = |arguments: &[&str]| guildhall(guild.folder(), arguments, "");
    assert!(refused(&ask(&["backup"]), 2).contains("--to"));
    let without = refused(&ask(&["backup", "--to", log]), 2);
    assert!(without.contains("--keys-to"), "{without}");
    assert!(refused(&ask(&["restore", "--from", log]), 2).contains("--keys"));
    let running = refused(&ask(&["restore", "--from", log, "--keys", keys]), 1);
    assert!(running.contains("in use by another process"), "{running}");
    let there = refused(&ask(&["restore", "--from", log, "--keys", keys, "--data", log]), 1);
    assert!(there.contains("is not empty"), "{there}");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("guildhall.toml"), "[log]\nurl = 'kafka://127.0.0.1:9'\n").unwrap();
    let topics =
        guildhall(elsewhere.path(), &["restore", "--from", log, "--keys", keys, "--data", "new"], "");
    let told = refused(&topics, 2);
    assert!(told.contains("cannot be put into topics") && told.contains("guildhall log copy"), "{told}");
    assert!(!elsewhere.path().join("new").exists());
    let other_key = Command::new(env!("CARGO_BIN_EXE_guildhall"))
        .args(["restore", "--from", log, "--keys", keys, "--data", "new"])
        .current_dir(elsewhere.path())
        .env("GUILDHALL_LOG__URL", "embedded")
        .env("GUILDHALL_SECRETS__MASTER_KEY", "5a17".repeat(16))
        .output()
        .unwrap();
    assert!(refused(&other_key, 1).contains("master key is not the one"));
    let left_out = done(ask(&["backup", "--to", log, "--without-keys"]));
    assert!(left_out.contains("its keys were left out"), "{left_out}");
    guild.stop().await;
}

/// A limit on the size of files stands for the disk: writing beyond it fails in the same way.
#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_ends_a_backup_or_a_restore_with_a_sentence_and_costs_nothing_that_was_there() {
    let guild = Guild::start_quiet().await;
    let client = guild.member("ama", &["client"]).await;
    let job = guild.draft(&client).await;
    let backup = Backup::new();
    backup.take(guild.folder());
    let before = backup.manifest();
    for _ in 0..60 {
        guild.draft(&client).await;
    }
    let (log, keys) = (backup.log.to_str().unwrap(), backup.keys.to_str().unwrap());
    let limited = |folder: &Path, arguments: &[&str]| {
        let mut command = Command::new("bash");
        command.args(["-c", "trap '' XFSZ; ulimit -f 24; exec \"$@\"", "limited"]);
        command.arg(env!("CARGO_BIN_EXE_guildhall")).args(arguments).current_dir(folder);
        command.env("GUILDHALL_DATA", folder).stdin(Stdio::null()).output().unwrap()
    };
    let full = limited(guild.folder(), &["backup", "--to", log, "--keys-to", keys]);
    let told = refused(&full, 1);
    assert!(told.to_lowercase().contains("file too large"), "{told}");
    assert_eq!(backup.manifest(), before, "the backup before it is as it was");
    let told = done(guildhall(guild.folder(), &["backup", "verify", log], ""));
    assert!(told.contains("every byte as it was written"), "{told}");
    let folder = tempfile::tempdir().unwrap();
    let full = limited(folder.path(), &["restore", "--from", log, "--keys", keys]);
    assert!(!refused(&full, 1).is_empty());
    assert!(!folder.path().join("log.db").exists() && folder.path().join("restoring").exists());
    // The disk has room again.
    let told = backup.take(guild.folder());
    assert!(told.contains(" 60 of the commits new"), "{told}");
    guild.stop().await;
    let arguments = ["restore", "--from", log, "--keys", keys];
    done(guildhall(folder.path(), &arguments, ""));
    let guild = Guild::serve(folder).await;
    guild.until(&client, &format!("/api/v1/jobs/{job}"), |job| job["status"] == "draft").await;
    let all = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == 61);
    guild.until(&client, "/api/v1/me/jobs?limit=100", all).await;
    guild.stop().await;
}
