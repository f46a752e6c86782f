//! The rules of a job itself: draft, publication, award, work, end.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    ids::ContractId,
    vocabulary::{
        identity::Role,
        jobs::{
            BidRejected, BidRejection, JobClosed, JobClosure, JobCreated, JobEdited, JobEvent, JobExpired,
            JobPublished, JobReopened, JobStarted, JobTerms, ReopenReason,
        },
    },
};

use super::{Job, JobRejection, JobStatus, Posting};
use crate::{
    aggregate::{Actor, Context},
    pricing,
};

impl Job {
    pub(super) fn create(&self, terms: &JobTerms, context: &Context) -> Result<Vec<JobEvent>, JobRejection> {
        let client = context.actor.account().filter(|_| context.actor.has_role(Role::Client));
        let client = client.ok_or(JobRejection::NotAClient)?;
        if self.posting.is_some() {
            return Err(JobRejection::AlreadyExists);
        }
        Ok(vec![JobCreated { client, terms: accepted_terms(terms)? }.into()])
    }
}

impl Posting {
    pub(super) fn is_visible_to(&self, actor: &Actor) -> bool {
        self.expires_at.is_some() || actor.is_internal() || actor.account() == Some(self.client)
    }

    pub(super) fn edit(&self, terms: &JobTerms, context: &Context) -> Result<Vec<JobEvent>, JobRejection> {
        self.by_client(context)?;
        match self.status {
            JobStatus::Draft => {}
            JobStatus::Published => self.not_overdue(context)?,
            JobStatus::Awarded
            | JobStatus::InProgress
            | JobStatus::Completed
            | JobStatus::Cancelled
            | JobStatus::Expired => return Err(JobRejection::TermsFixed),
        }
        let terms = accepted_terms(terms)?;
        if terms == *self.terms {
            return Ok(Vec::new());
        }
        let other_currency = terms.budget.max.currency() != self.terms.budget.max.currency();
        if other_currency && self.bids.values().any(|bid| bid.is_active()) {
            return Err(JobRejection::CurrencyFixed);
        }
        Ok(vec![JobEdited { terms }.into()])
    }

    pub(super) fn publish(&self, context: &Context) -> Result<Vec<JobEvent>, JobRejection> {
        self.by_client(context)?;
        if self.status != JobStatus::Draft {
            return Err(JobRejection::NotDraft);
        }
        let expires_at = context.now.plus_millis(context.policy.job_expires_after_ms);
        Ok(vec![JobPublished { expires_at }.into()])
    }

    pub(super) fn cancel(&self, context: &Context) -> Result<Vec<JobEvent>, JobRejection> {
        self.by_client(context)?;
        match self.status {
            JobStatus::Draft | JobStatus::Published => {
                let closed = JobClosed { closure: JobClosure::Cancelled };
                Ok(self.end_without_award(closed.into()))
            }
            JobStatus::Awarded
            | JobStatus::InProgress
            | JobStatus::Completed
            | JobStatus::Cancelled
            | JobStatus::Expired => Err(JobRejection::NotCancellable),
        }
    }

    pub(super) fn expire(&self, context: &Context) -> Result<Vec<JobEvent>, JobRejection> {
        internal(context)?;
        let due = self.expires_at.is_some_and(|expires_at| context.now >= expires_at);
        if self.status == JobStatus::Published && due {
            Ok(self.end_without_award(JobExpired {}.into()))
        } else {
            Ok(Vec::new())
        }
    }

    pub(super) fn reopen(
        &self,
        contract: ContractId,
        reason: ReopenReason,
        context: &Context,
    ) -> Result<Vec<JobEvent>, JobRejection> {
        internal(context)?;
        if self.status != JobStatus::Awarded || !self.is_awarded_to(contract) {
            return Err(JobRejection::NotAwarded);
        }
        let expires_at = context.now.plus_millis(context.policy.job_expires_after_ms);
        Ok(vec![JobReopened { contract, reason, expires_at }.into()])
    }

