//! The rules of a contract's milestones: funded, worked on, approved, paid out or refunded, disputed.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Money, Personal, Timestamp,
    vocabulary::jobs::{
        ChangesRequested, ContractCancelled, ContractCompleted, ContractEvent, DisputeOutcome, FundingOrder,
        FundingRequested, MilestoneApproved, MilestoneDisputeSettled, MilestoneDisputed, MilestoneFunded,
        MilestoneRefunded, MilestoneReleased, WorkSubmitted,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Agreement, ContractRejection, ContractStatus, agreement::internal};
use crate::aggregate::Context;

/// What of a milestone changes; title and amount stand in the terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MilestoneState {
    status: MilestoneStatus,
    review_until: Option<Timestamp>,
}

impl MilestoneState {
    pub(super) fn planned() -> Self {
        Self { status: MilestoneStatus::Planned, review_until: None }
    }
}

/// One part of the work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Milestone<'a> {
    /// From 1.
    pub number: u32,
    /// One line.
    pub title: &'a str,
    /// Its part of the price.
    pub amount: Money,
    /// Where it stands.
    pub status: MilestoneStatus,
    /// Submitted work counts as approved then.
    pub review_until: Option<Timestamp>,
}

/// Where a milestone stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MilestoneStatus {
    /// Agreed on, not funded.
    Planned,
    /// Its money is in escrow.
    Funded,
    /// Work waits for the client's answer.
    Submitted,
    /// The client wants it done differently.
    ChangesRequested,
    /// The work is accepted, the money is on its way.
    Approved,
    /// The money went to the worker.
    Released,
    /// The money went back to the client.
    Refunded,
    /// Nothing moves until the dispute is settled.
    Disputed,
    /// The money was split in a dispute.
    Split,
    /// It was never funded, and the contract was called off.
    Cancelled,
}

impl MilestoneStatus {
    /// Its money is in escrow.
    pub fn holds_money(self) -> bool {
        match self {
            Self::Funded | Self::Submitted | Self::ChangesRequested | Self::Approved | Self::Disputed => true,
            Self::Planned | Self::Released | Self::Refunded | Self::Split | Self::Cancelled => false,
        }
    }

    /// Nothing more happens to it.
    pub fn has_ended(self) -> bool {
        match self {
            Self::Released | Self::Refunded | Self::Split | Self::Cancelled => true,
            Self::Planned
            | Self::Funded
            | Self::Submitted
            | Self::ChangesRequested
            | Self::Approved
            | Self::Disputed => false,
        }
    }

    /// At least some of its money went to the worker.
    fn paid_the_worker(self) -> bool {
        match self {
            Self::Released | Self::Split => true,
            Self::Refunded
            | Self::Cancelled
            | Self::Planned
            | Self::Funded
            | Self::Submitted
            | Self::ChangesRequested
            | Self::Approved
            | Self::Disputed => false,
        }
    }

    pub(super) fn settled(outcome: DisputeOutcome) -> Self {
        match outcome {
            DisputeOutcome::Released => Self::Released,
            DisputeOutcome::Refunded => Self::Refunded,
            DisputeOutcome::Split => Self::Split,
        }
    }
}

type Decision = Result<Vec<ContractEvent>, ContractRejection>;

/// The folds.
impl Agreement {
    pub(super) fn move_milestone(&mut self, number: u32, status: MilestoneStatus) {
        if let Some(milestone) = index(number).and_then(|index| self.milestones.get_mut(index)) {
            *milestone = MilestoneState { status, review_until: None };
        }
    }

    pub(super) fn set_review_until(&mut self, number: u32, review_until: Timestamp) {
        if let Some(milestone) = index(number).and_then(|index| self.milestones.get_mut(index)) {
            milestone.review_until = Some(review_until);
        }
    }

    pub(super) fn cancel_planned_milestones(&mut self) {
        for milestone in &mut self.milestones {
            if milestone.status == MilestoneStatus::Planned {
                milestone.status = MilestoneStatus::Cancelled;
            }
        }
    }
}

