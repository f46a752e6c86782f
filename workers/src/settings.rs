//! The settings of everything that runs by itself. Every name says its unit.

use events::{Partition, Service};
use projections::{effects, steps, timers};
use serde::{Deserialize, Serialize};

/// Bounds and periods of the workers. [`Default`] is what a single machine runs with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// This process runs projectors.
    pub projectors: bool,
    /// This process runs process managers: the reactor, the dispatch of their steps, timers, and effects.
    pub processes: bool,
    /// Beside process managers: have all books compared with the payment provider's, every day and on demand.
    pub reconciliation: bool,
    /// Services whose events process managers react to here, and whose steps, timers and effects are issued here; empty for all of
    /// them. Another process may work for the same ones: what it issues has the same command ids.
    #[serde(skip)]
    pub services: Vec<Service>,
    /// Projections that run here beside those of the services, by name; with both lists empty all of them run.
    #[serde(skip)]
    pub projections: Vec<String>,
    /// Other processes work on the same read store: then every scope is held by one of them at a time. A read store in a
    /// folder that one process has locked is nobody else's, and nothing is written or asked to hold anything there.
    #[serde(skip)]
    pub shared: bool,
    /// Where this process is found, for people who look at the others.
    #[serde(skip)]
    pub name: String,
    /// Where the read store is shared: what a worker held that was silent for so long is taken over by others, milliseconds.
    pub lease_ms: u64,
    /// And how often a worker says that it lives, and looks who else does, milliseconds; at most a third of the lease.
    pub heartbeat_ms: u64,
    /// Domain time follows the test clock's events. Not in production.
    pub test_clock: bool,
    /// Commits a runner folds into one transaction, at most; at least 1.
    pub batch_commits_max: usize,
    /// A batch ends with the commit whose body exceeds this many bytes together with those before it.
    pub batch_bytes_max: usize,
    /// A runner that has caught up rests for twice as long as its last batch took, and this long at most, milliseconds, while
    /// what is new gathers; 0: never.
    pub rest_max_ms: u64,
    /// Bodies of the commits that were appended last and are kept decoded, once for all runners of this process, bytes.
    pub recent_bytes_max: usize,
    /// Documents that all projectors of this process together remember between their transactions, bytes, roughly.
    pub documents_remembered_bytes_max: usize,
    /// Events that a letter lists behind its head. Beyond that it keeps only the first position and a count.
    pub followers_max: usize,
    /// Events of one letter that a redrive applies in one transaction, at least 1.
    pub redrive_run_events_max: usize,
    /// A projector stops when more than this many sequences were newly blocked…
    pub parked_per_window_max: usize,
    /// …within this many events: that is an outage, not a poison event.
    pub parked_window_events: u64,
    /// A projector stops when more than this many of its sequences are blocked at the same time.
    pub sequences_blocked_max: usize,
    /// The first pause after a failure that may pass by itself, milliseconds. Doubles with each further one.
    pub backoff_first_ms: u64,
    /// The longest such pause, milliseconds.
    pub backoff_max_ms: u64,
    /// Streams to whose events process managers react at the same time.
    pub react_concurrency_max: usize,
    /// Steps that are issued, and timers that are fired, at the same time.
    pub dispatch_concurrency_max: usize,
    /// Open steps or due timers that are looked at in one round.
    pub dispatch_open_max: usize,
    /// A projection that this release has changed is rebuilt by itself beside the version before it, and swapped in when it
    /// is ready. Until then the version before answers queries.
    pub rebuild_changed: bool,
    /// Documents of each collection that are compared, at most, before a rebuilt read model is ready.
    pub builds_sample_max: usize,
    /// While two builds are compared or swapped, the live one stands still for this long at most, milliseconds.
    pub builds_hold_ms: u64,
    /// The documents of a build that was given up are removed after this, milliseconds: longer than any query takes.
    pub builds_drop_after_ms: u64,
    /// Steps, timers and builds are looked for at least this often, milliseconds, whatever wakes them otherwise.
    pub poll_interval_ms: u64,
    /// A step or timer that was carried out and is still listed after this is tried again, milliseconds.
    pub reissue_after_ms: u64,
    /// Effects that are with the provider at the same time.
    pub effects_concurrency_max: usize,
    /// Open effects that are looked at in one round, those that wait for a webhook included.
    pub effects_open_max: usize,
    /// An effect whose webhook has not come after this is asked about, milliseconds. Doubles with each time.
    pub effect_asked_after_ms: u64,
    /// The longest such pause, milliseconds.
    pub effect_asked_after_max_ms: u64,
    /// The provider counts as away when this many different effects have failed in a row.
    pub breaker_failures_max: usize,
    /// Then one effect is let through after this, milliseconds. Doubles while nothing is answered.
    pub breaker_pause_first_ms: u64,
    /// The longest such pause, milliseconds.
    pub breaker_pause_max_ms: u64,
}

impl WorkerSettings {
    /// Whether process managers of this service work here.
    pub(crate) fn works_for(&self, service: Service) -> bool {
        self.services.contains(&service) || (self.services.is_empty() && self.projections.is_empty())
    }

    /// Whether a runner of this projection over these partitions belongs here. A read store of one process has them all.
    pub(crate) fn runs(&self, projection: &str, partitions: &[Partition]) -> bool {
        if !self.shared {
            return true;
        }
        // What a list holds is issued by whoever holds the list: it is of no use with whoever issues nothing.
        let is_list = [steps::ID.0, timers::ID.0, effects::ID.0].contains(&projection);
        if is_list && !self.processes {
            return false;
        }
        self.projections.iter().any(|name| name == projection)
            || partitions.iter().any(|partition| self.works_for(partition.service))
    }
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            projectors: true,
            processes: true,
            reconciliation: true,
            services: Vec::new(),
            projections: Vec::new(),
            shared: false,
            name: String::new(),
            lease_ms: 15_000,
            heartbeat_ms: 5000,
            test_clock: true,
            batch_commits_max: 2048,
            batch_bytes_max: 2 * 1024 * 1024,
            rest_max_ms: 10,
            recent_bytes_max: 8 * 1024 * 1024,
            documents_remembered_bytes_max: 64 * 1024 * 1024,
            followers_max: 256,
            redrive_run_events_max: 128,
            parked_per_window_max: 50,
            parked_window_events: 1000,
            sequences_blocked_max: 10_000,
            backoff_first_ms: 50,
            backoff_max_ms: 10_000,
            react_concurrency_max: 32,
            dispatch_concurrency_max: 32,
            dispatch_open_max: 2000,
            rebuild_changed: true,
            builds_sample_max: 200,
            builds_hold_ms: 2000,
            builds_drop_after_ms: 10_000,
            poll_interval_ms: 1000,
            reissue_after_ms: 10_000,
            effects_concurrency_max: 16,
            effects_open_max: 10_000,
            effect_asked_after_ms: 5_000,
            effect_asked_after_max_ms: 300_000,
            breaker_failures_max: 5,
            breaker_pause_first_ms: 500,
            breaker_pause_max_ms: 30_000,
        }
    }
}
