//! The journal: every event that moves money as a balanced entry of debits and credits, by one pure function.
//!
//! What the provider has of ours is debited to clearing; everything else is owed to somebody, or earned, and is credited.
//! Money that leaves an aggregate is in transit until the next one takes it: an entry that opens a transfer credits
//! what is in transit, the entry that takes it debits it again. For a payout it is the other way round: the bank is paid
//! first, and the wallet owes the money until it is debited.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Currency, Event, Money,
    ids::TransferId,
    vocabulary::payments::{EscrowEvent, EscrowReleased, PaymentEvent, PayoutEvent, WalletEvent},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::status;

status! {
    /// An account of the ledger; there is one of each in every currency.
    LedgerAccount {
        /// What the payment provider has of ours. An asset.
        Clearing = "clearing",
        /// What somebody owes us. An asset; nothing is posted to it as long as nobody can take a paid charge back.
        Receivable = "receivable",
        /// What is kept for milestones. Owed to clients or workers.
        Escrow = "escrow",
        /// What has left one place and has not arrived at the next. Owed to whoever it goes to.
        InTransit = "in_transit",
        /// What can be spent from wallets. Owed to their owners.
        Wallets = "wallets",
        /// What is in wallets and cannot be spent. Owed to their owners.
        Holds = "holds",
        /// What goes back to payers. Owed to them.
        Payable = "payable",
        /// What the platform has earned.
        Fees = "fees",
    }
}

impl LedgerAccount {
    /// It is of something that we have, so its balance is a debit; all others are of what we owe or have earned.
    pub const fn is_asset(self) -> bool {
        match self {
            Self::Clearing | Self::Receivable => true,
            Self::Escrow | Self::InTransit | Self::Wallets | Self::Holds | Self::Payable | Self::Fees => {
                false
            }
        }
    }

    /// An aggregate keeps it, and knows how much of it is its own: an escrow, a wallet, a payment.
    pub const fn is_kept_by_aggregates(self) -> bool {
        match self {
            Self::Escrow | Self::Wallets | Self::Holds | Self::Payable => true,
            Self::Clearing | Self::Receivable | Self::InTransit | Self::Fees => false,
        }
    }
}

/// On which side of an account money is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// On the left: more of what we have, less of what we owe.
    Debit,
    /// On the right: less of what we have, more of what we owe.
    Credit,
}

/// One line of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Posting {
    /// To which account.
    pub account: LedgerAccount,
    /// On which side.
    pub side: Side,
    /// How much; more than nothing.
    pub amount: Money,
}

/// What an entry does to a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum TransferMove {
    /// Money has left and travels under this name. An amount below nothing: it was paid first, and is owed.
    Opens {
        /// The name.
        transfer: TransferId,
        /// How much.
        amount: Money,
    },
    /// It has arrived.
    Takes {
        /// The name.
        transfer: TransferId,
        /// How much.
        amount: Money,
    },
}

/// The entry of one event.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalEntry {
    /// In which currency.
    pub currency: Currency,
    /// Debits and credits, which sum to the same. None when it was about nothing.
    pub postings: Vec<Posting>,
    /// What becomes of a transfer.
    pub transfer: Option<TransferMove>,
}

/// Why an event cannot be entered, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// No amount of an event is less than nothing.
    #[error("an amount of {0} cannot be entered: amounts are not negative")]
    Negative(Money),
    /// What is debited is not what is credited.
    #[error("the entry does not balance: {debits} is debited and {credits} is credited")]
    Unbalanced {
        /// The sum of the debits.
        debits: Money,
        /// The sum of the credits.
        credits: Money,
    },
    /// Two currencies in one entry, or sums that are too large.
    #[error("the entry cannot be summed: {0}")]
    Sum(#[from] events::MoneyError),
}

/// The entry of `event`; `None` when it moves no money.
///
/// # Errors
/// See [`JournalError`]: such an event contradicts itself.
pub fn entry_of(event: &Event) -> Result<Option<JournalEntry>, JournalError> {
    let drafted = if let Event::Payment(event) = event {
        of_payment(event)
    } else if let Event::Escrow(event) = event {
        of_escrow(event)
    } else if let Event::Wallet(event) = event {
        of_wallet(event)
    } else if let Event::Payout(event) = event {
        of_payout(event)
    } else {
        None
    };
    drafted.map(Draft::finish).transpose()
}

