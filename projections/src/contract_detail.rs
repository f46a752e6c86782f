//! Contracts with their milestones, and the list of a party's contracts, newest first.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Event, Id, Money, Personal, RecordedEvent, Service, Timestamp, Version,
    ids::{AccountId, BidId, ContractId, JobId},
    vocabulary::jobs::{ContractEvent, ContractProposed},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View,
    status::{ContractStatus, MilestoneStatus},
};

/// Name and version.
pub const ID: (&str, u32) = ("contract_detail", 1);

/// A contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContractDetail {
    /// The contract.
    pub contract: ContractId,
    /// The job it follows from.
    pub job: JobId,
    /// The accepted bid.
    pub bid: BidId,
    /// Who pays.
    pub client: AccountId,
    /// Who works.
    pub worker: AccountId,
    /// Both of them: who may see it.
    pub parties: Vec<AccountId>,
    /// The job's title at the award.
    pub title: String,
    /// The whole price.
    pub price: Money,
    /// The parts, in order; the first is number 1.
    pub milestones: Vec<Milestone>,
    /// Where it stands.
    pub status: ContractStatus,
    /// Who has signed, in order.
    pub signed_by: Vec<AccountId>,
    /// Who declined or cancelled it.
    pub ended_by: Option<AccountId>,
    /// When it was proposed.
    pub proposed_at: Timestamp,
    /// Unsigned by then, it expires.
    pub expires_at: Timestamp,
    /// When the last party signed.
    pub signed_at: Option<Timestamp>,
    /// When it was declined, cancelled, completed or expired.
    pub ended_at: Option<Timestamp>,
    /// The version of its stream.
    pub version: Version,
}

/// One part of the work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Milestone {
    /// Its number, from 1.
    pub number: u32,
    /// One line.
    pub title: String,
    /// Its part of the price.
    pub amount: Money,
    /// Where it stands.
    pub status: MilestoneStatus,
    /// The last word about it, sealed: the worker's with the work, or the client's with a wish for changes.
    pub note: Option<Personal<String>>,
    /// Submitted work without an answer counts as approved then.
    pub review_until: Option<Timestamp>,
}

/// Contracts by contract id.
pub const CONTRACTS: Collection<ContractDetail> = Collection::new(
    "contracts",
    &[
        Index { name: "by_party", fields: &["parties", "proposed_at"] },
        Index { name: "by_party_and_status", fields: &["parties", "status", "proposed_at"] },
    ],
)
.with_arrays(&["parties"]);

/// Folds contracts.
#[derive(Clone, Copy, Debug)]
pub struct ContractDetails;

impl Projection for ContractDetails {
    fn name(&self) -> &'static str {
        ID.0
    }
    fn version(&self) -> u32 {
        ID.1
    }
    fn topics(&self) -> &'static [Service] {
        &[Service::Jobs]
    }
    fn shape(&self) -> Shape {
        Shape::Partitioned
    }
    fn collections(&self) -> &'static [CollectionSpec] {
        const { &[CONTRACTS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let Event::Contract(payload) = &event.payload else {
            return Ok(Applied::Skipped("not a contract's event"));
        };
        let contract = ContractId::from_uuid(event.stream.uuid);
        let key = contract.to_string();
        if let ContractEvent::ContractProposed(proposed) = payload {
            view.put(&CONTRACTS, &key, &ContractDetail::proposed(contract, proposed, event))?;
            return Ok(Applied::Changed);
        }
        let mut document = view.get(&CONTRACTS, &key)?.ok_or_else(|| ApplyError::absent("contract", &key))?;
        document.apply(event, payload)?;
        view.place(&CONTRACTS, &key, document);
        Ok(Applied::Changed)
    }
}

impl ContractDetail {
    fn proposed(contract: ContractId, proposed: &ContractProposed, event: &RecordedEvent) -> Self {
        let terms = &proposed.terms;
        let milestones = (1..).zip(&terms.milestones).map(|(number, milestone)| Milestone {
            number,
            title: milestone.title.clone(),
            amount: milestone.amount,
            status: MilestoneStatus::Planned,
            note: None,
            review_until: None,
        });
        Self {
            contract,
            job: terms.job,
            bid: terms.bid,
            client: terms.client,
            worker: terms.worker,
            parties: vec![terms.client, terms.worker],
            title: terms.title.clone(),
            price: terms.price,
            milestones: milestones.collect(),
            status: ContractStatus::Proposed,
            signed_by: Vec::new(),
            ended_by: None,
            proposed_at: event.stamp.time,
            expires_at: proposed.expires_at,
            signed_at: None,
            ended_at: None,
            version: event.version,
        }
    }

