//! The books are compared by one cut: what agrees, what is only on its way, and what does not agree, however money moves.

use std::{collections::BTreeSet, sync::Arc};

use commands::{
    Actor, Aggregate,
    escrow::{Escrow, EscrowCommand},
    payment::{Payment, PaymentCommand},
    payout::{Payout, PayoutCommand},
    reconciliation::{Reconciliation, ReconciliationCommand},
    wallet::{Wallet, WalletCommand, hold_of_earnings, hold_of_payout},
};
use events::{
    Money,
    ids::{
        AccountId, CommandId, ContractId, EscrowId, PaymentId, PaymentMethodId, PayoutDestinationId,
        PayoutId, ReconciliationId, TransferId, WalletId,
    },
    vocabulary::{
        identity::Role,
        payments::{
            CreditSource, DifferenceKind, EscrowEvent, HoldReason, PaymentEvent, PayoutEvent,
            ReconciliationCompleted,
        },
    },
};
use projections::{
    Batch, Json, Projection, Write,
    money::{
        ledger::{HOLDINGS, Holding, Ledger},
        unreconciled::{self, RunStatus, Unreconciled},
    },
};
use workers::{
    Workers,
    payments::{Order, PaymentProvider, State, sandbox::SandboxProvider},
    reconciliation::Reconciler,
};

use crate::support::{market::Market, provider::Bank, until, until_caught_up};

struct Town {
    market: Market,
    bank: Bank,
    workers: Workers,
}

fn cedis(minor: i64) -> Money {
    Money::new(minor, "GHS".parse().unwrap())
}

fn account(id: AccountId, role: Role) -> Actor {
    Actor::Account { id, roles: BTreeSet::from([role]) }
}

impl Town {
    async fn new() -> Self {
        let (market, bank) = (Market::new(), Bank::open().await);
        let workers = market.house.workers(vec![Arc::new(Ledger), Arc::new(Unreconciled)]);
        Self { market, bank, workers }
    }

    fn reconciler(&self) -> Reconciler {
        let (log, store) = (Arc::clone(&self.market.house.log), Arc::clone(&self.market.house.store));
        Reconciler::new(self.market.executor.clone(), log, store, Arc::new(self.bank.provider()))
    }

    /// What a comparison says once the read models have heard of everything.
    async fn compared(&self) -> ReconciliationCompleted {
        until_caught_up(&self.workers, self.market.house.log.as_ref()).await;
        self.reconciler().compare(self.market.clock.now()).await.unwrap()
    }

    async fn tell<A: Aggregate>(&self, actor: Actor, id: A::Id, command: A::Command) -> Vec<A::Event> {
        self.market.run::<A>(actor, id, CommandId::fresh(), command).await.events
    }

    /// A payment with an attempt that the provider carried out, and that nobody has told us of.
    async fn charge(&self, amount: Money) -> PaymentId {
        let (payment, payer) = (PaymentId::fresh(), AccountId::fresh());
        let create = PaymentCommand::Create { payer, amount, contract: ContractId::fresh(), milestone: 1 };
        self.tell::<Payment>(Actor::System, payment, create).await;
        let (method, token) = (PaymentMethodId::fresh(), "pm_card".to_owned());
        let attempt = PaymentCommand::Attempt { method, token: token.clone() };
        self.tell::<Payment>(account(payer, Role::Client), payment, attempt).await;
        carry_out(&self.bank.provider(), &Order::Charge { payment, attempt: 1, amount, token }).await;
        payment
    }

    /// We hear of it: the money is on its way to escrow.
    async fn confirm(&self, payment: PaymentId, amount: Money) -> TransferId {
        let confirm = PaymentCommand::Confirm { attempt: 1, reference: "ch".to_owned(), amount };
        match &self.tell::<Payment>(Actor::System, payment, confirm).await[..] {
            [PaymentEvent::PaymentConfirmed(confirmed)] => confirmed.transfer,
            other => panic!("{other:?}"),
        }
    }

    /// Escrow takes it, and releases it to a worker.
    async fn earn(&self, payment: PaymentId, transfer: TransferId, amount: Money) -> AccountId {
        let (contract, milestone, worker) = (ContractId::fresh(), 1, AccountId::fresh());
        let escrow = EscrowId::of(contract, milestone);
        let client = AccountId::fresh();
        let open = EscrowCommand::Open { contract, milestone, client, worker, amount };
        self.tell::<Escrow>(Actor::System, escrow, open).await;
        self.tell::<Escrow>(Actor::System, escrow, EscrowCommand::Fund { payment, transfer, amount }).await;
        let released =
            self.tell::<Escrow>(Actor::System, escrow, EscrowCommand::Release { amount: None }).await;
        let [EscrowEvent::EscrowReleased(released)] = &released[..] else { panic!("{released:?}") };
        let (transfer, source) = (released.transfer, CreditSource::Escrow { escrow });
        let credit = WalletCommand::Credit { account: worker, transfer, amount: released.net, source };
        let wallet = WalletId::of(worker, amount.currency());
        self.tell::<Wallet>(Actor::System, wallet, credit).await;
        let release = WalletCommand::ReleaseHold { hold: hold_of_earnings(transfer) };
        self.tell::<Wallet>(Actor::System, wallet, release).await;
        worker
    }

