//! Money among impatient people, a slow machine and a provider that answers when it likes: whatever is late, lost,
//! repeated or returned, every unit is somewhere at every moment, and at rest nothing is on its way.

use std::collections::BTreeSet;

use commands::{
    Actor,
    contract::{Contract, ContractCommand},
    payment::{Payment, PaymentCommand},
    payout::{Payout, PayoutCommand},
    receipt::{Receipt, ReceiptCommand},
    wallet::Wallet,
};
use events::{
    Category, Event, Id, StreamId,
    ids::{PaymentId, PayoutId, ReceiptId, WalletId},
    vocabulary::{
        DomainEvent,
        payments::{PaymentEvent, PayoutEvent},
    },
};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    fixtures::*,
    machine::{explore, survey},
    world::World,
};
use books::{Account, Books};
use provider::{Charge, GivingBack, Provider, Remittance};

mod books;
mod provider;

#[derive(Clone, Debug)]
enum Move {
    /// Somebody does something about the contract.
    Contract {
        command: ContractCommand,
        actor: Actor,
    },
    Attempt {
        payment: usize,
    },
    CancelPayment {
        payment: usize,
    },
    RequestPayout {
        amount: i64,
    },
    /// By whoever may.
    Payout {
        payout: usize,
        command: PayoutCommand,
    },
    /// The effects worker comes by, perhaps not for the first time.
    Charge {
        intent: usize,
        fate: Charge,
    },
    Refund {
        intent: usize,
        fate: GivingBack,
    },
    /// Somebody has what failed sent again.
    RetryRefunds,
    Remit {
        intent: usize,
        fate: Remittance,
    },
    /// The provider tells something, perhaps not for the first time.
    Webhook {
        notice: usize,
    },
    /// The next event is told; `again` some earlier one.
    Tell {
        again: Option<usize>,
    },
    Dispatch {
        step: usize,
        outcome_is_lost: bool,
    },
    Fire {
        timer: usize,
    },
    Wait {
        millis: i64,
    },
}

fn contract_moves() -> impl Strategy<Value = Move> {
    let note = sealed(kofi(), "a note");
    let (done, other) = (note.clone(), note);
    let milestone = || 1..3_u32;
    let by_client = prop_oneof![
        8 => milestone().prop_map(|milestone| ContractCommand::RequestFunding { milestone }),
        2 => milestone()
            .prop_map(move |milestone| ContractCommand::RequestChanges { milestone, note: other.clone() }),
        3 => milestone().prop_map(|milestone| ContractCommand::Approve { milestone }),
        1 => Just(ContractCommand::Cancel),
    ];
    let by_worker =
        milestone().prop_map(move |milestone| ContractCommand::SubmitWork { milestone, note: done.clone() });
    prop_oneof![
        3 => by_client.prop_map(|command| Move::Contract { command, actor: client(ama()) }),
        1 => by_worker.prop_map(|command| Move::Contract { command, actor: worker(kofi()) }),
    ]
}

/// Whether the worker has earned something before, and what happens then.
fn moves() -> impl Strategy<Value = (bool, Vec<Move>)> {
    let some = || 0..100_usize;
    let charges = select(vec![
        Charge::Declined,
        Charge::Confirmed,
        Charge::ConfirmedByTheBook,
        Charge::ConfirmedAfterAll,
    ]);
    let remittances = select(vec![Remittance::Paid, Remittance::Failed, Remittance::Returned]);
    let on_payouts = select(vec![PayoutCommand::Cancel, PayoutCommand::Approve, PayoutCommand::Reject]);
    let waits = prop_oneof![
        4 => 0..20 * MINUTE_MS,
        1 => Just(60 * MINUTE_MS),
        1 => Just(6 * DAY_MS),
        1 => Just(15 * DAY_MS),
    ];
    let one = prop_oneof![
        6 => contract_moves(),
        5 => some().prop_map(|payment| Move::Attempt { payment }),
        1 => some().prop_map(|payment| Move::CancelPayment { payment }),
        3 => select(vec![1_i64, 3_000, 9_000, 27_000]).prop_map(|amount| Move::RequestPayout { amount }),
        2 => (some(), on_payouts).prop_map(|(payout, command)| Move::Payout { payout, command }),
        5 => (some(), charges).prop_map(|(intent, fate)| Move::Charge { intent, fate }),
        1 => (some(), select(vec![GivingBack::Paid, GivingBack::Failed]))
            .prop_map(|(intent, fate)| Move::Refund { intent, fate }),
        1 => Just(Move::RetryRefunds),
        2 => (some(), remittances).prop_map(|(intent, fate)| Move::Remit { intent, fate }),
        6 => some().prop_map(|notice| Move::Webhook { notice }),
        14 => proptest::option::weighted(0.2, some()).prop_map(|again| Move::Tell { again }),
        12 => (some(), any::<bool>())
            .prop_map(|(step, outcome_is_lost)| Move::Dispatch { step, outcome_is_lost }),
        2 => some().prop_map(|timer| Move::Fire { timer }),
        3 => waits.prop_map(|millis| Move::Wait { millis }),
        // Now and then the machine catches up.
        4 => Just(Move::Tell { again: Some(usize::MAX) }),
    ];
    (any::<bool>(), vec(one, 0..150))
}

