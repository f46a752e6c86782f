//! A query that carries a consistency token sees what the command did, or says why it cannot.

use std::time::Duration;

use gateway::settings::Origin;
use http::StatusCode;
use serde_json::json;

use crate::harness::{Guild, job};

#[tokio::test]
async fn a_query_with_a_token_sees_what_the_command_did() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    for number in 0..20 {
        let made =
            guild.post("/api/v1/jobs").by(&client).json(&job()).send().await.expect(StatusCode::CREATED);
        let read = guild.get(&made.header("location")).by(&client).after(&made).send().await;
        let read = read.expect(StatusCode::OK);
        assert_eq!((read.text("/status").as_str(), read.version()), ("draft", 1), "job {number}");
        let title = json!({ "title": format!("Gate {number}") });
        let edited = guild.patch(&made.header("location")).by(&client).json(&title).send().await;
        let read = guild.get(&made.header("location")).by(&client).after(&edited).send().await;
        assert_eq!(read.expect(StatusCode::OK).text("/terms/title"), format!("Gate {number}"));
    }
}

#[tokio::test]
async fn a_token_is_taken_by_every_list() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let worker = guild.member("kofi", &["worker"]).await;
    let job = guild.draft(&client).await;
    let published = guild.post(&format!("/api/v1/jobs/{job}/publish")).by(&client).send().await;
    let board = guild.get("/api/v1/jobs").after(&published).send().await;
    assert_eq!(board.items()[0]["job"], json!(job));
    let bids = format!("/api/v1/jobs/{job}/bids");
    let made = guild.post(&bids).by(&worker).json(&crate::harness::bid()).send().await;
    let seen = guild.get(&bids).by(&client).after(&made).send().await.expect(StatusCode::OK);
    assert_eq!(seen.items()[0]["cover_letter"], "I forge gates since 1990.");
    let own = guild.get("/api/v1/bids").by(&worker).after(&made).send().await.expect(StatusCode::OK);
    assert_eq!(own.items()[0]["job"]["title"], "A gate for the yard");
    let one = guild.get(&made.header("location")).by(&worker).after(&made).send().await;
    assert_eq!(one.expect(StatusCode::OK).text("/status"), "submitted");
    let mine = guild.get("/api/v1/me/jobs").by(&client).after(&made).send().await.expect(StatusCode::OK);
    assert_eq!(mine.items()[0]["bids"], json!({ "total": 1, "open": 1 }));
}

#[tokio::test]
async fn a_login_is_seen_among_ones_devices() {
    let guild = Guild::start().await;
    guild.member("ama", &["client"]).await;
    let credentials =
        json!({ "email": "ama@example.com", "password": crate::harness::PASSWORD, "device": "phone" });
    let login = guild.post("/api/v1/auth/login").json(&credentials).send().await.expect(StatusCode::OK);
    let devices =
        guild.get("/api/v1/sessions").token(&login.text("/access_token")).after(&login).send().await;
    let devices = devices.expect(StatusCode::OK);
    assert_eq!(devices.items().len(), 2);
    let current = devices.items().iter().find(|device| device["current"] == true).unwrap();
    assert_eq!(current["device"], "phone");
}

#[tokio::test]
async fn a_read_model_that_lags_says_by_how_much() {
    let guild = Guild::start_with(|layers| {
        for key in ["workers.projectors", "workers.processes"] {
            layers.set(key, false, Origin::Given).unwrap();
        }
        layers.set("http.consistency_wait_ms", 20, Origin::Given).unwrap();
    })
    .await;
    let client = guild.member("ama", &["client"]).await;
    guild.draft(&client).await;
    let made = guild.post("/api/v1/jobs").by(&client).json(&job()).send().await.expect(StatusCode::CREATED);
    let read = guild.get(&made.header("location")).by(&client).after(&made).send().await;
    let read = read.problem(503, "lagging");
    assert_eq!(read.body["projection"], "job_detail_v1");
    assert_eq!(read.body["behind_commits"], 2);
    assert_eq!(read.header("retry-after"), "1");
}

#[tokio::test]
async fn a_token_of_another_log_or_none_at_all_is_refused() {
    let (guild, other) = (Guild::start().await, Guild::start().await);
    let client = other.member("ama", &["client"]).await;
    let made = other.post("/api/v1/jobs").by(&client).json(&job()).send().await.expect(StatusCode::CREATED);
    let token = made.header("guildhall-consistency");
    let mut changed = token.clone().into_bytes();
    changed[30] = if changed[30] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    for (asked, wrong) in [(&guild, token.as_str()), (&other, &changed), (&other, "x"), (&other, "")] {
        let reply = asked.get("/api/v1/jobs").header("guildhall-consistency", wrong).send().await;
        reply.problem(400, "invalid_consistency_token");
    }
    let good = other.get("/api/v1/jobs").header("guildhall-consistency", &token).send();
    tokio::time::timeout(Duration::from_secs(30), good).await.unwrap().expect(StatusCode::OK);
}
