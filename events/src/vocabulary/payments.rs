//! Payments into escrow, wallets, payouts, and what the payment provider told of them.
//!
//! Money that leaves an aggregate names a transfer, and the receiver takes that transfer once. What is in transit is
//! exactly the transfers that were opened and not taken yet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{StepChange, StepOutcome, TimerChange, vocabulary};
use crate::{
    ids::{
        AccountId, ContractId, EscrowId, HoldId, PaymentId, PaymentMethodId, PayoutDestinationId, PayoutId,
        TransferId,
    },
    money::{Currency, Money},
    personal::Personal,
    time::Timestamp,
};

// ---- payment ----

/// A client is to pay for a milestone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentCreated {
    /// Who pays.
    pub payer: AccountId,
    /// What is to be paid.
    pub amount: Money,
    /// For which contract.
    pub contract: ContractId,
    /// For which of its milestones, from 1.
    pub milestone: u32,
    /// Unpaid by then, it expires.
    pub expires_at: Timestamp,
}

/// The provider is to be asked for the money: the intent of an effect, whose key is the payment and this number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentAttemptStarted {
    /// The attempt's number, from 1.
    pub attempt: u32,
    /// What it is paid with.
    pub method: PaymentMethodId,
    /// What the provider calls that.
    pub token: String,
}

/// The payer has to do something at the provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentActionRequired {
    /// The attempt's number.
    pub attempt: u32,
}

/// The provider has set the money aside, but not taken it yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentAuthorized {
    /// The attempt's number.
    pub attempt: u32,
}

/// The provider would not, or could not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentAttemptFailed {
    /// The attempt's number.
    pub attempt: u32,
    /// The provider's reason, a stable code.
    pub code: String,
}

/// The provider has the money, and it goes to escrow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentConfirmed {
    /// The attempt's number.
    pub attempt: u32,
    /// What the provider calls it.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// It travels under this name.
    pub transfer: TransferId,
}

/// The provider has money that nobody waits for any more: the payment had ended, or was paid already. It goes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentConfirmedLate {
    /// The attempt's number.
    pub attempt: u32,
    /// What the provider calls it.
    pub reference: String,
    /// How much.
    pub amount: Money,
}

/// Nobody wants to pay any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentCancelled {
    /// By whom; nobody when the machinery did it.
    pub by: Option<AccountId>,
}

/// It was not paid in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentExpired {}

/// Money that was on its way to escrow, or had been there, is the payment's again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentTransferReturned {
    /// The name it travelled under, which ends here.
    pub transfer: TransferId,
    /// How much.
    pub amount: Money,
}

/// Why money goes back to the payer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefundReason {
    /// It came when the payment had ended.
    Late,
    /// It had been paid already.
    Repeated,
    /// Escrow did not take it, or gave it back.
    Returned,
}

/// The provider is to give money back: the intent of an effect, whose key is the payment and this number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRefundRequested {
    /// The refund's number, from 1.
    pub refund: u32,
    /// The attempt that brought the money in.
    pub attempt: u32,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: RefundReason,
}

/// The provider gave the money back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRefunded {
    /// The refund's number.
    pub refund: u32,
    /// How much.
    pub amount: Money,
}

/// The provider could not give the money back: it is still owed to the payer, and stays so until it is ordered again, under
/// another number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRefundFailed {
    /// The refund's number.
    pub refund: u32,
    /// How much.
    pub amount: Money,
    /// The provider's reason, a stable code.
    pub code: String,
}

/// A refund that failed is ordered again, under another number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRefundReplaced {
    /// The number of the one that failed.
    pub refund: u32,
    /// The number of the one that takes its place.
    pub by: u32,
}