/// The world, with a signed contract of 100 and 200 cedis in it, and the provider.
struct Town {
    world: World,
    told: usize,
    provider: Provider,
    books: Books,
}

impl Town {
    fn new() -> Self {
        let mut world = World::new();
        let propose = ContractCommand::Propose { terms: contract_terms() };
        world.ask::<Contract>(the_contract(), &propose, process()).expect("proposed");
        for actor in [client(ama()), worker(kofi())] {
            world.ask::<Contract>(the_contract(), &ContractCommand::Sign, actor).expect("signed");
        }
        // A payout of at least 50 cedis is looked at first.
        world.set_policy(|policy| policy.money.payout_reviewed_from_units = 50);
        Self { world, told: 0, provider: Provider::default(), books: Books::default() }
    }

    /// The first milestone was paid for, and the money can be spent.
    fn earn(&mut self) {
        let (contract, milestone) = (the_contract(), 1);
        let fund = ContractCommand::RequestFunding { milestone };
        self.world.ask::<Contract>(contract, &fund, client(ama())).expect("asked for");
        self.world.settle(&mut self.told);
        self.make(Move::Attempt { payment: 0 });
        self.settle();
        let submit = ContractCommand::SubmitWork { milestone, note: sealed(kofi(), "done") };
        self.world.ask::<Contract>(contract, &submit, worker(kofi())).expect("funded");
        let approve = ContractCommand::Approve { milestone };
        self.world.ask::<Contract>(contract, &approve, client(ama())).expect("submitted");
        self.settle();
        self.world.now = self.world.now.plus_millis(5 * DAY_MS);
        self.settle();
    }

    /// What the log says of every event that `pick` picks.
    fn on_log<T>(&self, pick: impl Fn(&Event, StreamId) -> Option<T>) -> Vec<T> {
        self.world.log.iter().filter_map(|event| pick(&event.payload, event.stream)).collect()
    }

    fn payments(&self) -> Vec<PaymentId> {
        let created = |event: &Event, stream: StreamId| match event {
            Event::Payment(PaymentEvent::PaymentCreated(_)) => Some(PaymentId::from_uuid(stream.uuid)),
            _ => None,
        };
        self.on_log(created)
    }

    fn payouts(&self) -> Vec<PayoutId> {
        let requested = |event: &Event, stream: StreamId| match event {
            Event::Payout(PayoutEvent::PayoutRequested(_)) => Some(PayoutId::from_uuid(stream.uuid)),
            _ => None,
        };
        self.on_log(requested)
    }

