//! The ledger: it sums to zero at every instant, knows what is on its way, and halts at what cannot be.

use std::sync::Arc;

use events::{
    Currency, Money, RecordedEvent,
    ids::{AccountId, ContractId, EscrowId, HoldId, PaymentId, TransferId},
    vocabulary::payments::{
        EscrowFunded, EscrowReleased, HoldReleased, PaymentConfirmed, PaymentConfirmedLate, PaymentRefunded,
    },
};
use projections::{
    Applied, FoldError, Folding, PageRequest, Projection, ReadStore,
    money::{
        escrows::{self, EscrowStatus, Escrows},
        journal::LedgerAccount,
        ledger::{self, Ledger, Standing},
        transfers::{self, TransferStatus},
        trial_balance::{AccountTrial, CurrencyTrial, trial_balance},
        wallets::{self, Wallets},
    },
};
use proptest::prelude::*;

use crate::{
    engines::{Fixture, sqlite},
    generator::marketplace,
    memory::MemoryStore,
    story::{Story, at, ghs, id, project},
};

fn page() -> PageRequest {
    PageRequest::first(1000)
}

async fn given(events: &[RecordedEvent]) -> Fixture {
    let fixture = sqlite();
    project(Arc::new(Ledger), Arc::clone(&fixture.store), events, &[50]).await;
    fixture
}

async fn now(store: &dyn ReadStore) -> Vec<CurrencyTrial> {
    trial_balance(store, None).await.unwrap()
}

/// A marketplace over months: an event every few hours.
fn long_ago(seed: u64) -> Vec<RecordedEvent> {
    let mut events = marketplace(seed, 8);
    for (number, event) in events.iter_mut().enumerate() {
        event.stamp.time = at(number as i64 * 5 * 3607);
    }
    events
}

#[tokio::test]
async fn the_trial_balance_is_zero_and_what_is_in_transit_is_the_open_transfers() {
    for seed in 0..5 {
        let fixture = given(&marketplace(seed, 40)).await;
        let store = fixture.store.as_ref();
        let trial = now(store).await;
        assert!(trial.iter().all(|currency| currency.difference.minor() == 0), "{trial:?}");
        let open = transfers::list(store, TransferStatus::Open, page()).await.unwrap().items;
        let travelling: i64 = open.iter().map(|transfer| transfer.amount.minor()).sum();
        assert!(!open.is_empty(), "some are left open on purpose");
        assert_eq!(trial[0].balance(LedgerAccount::InTransit), ghs(travelling));
        assert_eq!(transfers::list(store, TransferStatus::Early, page()).await.unwrap().items, []);
    }
}

#[tokio::test]
async fn the_ledger_has_what_the_wallets_and_the_escrows_have() {
    let events = marketplace(3, 40);
    let fixture = given(&events).await;
    let store = fixture.store.as_ref();
    project(Arc::new(Escrows), Arc::clone(&fixture.store), &events, &[50]).await;
    project(Arc::new(Wallets), Arc::clone(&fixture.store), &events, &[50]).await;
    let trial = now(store).await.remove(0);
    let (mut held, mut available, mut kept) = (0, 0, 0);
    for account in 100..106 {
        if let Some(balance) = wallets::balance(store, id(account), trial.currency).await.unwrap() {
            held += balance.pending.minor() + balance.in_payout.minor();
            available += balance.available.minor();
        }
        let funded = Some(EscrowStatus::Funded);
        let escrows = escrows::list(store, id(account), funded, page()).await.unwrap().items;
        let of_worker = escrows.iter().filter(|escrow| escrow.worker == id(account));
        kept += of_worker.map(|escrow| escrow.held.minor()).sum::<i64>();
    }
    assert!(available > 0 && held > 0 && kept > 0);
    assert_eq!(trial.balance(LedgerAccount::Wallets), ghs(available));
    assert_eq!(trial.balance(LedgerAccount::Holds), ghs(held));
    assert_eq!(trial.balance(LedgerAccount::Escrow), ghs(kept));
    let open = ledger::holdings(store, Standing::Open, None, page()).await.unwrap().items;
    let sum = |account: LedgerAccount| -> i64 {
        open.iter().filter_map(|holding| holding.minor.get(&account)).sum()
    };
    for account in LedgerAccount::ALL.iter().filter(|account| account.is_kept_by_aggregates()) {
        assert_eq!(trial.balance(*account), ghs(sum(*account)), "{account:?}");
    }
}