vocabulary! {
    /// The history of one payment, from the wish to pay to the last refund.
    pub enum PaymentEvent in Payment {
        PaymentCreated = 1,
        PaymentAttemptStarted = 1,
        PaymentActionRequired = 1,
        PaymentAuthorized = 1,
        PaymentAttemptFailed = 1,
        PaymentConfirmed = 1,
        PaymentConfirmedLate = 1,
        PaymentCancelled = 1,
        PaymentExpired = 1,
        PaymentTransferReturned = 1,
        PaymentRefundRequested = 1,
        PaymentRefunded = 1,
        PaymentRefundFailed = 1,
        PaymentRefundReplaced = 1,
    }
}

// ---- escrow ----

/// A milestone's money can be kept here from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EscrowOpened {
    /// Whose money.
    pub contract: ContractId,
    /// Which of its milestones, from 1.
    pub milestone: u32,
    /// Who pays.
    pub client: AccountId,
    /// Who is paid.
    pub worker: AccountId,
    /// What the milestone costs.
    pub amount: Money,
    /// The platform's share of what is released, in 1/10 000.
    pub fee_basis_points: u32,
}

/// The money came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EscrowFunded {
    /// From which payment.
    pub payment: PaymentId,
    /// The name it travelled under, which ends here.
    pub transfer: TransferId,
    /// How much.
    pub amount: Money,
}

/// Money leaves for the worker, less the platform's fee.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EscrowReleased {
    /// What leaves escrow: fee and net.
    pub amount: Money,
    /// The platform's share, rounded half to even.
    pub fee: Money,
    /// What travels to the worker's wallet.
    pub net: Money,
    /// Under which name.
    pub transfer: TransferId,
    /// Who is paid.
    pub worker: AccountId,
}

/// All that is left goes back to the payment it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EscrowRefunded {
    /// How much.
    pub amount: Money,
    /// It travels under this name.
    pub transfer: TransferId,
    /// To this payment.
    pub payment: PaymentId,
}

/// No money will come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EscrowExpired {}

vocabulary! {
    /// The history of one milestone's money in escrow.
    pub enum EscrowEvent in Escrow {
        EscrowOpened = 1,
        EscrowFunded = 1,
        EscrowReleased = 1,
        EscrowRefunded = 1,
        EscrowExpired = 1,
    }
}

// ---- wallet ----

/// Where a wallet's money comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum CreditSource {
    /// Work was paid for.
    Escrow {
        /// Out of this escrow.
        escrow: EscrowId,
    },
    /// A payout came back.
    Payout {
        /// This payout.
        payout: PayoutId,
    },
}

/// Money came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WalletCredited {
    /// Whose wallet.
    pub account: AccountId,
    /// The name it travelled under, which ends here.
    pub transfer: TransferId,
    /// How much.
    pub amount: Money,
    /// From where.
    pub source: CreditSource,
}

/// Why money in a wallet cannot be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum HoldReason {
    /// It was earned just now.
    Earned {
        /// Out of this escrow.
        escrow: EscrowId,
        /// It becomes available then.
        until: Timestamp,
    },
    /// It is being paid out.
    Payout {
        /// By this payout.
        payout: PayoutId,
    },
}

/// Some of the wallet's money cannot be spent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FundsHeld {
    /// The hold.
    pub hold: HoldId,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: HoldReason,
}

/// There was not enough to hold. The hold is never tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HoldDeclined {
    /// The hold that is not.
    pub hold: HoldId,
    /// How much was asked for.
    pub amount: Money,
    /// Why it was asked for.
    pub reason: HoldReason,
}

/// The money can be spent again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HoldReleased {
    /// The hold that ends.
    pub hold: HoldId,
    /// How much.
    pub amount: Money,
}

/// Money that was held has left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WalletDebited {
    /// The hold that ends.
    pub hold: HoldId,
    /// The name under which the wallet owed it, which ends here.
    pub transfer: TransferId,
    /// How much.
    pub amount: Money,
}

vocabulary! {
    /// The history of one user's money in one currency.
    pub enum WalletEvent in Wallet {
        WalletCredited = 1,
        FundsHeld = 1,
        HoldDeclined = 1,
        HoldReleased = 1,
        WalletDebited = 1,
    }
}

