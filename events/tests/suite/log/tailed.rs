//! The tailed engine under the contract, over a simulated upstream: one that works and one on a bad day.

use std::{sync::Arc, time::Duration};

use events::log::{
    EventLog, LogOptions,
    simulated::{SimulatedBroker, SimulatedFaults},
};
use tempfile::TempDir;

use super::contract::{Engine, contract};

/// One process over its broker.
struct Tailed {
    folder: TempDir,
    broker: Arc<SimulatedBroker>,
}

impl Tailed {
    fn over(faults: SimulatedFaults) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), broker: SimulatedBroker::new(1, 1, faults) }
    }

    fn options(&self) -> LogOptions {
        let republish_after = Duration::from_millis(5);
        LogOptions { republish_after, ..LogOptions::embedded(self.folder.path()) }
    }
}

impl Engine for Tailed {
    fn new() -> Self {
        Self::over(SimulatedFaults::default())
    }

    fn open(&self) -> Arc<dyn EventLog> {
        self.broker.open(&self.options()).unwrap()
    }

    fn open_with_queue(&self, queue_bytes_max: usize) -> Arc<dyn EventLog> {
        self.broker.open(&LogOptions { queue_bytes_max, ..self.options() }).unwrap()
    }
}

contract!(Tailed);

/// The same promises when records are lost, late and doubled.
mod on_a_bad_day {
    use super::*;

    struct Stormy(Tailed);

    impl Engine for Stormy {
        fn new() -> Self {
            Self(Tailed::over(SimulatedFaults::wild()))
        }

        fn open(&self) -> Arc<dyn EventLog> {
            self.0.open()
        }

        fn open_with_queue(&self, queue_bytes_max: usize) -> Arc<dyn EventLog> {
            self.0.open_with_queue(queue_bytes_max)
        }
    }

    contract!(Stormy);
}
