//! The agreement between a client and a worker, with its milestones: signed by both, funded, worked on, ended.
//!
//! Milestones are part of their contract, so "every milestone has ended" is known by one stream. [`agreement`] holds
//! the rules of signing and calling off, [`milestones`] those of the work and its money.

#![deny(clippy::wildcard_enum_match_arm)]

use std::sync::Arc;

use events::Personal;
use events::{
    Category, Money, Timestamp,
    ids::{AccountId, ContractId},
    vocabulary::jobs::{
        ChangesRequested, ContractCancelled, ContractCompleted, ContractDeclined, ContractEvent,
        ContractExpired, ContractProposed, ContractSigned, ContractTerms, DisputeOutcome, FundingRequested,
        MilestoneApproved, MilestoneDisputeSettled, MilestoneDisputed, MilestoneFunded, MilestoneRefunded,
        MilestoneReleased, WorkSubmitted,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    pricing::PricingError,
    rejection::rejections,
};

mod agreement;
mod milestones;

use milestones::MilestoneState;
pub use milestones::{Milestone, MilestoneStatus};

/// A contract, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    agreement: Option<Agreement>,
}

/// A contract that was proposed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Agreement {
    terms: Arc<ContractTerms>,
    status: ContractStatus,
    expires_at: Timestamp,
    signed_by_client: bool,
    signed_by_worker: bool,
    /// In the order of the terms: number 1 stands first.
    milestones: Vec<MilestoneState>,
}

/// Where a contract stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContractStatus {
    /// Not both have signed.
    Proposed,
    /// Both have signed, nothing is funded.
    Signed,
    /// Work goes on.
    Active,
    /// At least one milestone is disputed.
    Disputed,
    /// Every milestone has ended, and some work was paid for.
    Completed,
    /// It was called off, or ended without any work paid for.
    Cancelled,
    /// A party would not sign.
    Declined,
    /// Not both signed in time.
    Expired,
}

/// The two sides of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parties {
    /// Who pays.
    pub client: AccountId,
    /// Who works.
    pub worker: AccountId,
}

impl Parties {
    /// One of the two.
    pub fn include(&self, account: AccountId) -> bool {
        account == self.client || account == self.worker
    }
}

impl Contract {
    /// The two sides; `None` when there is no such contract.
    pub fn parties(&self) -> Option<Parties> {
        self.terms().map(|terms| Parties { client: terms.client, worker: terms.worker })
    }

    /// What they agree on.
    pub fn terms(&self) -> Option<&ContractTerms> {
        self.agreement.as_ref().map(|agreement| &*agreement.terms)
    }

    /// Where it stands.
    pub fn status(&self) -> Option<ContractStatus> {
        self.agreement.as_ref().map(|agreement| agreement.status)
    }

    /// Unsigned by then, it expires.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.agreement.as_ref().map(|agreement| agreement.expires_at)
    }

    /// This party has signed.
    pub fn is_signed_by(&self, account: AccountId) -> bool {
        self.agreement.as_ref().is_some_and(|agreement| agreement.is_signed_by(account))
    }

    /// The milestone with this number, from 1.
    pub fn milestone(&self, number: u32) -> Option<Milestone<'_>> {
        self.agreement.as_ref().and_then(|agreement| agreement.milestone(number).ok())
    }

    /// All milestones, in order.
    pub fn milestones(&self) -> impl Iterator<Item = Milestone<'_>> {
        self.agreement.iter().flat_map(Agreement::milestones)
    }

    /// The whole price.
    pub fn price(&self) -> Option<Money> {
        self.terms().map(|terms| terms.price)
    }
}

/// What can be asked of a contract.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContractCommand {
    /// Ask both sides to sign. Internal.
    Propose {
        /// What they would agree on.
        terms: ContractTerms,
    },
    /// By a party that has not signed.
    Sign,
    /// Refuse to sign. By a party.
    Decline,
    /// Call a signed or active contract off, while no money is in escrow. By a party, or internal.
    Cancel,
    /// The proposal's time is over. Internal; does nothing once it was signed by both, declined or expired.
    Expire,
    /// Ask to pay for a milestone. By the client; may be repeated while the milestone is not funded.
    RequestFunding {
        /// The milestone's number.
        milestone: u32,
    },
    /// The milestone's money is in escrow. Internal.
    ConfirmFunding {
        /// The milestone's number.
        milestone: u32,
    },
    /// Hand work in. By the worker.
    SubmitWork {
        /// The milestone's number.
        milestone: u32,
        /// Words to the client.
        note: Personal<String>,
    },
    /// Ask for the work to be done differently. By the client.
    RequestChanges {
        /// The milestone's number.
        milestone: u32,
        /// What is to change.
        note: Personal<String>,
    },
    /// Accept the work. By the client; internal when the review period is over.
    Approve {
        /// The milestone's number.
        milestone: u32,
    },
    /// This review period is over, as a timer judged. Internal; does nothing unless it is the one that runs.
    EndReview {
        /// The milestone's number.
        milestone: u32,
        /// The period's end.
        review_until: Timestamp,
    },
    /// The milestone's money went to the worker. Internal.
    Release {
        /// The milestone's number.
        milestone: u32,
    },
    /// The milestone's money went back to the client. Internal.
    Refund {
        /// The milestone's number.
        milestone: u32,
    },
    /// Dispute a milestone. By a party, or internal.
    Dispute {
        /// The milestone's number.
        milestone: u32,
    },
    /// The dispute is over, and the money was moved accordingly. Internal.
    SettleDispute {
        /// The milestone's number.
        milestone: u32,
        /// How it ended.
        outcome: DisputeOutcome,
    },
}

