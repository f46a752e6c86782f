//! What does not fit is refused with a code that says why, and changes nothing.

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Guild, Member, PASSWORD, bid, ghs, job};

/// One wrong body: what it is, the body, the answer's status and code, and the field it must name.
struct Wrong {
    what: &'static str,
    body: String,
    status: u16,
    code: &'static str,
    field: &'static str,
}

fn wrong(
    what: &'static str,
    body: impl ToString,
    status: u16,
    code: &'static str,
    field: &'static str,
) -> Wrong {
    Wrong { what, body: body.to_string(), status, code, field }
}

fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    *body.pointer_mut(pointer).unwrap() = value;
    body
}

fn wrong_jobs() -> Vec<Wrong> {
    let mut unknown = job();
    unknown["colour"] = "red".into();
    let mut nested = job();
    nested["budget"]["min"]["cents"] = 1.into();
    let mut missing = job();
    missing.as_object_mut().unwrap().remove("budget");
    let long = "x".repeat(201);
    let decimal = json!({ "amount": "10.50", "currency": "GHS" });
    let number = json!({ "amount": 1050, "currency": "GHS" });
    let ducats = json!({ "amount": "1050", "currency": "DUC" });
    let huge = ghs("9223372036854775808");
    vec![
        wrong("no JSON", "{ \"title\": ", 400, "malformed_json", ""),
        wrong("nothing", "", 400, "malformed_json", ""),
        wrong("not UTF-8 escaped", "\"\\ud800\"", 400, "malformed_json", ""),
        wrong("a list", "[]", 422, "invalid_field", ""),
        wrong("an unknown field", &unknown, 422, "unknown_field", "colour"),
        wrong("an unknown field inside", &nested, 422, "unknown_field", "budget.min.cents"),
        wrong("a missing field", &missing, 422, "invalid_field", ""),
        wrong("a number as title", with(job(), "/title", 7.into()), 422, "invalid_field", "title"),
        wrong("a blank title", with(job(), "/title", "  ".into()), 422, "invalid_field", "title"),
        wrong("a long title", with(job(), "/title", long.into()), 422, "invalid_field", "title"),
        wrong("no slug", with(job(), "/category", "Metal Work".into()), 422, "invalid_field", "category"),
        wrong("no slug inside", with(job(), "/skills/1", "a--b".into()), 422, "invalid_field", "skills[1]"),
        wrong("zero", with(job(), "/budget/min", ghs("0")), 422, "amount_not_positive", "budget.min"),
        wrong("negative", with(job(), "/budget/max", ghs("-5")), 422, "amount_not_positive", "budget.max"),
        wrong("a decimal", with(job(), "/budget/max", decimal), 422, "invalid_field", "budget.max"),
        wrong("a JSON number", with(job(), "/budget/max", number), 422, "invalid_field", "budget.max.amount"),
        wrong("too much", with(job(), "/budget/max", huge), 422, "invalid_field", "budget.max"),
        wrong("ducats", with(job(), "/budget/max", ducats), 422, "unknown_currency", "budget.max.currency"),
    ]
}

fn wrong_bids() -> Vec<Wrong> {
    let milestones = |amount: &str| json!([{ "title": "All", "amount": ghs(amount) }]);
    let none = json!([]);
    let short = milestones("149999");
    let foreign = json!([{ "title": "All", "amount": { "amount": "150000", "currency": "USD" } }]);
    let letter = "x".repeat(10_001);
    vec![
        wrong("no milestones", with(bid(), "/milestones", none), 422, "invalid_field", "milestones"),
        wrong("they do not sum", with(bid(), "/milestones", short), 422, "milestones_do_not_sum", ""),
        wrong("another currency", with(bid(), "/milestones", foreign), 422, "currency_mismatch", ""),
        wrong(
            "a long letter",
            with(bid(), "/cover_letter", letter.into()),
            422,
            "invalid_field",
            "cover_letter",
        ),
        wrong(
            "a milestone for nothing",
            with(bid(), "/milestones/0/amount", ghs("0")),
            422,
            "amount_not_positive",
            "milestones[0].amount",
        ),
    ]
}

