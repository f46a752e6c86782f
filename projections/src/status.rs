//! What jobs, bids, contracts and milestones look like from outside: one fold for all read models.
#![deny(clippy::wildcard_enum_match_arm)]

use events::vocabulary::jobs::{ContractEvent, DisputeOutcome, JobClosure, JobEvent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! status {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant),* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// As it stands in documents, filters and answers.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl From<$name> for $crate::store::Scalar {
            fn from(status: $name) -> Self { Self::Text(status.name().to_owned()) }
        }
    };
}
pub(crate) use status;

status! {
    /// Where a job stands.
    JobStatus {
        /// Only its client sees it.
        Draft = "draft",
        /// Workers may bid.
        Published = "published",
        /// A bid was accepted, the contract is not funded yet.
        Awarded = "awarded",
        /// The contract is funded.
        InProgress = "in_progress",
        /// The work is done.
        Completed = "completed",
        /// It was called off.
        Cancelled = "cancelled",
        /// Nobody was awarded it in time.
        Expired = "expired",
    }
}

status! {
    /// Where a bid stands.
    BidStatus {
        /// It waits for the client.
        Submitted = "submitted",
        /// It won the job.
        Accepted = "accepted",
        /// It lost.
        Rejected = "rejected",
        /// Its worker took it back.
        Withdrawn = "withdrawn",
        /// It had won, but the contract came to nothing and the job was reopened.
        Lapsed = "lapsed",
    }
}

status! {
    /// Where a contract stands.
    ContractStatus {
        /// Not both have signed.
        Proposed = "proposed",
        /// Both have signed, nothing is funded.
        Signed = "signed",
        /// A party would not sign.
        Declined = "declined",
        /// Not both signed in time.
        Expired = "expired",
        /// A milestone is or was funded.
        Active = "active",
        /// A milestone is disputed.
        Disputed = "disputed",
        /// Every milestone reached its end.
        Completed = "completed",
        /// It was called off.
        Cancelled = "cancelled",
    }
}

status! {
    /// Where a milestone stands.
    MilestoneStatus {
        /// Its money is not in escrow.
        Planned = "planned",
        /// Its money is in escrow.
        Funded = "funded",
        /// The worker handed work in.
        Submitted = "submitted",
        /// The client wants it done differently.
        ChangesRequested = "changes_requested",
        /// The work is accepted.
        Approved = "approved",
        /// The money went to the worker.
        Released = "released",
        /// The money went back to the client.
        Refunded = "refunded",
        /// Nothing moves until the dispute is settled.
        Disputed = "disputed",
        /// The dispute gave some to each.
        Split = "split",
        /// It was called off before it was funded.
        Cancelled = "cancelled",
    }
}

impl JobStatus {
    /// Where the job stands after `event`.
    pub fn after(self, event: &JobEvent) -> Self {
        match event {
            JobEvent::JobCreated(_) => Self::Draft,
            JobEvent::JobPublished(_) | JobEvent::JobReopened(_) => Self::Published,
            JobEvent::BidAccepted(_) => Self::Awarded,
            JobEvent::JobStarted(_) => Self::InProgress,
            JobEvent::JobClosed(closed) => match closed.closure {
                JobClosure::Completed => Self::Completed,
                JobClosure::Cancelled => Self::Cancelled,
            },
            JobEvent::JobExpired(_) => Self::Expired,
            JobEvent::JobEdited(_)
            | JobEvent::BidSubmitted(_)
            | JobEvent::BidRevised(_)
            | JobEvent::BidWithdrawn(_)
            | JobEvent::BidRejected(_) => self,
        }
    }
}

impl MilestoneStatus {
    /// What a settled dispute makes of a milestone.
    pub fn settled(outcome: DisputeOutcome) -> Self {
        match outcome {
            DisputeOutcome::Released => Self::Released,
            DisputeOutcome::Refunded => Self::Refunded,
            DisputeOutcome::Split => Self::Split,
        }
    }
}

impl ContractStatus {
    /// Where the contract stands after `event`, when `disputed` of its milestones are disputed after it.
    pub fn after(self, event: &ContractEvent, disputed: usize) -> Self {
        match event {
            ContractEvent::ContractProposed(_) => Self::Proposed,
            ContractEvent::ContractSigned(signed) => {
                if signed.fully {
                    Self::Signed
                } else {
                    self
                }
            }
            ContractEvent::ContractDeclined(_) => Self::Declined,
            ContractEvent::ContractExpired(_) => Self::Expired,
            ContractEvent::ContractCancelled(_) => Self::Cancelled,
            ContractEvent::ContractCompleted(_) => Self::Completed,
            ContractEvent::MilestoneFunded(_)
            | ContractEvent::MilestoneDisputed(_)
            | ContractEvent::MilestoneDisputeSettled(_) => {
                if disputed > 0 {
                    Self::Disputed
                } else {
                    Self::Active
                }
            }
            ContractEvent::FundingRequested(_)
            | ContractEvent::WorkSubmitted(_)
            | ContractEvent::ChangesRequested(_)
            | ContractEvent::MilestoneApproved(_)
            | ContractEvent::MilestoneReleased(_)
            | ContractEvent::MilestoneRefunded(_) => self,
        }
    }
}
