//! The command line: data on stdout, everything else on stderr, and an exit code that says how it went.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use http::StatusCode;
use serde_json::json;

use crate::harness::{Guild, PASSWORD};

pub(crate) fn guildhall(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guildhall"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GUILDHALL_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).args(arguments).env("GUILDHALL_DATA", folder);
    command.env("GUILDHALL_AUTH__ARGON2_MEMORY_KIB", "8").env("GUILDHALL_AUTH__ARGON2_ITERATIONS", "1");
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    // A command that reads nothing has closed its end already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const CREATE: [&str; 7] =
    ["user", "create", "--role", "admin", "--email", "root@example.com", "--password-stdin"];

#[tokio::test]
async fn the_first_administrator_is_made_where_the_data_is() {
    let guild = Guild::start().await;
    let folder = guild.stop_and_keep().await;
    let made = guildhall(folder.path(), &CREATE, &format!("{PASSWORD}\n"));
    assert!(made.status.success(), "{}", text(&made.stderr));
    let again = guildhall(folder.path(), &CREATE, &format!("{PASSWORD}\n"));
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("email_taken") && again.stdout.is_empty());
    let guild = Guild::serve(folder).await;
    let root = guild.log_in("root@example.com").await;
    assert_eq!(text(&made.stdout).trim(), root.account);
    let me = guild.get("/api/v1/me").by(&root).send().await.expect(StatusCode::OK);
    assert_eq!(me.body["roles"], json!(["admin"]));
    guild.get("/ops/projections").by(&root).send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_folder_in_use_is_not_opened_and_the_way_out_is_told() {
    let guild = Guild::start().await;
    let refused = guildhall(guild.folder(), &CREATE, &format!("{PASSWORD}\n"));
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(told.contains("in use by another process: stop that one first"), "{told}");
}

#[tokio::test]
async fn a_user_that_makes_no_sense_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let short = guildhall(folder.path(), &CREATE, "1234\n");
    assert_eq!(short.status.code(), Some(2));
    assert!(text(&short.stderr).contains("password"), "{}", text(&short.stderr));
    let mut nobody = CREATE;
    nobody[5] = "nobody";
    assert_eq!(guildhall(folder.path(), &nobody, PASSWORD).status.code(), Some(2));
    let silent = guildhall(folder.path(), &CREATE[..6], PASSWORD);
    assert_eq!(silent.status.code(), Some(2));
    assert!(text(&silent.stderr).contains("--password-stdin"), "{}", text(&silent.stderr));
}

#[tokio::test]
async fn a_service_token_is_printed_and_let_in() {
    let guild = Guild::start().await;
    let arguments = ["token", "create", "--service", "watchman", "--role", "operator", "--days", "1"];
    let made = guildhall(guild.folder(), &arguments, "");
    assert!(made.status.success(), "{}", text(&made.stderr));
    guild.get("/ops/log").token(text(&made.stdout).trim()).send().await.expect(StatusCode::OK);
    let unnamed = guildhall(guild.folder(), &["token", "create", "--service", "The Watchman"], "");
    assert_eq!(unnamed.status.code(), Some(2));
}

#[tokio::test]
async fn a_log_is_verified_while_it_is_written_and_a_changed_byte_is_found() {
    let guild = Guild::start_quiet().await;
    let client = guild.member("ama", &["client"]).await;
    guild.draft(&client).await;
    let verified = guildhall(guild.folder(), &["log", "verify"], "");
    assert!(text(&verified.stdout).starts_with("ok: 4 streams"), "{}", text(&verified.stdout));
    let folder = guild.stop_and_keep().await;
    let file = folder.path().join("log.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let title = b"A gate for the yard";
    let place = bytes.windows(title.len()).position(|window| window == title).unwrap();
    bytes[place] = b'B';
    std::fs::write(&file, bytes).unwrap();
    let data = folder.path().display().to_string();
    let found = guildhall(folder.path(), &["log", "verify", "--data", &data], "");
    assert_eq!(found.status.code(), Some(1), "{}", text(&found.stdout));
    assert!(text(&found.stderr).contains("damaged at jobs/0/"), "{}", text(&found.stderr));
}

#[test]
fn what_is_in_force_is_printed_and_what_cannot_be_is_complained_of() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("guildhall.toml"), "[http]\nconnections_max = 7\n").unwrap();
    let printed = guildhall(folder.path(), &["config"], "");
    assert!(printed.status.success() && printed.stderr.is_empty());
    let line =
        text(&printed.stdout).lines().find(|line| line.starts_with("connections_max")).unwrap().to_owned();
    assert!(line.starts_with("connections_max = 7") && line.ends_with("# file guildhall.toml"), "{line}");
    std::fs::write(folder.path().join("other.toml"), "colour = 'red'\n").unwrap();
    for arguments in [vec!["config", "--config", "other.toml"], vec!["--config", "other.toml"]] {
        let refused = guildhall(folder.path(), &arguments, "");
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains("unknown setting `colour` from file other.toml"));
    }
}

#[test]
fn a_role_without_a_log_to_share_is_a_usage_error_that_says_what_to_set() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["gateway"][..], &["worker"], &["worker", "--only", "jobs,identity"]] {
        let refused = guildhall(folder.path(), arguments, "");
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains("GUILDHALL_LOG__URL"), "{}", text(&refused.stderr));
    }
    let unknown = guildhall(folder.path(), &["worker", "--only", "gardening"], "");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("identity, jobs, payments, admin"), "{}", text(&unknown.stderr));
}

#[test]
fn a_role_that_would_bring_a_payment_provider_of_its_own_is_told_to_share_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("guildhall.toml"), "[log]\nurl = 'kafka://127.0.0.1:9'\n").unwrap();
    for role in ["gateway", "worker"] {
        let refused = guildhall(folder.path(), &[role], "");
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains("GUILDHALL_PAYMENTS__URL"), "{}", text(&refused.stderr));
    }
}

#[test]
fn the_document_is_printed_as_it_is_checked_in() {
    let folder = tempfile::tempdir().unwrap();
    let printed = guildhall(folder.path(), &["openapi"], "");
    let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/openapi.json");
    assert!(text(&printed.stdout) == std::fs::read_to_string(written).unwrap());
}

#[test]
fn a_server_that_cannot_be_reached_has_an_exit_code_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let unreachable = guildhall(folder.path(), &["demo", "--server", "http://127.0.0.1:9"], "");
    assert_eq!(unreachable.status.code(), Some(7), "{}", text(&unreachable.stderr));
}
