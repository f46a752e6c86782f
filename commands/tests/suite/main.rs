//! What the write side promises, as a specification.

mod account;
mod contract_milestones;
mod contract_signing;
mod executor;
mod fixtures;
mod job_bids;
mod job_posting;
mod login;
mod scenario;
mod session;
mod test_clock;
