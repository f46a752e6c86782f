//! A repeated `Idempotency-Key` has no second effect and gets the first answer.

use http::StatusCode;
use serde_json::json;

use crate::harness::{Guild, PASSWORD, bid, job};

#[tokio::test]
async fn a_repeated_key_makes_one_job_and_gets_the_same_answer() {
    let guild = Guild::start_quiet().await;
    let client = guild.member("ama", &["client"]).await;
    let post = async || guild.post("/api/v1/jobs").by(&client).key("gate-1").json(&job()).send().await;
    let first = post().await.expect(StatusCode::CREATED);
    let ends = guild.ends();
    let again = post().await.expect(StatusCode::CREATED);
    assert_eq!(guild.ends(), ends);
    assert_eq!(first.raw, again.raw);
    for header in ["location", "etag", "guildhall-consistency"] {
        assert_eq!(first.header(header), again.header(header), "{header}");
    }
}

#[tokio::test]
async fn the_first_answer_is_given_however_things_have_gone_on() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let post = async || guild.post("/api/v1/jobs").by(&client).key("gate-1").json(&job()).send().await;
    let first = post().await.expect(StatusCode::CREATED);
    let cancel = format!("/api/v1/jobs/{}/cancel", first.text("/job"));
    guild.post(&cancel).by(&client).send().await.expect(StatusCode::OK);
    assert_eq!(post().await.expect(StatusCode::CREATED).raw, first.raw);
}

#[tokio::test]
async fn a_key_with_another_content_is_refused() {
    let guild = Guild::start_quiet().await;
    let client = guild.member("ama", &["client"]).await;
    guild
        .post("/api/v1/jobs")
        .by(&client)
        .key("gate-1")
        .json(&job())
        .send()
        .await
        .expect(StatusCode::CREATED);
    let ends = guild.ends();
    let mut other = job();
    other["title"] = "Another gate".into();
    let reply = guild.post("/api/v1/jobs").by(&client).key("gate-1").json(&other).send().await;
    reply.problem(422, "idempotency_key_reused");
    assert_eq!(guild.ends(), ends);
}

#[tokio::test]
async fn a_key_belongs_to_its_caller_and_operation() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let other = guild.member("esi", &["client"]).await;
    let post = async |by| guild.post("/api/v1/jobs").by(by).key("1").json(&job()).send().await;
    let mine = post(&client).await.expect(StatusCode::CREATED).text("/job");
    let theirs = post(&other).await.expect(StatusCode::CREATED).text("/job");
    assert_ne!(mine, theirs);
    let publish = format!("/api/v1/jobs/{mine}/publish");
    guild.post(&publish).by(&client).key("1").send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_repeated_bid_is_one_bid() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let worker = guild.member("kofi", &["worker"]).await;
    let path = format!("/api/v1/jobs/{}/bids", guild.published(&client).await);
    let post = async || guild.post(&path).by(&worker).key("b").json(&bid()).send().await;
    let first = post().await.expect(StatusCode::CREATED);
    assert_eq!(post().await.expect(StatusCode::CREATED).raw, first.raw);
    guild.post(&path).by(&worker).json(&bid()).send().await.problem(409, "bid_already_active");
}

#[tokio::test]
async fn a_repeated_registration_is_one_account() {
    let guild = Guild::start().await;
    let newcomer = json!({ "email": "ama@example.com", "password": PASSWORD, "display_name": "Ama", "roles": ["client"] });
    let post = async || guild.post("/api/v1/auth/register").key("r").json(&newcomer).send().await;
    let first = post().await.expect(StatusCode::CREATED);
    assert_eq!(post().await.expect(StatusCode::CREATED).raw, first.raw);
    guild.post("/api/v1/auth/register").json(&newcomer).send().await.problem(409, "email_taken");
}

#[tokio::test]
async fn a_login_is_never_replayed() {
    let guild = Guild::start().await;
    guild.member("ama", &["client"]).await;
    let credentials = json!({ "email": "ama@example.com", "password": PASSWORD });
    let post = async || guild.post("/api/v1/auth/login").key("l").json(&credentials).send().await;
    let first = post().await.expect(StatusCode::OK);
    assert_ne!(post().await.expect(StatusCode::OK).text("/session"), first.text("/session"));
}

#[tokio::test]
async fn a_rejection_is_not_remembered() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let worker = guild.member("kofi", &["worker"]).await;
    let job = guild.draft(&client).await;
    let path = format!("/api/v1/jobs/{job}/bids");
    let post = async || guild.post(&path).by(&worker).key("b").json(&bid()).send().await;
    post().await.problem(404, "job_not_found");
    guild.post(&format!("/api/v1/jobs/{job}/publish")).by(&client).send().await.expect(StatusCode::OK);
    post().await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_key_is_short_and_visible() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    for key in ["", "two words", &"k".repeat(129)] {
        let reply = guild.post("/api/v1/jobs").by(&client).key(key).json(&job()).send().await;
        reply.problem(400, "invalid_header");
    }
}
