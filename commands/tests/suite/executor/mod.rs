//! The executor's promises, on a log whose verdicts the test gives out one by one, and on a real one.

mod batches;
mod counter;
mod loads;
mod on_a_real_log;
mod outages;
mod repetition;
mod scripted_log;
mod snapshots;