/// The rules.
impl Agreement {
    pub(super) fn request_funding(&self, number: u32, context: &Context) -> Decision {
        self.by_client(context)?;
        let milestone = self.milestone(number)?;
        match self.status {
            ContractStatus::Signed | ContractStatus::Active => {}
            ContractStatus::Disputed => return Err(ContractRejection::NotActive),
            ContractStatus::Proposed
            | ContractStatus::Completed
            | ContractStatus::Cancelled
            | ContractStatus::Declined
            | ContractStatus::Expired => return Err(ContractRejection::NotSigned),
        }
        require(milestone.status, &[MilestoneStatus::Planned], ContractRejection::MilestoneNotPlanned)?;
        let (client, worker) = (self.terms.client, self.terms.worker);
        let order = Some(FundingOrder { payment: context.fresh_id(0), client, worker });
        Ok(vec![FundingRequested { milestone: number, amount: milestone.amount, order }.into()])
    }

    /// A second confirmation is refused, not ignored: whoever holds that money has to send it back.
    pub(super) fn confirm_funding(&self, number: u32, context: &Context) -> Decision {
        internal(context)?;
        let milestone = self.milestone(number)?;
        match self.status {
            ContractStatus::Signed | ContractStatus::Active | ContractStatus::Disputed => {}
            ContractStatus::Proposed
            | ContractStatus::Completed
            | ContractStatus::Cancelled
            | ContractStatus::Declined
            | ContractStatus::Expired => return Err(ContractRejection::NotSigned),
        }
        require(milestone.status, &[MilestoneStatus::Planned], ContractRejection::MilestoneNotPlanned)?;
        Ok(vec![MilestoneFunded { milestone: number }.into()])
    }

    pub(super) fn submit_work(&self, number: u32, note: &Personal<String>, context: &Context) -> Decision {
        if context.actor.account() != Some(self.terms.worker) {
            return Err(self.refusal_for(context, ContractRejection::NotTheWorker));
        }
        let milestone = self.milestone(number)?;
        let from = [MilestoneStatus::Funded, MilestoneStatus::ChangesRequested];
        require(milestone.status, &from, ContractRejection::MilestoneNotInWork)?;
        let review_until = context.now.plus_millis(context.policy.review_period_ms);
        Ok(vec![WorkSubmitted { milestone: number, note: note.clone(), review_until }.into()])
    }

    pub(super) fn request_changes(
        &self,
        number: u32,
        note: &Personal<String>,
        context: &Context,
    ) -> Decision {
        self.by_client(context)?;
        self.submitted(number)?;
        Ok(vec![ChangesRequested { milestone: number, note: note.clone() }.into()])
    }

    pub(super) fn approve(&self, number: u32, context: &Context) -> Decision {
        if context.actor.is_internal() {
            let milestone = self.milestone(number)?;
            let due = milestone.review_until.is_some_and(|review_until| context.now >= review_until);
            let over = milestone.status == MilestoneStatus::Submitted && due;
            let approved = MilestoneApproved { milestone: number, by: None };
            return Ok(if over { vec![approved.into()] } else { Vec::new() });
        }
        self.by_client(context)?;
        self.submitted(number)?;
        Ok(vec![MilestoneApproved { milestone: number, by: Some(self.terms.client) }.into()])
    }

    /// The timer that asks has judged the time. A second clock could only disagree with it; that the work was handed in
    /// again since then shows in the period's end.
    pub(super) fn end_review(&self, number: u32, review_until: Timestamp, context: &Context) -> Decision {
        internal(context)?;
        let milestone = self.milestone(number)?;
        let runs = milestone.status == MilestoneStatus::Submitted;
        let over = runs && milestone.review_until == Some(review_until);
        let approved = MilestoneApproved { milestone: number, by: None };
        Ok(if over { vec![approved.into()] } else { Vec::new() })
    }

    pub(super) fn release(&self, number: u32, context: &Context) -> Decision {
        internal(context)?;
        let status = self.milestone(number)?.status;
        require(status, &[MilestoneStatus::Approved], ContractRejection::MilestoneNotApproved)?;
        let released = MilestoneReleased { milestone: number };
        Ok(self.ending(released.into(), number, MilestoneStatus::Released))
    }