// ---- payout ----

/// A user wants money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutRequested {
    /// Who.
    pub account: AccountId,
    /// How much.
    pub amount: Money,
    /// Where it is to go.
    pub destination: PayoutDestinationId,
    /// What the provider calls that.
    pub token: String,
}

/// Somebody has to look at it first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutReviewRequested {}

/// It may be paid: it waits for its batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutApproved {
    /// By whom; nobody when no review was needed.
    pub by: Option<AccountId>,
    /// The batch it goes with.
    pub dispatch_at: Timestamp,
}

/// It will not be paid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutRejected {
    /// By whom.
    pub by: AccountId,
}

/// It is not wanted any more, or could not be paid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutCancelled {
    /// By whom; nobody when the machinery did it.
    pub by: Option<AccountId>,
}

/// The provider is to pay: the intent of an effect, whose key is the payout and this number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutDispatched {
    /// The attempt's number, from 1.
    pub attempt: u32,
}

/// The provider paid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutPaid {
    /// The attempt's number.
    pub attempt: u32,
    /// What the provider calls it.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// The wallet owes it under this name.
    pub transfer: TransferId,
}

/// The provider would not, or could not. No money left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutFailed {
    /// The attempt's number.
    pub attempt: u32,
    /// The provider's reason, a stable code.
    pub code: String,
}

/// It is tried again with a later batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutRequeued {
    /// The batch it goes with.
    pub dispatch_at: Timestamp,
}

/// It was paid, and the money came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutReversed {
    /// The attempt's number.
    pub attempt: u32,
    /// The provider's reason, a stable code.
    pub code: String,
    /// How much.
    pub amount: Money,
    /// It travels back to the wallet under this name.
    pub transfer: TransferId,
}

vocabulary! {
    /// The history of one payout.
    pub enum PayoutEvent in Payout {
        PayoutRequested = 1,
        PayoutReviewRequested = 1,
        PayoutApproved = 1,
        PayoutRejected = 1,
        PayoutCancelled = 1,
        PayoutDispatched = 1,
        PayoutPaid = 1,
        PayoutFailed = 1,
        PayoutRequeued = 1,
        PayoutReversed = 1,
    }
}

// ---- payment method, payout destination ----

/// Somebody may pay with this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentMethodAdded {
    /// Whose it is.
    pub owner: AccountId,
    /// What the provider calls it. We never see the card.
    pub token: String,
    /// By which its owner knows it: a brand and four digits.
    pub label: Personal<String>,
}

/// Nobody pays with this any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentMethodRemoved {}

vocabulary! {
    /// The history of one means of paying.
    pub enum PaymentMethodEvent in PaymentMethod { PaymentMethodAdded = 1, PaymentMethodRemoved = 1 }
}

/// Somebody may be paid here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutDestinationAdded {
    /// Whose it is.
    pub owner: AccountId,
    /// What the provider calls it. We never see the bank account.
    pub token: String,
    /// What it takes.
    pub currency: Currency,
    /// By which its owner knows it: a bank and four digits.
    pub label: Personal<String>,
}

/// Nobody is paid here any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutDestinationRemoved {}

vocabulary! {
    /// The history of one place where money can be sent.
    pub enum PayoutDestinationEvent in PayoutDestination {
        PayoutDestinationAdded = 1,
        PayoutDestinationRemoved = 1,
    }
}

// ---- receipt ----

