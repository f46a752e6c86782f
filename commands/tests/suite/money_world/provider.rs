//! A payment provider that keeps books of its own, answers when it likes, and does as it was told once for each key.

use std::collections::{BTreeMap, BTreeSet};

use events::{
    Money,
    ids::{PaymentId, PayoutId},
    vocabulary::payments::Notice,
};

/// What becomes of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    Declined,
    Confirmed,
    /// With all the steps in between.
    ConfirmedByTheBook,
    /// The provider takes it for failed, and the money comes all the same.
    ConfirmedAfterAll,
}

/// What becomes of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivingBack {
    Paid,
    Failed,
}

/// What becomes of a payout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remittance {
    Paid,
    Failed,
    Returned,
}

/// The provider.
#[derive(Default)]
pub struct Provider {
    charges: BTreeMap<(PaymentId, u32), Charge>,
    refunds: BTreeSet<(PaymentId, u32)>,
    payouts: BTreeMap<(PayoutId, u32), Remittance>,
    /// All that it ever told; the place is the provider's id of the event.
    pub told: Vec<Notice>,
    /// What it has of ours, minor units.
    pub balance: i64,
}

impl Provider {
    pub fn has_charge(&self, payment: PaymentId, attempt: u32) -> bool {
        self.charges.contains_key(&(payment, attempt))
    }

    pub fn charge(&mut self, payment: PaymentId, attempt: u32, amount: Money, fate: Charge) {
        if self.charges.contains_key(&(payment, attempt)) {
            return;
        }
        self.charges.insert((payment, attempt), fate);
        let reference = format!("ch_{}", self.charges.len());
        let confirmed = Notice::PaymentConfirmed { payment, attempt, reference, amount };
        let failed = Notice::PaymentFailed { payment, attempt, code: "card_declined".to_owned() };
        let (required, authorized) = (
            Notice::PaymentActionRequired { payment, attempt },
            Notice::PaymentAuthorized { payment, attempt },
        );
        match fate {
            Charge::Declined => return self.told.push(failed),
            Charge::Confirmed => self.told.push(confirmed),
            Charge::ConfirmedByTheBook => self.told.extend([required, authorized, confirmed]),
            Charge::ConfirmedAfterAll => self.told.extend([failed, confirmed]),
        }
        self.balance += amount.minor();
    }

    pub fn refund(&mut self, payment: PaymentId, refund: u32, amount: Money, fate: GivingBack) {
        if !self.refunds.insert((payment, refund)) {
            return;
        }
        match fate {
            GivingBack::Failed => {
                self.told.push(Notice::RefundFailed { payment, refund, code: "refund_refused".to_owned() });
            }
            GivingBack::Paid => {
                self.balance -= amount.minor();
                self.told.push(Notice::RefundPaid { payment, refund });
            }
        }
    }

    pub fn pay(&mut self, payout: PayoutId, attempt: u32, amount: Money, fate: Remittance) {
        if self.payouts.contains_key(&(payout, attempt)) {
            return;
        }
        self.payouts.insert((payout, attempt), fate);
        let code = "account_closed".to_owned();
        let paid = Notice::PayoutPaid { payout, attempt, reference: format!("po_{}", self.payouts.len()) };
        match fate {
            Remittance::Failed => self.told.push(Notice::PayoutFailed { payout, attempt, code }),
            Remittance::Paid => {
                self.balance -= amount.minor();
                self.told.push(paid);
            }
            Remittance::Returned => {
                self.told.extend([paid, Notice::PayoutReturned { payout, attempt, code }])
            }
        }
    }
}
