//! Process managers: aggregates whose commands are other aggregates' events, and whose events ask for steps.
//!
//! A manager decides on its own stream alone, like every aggregate. What it wants of others it writes down as a
//! numbered step; [`dispatch_step`] carries the step out and reports the outcome back, refusals included. What
//! happened elsewhere reaches it through [`react`], its timers through [`fire_timer`]. All three may be repeated at
//! any time: their commands have ids that follow from what caused them.

use events::{
    RecordedEvent,
    ids::{AccountId, ContractId, EscrowId, JobId, LoginId, PaymentId, PayoutId, WalletId},
    vocabulary::StepOutcome,
};
use serde::Serialize;

use crate::{
    account::AccountCommand, aggregate::Aggregate, contract::ContractCommand, escrow::EscrowCommand,
    job::JobCommand, login::LoginCommand, payment::PaymentCommand, payout::PayoutCommand,
    rejection::rejections, wallet::WalletCommand,
};

mod dispatch;
mod draft;
mod once_timer;
mod outcome;
mod steps;

pub(crate) use dispatch::step_request;
pub use dispatch::{Origin, dispatch_step, dispatch_step_from, fire_timer, react};
pub(crate) use draft::Draft;
pub(crate) use once_timer::OnceTimer;
pub use outcome::tell_outcome;
pub(crate) use steps::{StepState, Steps};

/// An aggregate that drives others.
pub trait ProcessManager: Aggregate<Command: Serialize> {
    /// The instance that `event` concerns and what it is told; `None` for events that are nothing to this manager.
    fn react(event: &RecordedEvent) -> Option<(Self::Id, Self::Command)>;

    /// What step `number` asks of whom; `None` when it was never asked for or is settled.
    fn open_step(&self, instance: Self::Id, number: u32) -> Option<StepCommand>;

    /// The open step that has to be settled before step `number` is carried out, since that one counts on it; `None`
    /// when there is none.
    fn step_before(&self, number: u32) -> Option<u32>;

    /// The command that reports what became of step `number`.
    fn settle(number: u32, outcome: StepOutcome) -> Self::Command;

    /// The command that reports that a timer is due; `None` for a timer this manager never starts.
    fn fire(timer: &str) -> Option<Self::Command>;
}

/// A command to another aggregate.
#[derive(Clone, Debug, PartialEq)]
pub enum StepCommand {
    /// To an account.
    Account(AccountId, AccountCommand),
    /// To the reservation of an e-mail address.
    Login(LoginId, LoginCommand),
    /// To a job.
    Job(JobId, JobCommand),
    /// To a contract.
    Contract(ContractId, ContractCommand),
    /// To a payment.
    Payment(PaymentId, PaymentCommand),
    /// To an escrow.
    Escrow(EscrowId, EscrowCommand),
    /// To a wallet.
    Wallet(WalletId, WalletCommand),
    /// To a payout.
    Payout(PayoutId, PayoutCommand),
}

rejections! {
    /// Why a process manager says no. It takes every fact; it just does not listen to everybody.
    pub enum ProcessRejection {
        InternalOnly = Forbidden "internal_only": "only the machinery itself does this",
    }
}

/// Why a reaction, a step or a timer could not be carried through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProcessError {
    /// It may pass by itself: try again later; nothing is done twice.
    #[error("not now: {0}")]
    Retry(String),
    /// It will not pass by itself.
    #[error("cannot be carried out: {0}")]
    Poison(String),
}
