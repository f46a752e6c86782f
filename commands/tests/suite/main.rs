//! What the write side promises, as a specification.

mod contract_milestones;
mod contract_signing;
mod executor;
mod fixtures;
mod job_bids;
mod job_posting;
mod scenario;