/// What the provider told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Notice {
    /// The payer has to do something.
    PaymentActionRequired {
        /// Our payment.
        payment: PaymentId,
        /// Its attempt.
        attempt: u32,
    },
    /// The money is set aside.
    PaymentAuthorized {
        /// Our payment.
        payment: PaymentId,
        /// Its attempt.
        attempt: u32,
    },
    /// The money came.
    PaymentConfirmed {
        /// Our payment.
        payment: PaymentId,
        /// Its attempt.
        attempt: u32,
        /// What the provider calls it.
        reference: String,
        /// How much.
        amount: Money,
    },
    /// The money did not come.
    PaymentFailed {
        /// Our payment.
        payment: PaymentId,
        /// Its attempt.
        attempt: u32,
        /// Why.
        code: String,
    },
    /// Money was given back.
    RefundPaid {
        /// Our payment.
        payment: PaymentId,
        /// Its refund.
        refund: u32,
    },
    /// Money could not be given back.
    RefundFailed {
        /// Our payment.
        payment: PaymentId,
        /// Its refund.
        refund: u32,
        /// Why.
        code: String,
    },
    /// The money was sent.
    PayoutPaid {
        /// Our payout.
        payout: PayoutId,
        /// Its attempt.
        attempt: u32,
        /// What the provider calls it.
        reference: String,
    },
    /// The money could not be sent.
    PayoutFailed {
        /// Our payout.
        payout: PayoutId,
        /// Its attempt.
        attempt: u32,
        /// Why.
        code: String,
    },
    /// The money was sent and came back.
    PayoutReturned {
        /// Our payout.
        payout: PayoutId,
        /// Its attempt.
        attempt: u32,
        /// Why.
        code: String,
    },
    /// Nothing that we wait for.
    Other {
        /// The provider's name for it.
        name: String,
    },
}

/// The provider told something, and proved that it was the provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptRecorded {
    /// Which provider.
    pub provider: String,
    /// Its own id of the event; it repeats itself under the same one.
    pub event: String,
    /// What it told.
    pub notice: Notice,
    /// All of it, as it came; nothing when it was about nobody.
    pub body: Option<Personal<String>>,
}

/// Whoever it concerns was told, or nobody had to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptSettled {
    /// What came of it.
    pub outcome: StepOutcome,
}

vocabulary! {
    /// The history of one event of a payment provider.
    pub enum ReceiptEvent in Receipt { ReceiptRecorded = 1, ReceiptSettled = 1 }
}

impl ReceiptEvent {
    /// See [`super::Event::step_change`]. A receipt asks for one thing: that its notice be passed on.
    pub fn step_change(&self) -> Option<StepChange> {
        match self {
            Self::ReceiptRecorded(_) => Some(StepChange::Requested(1)),
            Self::ReceiptSettled(_) => Some(StepChange::Settled(1)),
        }
    }
}

// ---- funding: a process manager ----

/// A client wants to pay for a milestone. The run has the bits of the payment that is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FundingStarted {
    /// Whose milestone.
    pub contract: ContractId,
    /// Which, from 1.
    pub milestone: u32,
    /// What it costs.
    pub amount: Money,
    /// Who pays.
    pub client: AccountId,
    /// Who will be paid.
    pub worker: AccountId,
}

/// What a funding asks of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum FundingStep {
    /// Have a place for the money, should the hire not have had it opened yet.
    OpenEscrow,
    /// Let the client pay.
    CreatePayment,
    /// The payment's time is over.
    ExpirePayment,
    /// Take the money.
    FundEscrow {
        /// The name it travels under.
        transfer: TransferId,
    },
    /// The contract's milestone is funded.
    ConfirmFunding,
    /// The contract has no use for the money: send it back.
    RefundEscrow,
    /// Escrow does not have the money: send it to the payer.
    TakeBack {
        /// The name it travels under.
        transfer: TransferId,
        /// How much.
        amount: Money,
    },
}

/// How a funding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FundingResult {
    /// The milestone is funded.
    Funded,
    /// No money came in time.
    NotPaid,
    /// The money came and went back.
    Returned,
}

/// A step is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FundingStepRequested {
    /// Its number within this run, from 1.
    pub number: u32,
    /// What is to be done.
    pub step: FundingStep,
}

/// The funding is over; what comes back from escrow later is still seen to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FundingEnded {
    /// How.
    pub result: FundingResult,
}

