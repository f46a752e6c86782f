//! Money goes its way by itself: from a card over escrow and a wallet to a bank, or back where it came from.

use commands::{
    contract::{ContractCommand, MilestoneStatus},
    payment::{Payment, PaymentCommand, PaymentStatus},
    payout::{Payout, PayoutStatus},
};
use events::{
    Money,
    ids::{AccountId, CommandId},
    vocabulary::identity::Role,
};
use sandbox::Disorder;

use crate::support::{
    market::{DAY_MS, as_role, sealed},
    provider,
    till::{NET, PRICE, Till},
    until,
};

const MINUTE_MS: i64 = 60_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_card_over_escrow_and_a_wallet_to_a_bank() {
    let till = Till::open().await;
    let workers = till.workers();
    let deal = till.deal().await;
    till.earn(deal, "pm_card").await;
    assert_eq!(till.balance().await, i128::from(PRICE));
    let payout = till.want(deal, "ba_account").await;
    till.until_wallet(deal.worker, 0, NET).await;
    till.batch().await;
    till.until_wallet(deal.worker, 0, 0).await;
    till.until_rested().await;
    assert_eq!(till.market.state::<Payout>(payout).await.status(), Some(PayoutStatus::Paid));
    assert_eq!(till.books().await, ["charge_succeeded", "payout_created", "payout_paid"]);
    assert_eq!(till.balance().await, i128::from(PRICE - NET), "the fee is ours");
    till.until_milestone(deal, MilestoneStatus::Released).await;
    till.assert_sent_once();
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_nobody_looks_at_is_approved_by_the_timer() {
    let till = Till::open().await;
    let workers = till.workers();
    let deal = till.deal().await;
    let payment = till.bill(deal).await;
    till.attempt(deal, payment, "pm_card").await;
    till.until_funded(deal).await;
    let note = sealed(deal.worker);
    till.worker_asks(deal, ContractCommand::SubmitWork { milestone: 1, note }).await;
    till.until_rested().await;
    till.market.advance(14 * DAY_MS).await;
    till.until_wallet(deal.worker, 0, NET).await;
    till.until_rested().await;
    till.market.advance(5 * DAY_MS).await;
    till.until_wallet(deal.worker, NET, 0).await;
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_card_takes_nothing_and_another_one_pays() {
    let till = Till::open().await;
    let workers = till.workers();
    let deal = till.deal().await;
    let payment = till.bill(deal).await;
    for declined in ["pm_card_declined", "pm_declined_at_once", "pm_nobody_knows"] {
        till.attempt(deal, payment, declined).await;
        till.until_payment(payment, PaymentStatus::Created).await;
    }
    till.attempt(deal, payment, "pm_card").await;
    till.until_funded(deal).await;
    till.until_rested().await;
    assert_eq!(till.books().await, ["charge_succeeded"]);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_twice_late_and_in_disorder_is_taken_once() {
    let disorder = Disorder { seed: 7, repeat_percent: 60, delay_percent: 60, delay_ms_max: 50 };
    let till = Till::with(sandbox::Settings { disorder, ..provider::settings() }).await;
    let workers = till.workers();
    for _ in 0..3 {
        let deal = till.deal().await;
        till.earn(deal, "pm_duplicate_event").await;
        till.want(deal, "ba_duplicate_event").await;
        till.batch().await;
        till.until_wallet(deal.worker, 0, 0).await;
    }
    till.until_rested().await;
    assert_eq!(till.balance().await, i128::from(3 * (PRICE - NET)));
    till.assert_sent_once();
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_after_the_expiry_is_refunded() {
    let till = Till::open().await;
    let workers = till.workers();
    let deal = till.deal().await;
    let payment = till.bill(deal).await;
    till.attempt(deal, payment, "pm_late_confirmation").await;
    until("the provider works on it", || async { till.bank.all("charges").await.len() == 1 }).await;
    till.market.advance(15 * MINUTE_MS).await;
    till.until_payment(payment, PaymentStatus::Expired).await;
    till.provider_waits(20 * MINUTE_MS).await;
    until("it was refunded", || async { till.books().await.len() == 3 }).await;
    till.until_rested().await;
    assert_eq!(till.books().await, ["charge_succeeded", "refund_created", "refund_succeeded"]);
    assert_eq!(till.balance().await, 0);
    let state = till.market.state::<Payment>(payment).await;
    assert_eq!(state.payable().map(Money::minor), Some(0));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payout_that_is_returned_can_be_spent_and_is_paid_again() {
    let till = Till::open().await;
    let workers = till.workers();
    let deal = till.deal().await;
    till.earn(deal, "pm_card").await;
    let returned = till.want(deal, "ba_returned_once-a").await;
    till.batch().await;
    till.until_wallet(deal.worker, 0, 0).await;
    till.provider_waits(3 * DAY_MS).await;
    till.until_wallet(deal.worker, NET, 0).await;
    till.until_rested().await;
    assert_eq!(till.market.state::<Payout>(returned).await.status(), Some(PayoutStatus::Reversed));
    till.want(deal, "ba_returned_once-a").await;
    till.batch().await;
    till.until_wallet(deal.worker, 0, 0).await;
    till.until_rested().await;
    assert_eq!(till.balance().await, i128::from(PRICE - NET));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payout_that_fails_is_tried_with_later_batches_and_then_given_back() {
    let till = Till::open().await;
    let workers = till.workers();
    let deal = till.deal().await;
    till.earn(deal, "pm_card").await;
    let payout = till.want(deal, "ba_failed").await;
    for attempt in 1..=3 {
        till.batch().await;
        until("the bank was asked", || async { till.bank.all("payouts").await.len() == attempt }).await;
        till.until_rested().await;
    }
    till.until_wallet(deal.worker, NET, 0).await;
    assert_eq!(till.market.state::<Payout>(payout).await.status(), Some(PayoutStatus::Cancelled));
    assert_eq!(till.balance().await, i128::from(PRICE));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_the_bank_refuses_is_owed_until_somebody_orders_it_again() {
    let till = Till::open().await;
    let workers = till.workers();
    let deal = till.deal().await;
    let payment = till.bill(deal).await;
    till.client_asks(deal, ContractCommand::Cancel).await;
    till.attempt(deal, payment, "pm_refund_fails").await;
    let failed = async |refund: u32| {
        until("the refund has failed", || async {
            let state = till.market.state::<Payment>(payment).await;
            state.failed_refunds().eq([refund])
        })
        .await;
    };
    failed(1).await;
    till.until_rested().await;
    let state = till.market.state::<Payment>(payment).await;
    assert_eq!(state.payable().map(Money::minor), Some(PRICE), "it is still owed");
    let admin = as_role(AccountId::fresh(), Role::Admin);
    let retry = PaymentCommand::RetryRefund { refund: 1 };
    till.market.run::<Payment>(admin, payment, CommandId::fresh(), retry).await;
    failed(2).await;
    assert_eq!(till.bank.all("refunds").await.len(), 2, "under a number of its own");
    assert_eq!(till.balance().await, i128::from(PRICE));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_expires_before_its_payer_acts_is_given_up_at_the_provider() {
    let till = Till::open().await;
    let workers = till.workers();
    let deal = till.deal().await;
    let payment = till.bill(deal).await;
    till.attempt(deal, payment, "pm_requires_action").await;
    till.until_payment(payment, PaymentStatus::RequiresAction).await;
    till.market.advance(15 * MINUTE_MS).await;
    till.until_payment(payment, PaymentStatus::Expired).await;
    till.until_rested().await;
    assert_eq!(till.bank.all("charges").await[0]["status"], "cancelled");
    workers.shutdown().await;
}
