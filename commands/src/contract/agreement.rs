//! The rules of a contract as a whole: proposed, signed by both, called off.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    ids::AccountId,
    vocabulary::jobs::{
        ContractCancelled, ContractDeclined, ContractEvent, ContractExpired, ContractProposed,
        ContractSigned, ContractTerms,
    },
};

use super::{Agreement, Contract, ContractRejection, ContractStatus};
use crate::{aggregate::Context, pricing};

impl Contract {
    pub(super) fn propose(
        &self,
        terms: &ContractTerms,
        context: &Context,
    ) -> Result<Vec<ContractEvent>, ContractRejection> {
        internal(context)?;
        if let Some(agreement) = &self.agreement {
            let same = *agreement.terms == *terms;
            return if same { Ok(Vec::new()) } else { Err(ContractRejection::AlreadyExists) };
        }
        if terms.client == terms.worker {
            return Err(ContractRejection::PartiesEqual);
        }
        pricing::check_title(&terms.title)?;
        pricing::check_price(terms.price, &terms.milestones, context.policy.milestones_per_bid_max)?;
        let expires_at = context.now.plus_millis(context.policy.proposal_expires_after_ms);
        Ok(vec![ContractProposed { terms: terms.clone(), expires_at }.into()])
    }
}

impl Agreement {
    pub(super) fn is_signed_by(&self, account: AccountId) -> bool {
        (self.signed_by_client && account == self.terms.client)
            || (self.signed_by_worker && account == self.terms.worker)
    }

    pub(super) fn sign(&self, context: &Context) -> Result<Vec<ContractEvent>, ContractRejection> {
        let by = self.party(context)?;
        if self.is_signed_by(by) {
            return Ok(Vec::new());
        }
        self.open_for_signing()?;
        // The timer may be late, the rule is not.
        if context.now >= self.expires_at {
            return Err(ContractRejection::ProposalExpired);
        }
        let fully = self.signed_by_client || self.signed_by_worker;
        Ok(vec![ContractSigned { by, fully }.into()])
    }

    pub(super) fn decline(&self, context: &Context) -> Result<Vec<ContractEvent>, ContractRejection> {
        let by = self.party(context)?;
        self.open_for_signing()?;
        Ok(vec![ContractDeclined { by }.into()])
    }

    /// Whether the time is really over was judged by the timer of the hire that asks; a second clock here could only
    /// disagree with it and leave the proposal hanging.
    pub(super) fn expire(&self, context: &Context) -> Result<Vec<ContractEvent>, ContractRejection> {
        internal(context)?;
        match self.status {
            ContractStatus::Proposed => Ok(vec![ContractExpired {}.into()]),
            ContractStatus::Signed
            | ContractStatus::Active
            | ContractStatus::Disputed
            | ContractStatus::Completed
            | ContractStatus::Cancelled
            | ContractStatus::Declined
            | ContractStatus::Expired => Ok(Vec::new()),
        }
    }

    pub(super) fn cancel(&self, context: &Context) -> Result<Vec<ContractEvent>, ContractRejection> {
        let by = if context.actor.is_internal() { None } else { Some(self.party(context)?) };
        match self.status {
            ContractStatus::Signed | ContractStatus::Active => {}
            ContractStatus::Disputed => return Err(ContractRejection::MoneyInEscrow),
            ContractStatus::Proposed
            | ContractStatus::Completed
            | ContractStatus::Cancelled
            | ContractStatus::Declined
            | ContractStatus::Expired => return Err(ContractRejection::NotCancellable),
        }
        if self.holds_money() {
            return Err(ContractRejection::MoneyInEscrow);
        }
        Ok(vec![ContractCancelled { by }.into()])
    }

    /// The party that asks.
    pub(super) fn party(&self, context: &Context) -> Result<AccountId, ContractRejection> {
        let account = context.actor.account();
        account
            .filter(|account| *account == self.terms.client || *account == self.terms.worker)
            .ok_or(ContractRejection::NotAParty)
    }

    fn open_for_signing(&self) -> Result<(), ContractRejection> {
        if self.status == ContractStatus::Proposed { Ok(()) } else { Err(ContractRejection::NotProposed) }
    }
}

pub(super) fn internal(context: &Context) -> Result<(), ContractRejection> {
    if context.actor.is_internal() { Ok(()) } else { Err(ContractRejection::InternalOnly) }
}
