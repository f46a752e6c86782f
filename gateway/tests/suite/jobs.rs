//! A job from its draft on, as its client and others see it.

use http::StatusCode;
use serde_json::json;

use crate::harness::{Guild, ghs, job};

#[tokio::test]
async fn a_draft_has_a_place_a_version_and_a_token() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let made = guild.post("/api/v1/jobs").by(&client).json(&job()).send().await.expect(StatusCode::CREATED);
    assert_eq!(made.header("location"), format!("/api/v1/jobs/{}", made.text("/job")));
    assert_eq!(made.version(), 1);
    assert!(!made.header("guildhall-consistency").is_empty());
}

#[tokio::test]
async fn only_clients_post_jobs() {
    let guild = Guild::start().await;
    let worker = guild.member("kofi", &["worker"]).await;
    guild.post("/api/v1/jobs").by(&worker).json(&job()).send().await.problem(403, "not_a_client");
}

#[tokio::test]
async fn the_rules_of_the_budget_are_told_by_their_codes() {
    let guild = Guild::start_quiet().await;
    let client = guild.member("ama", &["client"]).await;
    let ends = guild.ends();
    let mut inverted = job();
    inverted["budget"] = json!({ "min": ghs("2"), "max": ghs("1") });
    guild.post("/api/v1/jobs").by(&client).json(&inverted).send().await.problem(422, "budget_inverted");
    let mut mixed = job();
    mixed["budget"]["min"]["currency"] = "USD".into();
    guild.post("/api/v1/jobs").by(&client).json(&mixed).send().await.problem(422, "currency_mismatch");
    assert_eq!(guild.ends(), ends);
}

#[tokio::test]
async fn a_job_is_published_once_and_called_off_by_its_client_only() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let other = guild.member("esi", &["client"]).await;
    let job = guild.published(&client).await;
    let again = guild.post(&format!("/api/v1/jobs/{job}/publish")).by(&client).send().await;
    again.problem(409, "job_not_draft");
    let cancel = format!("/api/v1/jobs/{job}/cancel");
    guild.post(&cancel).by(&other).send().await.problem(403, "not_your_job");
    guild.post(&cancel).by(&client).send().await.expect(StatusCode::OK);
    guild.post(&cancel).by(&client).send().await.problem(409, "job_not_cancellable");
}

#[tokio::test]
async fn somebody_elses_draft_does_not_exist() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let other = guild.member("esi", &["client"]).await;
    let job = guild.draft(&client).await;
    let path = format!("/api/v1/jobs/{job}");
    guild
        .patch(&path)
        .by(&other)
        .json(&json!({ "title": "Mine" }))
        .send()
        .await
        .problem(404, "job_not_found");
    guild.post(&format!("{path}/publish")).by(&other).send().await.problem(404, "job_not_found");
    let unknown = "/api/v1/jobs/job_00000000000000000000000000000000/publish";
    guild.post(unknown).by(&client).send().await.problem(404, "job_not_found");
    guild.post("/api/v1/jobs/gate-7/publish").by(&client).send().await.problem(404, "not_found");
}
