//! Payouts: out of one's own wallet, to one's own bank, looked at when they are much, and taken back before they are sent.

use gateway::settings::Origin;
use http::StatusCode;
use serde_json::json;

use crate::harness::{Guild, deal::Deal, ghs};

/// Somebody who has earned 900.00 GHS and can spend it.
async fn earned(guild: Guild) -> Deal {
    let deal = Deal::signed_at(guild).await;
    deal.pays(1).await;
    deal.earns(1).await;
    deal.guild.advance("5d").await;
    deal.has_available("90000").await;
    deal
}

#[tokio::test]
async fn what_was_earned_can_be_paid_out_once() {
    let deal = earned(Guild::start().await).await;
    let bank = deal.guild.bank(&deal.worker, "ba_account").await;
    let wanted = json!({ "amount": ghs("90000"), "payout_destination": bank });
    let ask = || deal.guild.post("/api/v1/payouts").by(&deal.worker).json(&wanted);
    ask().send().await.problem(400, "idempotency_key_missing");
    let first = ask().key("one").send().await.expect(StatusCode::CREATED);
    let payout = first.text("/payout");
    deal.payout_is(&payout, "queued").await;
    let again = ask().key("one").send().await.expect(StatusCode::CREATED);
    assert_eq!(
        again.text("/payout"),
        payout,
        "a repetition asks for nothing, whatever the wallet holds by now"
    );
    ask().key("two").send().await.problem(409, "insufficient_funds");
    deal.guild.advance("1h").await;
    deal.payout_is(&payout, "paid").await;
    let listed = deal.guild.get("/api/v1/payouts?status=paid").by(&deal.worker).send().await;
    assert_eq!(listed.items().len(), 1);
    deal.guild.at_rest(&[("wallets", "0"), ("holds", "0"), ("fees", "10000"), ("clearing", "10000")]).await;
    let path = "/api/v1/wallet/transactions?currency=GHS";
    let statement =
        deal.guild.until(&deal.worker, path, |lines| lines["items"][0]["kind"] == "debited").await;
    let lines = statement["items"].as_array().unwrap();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["debited", "held", "released", "held", "credited"]);
    assert_eq!(lines[4]["contract"], json!(deal.contract));
}

#[tokio::test]
async fn nobody_is_paid_elsewhere_or_sees_others_payouts() {
    let deal = earned(Guild::start().await).await;
    let theirs = deal.guild.bank(&deal.client, "ba_account").await;
    deal.asks_for("100", &theirs).await.problem(404, "payout_destination_not_found");
    let bank = deal.guild.bank(&deal.worker, "ba_account").await;
    let wanted = json!({ "amount": { "amount": "100", "currency": "EUR" }, "payout_destination": bank });
    let euros = deal.guild.post("/api/v1/payouts").by(&deal.worker).key("e").json(&wanted);
    euros.send().await.problem(409, "insufficient_funds");
    deal.asks_for("0", &bank).await.problem(422, "amount_not_positive");
    let payout = deal.asks_for("100", &bank).await.expect(StatusCode::CREATED).text("/payout");
    deal.payout_is(&payout, "queued").await;
    let path = format!("/api/v1/payouts/{payout}");
    deal.guild.get(&path).by(&deal.client).send().await.problem(404, "not_found");
    let cancel = deal.guild.post(&format!("{path}/cancel")).by(&deal.client).key("c");
    cancel.send().await.problem(403, "not_your_payout");
    let listed = deal.guild.get("/api/v1/payouts").by(&deal.client).send().await.expect(StatusCode::OK);
    assert!(listed.items().is_empty());
    deal.guild.get("/api/v1/wallet/transactions").send().await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_payout_that_is_taken_back_leaves_the_money_where_it_is() {
    let deal = earned(Guild::start().await).await;
    let bank = deal.guild.bank(&deal.worker, "ba_account").await;
    let payout = deal.asks_for("50000", &bank).await.expect(StatusCode::CREATED).text("/payout");
    deal.payout_is(&payout, "queued").await;
    deal.has_available("40000").await;
    let path = format!("/api/v1/payouts/{payout}/cancel");
    deal.guild.post(&path).by(&deal.worker).key("one").send().await.expect(StatusCode::OK);
    deal.has_available("90000").await;
    deal.guild.advance("1h").await;
    deal.payout_is(&payout, "cancelled").await;
}

#[tokio::test]
async fn much_money_is_looked_at_by_an_administrator_who_is_somebody_else() {
    let look = |layers: &mut gateway::settings::Layers| {
        layers.set("policy.money.payout_reviewed_from_units", 100, Origin::Given).unwrap();
    };
    let deal = earned(Guild::start_with(look).await).await;
    let bank = deal.guild.bank(&deal.worker, "ba_account").await;
    let admin = deal.guild.admin("root").await;
    for (act, status) in [("reject", "rejected"), ("approve", "queued")] {
        let payout = deal.asks_for("10000", &bank).await.expect(StatusCode::CREATED).text("/payout");
        deal.payout_is(&payout, "in_review").await;
        let judge = |member| {
            let path = format!("/api/v1/admin/payouts/{payout}/{act}");
            deal.guild.post(&path).by(member)
        };
        judge(&admin).send().await.problem(400, "idempotency_key_missing");
        judge(&deal.worker).key("one").send().await.problem(403, "not_an_admin");
        let waiting = deal.guild.get("/api/v1/admin/payouts").by(&admin).send().await;
        assert_eq!(waiting.items()[0]["payout"], json!(payout));
        judge(&admin).key("one").send().await.expect(StatusCode::OK);
        deal.payout_is(&payout, status).await;
        judge(&admin).key("two").send().await.problem(409, "payout_not_in_review");
    }
    deal.guild.get("/api/v1/admin/payouts").by(&deal.worker).send().await.problem(403, "forbidden");
}
