//! Wallets and statements, escrows, payments, payouts, methods, deadlines, webhook log.

use std::sync::Arc;

use events::{
    Id, Money,
    ids::{AccountId, ContractId, HoldId, PaymentId, PayoutId, TransferId},
    vocabulary::{
        StepOutcome,
        jobs::{
            ChangesRequested, ContractProposed, ContractSigned, MilestoneApproved, MilestoneFunded,
            WorkSubmitted,
        },
        payments::{
            CreditSource, EscrowFunded, EscrowRefunded, FundsHeld, HoldDeclined, HoldReason, HoldReleased,
            Notice, PaymentAttemptFailed, PaymentAttemptStarted, PaymentConfirmed, PaymentConfirmedLate,
            PaymentCreated, PaymentExpired, PaymentRefundRequested, PaymentRefunded, PayoutApproved,
            PayoutDispatched, PayoutPaid, PayoutRequested, PayoutReviewRequested, RefundReason,
            WalletCredited, WalletDebited,
        },
    },
};
use projections::{
    Page, PageRequest,
    money::{
        deadlines::{self, DeadlineKind, Deadlines},
        escrows::{self, EscrowStatus, Escrows},
        methods::{self, Methods},
        payments::{self, AttemptStatus, PaymentStatus, Payments},
        payouts::{self, PayoutStatus, Payouts},
        statement::{self, EntryKind},
        wallets::{self, Wallets, Work},
        webhook_log::{self, WebhookLog},
    },
};

use crate::{
    engines::{Fixture, sqlite},
    generator::Draw,
    story::{Story, at, contract_terms, ghs, id, project, sealed},
    treasury::Treasury,
};

const CLIENT: u128 = 10;
const WORKER: u128 = 11;
const CONTRACT: u128 = 70;

fn page() -> PageRequest {
    PageRequest::first(10)
}

fn parties() -> (AccountId, AccountId) {
    (id(CLIENT), id(WORKER))
}

async fn given(story: &Story) -> Fixture {
    let fixture = sqlite();
    let store = || Arc::clone(&fixture.store);
    project(Arc::new(Wallets), store(), &story.events, &[2]).await;
    project(Arc::new(Escrows), store(), &story.events, &[2]).await;
    project(Arc::new(Payments), store(), &story.events, &[2]).await;
    project(Arc::new(Payouts), store(), &story.events, &[2]).await;
    project(Arc::new(Methods), store(), &story.events, &[2]).await;
    project(Arc::new(Deadlines), store(), &story.events, &[2]).await;
    project(Arc::new(WebhookLog), store(), &story.events, &[2]).await;
    fixture
}

/// 90 were earned and can be spent, another 45 were earned just now, and 20 are being paid out.
fn earned() -> (Story, PayoutId) {
    let (mut story, contract, payout): (_, ContractId, PayoutId) = (Story::default(), id(CONTRACT), id(80));
    for (milestone, amount, transfer) in [(1, 100, 1), (2, 50, 2)] {
        let escrow = story.open_escrow((contract, milestone), parties(), ghs(amount));
        story.escrow(escrow, EscrowFunded { payment: id(90), transfer: id(91), amount: ghs(amount) });
        story.pay_work(escrow, id(WORKER), ghs(amount), id(transfer));
    }
    story.wallet(id(WORKER), HoldReleased { hold: id::<HoldId>(1), amount: ghs(90) });
    let reason = HoldReason::Payout { payout };
    story.wallet(id(WORKER), FundsHeld { hold: id(80), amount: ghs(20), reason });
    (story, payout)
}

#[tokio::test]
async fn a_balance_says_what_is_there_what_is_held_and_what_can_be_spent() {
    let (mut story, _) = earned();
    story.wallet(
        id(WORKER),
        HoldDeclined { hold: id(81), amount: ghs(71), reason: HoldReason::Payout { payout: id(81) } },
    );
    let fixture = given(&story).await;
    let store = fixture.store.as_ref();
    let balance = wallets::balance(store, id(WORKER), ghs(0).currency()).await.unwrap().unwrap();
    assert_eq!((balance.posted, balance.pending), (ghs(135), ghs(45)));
    assert_eq!((balance.in_payout, balance.available), (ghs(20), ghs(70)));
    assert_eq!(wallets::balances(store, id(WORKER), page()).await.unwrap().items, [balance]);
    assert_eq!(wallets::balance(store, id(CLIENT), ghs(0).currency()).await, Ok(None));
    let holds = wallets::holds(store, id(WORKER), ghs(0).currency(), page()).await.unwrap().items;
    assert!(holds.iter().map(|hold| hold.amount).eq([ghs(45), ghs(20)]));
}

