//! No effect is lost and none is sent twice, whatever the provider answers or does not, and whoever dies meanwhile.

use std::{sync::Arc, time::Duration};

use commands::{
    contract::ContractCommand,
    payment::PaymentStatus,
    payout::{Payout, PayoutCommand},
};
use events::{
    ids::{CommandId, PayoutDestinationId, PayoutId},
    vocabulary::identity::Role,
};
use serde_json::json;

use crate::support::{
    market::{DAY_MS, as_role, sealed},
    till::{NET, PRICE, Till, cedis},
    until, until_caught_up, until_status,
};

/// The references of a list at the provider, which are one each.
async fn references(till: &Till, list: &str) -> usize {
    let mut references: Vec<String> = (till.bank.all(list).await.iter())
        .map(|item| item["reference"].as_str().unwrap().to_owned())
        .collect();
    let all = references.len();
    references.sort();
    references.dedup();
    assert_eq!(references.len(), all);
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_and_not_answered_is_found_by_our_reference() {
    let till = Till::open().await;
    let workers = till.workers();
    let tokens = [
        ("pm_timeout_after_success", "ba_timeout_after_success"),
        ("pm_error_after_success", "ba_error_after_success"),
        ("pm_slow", "ba_slow"),
    ];
    for (card, bank) in tokens {
        let deal = till.deal().await;
        till.earn(deal, card).await;
        till.want(deal, bank).await;
        till.batch().await;
        till.until_wallet(deal.worker, 0, 0).await;
    }
    till.until_rested().await;
    assert_eq!((references(&till, "charges").await, references(&till, "payouts").await), (3, 3));
    assert_eq!(till.balance().await, i128::from(3 * (PRICE - NET)));
    till.assert_sent_once();
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_webhook_is_noticed() {
    let till = Till::open().await;
    let workers = till.workers();
    let deal = till.deal().await;
    till.earn(deal, "pm_lost_event").await;
    till.want(deal, "ba_lost_event").await;
    till.batch().await;
    till.until_wallet(deal.worker, 0, 0).await;
    till.until_rested().await;
    assert_eq!(till.books().await, ["charge_succeeded", "payout_created", "payout_paid"]);
    till.assert_sent_once();
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_effect_that_always_fails_holds_nobody_up_and_is_given_up_with_its_payment() {
    let till = Till::open().await;
    let workers = till.workers();
    let stuck = till.deal().await;
    let payment = till.bill(stuck).await;
    till.attempt(stuck, payment, "pm_error").await;
    until_status(&workers, "it was tried in vain", |status| {
        status.effects.as_ref().is_some_and(|effects| effects.pump.retried >= 3)
    })
    .await;
    let deal = till.deal().await;
    let other = till.bill(deal).await;
    till.attempt(deal, other, "pm_card").await;
    till.until_funded(deal).await;
    till.market.advance(15 * 60_000).await;
    till.until_payment(payment, PaymentStatus::Expired).await;
    till.until_rested().await;
    assert_eq!(references(&till, "charges").await, 1);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_provider_is_away_effects_wait_and_then_all_are_done() {
    let till = Till::open().await;
    let workers = till.workers();
    let mut deals = Vec::new();
    for _ in 0..4 {
        let deal = till.deal().await;
        deals.push((deal, till.bill(deal).await));
    }
    let away = json!({ "fault": "unavailable" });
    till.bank.post("/control/faults", away).await;
    for (deal, payment) in &deals {
        till.attempt(*deal, *payment, "pm_card").await;
    }
    until_status(&workers, "the breaker opens", |status| {
        status.effects.as_ref().is_some_and(|effects| effects.breaker.open && effects.breaker.opened == 1)
    })
    .await;
    let before = *till.provider.looked_up.lock().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = *till.provider.looked_up.lock().unwrap() - before;
    assert!(asked <= 40, "one probe a pause, and not {asked}");
    till.bank.send(http::Method::DELETE, "/control/faults", json!(null)).await;
    for (deal, _) in &deals {
        till.until_funded(*deal).await;
    }
    until_status(&workers, "the breaker closes", |status| {
        status.effects.as_ref().is_some_and(|effects| !effects.breaker.open)
    })
    .await;
    till.until_rested().await;
    assert_eq!(references(&till, "charges").await, 4);
    till.assert_sent_once();
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_die_between_an_order_and_its_answer_leave_no_doubt() {
    let till = Till::open().await;
    let mut workers = till.workers();
    for round in 0..4_usize {
        let deal = till.deal().await;
        let payment = till.bill(deal).await;
        till.attempt(deal, payment, "pm_slow").await;
        until("the order has arrived", || async { till.bank.all("charges").await.len() == round + 1 }).await;
        // The answer takes a tenth of a second: nobody is there to hear it.
        drop(workers);
        workers = till.workers();
        till.until_funded(deal).await;
        till.work(deal).await;
        till.want(deal, "ba_slow").await;
        till.batch().await;
        until("the order has arrived", || async { till.bank.all("payouts").await.len() == round + 1 }).await;
        drop(workers);
        workers = till.workers();
        till.until_wallet(deal.worker, 0, 0).await;
    }
    till.until_rested().await;
    assert_eq!((references(&till, "charges").await, references(&till, "payouts").await), (4, 4));
    assert_eq!(till.balance().await, i128::from(4 * (PRICE - NET)));
    till.assert_sent_once();
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_store_that_is_lost_on_the_way_loses_no_timer_and_pays_nobody_twice() {
    let till = Till::open().await;
    let workers = till.workers();
    let deal = till.deal().await;
    let payment = till.bill(deal).await;
    till.attempt(deal, payment, "pm_card").await;
    drop(workers);
    let second = till.market.house.another_store("second");
    let workers = till.workers_on(Arc::clone(&second));
    till.until_funded(deal).await;
    let note = sealed(deal.worker);
    let submit = ContractCommand::SubmitWork { milestone: 1, note };
    till.worker_asks(deal, submit).await;
    till.until_rested_in(&second).await;
    drop(workers);
    // The review's timer runs on, though nobody remembers it.
    till.market.advance(14 * DAY_MS).await;
    let third = till.market.house.another_store("third");
    let workers = till.workers_on(Arc::clone(&third));
    till.until_wallet(deal.worker, 0, NET).await;
    till.until_rested_in(&third).await;
    till.market.advance(5 * DAY_MS).await;
    till.until_wallet(deal.worker, NET, 0).await;
    let payout = PayoutId::fresh();
    let (destination, token) = (PayoutDestinationId::fresh(), "ba_account".to_owned());
    let amount = cedis(NET);
    let request = PayoutCommand::Request { amount, destination, token };
    let actor = as_role(deal.worker, Role::Worker);
    till.market.run::<Payout>(actor, payout, CommandId::fresh(), request).await;
    till.until_wallet(deal.worker, 0, NET).await;
    till.until_rested_in(&third).await;
    till.batch().await;
    drop(workers);
    let fourth = till.market.house.another_store("fourth");
    let workers = till.workers_on(Arc::clone(&fourth));
    till.until_wallet(deal.worker, 0, 0).await;
    till.until_rested_in(&fourth).await;
    assert_eq!(till.books().await, ["charge_succeeded", "payout_created", "payout_paid"]);
    till.assert_sent_once();
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_fires_no_effect() {
    let till = Till::open().await;
    let workers = till.workers();
    let deal = till.deal().await;
    till.earn(deal, "pm_card").await;
    till.want(deal, "ba_account").await;
    till.batch().await;
    till.until_wallet(deal.worker, 0, 0).await;
    till.until_rested().await;
    workers.shutdown().await;
    let asked = *till.provider.looked_up.lock().unwrap();
    let rebuilt = till.market.house.another_store("rebuilt");
    let workers = till.workers_on(Arc::clone(&rebuilt));
    until_caught_up(&workers, till.market.house.log.as_ref()).await;
    till.until_rested_in(&rebuilt).await;
    assert_eq!(*till.provider.looked_up.lock().unwrap(), asked, "nobody waits, so nobody asks");
    till.assert_sent_once();
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_on_the_same_effects_move_the_money_once() {
    let till = Till::open().await;
    let second = till.market.house.another_store("second");
    let (one, other) = (till.workers(), till.workers_on(Arc::clone(&second)));
    for _ in 0..3 {
        let deal = till.deal().await;
        till.earn(deal, "pm_slow").await;
        till.want(deal, "ba_slow").await;
        till.batch().await;
        till.until_wallet(deal.worker, 0, 0).await;
    }
    till.until_rested().await;
    till.until_rested_in(&second).await;
    assert_eq!((references(&till, "charges").await, references(&till, "payouts").await), (3, 3));
    assert_eq!(till.balance().await, i128::from(3 * (PRICE - NET)));
    one.shutdown().await;
    other.shutdown().await;
}
