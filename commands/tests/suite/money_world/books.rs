//! The journal of a log: every event that moves money as a balanced entry, and the transfers that are open.

use std::collections::{BTreeMap, BTreeSet};

use commands::{escrow::Escrow, payment::Payment, wallet::Wallet};
use events::{
    Event, Money, RecordedEvent,
    ids::TransferId,
    vocabulary::payments::{EscrowEvent, PaymentEvent, PayoutEvent, WalletEvent},
};
use proptest::{prelude::*, test_runner::TestCaseError};

use super::super::world::World;

/// Where money is. What the provider has is ours; everything else is owed to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    Clearing,
    Escrow,
    InTransit,
    Wallets,
    Holds,
    Fees,
    Payable,
}

/// The balances, minor units, and what is on its way.
#[derive(Default)]
pub struct Books {
    read: usize,
    balances: BTreeMap<Account, i64>,
    open: BTreeMap<TransferId, i64>,
    ended: BTreeSet<TransferId>,
    intents: BTreeSet<String>,
}

impl Books {
    pub fn balance(&self, account: Account) -> i64 {
        self.balances.get(&account).copied().unwrap_or_default()
    }

    /// Reads what is new on the log and compares the balances with the aggregates.
    pub fn follow(&mut self, world: &mut World) -> Result<(), TestCaseError> {
        for event in &world.log[self.read..] {
            self.intend(event)?;
            self.enter(&event.payload)?;
        }
        self.read = world.log.len();
        let owed: i64 = self.balances.iter().filter(|(a, _)| **a != Account::Clearing).map(|(_, b)| b).sum();
        prop_assert_eq!(owed, self.balance(Account::Clearing), "all that we have is owed to somebody");
        let in_transit: i64 = self.open.values().sum();
        prop_assert_eq!(
            in_transit,
            self.balance(Account::InTransit),
            "open transfers are what is in transit"
        );
        self.compare(world)
    }

    fn compare(&self, world: &mut World) -> Result<(), TestCaseError> {
        let sum =
            |amounts: Vec<Option<Money>>| -> i64 { amounts.into_iter().flatten().map(Money::minor).sum() };
        let escrows = world.states::<Escrow>();
        for escrow in &escrows {
            prop_assert!(escrow.held().is_none_or(|held| held.minor() >= 0));
        }
        prop_assert_eq!(sum(escrows.iter().map(Escrow::held).collect()), self.balance(Account::Escrow));
        let wallets = world.states::<Wallet>();
        for wallet in &wallets {
            prop_assert!(wallet.available().is_none_or(|available| available.minor() >= 0));
        }
        let available = sum(wallets.iter().map(Wallet::available).collect());
        prop_assert_eq!(available, self.balance(Account::Wallets));
        prop_assert_eq!(sum(wallets.iter().map(Wallet::held).collect()), self.balance(Account::Holds));
        let payments = world.states::<Payment>();
        prop_assert_eq!(sum(payments.iter().map(Payment::payable).collect()), self.balance(Account::Payable));
        prop_assert!(self.balance(Account::Fees) >= 0 && self.balance(Account::Clearing) >= 0);
        Ok(())
    }

    /// No effect is asked for twice.
    fn intend(&mut self, event: &RecordedEvent) -> Result<(), TestCaseError> {
        let intent = match &event.payload {
            Event::Payment(PaymentEvent::PaymentAttemptStarted(started)) => {
                format!("charge {}", started.attempt)
            }
            Event::Payment(PaymentEvent::PaymentRefundRequested(asked)) => format!("refund {}", asked.refund),
            Event::Payout(PayoutEvent::PayoutDispatched(sent)) => format!("payout {}", sent.attempt),
            _ => return Ok(()),
        };
        prop_assert!(
            self.intents.insert(format!("{} {intent}", event.stream)),
            "{intent} is asked for twice"
        );
        Ok(())
    }