    fn make(&mut self, one: Move) {
        match one {
            Move::Contract { command, actor } => {
                let _ = self.world.ask::<Contract>(the_contract(), &command, actor);
            }
            Move::Attempt { payment } => {
                let attempt = PaymentCommand::Attempt { method: id(0x41), token: "tok".to_owned() };
                self.ask_payment(payment, &attempt);
            }
            Move::CancelPayment { payment } => self.ask_payment(payment, &PaymentCommand::Cancel),
            Move::RequestPayout { amount } => self.request_payout(amount),
            Move::Payout { payout, command } => {
                let payouts = self.payouts();
                let by_admin = command != PayoutCommand::Cancel;
                let actor = if by_admin { admin() } else { worker(kofi()) };
                if let Some(payout) = pick(&payouts, payout) {
                    let _ = self.world.ask::<Payout>(payout, &command, actor);
                }
            }
            Move::Charge { intent, fate } => self.charge(intent, fate),
            Move::Refund { intent, fate } => self.refund(intent, fate),
            Move::RetryRefunds => self.retry_refunds(),
            Move::Remit { intent, fate } => self.remit(intent, fate),
            Move::Webhook { notice } => self.hear(notice % self.provider.told.len().max(1)),
            Move::Tell { again: Some(usize::MAX) } => self.world.settle(&mut self.told),
            Move::Tell { again: Some(earlier) } => self.world.react(earlier % self.told.max(1)),
            Move::Tell { again: None } => {
                if self.told < self.world.log.len() {
                    self.world.react(self.told);
                    self.told += 1;
                }
            }
            Move::Dispatch { step, outcome_is_lost } => {
                if let Some(step) = pick(&self.world.requested_steps(), step) {
                    self.world.dispatch(step, outcome_is_lost);
                }
            }
            Move::Fire { timer } => {
                let timers = self.world.timers();
                if let Some((stream, timer, _)) = timers.get(timer % timers.len().max(1)) {
                    self.world.fire(*stream, timer);
                }
            }
            Move::Wait { millis } => self.world.now = self.world.now.plus_millis(millis),
        }
    }

    fn ask_payment(&mut self, payment: usize, command: &PaymentCommand) {
        if let Some(payment) = pick(&self.payments(), payment) {
            let _ = self.world.ask::<Payment>(payment, command, client(ama()));
        }
    }

    fn request_payout(&mut self, amount: i64) {
        let payout: PayoutId = id(0xf000 + self.payouts().len() as u128);
        let (amount, destination, token) = (cedis(amount), id(0x51), "ba".to_owned());
        let request = PayoutCommand::Request { amount, destination, token };
        self.world.ask::<Payout>(payout, &request, worker(kofi())).expect("anybody may ask");
    }

    /// Calls only when the aggregate still waits, as the effects worker does.
    fn charge(&mut self, intent: usize, fate: Charge) {
        let mut open = Vec::new();
        for payment in self.payments() {
            let state = self.world.load::<Payment>(payment);
            open.extend(state.open_attempts().map(|open| (payment, open.attempt, open.amount)));
        }
        if let Some((payment, attempt, amount)) = pick(&open, intent) {
            self.provider.charge(payment, attempt, amount, fate);
        }
    }

    fn retry_refunds(&mut self) {
        for payment in self.payments() {
            let failed: Vec<u32> = self.world.load::<Payment>(payment).failed_refunds().collect();
            for refund in failed {
                let retry = PaymentCommand::RetryRefund { refund };
                self.world.ask::<Payment>(payment, &retry, admin()).expect("it failed");
            }
        }
    }

    fn refund(&mut self, intent: usize, fate: GivingBack) {
        let mut open = Vec::new();
        for payment in self.payments() {
            let state = self.world.load::<Payment>(payment);
            open.extend(state.open_refunds().map(|open| (payment, open.refund, open.amount)));
        }
        if let Some((payment, refund, amount)) = pick(&open, intent) {
            self.provider.refund(payment, refund, amount, fate);
        }
    }

    fn remit(&mut self, intent: usize, fate: Remittance) {
        let mut open = Vec::new();
        for payout in self.payouts() {
            let state = self.world.load::<Payout>(payout);
            open.extend(state.open_dispatch().map(|open| (payout, open.attempt, open.amount)));
        }
        if let Some((payout, attempt, amount)) = pick(&open, intent) {
            self.provider.pay(payout, attempt, amount, fate);
        }
    }

    fn hear(&mut self, number: usize) {
        let Some(notice) = self.provider.told.get(number).cloned() else { return };
        let (provider, event) = ("sandbox".to_owned(), format!("evt_{number}"));
        let receipt = ReceiptId::of(&provider, &event);
        let record = ReceiptCommand::Record { provider, event, notice, body: None };
        self.world.ask::<Receipt>(receipt, &record, Actor::System).expect("a receipt is always kept");
    }

