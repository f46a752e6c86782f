//! What an account may do is asked of the account at every request, not of the token.

use commands::{
    Actor, Request,
    account::{Account, AccountCommand},
};
use events::{
    Personal,
    ids::{AccountId, CommandId},
    vocabulary::identity::Role,
};
use http::StatusCode;
use serde_json::Value;

use crate::harness::{Guild, Member, bid, job};

/// Does something to an account that has no route yet, as the machinery itself.
pub(crate) async fn command(guild: &Guild, member: &Member, command: AccountCommand) {
    let app = &guild.server.app;
    let id: AccountId = member.account.parse().unwrap();
    let request = Request::<Account> {
        id,
        command,
        command_id: CommandId::fresh(),
        command_hash: app.keys.command_hash("test", b""),
        actor: Actor::System,
        expected: None,
        correlation_id: "test".into(),
        causation_id: None,
        traceparent: None,
    };
    app.executor.execute(request).await.unwrap();
}

#[tokio::test]
async fn a_suspended_account_may_do_nothing_until_it_is_reinstated() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let reason = Personal::seal(&guild.server.app.keys, client.account.parse().unwrap(), &"spam".to_owned());
    command(&guild, &client, AccountCommand::Suspend { reason: reason.unwrap() }).await;
    guild.get("/api/v1/me").by(&client).send().await.problem(403, "account_suspended");
    guild.post("/api/v1/jobs").by(&client).json(&job()).send().await.problem(403, "account_suspended");
    command(&guild, &client, AccountCommand::Reinstate).await;
    guild.post("/api/v1/jobs").by(&client).json(&job()).send().await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_new_role_counts_at_once_with_the_old_token() {
    let guild = Guild::start().await;
    let worker = guild.member("kofi", &["worker"]).await;
    guild.post("/api/v1/jobs").by(&worker).json(&job()).send().await.problem(403, "not_a_client");
    command(&guild, &worker, AccountCommand::AssignRole { role: Role::Client }).await;
    guild.post("/api/v1/jobs").by(&worker).json(&job()).send().await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn an_erased_person_is_gone_from_every_answer() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let worker = guild.member("kofi", &["worker"]).await;
    let path = format!("/api/v1/jobs/{}/bids", guild.published(&client).await);
    let made = guild.post(&path).by(&worker).json(&bid()).send().await.expect(StatusCode::CREATED);
    guild.get(&path).by(&client).after(&made).send().await.expect(StatusCode::OK);
    command(&guild, &worker, AccountCommand::Erase).await;
    guild.server.app.keys.erase(worker.account.parse().unwrap()).unwrap();
    guild.get("/api/v1/me").by(&worker).send().await.problem(401, "session_ended");
    let seen = guild.get(&path).by(&client).send().await.expect(StatusCode::OK);
    assert_eq!(seen.items()[0]["cover_letter"], Value::Null);
    assert_eq!(seen.items()[0]["worker"], worker.account.as_str());
}
