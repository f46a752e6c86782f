//! One user's money in one currency.
//!
//! available = posted − holds, and never less than nothing. Every transfer and every hold is answered once and for
//! ever: a wallet remembers the names (16 bytes each) of all that it took, held or declined.

#![deny(clippy::wildcard_enum_match_arm)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use events::{
    Category, Id, Money,
    ids::{AccountId, HoldId, PayoutId, TransferId, WalletId},
    vocabulary::payments::{
        CreditSource, FundsHeld, HoldDeclined, HoldReason, HoldReleased, WalletCredited, WalletDebited,
        WalletEvent,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    aggregate::{Aggregate, Context},
    rejection::rejections,
};

/// A wallet, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wallet {
    /// `None` before any money came.
    purse: Option<Purse>,
    holds: BTreeMap<HoldId, Money>,
    /// The bits of every transfer taken and every hold answered.
    answered: Arc<BTreeSet<Uuid>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Purse {
    account: AccountId,
    posted: Money,
    held: Money,
}

/// The hold of what `transfer` brought in.
pub fn hold_of_earnings(transfer: TransferId) -> HoldId {
    HoldId::from_uuid(transfer.uuid())
}

/// The hold of what `payout` is to send.
pub fn hold_of_payout(payout: PayoutId) -> HoldId {
    HoldId::from_uuid(payout.uuid())
}

impl Wallet {
    /// Whose it is; `None` before any money came.
    pub fn account(&self) -> Option<AccountId> {
        self.purse.map(|purse| purse.account)
    }

    /// All that is here, held or not.
    pub fn posted(&self) -> Option<Money> {
        self.purse.map(|purse| purse.posted)
    }

    /// What is here and cannot be spent.
    pub fn held(&self) -> Option<Money> {
        self.purse.map(|purse| purse.held)
    }

    /// What can be spent: posted − holds.
    pub fn available(&self) -> Option<Money> {
        self.purse.map(|purse| purse.available())
    }

    /// Each hold there is, with what it holds.
    pub fn holds(&self) -> impl Iterator<Item = (HoldId, Money)> {
        self.holds.iter().map(|(hold, amount)| (*hold, *amount))
    }
}

impl Purse {
    fn available(self) -> Money {
        self.posted.checked_sub(self.held).expect("one currency, and no more is held than there is")
    }
}

/// What can be asked of a wallet. All of it by the machinery only.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WalletCommand {
    /// Take money. What was earned is held for a while. Does nothing when this very transfer was taken.
    Credit {
        /// Whose wallet this is.
        account: AccountId,
        /// The name it travels under.
        transfer: TransferId,
        /// How much; nothing when the fee took all.
        amount: Money,
        /// From where.
        source: CreditSource,
    },
    /// Set money aside, or say for good that there is not enough. Does nothing when that was answered.
    Hold {
        /// The hold to be.
        hold: HoldId,
        /// How much.
        amount: Money,
        /// Why.
        reason: HoldReason,
    },
    /// Let money be spent again. Does nothing when it can be.
    ReleaseHold {
        /// Which hold.
        hold: HoldId,
    },
    /// The money that is held has left. Does nothing when that is known.
    Debit {
        /// Which hold.
        hold: HoldId,
        /// The name under which it is owed.
        transfer: TransferId,
    },
}

rejections! {
    /// Why a wallet says no.
    pub enum WalletRejection {
        InternalOnly = Forbidden "internal_only": "only the machinery itself does this",
        NotTheOwner = State "not_the_owner": "the wallet is another account's",
        HoldNotFound = State "hold_not_found": "there is no such hold",
        AmountNotPositive = Invalid "amount_not_positive": "amounts are more than nothing",
        AmountTooLarge = Invalid "amount_too_large": "the amounts are too large to be summed",
        CurrencyMismatch = Invalid "currency_mismatch": "a wallet knows one currency",
    }
}

type Decision = Result<Vec<WalletEvent>, WalletRejection>;

impl Aggregate for Wallet {
    const CATEGORY: Category = Category::Wallet;
    const FOLD_VERSION: u16 = 1;
    type Id = WalletId;
    type Command = WalletCommand;
    type Event = WalletEvent;
    type Rejection = WalletRejection;

