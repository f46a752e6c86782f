//! The settings that deciders heed. What a setting decided is written into the event; folds read none of them.

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
}

impl Policy {
    /// The most that `bids_per_job_max` may be. What ends a job ends its open bids in the same commit, with an event of
    /// up to about 900 bytes for each, and a commit has a limit.
    pub const BIDS_PER_JOB_LIMIT: usize = 900;
}

const MINUTE_MS: i64 = 60_000;
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
        }
    }
}
