//! How far a projector is behind can be seen with Kafka's own tools.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use http::StatusCode;

use crate::{
    TURN,
    driver::member,
    harness::{Client, Member, job},
    process::Setup,
    stack::{brokers, fresh_databases, fresh_prefix, mongodb},
};

const PATIENCE: Duration = Duration::from_secs(120);

/// What kafka-consumer-groups tells of a group: records read and records left, all partitions together.
async fn described(group: String) -> (u64, u64) {
    let told = tokio::task::spawn_blocking(move || {
        let mut tool = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose/stack"));
        tool.args(["tool", "kafka-consumer-groups", "--describe", "--group", &group]).output().unwrap().stdout
    });
    let told = String::from_utf8(told.await.unwrap()).unwrap();
    // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG …
    let partitions = told.lines().filter(|line| line.contains(".jobs.events"));
    let numbers = partitions.map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |place: usize| words.get(place).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        (number(3), number(5))
    });
    numbers.fold((0, 0), |(read, left), (more, lag)| (read + more, left + lag))
}

async fn until_described(group: &str, wanted: (u64, u64)) {
    let since = Instant::now();
    loop {
        let found = described(group.to_owned()).await;
        if found == wanted {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{group}: {found:?} instead of {wanted:?}");
    }
}

async fn post(client: &Client, owner: &Member, jobs: usize) {
    for _ in 0..jobs {
        let reply = client.call("POST", "/api/v1/jobs").by(owner).json(&job()).send().await;
        reply.expect(StatusCode::CREATED);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stack"]
async fn the_lag_of_a_read_model_stands_in_the_offsets_of_its_group() {
    let _turn = TURN.lock().await;
    let (prefix, folder) = (fresh_prefix(), tempfile::tempdir().unwrap());
    let setup = Setup::on_kafka(folder.path().join("one"), &[], &brokers(), &prefix)
        .on_mongodb(&mongodb(), &fresh_databases())
        .with("LOG__KAFKA__GROUP_OFFSETS_MS", "200");
    let process = setup.start().await;
    process.ready().await;
    let client = process.client();
    let token = setup_token(&setup);
    let owner = member(&client, "owner", "client").await;
    let group = format!("{prefix}.board_v1");
    post(&client, &owner, 6).await;
    until_described(&group, (6, 0)).await;
    let ask = async |what: &str| {
        let path = format!("/ops/projections/board/{what}");
        client.call("POST", &path).token(&token).send().await.expect(StatusCode::OK);
    };
    ask("pause").await;
    // The runner ends a moment later.
    let since = Instant::now();
    loop {
        let report = client.call("GET", "/ops/projections").token(&token).send().await.body;
        let runs = |runner: &serde_json::Value| runner["projection"] == "board_v1";
        if !report["runners"].as_array().unwrap().iter().any(runs) {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{report}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    post(&client, &owner, 5).await;
    until_described(&group, (6, 5)).await;
    until_described(&format!("{prefix}.my_jobs_v1"), (11, 0)).await;
    ask("resume").await;
    until_described(&group, (11, 0)).await;
    process.stop();
}

/// A token that needs no server: the process has the folder.
fn setup_token(setup: &Setup) -> String {
    let token = setup.run(&["token", "create", "--service", "driver", "--role", "operator"]);
    token.trim().to_owned()
}