#[tokio::test]
async fn money_that_was_paid_out_has_left_and_what_came_back_is_there_again() {
    let (mut story, payout) = earned();
    let (hold, amount) = (id(80), ghs(20));
    story.wallet(id(WORKER), WalletDebited { hold, transfer: id(3), amount });
    let spent = given(&story).await;
    let balance = wallets::balance(spent.store.as_ref(), id(WORKER), ghs(0).currency()).await;
    let balance = balance.unwrap().unwrap();
    assert_eq!((balance.posted, balance.in_payout, balance.available), (ghs(115), ghs(0), ghs(70)));

    let source = CreditSource::Payout { payout };
    story.wallet(id(WORKER), WalletCredited { account: id(WORKER), transfer: id(4), amount, source });
    let returned = given(&story).await;
    let balance = wallets::balance(returned.store.as_ref(), id(WORKER), ghs(0).currency()).await;
    let balance = balance.unwrap().unwrap();
    assert_eq!((balance.posted, balance.in_payout, balance.available), (ghs(135), ghs(0), ghs(90)));
}

#[tokio::test]
async fn a_statement_tells_newest_first_what_happened_why_and_what_was_left() {
    let (mut story, payout) = earned();
    story.wallet(id(WORKER), WalletDebited { hold: id(80), transfer: id(3), amount: ghs(20) });
    let fixture = given(&story).await;
    let store = fixture.store.as_ref();
    let lines = statement::list(store, id(WORKER), Some(ghs(0).currency()), page()).await.unwrap().items;
    let told: Vec<(EntryKind, i64, i64, i64)> = (lines.iter())
        .map(|line| &line.entry)
        .map(|entry| (entry.kind, entry.amount.minor(), entry.posted.minor(), entry.available.minor()))
        .collect();
    let expected = [
        (EntryKind::Debited, 20, 115, 70),
        (EntryKind::Held, 20, 135, 70),
        (EntryKind::Released, 90, 135, 90),
        (EntryKind::Held, 45, 135, 0),
        (EntryKind::Credited, 45, 135, 45),
        (EntryKind::Held, 90, 90, 0),
        (EntryKind::Credited, 90, 90, 90),
    ];
    assert_eq!(told, expected);
    assert_eq!(lines[0].entry.cause, CreditSource::Payout { payout });
    assert_eq!((lines[0].work, lines[2].work), (None, Some(Work { contract: id(CONTRACT), milestone: 1 })));
    assert_eq!(lines[4].work, Some(Work { contract: id(CONTRACT), milestone: 2 }));
    assert!(lines[3].entry.until.is_some());

    let first = statement::list(store, id(WORKER), None, PageRequest::first(3)).await.unwrap();
    let rest = PageRequest { after: first.next.clone(), limit: 10 };
    let rest = statement::list(store, id(WORKER), None, rest).await.unwrap();
    assert_eq!([first.items, rest.items].concat(), lines);
}

#[tokio::test]
async fn an_escrow_holds_what_came_less_what_left() {
    let (mut story, contract): (_, ContractId) = (Story::default(), id(CONTRACT));
    let first = story.open_escrow((contract, 1), parties(), ghs(100));
    story.open_escrow((contract, 2), parties(), ghs(50));
    story.open_escrow((id(71), 1), (id(CLIENT), id(12)), ghs(7));
    let payment: PaymentId = id(90);
    story.escrow(first, EscrowFunded { payment, transfer: id(1), amount: ghs(100) });
    story.pay_work(first, id(WORKER), ghs(40), id(2));
    let fixture = given(&story).await;
    let store = fixture.store.as_ref();
    let escrow = escrows::get(store, first).await.unwrap().unwrap();
    assert_eq!((escrow.status, escrow.held), (EscrowStatus::PartlyReleased, ghs(60)));
    assert_eq!((escrow.released, escrow.fees, escrow.payment), (ghs(40), ghs(4), Some(payment)));
    let milestones = |page: Page<escrows::Escrow>| -> Vec<u32> {
        page.items.iter().map(|escrow| escrow.milestone).collect()
    };
    assert_eq!(milestones(escrows::of_contract(store, contract, page()).await.unwrap()), [1, 2]);
    assert_eq!(milestones(escrows::list(store, id(CLIENT), None, page()).await.unwrap()), [1, 2, 1]);
    let opened = Some(EscrowStatus::Opened);
    assert_eq!(milestones(escrows::list(store, id(WORKER), opened, page()).await.unwrap()), [2]);

    story.escrow(first, EscrowRefunded { amount: ghs(60), transfer: id(3), payment });
    let fixture = given(&story).await;
    let escrow = escrows::get(fixture.store.as_ref(), first).await.unwrap().unwrap();
    assert_eq!((escrow.status, escrow.held, escrow.refunded), (EscrowStatus::Refunded, ghs(0), ghs(60)));
    assert!(escrow.ended_at.is_some());
}