    fn decide(&self, command: &WalletCommand, context: &Context) -> Decision {
        if !context.actor.is_internal() {
            return Err(WalletRejection::InternalOnly);
        }
        match command {
            WalletCommand::Credit { account, transfer, amount, source } => {
                let (account, transfer, amount, source) = (*account, *transfer, *amount, *source);
                self.credit(WalletCredited { account, transfer, amount, source }, context)
            }
            WalletCommand::Hold { hold, amount, reason } => self.hold(*hold, *amount, *reason),
            WalletCommand::ReleaseHold { hold } => {
                let held = self.holds.get(hold);
                Ok(held
                    .map(|amount| HoldReleased { hold: *hold, amount: *amount }.into())
                    .into_iter()
                    .collect())
            }
            WalletCommand::Debit { hold, transfer } => self.debit(*hold, *transfer),
        }
    }

    fn evolve(&mut self, event: &WalletEvent) {
        match event {
            WalletEvent::WalletCredited(WalletCredited { account, transfer, amount, .. }) => {
                self.answer(transfer.uuid());
                let nothing = Money::zero(amount.currency());
                let empty = Purse { account: *account, posted: nothing, held: nothing };
                let purse = self.purse.get_or_insert(empty);
                purse.posted = purse.posted.checked_add(*amount).expect("checked when it was decided");
            }
            WalletEvent::FundsHeld(FundsHeld { hold, amount, .. }) => {
                self.answer(hold.uuid());
                self.holds.insert(*hold, *amount);
                self.sum_up_holds();
            }
            WalletEvent::HoldDeclined(HoldDeclined { hold, .. }) => self.answer(hold.uuid()),
            WalletEvent::HoldReleased(HoldReleased { hold, .. }) => {
                self.holds.remove(hold);
                self.sum_up_holds();
            }
            WalletEvent::WalletDebited(WalletDebited { hold, transfer, amount }) => {
                self.answer(transfer.uuid());
                self.holds.remove(hold);
                self.sum_up_holds();
                if let Some(purse) = &mut self.purse {
                    purse.posted = purse.posted.checked_sub(*amount).expect("no more leaves than is held");
                }
            }
        }
    }
}

/// The rules.
impl Wallet {
    fn credit(&self, credited: WalletCredited, context: &Context) -> Decision {
        if self.answered.contains(&credited.transfer.uuid()) {
            return Ok(Vec::new());
        }
        if credited.amount.minor() < 0 {
            return Err(WalletRejection::AmountNotPositive);
        }
        if let Some(purse) = self.purse {
            if purse.account != credited.account {
                return Err(WalletRejection::NotTheOwner);
            }
            if purse.posted.currency() != credited.amount.currency() {
                return Err(WalletRejection::CurrencyMismatch);
            }
            purse.posted.checked_add(credited.amount).map_err(|_| WalletRejection::AmountTooLarge)?;
        }
        let (amount, source) = (credited.amount, credited.source);
        let hold = hold_of_earnings(credited.transfer);
        let mut events = vec![credited.into()];
        match source {
            CreditSource::Escrow { escrow } => {
                let until = context.now.plus_millis(context.policy.money.earnings_hold_ms);
                events.push(FundsHeld { hold, amount, reason: HoldReason::Earned { escrow, until } }.into());
            }
            CreditSource::Payout { .. } => {}
        }
        Ok(events)
    }

    /// That there is not enough is an answer like any other: were it a refusal, the same question, asked again behind
    /// the back of whoever was told no, could be answered yes.
    fn hold(&self, hold: HoldId, amount: Money, reason: HoldReason) -> Decision {
        if self.answered.contains(&hold.uuid()) {
            return Ok(Vec::new());
        }
        if !amount.is_positive() {
            return Err(WalletRejection::AmountNotPositive);
        }
        let available = self.available().unwrap_or(Money::zero(amount.currency()));
        if available.currency() != amount.currency() {
            return Err(WalletRejection::CurrencyMismatch);
        }
        let enough = available.minor() >= amount.minor();
        let held = FundsHeld { hold, amount, reason };
        let declined = HoldDeclined { hold, amount, reason };
        Ok(vec![if enough { held.into() } else { declined.into() }])
    }

    fn debit(&self, hold: HoldId, transfer: TransferId) -> Decision {
        if self.answered.contains(&transfer.uuid()) {
            return Ok(Vec::new());
        }
        let amount = *self.holds.get(&hold).ok_or(WalletRejection::HoldNotFound)?;
        Ok(vec![WalletDebited { hold, transfer, amount }.into()])
    }
}

/// The folds.
impl Wallet {
    fn answer(&mut self, name: Uuid) {
        Arc::make_mut(&mut self.answered).insert(name);
    }

    fn sum_up_holds(&mut self) {
        if let Some(purse) = &mut self.purse {
            let held = Money::sum(purse.posted.currency(), self.holds.values().copied());
            purse.held = held.expect("no more is held than there is");
        }
    }
}
