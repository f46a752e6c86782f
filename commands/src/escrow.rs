//! One milestone's money, kept until it goes to the worker or back to the client.
//!
//! held = funded − released − refunded, and never less than nothing. Money comes once, under the name of one transfer;
//! what is refused once is refused for ever, since an escrow never goes back to waiting for money.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Category, Money,
    ids::{AccountId, ContractId, EscrowId, PaymentId, TransferId},
    vocabulary::payments::{
        EscrowEvent, EscrowExpired, EscrowFunded, EscrowOpened, EscrowRefunded, EscrowReleased,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    rejection::rejections,
};

/// An escrow, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Escrow {
    account: Option<Account>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Account {
    opened: EscrowOpened,
    status: EscrowStatus,
    source: Option<Source>,
    funded: Money,
    released: Money,
    refunded: Money,
}

/// Where the money came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    payment: PaymentId,
    transfer: TransferId,
}

/// Where an escrow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EscrowStatus {
    /// It waits for money.
    Opened,
    /// It holds all of it.
    Funded,
    /// Some of it went to the worker, the rest is held.
    PartlyReleased,
    /// The last of it went to the worker.
    Released,
    /// The last of it went back to the client.
    Refunded,
    /// No money came.
    Expired,
}

impl Escrow {
    /// Where it stands; `None` before it was opened.
    pub fn status(&self) -> Option<EscrowStatus> {
        self.account.as_ref().map(|account| account.status)
    }

    /// What it was opened for.
    pub fn opened(&self) -> Option<&EscrowOpened> {
        self.account.as_ref().map(|account| &account.opened)
    }

    /// All that ever came.
    pub fn funded(&self) -> Option<Money> {
        self.account.as_ref().map(|account| account.funded)
    }

    /// All that left for the worker, fees included.
    pub fn released(&self) -> Option<Money> {
        self.account.as_ref().map(|account| account.released)
    }

    /// All that went back.
    pub fn refunded(&self) -> Option<Money> {
        self.account.as_ref().map(|account| account.refunded)
    }

    /// What is here now: funded − released − refunded.
    pub fn held(&self) -> Option<Money> {
        self.account.as_ref().map(Account::held)
    }
}

/// What can be asked of an escrow. All of it by the machinery only.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EscrowCommand {
    /// Be ready for a milestone's money. Does nothing when it is, for the same one.
    Open {
        /// Whose money.
        contract: ContractId,
        /// Which of its milestones, from 1.
        milestone: u32,
        /// Who pays.
        client: AccountId,
        /// Who is paid.
        worker: AccountId,
        /// What the milestone costs.
        amount: Money,
    },
    /// Take the money. Does nothing when this very transfer was taken.
    Fund {
        /// From which payment.
        payment: PaymentId,
        /// The name it travels under.
        transfer: TransferId,
        /// How much: what the milestone costs.
        amount: Money,
    },
    /// Let money go to the worker.
    Release {
        /// How much; all that is held when nothing is said.
        amount: Option<Money>,
    },
    /// Send all that is held back to the payment it came from.
    Refund,
    /// No money will come. Does nothing once it came.
    Expire,
}

rejections! {
    /// Why an escrow says no.
    pub enum EscrowRejection {
        InternalOnly = Forbidden "internal_only": "only the machinery itself does this",
        NotFound = NotFound "escrow_not_found": "there is no such escrow",
        AlreadyExists = State "escrow_already_exists": "the escrow was opened for something else",
        NotOpen = State "escrow_not_open": "the escrow waits for no money (any more)",
        NothingHeld = State "escrow_nothing_held": "the escrow holds no money",
        NotEnoughHeld = State "escrow_not_enough_held": "the escrow holds less than that",
        AmountNotPositive = Invalid "amount_not_positive": "amounts are more than nothing",
        AmountDiffers = Invalid "amount_differs": "the amount is not the one that is waited for",
        CurrencyMismatch = Invalid "currency_mismatch": "an escrow knows one currency",
    }
}

impl Aggregate for Escrow {
    const CATEGORY: Category = Category::Escrow;
    const FOLD_VERSION: u16 = 1;
    type Id = EscrowId;
    type Command = EscrowCommand;
    type Event = EscrowEvent;
    type Rejection = EscrowRejection;

    fn decide(
        &self,
        command: &EscrowCommand,
        context: &Context,
    ) -> Result<Vec<EscrowEvent>, EscrowRejection> {
        if !context.actor.is_internal() {
            return Err(EscrowRejection::InternalOnly);
        }
        let account = self.account.as_ref().ok_or(EscrowRejection::NotFound);
        match command {
            EscrowCommand::Open { contract, milestone, client, worker, amount } => {
                let opened = EscrowOpened {
                    contract: *contract,
                    milestone: *milestone,
                    client: *client,
                    worker: *worker,
                    amount: *amount,
                    fee_basis_points: context.policy.money.fee_basis_points,
                };
                self.open(opened)
            }
            EscrowCommand::Fund { payment, transfer, amount } => account?.fund(*payment, *transfer, *amount),
            EscrowCommand::Release { amount } => account?.release(*amount, context.fresh_id(0)),
            EscrowCommand::Refund => account?.refund(context.fresh_id(0)),
            EscrowCommand::Expire => Ok(account?.expire()),
        }
    }

