//! What is kept for each milestone: what came, what went to the worker, what went back, what is held.
#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Event, Id, Money, RecordedEvent, Service, Timestamp, Version,
    ids::{AccountId, ContractId, EscrowId, PaymentId},
    vocabulary::payments::{EscrowEvent, EscrowOpened},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wallets::{difference, sum};
use crate::{
    Applied, ApplyError, Collection, CollectionSpec, Filter, Index, Order, Page, PageRequest, Projection,
    ReadStore, Reader, Shape, StoreError, View, status::status,
};

/// Name and version.
pub const ID: (&str, u32) = ("escrow_by_contract", 1);

status! {
    /// Where an escrow stands.
    EscrowStatus {
        /// It waits for money.
        Opened = "opened",
        /// It holds all of it.
        Funded = "funded",
        /// Some of it went to the worker, the rest is held.
        PartlyReleased = "partly_released",
        /// The last of it went to the worker.
        Released = "released",
        /// The last of it went back to the client.
        Refunded = "refunded",
        /// No money came.
        Expired = "expired",
    }
}

/// One milestone's money. held = funded − released − refunded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Escrow {
    /// The escrow.
    pub escrow: EscrowId,
    /// Whose money.
    pub contract: ContractId,
    /// Which of its milestones, from 1.
    pub milestone: u32,
    /// Who pays.
    pub client: AccountId,
    /// Who is paid.
    pub worker: AccountId,
    /// Both of them.
    pub parties: Vec<AccountId>,
    /// What the milestone costs.
    pub amount: Money,
    /// The platform's share of what is released, in 1/10 000.
    pub fee_basis_points: u32,
    /// Where it stands.
    pub status: EscrowStatus,
    /// All that came.
    pub funded: Money,
    /// All that left for the worker, fees included.
    pub released: Money,
    /// The platform's share of that.
    pub fees: Money,
    /// All that went back to the client.
    pub refunded: Money,
    /// What is here.
    pub held: Money,
    /// The payment it came from.
    pub payment: Option<PaymentId>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When the money came.
    pub funded_at: Option<Timestamp>,
    /// When the last of it left, or it was clear that none would come.
    pub ended_at: Option<Timestamp>,
    /// The version of its stream.
    pub version: Version,
}

/// Escrows by escrow id.
pub const ESCROWS: Collection<Escrow> = Collection::new(
    "escrows",
    &[
        Index { name: "by_contract", fields: &["contract", "milestone"] },
        Index { name: "by_party", fields: &["parties", "opened_at"] },
        Index { name: "by_party_and_status", fields: &["parties", "status", "opened_at"] },
    ],
)
.with_arrays(&["parties"]);

/// Folds escrows.
#[derive(Clone, Copy, Debug)]
pub struct Escrows;

impl Projection for Escrows {
    fn name(&self) -> &'static str {
        ID.0
    }
    fn version(&self) -> u32 {
        ID.1
    }
    fn topics(&self) -> &'static [Service] {
        &[Service::Payments]
    }
    fn shape(&self) -> Shape {
        Shape::Partitioned
    }
    fn collections(&self) -> &'static [CollectionSpec] {
        const { &[ESCROWS.spec] }
    }
    fn halt_on_failure(&self) -> bool {
        true
    }
    fn apply(&self, event: &RecordedEvent, view: &mut View) -> Result<Applied, ApplyError> {
        let Event::Escrow(payload) = &event.payload else {
            return Ok(Applied::Skipped("not an escrow's event"));
        };
        let escrow = EscrowId::from_uuid(event.stream.uuid);
        let key = escrow.to_string();
        let document = if let EscrowEvent::EscrowOpened(opened) = payload {
            Escrow::opened(escrow, opened, event)
        } else {
            let before = view.get(&ESCROWS, &key)?.ok_or_else(|| ApplyError::absent("escrow", &key))?;
            before.after(event, payload)?
        };
        view.place(&ESCROWS, &key, document);
        Ok(Applied::Changed)
    }
}

impl Escrow {
    fn opened(escrow: EscrowId, opened: &EscrowOpened, event: &RecordedEvent) -> Self {
        let nothing = Money::zero(opened.amount.currency());
        Self {
            escrow,
            contract: opened.contract,
            milestone: opened.milestone,
            client: opened.client,
            worker: opened.worker,
            parties: vec![opened.client, opened.worker],
            amount: opened.amount,
            fee_basis_points: opened.fee_basis_points,
            status: EscrowStatus::Opened,
            funded: nothing,
            released: nothing,
            fees: nothing,
            refunded: nothing,
            held: nothing,
            payment: None,
            opened_at: event.stamp.time,
            funded_at: None,
            ended_at: None,
            version: event.version,
        }
    }

    fn after(mut self, event: &RecordedEvent, payload: &EscrowEvent) -> Result<Self, ApplyError> {
        let now = event.stamp.time;
        match payload {
            EscrowEvent::EscrowOpened(_) => {}
            EscrowEvent::EscrowFunded(funded) => {
                self.funded = sum(self.funded, funded.amount)?;
                self.payment = Some(funded.payment);
                self.status = EscrowStatus::Funded;
                self.funded_at = Some(now);
            }
            EscrowEvent::EscrowReleased(released) => {
                self.released = sum(self.released, released.amount)?;
                self.fees = sum(self.fees, released.fee)?;
                self.status = EscrowStatus::PartlyReleased;
            }
            EscrowEvent::EscrowRefunded(refunded) => {
                self.refunded = sum(self.refunded, refunded.amount)?;
                self.status = EscrowStatus::Refunded;
                self.ended_at = Some(now);
            }
            EscrowEvent::EscrowExpired(_) => {
                self.status = EscrowStatus::Expired;
                self.ended_at = Some(now);
            }
        }
        self.held = difference(difference(self.funded, self.released)?, self.refunded)?;
        if self.status == EscrowStatus::PartlyReleased && !self.held.is_positive() {
            self.status = EscrowStatus::Released;
            self.ended_at = Some(now);
        }
        self.version = event.version;
        Ok(self)
    }
}

/// One escrow; `None` when there is none.
///
/// # Errors
/// What the read store says.
pub async fn get(store: &dyn ReadStore, escrow: EscrowId) -> Result<Option<Escrow>, StoreError> {
    Reader::new(store, ID, &ESCROWS).get(escrow.to_string()).await
}

/// The escrows of a contract, by milestone.
///
/// # Errors
/// What the read store says.
pub async fn of_contract(
    store: &dyn ReadStore,
    contract: ContractId,
    page: PageRequest,
) -> Result<Page<Escrow>, StoreError> {
    let filters = vec![Filter::Is("contract", contract.to_string().into())];
    Reader::new(store, ID, &ESCROWS).find(filters, Order::ascending("milestone"), page).await
}

/// The escrows that `party` pays or is paid from, newest first; only those that stand at `status`, when it is given.
///
/// # Errors
/// What the read store says.
pub async fn list(
    store: &dyn ReadStore,
    party: AccountId,
    status: Option<EscrowStatus>,
    page: PageRequest,
) -> Result<Page<Escrow>, StoreError> {
    let mut filters = vec![Filter::Has("parties", party.to_string().into())];
    filters.extend(status.map(|status| Filter::Is("status", status.into())));
    Reader::new(store, ID, &ESCROWS).find(filters, Order::descending("opened_at"), page).await
}
