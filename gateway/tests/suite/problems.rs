//! Every error is a problem document, and every answer can be found again in the logs.

use commands::{Conflict, Outage};
use gateway::http::Problem;
use http::StatusCode;

use crate::harness::Guild;

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_problems() {
    let guild = Guild::start().await;
    let missing = guild.get("/api/v1/gates").send().await.problem(404, "not_found");
    assert_eq!(missing.text("/instance"), "/api/v1/gates");
    assert_eq!(missing.text("/type"), "/api/docs#not_found");
    let wrong = guild.client.call("DELETE", "/api/v1/jobs").send().await.problem(405, "method_not_allowed");
    let mut allowed: Vec<_> =
        wrong.header("allow").split(',').map(|method| method.trim().to_owned()).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

/// After an attempt that is in doubt, a repetition may be refused although the first one was carried out.
#[test]
fn what_was_not_taken_speaks_of_this_attempt_only() {
    let away = || "the log is away".to_owned();
    for (problem, code) in [
        (Problem::from(Outage::Overloaded), "overloaded"),
        (Problem::from(Outage::Unavailable(away())), "unavailable"),
        (Problem::from(Outage::Damaged(away())), "unavailable"),
        (Problem::from(Conflict::Contended), "contended"),
    ] {
        let told = problem.to_string();
        assert!(told.starts_with(&format!("{code}: this attempt did nothing")), "{told}");
    }
}

#[tokio::test]
async fn a_correlation_id_comes_back() {
    let guild = Guild::start().await;
    let reply = guild.get("/health").header("x-correlation-id", "order-7.a_B").send().await;
    assert_eq!(reply.header("x-correlation-id"), "order-7.a_B");
    let reply = guild.get("/nothing").header("x-correlation-id", "order-7").send().await;
    assert_eq!(reply.problem(404, "not_found").text("/trace_id"), "order-7");
    for unfit in ["a b", &"a".repeat(65), "a\"b"] {
        let reply = guild.get("/health").header("x-correlation-id", unfit).send().await;
        assert_eq!(reply.header("x-correlation-id").len(), 32);
    }
}

#[tokio::test]
async fn what_a_request_led_to_carries_its_correlation_and_trace() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let call = guild.post("/api/v1/jobs").by(&client).header("traceparent", trace);
    let made = call.header("x-correlation-id", "order-7").json(&crate::harness::job()).send().await;
    let job: events::ids::JobId = made.expect(StatusCode::CREATED).text("/job").parse().unwrap();
    let stream = events::StreamId::new(events::Category::Job, job);
    let commits = guild.server.app.log.load(stream, 0, 1).unwrap();
    let event = commits[0].events().unwrap().remove(0).unwrap();
    assert_eq!(event.stamp.correlation_id, "order-7");
    assert_eq!(event.stamp.traceparent.as_deref(), Some(trace));
    assert_eq!(event.stamp.actor, format!("account:{}", client.account));
}

#[tokio::test]
async fn every_answer_is_guarded_by_headers() {
    let guild = Guild::start().await;
    for path in ["/health", "/nothing", "/api/docs"] {
        let reply = guild.get(path).send().await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("x-frame-options"), "DENY");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"));
    }
}

#[tokio::test]
async fn requests_are_counted_and_timed_by_route() {
    let guild = Guild::start().await;
    let id = "0".repeat(32);
    guild.get(&format!("/api/v1/jobs/job_{id}")).send().await.problem(404, "not_found");
    let metrics = guild.get("/metrics").send().await.expect(StatusCode::OK).raw;
    let counted = r#"guildhall_http_requests_total{route="/api/v1/jobs/{job}",method="GET",status="404"}"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.contains("guildhall_http_request_duration_seconds_bucket"), "{metrics}");
    assert!(!metrics.contains(&id));
}

#[tokio::test]
async fn a_server_says_when_it_is_ready() {
    let guild = Guild::start().await;
    guild.get("/health").send().await.expect(StatusCode::OK);
    guild.get("/health/live").send().await.expect(StatusCode::OK);
    let mut ready = guild.get("/health/ready").send().await;
    while ready.status != StatusCode::OK {
        assert!(ready.problem(503, "unavailable").text("/detail").contains("is starting"));
        tokio::task::yield_now().await;
        ready = guild.get("/health/ready").send().await;
    }
    guild.server.app.workers.shutdown().await;
    let reply = guild.get("/health/ready").send().await.problem(503, "unavailable");
    assert!(reply.body["reasons"].to_string().contains("board_v1 jobs/0 has ended"), "{}", reply.raw);
    guild.get("/health").send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn an_outage_says_so_and_tells_nothing_of_its_cause() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    guild.server.app.log.close();
    let reply = guild.post("/api/v1/jobs").by(&client).json(&crate::harness::job()).send().await;
    let reply = reply.problem(503, "unavailable");
    assert_eq!(reply.header("retry-after"), "1");
    assert!(!reply.raw.contains("log"), "{}", reply.raw);
}