rejections! {
    /// Why a contract says no.
    pub enum ContractRejection {
        NotFound = NotFound "contract_not_found": "there is no such contract",
        MilestoneNotFound = NotFound "milestone_not_found": "the contract has no milestone with this number",
        NotAParty = Forbidden "not_a_party": "only the parties of the contract do this",
        NotTheClient = Forbidden "not_the_client": "only the paying side does this",
        NotTheWorker = Forbidden "not_the_worker": "only the working side does this",
        InternalOnly = Forbidden "internal_only": "only the machinery itself does this",
        AlreadyExists = State "contract_already_exists": "a contract on other terms exists already",
        NotProposed = State "contract_not_proposed": "the contract is not open for signing",
        ProposalExpired = State "proposal_expired": "the time for signing is over",
        NotCancellable = State "contract_not_cancellable": "only a signed or active contract is cancelled",
        MoneyInEscrow = State "money_in_escrow": "a milestone's money is in escrow: settle that first",
        NotSigned = State "contract_not_signed": "the contract is not signed by both, or has ended",
        NotActive = State "contract_not_active": "the contract is not active",
        MilestoneNotPlanned = State "milestone_not_planned": "the milestone is funded already, or has ended",
        MilestoneNotInWork = State "milestone_not_in_work": "the milestone is not being worked on",
        MilestoneNotSubmitted = State "milestone_not_submitted": "no work waits for an answer",
        MilestoneNotApproved = State "milestone_not_approved": "the milestone is not approved",
        MilestoneNotRefundable = State "milestone_not_refundable": "the milestone cannot be refunded now",
        MilestoneNotDisputable = State "milestone_not_disputable": "the milestone cannot be disputed now",
        MilestoneNotDisputed = State "milestone_not_disputed": "the milestone is not disputed",
        PartiesEqual = Invalid "parties_equal": "nobody makes a contract with themselves",
        TitleMissing = Invalid "title_missing": "a title is not empty",
        AmountNotPositive = Invalid "amount_not_positive": "amounts are more than nothing",
        AmountTooLarge = Invalid "amount_too_large": "the amounts are too large to be summed",
        CurrencyMismatch = Invalid "currency_mismatch": "all amounts are in the currency of the price",
        MilestonesMissing = Invalid "milestones_missing": "a price has at least one milestone",
        TooManyMilestones = Invalid "too_many_milestones": "a price has no more milestones than the limit",
        MilestonesDoNotSum = Invalid "milestones_do_not_sum": "the milestones do not sum to the price",
    }
}

impl From<PricingError> for ContractRejection {
    fn from(error: PricingError) -> Self {
        match error {
            PricingError::AmountNotPositive => Self::AmountNotPositive,
            PricingError::AmountTooLarge => Self::AmountTooLarge,
            PricingError::CurrencyMismatch => Self::CurrencyMismatch,
            PricingError::MilestonesMissing => Self::MilestonesMissing,
            PricingError::TooManyMilestones => Self::TooManyMilestones,
            PricingError::MilestonesDoNotSum => Self::MilestonesDoNotSum,
            PricingError::TitleMissing => Self::TitleMissing,
        }
    }
}

impl Aggregate for Contract {
    const CATEGORY: Category = Category::Contract;
    const FOLD_VERSION: u16 = 1;
    type Id = ContractId;
    type Command = ContractCommand;
    type Event = ContractEvent;
    type Rejection = ContractRejection;