/// A step was done or refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FundingStepSettled {
    /// Its number.
    pub number: u32,
    /// What became of it.
    pub outcome: StepOutcome,
}

/// A timer runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FundingTimerStarted {
    /// Its name.
    pub timer: String,
    /// When it fires, domain time.
    pub due_at: Timestamp,
}

/// A timer fired or is not needed any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FundingTimerStopped {
    /// Its name.
    pub timer: String,
}

vocabulary! {
    /// The history of one run.
    pub enum FundingEvent in Funding {
        FundingStarted = 1,
        FundingStepRequested = 1,
        FundingStepSettled = 1,
        FundingTimerStarted = 1,
        FundingTimerStopped = 1,
        FundingEnded = 1,
    }
}

impl FundingEvent {
    /// See [`super::Event::timer_changes`].
    pub fn timer_changes(&self) -> Vec<TimerChange> {
        match self {
            Self::FundingTimerStarted(started) => {
                vec![TimerChange::Start { timer: started.timer.clone(), due_at: started.due_at }]
            }
            Self::FundingTimerStopped(stopped) => vec![TimerChange::Stop { timer: stopped.timer.clone() }],
            Self::FundingStarted(_)
            | Self::FundingStepRequested(_)
            | Self::FundingStepSettled(_)
            | Self::FundingEnded(_) => Vec::new(),
        }
    }

    /// See [`super::Event::step_change`].
    pub fn step_change(&self) -> Option<StepChange> {
        match self {
            Self::FundingStepRequested(requested) => Some(StepChange::Requested(requested.number)),
            Self::FundingStepSettled(settled) => Some(StepChange::Settled(settled.number)),
            Self::FundingStarted(_)
            | Self::FundingTimerStarted(_)
            | Self::FundingTimerStopped(_)
            | Self::FundingEnded(_) => None,
        }
    }
}

// ---- release: a process manager ----

/// Work on a milestone was handed in. The run has the bits of the milestone's escrow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseStarted {
    /// Whose milestone.
    pub contract: ContractId,
    /// Which, from 1.
    pub milestone: u32,
}

/// What a release asks of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ReleaseStep {
    /// The client's time to answer is over.
    EndReview {
        /// The time that is over.
        review_until: Timestamp,
    },
    /// Let the money go to the worker.
    ReleaseEscrow,
    /// Take the money.
    CreditWallet {
        /// Who is paid.
        account: AccountId,
        /// The name it travels under.
        transfer: TransferId,
        /// How much.
        amount: Money,
    },
    /// The contract's milestone is paid.
    ReleaseMilestone,
    /// Let the worker spend it.
    ReleaseHold,
}

/// A step is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseStepRequested {
    /// Its number within this run, from 1.
    pub number: u32,
    /// What is to be done.
    pub step: ReleaseStep,
}

/// The worker can spend the money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseEnded {}

/// A step was done or refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseStepSettled {
    /// Its number.
    pub number: u32,
    /// What became of it.
    pub outcome: StepOutcome,
}

/// A timer runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseTimerStarted {
    /// Its name.
    pub timer: String,
    /// When it fires, domain time.
    pub due_at: Timestamp,
}

/// A timer fired or is not needed any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseTimerStopped {
    /// Its name.
    pub timer: String,
}

vocabulary! {
    /// The history of one run.
    pub enum ReleaseEvent in Release {
        ReleaseStarted = 1,
        ReleaseStepRequested = 1,
        ReleaseStepSettled = 1,
        ReleaseTimerStarted = 1,
        ReleaseTimerStopped = 1,
        ReleaseEnded = 1,
    }
}

impl ReleaseEvent {
    /// See [`super::Event::timer_changes`].
    pub fn timer_changes(&self) -> Vec<TimerChange> {
        match self {
            Self::ReleaseTimerStarted(started) => {
                vec![TimerChange::Start { timer: started.timer.clone(), due_at: started.due_at }]
            }
            Self::ReleaseTimerStopped(stopped) => vec![TimerChange::Stop { timer: stopped.timer.clone() }],
            Self::ReleaseStarted(_)
            | Self::ReleaseStepRequested(_)
            | Self::ReleaseStepSettled(_)
            | Self::ReleaseEnded(_) => Vec::new(),
        }
    }

