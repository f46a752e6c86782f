//! From a posted job to a signed contract, and what others may see and do of it.

use http::StatusCode;
use serde_json::json;

use crate::harness::{Guild, bid, deal::Deal, ghs};

#[tokio::test]
async fn an_accepted_bid_becomes_a_contract_that_both_sign() {
    let Deal { guild, client, worker, job, contract } = Deal::proposed().await;
    let path = format!("/api/v1/contracts/{contract}");
    let proposed = guild.get(&path).by(&worker).send().await.expect(StatusCode::OK);
    assert_eq!(proposed.body["price"], ghs("150000"));
    assert_eq!(proposed.body["milestones"][1]["title"], "Wings");
    let signed = guild.post(&format!("{path}/sign")).by(&client).send().await.expect(StatusCode::OK);
    let half = guild.get(&path).by(&client).after(&signed).send().await.expect(StatusCode::OK);
    assert_eq!(
        (half.text("/status"), half.body["signed_by"].clone()),
        ("proposed".into(), json!([client.account]))
    );
    let signed = guild.post(&format!("{path}/sign")).by(&worker).send().await.expect(StatusCode::OK);
    let whole = guild.get(&path).by(&worker).after(&signed).send().await.expect(StatusCode::OK);
    assert_eq!(whole.text("/status"), "signed");
    let listed = guild.get("/api/v1/contracts?status=signed").by(&client).after(&signed).send().await;
    assert_eq!(listed.items()[0]["contract"], json!(contract));
    let detail = guild.get(&format!("/api/v1/jobs/{job}")).after(&signed).send().await.expect(StatusCode::OK);
    assert_eq!(
        (detail.text("/status"), detail.text("/contract_status")),
        ("awarded".into(), "signed".into())
    );
}

#[tokio::test]
async fn a_declined_contract_opens_the_job_again() {
    let Deal { guild, client, worker, job, contract } = Deal::proposed().await;
    let path = format!("/api/v1/contracts/{contract}/decline");
    guild.post(&path).by(&worker).send().await.expect(StatusCode::OK);
    guild.until(&client, &format!("/api/v1/jobs/{job}"), |job| job["status"] == "published").await;
    guild
        .post(&format!("/api/v1/contracts/{contract}/sign"))
        .by(&client)
        .send()
        .await
        .problem(409, "contract_not_proposed");
}

#[tokio::test]
async fn an_unsigned_contract_expires_and_opens_the_job_again() {
    let Deal { guild, client, job, contract, .. } = Deal::proposed().await;
    guild.post("/ops/test-clock").json(&json!({ "advance": "8d" })).send().await.expect(StatusCode::OK);
    guild.until(&client, &format!("/api/v1/jobs/{job}"), |job| job["status"] == "published").await;
    let path = format!("/api/v1/contracts/{contract}");
    guild.until(&client, &path, |contract| contract["status"] == "expired").await;
}

#[tokio::test]
async fn somebody_elses_contract_is_neither_read_nor_touched() {
    let Deal { guild, contract, .. } = Deal::proposed().await;
    let stranger = guild.member("esi", &["client", "worker"]).await;
    let path = format!("/api/v1/contracts/{contract}");
    guild.get(&path).by(&stranger).send().await.problem(404, "not_found");
    for act in ["sign", "decline", "cancel"] {
        guild.post(&format!("{path}/{act}")).by(&stranger).send().await.problem(403, "not_a_party");
    }
    guild.get(&path).send().await.problem(401, "unauthenticated");
    let listed = guild.get("/api/v1/contracts").by(&stranger).send().await.expect(StatusCode::OK);
    assert!(listed.items().is_empty());
}

#[tokio::test]
async fn a_worker_sees_and_touches_only_their_own_bids() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let (kofi, yaw) = (guild.member("kofi", &["worker"]).await, guild.member("yaw", &["worker"]).await);
    let job = guild.published(&client).await;
    let bids = format!("/api/v1/jobs/{job}/bids");
    let theirs = guild.bid(&kofi, &job).await;
    let made = guild.post(&bids).by(&yaw).json(&bid()).send().await.expect(StatusCode::CREATED);
    let seen = async |by| guild.get(&bids).by(by).after(&made).send().await.items().len();
    assert_eq!((seen(&client).await, seen(&kofi).await, seen(&yaw).await), (2, 1, 1));
    guild.get(&format!("{bids}/{theirs}")).by(&yaw).send().await.problem(404, "not_found");
    guild.get(&format!("{bids}/{theirs}")).by(&client).send().await.expect(StatusCode::OK);
    let touch =
        async |act: &str, by| guild.post(&format!("{bids}/{theirs}/{act}")).by(by).json(&bid()).send().await;
    touch("withdraw", &yaw).await.problem(403, "not_your_bid");
    touch("revise", &yaw).await.problem(403, "not_your_bid");
    touch("accept", &yaw).await.problem(403, "not_your_job");
    touch("revise", &kofi).await.expect(StatusCode::OK);
    touch("withdraw", &kofi).await.expect(StatusCode::OK);
    touch("reject", &client).await.problem(409, "bid_not_active");
}

#[tokio::test]
async fn one_award_rejects_the_other_bids() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let (kofi, yaw) = (guild.member("kofi", &["worker"]).await, guild.member("yaw", &["worker"]).await);
    let job = guild.published(&client).await;
    let (first, second) = (guild.bid(&kofi, &job).await, guild.bid(&yaw, &job).await);
    let accept = |bid: String| guild.post(&format!("/api/v1/jobs/{job}/bids/{bid}/accept")).by(&client);
    accept(first).send().await.expect(StatusCode::OK);
    assert_eq!(accept(second.clone()).send().await.status, StatusCode::CONFLICT);
    let path = format!("/api/v1/jobs/{job}/bids/{second}");
    let bid = guild.until(&yaw, &path, |bid| bid["status"] == "rejected").await;
    assert_eq!(bid["rejection"], "another_accepted");
}

#[tokio::test]
async fn a_draft_is_seen_by_its_client_only() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let other = guild.member("esi", &["client"]).await;
    let made = guild.post("/api/v1/jobs").by(&client).json(&crate::harness::job()).send().await;
    let path = made.header("location");
    guild.get(&path).by(&client).after(&made).send().await.expect(StatusCode::OK);
    guild.get(&path).by(&other).send().await.problem(404, "not_found");
    guild.get(&path).send().await.problem(404, "not_found");
    assert!(guild.get("/api/v1/jobs").after(&made).send().await.items().is_empty());
    guild.get(&format!("{path}/bids")).by(&other).send().await.problem(404, "job_not_found");
}
