//! The ledger is seen by operators and administrators, sums to zero, and knows what it knew before.

use http::StatusCode;
use serde_json::json;

use crate::harness::deal::Deal;

#[tokio::test]
async fn the_trial_balance_is_zero_now_and_at_every_time_before() {
    let deal = Deal::signed().await;
    let before = events::Timestamp::now().to_string();
    deal.pays(1).await;
    deal.earns(1).await;
    let expected = [
        ("clearing", "100000"),
        ("receivable", "0"),
        ("escrow", "0"),
        ("in_transit", "0"),
        ("wallets", "0"),
        ("holds", "90000"),
        ("payable", "0"),
        ("fees", "10000"),
    ];
    deal.guild.at_rest(&expected).await;
    let path = format!("/api/v1/admin/ledger/trial-balance?at={before}");
    let then = deal.guild.get(&path).token(&deal.guild.operator()).send().await.expect(StatusCode::OK);
    assert_eq!((&then.body["balanced"], &then.body["currencies"]), (&json!(true), &json!([])));
    let settled = "/api/v1/admin/ledger/transfers?status=settled&limit=1";
    let settled = deal.guild.get(settled).token(&deal.guild.operator()).send().await.expect(StatusCode::OK);
    assert_eq!(settled.items().len(), 1);
    assert!(!settled.text("/next").is_empty(), "there is more than one");
}

#[tokio::test]
async fn the_ledger_is_nobodys_business_but_operators_and_administrators() {
    let deal = Deal::signed().await;
    let admin = deal.guild.admin("root").await;
    let reconciliation = "/api/v1/admin/reconciliation";
    deal.guild.get(reconciliation).by(&deal.client).send().await.problem(403, "forbidden");
    deal.guild.post(reconciliation).by(&deal.client).send().await.problem(403, "forbidden");
    deal.guild.post(reconciliation).send().await.problem(401, "unauthenticated");
    for path in ["trial-balance", "transfers"] {
        let path = format!("/api/v1/admin/ledger/{path}");
        deal.guild.get(&path).send().await.problem(401, "unauthenticated");
        deal.guild.get(&path).by(&deal.client).send().await.problem(403, "forbidden");
        deal.guild.get(&path).by(&admin).send().await.expect(StatusCode::OK);
        deal.guild.get(&format!("{path}?at=yesterday")).by(&admin).send().await.problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn books_are_compared_when_an_administrator_or_an_operator_asks() {
    let deal = Deal::signed().await;
    deal.pays(1).await;
    deal.earns(1).await;
    deal.guild.at_rest(&[("holds", "90000")]).await;
    let admin = deal.guild.admin("root").await;
    let ask = |token: &str| deal.guild.post("/api/v1/admin/reconciliation").token(token).key("one");
    for (token, by) in [(admin.token.clone(), json!(admin.account)), (deal.guild.operator(), json!(null))] {
        let asked = ask(&token).send().await.expect(StatusCode::CREATED);
        let again = ask(&token).send().await.expect(StatusCode::CREATED);
        assert_eq!(asked.header("location"), again.header("location"), "a repetition compares nothing again");
        let run = deal.guild.until_operator(&asked.header("location"), |run| run["status"] != "open").await;
        assert_eq!((&run["status"], &run["requested_by"]), (&json!("agreed"), &by), "{run}");
        assert_eq!(run["result"]["differences_total"], 0);
    }
    let listed =
        deal.guild.until_operator("/api/v1/admin/reconciliation", |list| !list["items"][1].is_null());
    assert_eq!(listed.await["items"][0]["status"], "agreed");
}
