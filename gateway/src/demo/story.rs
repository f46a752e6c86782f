//! The story: a job is posted, bid on, awarded and signed for; another proposal expires and its job is reopened; the work is
//! paid for, and the money leaves.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Client, DemoError, Reply,
    cast::{Person, amount, fresh_run, job, offer},
    closing,
    narrator::Narrator,
    paying_out,
    work::{self, Work},
};

struct Cast {
    ama: Person,
    kofi: Person,
    esi: Person,
    yaw: Person,
}

/// Tells the whole story.
///
/// # Errors
/// The first answer that was not the one the story needs.
pub async fn tell(client: &Client, operator: &Client, narrator: &mut Narrator) -> Result<(), DemoError> {
    let cast = people_arrive(client, narrator).await?;
    let job = a_job_is_posted(&cast, narrator).await?;
    let winner = workers_compete(&cast, &job, narrator).await?;
    let contract = a_contract_is_signed(&cast, &job, &winner, narrator).await?;
    a_proposal_expires(client, &cast, narrator).await?;
    let on_the_project = Work { anybody: client, ama: &cast.ama, esi: &cast.esi, contract };
    work::tell(&on_the_project, narrator).await?;
    // Three weeks have passed by the test clock, and a session ends after thirty days.
    let esi = cast.esi.logs_in_again(client).await?;
    paying_out::tell(client, &esi, narrator).await?;
    closing::tell(operator, &esi, narrator).await?;
    narrator.end("Every step above is a durable event; every answer came from a projected read model.");
    Ok(())
}

async fn people_arrive(client: &Client, narrator: &mut Narrator) -> Result<Cast, DemoError> {
    narrator.chapter("People arrive");
    let run = fresh_run();
    let mut people = Vec::new();
    let names = [
        ("Ama Boateng", "client"),
        ("Kofi Mensah", "worker"),
        ("Esi Owusu", "worker"),
        ("Yaw Asante", "worker"),
    ];
    for (name, role) in names {
        let person = Person::arrives(client, name, role, &run).await?;
        narrator.step(&format!("{name} registers as a {role} and logs in"), &person.account);
        people.push(person);
    }
    let me = people[0].api.get("/api/v1/me", None).await?.expect(StatusCode::OK, "GET /me")?;
    narrator.step("Ama asks who she is", &format!("{} {}", me.text("/display_name"), me.body["roles"]));
    let [ama, kofi, esi, yaw] = people.try_into().map_err(|_| unexpected("four people arrive"))?;
    Ok(Cast { ama, kofi, esi, yaw })
}

async fn a_job_is_posted(cast: &Cast, narrator: &mut Narrator) -> Result<String, DemoError> {
    narrator.chapter("A job is posted");
    let terms = job(
        "A booking site for a small hotel",
        "Twelve rooms in Cape Coast. Guests choose dates, pay a deposit, and get a confirmation.",
        &["rust", "postgresql", "design"],
        (400_000, 900_000),
    );
    let created = cast.ama.does("/api/v1/jobs", terms).await?;
    let id = created.text("/job").to_owned();
    narrator.step("Ama drafts \"A booking site for a small hotel\"", &id);
    let hidden = cast.kofi.api.get(&format!("/api/v1/jobs/{id}"), created.consistency.as_ref()).await?;
    hidden.expect(StatusCode::NOT_FOUND, "a draft is hidden")?;
    narrator.step("Kofi cannot see a draft", "404 Not Found");
    let edited = cast
        .ama
        .api
        .patch(&format!("/api/v1/jobs/{id}"), json!({ "skills": ["rust", "typography"] }))
        .await?;
    edited.expect(StatusCode::OK, "Ama edits the job")?;
    narrator.step("Ama changes the skills she asks for", "rust, typography");
    let published = cast.ama.does(&format!("/api/v1/jobs/{id}/publish"), json!({})).await?;
    narrator.step("Ama publishes the job", &format!("version {}", published.body["version"]));
    let board =
        cast.kofi.api.get("/api/v1/jobs?q=booking+hotel&skill=rust", published.consistency.as_ref()).await?;
    let board = board.expect(StatusCode::OK, "the board")?;
    if !board.items().iter().any(|item| item["job"] == id.as_str()) {
        return Err(unexpected("the published job stands on the board"));
    }
    narrator.step(
        "Kofi finds it on the board: \"booking hotel\", skill rust",
        &format!("{} found", board.items().len()),
    );
    Ok(id)
}

