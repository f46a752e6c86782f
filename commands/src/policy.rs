//! The settings that deciders heed. What a setting decided is written into the event; folds read none of them.

use events::Money;
use serde::{Deserialize, Serialize};

/// Periods (milliseconds) and bounds of the marketplace. All of them are settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// An e-mail address that was reserved but not claimed is free again after this.
    pub registration_abandoned_after_ms: i64,
    /// A published job without an award expires after this.
    pub job_expires_after_ms: i64,
    /// A proposed contract that not both have signed expires after this.
    pub proposal_expires_after_ms: i64,
    /// Submitted work without an answer counts as approved after this.
    pub review_period_ms: i64,
    /// A session ends this long after it started, whatever happens.
    pub session_lifetime_ms: i64,
    /// For this long after a rotation the previous refresh token is taken for a late retry, not for theft.
    pub session_rotation_grace_ms: i64,
    /// Bids a job takes, withdrawn and rejected ones included; at most [`Policy::BIDS_PER_JOB_LIMIT`].
    pub bids_per_job_max: usize,
    /// Milestones a bid may propose.
    pub milestones_per_bid_max: usize,
    /// What concerns money.
    pub money: MoneyPolicy,
}

/// Periods (milliseconds), shares and bounds that concern money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoneyPolicy {
    /// The platform's share of what escrow releases, in 1/10 000.
    pub fee_basis_points: u32,
    /// A payment that was not confirmed expires after this.
    pub payment_expires_after_ms: i64,
    /// How often one payment may be attempted.
    pub payment_attempts_max: u32,
    /// What was earned becomes available after this.
    pub earnings_hold_ms: i64,
    /// Payouts are sent in batches, this far apart.
    pub payout_batch_every_ms: i64,
    /// How often the provider is told to pay before a payout is given up.
    pub payout_attempts_max: u32,
    /// Payouts of at least this much, in whole units of their currency, are looked at first.
    pub payout_reviewed_from_units: i64,
}

impl MoneyPolicy {
    /// The most that a fee may take, in 1/10 000: all of it.
    pub const FEE_LIMIT_BASIS_POINTS: u32 = 10_000;
    /// No period is longer than a year, milliseconds.
    pub const PERIOD_LIMIT_MS: i64 = 366 * 24 * 60 * 60 * 1000;
    /// The most attempts that a payment or a payout may take: each stays in its state for ever.
    pub const ATTEMPTS_LIMIT: u32 = 100;

    /// A payout of this much is looked at first.
    pub fn is_reviewed(&self, amount: Money) -> bool {
        let unit = 10_i128.pow(amount.currency().exponent());
        i128::from(amount.minor()) >= i128::from(self.payout_reviewed_from_units) * unit
    }
}

impl Policy {
    /// The most that `bids_per_job_max` may be. What ends a job ends its open bids in the same commit, with an event of
    /// up to about 900 bytes for each, and a commit has a limit.
    pub const BIDS_PER_JOB_LIMIT: usize = 900;
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

impl Default for Policy {
    fn default() -> Self {
        Self {
            registration_abandoned_after_ms: 10 * MINUTE_MS,
            job_expires_after_ms: 30 * DAY_MS,
            proposal_expires_after_ms: 7 * DAY_MS,
            review_period_ms: 14 * DAY_MS,
            session_lifetime_ms: 30 * DAY_MS,
            session_rotation_grace_ms: 10_000,
            bids_per_job_max: 500,
            milestones_per_bid_max: 50,
            money: MoneyPolicy::default(),
        }
    }
}

impl Default for MoneyPolicy {
    fn default() -> Self {
        Self {
            fee_basis_points: 1_000,
            payment_expires_after_ms: 15 * MINUTE_MS,
            payment_attempts_max: 10,
            earnings_hold_ms: 5 * DAY_MS,
            payout_batch_every_ms: HOUR_MS,
            payout_attempts_max: 3,
            payout_reviewed_from_units: 5_000,
        }
    }
}