fn wrong_newcomers() -> Vec<Wrong> {
    let newcomer = json!({ "email": "ama@example.com", "password": PASSWORD, "display_name": "Ama", "roles": ["client"] });
    let email = |email: &str| with(newcomer.clone(), "/email", email.into());
    vec![
        wrong("no address", email("ama"), 422, "invalid_field", "email"),
        wrong("two spellings", email("amá@example.com"), 422, "invalid_field", "email"),
        wrong(
            "a short password",
            with(newcomer.clone(), "/password", "1234".into()),
            422,
            "invalid_field",
            "password",
        ),
        wrong("no roles", with(newcomer.clone(), "/roles", json!([])), 422, "invalid_field", "roles"),
        wrong(
            "an unknown role",
            with(newcomer.clone(), "/roles", json!(["king"])),
            422,
            "invalid_field",
            "roles[0]",
        ),
    ]
}

async fn check(guild: &Guild, path: &str, by: &Member, wrongs: Vec<Wrong>) {
    let ends = guild.ends();
    for Wrong { what, body, status, code, field } in wrongs {
        let reply = guild.post(path).by(by).key("k").text(&body).send().await;
        let named: Vec<String> = reply.body["errors"]
            .as_array()
            .map(|errors| errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect())
            .unwrap_or_default();
        let seen = (reply.status.as_u16(), reply.text("/code"));
        assert_eq!(seen, (status, code.to_owned()), "{what}: {}", reply.raw);
        assert!(field.is_empty() || named.contains(&field.to_owned()), "{what}: {}", reply.raw);
    }
    assert_eq!(guild.ends(), ends, "{path} changed something");
}

#[tokio::test]
async fn a_wrong_job_is_refused_and_changes_nothing() {
    let guild = Guild::start_quiet().await;
    let client = guild.member("ama", &["client"]).await;
    check(&guild, "/api/v1/jobs", &client, wrong_jobs()).await;
    // The key is still free: what was refused is not remembered.
    guild.post("/api/v1/jobs").by(&client).key("k").json(&job()).send().await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_wrong_bid_is_refused_and_changes_nothing() {
    let guild = Guild::start_quiet().await;
    let client = guild.member("ama", &["client"]).await;
    let worker = guild.member("kofi", &["worker"]).await;
    let path = format!("/api/v1/jobs/{}/bids", guild.published(&client).await);
    check(&guild, &path, &worker, wrong_bids()).await;
}

#[tokio::test]
async fn a_wrong_newcomer_is_refused_and_changes_nothing() {
    let guild = Guild::start_quiet().await;
    let client = guild.member("esi", &["client"]).await;
    check(&guild, "/api/v1/auth/register", &client, wrong_newcomers()).await;
}

#[tokio::test]
async fn a_body_says_that_it_is_json() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let body = job().to_string();
    let form = guild.post("/api/v1/jobs").by(&client).header("content-type", "text/plain").raw(&body);
    form.send().await.problem(415, "unsupported_media_type");
    guild.post("/api/v1/jobs").by(&client).raw(&body).send().await.problem(415, "unsupported_media_type");
    let charset = "application/json; charset=utf-8";
    let call = guild.post("/api/v1/jobs").by(&client).header("content-type", charset).raw(&body);
    call.send().await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_query_has_known_parameters_within_bounds() {
    let guild = Guild::start().await;
    for query in [
        "colour=red",
        "limit=0",
        "limit=101",
        "limit=many",
        "status=lost",
        "currency=DUC",
        "min=5",
        "currency=GHS&min=-1",
        "q=a&q=b",
    ] {
        guild.get(&format!("/api/v1/jobs?{query}")).send().await.problem(400, "invalid_query");
    }
    guild.get("/api/v1/jobs?q=gate&currency=GHS&min=5&limit=100").send().await.expect(StatusCode::OK);
}