/// Returns the bid to be accepted.
async fn workers_compete(cast: &Cast, job: &str, narrator: &mut Narrator) -> Result<String, DemoError> {
    narrator.chapter("Workers compete");
    let bids = format!("/api/v1/jobs/{job}/bids");
    let kofis =
        cast.kofi.does(&bids, offer("I have built three of these.", &[("All of it", 850_000)])).await?;
    narrator.step("Kofi bids 8500.00 GHS in one milestone", kofis.text("/bid"));
    cast.kofi.is_refused(&bids, offer("Again!", &[("All of it", 1)]), "bid_already_active").await?;
    narrator.step("Kofi bids again: refused, one active bid per worker", "409 bid_already_active");
    let esis = offer(
        "I would start with the calendar.",
        &[("Calendar", 200_000), ("Payment", 300_000), ("Launch", 200_000)],
    );
    let esis = cast.esi.does(&bids, esis).await?;
    narrator.step("Esi bids 7000.00 GHS in three milestones", esis.text("/bid"));
    let yaws = cast.yaw.does(&bids, offer("Cheap and fast.", &[("All of it", 450_000)])).await?;
    narrator.step("Yaw bids 4500.00 GHS in one milestone", yaws.text("/bid"));
    let wrong = json!({ "amount": super::cast::cedis(100), "milestones": [{ "title": "Half", "amount": super::cast::cedis(50) }], "cover_letter": "" });
    let revise = format!("{bids}/{}/revise", kofis.text("/bid"));
    cast.kofi.is_refused(&revise, wrong, "milestones_do_not_sum").await?;
    narrator.step("Kofi revises, but his milestones do not sum to the amount", "422 milestones_do_not_sum");
    cast.kofi
        .does(&revise, offer("I can do it for less.", &[("Build", 500_000), ("Launch", 180_000)]))
        .await?;
    narrator.step("Kofi revises his bid to 6800.00 GHS", "accepted");
    let withdrawn = cast.yaw.does(&format!("{bids}/{}/withdraw", yaws.text("/bid")), json!({})).await?;
    narrator.step("Yaw thinks better of it and withdraws", "accepted");
    let all = cast.ama.api.get(&bids, withdrawn.consistency.as_ref()).await?;
    let all = all.expect(StatusCode::OK, "Ama compares the bids")?;
    narrator.step("Ama compares the bids", &format!("{} bids", all.items().len()));
    for bid in all.items() {
        let amount = amount(&bid["amount"]);
        let milestones = bid["milestones"].as_array().map_or(0, Vec::len);
        let (status, letter) = (bid["status"].as_str().unwrap_or_default(), &bid["cover_letter"]);
        narrator.note(&format!("{amount:>11}, {milestones} milestone(s), {status:<9} {letter}"));
    }
    Ok(esis.text("/bid").to_owned())
}

async fn a_contract_is_signed(
    cast: &Cast,
    job: &str,
    winner: &str,
    narrator: &mut Narrator,
) -> Result<String, DemoError> {
    narrator.chapter("A contract is signed");
    let accept = format!("/api/v1/jobs/{job}/bids/{winner}/accept");
    cast.kofi.is_refused(&accept, json!({}), "not_your_job").await?;
    narrator.step("Kofi tries to accept a bid on Ama's job", "403 not_your_job");
    cast.ama.does(&accept, json!({})).await?;
    narrator.step("Ama accepts Esi's bid; the hire manager takes over", "awarded");
    let contract = contract_of(&cast.esi, job, "proposed").await?;
    let id = contract["contract"].as_str().unwrap_or_default().to_owned();
    narrator.step("The contract is proposed to both", &id);
    cast.kofi
        .sees("Kofi's bid is rejected", "/api/v1/bids", |reply| {
            let rejected = |own: &Value| own["bid"]["job"] == job && own["bid"]["status"] == "rejected";
            reply.items().iter().any(rejected).then_some(())
        })
        .await?;
    narrator.step("Kofi's bid is rejected: another was accepted", "rejected");
    let stranger = cast.yaw.api.get(&format!("/api/v1/contracts/{id}"), None).await?;
    stranger.expect(StatusCode::NOT_FOUND, "someone else's contract")?;
    narrator.step("Yaw cannot see somebody else's contract", "404 Not Found");
    cast.esi.does(&format!("/api/v1/contracts/{id}/sign"), json!({})).await?;
    narrator.step("Esi signs", "signed by one");
    let signed = cast.ama.does(&format!("/api/v1/contracts/{id}/sign"), json!({})).await?;
    let seen = cast.ama.api.get(&format!("/api/v1/contracts/{id}"), signed.consistency.as_ref()).await?;
    let seen = seen.expect(StatusCode::OK, "Ama reads the contract")?;
    if seen.text("/status") != "signed" {
        return Err(unexpected("a contract that both signed is signed"));
    }
    narrator.step(
        "Ama signs: both have",
        &format!("{} at version {}", seen.text("/status"), seen.body["version"]),
    );
    let all_wait = |reply: &Reply| {
        let waits = |escrow: &&Value| escrow["status"] == "opened";
        (reply.items().iter().filter(waits).count() == 3).then_some(())
    };
    let escrows = format!("/api/v1/contracts/{id}/escrows");
    cast.esi.sees("there is an escrow for each milestone", &escrows, all_wait).await?;
    narrator.step("An escrow is opened for each of the three milestones", "opened");
    Ok(id)
}