use LedgerAccount::{Clearing, Escrow, Fees, Holds, InTransit, Payable, Wallets};

fn of_payment(event: &PaymentEvent) -> Option<Draft> {
    match event {
        PaymentEvent::PaymentConfirmed(e) => {
            Some(Draft::of(e.amount).debit(Clearing).credit(InTransit).opens(e.transfer, e.amount))
        }
        PaymentEvent::PaymentConfirmedLate(e) => Some(Draft::of(e.amount).debit(Clearing).credit(Payable)),
        PaymentEvent::PaymentTransferReturned(e) => {
            Some(Draft::of(e.amount).debit(InTransit).credit(Payable).takes(e.transfer, e.amount))
        }
        PaymentEvent::PaymentRefunded(e) => Some(Draft::of(e.amount).debit(Payable).credit(Clearing)),
        PaymentEvent::PaymentCreated(_)
        | PaymentEvent::PaymentAttemptStarted(_)
        | PaymentEvent::PaymentActionRequired(_)
        | PaymentEvent::PaymentAuthorized(_)
        | PaymentEvent::PaymentAttemptFailed(_)
        | PaymentEvent::PaymentCancelled(_)
        | PaymentEvent::PaymentExpired(_)
        | PaymentEvent::PaymentRefundRequested(_)
        | PaymentEvent::PaymentRefundFailed(_)
        | PaymentEvent::PaymentRefundReplaced(_) => None,
    }
}

fn of_escrow(event: &EscrowEvent) -> Option<Draft> {
    match event {
        EscrowEvent::EscrowFunded(e) => {
            Some(Draft::of(e.amount).debit(InTransit).credit(Escrow).takes(e.transfer, e.amount))
        }
        EscrowEvent::EscrowReleased(EscrowReleased { amount, fee, net, transfer, .. }) => Some(
            Draft::of(*amount)
                .debit(Escrow)
                .post(Fees, Side::Credit, *fee)
                .post(InTransit, Side::Credit, *net)
                .opens(*transfer, *net),
        ),
        EscrowEvent::EscrowRefunded(e) => {
            Some(Draft::of(e.amount).debit(Escrow).credit(InTransit).opens(e.transfer, e.amount))
        }
        EscrowEvent::EscrowOpened(_) | EscrowEvent::EscrowExpired(_) => None,
    }
}

fn of_wallet(event: &WalletEvent) -> Option<Draft> {
    match event {
        WalletEvent::WalletCredited(e) => {
            Some(Draft::of(e.amount).debit(InTransit).credit(Wallets).takes(e.transfer, e.amount))
        }
        WalletEvent::FundsHeld(e) => Some(Draft::of(e.amount).debit(Wallets).credit(Holds)),
        WalletEvent::HoldReleased(e) => Some(Draft::of(e.amount).debit(Holds).credit(Wallets)),
        WalletEvent::WalletDebited(e) => {
            Some(Draft::of(e.amount).debit(Holds).credit(InTransit).takes(e.transfer, owed(e.amount)))
        }
        WalletEvent::HoldDeclined(_) => None,
    }
}

fn of_payout(event: &PayoutEvent) -> Option<Draft> {
    match event {
        PayoutEvent::PayoutPaid(e) => {
            Some(Draft::of(e.amount).debit(InTransit).credit(Clearing).opens(e.transfer, owed(e.amount)))
        }
        PayoutEvent::PayoutReversed(e) => {
            Some(Draft::of(e.amount).debit(Clearing).credit(InTransit).opens(e.transfer, e.amount))
        }
        PayoutEvent::PayoutRequested(_)
        | PayoutEvent::PayoutReviewRequested(_)
        | PayoutEvent::PayoutApproved(_)
        | PayoutEvent::PayoutRejected(_)
        | PayoutEvent::PayoutCancelled(_)
        | PayoutEvent::PayoutDispatched(_)
        | PayoutEvent::PayoutFailed(_)
        | PayoutEvent::PayoutRequeued(_) => None,
    }
}

