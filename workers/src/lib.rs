//! What runs by itself: projectors, dead letters, process managers, timers, effects.
//!
//! [`Workers`] is the whole of it in one process: runners that fold the log into read models, the reactor that lets
//! process managers hear of events, the dispatcher that issues the steps they ask for, the timers, and the effects at the
//! payment provider. None of it holds state that matters: checkpoints and letters are in the read store, everything else is on the log.

mod backoff;
pub mod builds;
pub mod clock;
pub mod compare;

pub mod dead_letters;
mod documents;
pub mod effects;
mod fleet;
mod foreign;
pub mod operator;
pub mod payments;
pub mod processes;
pub mod reconciliation;
mod requests;
mod runner;
pub mod settings;
pub mod status;
mod workers;

pub use builds::{BuildReport, Builds, BuildsError, ReadModelReport, prepare_live};
pub use compare::{CompareError, Difference, rebuild_and_compare};
pub use dead_letters::{Letter, RedriveError, Redriven};
pub use effects::{BreakerStatus, Effects, EffectsStatus};
pub use fleet::{FleetStatus, HeldScope, MemberStatus, WorkerId};
pub use foreign::drop_foreign;
pub use operator::{LettersCursor, LettersPage};
pub use processes::{Managers, Processes, PumpStatus};
pub use requests::OpenRequest;
pub use runner::progress::collections_with_ours;
pub use settings::WorkerSettings;
pub use status::{RunState, RunnerStatus, Verdicts};
pub use workers::{Workers, WorkersStatus};