    fn apply(&mut self, event: &RecordedEvent, payload: &ContractEvent) -> Result<(), ApplyError> {
        let now = event.stamp.time;
        self.version = event.version;
        self.apply_to_milestone(payload)?;
        let disputed = self.milestones.iter().filter(|m| m.status == MilestoneStatus::Disputed).count();
        self.status = self.status.after(payload, disputed);
        match payload {
            ContractEvent::ContractSigned(signed) => {
                self.signed_by.push(signed.by);
                self.signed_at = signed.fully.then_some(now);
            }
            ContractEvent::ContractDeclined(declined) => self.end(now, Some(declined.by)),
            ContractEvent::ContractCancelled(cancelled) => self.end(now, cancelled.by),
            ContractEvent::ContractExpired(_) | ContractEvent::ContractCompleted(_) => self.end(now, None),
            ContractEvent::ContractProposed(_)
            | ContractEvent::FundingRequested(_)
            | ContractEvent::MilestoneFunded(_)
            | ContractEvent::WorkSubmitted(_)
            | ContractEvent::ChangesRequested(_)
            | ContractEvent::MilestoneApproved(_)
            | ContractEvent::MilestoneReleased(_)
            | ContractEvent::MilestoneRefunded(_)
            | ContractEvent::MilestoneDisputed(_)
            | ContractEvent::MilestoneDisputeSettled(_) => {}
        }
        Ok(())
    }

    /// What comes to an end takes the milestones with it that nobody has paid for.
    fn end(&mut self, at: Timestamp, by: Option<AccountId>) {
        self.ended_at = Some(at);
        self.ended_by = by;
        for milestone in &mut self.milestones {
            if milestone.status == MilestoneStatus::Planned {
                milestone.status = MilestoneStatus::Cancelled;
            }
        }
    }

    fn apply_to_milestone(&mut self, payload: &ContractEvent) -> Result<(), ApplyError> {
        let (number, status) = match payload {
            ContractEvent::MilestoneFunded(event) => (event.milestone, MilestoneStatus::Funded),
            ContractEvent::WorkSubmitted(event) => (event.milestone, MilestoneStatus::Submitted),
            ContractEvent::ChangesRequested(event) => (event.milestone, MilestoneStatus::ChangesRequested),
            ContractEvent::MilestoneApproved(event) => (event.milestone, MilestoneStatus::Approved),
            ContractEvent::MilestoneReleased(event) => (event.milestone, MilestoneStatus::Released),
            ContractEvent::MilestoneRefunded(event) => (event.milestone, MilestoneStatus::Refunded),
            ContractEvent::MilestoneDisputed(event) => (event.milestone, MilestoneStatus::Disputed),
            ContractEvent::MilestoneDisputeSettled(event) => {
                (event.milestone, MilestoneStatus::settled(event.outcome))
            }
            ContractEvent::ContractProposed(_)
            | ContractEvent::ContractSigned(_)
            | ContractEvent::ContractDeclined(_)
            | ContractEvent::ContractExpired(_)
            | ContractEvent::ContractCancelled(_)
            | ContractEvent::FundingRequested(_)
            | ContractEvent::ContractCompleted(_) => return Ok(()),
        };
        let milestone = self.milestones.iter_mut().find(|milestone| milestone.number == number);
        let milestone = milestone.ok_or_else(|| ApplyError::absent("milestone", &number.to_string()))?;
        milestone.status = status;
        milestone.review_until = None;
        if let ContractEvent::WorkSubmitted(submitted) = payload {
            milestone.note = Some(submitted.note.clone());
            milestone.review_until = Some(submitted.review_until);
        } else if let ContractEvent::ChangesRequested(requested) = payload {
            milestone.note = Some(requested.note.clone());
        }
        Ok(())
    }
}

/// One contract; `None` when there is none.
///
/// # Errors
/// What the read store says.
pub async fn get(store: &dyn ReadStore, contract: ContractId) -> Result<Option<ContractDetail>, StoreError> {
    Reader::new(store, ID, &CONTRACTS).get(contract.to_string()).await
}

/// The contracts that `party` pays or works for, newest first; only those that stand at `status`, when it is given.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    party: AccountId,
    status: Option<ContractStatus>,
    page: PageRequest,
) -> Result<Page<ContractDetail>, StoreError> {
    let mut filters = vec![Filter::Has("parties", party.to_string().into())];
    filters.extend(status.map(|status| Filter::Is("status", status.into())));
    Reader::new(store, ID, &CONTRACTS).find(filters, Order::descending("proposed_at"), page).await
}
