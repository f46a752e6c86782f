//! `If-Match`: a command is carried out only at the version it is meant for.

use http::StatusCode;
use serde_json::json;

use crate::harness::{Guild, bid};

#[tokio::test]
async fn a_stale_version_is_refused_and_changes_nothing() {
    let guild = Guild::start_quiet().await;
    let client = guild.member("ama", &["client"]).await;
    let path = format!("/api/v1/jobs/{}", guild.draft(&client).await);
    let title = json!({ "title": "A better gate" });
    let edited = guild.patch(&path).by(&client).if_match(1).json(&title).send().await.expect(StatusCode::OK);
    assert_eq!(edited.version(), 2);
    let ends = guild.ends();
    let worse = json!({ "title": "A worse gate" });
    let stale = guild.patch(&path).by(&client).if_match(1).json(&worse).send().await;
    assert_eq!(stale.problem(412, "version_mismatch").body["version"], 2);
    let stale = guild.post(&format!("{path}/publish")).by(&client).if_match(1).send().await;
    stale.problem(412, "version_mismatch");
    assert_eq!(guild.ends(), ends);
    guild.post(&format!("{path}/publish")).by(&client).if_match(2).send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_repetition_is_answered_although_its_version_has_passed() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let path = format!("/api/v1/jobs/{}/publish", guild.draft(&client).await);
    let publish = async || guild.post(&path).by(&client).key("p").if_match(1).send().await;
    let first = publish().await.expect(StatusCode::OK);
    assert_eq!(publish().await.expect(StatusCode::OK).raw, first.raw);
}

#[tokio::test]
async fn an_edit_without_a_version_keeps_what_it_does_not_name() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let path = format!("/api/v1/jobs/{}", guild.draft(&client).await);
    let (title, skills) = (json!({ "title": "A better gate" }), json!({ "skills": ["smithing"] }));
    let edits = [guild.patch(&path).by(&client).json(&title), guild.patch(&path).by(&client).json(&skills)];
    for reply in futures_util::future::join_all(edits.map(|edit| edit.send())).await {
        reply.expect(StatusCode::OK);
    }
    let job = path.rsplit('/').next().unwrap().parse().unwrap();
    let state = guild.server.app.executor.load::<commands::job::Job>(job).await.unwrap().state;
    let terms = state.terms().unwrap();
    assert_eq!(
        (terms.title.as_str(), terms.skills.as_slice()),
        ("A better gate", &["smithing".to_owned()][..])
    );
    assert_eq!(terms.category, "metal-work");
}

#[tokio::test]
async fn if_match_takes_one_version_in_quotes() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let worker = guild.member("kofi", &["worker"]).await;
    let job = guild.published(&client).await;
    let accept = format!("/api/v1/jobs/{job}/bids/{}/accept", guild.bid(&worker, &job).await);
    for wrong in ["3", "\"three\"", "W/\"3\"", "\"+3\"", "\"1\", \"3\"", "*"] {
        let reply = guild.post(&accept).by(&client).header("if-match", wrong).json(&bid()).send().await;
        reply.problem(400, "invalid_header");
    }
    guild.post(&accept).by(&client).if_match(3).send().await.expect(StatusCode::OK);
}