    fn evolve(&mut self, event: &EscrowEvent) {
        if let EscrowEvent::EscrowOpened(opened) = event {
            let nothing = Money::zero(opened.amount.currency());
            self.account = Some(Account {
                opened: opened.clone(),
                status: EscrowStatus::Opened,
                source: None,
                funded: nothing,
                released: nothing,
                refunded: nothing,
            });
        } else if let Some(account) = &mut self.account {
            account.evolve(event);
        }
    }
}

type Decision = Result<Vec<EscrowEvent>, EscrowRejection>;

impl Escrow {
    /// The fee's rate is that of the first opening, whatever the settings say later.
    fn open(&self, opened: EscrowOpened) -> Decision {
        let Some(account) = &self.account else {
            let positive = opened.amount.is_positive();
            return if positive { Ok(vec![opened.into()]) } else { Err(EscrowRejection::AmountNotPositive) };
        };
        let same = EscrowOpened { fee_basis_points: account.opened.fee_basis_points, ..opened };
        if account.opened == same { Ok(Vec::new()) } else { Err(EscrowRejection::AlreadyExists) }
    }
}

impl Account {
    fn held(&self) -> Money {
        let left = self.funded.checked_sub(self.released).and_then(|left| left.checked_sub(self.refunded));
        left.expect("one currency, and never more leaves than came")
    }

    fn fund(&self, payment: PaymentId, transfer: TransferId, amount: Money) -> Decision {
        if self.source.is_some_and(|source| source.transfer == transfer) {
            return Ok(Vec::new());
        }
        match self.status {
            EscrowStatus::Opened if amount == self.opened.amount => {
                Ok(vec![EscrowFunded { payment, transfer, amount }.into()])
            }
            EscrowStatus::Opened => Err(EscrowRejection::AmountDiffers),
            EscrowStatus::Funded
            | EscrowStatus::PartlyReleased
            | EscrowStatus::Released
            | EscrowStatus::Refunded
            | EscrowStatus::Expired => Err(EscrowRejection::NotOpen),
        }
    }

    fn release(&self, amount: Option<Money>, transfer: TransferId) -> Decision {
        let held = self.something_held()?;
        let amount = amount.unwrap_or(held);
        if amount.currency() != held.currency() {
            return Err(EscrowRejection::CurrencyMismatch);
        }
        if !amount.is_positive() {
            return Err(EscrowRejection::AmountNotPositive);
        }
        if amount.minor() > held.minor() {
            return Err(EscrowRejection::NotEnoughHeld);
        }
        let shares = amount.split_share(self.opened.fee_basis_points);
        let (fee, net) = shares.map_err(|_| EscrowRejection::AmountDiffers)?;
        let worker = self.opened.worker;
        Ok(vec![EscrowReleased { amount, fee, net, transfer, worker }.into()])
    }

    fn refund(&self, transfer: TransferId) -> Decision {
        let amount = self.something_held()?;
        let Source { payment, .. } = self.source.ok_or(EscrowRejection::NothingHeld)?;
        Ok(vec![EscrowRefunded { amount, transfer, payment }.into()])
    }

    fn expire(&self) -> Vec<EscrowEvent> {
        match self.status {
            EscrowStatus::Opened => vec![EscrowExpired {}.into()],
            EscrowStatus::Funded
            | EscrowStatus::PartlyReleased
            | EscrowStatus::Released
            | EscrowStatus::Refunded
            | EscrowStatus::Expired => Vec::new(),
        }
    }

    fn something_held(&self) -> Result<Money, EscrowRejection> {
        let held = self.held();
        if held.is_positive() { Ok(held) } else { Err(EscrowRejection::NothingHeld) }
    }

    fn evolve(&mut self, event: &EscrowEvent) {
        let more = |sum: Money, amount: Money| sum.checked_add(amount).expect("no more than was funded");
        match event {
            EscrowEvent::EscrowOpened(EscrowOpened { .. }) => {}
            EscrowEvent::EscrowFunded(EscrowFunded { payment, transfer, amount }) => {
                self.funded = more(self.funded, *amount);
                self.source = Some(Source { payment: *payment, transfer: *transfer });
                self.status = EscrowStatus::Funded;
            }
            EscrowEvent::EscrowReleased(EscrowReleased { amount, .. }) => {
                self.released = more(self.released, *amount);
                let left = self.held().is_positive();
                self.status = if left { EscrowStatus::PartlyReleased } else { EscrowStatus::Released };
            }
            EscrowEvent::EscrowRefunded(EscrowRefunded { amount, .. }) => {
                self.refunded = more(self.refunded, *amount);
                self.status = EscrowStatus::Refunded;
            }
            EscrowEvent::EscrowExpired(EscrowExpired {}) => self.status = EscrowStatus::Expired,
        }
    }
}