    pub(super) fn start(
        &self,
        contract: ContractId,
        context: &Context,
    ) -> Result<Vec<JobEvent>, JobRejection> {
        internal(context)?;
        if !self.is_awarded_to(contract) {
            return Err(JobRejection::NotAwarded);
        }
        match self.status {
            JobStatus::Awarded => Ok(vec![JobStarted { contract }.into()]),
            JobStatus::InProgress => Ok(Vec::new()),
            JobStatus::Draft
            | JobStatus::Published
            | JobStatus::Completed
            | JobStatus::Cancelled
            | JobStatus::Expired => Err(JobRejection::NotAwarded),
        }
    }

    pub(super) fn close(
        &self,
        contract: ContractId,
        closure: JobClosure,
        context: &Context,
    ) -> Result<Vec<JobEvent>, JobRejection> {
        internal(context)?;
        if !self.is_awarded_to(contract) {
            return Err(JobRejection::NotInProgress);
        }
        match (self.status, closure) {
            (JobStatus::InProgress, _) => Ok(vec![JobClosed { closure }.into()]),
            (JobStatus::Completed, JobClosure::Completed) | (JobStatus::Cancelled, JobClosure::Cancelled) => {
                Ok(Vec::new())
            }
            (
                JobStatus::Draft
                | JobStatus::Published
                | JobStatus::Awarded
                | JobStatus::Completed
                | JobStatus::Cancelled
                | JobStatus::Expired,
                JobClosure::Completed | JobClosure::Cancelled,
            ) => Err(JobRejection::NotInProgress),
        }
    }

    pub(super) fn by_client(&self, context: &Context) -> Result<(), JobRejection> {
        if context.actor.account() == Some(self.client) { Ok(()) } else { Err(JobRejection::NotYourJob) }
    }

    /// Published, and its time not over: the timer may be late, the rule is not.
    pub(super) fn open(&self, context: &Context) -> Result<(), JobRejection> {
        if self.status == JobStatus::Published {
            self.not_overdue(context)
        } else {
            Err(JobRejection::NotPublished)
        }
    }

    fn not_overdue(&self, context: &Context) -> Result<(), JobRejection> {
        let overdue = self.expires_at.is_some_and(|expires_at| context.now >= expires_at);
        if overdue { Err(JobRejection::Expired) } else { Ok(()) }
    }

    fn is_awarded_to(&self, contract: ContractId) -> bool {
        self.award.is_some_and(|award| award.contract == contract)
    }

    /// Every active bid is out first, so that nothing follows the end on the stream.
    fn end_without_award(&self, end: JobEvent) -> Vec<JobEvent> {
        let active = self.bids.iter().filter(|(_, bid)| bid.is_active());
        let rejected =
            active.map(|(bid, _)| BidRejected { bid: *bid, reason: BidRejection::JobClosed }.into());
        rejected.chain([end]).collect()
    }
}

pub(super) fn internal(context: &Context) -> Result<(), JobRejection> {
    if context.actor.is_internal() { Ok(()) } else { Err(JobRejection::InternalOnly) }
}

/// The terms as they are written down: checked, skills sorted and without repetition.
fn accepted_terms(terms: &JobTerms) -> Result<JobTerms, JobRejection> {
    pricing::check_title(&terms.title)?;
    let budget = &terms.budget;
    if !budget.min.is_positive() || !budget.max.is_positive() {
        return Err(JobRejection::AmountNotPositive);
    }
    if budget.min.currency() != budget.max.currency() {
        return Err(JobRejection::CurrencyMismatch);
    }
    if budget.min.minor() > budget.max.minor() {
        return Err(JobRejection::BudgetInverted);
    }
    let mut terms = terms.clone();
    terms.skills.sort();
    terms.skills.dedup();
    Ok(terms)
}
