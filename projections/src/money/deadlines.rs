//! What happens by itself unless somebody acts: proposals and payments that expire, work that counts as approved.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Event, Id, Money, RecordedEvent, Service, Timestamp,
    ids::{AccountId, ContractId, PaymentId},
    vocabulary::{jobs::ContractEvent, payments::PaymentEvent},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View, status::status,
};

/// Name and version.
pub const ID: (&str, u32) = ("deadlines", 1);

status! {
    /// What happens when the time is over.
    DeadlineKind {
        /// A contract that not both have signed expires.
        Proposal = "proposal",
        /// A milestone's work counts as approved.
        Review = "review",
        /// A payment expires.
        Payment = "payment",
    }
}

/// Something that happens by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deadline {
    /// What.
    pub kind: DeadlineKind,
    /// When, domain time.
    pub due_at: Timestamp,
    /// Whom it concerns.
    pub accounts: Vec<AccountId>,
    /// Of which contract.
    pub contract: ContractId,
    /// Of which of its milestones, from 1.
    pub milestone: Option<u32>,
    /// Of which payment.
    pub payment: Option<PaymentId>,
    /// How much money it is about.
    pub amount: Money,
}

/// What a deadline has to know of its contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Agreement {
    /// Who pays and who works.
    pub parties: Vec<AccountId>,
    /// What each milestone costs, in order.
    pub amounts: Vec<Money>,
}

/// Deadlines that lie ahead or have just passed.
pub const DEADLINES: Collection<Deadline> = Collection::new(
    "deadlines",
    &[
        Index { name: "by_account", fields: &["accounts", "due_at"] },
        Index { name: "by_account_and_kind", fields: &["accounts", "kind", "due_at"] },
        Index { name: "by_kind", fields: &["kind", "due_at"] },
    ],
)
.with_arrays(&["accounts"]);

/// Agreements by contract id.
pub const AGREEMENTS: Collection<Agreement> = Collection::new("agreements", &[]);

/// Folds contracts and payments into what they have to wait for.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines;

impl Projection for Deadlines {
    fn name(&self) -> &'static str {
        ID.0
    }
    fn version(&self) -> u32 {
        ID.1
    }
    fn topics(&self) -> &'static [Service] {
        &[Service::Jobs, Service::Payments]
    }
    fn shape(&self) -> Shape {
        Shape::Partitioned
    }
    fn collections(&self) -> &'static [CollectionSpec] {
        const { &[DEADLINES.spec, AGREEMENTS.spec] }
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        if let Event::Contract(payload) = &event.payload {
            return apply_to_contract(ContractId::from_uuid(event.stream.uuid), payload, view);
        }
        if let Event::Payment(payload) = &event.payload {
            return Ok(apply_to_payment(PaymentId::from_uuid(event.stream.uuid), payload, view));
        }
        Ok(Applied::Skipped("not an event of a contract or a payment"))
    }
}

fn apply_to_contract(
    contract: ContractId,
    payload: &ContractEvent,
    view: &mut View,
) -> Result<Applied, ApplyError> {
    let proposal = format!("{contract}/proposal");
    let review = |milestone: u32| format!("{contract}/{milestone}");
    match payload {
        ContractEvent::ContractProposed(proposed) => {
            let terms = &proposed.terms;
            let parties = vec![terms.client, terms.worker];
            let amounts = terms.milestones.iter().map(|milestone| milestone.amount).collect();
            view.place(&AGREEMENTS, &contract.to_string(), Agreement { parties: parties.clone(), amounts });
            let deadline = Deadline {
                kind: DeadlineKind::Proposal,
                due_at: proposed.expires_at,
                accounts: parties,
                contract,
                milestone: None,
                payment: None,
                amount: terms.price,
            };
            view.place(&DEADLINES, &proposal, deadline);
        }
        ContractEvent::ContractSigned(signed) if signed.fully => view.delete(&DEADLINES, &proposal),
        ContractEvent::ContractDeclined(_)
        | ContractEvent::ContractExpired(_)
        | ContractEvent::ContractCancelled(_) => view.delete(&DEADLINES, &proposal),
        ContractEvent::WorkSubmitted(submitted) => {
            let deadline = submitted_work(contract, submitted.milestone, submitted.review_until, view)?;
            view.place(&DEADLINES, &review(submitted.milestone), deadline);
        }
        ContractEvent::ChangesRequested(event) => view.delete(&DEADLINES, &review(event.milestone)),
        ContractEvent::MilestoneApproved(event) => view.delete(&DEADLINES, &review(event.milestone)),
        ContractEvent::MilestoneRefunded(event) => view.delete(&DEADLINES, &review(event.milestone)),
        ContractEvent::MilestoneDisputed(event) => view.delete(&DEADLINES, &review(event.milestone)),
        ContractEvent::ContractSigned(_)
        | ContractEvent::FundingRequested(_)
        | ContractEvent::MilestoneFunded(_)
        | ContractEvent::MilestoneReleased(_)
        | ContractEvent::MilestoneDisputeSettled(_)
        | ContractEvent::ContractCompleted(_) => return Ok(Applied::Skipped("sets and ends no deadline")),
    }
    Ok(Applied::Changed)
}

