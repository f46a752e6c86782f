//! Money among impatient people, a slow machine and a provider that answers when it likes: whatever is late, lost,
//! repeated or returned, every unit is somewhere at every moment, and at rest nothing is on its way.

use std::collections::BTreeSet;

use commands::{
    Actor,
    contract::{Contract, ContractCommand, ContractStatus},
    escrow::{Escrow, EscrowStatus},
    hire::{self, Hire, HireCommand},
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
        payments::{EscrowEvent, Notice, PaymentEvent, PayoutEvent, WalletEvent},
    },
};
use proptest::prelude::*;

use super::{
    fixtures::*,
    machine::{explore, is_refuted, survey},
    world::World,
};
use books::{Account, Books};
use moves::{Beginning, Move, moves};
use provider::{Charge, GivingBack, Provider, Remittance};

mod books;
mod moves;
mod provider;

/// The world, with a signed contract of 100 and 200 cedis in it, and the provider.
struct Town {
    world: World,
    told: usize,
    provider: Provider,
    books: Books,
    /// A seeded bug: what is sent again is sent under another name.
    forgets_names: bool,
}

/// Attempts under other names than the first; no payment has as many.
const OTHER_NAMES: u32 = 1_000;

impl Town {
    fn new() -> Self {
        let (mut world, mut told) = (World::new(), 0);
        let (contract, terms) = (the_contract(), contract_terms());
        let hire = HireCommand::Start { contract, terms };
        world.ask::<Hire>(hire::instance_of(contract), &hire, process()).expect("a bid was accepted");
        world.settle(&mut told);
        for actor in [client(ama()), worker(kofi())] {
            world.ask::<Contract>(the_contract(), &ContractCommand::Sign, actor).expect("signed");
        }
        // A payout of at least 50 cedis is looked at first.
        world.set_policy(|policy| policy.money.payout_reviewed_from_units = 50);
        Self { world, told, provider: Provider::default(), books: Books::default(), forgets_names: false }
    }

    fn begin(&mut self, beginning: Beginning) {
        match beginning {
            Beginning::Signed => {}
            Beginning::Earned => self.earn(),
            Beginning::Paid => self.pay(),
        }
    }

    /// The first milestone is paid for, and nobody was told yet.
    fn pay(&mut self) {
        self.attempt();
        self.charge(0, Charge::Confirmed);
        self.learn(0);
    }

    /// A payment of the first milestone is under way.
    fn attempt(&mut self) {
        let fund = ContractCommand::RequestFunding { milestone: 1 };
        self.world.ask::<Contract>(the_contract(), &fund, client(ama())).expect("asked for");
        self.world.settle(&mut self.told);
        self.make(Move::Attempt { payment: 0 });
    }

    fn cancel(&mut self) {
        let (contract, actor) = (the_contract(), client(ama()));
        self.world.ask::<Contract>(contract, &ContractCommand::Cancel, actor).expect("nothing is in escrow");
    }