/// The amount with the other sign; one that has none stays, and is refused when the entry is finished.
fn owed(amount: Money) -> Money {
    Money::new(amount.minor().checked_neg().unwrap_or(amount.minor()), amount.currency())
}

/// An entry in the making.
struct Draft {
    amount: Money,
    postings: Vec<Posting>,
    transfer: Option<TransferMove>,
}

impl Draft {
    fn of(amount: Money) -> Self {
        Self { amount, postings: Vec::with_capacity(3), transfer: None }
    }

    fn debit(self, account: LedgerAccount) -> Self {
        let amount = self.amount;
        self.post(account, Side::Debit, amount)
    }

    fn credit(self, account: LedgerAccount) -> Self {
        let amount = self.amount;
        self.post(account, Side::Credit, amount)
    }

    fn post(mut self, account: LedgerAccount, side: Side, amount: Money) -> Self {
        self.postings.push(Posting { account, side, amount });
        self
    }

    fn opens(self, transfer: TransferId, amount: Money) -> Self {
        Self { transfer: Some(TransferMove::Opens { transfer, amount }), ..self }
    }

    fn takes(self, transfer: TransferId, amount: Money) -> Self {
        Self { transfer: Some(TransferMove::Takes { transfer, amount }), ..self }
    }

    fn finish(mut self) -> Result<JournalEntry, JournalError> {
        if let Some(posting) = self.postings.iter().find(|posting| posting.amount.minor() < 0) {
            return Err(JournalError::Negative(posting.amount));
        }
        let currency = self.amount.currency();
        let sum = |side: Side| {
            let of_side = self.postings.iter().filter(|posting| posting.side == side);
            Money::sum(currency, of_side.map(|posting| posting.amount))
        };
        let (debits, credits) = (sum(Side::Debit)?, sum(Side::Credit)?);
        if debits != credits {
            return Err(JournalError::Unbalanced { debits, credits });
        }
        self.postings.retain(|posting| posting.amount.is_positive());
        Ok(JournalEntry { currency, postings: self.postings, transfer: self.transfer })
    }
}

#[cfg(test)]
mod tests {
    use events::{Id, ids::AccountId};
    use uuid::Uuid;

    use super::*;

    fn ghs(minor: i64) -> Money {
        Money::new(minor, "GHS".parse().expect("a currency"))
    }

    fn released(amount: i64, fee: i64, net: Money) -> Event {
        let (transfer, worker) = (TransferId::from_uuid(Uuid::nil()), AccountId::from_uuid(Uuid::nil()));
        EscrowEvent::from(EscrowReleased { amount: ghs(amount), fee: ghs(fee), net, transfer, worker }).into()
    }

    #[test]
    fn a_release_pays_the_worker_and_the_platform() {
        let entry = entry_of(&released(100, 10, ghs(90))).expect("balanced").expect("moves money");
        let told: Vec<_> = entry.postings.iter().map(|p| (p.account, p.side, p.amount.minor())).collect();
        let expected = [(Escrow, Side::Debit, 100), (Fees, Side::Credit, 10), (InTransit, Side::Credit, 90)];
        assert_eq!(told, expected);
    }

    #[test]
    fn nothing_is_not_posted_but_a_transfer_of_nothing_still_travels() {
        let entry = entry_of(&released(3, 3, ghs(0))).expect("balanced").expect("moves money");
        assert!(entry.postings.iter().all(|posting| posting.amount.is_positive()));
        assert!(matches!(entry.transfer, Some(TransferMove::Opens { amount, .. }) if amount == ghs(0)));
    }

    #[test]
    fn an_event_that_contradicts_itself_is_refused_in_a_sentence() {
        let refused = |event: Event| entry_of(&event).expect_err("contradicts itself").to_string();
        let told = refused(released(100, 10, ghs(91)));
        assert_eq!(told, "the entry does not balance: 1.00 GHS is debited and 1.01 GHS is credited");
        let told = refused(released(100, -10, ghs(110)));
        assert_eq!(told, "an amount of -0.10 GHS cannot be entered: amounts are not negative");
        let told = refused(released(100, 10, Money::new(90, "NGN".parse().expect("a currency"))));
        assert_eq!(told, "the entry cannot be summed: the currencies differ");
    }
}
