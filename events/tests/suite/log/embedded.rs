//! The embedded engine under the contract.

use std::sync::Arc;

use events::log::{EventLog, LogOptions};
use tempfile::TempDir;

use super::contract::{Engine, contract};

struct Embedded(TempDir);

impl Embedded {
    fn options(&self) -> LogOptions {
        LogOptions::embedded(self.0.path())
    }
}

impl Engine for Embedded {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Arc<dyn EventLog> {
        events::open(&self.options()).unwrap()
    }

    fn open_with_queue(&self, queue_bytes_max: usize) -> Arc<dyn EventLog> {
        events::open(&LogOptions { queue_bytes_max, ..self.options() }).unwrap()
    }
}

contract!(Embedded);