    fn earn(&mut self) {
        let (contract, milestone) = (the_contract(), 1);
        self.attempt();
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
            Move::Ask { notice } => self.learn(notice),
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
            let known = self.provider.has_charge(payment, attempt);
            let name = if known && self.forgets_names { attempt + OTHER_NAMES } else { attempt };
            self.provider.charge(payment, name, amount, fate);
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

    /// What a webhook would have said; who knows it already, or does not believe it, says so.
    fn learn(&mut self, notice: usize) {
        let Some(notice) = pick(&self.provider.told, notice) else { return };
        let (payment, payout) = match notice {
            Notice::PaymentActionRequired { payment, attempt } => {
                (Some((payment, PaymentCommand::RequireAction { attempt })), None)
            }
            Notice::PaymentAuthorized { payment, attempt } => {
                (Some((payment, PaymentCommand::Authorize { attempt })), None)
            }
            Notice::PaymentConfirmed { payment, attempt, reference, amount } => {
                (Some((payment, PaymentCommand::Confirm { attempt, reference, amount })), None)
            }
            Notice::PaymentFailed { payment, attempt, code } => {
                (Some((payment, PaymentCommand::FailAttempt { attempt, code })), None)
            }
            Notice::RefundPaid { payment, refund } => {
                (Some((payment, PaymentCommand::ConfirmRefund { refund })), None)
            }
            Notice::RefundFailed { payment, refund, code } => {
                (Some((payment, PaymentCommand::FailRefund { refund, code })), None)
            }
            Notice::PayoutPaid { payout, attempt, reference } => {
                (None, Some((payout, PayoutCommand::ConfirmPaid { attempt, reference })))
            }
            Notice::PayoutFailed { payout, attempt, code } => {
                (None, Some((payout, PayoutCommand::Fail { attempt, code })))
            }
            Notice::PayoutReturned { payout, attempt, code } => {
                (None, Some((payout, PayoutCommand::Reverse { attempt, code })))
            }
            Notice::Other { .. } => (None, None),
        };
        if let Some((payment, command)) = payment {
            let _ = self.world.ask::<Payment>(payment, &command, Actor::System);
        }
        if let Some((payout, command)) = payout {
            let _ = self.world.ask::<Payout>(payout, &command, Actor::System);
        }
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
        if contract.status() == Some(ContractStatus::Cancelled) {
            let waits = |escrow: &Escrow| escrow.status() == Some(EscrowStatus::Opened);
            prop_assert!(!self.world.states::<Escrow>().iter().any(waits), "no money will come");
        }
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

fn run(moves: (Beginning, Vec<Move>)) -> Result<Town, TestCaseError> {
    run_in(Town::new(), moves)
}

fn run_in(mut town: Town, (beginning, moves): (Beginning, Vec<Move>)) -> Result<Town, TestCaseError> {
    town.begin(beginning);
    for one in moves {
        town.make(one);
        town.books.follow(&mut town.world)?;
    }
    town.finish()?;
    town.check_rest()?;
    Ok(town)
}

/// The names of all that happened, but for what people do to contracts, and of all that managers asked for.
fn happened(moves: (Beginning, Vec<Move>)) -> Result<BTreeSet<String>, TestCaseError> {
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
    let seen = survey(600, &moves(), happened);
    let names = [PaymentEvent::NAMES, PayoutEvent::NAMES, WalletEvent::NAMES, EscrowEvent::NAMES];
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

#[test]
fn money_that_comes_as_the_contract_is_called_off_goes_back_out_of_escrow() {
    let mut town = Town::new();
    town.pay();
    town.cancel();
    town.finish().expect("all is conserved");
    town.check_rest().expect("all is at rest");
    let mut ends: Vec<_> = town.world.states::<Escrow>().iter().filter_map(Escrow::status).collect();
    ends.sort_by_key(|status| *status == EscrowStatus::Expired);
    assert_eq!((ends, town.provider.balance), (vec![EscrowStatus::Refunded, EscrowStatus::Expired], 0));
}

#[test]
fn money_that_comes_after_the_contract_was_called_off_never_gets_to_escrow() {
    let mut town = Town::new();
    town.attempt();
    town.cancel();
    town.world.settle(&mut town.told);
    town.finish().expect("all is conserved");
    town.check_rest().expect("all is at rest");
    let ends: Vec<_> = town.world.states::<Escrow>().iter().filter_map(Escrow::status).collect();
    assert_eq!((ends, town.provider.balance), (vec![EscrowStatus::Expired; 2], 0));
    assert_eq!(town.payments().len(), 1, "it was paid all the same");
}

#[test]
fn orders_that_are_sent_again_under_another_name_would_be_noticed() {
    let forgetful = |moves| {
        let town = Town { forgets_names: true, ..Town::new() };
        run_in(town, moves).map(drop)
    };
    assert!(is_refuted(300, &moves(), forgetful));
}