    /// See [`super::Event::step_change`].
    pub fn step_change(&self) -> Option<StepChange> {
        match self {
            Self::ReleaseStepRequested(requested) => Some(StepChange::Requested(requested.number)),
            Self::ReleaseStepSettled(settled) => Some(StepChange::Settled(settled.number)),
            Self::ReleaseStarted(_)
            | Self::ReleaseTimerStarted(_)
            | Self::ReleaseTimerStopped(_)
            | Self::ReleaseEnded(_) => None,
        }
    }
}

// ---- payout run: a process manager ----

/// A payout was asked for. The run has its bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutRunStarted {
    /// Who is to be paid.
    pub account: AccountId,
    /// How much.
    pub amount: Money,
}

/// What a payout run asks of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum PayoutRunStep {
    /// Set the money aside.
    HoldFunds,
    /// The money is set aside: go on.
    Admit,
    /// The money is not there.
    Cancel,
    /// Its batch is due.
    Dispatch {
        /// The batch.
        dispatch_at: Timestamp,
    },
    /// The money has left.
    DebitWallet {
        /// The name under which the wallet owes it.
        transfer: TransferId,
    },
    /// The money came back.
    CreditBack {
        /// The name it travels under.
        transfer: TransferId,
    },
    /// The money can be spent again.
    ReleaseHold,
}

/// How a payout run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayoutRunResult {
    /// The money has left the wallet.
    Paid,
    /// It stayed there.
    GivenUp,
}

/// A step is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutRunStepRequested {
    /// Its number within this run, from 1.
    pub number: u32,
    /// What is to be done.
    pub step: PayoutRunStep,
}

/// The run is over; what the bank returns later is still seen to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutRunEnded {
    /// How.
    pub result: PayoutRunResult,
}

/// A step was done or refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutRunStepSettled {
    /// Its number.
    pub number: u32,
    /// What became of it.
    pub outcome: StepOutcome,
}

/// A timer runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutRunTimerStarted {
    /// Its name.
    pub timer: String,
    /// When it fires, domain time.
    pub due_at: Timestamp,
}

/// A timer fired or is not needed any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayoutRunTimerStopped {
    /// Its name.
    pub timer: String,
}

vocabulary! {
    /// The history of one run.
    pub enum PayoutRunEvent in PayoutRun {
        PayoutRunStarted = 1,
        PayoutRunStepRequested = 1,
        PayoutRunStepSettled = 1,
        PayoutRunTimerStarted = 1,
        PayoutRunTimerStopped = 1,
        PayoutRunEnded = 1,
    }
}

impl PayoutRunEvent {
    /// See [`super::Event::timer_changes`].
    pub fn timer_changes(&self) -> Vec<TimerChange> {
        match self {
            Self::PayoutRunTimerStarted(started) => {
                vec![TimerChange::Start { timer: started.timer.clone(), due_at: started.due_at }]
            }
            Self::PayoutRunTimerStopped(stopped) => vec![TimerChange::Stop { timer: stopped.timer.clone() }],
            Self::PayoutRunStarted(_)
            | Self::PayoutRunStepRequested(_)
            | Self::PayoutRunStepSettled(_)
            | Self::PayoutRunEnded(_) => Vec::new(),
        }
    }

    /// See [`super::Event::step_change`].
    pub fn step_change(&self) -> Option<StepChange> {
        match self {
            Self::PayoutRunStepRequested(requested) => Some(StepChange::Requested(requested.number)),
            Self::PayoutRunStepSettled(settled) => Some(StepChange::Settled(settled.number)),
            Self::PayoutRunStarted(_)
            | Self::PayoutRunTimerStarted(_)
            | Self::PayoutRunTimerStopped(_)
            | Self::PayoutRunEnded(_) => None,
        }
    }
}