    /// The worker is paid out; the wallet is debited when `to_the_end`.
    async fn pay_out(&self, worker: AccountId, amount: Money, to_the_end: bool) {
        let (payout, token, wallet) =
            (PayoutId::fresh(), "ba_account".to_owned(), WalletId::of(worker, amount.currency()));
        let destination = PayoutDestinationId::fresh();
        let request = PayoutCommand::Request { amount, destination, token: token.clone() };
        self.tell::<Payout>(account(worker, Role::Worker), payout, request).await;
        let (hold, reason) = (hold_of_payout(payout), HoldReason::Payout { payout });
        self.tell::<Wallet>(Actor::System, wallet, WalletCommand::Hold { hold, amount, reason }).await;
        self.tell::<Payout>(Actor::System, payout, PayoutCommand::Admit).await;
        self.tell::<Payout>(Actor::System, payout, PayoutCommand::Dispatch).await;
        carry_out(&self.bank.provider(), &Order::Payout { payout, attempt: 1, amount, token }).await;
        let paid = PayoutCommand::ConfirmPaid { attempt: 1, reference: "po".to_owned() };
        let paid = self.tell::<Payout>(Actor::System, payout, paid).await;
        let [PayoutEvent::PayoutPaid(paid)] = &paid[..] else { panic!("{paid:?}") };
        if to_the_end {
            let debit = WalletCommand::Debit { hold, transfer: paid.transfer };
            self.tell::<Wallet>(Actor::System, wallet, debit).await;
        }
    }
}

async fn carry_out(provider: &SandboxProvider, order: &Order) {
    provider.order(order).await.unwrap();
    until("the provider has done it", || async {
        provider.look_up(order.reference()).await.unwrap().is_some_and(|found| found.state == State::Done)
    })
    .await;
}

fn kinds(result: &ReconciliationCompleted) -> Vec<DifferenceKind> {
    result.differences.iter().map(|difference| difference.kind).collect()
}

#[tokio::test]
async fn books_that_agree_are_shown_side_by_side() {
    let town = Town::new().await;
    let payment = town.charge(cedis(1_000)).await;
    let transfer = town.confirm(payment, cedis(1_000)).await;
    let worker = town.earn(payment, transfer, cedis(1_000)).await;
    town.pay_out(worker, cedis(400), true).await;
    let result = town.compared().await;
    assert_eq!((result.differences_total, result.in_transit_total), (0, 0), "{result:?}");
    let totals = result.currencies[0];
    assert_eq!((totals.ledger.clearing, totals.provider), (cedis(600), cedis(600)));
    assert_eq!((totals.ledger.fees, totals.ledger.wallets), (cedis(100), cedis(500)));
    assert_eq!((totals.aggregates.wallets, totals.aggregates.escrow), (cedis(500), cedis(0)));
    assert_eq!(result.books_next, result.books_until);
}

#[tokio::test]
async fn what_the_provider_did_and_has_not_told_is_on_its_way() {
    let town = Town::new().await;
    let payment = town.charge(cedis(1_000)).await;
    let result = town.compared().await;
    assert_eq!(result.differences, []);
    assert_eq!((result.in_transit_total, result.currencies[0].not_entered), (1, cedis(1_000)));
    assert_eq!(result.in_transit[0].subject, format!("{payment}:attempt:1"));
    assert!(result.books_next < result.books_until, "it is looked at again");
    town.confirm(payment, cedis(1_000)).await;
    let result = town.compared().await;
    assert_eq!((result.differences_total, result.currencies[0].not_entered), (0, cedis(0)));
}

#[tokio::test]
async fn a_transfer_that_is_open_is_on_its_way() {
    let town = Town::new().await;
    let payment = town.charge(cedis(1_000)).await;
    let transfer = town.confirm(payment, cedis(1_000)).await;
    let result = town.compared().await;
    assert_eq!((result.differences_total, result.in_transit_total), (0, 1));
    assert_eq!(result.in_transit[0].subject, transfer.to_string());
    let totals = result.currencies[0];
    assert_eq!((totals.open_transfers, totals.ledger.in_transit), (cedis(1_000), cedis(1_000)));

    let worker = town.earn(payment, transfer, cedis(1_000)).await;
    town.pay_out(worker, cedis(400), false).await;
    let result = town.compared().await;
    assert_eq!((result.differences_total, result.in_transit[0].amount), (0, cedis(-400)), "it is owed");
}

#[tokio::test]
async fn money_at_the_provider_under_a_name_that_we_never_gave_is_a_difference() {
    let town = Town::new().await;
    let (payment, token) = (PaymentId::fresh(), "pm_card".to_owned());
    let order = Order::Charge { payment, attempt: 1, amount: cedis(7), token };
    carry_out(&town.bank.provider(), &order).await;
    let result = town.compared().await;
    assert_eq!(kinds(&result), [DifferenceKind::Unknown]);
    assert_eq!(result.differences[0].subject, format!("{payment}:attempt:1"));
    assert_eq!((result.differences[0].expected, result.differences[0].found), (cedis(7), cedis(0)));
}