#[tokio::test]
async fn a_payment_shows_its_attempts_and_what_came_late_and_went_back() {
    let (mut story, payment): (_, PaymentId) = (Story::default(), id(90));
    let (contract, amount, method) = (id(CONTRACT), ghs(100), id(41));
    let expires_at = at(900);
    story.payment(payment, PaymentCreated { payer: id(CLIENT), amount, contract, milestone: 1, expires_at });
    for attempt in [1, 2] {
        story.payment(payment, PaymentAttemptStarted { attempt, method, token: "tok".into() });
        story.payment(payment, PaymentAttemptFailed { attempt, code: "card_declined".into() });
    }
    story.payment(payment, PaymentExpired {});
    story.payment(payment, PaymentConfirmedLate { attempt: 2, reference: "ch_2".into(), amount });
    let reason = RefundReason::Late;
    story.payment(payment, PaymentRefundRequested { refund: 1, attempt: 2, amount, reason });
    story.payment(payment, PaymentRefunded { refund: 1, amount });
    let fixture = given(&story).await;
    let store = fixture.store.as_ref();
    let document = payments::get(store, payment).await.unwrap().unwrap();
    assert_eq!((document.status, document.confirmed_at), (PaymentStatus::Expired, None));
    let attempts: Vec<AttemptStatus> = document.attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(attempts, [AttemptStatus::Failed, AttemptStatus::Confirmed]);
    assert!(document.refunds[0].paid_at.is_some());
    let expected = [document];
    assert_eq!(payments::of_contract(store, contract, page()).await.unwrap().items, expected);
    assert_eq!(payments::list(store, id(CLIENT), page()).await.unwrap().items, expected);
}

#[tokio::test]
async fn payouts_are_listed_by_account_and_those_in_review_for_whoever_looks_at_them() {
    let mut story = Story::default();
    let ask = |account: u128, minor: i64| PayoutRequested {
        account: id(account),
        amount: ghs(minor),
        destination: id(51),
        token: "ba".into(),
    };
    for (payout, account) in [(80, WORKER), (81, WORKER), (82, 12)] {
        story.payout(id(payout), ask(account, 20));
        story.payout(id(payout), PayoutReviewRequested {});
    }
    let payout: PayoutId = id(80);
    story.payout(payout, PayoutApproved { by: Some(id(9)), dispatch_at: at(3600) });
    story.payout(payout, PayoutDispatched { attempt: 1 });
    let (reference, transfer) = ("po_1".to_owned(), id::<TransferId>(1));
    story.payout(payout, PayoutPaid { attempt: 1, reference, amount: ghs(20), transfer });
    let fixture = given(&story).await;
    let store = fixture.store.as_ref();
    let ids = |page: Page<payouts::Payout>| -> Vec<PayoutId> {
        page.items.iter().map(|payout| payout.payout).collect()
    };
    assert_eq!(ids(payouts::list(store, id(WORKER), None, page()).await.unwrap()), [id(81), id(80)]);
    let paid = Some(PayoutStatus::Paid);
    assert_eq!(ids(payouts::list(store, id(WORKER), paid, page()).await.unwrap()), [id(80)]);
    let waiting = payouts::standing_at(store, PayoutStatus::InReview, page()).await.unwrap();
    assert_eq!(ids(waiting), [id(81), id(82)]);
    let payout = payouts::get(store, payout).await.unwrap().unwrap();
    assert_eq!((payout.judged_by, payout.reference.as_deref()), (Some(id(9)), Some("po_1")));
}

#[tokio::test]
async fn what_was_removed_is_not_offered_for_paying_any_more() {
    let owner: AccountId = id(CLIENT);
    let mut story = Story::default();
    // Three of them: by this seed at least one is removed, and at least one is not.
    let (mut treasury, mut draw) = (Treasury::default(), Draw(4));
    for _ in 0..3 {
        treasury.methods(&mut story, &mut draw, owner);
    }
    let fixture = given(&story).await;
    let store = fixture.store.as_ref();
    let removed = story.events.iter().filter(|event| event.payload.name() == "PaymentMethodRemoved").count();
    let left = methods::payment_methods(store, owner, page()).await.unwrap().items;
    assert!(removed > 0 && !left.is_empty());
    assert_eq!(left.len(), 3 - removed);
    let places = methods::payout_destinations(store, owner, page()).await.unwrap().items;
    assert_eq!(places.len(), 3 - removed);
    assert_eq!(methods::payment_method(store, left[0].method).await.unwrap().as_ref(), Some(&left[0]));
    assert_eq!(methods::payment_methods(store, id(WORKER), page()).await.unwrap().items, []);
}

