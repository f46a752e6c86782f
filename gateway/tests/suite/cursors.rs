//! Lists come in pages; a cursor leads on in its own list and in no other.

use http::StatusCode;
use serde_json::Value;

use crate::harness::{Guild, Member};

async fn guild_with_jobs(count: usize) -> (Guild, Member) {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    for _ in 1..count {
        guild.published(&client).await;
    }
    let last = guild.draft(&client).await;
    let published = guild.post(&format!("/api/v1/jobs/{last}/publish")).by(&client).send().await;
    guild.get("/api/v1/jobs").after(&published).send().await.expect(StatusCode::OK);
    guild.get("/api/v1/me/jobs").by(&client).after(&published).send().await.expect(StatusCode::OK);
    (guild, client)
}

fn next(reply: &Value) -> Option<String> {
    reply["next"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn pages_hold_everything_once_in_order() {
    let (guild, _) = guild_with_jobs(7).await;
    let whole = guild.get("/api/v1/jobs").send().await.expect(StatusCode::OK);
    assert_eq!((whole.items().len(), next(&whole.body)), (7, None));
    let mut seen = Vec::new();
    let mut path = "/api/v1/jobs?limit=3".to_owned();
    loop {
        let page = guild.get(&path).send().await.expect(StatusCode::OK);
        assert!(page.items().len() <= 3);
        seen.extend(page.items().to_vec());
        let Some(cursor) = next(&page.body) else { break };
        path = format!("/api/v1/jobs?limit=3&cursor={cursor}");
    }
    assert_eq!(seen, whole.items());
}

#[tokio::test]
async fn a_cursor_of_another_query_or_person_is_refused() {
    let (guild, client) = guild_with_jobs(3).await;
    let other = guild.member("esi", &["client"]).await;
    let board = guild.get("/api/v1/jobs?limit=1").send().await.expect(StatusCode::OK);
    let mine = guild.get("/api/v1/me/jobs?limit=1").by(&client).send().await.expect(StatusCode::OK);
    let (board, mine) = (next(&board.body).unwrap(), next(&mine.body).unwrap());
    guild.get(&format!("/api/v1/jobs?limit=2&cursor={board}")).send().await.expect(StatusCode::OK);
    let mut changed = board.clone().into_bytes();
    changed[5] = if changed[5] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    for path in [
        format!("/api/v1/jobs?skill=welding&cursor={board}"),
        format!("/api/v1/jobs?cursor={mine}"),
        format!("/api/v1/jobs?cursor={changed}"),
        "/api/v1/jobs?cursor=x".to_owned(),
    ] {
        guild.get(&path).send().await.problem(400, "invalid_cursor");
    }
    for cursor in [&board, &mine] {
        let reply = guild.get(&format!("/api/v1/me/jobs?cursor={cursor}")).by(&other).send().await;
        reply.problem(400, "invalid_cursor");
    }
}

#[tokio::test]
async fn the_board_is_searched_by_words_skill_category_and_budget() {
    let (guild, _) = guild_with_jobs(1).await;
    for (query, found) in [
        ("q=gate", 1),
        ("q=yard%20iron", 1),
        ("q=bridge", 0),
        ("skill=welding", 1),
        ("skill=baking", 0),
        ("category=metal-work", 1),
        ("category=bakery", 0),
        ("currency=GHS&min=250000", 1),
        ("currency=GHS&min=250001", 0),
        ("currency=GHS&max=99999", 0),
        ("currency=USD", 0),
        ("status=cancelled", 0),
        ("q=gate&skill=welding&category=metal-work&currency=GHS&max=100000&status=published", 1),
    ] {
        let reply = guild.get(&format!("/api/v1/jobs?{query}")).send().await.expect(StatusCode::OK);
        assert_eq!(reply.items().len(), found, "{query}");
    }
}
