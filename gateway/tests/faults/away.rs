//! Kafka goes away and comes back: commands are refused within a bounded time, reads go on, everything recovers by itself.

use std::time::{Duration, Instant};

use http::StatusCode;

use crate::{
    TURN,
    driver::member,
    harness::{Client, Member, Reply, job},
    process::Setup,
    stack::{Stack, fresh_prefix},
};

/// How long a command's request may take, whatever happens.
const BOUND: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(60);

async fn post(client: &Client, owner: &Member, key: &str) -> Reply {
    let call = client.call("POST", "/api/v1/jobs").by(owner).key(key).json(&job());
    tokio::time::timeout(BOUND, call.send()).await.expect("a command is answered within the bound")
}

/// Posts jobs, each with a key of its own, until the answer is of this kind.
async fn until(client: &Client, owner: &Member, what: &str, wanted: impl Fn(&Reply) -> bool) -> Reply {
    let since = Instant::now();
    for number in 0.. {
        let reply = post(client, owner, &format!("{what}-{number}")).await;
        if wanted(&reply) {
            return reply;
        }
        assert!(since.elapsed() < PATIENCE, "{what}: {}", reply.raw);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("the loop ends by an answer or an assertion")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stack"]
async fn while_kafka_is_away_commands_are_refused_soon_and_reads_go_on() {
    let _turn = TURN.lock().await;
    let (stack, prefix) = (Stack::of_three().await, fresh_prefix());
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::on_kafka(folder.path().join("one"), &["gateway"], &stack.brokers, &prefix)
        .with("LOG__COMMAND_DEADLINE_MS", "3000")
        .with("AUTH__STALENESS_MAX_MS", "15000");
    let gateway = setup.start().await;
    gateway.ready().await;
    let client = gateway.client();
    let owner = member(&client, "owner", "client").await;
    let made = post(&client, &owner, "before").await.expect(StatusCode::CREATED);
    let place = made.header("location");
    client.call("GET", &place).by(&owner).after(&made).send().await.expect(StatusCode::OK);

    for broker in 1..=3 {
        stack.fault("kill", broker).await;
    }
    let gone = Instant::now();
    // The first may be on its way when it happens; then nothing is sent any more, and that is certain.
    let refused = until(&client, &owner, "away", |reply| reply.text("/code") == "unavailable").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), "1");
    eprintln!("commands are known to be refused {:.2} s after the last broker", gone.elapsed().as_secs_f64());
    client.call("GET", &place).by(&owner).send().await.expect(StatusCode::OK);
    client.call("GET", "/api/v1/jobs").send().await.expect(StatusCode::OK);
    let ready = client.call("GET", "/health/ready").send().await.expect(StatusCode::OK);
    assert!(ready.raw.contains("the log is away"), "{}", ready.raw);
    let metrics = client.call("GET", "/metrics").send().await.raw;
    assert!(metrics.contains("guildhall_log_away 1"), "{metrics}");
    what_was_carried_out_is_known(&client, &owner, &made).await;

    // Sessions may have been ended by others meanwhile.
    let since = Instant::now();
    while client.call("GET", &place).by(&owner).send().await.status == StatusCode::OK {
        assert!(since.elapsed() < PATIENCE, "sessions are trusted for ever");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    client.call("GET", &place).by(&owner).send().await.problem(503, "unavailable");
    client.call("GET", "/api/v1/jobs").send().await.expect(StatusCode::OK);
    client.call("GET", "/health/ready").send().await.problem(503, "unavailable");

    let started: Vec<_> = (1..=3).map(|broker| stack.fault("start", broker)).collect();
    futures_util::future::join_all(started).await;
    let returned = Instant::now();
    until(&client, &owner, "back", |reply| reply.status == StatusCode::CREATED).await;
    eprintln!("flow resumed {:.2} s after the last broker was back", returned.elapsed().as_secs_f64());
    gateway.ready().await;
    what_was_carried_out_is_known(&client, &owner, &made).await;
    gateway.stop();
}

/// A repetition is answered from the copy, whether there is a log or not.
async fn what_was_carried_out_is_known(client: &Client, owner: &Member, made: &Reply) {
    let again = post(client, owner, "before").await.expect(StatusCode::CREATED);
    assert_eq!(again.text("/job"), made.text("/job"));
}
