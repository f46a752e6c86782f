//! A webhook is believed when it is signed, recent and whole, and changes something once; every other one changes nothing and
//! is told why.

use gateway::settings::Origin;
use http::StatusCode;
use sandbox::signature::{HEADER, sign};
use serde_json::{Value, json};

use crate::harness::{Guild, Reply};

const PATH: &str = "/webhooks/sandbox";
/// As the default settings have it.
const SECRET: &str = "development only: the secret of the sandbox's webhooks";

fn now_s() -> i64 {
    events::Timestamp::now().micros() / 1_000_000
}

/// Something of the sandbox's that concerns nobody here.
fn told(event: &str) -> String {
    json!({
        "id": event,
        "type": "charge.succeeded",
        "created_at": "2026-11-21T12:00:00Z",
        "data": {
            "id": "ch_1",
            "reference": format!("pay_{}:attempt:1", "0".repeat(32)),
            "amount": { "amount": "1050", "currency": "GHS" },
            "status": "succeeded",
        },
    })
    .to_string()
}

async fn send(guild: &Guild, body: &str, signature: Option<&str>) -> Reply {
    let call = guild.post(PATH).text(body);
    match signature {
        Some(signature) => call.header(HEADER, signature).send().await,
        None => call.send().await,
    }
}

fn signed(secret: &str, at_s: i64, body: &str) -> String {
    sign([secret.as_bytes()], at_s, body.as_bytes())
}

#[tokio::test]
async fn a_webhook_is_taken_once_however_often_it_is_told() {
    let guild = Guild::start_quiet().await;
    let (body, before) = (told("evt_1"), guild.ends());
    let first = send(&guild, &body, Some(&signed(SECRET, now_s(), &body))).await.expect(StatusCode::OK);
    assert_eq!(first.body["known"], false, "{}", first.raw);
    let ends = guild.ends_once_written(&before).await;
    for at_s in [now_s(), now_s() - 120, now_s() + 120] {
        let again = send(&guild, &body, Some(&signed(SECRET, at_s, &body))).await.expect(StatusCode::OK);
        assert_eq!((&again.body["known"], &again.body["receipt"]), (&json!(true), &first.body["receipt"]));
    }
    assert_eq!(guild.ends(), ends, "a repetition writes nothing");
    let listed = "/api/v1/admin/webhooks";
    let log = guild.until_operator(listed, |log| log["items"][0]["receipt"] == first.body["receipt"]).await;
    assert_eq!((&log["items"][0]["event"], &log["items"][1]), (&json!("evt_1"), &Value::Null));
    let member = guild.member("ama", &["client"]).await;
    guild.get(listed).by(&member).send().await.problem(403, "forbidden");
}

#[tokio::test]
async fn what_is_not_the_providers_changes_nothing_and_is_told_why() {
    let guild = Guild::start_quiet().await;
    let ends = guild.ends();
    let body = told("evt_1");
    let (ours, old, new) = (
        signed(SECRET, now_s(), &body),
        signed(SECRET, now_s() - 301, &body),
        signed(SECRET, now_s() + 302, &body),
    );
    let forged = signed("a secret that nobody shared with this server", now_s(), &body);
    send(&guild, &body, None).await.problem(400, "webhook_signature_missing");
    send(&guild, &body, Some("v1=zz")).await.problem(400, "webhook_signature_malformed");
    send(&guild, &body, Some(&forged)).await.problem(403, "webhook_signature_wrong");
    send(&guild, &body, Some(&old)).await.problem(403, "webhook_too_old");
    send(&guild, &body, Some(&new)).await.problem(403, "webhook_too_new");
    let truncated = &body[..body.len() - 1];
    send(&guild, truncated, Some(&ours)).await.problem(403, "webhook_signature_wrong");
    let tampered = body.replace("1050", "9050");
    send(&guild, &tampered, Some(&ours)).await.problem(403, "webhook_signature_wrong");
    let older = ours.replace(&format!("t={}", now_s()), &format!("t={}", now_s() - 1));
    if older != ours {
        send(&guild, &body, Some(&older)).await.problem(403, "webhook_signature_wrong");
    }
    assert_eq!(guild.ends(), ends);
}

#[tokio::test]
async fn what_is_signed_and_makes_no_sense_changes_nothing_either() {
    let guild = Guild::start_quiet().await;
    let ends = guild.ends();
    for (body, status, code) in [
        ("not JSON", 400, "webhook_not_json"),
        ("[]", 422, "webhook_unknown_shape"),
        ("{\"id\":\"evt_1\"}", 422, "webhook_unknown_shape"),
    ] {
        send(&guild, body, Some(&signed(SECRET, now_s(), body))).await.problem(status, code);
    }
    let huge = format!("\"{}\"", "a".repeat(70_000));
    send(&guild, &huge, Some(&signed(SECRET, now_s(), &huge))).await.problem(413, "too_large");
    let body = told("evt_1");
    let call = guild.post("/webhooks/somebody").text(&body).header(HEADER, signed(SECRET, now_s(), &body));
    call.send().await.problem(404, "not_found");
    assert_eq!(guild.ends(), ends);
}

#[tokio::test]
async fn another_story_under_the_same_name_is_refused() {
    let guild = Guild::start_quiet().await;
    let (body, other) = (told("evt_1"), told("evt_1").replace("1050", "9050"));
    let before = guild.ends();
    send(&guild, &body, Some(&signed(SECRET, now_s(), &body))).await.expect(StatusCode::OK);
    let ends = guild.ends_once_written(&before).await;
    send(&guild, &other, Some(&signed(SECRET, now_s(), &other))).await.problem(409, "receipt_differs");
    assert_eq!(guild.ends(), ends);
}

#[tokio::test]
async fn during_a_rotation_either_secret_is_believed() {
    let next = "the secret that takes over, in time to be known";
    let secrets = toml::Value::Array(vec![SECRET.into(), next.into()]);
    let change = |layers: &mut gateway::settings::Layers| {
        layers.set("payments.webhook_secrets", secrets, Origin::Given).unwrap();
        layers.set("workers.processes", false, Origin::Given).unwrap();
    };
    let guild = Guild::start_with(change).await;
    for (event, secret) in [("evt_1", SECRET), ("evt_2", next)] {
        let body = told(event);
        let taken = send(&guild, &body, Some(&signed(secret, now_s(), &body))).await;
        assert_eq!(taken.expect(StatusCode::OK).body["known"], Value::Bool(false));
    }
}

#[tokio::test]
async fn without_a_provider_there_is_nobody_to_tell_anything() {
    let none = |layers: &mut gateway::settings::Layers| {
        layers.set("payments.provider", "none", Origin::Given).unwrap();
    };
    let guild = Guild::start_with(none).await;
    let body = told("evt_1");
    send(&guild, &body, Some(&signed(SECRET, now_s(), &body))).await.problem(404, "not_found");
}
