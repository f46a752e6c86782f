//! Who may fund, hand in, send back and approve; and that a wish to pay is heard once.

use gateway::settings::Origin;
use http::StatusCode;
use serde_json::json;

use crate::harness::{Guild, deal::Deal, ghs};

#[tokio::test]
async fn a_wish_to_pay_names_its_payment_and_is_heard_once() {
    let deal = Deal::signed().await;
    let fund = || deal.post("/milestones/1/fund").by(&deal.client);
    fund().send().await.problem(400, "idempotency_key_missing");
    let first = fund().key("first").send().await.expect(StatusCode::OK);
    let again = fund().key("first").send().await.expect(StatusCode::OK);
    assert_eq!(first.body, again.body);
    assert_eq!(first.body["amount"], ghs("100000"));
    assert!(first.text("/payment").starts_with("pay_") && first.text("/escrow").starts_with("esc_"));
    let other = fund().key("second").send().await.expect(StatusCode::OK);
    assert_ne!(other.text("/payment"), first.text("/payment"), "another wish is another payment");
    let escrows = format!("/api/v1/contracts/{}/escrows", deal.contract);
    deal.guild.get(&escrows).by(&deal.worker).send().await.expect(StatusCode::OK);
    let stranger = deal.guild.member("esi", &["client", "worker"]).await;
    deal.guild.get(&escrows).by(&stranger).send().await.problem(404, "not_found");
}

#[tokio::test]
async fn only_the_client_pays_and_judges_and_only_the_worker_hands_in() {
    let deal = Deal::signed().await;
    let stranger = deal.guild.member("esi", &["client", "worker"]).await;
    let words = json!({ "note": "It is done." });
    for act in ["fund", "approve"] {
        let call = || deal.post(&format!("/milestones/1/{act}")).key(act);
        call().by(&deal.worker).send().await.problem(403, "not_the_client");
        call().by(&stranger).send().await.problem(403, "not_a_party");
        call().send().await.problem(401, "unauthenticated");
    }
    let changes = || deal.post("/milestones/1/request-changes").json(&words);
    changes().by(&deal.worker).send().await.problem(403, "not_the_client");
    changes().by(&stranger).send().await.problem(403, "not_a_party");
    let submit = || deal.post("/milestones/1/submit").json(&words);
    submit().by(&deal.client).send().await.problem(403, "not_the_worker");
    submit().by(&stranger).send().await.problem(403, "not_a_party");
    submit().by(&deal.worker).send().await.problem(409, "milestone_not_in_work");
    let call = deal.post("/milestones/1/approve").key("early").by(&deal.client);
    call.send().await.problem(409, "milestone_not_submitted");
    let call = deal.post("/milestones/3/fund").key("third").by(&deal.client);
    call.send().await.problem(404, "milestone_not_found");
    let call = deal.post("/milestones/first/fund").key("first").by(&deal.client);
    call.send().await.problem(404, "not_found");
    let call = deal.post("/milestones/1/fund").key("old").if_match(1).by(&deal.client);
    call.send().await.problem(412, "version_mismatch");
    let blank = deal.post("/milestones/1/submit").json(&json!({ "note": " " })).by(&deal.worker);
    blank.send().await.problem(422, "invalid_field");
}

#[tokio::test]
async fn without_a_provider_nobody_is_asked_to_pay() {
    let guild = Guild::start_with(|layers| layers.set("payments.provider", "none", Origin::Given).unwrap());
    let deal = Deal::signed_at(guild.await).await;
    let fund = deal.post("/milestones/1/fund").by(&deal.client).key("one");
    fund.send().await.problem(501, "payments_not_offered");
    let payment = format!("/api/v1/payments/pay_{}", "0".repeat(32));
    let attempt = json!({ "payment_method": format!("pmt_{}", "0".repeat(32)) });
    let call = deal.guild.post(&format!("{payment}/attempts")).by(&deal.client).key("two").json(&attempt);
    call.send().await.problem(501, "payments_not_offered");
    deal.guild.get(&payment).by(&deal.client).send().await.problem(404, "not_found");
}

#[tokio::test]
async fn an_escrow_waits_for_each_milestone_once_both_have_signed_and_expires_when_the_contract_is_called_off()
 {
    let deal = Deal::proposed().await;
    deal.post("/sign").by(&deal.client).send().await.expect(StatusCode::OK);
    let none = deal.until("/escrows", |_| true).await;
    assert_eq!(none["items"], json!([]), "only one has signed");
    deal.post("/sign").by(&deal.worker).send().await.expect(StatusCode::OK);
    let first = deal.escrow(1, "opened").await;
    let second = deal.escrow(2, "opened").await;
    assert_ne!(first, second);
    deal.post("/cancel").by(&deal.worker).send().await.expect(StatusCode::OK);
    assert_eq!((deal.escrow(1, "expired").await, deal.escrow(2, "expired").await), (first, second));
}
