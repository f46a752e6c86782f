//! A dead letter stands in the way of its own stream, and operators can see it.

use events::{Category, StreamId, Timestamp, ids::JobId, ids::LetterId};
use http::StatusCode;
use projections::{Batch, DocumentKey, Json, ProjectionId, Write};
use serde_json::{Value, json};

use crate::harness::{Guild, Reply, job};

/// Puts a letter of `job_detail` in the way of the job that `made` tells of, as its runner would.
async fn park(guild: &Guild, made: &Reply) -> String {
    let id: JobId = made.text("/job").parse().unwrap();
    let stream = StreamId::new(Category::Job, id);
    let log = &guild.server.app.log;
    let position = log.load(stream, 0, 1).unwrap()[0].position;
    let (letter, now) = (LetterId::fresh(), Timestamp::now());
    let entry = json!({ "position": position, "version": 1, "events": 1 });
    let document = json!({
        "id": letter, "projection": { "name": "job_detail", "version": 1 }, "sequence": stream, "log": log.id(),
        "parked_at": now, "state": "parked", "followers": [entry], "overflow": [],
        "head": {
            "entry": entry, "stream": stream, "event_id": null, "event_type": "guildhall.jobs.JobCreated",
            "cause": { "message": "it does not fit", "chain": ["because"] },
            "attempts": 3, "first_failed_at": now, "last_failed_at": now,
        },
    });
    let write = Write {
        document: DocumentKey { collection: "letters", key: stream.to_string() },
        value: Some(Json::of(&document).unwrap()),
    };
    let projection = ProjectionId::new("job_detail", 1);
    let batch = Batch { projection, writes: vec![write], advances: Vec::new(), unchanged: Vec::new() };
    guild.server.app.store.commit(batch).await.unwrap();
    letter.to_string()
}

fn operator(guild: &Guild) -> String {
    let role = events::vocabulary::identity::Role::Operator;
    guild.server.app.tokens.for_service("watchman", role, 60).unwrap()
}

#[tokio::test]
async fn a_query_behind_a_letter_says_which_letter() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let post =
        async || guild.post("/api/v1/jobs").by(&client).json(&job()).send().await.expect(StatusCode::CREATED);
    let (parked, free) = (post().await, post().await);
    let read = async |made: &Reply| guild.get(&made.header("location")).by(&client).after(made).send().await;
    read(&parked).await.expect(StatusCode::OK);
    let letter = park(&guild, &parked).await;
    let refused = read(&parked).await.problem(503, "parked");
    assert_eq!((refused.text("/letter"), refused.text("/projection")), (letter, "job_detail_v1".into()));
    read(&free).await.expect(StatusCode::OK);
    guild.get("/api/v1/me/jobs").by(&client).after(&parked).send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn operators_see_letters_and_nobody_else_does() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let token = operator(&guild);
    let mut letters = Vec::new();
    for _ in 0..3 {
        let made = guild.post("/api/v1/jobs").by(&client).json(&job()).send().await;
        guild.get(&made.header("location")).by(&client).after(&made).send().await.expect(StatusCode::OK);
        letters.push(park(&guild, &made).await);
    }
    let mut seen = Vec::new();
    let mut path = "/ops/dead-letters?limit=2&projection=job_detail".to_owned();
    loop {
        let page = guild.get(&path).token(&token).send().await.expect(StatusCode::OK);
        seen.extend(page.items().iter().map(|letter| letter["letter"].as_str().unwrap().to_owned()));
        let Some(cursor) = page.body["next"].as_str() else { break };
        path = format!("/ops/dead-letters?limit=2&projection=job_detail&cursor={cursor}");
    }
    letters.sort();
    seen.sort();
    assert_eq!(seen, letters);
    let one = guild.get(&format!("/ops/dead-letters/{}", letters[0])).token(&token).send().await;
    let one = one.expect(StatusCode::OK);
    assert_eq!(one.body["causes"], json!(["it does not fit", "because"]));
    assert_eq!((one.text("/state"), one.body["waiting_events"].clone()), ("parked".into(), json!(1)));
    let none = format!("/ops/dead-letters/ltr_{}", "0".repeat(32));
    guild.get(&none).token(&token).send().await.problem(404, "not_found");
    guild.post(&format!("{none}/retry")).token(&token).send().await.problem(404, "not_found");
    for path in ["/ops/dead-letters", "/ops/projections", "/ops/log"] {
        guild.get(path).by(&client).send().await.problem(403, "forbidden");
        guild.get(path).send().await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn every_runner_is_listed_with_its_lag() {
    let guild = Guild::start().await;
    let report = guild.get("/ops/projections").token(&operator(&guild)).send().await.expect(StatusCode::OK);
    let named = |runner: &Value| runner["projection"].as_str().unwrap().to_owned();
    let names: Vec<String> = report.body["runners"].as_array().unwrap().iter().map(named).collect();
    for projection in projections::all() {
        assert!(names.contains(&projection.id().to_string()), "{names:?}");
    }
    assert!(names.contains(&"reactor_v1".to_owned()), "{names:?}");
}