    fn enter(&mut self, event: &Event) -> Result<(), TestCaseError> {
        use Account::*;
        match event {
            Event::Payment(event) => match event {
                PaymentEvent::PaymentConfirmed(e) => {
                    self.open(e.transfer, e.amount.minor())?;
                    self.post(Clearing, e.amount);
                    self.post(InTransit, e.amount);
                }
                PaymentEvent::PaymentConfirmedLate(e) => {
                    self.post(Clearing, e.amount);
                    self.post(Payable, e.amount);
                }
                PaymentEvent::PaymentTransferReturned(e) => {
                    self.close(e.transfer, e.amount.minor())?;
                    self.take(InTransit, e.amount);
                    self.post(Payable, e.amount);
                }
                PaymentEvent::PaymentRefunded(e) => {
                    self.take(Payable, e.amount);
                    self.take(Clearing, e.amount);
                }
                _ => {}
            },
            Event::Escrow(event) => self.enter_escrow(event)?,
            Event::Wallet(event) => self.enter_wallet(event)?,
            Event::Payout(PayoutEvent::PayoutPaid(e)) => {
                self.open(e.transfer, -e.amount.minor())?;
                self.take(Clearing, e.amount);
                self.take(InTransit, e.amount);
            }
            Event::Payout(PayoutEvent::PayoutReversed(e)) => {
                self.open(e.transfer, e.amount.minor())?;
                self.post(Clearing, e.amount);
                self.post(InTransit, e.amount);
            }
            _ => {}
        }
        Ok(())
    }

    fn enter_escrow(&mut self, event: &EscrowEvent) -> Result<(), TestCaseError> {
        match event {
            EscrowEvent::EscrowFunded(e) => {
                self.close(e.transfer, e.amount.minor())?;
                self.take(Account::InTransit, e.amount);
                self.post(Account::Escrow, e.amount);
            }
            EscrowEvent::EscrowReleased(e) => {
                self.open(e.transfer, e.net.minor())?;
                self.take(Account::Escrow, e.amount);
                self.post(Account::Fees, e.fee);
                self.post(Account::InTransit, e.net);
            }
            EscrowEvent::EscrowRefunded(e) => {
                self.open(e.transfer, e.amount.minor())?;
                self.take(Account::Escrow, e.amount);
                self.post(Account::InTransit, e.amount);
            }
            EscrowEvent::EscrowOpened(_) | EscrowEvent::EscrowExpired(_) => {}
        }
        Ok(())
    }

    fn enter_wallet(&mut self, event: &WalletEvent) -> Result<(), TestCaseError> {
        match event {
            WalletEvent::WalletCredited(e) => {
                self.close(e.transfer, e.amount.minor())?;
                self.take(Account::InTransit, e.amount);
                self.post(Account::Wallets, e.amount);
            }
            WalletEvent::FundsHeld(e) => {
                self.take(Account::Wallets, e.amount);
                self.post(Account::Holds, e.amount);
            }
            WalletEvent::HoldReleased(e) => {
                self.take(Account::Holds, e.amount);
                self.post(Account::Wallets, e.amount);
            }
            WalletEvent::WalletDebited(e) => {
                self.close(e.transfer, -e.amount.minor())?;
                self.take(Account::Holds, e.amount);
                self.post(Account::InTransit, e.amount);
            }
            WalletEvent::HoldDeclined(_) => {}
        }
        Ok(())
    }

    fn post(&mut self, account: Account, amount: Money) {
        *self.balances.entry(account).or_default() += amount.minor();
    }

    fn take(&mut self, account: Account, amount: Money) {
        *self.balances.entry(account).or_default() -= amount.minor();
    }

    fn open(&mut self, transfer: TransferId, amount: i64) -> Result<(), TestCaseError> {
        prop_assert!(self.open.insert(transfer, amount).is_none(), "{transfer} is opened twice");
        prop_assert!(!self.ended.contains(&transfer), "{transfer} had ended");
        Ok(())
    }

    fn close(&mut self, transfer: TransferId, amount: i64) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.open.remove(&transfer), Some(amount), "{} is taken once, and whole", transfer);
        self.ended.insert(transfer);
        Ok(())
    }
}
