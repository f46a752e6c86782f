//! Payments: attempted by their payer until the money comes, seen by nobody else, and never moved by a repetition.

use http::StatusCode;
use serde_json::json;

use crate::harness::{deal::Deal, ghs};

#[tokio::test]
async fn a_declined_card_is_told_and_another_one_pays() {
    let deal = Deal::signed().await;
    let payment = deal.wants_to_pay(1).await;
    let bad = deal.guild.card(&deal.client, "pm_card_declined").await;
    let good = deal.guild.card(&deal.client, "pm_card").await;
    assert_eq!(deal.attempt(&payment, &bad).await.expect(StatusCode::OK).body["attempt"], 1);
    let told = deal.payment(&payment, |payment| payment["attempts"][0]["state"] == "failed").await;
    assert_eq!(
        (&told["attempts"][0]["failure"], &told["status"]),
        (&json!("card_declined"), &json!("created"))
    );
    assert_eq!(deal.attempt(&payment, &good).await.expect(StatusCode::OK).body["attempt"], 2);
    let paid = deal.payment(&payment, |payment| payment["status"] == "confirmed").await;
    assert_eq!(
        paid["attempts"][1],
        json!({ "attempt": 2, "payment_method": good, "state": "confirmed", "failure": null })
    );
    deal.milestone_is(1, "funded").await;
    let again = deal.attempt(&payment, &good).await;
    again.problem(409, "payment_not_awaited");
    deal.guild.at_rest(&[("escrow", "100000"), ("clearing", "100000"), ("in_transit", "0")]).await;
}

#[tokio::test]
async fn an_attempt_that_is_repeated_is_the_same_attempt() {
    let deal = Deal::signed().await;
    let payment = deal.wants_to_pay(1).await;
    let card = deal.guild.card(&deal.client, "pm_card").await;
    let other = deal.guild.card(&deal.client, "pm_card").await;
    let path = format!("/api/v1/payments/{payment}/attempts");
    let attempt =
        |card: &str| deal.guild.post(&path).by(&deal.client).json(&json!({ "payment_method": card }));
    attempt(&card).send().await.problem(400, "idempotency_key_missing");
    let first = attempt(&card).key("one").send().await.expect(StatusCode::OK);
    deal.payment(&payment, |payment| payment["status"] == "confirmed").await;
    let place = format!("/api/v1/payment-methods/{card}");
    deal.guild.delete(&place).by(&deal.client).send().await.expect(StatusCode::OK);
    let again = attempt(&card).key("one").send().await.expect(StatusCode::OK);
    assert_eq!(first.body, again.body, "also when the card is gone and the payment is over");
    attempt(&other).key("one").send().await.problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn somebody_elses_payment_is_neither_seen_nor_touched() {
    let deal = Deal::signed().await;
    let payment = deal.wants_to_pay(1).await;
    let path = format!("/api/v1/payments/{payment}");
    let card = deal.guild.card(&deal.worker, "pm_card").await;
    for other in [&deal.worker, &deal.guild.member("esi", &["client"]).await] {
        deal.guild.get(&path).by(other).send().await.problem(404, "not_found");
        let with = json!({ "payment_method": card });
        let attempt = deal.guild.post(&format!("{path}/attempts")).by(other).key("a").json(&with);
        attempt.send().await.problem(403, "not_the_payer");
        let cancel = deal.guild.post(&format!("{path}/cancel")).by(other).key("c");
        cancel.send().await.problem(403, "not_the_payer");
    }
    deal.attempt(&payment, &card).await.problem(404, "payment_method_not_found");
    deal.guild.get(&path).send().await.problem(401, "unauthenticated");
    let escrow = format!("/api/v1/escrows/{}", deal.escrow(1, "opened").await);
    let seen = deal.guild.get(&escrow).by(&deal.worker).send().await.expect(StatusCode::OK);
    assert_eq!((&seen.body["amount"], &seen.body["held"]), (&ghs("100000"), &ghs("0")));
    let stranger = deal.guild.member("yaw", &["worker"]).await;
    deal.guild.get(&escrow).by(&stranger).send().await.problem(404, "not_found");
    let admin = deal.guild.admin("root").await;
    deal.guild.get(&escrow).by(&admin).send().await.expect(StatusCode::OK);
    deal.guild.get(&path).by(&admin).send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_cancelled_payment_takes_no_money() {
    let deal = Deal::signed().await;
    let payment = deal.wants_to_pay(1).await;
    let card = deal.guild.card(&deal.client, "pm_card").await;
    let cancel = || deal.guild.post(&format!("/api/v1/payments/{payment}/cancel")).by(&deal.client);
    cancel().key("old").if_match(9).send().await.problem(412, "version_mismatch");
    cancel().key("one").send().await.expect(StatusCode::OK);
    deal.payment(&payment, |payment| payment["status"] == "cancelled").await;
    deal.attempt(&payment, &card).await.problem(409, "payment_not_awaited");
}

#[tokio::test]
async fn money_that_comes_too_late_goes_back() {
    let deal = Deal::signed().await;
    let payment = deal.wants_to_pay(1).await;
    let card = deal.guild.card(&deal.client, "pm_late_confirmation").await;
    deal.attempt(&payment, &card).await.expect(StatusCode::OK);
    deal.is_with_the_provider(&payment, 1).await;
    deal.guild.advance("16m").await;
    deal.payment(&payment, |payment| payment["status"] == "expired").await;
    deal.guild.advance("10m").await;
    let refunded = deal.payment(&payment, |payment| payment["refunds"][0]["state"] == "paid").await;
    assert_eq!(refunded["refunds"][0]["reason"], "late");
    deal.milestone_is(1, "planned").await;
    deal.guild.at_rest(&[("clearing", "0"), ("payable", "0"), ("escrow", "0"), ("fees", "0")]).await;
}

#[tokio::test]
async fn a_refund_that_failed_is_owed_until_an_administrator_orders_it_again() {
    let deal = Deal::signed().await;
    // Two wishes to pay for the same: the money of the second goes back.
    let payment = deal.wants_to_pay(1).await;
    deal.pays(1).await;
    let card = deal.guild.card(&deal.client, "pm_refund_fails").await;
    deal.attempt(&payment, &card).await.expect(StatusCode::OK);
    let failed = deal.payment(&payment, |payment| payment["refunds"][0]["state"] == "failed").await;
    assert_eq!(failed["refunds"][1], json!(null));
    deal.guild.at_rest(&[("payable", "100000"), ("escrow", "100000"), ("clearing", "200000")]).await;
    let path = format!("/api/v1/admin/payments/{payment}/refunds/1/retry");
    deal.guild.post(&path).by(&deal.client).key("one").send().await.problem(403, "not_an_admin");
    let admin = deal.guild.admin("root").await;
    deal.guild.post(&path).by(&admin).send().await.problem(400, "idempotency_key_missing");
    deal.guild.post(&path).by(&admin).key("one").send().await.expect(StatusCode::OK);
    deal.payment(&payment, |payment| payment["refunds"][0]["state"] == "replaced").await;
    deal.guild.post(&path).by(&admin).key("two").send().await.problem(409, "refund_not_failed");
}