    fn decide(
        &self,
        command: &ContractCommand,
        context: &Context,
    ) -> Result<Vec<ContractEvent>, ContractRejection> {
        if let ContractCommand::Propose { terms } = command {
            return self.propose(terms, context);
        }
        let Some(agreement) = &self.agreement else {
            let timer = matches!(command, ContractCommand::Expire) && context.actor.is_internal();
            return if timer { Ok(Vec::new()) } else { Err(ContractRejection::NotFound) };
        };
        match command {
            ContractCommand::Propose { terms } => self.propose(terms, context),
            ContractCommand::Sign => agreement.sign(context),
            ContractCommand::Decline => agreement.decline(context),
            ContractCommand::Cancel => agreement.cancel(context),
            ContractCommand::Expire => agreement.expire(context),
            ContractCommand::RequestFunding { milestone } => agreement.request_funding(*milestone, context),
            ContractCommand::ConfirmFunding { milestone } => agreement.confirm_funding(*milestone, context),
            ContractCommand::SubmitWork { milestone, note } => {
                agreement.submit_work(*milestone, note, context)
            }
            ContractCommand::RequestChanges { milestone, note } => {
                agreement.request_changes(*milestone, note, context)
            }
            ContractCommand::Approve { milestone } => agreement.approve(*milestone, context),
            ContractCommand::EndReview { milestone, review_until } => {
                agreement.end_review(*milestone, *review_until, context)
            }
            ContractCommand::Release { milestone } => agreement.release(*milestone, context),
            ContractCommand::Refund { milestone } => agreement.refund(*milestone, context),
            ContractCommand::Dispute { milestone } => agreement.dispute(*milestone, context),
            ContractCommand::SettleDispute { milestone, outcome } => {
                agreement.settle_dispute(*milestone, *outcome, context)
            }
        }
    }

    fn evolve(&mut self, event: &ContractEvent) {
        if let ContractEvent::ContractProposed(proposed) = event {
            self.agreement = Some(Agreement::proposed(proposed));
        } else if let Some(agreement) = &mut self.agreement {
            agreement.evolve(event);
        }
    }
}

impl Agreement {
    fn proposed(proposed: &ContractProposed) -> Self {
        Self {
            terms: Arc::new(proposed.terms.clone()),
            status: ContractStatus::Proposed,
            expires_at: proposed.expires_at,
            signed_by_client: false,
            signed_by_worker: false,
            milestones: vec![MilestoneState::planned(); proposed.terms.milestones.len()],
        }
    }

    fn evolve(&mut self, event: &ContractEvent) {
        match event {
            ContractEvent::ContractProposed(ContractProposed { .. }) => {}
            ContractEvent::ContractSigned(ContractSigned { by, fully }) => {
                self.signed_by_client |= *by == self.terms.client;
                self.signed_by_worker |= *by == self.terms.worker;
                if *fully {
                    self.status = ContractStatus::Signed;
                }
            }
            ContractEvent::ContractDeclined(ContractDeclined { .. }) => {
                self.status = ContractStatus::Declined;
            }
            ContractEvent::ContractExpired(ContractExpired {}) => self.status = ContractStatus::Expired,
            ContractEvent::ContractCancelled(ContractCancelled { .. }) => {
                self.status = ContractStatus::Cancelled;
                self.cancel_planned_milestones();
            }
            ContractEvent::ContractCompleted(ContractCompleted {}) => {
                self.status = ContractStatus::Completed;
            }
            ContractEvent::FundingRequested(FundingRequested { .. }) => {}
            ContractEvent::MilestoneFunded(MilestoneFunded { milestone }) => {
                self.move_milestone(*milestone, MilestoneStatus::Funded);
                if self.status == ContractStatus::Signed {
                    self.status = ContractStatus::Active;
                }
            }
            ContractEvent::WorkSubmitted(WorkSubmitted { milestone, review_until, .. }) => {
                self.move_milestone(*milestone, MilestoneStatus::Submitted);
                self.set_review_until(*milestone, *review_until);
            }
            ContractEvent::ChangesRequested(ChangesRequested { milestone, .. }) => {
                self.move_milestone(*milestone, MilestoneStatus::ChangesRequested);
            }
            ContractEvent::MilestoneApproved(MilestoneApproved { milestone, .. }) => {
                self.move_milestone(*milestone, MilestoneStatus::Approved);
            }
            ContractEvent::MilestoneReleased(MilestoneReleased { milestone }) => {
                self.move_milestone(*milestone, MilestoneStatus::Released);
            }
            ContractEvent::MilestoneRefunded(MilestoneRefunded { milestone }) => {
                self.move_milestone(*milestone, MilestoneStatus::Refunded);
            }
            ContractEvent::MilestoneDisputed(MilestoneDisputed { milestone }) => {
                self.move_milestone(*milestone, MilestoneStatus::Disputed);
                self.status = ContractStatus::Disputed;
            }
            ContractEvent::MilestoneDisputeSettled(MilestoneDisputeSettled { milestone, outcome }) => {
                self.move_milestone(*milestone, MilestoneStatus::settled(*outcome));
                if !self.has_dispute() {
                    self.status = ContractStatus::Active;
                }
            }
        }
    }
}