    pub(super) fn refund(&self, number: u32, context: &Context) -> Decision {
        internal(context)?;
        let status = self.milestone(number)?.status;
        let from = [MilestoneStatus::Funded, MilestoneStatus::ChangesRequested];
        require(status, &from, ContractRejection::MilestoneNotRefundable)?;
        let refunded = MilestoneRefunded { milestone: number };
        Ok(self.ending(refunded.into(), number, MilestoneStatus::Refunded))
    }

    pub(super) fn dispute(&self, number: u32, context: &Context) -> Decision {
        if !context.actor.is_internal() {
            self.party(context)?;
        }
        let status = self.milestone(number)?.status;
        let from = [MilestoneStatus::Funded, MilestoneStatus::Submitted, MilestoneStatus::ChangesRequested];
        require(status, &from, ContractRejection::MilestoneNotDisputable)?;
        Ok(vec![MilestoneDisputed { milestone: number }.into()])
    }

    pub(super) fn settle_dispute(&self, number: u32, outcome: DisputeOutcome, context: &Context) -> Decision {
        internal(context)?;
        let status = self.milestone(number)?.status;
        require(status, &[MilestoneStatus::Disputed], ContractRejection::MilestoneNotDisputed)?;
        let settled = MilestoneDisputeSettled { milestone: number, outcome };
        Ok(self.ending(settled.into(), number, MilestoneStatus::settled(outcome)))
    }

    /// The milestone with this number, from 1.
    pub(super) fn milestone(&self, number: u32) -> Result<Milestone<'_>, ContractRejection> {
        let found = index(number)
            .and_then(|index| Some((self.terms.milestones.get(index)?, self.milestones.get(index)?)));
        let (terms, state) = found.ok_or(ContractRejection::MilestoneNotFound)?;
        let MilestoneState { status, review_until } = *state;
        Ok(Milestone { number, title: &terms.title, amount: terms.amount, status, review_until })
    }

    pub(super) fn milestones(&self) -> impl Iterator<Item = Milestone<'_>> {
        (1..).map_while(|number| self.milestone(number).ok())
    }

    pub(super) fn holds_money(&self) -> bool {
        self.milestones.iter().any(|milestone| milestone.status.holds_money())
    }

    pub(super) fn has_dispute(&self) -> bool {
        self.milestones.iter().any(|milestone| milestone.status == MilestoneStatus::Disputed)
    }

    /// The event that ends a milestone, and, when it is the last, the end of the contract: completed when any of the
    /// money went to the worker, otherwise nothing came of it and it counts as cancelled.
    fn ending(&self, event: ContractEvent, number: u32, status: MilestoneStatus) -> Vec<ContractEvent> {
        let after = |milestone: Milestone<'_>| {
            if milestone.number == number { status } else { milestone.status }
        };
        let mut events = vec![event];
        if self.milestones().map(after).all(MilestoneStatus::has_ended) {
            if self.milestones().map(after).any(MilestoneStatus::paid_the_worker) {
                events.push(ContractCompleted {}.into());
            } else {
                events.push(ContractCancelled { by: None }.into());
            }
        }
        events
    }

    fn submitted(&self, number: u32) -> Result<Milestone<'_>, ContractRejection> {
        let milestone = self.milestone(number)?;
        let from = [MilestoneStatus::Submitted];
        require(milestone.status, &from, ContractRejection::MilestoneNotSubmitted)?;
        Ok(milestone)
    }

    fn by_client(&self, context: &Context) -> Result<(), ContractRejection> {
        if context.actor.account() == Some(self.terms.client) {
            Ok(())
        } else {
            Err(self.refusal_for(context, ContractRejection::NotTheClient))
        }
    }

    /// The other party is told which side may; a stranger only that it is none of theirs.
    fn refusal_for(&self, context: &Context, to_a_party: ContractRejection) -> ContractRejection {
        self.party(context).err().unwrap_or(to_a_party)
    }
}

/// Milestones are counted from 1.
fn index(number: u32) -> Option<usize> {
    number.checked_sub(1).and_then(|index| usize::try_from(index).ok())
}

fn require(
    status: MilestoneStatus,
    from: &[MilestoneStatus],
    otherwise: ContractRejection,
) -> Result<(), ContractRejection> {
    if from.contains(&status) { Ok(()) } else { Err(otherwise) }
}
