//! What somebody pays with and where somebody is paid: added and removed by its owner, and unknown to everybody else.

use http::StatusCode;
use serde_json::json;

use crate::harness::Guild;

#[tokio::test]
async fn what_was_added_is_its_owners_and_nobody_elses() {
    let guild = Guild::start_quiet().await;
    let ama = guild.member("ama", &["client", "worker"]).await;
    let esi = guild.member("esi", &["client", "worker"]).await;
    for (path, what) in [
        ("/api/v1/payment-methods", json!({ "token": "pm_card", "label": "My card" })),
        (
            "/api/v1/payout-destinations",
            json!({ "token": "ba_account", "currency": "GHS", "label": "My bank" }),
        ),
    ] {
        let added = guild.post(path).by(&ama).key("one").json(&what).send().await;
        let added = added.expect(StatusCode::CREATED);
        let again = guild.post(path).by(&ama).key("one").json(&what).send().await;
        let place = added.header("location");
        assert_eq!(again.expect(StatusCode::CREATED).header("location"), place, "a repetition adds nothing");
        let seen = guild.get(&place).by(&ama).send().await.expect(StatusCode::OK);
        assert_eq!((&seen.body["label"], &seen.body["removed"]), (&what["label"], &json!(false)));
        assert!(!seen.raw.contains("pm_card") && !seen.raw.contains("ba_account"), "tokens are not told");
        guild.get(&place).by(&esi).send().await.problem(404, "not_found");
        let code = if path.contains("methods") {
            "payment_method_not_found"
        } else {
            "payout_destination_not_found"
        };
        guild.delete(&place).by(&esi).send().await.problem(404, code);
        guild.delete(&place).by(&ama).if_match(7).send().await.problem(412, "version_mismatch");
        guild.delete(&place).by(&ama).if_match(1).send().await.expect(StatusCode::OK);
        let seen = guild.get(&place).by(&ama).send().await.expect(StatusCode::OK);
        assert_eq!(seen.body["removed"], true);
        guild.delete(&place).by(&ama).send().await.expect(StatusCode::OK);
        guild.post(path).json(&what).send().await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_token_with_spaces_and_a_currency_that_is_none_are_refused() {
    let guild = Guild::start_quiet().await;
    let ama = guild.member("ama", &["client"]).await;
    let add = |body| guild.post("/api/v1/payout-destinations").by(&ama).json(body).send();
    let spaces = json!({ "token": "ba account", "currency": "GHS", "label": "My bank" });
    add(&spaces).await.problem(422, "invalid_field");
    let currency = json!({ "token": "ba_account", "currency": "XYZ", "label": "My bank" });
    add(&currency).await.problem(422, "unknown_currency");
    let number = json!({ "token": "ba_account", "currency": "GHS", "label": "Mine", "iban": "GH00" });
    add(&number).await.problem(422, "unknown_field");
}