fn submitted_work(
    contract: ContractId,
    milestone: u32,
    due_at: Timestamp,
    view: &View,
) -> Result<Deadline, ApplyError> {
    let key = contract.to_string();
    let agreement = view.get(&AGREEMENTS, &key)?.ok_or_else(|| ApplyError::absent("contract", &key))?;
    let index = (milestone as usize).checked_sub(1);
    let amount = index.and_then(|index| agreement.amounts.get(index).copied());
    Ok(Deadline {
        kind: DeadlineKind::Review,
        due_at,
        accounts: agreement.parties,
        contract,
        milestone: Some(milestone),
        payment: None,
        amount: amount.ok_or_else(|| ApplyError::absent("milestone", &milestone.to_string()))?,
    })
}

fn apply_to_payment(payment: PaymentId, payload: &PaymentEvent, view: &mut View) -> Applied {
    let key = payment.to_string();
    match payload {
        PaymentEvent::PaymentCreated(created) => {
            let deadline = Deadline {
                kind: DeadlineKind::Payment,
                due_at: created.expires_at,
                accounts: vec![created.payer],
                contract: created.contract,
                milestone: Some(created.milestone),
                payment: Some(payment),
                amount: created.amount,
            };
            view.place(&DEADLINES, &key, deadline);
        }
        PaymentEvent::PaymentConfirmed(_)
        | PaymentEvent::PaymentCancelled(_)
        | PaymentEvent::PaymentExpired(_) => view.delete(&DEADLINES, &key),
        PaymentEvent::PaymentAttemptStarted(_)
        | PaymentEvent::PaymentActionRequired(_)
        | PaymentEvent::PaymentAuthorized(_)
        | PaymentEvent::PaymentAttemptFailed(_)
        | PaymentEvent::PaymentConfirmedLate(_)
        | PaymentEvent::PaymentTransferReturned(_)
        | PaymentEvent::PaymentRefundRequested(_)
        | PaymentEvent::PaymentRefunded(_)
        | PaymentEvent::PaymentRefundFailed(_)
        | PaymentEvent::PaymentRefundReplaced(_) => return Applied::Skipped("sets and ends no deadline"),
    }
    Applied::Changed
}

/// What concerns `account` and is due by `until`, the next first; only deadlines of `kind`, when it is given.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    account: AccountId,
    kind: Option<DeadlineKind>,
    until: Option<Timestamp>,
    page: PageRequest,
) -> Result<Page<Deadline>, StoreError> {
    let mut filters = vec![Filter::Has("accounts", account.to_string().into())];
    filters.extend(kind.map(|kind| Filter::Is("kind", kind.into())));
    filters.extend(until.map(|until| Filter::AtMost("due_at", until.into())));
    Reader::new(store, ID, &DEADLINES).find(filters, Order::ascending("due_at"), page).await
}

/// What is due by `until` of one kind, whomever it concerns, the next first.
///
/// # Errors
/// What the read store says.
pub async fn of_kind(
    store: &dyn ReadStore,
    kind: DeadlineKind,
    until: Timestamp,
    page: PageRequest,
) -> Result<Page<Deadline>, StoreError> {
    let filters = vec![Filter::Is("kind", kind.into()), Filter::AtMost("due_at", until.into())];
    Reader::new(store, ID, &DEADLINES).find(filters, Order::ascending("due_at"), page).await
}