async fn a_proposal_expires(client: &Client, cast: &Cast, narrator: &mut Narrator) -> Result<(), DemoError> {
    narrator.chapter("A proposal expires");
    let terms =
        job("Photos of twelve hotel rooms", "A day's work on site.", &["photography"], (50_000, 100_000));
    let id = cast.ama.does("/api/v1/jobs", terms).await?.text("/job").to_owned();
    cast.ama.does(&format!("/api/v1/jobs/{id}/publish"), json!({})).await?;
    narrator.step("Ama publishes \"Photos of twelve hotel rooms\"", &id);
    let bids = format!("/api/v1/jobs/{id}/bids");
    let bid = cast.yaw.does(&bids, offer("Tomorrow?", &[("Photos", 80_000)])).await?;
    cast.ama.does(&format!("{bids}/{}/accept", bid.text("/bid")), json!({})).await?;
    narrator.step("Yaw bids, Ama accepts", bid.text("/bid"));
    let contract = contract_of(&cast.yaw, &id, "proposed").await?;
    let contract = contract["contract"].as_str().unwrap_or_default().to_owned();
    cast.yaw.does(&format!("/api/v1/contracts/{contract}/sign"), json!({})).await?;
    narrator.step("Yaw signs, Ama forgets to", &contract);
    let now = clock(client, "8d").await?;
    narrator.step("Eight days pass, by the test clock", &now);
    contract_of(&cast.yaw, &id, "expired").await?;
    narrator.step("The proposal expires by its timer", "expired");
    let reopened = |reply: &Reply| (reply.text("/status") == "published").then_some(());
    cast.yaw.sees("the job is reopened", &format!("/api/v1/jobs/{id}"), reopened).await?;
    narrator.step("The hire manager reopens the job", "published");
    let bid = cast.kofi.does(&bids, offer("I have a camera, too.", &[("Photos", 70_000)])).await?;
    narrator.step("Kofi bids on it", bid.text("/bid"));
    Ok(())
}

/// The contract of a job, as soon as it has this status.
async fn contract_of(party: &Person, job: &str, status: &str) -> Result<Value, DemoError> {
    let what = format!("a contract of {job} is {status}");
    party
        .sees(&what, "/api/v1/contracts", |reply| {
            let wanted = |contract: &&Value| contract["job"] == job && contract["status"] == status;
            reply.items().iter().find(wanted).cloned()
        })
        .await
}

/// Moves domain time, and the sandbox provider's with it; where it stands then.
///
/// # Errors
/// When there is no test clock.
pub async fn clock(client: &Client, advance: &str) -> Result<String, DemoError> {
    let moved = client.post("/ops/test-clock", json!({ "advance": advance })).await?;
    let moved = moved.expect(StatusCode::OK, "the test clock (only a development server has one)")?;
    Ok(moved.text("/now").to_owned())
}

/// The story says otherwise.
pub fn unexpected(what: &str) -> DemoError {
    DemoError::Unexpected(format!("this did not happen: {what}"))
}