// ---- reconciliation ----

/// All books are to be compared: the ledger with the aggregates and with the provider's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReconciliationRequested {
    /// By whom; nobody when it is the day's.
    pub by: Option<AccountId>,
}

/// What the accounts of the ledger came to, in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerBalances {
    /// What the provider has of ours.
    pub clearing: Money,
    /// What somebody owes us.
    pub receivable: Money,
    /// What is kept for milestones.
    pub escrow: Money,
    /// What has left one place and has not arrived at the next.
    pub in_transit: Money,
    /// What can be spent from wallets.
    pub wallets: Money,
    /// What is in wallets and cannot be spent.
    pub holds: Money,
    /// What goes back to payers.
    pub payable: Money,
    /// What the platform has earned.
    pub fees: Money,
}

/// What escrows, wallets and payments said that they had, in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AggregateBalances {
    /// What escrows kept.
    pub escrow: Money,
    /// What could be spent from wallets.
    pub wallets: Money,
    /// What was in wallets and could not be spent.
    pub holds: Money,
    /// What payments were to give back.
    pub payable: Money,
}

/// The totals of one currency, side by side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReconciledCurrency {
    /// Which.
    pub currency: Currency,
    /// How many entries the ledger had.
    pub entries: u64,
    /// What its accounts came to.
    pub ledger: LedgerBalances,
    /// What the aggregates had by the same events.
    pub aggregates: AggregateBalances,
    /// The sum of the transfers that were open.
    pub open_transfers: Money,
    /// What the provider said that it has of ours.
    pub provider: Money,
    /// Of that, what the ledger had not entered by then.
    pub not_entered: Money,
}

/// What does not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The debits of the ledger and its credits.
    TrialBalance,
    /// What is in transit and the transfers that are open.
    OpenTransfers,
    /// An account of the ledger and the sum of all aggregates.
    Account,
    /// What the ledger says that one aggregate has and what it has.
    Aggregate,
    /// What the provider has and what the ledger says, with all that is known to be on its way.
    Clearing,
    /// An amount at the provider and the one that was entered for it.
    Amount,
    /// Money that moved at the provider long ago and was never entered.
    NotEntered,
    /// Money that moved at the provider under a name that we never gave.
    Unknown,
}

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReconciliationDifference {
    /// What.
    pub kind: DifferenceKind,
    /// Whose: an account, a stream, the provider's name of something.
    pub subject: String,
    /// What it should be.
    pub expected: Money,
    /// What it is.
    pub found: Money,
}

/// Money that is only on its way, and no difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReconciliationTransit {
    /// A transfer of ours, or our reference of what the provider did and has not told us yet.
    pub subject: String,
    /// How much; less than nothing when it has left and is not entered yet, or is owed.
    pub amount: Money,
    /// Since when.
    pub since: Timestamp,
}

/// All books were compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReconciliationCompleted {
    /// With which provider.
    pub provider: String,
    /// Its books were read from then, by its own clock,
    pub books_from: Timestamp,
    /// until then.
    pub books_until: Timestamp,
    /// The next comparison has to read them from here: what comes before was entered.
    pub books_next: Timestamp,
    /// The totals, by currency.
    pub currencies: Vec<ReconciledCurrency>,
    /// What does not agree; the first of them.
    pub differences: Vec<ReconciliationDifference>,
    /// How many differences there are.
    pub differences_total: u64,
    /// What is only on its way; the first of it.
    pub in_transit: Vec<ReconciliationTransit>,
    /// How much of it there is.
    pub in_transit_total: u64,
}

vocabulary! {
    /// The history of one comparison of all books.
    pub enum ReconciliationEvent in Reconciliation { ReconciliationRequested = 1, ReconciliationCompleted = 1 }
}