    /// Everybody does their work until there is none left.
    fn settle(&mut self) {
        loop {
            let before = (self.world.log.len(), self.provider.told.len());
            self.world.settle(&mut self.told);
            for intent in 0..8 {
                self.charge(intent, Charge::Confirmed);
                self.refund(intent, GivingBack::Paid);
                self.remit(intent, Remittance::Paid);
            }
            for notice in 0..self.provider.told.len() {
                self.hear(notice);
            }
            if before == (self.world.log.len(), self.provider.told.len()) {
                return;
            }
        }
    }

    /// Time enough for every timer there is.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..4 {
            self.settle();
            self.retry_refunds();
            for payout in self.payouts() {
                let _ = self.world.ask::<Payout>(payout, &PayoutCommand::Approve, admin());
            }
            self.world.now = self.world.now.plus_millis(15 * DAY_MS);
        }
        self.settle();
        self.books.follow(&mut self.world)
    }

    /// At rest nothing is on its way, nobody is owed what nobody sends, and the provider's books are ours.
    fn check_rest(&mut self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.books.balance(Account::InTransit), 0);
        prop_assert_eq!(self.books.balance(Account::Payable), 0);
        prop_assert_eq!(self.books.balance(Account::Holds), 0);
        prop_assert_eq!(self.books.balance(Account::Clearing), self.provider.balance);
        let contract = self.world.load::<Contract>(the_contract());
        let held: i64 = contract
            .milestones()
            .filter(|milestone| milestone.status.holds_money())
            .map(|milestone| milestone.amount.minor())
            .sum();
        prop_assert_eq!(self.books.balance(Account::Escrow), held, "escrow is what the contract says");
        let wallet = self.world.load::<Wallet>(WalletId::of(kofi(), cedis(0).currency()));
        let available = wallet.available().map_or(0, |available| available.minor());
        prop_assert_eq!(self.books.balance(Account::Wallets), available);
        for (stream, number) in self.world.requested_steps() {
            prop_assert!(!self.world.is_open(stream, number), "step {number} of {stream} is open");
        }
        Ok(())
    }
}

fn pick<T: Clone>(all: &[T], number: usize) -> Option<T> {
    all.get(number % all.len().max(1)).cloned()
}

fn run((earned, moves): (bool, Vec<Move>)) -> Result<Town, TestCaseError> {
    let mut town = Town::new();
    if earned {
        town.earn();
    }
    for one in moves {
        town.make(one);
        town.books.follow(&mut town.world)?;
    }
    town.finish()?;
    town.check_rest()?;
    Ok(town)
}

/// The names of all that happened, but for what people do to contracts, and of all that managers asked for.
fn happened(moves: (bool, Vec<Move>)) -> Result<BTreeSet<String>, TestCaseError> {
    let town = run(moves)?;
    let of_money = |event: &Event, _| {
        let asked = match event {
            Event::Funding(event) => Some(format!("{event:?}")),
            Event::Release(event) => Some(format!("{event:?}")),
            Event::PayoutRun(event) => Some(format!("{event:?}")),
            _ => None,
        };
        let step =
            asked.and_then(|text| Some(text.split_once("step: ")?.1.split([' ', '}']).next()?.to_owned()));
        let of_payments = event.category().service() == Category::Payment.service();
        of_payments.then(|| step.unwrap_or_else(|| event.name().to_owned()))
    };
    Ok(town.on_log(of_money).into_iter().collect())
}

#[test]
fn every_way_of_money_is_taken() {
    let seen = survey(300, &moves(), happened);
    let names = [PaymentEvent::NAMES, PayoutEvent::NAMES, events::vocabulary::payments::WalletEvent::NAMES];
    // Escrow expires at the end of a contract, and nobody says so yet.
    let steps = [
        "OpenEscrow",
        "CreatePayment",
        "ExpirePayment",
        "FundEscrow",
        "ConfirmFunding",
        "RefundEscrow",
        "TakeBack",
        "EndReview",
        "ReleaseEscrow",
        "CreditWallet",
        "ReleaseMilestone",
        "HoldFunds",
        "Admit",
        "Cancel",
        "Dispatch",
        "DebitWallet",
        "CreditBack",
        "ReleaseHold",
    ];
    let expected = names.into_iter().flatten().map(|(name, _)| *name).chain(steps);
    let missing: Vec<&str> = expected.filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
}

#[test]
fn money_is_conserved_whatever_is_late_lost_repeated_or_returned() {
    explore(300, &moves(), |moves| run(moves).map(drop));
}