/// Without the accounts that nothing was posted to.
fn posted(trial: Vec<CurrencyTrial>) -> Vec<(Currency, Vec<AccountTrial>)> {
    let moved = |account: &AccountTrial| account.debit.minor() != 0 || account.credit.minor() != 0;
    let currencies = trial.into_iter().map(|trial| (trial.currency, trial.accounts));
    currencies.map(|(currency, accounts)| (currency, accounts.into_iter().filter(moved).collect())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_trial_balance_at_an_instant_is_that_of_what_had_happened_by_then(
        seed in any::<u64>(),
        instants in proptest::collection::vec(any::<prop::sample::Index>(), 5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let events = long_ago(seed);
        let all = runtime.block_on(given(&events));
        for instant in instants {
            let number = instant.index(events.len());
            let until = events[number].stamp.time;
            let then = runtime.block_on(given(&events[..=number]));
            let expected = posted(runtime.block_on(now(then.store.as_ref())));
            let told = runtime.block_on(trial_balance(all.store.as_ref(), Some(until))).unwrap();
            prop_assert!(told.iter().all(|currency| currency.difference.minor() == 0));
            prop_assert_eq!(&posted(told), &expected);
            let later = runtime.block_on(trial_balance(all.store.as_ref(), Some(until.plus_millis(1))));
            prop_assert_eq!(posted(later.unwrap()), expected);
        }
    }
}

#[tokio::test]
async fn every_currency_has_books_of_its_own() {
    let mut story = Story::default();
    let naira = Money::new(700, "NGN".parse().unwrap());
    for (payment, amount) in [(1, ghs(5)), (2, naira)] {
        let confirmed = PaymentConfirmedLate { attempt: 1, reference: "ch".into(), amount };
        story.payment(id(payment), confirmed);
    }
    let fixture = given(&story.events).await;
    let trial = now(fixture.store.as_ref()).await;
    let told: Vec<_> = trial.iter().map(|trial| trial.balance(LedgerAccount::Payable)).collect();
    assert_eq!(told, [ghs(5), naira]);
    assert_eq!(trial[1].balance(LedgerAccount::Clearing), naira);
}

#[tokio::test]
async fn the_entries_of_an_account_come_newest_first() {
    let mut story = Story::default();
    let (payment, amount): (PaymentId, _) = (id(1), ghs(5));
    story.payment(payment, PaymentConfirmedLate { attempt: 1, reference: "ch".into(), amount });
    story.payment(payment, PaymentRefunded { refund: 1, amount });
    let fixture = given(&story.events).await;
    let store = fixture.store.as_ref();
    let entries = ledger::entries(store, LedgerAccount::Payable, amount.currency(), page()).await.unwrap();
    let names: Vec<_> = entries.items.iter().map(|entry| entry.event.as_str()).collect();
    assert_eq!(names, ["PaymentRefunded", "PaymentConfirmedLate"]);
    let escrow = ledger::entries(store, LedgerAccount::Escrow, amount.currency(), page()).await.unwrap();
    assert_eq!(escrow.items, []);
    let first = ledger::journal(store, at(0), at(0), page()).await.unwrap().items;
    assert_eq!(first, entries.items[1..]);
}

fn confirmed(amount: Money, transfer: TransferId) -> PaymentConfirmed {
    PaymentConfirmed { attempt: 1, reference: "ch".into(), amount, transfer }
}

#[tokio::test]
async fn a_transfer_is_open_until_it_is_taken_whichever_end_is_heard_of_first() {
    let (transfer, escrow): (TransferId, _) = (id(5), EscrowId::of(id(70), 1));
    let mut story = Story::default();
    story.payment(id(1), confirmed(ghs(5), transfer));
    story.escrow(escrow, EscrowFunded { payment: id(1), transfer, amount: ghs(5) });
    let standing = |events: Vec<RecordedEvent>| async move {
        let fixture = given(&events).await;
        transfers::get(fixture.store.as_ref(), transfer).await.unwrap().unwrap()
    };
    let (opened, taken) = (story.events[0].clone(), story.events[1].clone());
    assert_eq!(standing(vec![opened.clone()]).await.status, TransferStatus::Open);
    assert_eq!(standing(vec![taken.clone()]).await.status, TransferStatus::Early);
    let settled = standing(vec![opened.clone(), taken.clone()]).await;
    assert_eq!((settled.status, settled.since), (TransferStatus::Settled, taken.stamp.time));
    assert_eq!(standing(vec![taken, opened]).await, settled);
}

/// Why the last event of the story cannot be entered.
async fn refusal(story: &Story) -> String {
    let store = Arc::new(MemoryStore::default());
    let mut folding = Folding::new(Arc::new(Ledger), store, 1_000_000);
    let (last, before) = story.events.split_last().unwrap();
    for event in before {
        assert_eq!(folding.apply(event).await, Ok(Applied::Changed));
    }
    match folding.apply(last).await {
        Err(FoldError::Poison(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_ledger_halts_at_what_cannot_be_and_says_why() {
    assert!(Ledger.halt_on_failure());
    let (contract, transfer, worker): (ContractId, TransferId, AccountId) = (id(70), id(5), id(11));
    let (escrow, other) = (EscrowId::of(contract, 1), EscrowId::of(contract, 2));
    let funded = |amount: i64| EscrowFunded { payment: id(1), transfer, amount: ghs(amount) };

    let mut story = Story::default();
    let (amount, fee, net) = (ghs(10), ghs(1), ghs(8));
    story.escrow(escrow, EscrowReleased { amount, fee, net, transfer, worker });
    let told = refusal(&story).await;
    assert!(told.starts_with("EscrowReleased (event 1 of escrow-"), "{told}");
    let why = "cannot be entered: the entry does not balance: 0.10 GHS is debited and 0.09 GHS is credited";
    assert!(told.ends_with(why), "{told}");

    let mut story = Story::default();
    story.escrow(escrow, funded(5));
    story.escrow(other, funded(5));
    assert!(refusal(&story).await.ends_with("was taken before"));

    let mut story = Story::default();
    story.payment(id(1), confirmed(ghs(5), transfer));
    story.payment(id(2), confirmed(ghs(5), transfer));
    assert!(refusal(&story).await.ends_with("was opened before"));

    let mut story = Story::default();
    story.payment(id(1), confirmed(ghs(5), transfer));
    story.escrow(escrow, funded(6));
    assert!(refusal(&story).await.ends_with("has 0.06 GHS at this end and 0.05 GHS at the other"));

    let mut story = Story::default();
    story.escrow(escrow, funded(5));
    story.pay_work(escrow, worker, ghs(10), id(6));
    story.events.truncate(2);
    assert!(refusal(&story).await.ends_with("0.10 GHS leaves escrow where there is 0.05 GHS"));

    let mut story = Story::default();
    story.wallet(worker, HoldReleased { hold: id::<HoldId>(1), amount: ghs(1) });
    assert!(refusal(&story).await.ends_with("0.01 GHS leaves holds where there is 0.00 GHS"));
}