#[tokio::test]
async fn money_that_the_provider_knows_nothing_of_is_a_difference() {
    let town = Town::new().await;
    let (payment, payer) = (PaymentId::fresh(), AccountId::fresh());
    let create =
        PaymentCommand::Create { payer, amount: cedis(7), contract: ContractId::fresh(), milestone: 1 };
    town.tell::<Payment>(Actor::System, payment, create).await;
    let (method, token) = (PaymentMethodId::fresh(), "pm_card".to_owned());
    let attempt = PaymentCommand::Attempt { method, token };
    town.tell::<Payment>(account(payer, Role::Client), payment, attempt).await;
    town.confirm(payment, cedis(7)).await;
    let result = town.compared().await;
    assert_eq!(kinds(&result), [DifferenceKind::Clearing]);
    assert_eq!((result.differences[0].expected, result.differences[0].found), (cedis(0), cedis(7)));
}

#[tokio::test]
async fn a_ledger_that_says_something_else_of_a_wallet_is_found_out() {
    let town = Town::new().await;
    let payment = town.charge(cedis(1_000)).await;
    let transfer = town.confirm(payment, cedis(1_000)).await;
    let worker = town.earn(payment, transfer, cedis(1_000)).await;
    until_caught_up(&town.workers, town.market.house.log.as_ref()).await;
    town.workers.shutdown().await;
    let wallet = events::StreamId::new(events::Category::Wallet, WalletId::of(worker, cedis(0).currency()));
    let (store, key) = (&town.market.house.store, wallet.to_string());
    let document = projections::DocumentKey { collection: HOLDINGS.spec.name, key };
    let found = store.get_many(&Ledger.id(), std::slice::from_ref(&document)).await.unwrap().pop().flatten();
    let mut holding: Holding = found.unwrap().parse().unwrap();
    let had = holding.minor.values_mut().max().unwrap();
    *had += 1;
    let writes = vec![Write { document, value: Some(Json::of(&holding).unwrap()) }];
    let (advances, unchanged) = (Vec::new(), Vec::new());
    store.commit(Batch { projection: Ledger.id(), writes, advances, unchanged }).await.unwrap();
    let result = town.reconciler().compare(town.market.clock.now()).await.unwrap();
    assert_eq!(kinds(&result), [DifferenceKind::Aggregate]);
    assert_eq!(result.differences[0].subject, format!("wallets of {wallet}"));
    assert_eq!((result.differences[0].expected, result.differences[0].found), (cedis(900), cedis(901)));
}

#[tokio::test]
async fn a_comparison_is_done_once_a_day_and_whenever_an_administrator_asks() {
    let town = Town::new().await;
    let (store, reconciler) = (town.market.house.store.as_ref(), town.reconciler());
    let asked = ReconciliationId::fresh();
    let admin = account(AccountId::fresh(), Role::Admin);
    town.tell::<Reconciliation>(admin, asked, ReconciliationCommand::Request).await;
    until_caught_up(&town.workers, town.market.house.log.as_ref()).await;
    reconciler.request_daily().await.unwrap();
    until_caught_up(&town.workers, town.market.house.log.as_ref()).await;
    assert_eq!(reconciler.do_open().await, Ok(2));
    assert_eq!(reconciler.do_open().await, Ok(0), "the aggregate knows, whatever the read model has heard");
    until_caught_up(&town.workers, town.market.house.log.as_ref()).await;
    reconciler.request_daily().await.unwrap();
    let page = projections::PageRequest::first(10);
    let runs = unreconciled::list(store, None, page).await.unwrap().items;
    assert!(runs.len() == 2 && runs.iter().all(|run| run.status == RunStatus::Agreed), "{runs:?}");
    assert!(runs.iter().any(|run| run.run == asked && run.requested_by.is_some()));
    assert!(runs.iter().any(|run| run.requested_by.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_differs_while_money_moves() {
    let town = Arc::new(Town::new().await);
    let mover = {
        let town = Arc::clone(&town);
        tokio::spawn(async move {
            for _ in 0..25 {
                let payment = town.charge(cedis(1_000)).await;
                let transfer = town.confirm(payment, cedis(1_000)).await;
                let worker = town.earn(payment, transfer, cedis(1_000)).await;
                town.pay_out(worker, cedis(900), true).await;
            }
        })
    };
    // The read models are there after the first money at the latest.
    until("there is a ledger", || async { town.reconciler().compare(town.market.clock.now()).await.is_ok() })
        .await;
    let (mut compared, mut moving) = (0, false);
    while !mover.is_finished() {
        let result = town.reconciler().compare(town.market.clock.now()).await.unwrap();
        assert_eq!(result.differences, [], "{result:?}");
        moving |= result.in_transit_total > 0;
        compared += 1;
    }
    mover.await.unwrap();
    assert!(compared > 3 && moving, "it was compared {compared} times");
    let result = town.compared().await;
    assert_eq!((result.differences_total, result.in_transit_total), (0, 0));
    assert_eq!(result.currencies[0].ledger.clearing, cedis(2_500), "the fees of 25 milestones");
}
