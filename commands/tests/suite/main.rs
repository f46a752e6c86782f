//! What the write side promises, as a specification.

mod account;
mod contract_machine;
mod contract_milestones;
mod contract_signing;
mod executor;
mod fixtures;
mod hire;
mod hire_race;
mod job_bids;
mod job_machine;
mod job_posting;
mod login;
mod machine;
mod process_dispatch;
mod recorded;
mod registration;
mod registration_race;
mod rejections;
mod scenario;
mod session;
mod test_clock;
mod world;
