//! Who may ask at all.

use events::vocabulary::identity::Role;
use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Guild, PASSWORD};

#[tokio::test]
async fn a_newcomer_registers_logs_in_and_is_known() {
    let guild = Guild::start().await;
    let newcomer = json!({ "email": "Ama@Example.com", "password": PASSWORD, "display_name": "Ama", "roles": ["client"] });
    let registered = guild.post("/api/v1/auth/register").json(&newcomer).send().await;
    let registered = registered.expect(StatusCode::CREATED);
    assert_eq!(registered.header("location"), "/api/v1/me");
    assert!(!registered.raw.contains("token"), "an answer that may be repeated carries no token");
    let member = guild.log_in("ama@example.com").await;
    assert_eq!(member.account, registered.text("/account"));
    let me = guild.get("/api/v1/me").by(&member).send().await.expect(StatusCode::OK);
    assert_eq!(me.text("/email"), "Ama@Example.com");
    assert_eq!(me.text("/display_name"), "Ama");
    assert_eq!(me.body["roles"], json!(["client"]));
    assert_eq!(me.text("/session"), member.session);
}

#[tokio::test]
async fn an_address_is_taken_once_however_it_is_spelt() {
    let guild = Guild::start().await;
    guild.member("kofi", &["worker"]).await;
    let again = json!({ "email": "KOFI@example.com", "password": PASSWORD, "display_name": "K", "roles": ["client"] });
    guild.post("/api/v1/auth/register").json(&again).send().await.problem(409, "email_taken");
}

#[tokio::test]
async fn nobody_makes_themselves_an_administrator() {
    let guild = Guild::start_quiet().await;
    let newcomer = json!({ "email": "eve@example.com", "password": PASSWORD, "display_name": "Eve", "roles": ["admin"] });
    let ends = guild.ends();
    guild.post("/api/v1/auth/register").json(&newcomer).send().await.problem(403, "role_not_allowed");
    assert_eq!(guild.ends(), ends);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same() {
    let guild = Guild::start().await;
    guild.member("ama", &["client"]).await;
    let try_as = async |email: &str| {
        let credentials = json!({ "email": email, "password": "not the password" });
        let reply = guild.post("/api/v1/auth/login").json(&credentials).send().await;
        let reply = reply.problem(401, "invalid_credentials");
        (reply.text("/detail"), reply.text("/title"))
    };
    assert_eq!(try_as("ama@example.com").await, try_as("nobody@example.com").await);
}

#[tokio::test]
async fn without_a_good_token_nobody_is_let_in() {
    let guild = Guild::start().await;
    let member = guild.member("ama", &["client"]).await;
    let reply = guild.get("/api/v1/me").send().await.problem(401, "unauthenticated");
    assert_eq!(reply.header("www-authenticate"), "Bearer");
    let mut forged = member.token.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'Q' } else { 'A' });
    let none = with_algorithm_none(&member.token);
    for token in ["", "x.y.z", &forged, &none] {
        guild.get("/api/v1/me").token(token).send().await.problem(401, "unauthenticated");
    }
    guild
        .get("/api/v1/me")
        .header("authorization", "Basic YTpi")
        .send()
        .await
        .problem(401, "unauthenticated");
}

/// The claims of a token behind a header that asks for no signature.
fn with_algorithm_none(token: &str) -> String {
    let claims = token.split('.').nth(1).unwrap();
    let header = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"none","typ":"JWT"}"#);
    format!("{header}.{claims}.")
}

#[tokio::test]
async fn a_session_that_ended_takes_its_tokens_with_it() {
    let guild = Guild::start().await;
    let member = guild.member("ama", &["client"]).await;
    let other = guild.log_in("ama@example.com").await;
    guild.post("/api/v1/auth/logout").by(&member).send().await.expect(StatusCode::OK);
    guild.get("/api/v1/me").by(&member).send().await.problem(401, "session_ended");
    guild.get("/api/v1/me").by(&other).send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_session_runs_out_with_domain_time() {
    let guild = Guild::start().await;
    let member = guild.member("ama", &["client"]).await;
    let advance = json!({ "advance": "31d" });
    guild.post("/ops/test-clock").json(&advance).send().await.expect(StatusCode::OK);
    guild.get("/api/v1/me").by(&member).send().await.problem(401, "session_ended");
    let again = guild.log_in("ama@example.com").await;
    guild.get("/api/v1/me").by(&again).send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_token_outlives_a_restart() {
    let guild = Guild::start().await;
    let member = guild.member("ama", &["client"]).await;
    let guild = guild.restart().await;
    guild.get("/api/v1/me").by(&member).send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_service_shows_a_token_of_its_own_and_is_no_person() {
    let guild = Guild::start().await;
    let tokens = &guild.server.app.tokens;
    let operator = tokens.for_service("watchman", Role::Operator, 60).unwrap();
    let service = tokens.for_service("importer", Role::Service, 60).unwrap();
    guild.get("/ops/log").token(&operator).send().await.expect(StatusCode::OK);
    guild.get("/ops/log").token(&service).send().await.problem(403, "forbidden");
    guild.get("/api/v1/me").token(&operator).send().await.problem(403, "forbidden");
}

#[tokio::test]
async fn what_a_person_is_called_does_not_stand_on_the_log() {
    let guild = Guild::start().await;
    guild.member("yaa-asantewaa", &["client"]).await;
    let log = std::fs::read(guild.folder().join("log.db-wal")).unwrap_or_default();
    let file = std::fs::read(guild.folder().join("log.db")).unwrap();
    for bytes in [log, file] {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("yaa-asantewaa") && !text.contains(PASSWORD) && !text.contains("argon2"));
    }
    let nothing = guild.get("/api/v1/jobs").send().await;
    assert_eq!(nothing.body["next"], Value::Null);
}