#[tokio::test]
async fn a_deadline_lasts_until_somebody_has_acted() {
    let (client, worker) = parties();
    let (mut story, contract): (_, ContractId) = (Story::default(), id(CONTRACT));
    let terms = contract_terms(id(1), id(2), client, worker, 100);
    story.contract(contract, ContractProposed { terms, expires_at: at(5000) });
    let (payer, amount, expires_at) = (client, ghs(50), at(900));
    let created = PaymentCreated { payer, amount, contract, milestone: 1, expires_at };
    story.payment(id(90), created);
    let due = |story: Story, account: AccountId| async move {
        let fixture = given(&story).await;
        let due = deadlines::list(fixture.store.as_ref(), account, None, None, page()).await.unwrap().items;
        due.into_iter().map(|deadline| (deadline.kind, deadline.due_at)).collect::<Vec<_>>()
    };
    let events = story.events.clone();
    let proposal = (DeadlineKind::Proposal, at(5000));
    assert_eq!(due(story, client).await, [(DeadlineKind::Payment, at(900)), proposal]);

    let mut story = Story::after(events);
    story.contract(contract, ContractSigned { by: client, fully: false });
    story.contract(contract, ContractSigned { by: worker, fully: true });
    let (reference, transfer) = ("ch".to_owned(), id(1));
    story.payment(id(90), PaymentAttemptStarted { attempt: 1, method: id(41), token: "tok".into() });
    story.payment(id(90), PaymentConfirmed { attempt: 1, reference, amount, transfer });
    story.contract(contract, MilestoneFunded { milestone: 1 });
    let work = WorkSubmitted { milestone: 1, note: sealed(worker, "done"), review_until: at(7000) };
    story.contract(contract, work.clone());
    let fixture = given(&story).await;
    let store = fixture.store.as_ref();
    let review = deadlines::list(store, worker, Some(DeadlineKind::Review), Some(at(7000)), page()).await;
    let review = review.unwrap().items;
    assert_eq!((review.len(), review[0].amount, review[0].milestone), (1, ghs(50), Some(1)));
    assert_eq!(
        deadlines::of_kind(store, DeadlineKind::Review, at(7000), page()).await.unwrap().items,
        review
    );
    assert_eq!(deadlines::list(store, client, None, Some(at(6999)), page()).await.unwrap().items, []);

    story.contract(contract, ChangesRequested { milestone: 1, note: sealed(client, "more") });
    assert_eq!(due(Story::after(story.events.clone()), worker).await, []);
    story.contract(contract, WorkSubmitted { review_until: at(8000), ..work });
    assert_eq!(due(Story::after(story.events.clone()), worker).await, [(DeadlineKind::Review, at(8000))]);
    story.contract(contract, MilestoneApproved { milestone: 1, by: None });
    assert_eq!(due(story, worker).await, []);
}

#[tokio::test]
async fn what_a_provider_told_is_kept_with_what_came_of_it() {
    let (mut story, payment): (_, PaymentId) = (Story::default(), id(90));
    let amount: Money = ghs(5);
    story.receipt(1, Notice::Other { name: "customer.updated".into() });
    story.receipt(2, Notice::PaymentConfirmed { payment, attempt: 1, reference: "ch".into(), amount });
    let fixture = given(&story).await;
    let store = fixture.store.as_ref();
    let log = webhook_log::list(store, None, page()).await.unwrap().items;
    assert!(log.iter().map(|receipt| receipt.kind.as_str()).eq(["payment_confirmed", "other"]));
    assert_eq!((log[0].payment, log[0].outcome.clone()), (Some(payment), Some(StepOutcome::Done)));
    assert_eq!((log[1].event.as_str(), log[1].outcome.clone()), ("evt_1", None));
    assert_eq!(webhook_log::list(store, Some("sandbox"), page()).await.unwrap().items, log);
    assert_eq!(webhook_log::list(store, Some("other"), page()).await.unwrap().items, []);
    assert_eq!(webhook_log::get(store, log[0].receipt).await.unwrap().as_ref(), Some(&log[0]));
}

#[tokio::test]
async fn money_that_is_not_there_cannot_leave() {
    use projections::{FoldError, Folding};
    let (mut story, _) = earned();
    story.wallet(id(WORKER), HoldReleased { hold: HoldId::from_uuid(uuid::Uuid::nil()), amount: ghs(1) });
    let fixture = sqlite();
    let mut folding = Folding::new(Arc::new(Wallets), Arc::clone(&fixture.store), 1_000_000);
    fixture.prepare(&Wallets).await;
    let events: Vec<_> = story.events.iter().collect();
    folding.expect(&events).await.unwrap();
    let mut last = Ok(projections::Applied::Changed);
    for event in events {
        last = folding.apply(event).await;
    }
    assert!(matches!(last, Err(FoldError::Poison(reason)) if reason.contains("there is no hold")));
    assert!(projections::Projection::halt_on_failure(&Wallets));
}
