//! Operators rebuild a read model while it serves, over HTTP and from the command line.

use std::time::Duration;

use gateway::settings::Origin;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    cli::{guildhall, text},
    harness::{Guild, Reply},
};

fn operator(guild: &Guild) -> String {
    let role = events::vocabulary::identity::Role::Operator;
    guild.server.app.tokens.for_service("watchman", role, 600).unwrap()
}

async fn start() -> Guild {
    Guild::start_with(|layers| {
        layers.set("workers.builds_drop_after_ms", 1, Origin::Given).unwrap();
        layers.set("workers.poll_interval_ms", 20, Origin::Given).unwrap();
    })
    .await
}

fn build<'a>(model: &'a Value, id: &str) -> &'a Value {
    let builds = model["builds"].as_array().unwrap();
    builds.iter().find(|build| build["build"] == id).unwrap_or(&Value::Null)
}

/// Asks until the read model is as it should be.
async fn until(guild: &Guild, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..2000 {
        let model = guild.get(path).token(&operator(guild)).send().await.expect(StatusCode::OK);
        if fits(&model.body) {
            return model.body;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} never became what it should be");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_board_is_rebuilt_compared_swapped_and_dropped_while_it_answers() {
    let guild = start().await;
    let token = operator(&guild);
    let client = guild.member("ama", &["client"]).await;
    let publish = async || {
        let job = guild.draft(&client).await;
        guild.post(&format!("/api/v1/jobs/{job}/publish")).by(&client).send().await.expect(StatusCode::OK)
    };
    let on_board = async |after: &Reply| {
        let page = guild.get("/api/v1/jobs?limit=100").after(after).send().await.expect(StatusCode::OK);
        page.items().len()
    };
    publish().await;
    let board = "/ops/projections/board";
    let ask = async |path: &str, body: Value| guild.post(path).token(&token).json(&body).send().await;

    let before = guild.get(board).token(&token).send().await.expect(StatusCode::OK);
    assert_eq!(
        (before.text("/live"), before.body["builds"].as_array().unwrap().len()),
        ("board_v1".into(), 1)
    );
    ask(&format!("{board}/swap"), json!({})).await.problem(404, "not_found");
    ask("/ops/projections/board_v1/drop", json!({})).await.problem(409, "build_is_live");
    ask("/ops/projections/nothing/rebuild", json!({})).await.problem(404, "not_found");
    ask(&format!("{board}/rebuild"), json!({ "wrong": 1 })).await.problem(422, "unknown_field");
    guild
        .post(&format!("{board}/rebuild"))
        .by(&client)
        .json(&json!({}))
        .send()
        .await
        .problem(403, "forbidden");

    let begun = ask(&format!("{board}/rebuild"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(build(&begun.body, "board_v1_b1")["started_by"], "service:watchman");
    let ready = until(&guild, board, |model| build(model, "board_v1_b1")["state"] == "ready").await;
    let comparison = &build(&ready, "board_v1_b1")["comparison"];
    assert_eq!((&comparison["different"], &comparison["documents"]), (&json!(0), &json!(1)));
    let compared = ask("/ops/projections/board_v1_b1/compare", json!({ "seed": 4 })).await;
    assert_eq!(compared.expect(StatusCode::OK).body["seed"], 4);

    publish().await;
    let last = publish().await;
    assert_eq!(on_board(&last).await, 3);
    let swapped = ask(&format!("{board}/swap"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(swapped.text("/live"), "board_v1_b1");
    assert_eq!(on_board(&last).await, 3);
    let last = publish().await;
    assert_eq!(on_board(&last).await, 4, "a token is waited for in the build that is live");
    guild.get("/health/ready").send().await.expect(StatusCode::OK);

    ask("/ops/projections/board_v1/drop", json!({})).await.expect(StatusCode::OK);
    let left = until(&guild, board, |model| model["builds"].as_array().unwrap().len() == 1).await;
    assert_eq!(left["live"], "board_v1_b1");
    let guild = guild.restart().await;
    let page = guild.get("/api/v1/jobs?limit=100").after(&last).send().await.expect(StatusCode::OK);
    assert_eq!(page.items().len(), 4);
    let all = guild.get("/ops/projections").token(&operator(&guild)).send().await.expect(StatusCode::OK);
    let models = all.body["read_models"].as_array().unwrap();
    assert_eq!(models.len(), projections::all().len());
    let runners = all.body["runners"].as_array().unwrap();
    assert!(runners.iter().any(|runner| runner["projection"] == "board_v1_b1" && runner["live"] == true));
    assert!(!runners.iter().any(|runner| runner["projection"] == "board_v1"), "what was dropped stays away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_read_model_stands_still_until_it_is_resumed_and_says_that_it_lags() {
    let guild = Guild::start_with(|layers| {
        layers.set("http.consistency_wait_ms", 50, Origin::Given).unwrap();
    })
    .await;
    let token = operator(&guild);
    let client = guild.member("ama", &["client"]).await;
    guild.draft(&client).await;
    let mine = async |after: &Reply| guild.get("/api/v1/me/jobs").by(&client).after(after).send().await;
    let pause = |what: &str| guild.post(&format!("/ops/projections/my_jobs/{what}")).token(&token);
    assert_eq!(pause("pause").send().await.expect(StatusCode::OK).body["builds"], 1);
    until(&guild, "/ops/projections", |all| {
        !all["runners"].as_array().unwrap().iter().any(|runner| runner["projection"] == "my_jobs_v1")
    })
    .await;
    let made = guild.post("/api/v1/jobs").by(&client).json(&crate::harness::job()).send().await;
    let lagging = mine(&made).await.problem(503, "lagging");
    assert_eq!(
        (lagging.text("/projection"), lagging.body["behind_commits"].clone()),
        ("my_jobs_v1".into(), json!(1))
    );
    assert_eq!(pause("resume").send().await.expect(StatusCode::OK).body["builds"], 1);
    for _ in 0..400 {
        if mine(&made).await.status == StatusCode::OK {
            return;
        }
    }
    panic!("it never went on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_speaks_to_a_running_server() {
    let guild = start().await;
    let server = format!("http://{}", guild.server.address());
    let ask = |arguments: &[&str]| {
        let arguments: Vec<String> = ["projections", "--server", &server]
            .iter()
            .chain(arguments)
            .map(|word| (*word).to_owned())
            .collect();
        let folder = guild.folder().to_owned();
        tokio::task::spawn_blocking(move || {
            guildhall(&folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), "")
        })
    };
    let client = guild.member("ama", &["client"]).await;
    guild.draft(&client).await;
    let rebuilt = ask(&["rebuild", "board", "--swap", "--wait"]).await.unwrap();
    assert!(rebuilt.status.success(), "{}", text(&rebuilt.stderr));
    assert!(text(&rebuilt.stdout).contains("board_v1_b1 compared: 0 of 1 documents differ from board_v1"));
    let listed = text(&ask(&["list"]).await.unwrap().stdout);
    let line = |build: &str| listed.lines().find(|line| line.split_whitespace().nth(1) == Some(build));
    assert!(line("board_v1_b1").unwrap().contains(" live "), "{listed}");
    assert!(line("board_v1").unwrap().contains(" following "), "{listed}");
    let status: Value =
        serde_json::from_slice(&ask(&["status", "board", "--json"]).await.unwrap().stdout).unwrap();
    assert_eq!(status["live"], "board_v1_b1");
    assert!(ask(&["drop", "board_v1"]).await.unwrap().status.success());
    let refused = ask(&["drop", "board_v1_b1"]).await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("build_is_live"));
    assert_eq!(ask(&["status", "nothing"]).await.unwrap().status.code(), Some(3));
    let denied = ask(&["list", "--token", &client.token]).await.unwrap();
    assert_eq!(denied.status.code(), Some(8), "{}", text(&denied.stderr));
}
