//! The read models of money are lost in the middle of it: all comes back, nothing is paid twice, and no timer is lost.

use events::Timestamp;
use http::StatusCode;
use serde_json::{Value, json};
use workers::payments::{Movement, PaymentProvider};

use crate::harness::{Guild, deal::Deal};

/// How often each kind of movement stands in the provider's books.
async fn movements(guild: &Guild) -> Vec<Movement> {
    let provider = guild.server.app.provider.as_ref().unwrap();
    let (from, to) = (Timestamp::from_micros(0), Timestamp::now().plus_millis(400 * 24 * 3_600_000));
    let page = provider.books(from, to, None).await.unwrap();
    assert!(page.next.is_none());
    page.entries.iter().map(|entry| entry.movement).collect()
}

/// The deal goes on at another server on the same folder, whose read models are gone.
async fn lose_the_read_models(deal: Deal) -> Deal {
    let Deal { guild, client, worker, job, contract } = deal;
    let folder = guild.stop_and_keep().await;
    // The last connection takes the write-ahead log away when it closes; it may do so a moment after the server has ended.
    for _ in 0..1000 {
        if !folder.path().join("read.db-wal").exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut lost = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("read.db") {
            std::fs::remove_file(path).unwrap();
            lost += 1;
        }
    }
    assert!(lost > 0, "there were read models");
    Deal { guild: Guild::serve(folder).await, client, worker, job, contract }
}

#[tokio::test]
async fn read_models_that_are_lost_in_the_middle_come_back_and_nothing_is_paid_twice() {
    let deal = Deal::signed().await;
    deal.pays(1).await;
    deal.submits(1).await;
    let late = deal.wants_to_pay(2).await;
    let slow = deal.guild.card(&deal.client, "pm_late_confirmation").await;
    deal.attempt(&late, &slow).await.expect(StatusCode::OK);
    deal.is_with_the_provider(&late, 1).await;
    let review = |list: &Value| list["items"][0]["kind"] == "review" || list["items"][1]["kind"] == "review";
    let deadlines = "/api/v1/deadlines";
    let before = deal
        .guild
        .until(&deal.client, deadlines, |list| review(list) && list["items"][1] != json!(null))
        .await;

    let deal = lose_the_read_models(deal).await;
    let after = deal
        .guild
        .until(&deal.client, deadlines, |list| review(list) && list["items"][1] != json!(null))
        .await;
    assert_eq!(before, after);
    assert_eq!(movements(&deal.guild).await, [Movement::ChargeSucceeded]);
    // The timer of the payment goes on, and so does what is under way at the provider.
    deal.guild.advance("16m").await;
    deal.payment(&late, |payment| payment["status"] == "expired").await;

    let deal = lose_the_read_models(deal).await;
    deal.guild.advance("10m").await;
    deal.payment(&late, |payment| payment["refunds"][0]["state"] == "paid").await;
    // The review's timer goes on, too: nobody answers, so the work counts as approved.
    deal.guild.advance("14d").await;
    deal.milestone_is(1, "released").await;
    deal.guild.advance("5d").await;
    deal.has_available("90000").await;
    let bank = deal.guild.bank(&deal.worker, "ba_account").await;
    let payout = deal.asks_for("90000", &bank).await.expect(StatusCode::CREATED).text("/payout");
    deal.payout_is(&payout, "queued").await;

    let deal = lose_the_read_models(deal).await;
    deal.guild.advance("1h").await;
    deal.payout_is(&payout, "paid").await;
    deal.guild.at_rest(&[("clearing", "10000"), ("fees", "10000"), ("holds", "0"), ("wallets", "0")]).await;
    let mut moved = movements(&deal.guild).await;
    moved.sort_unstable();
    let once = [
        Movement::ChargeSucceeded,
        Movement::ChargeSucceeded,
        Movement::RefundCreated,
        Movement::RefundSucceeded,
        Movement::PayoutCreated,
        Movement::PayoutPaid,
    ];
    assert_eq!(moved, once);
}
