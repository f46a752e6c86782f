//! Every promise of a log, kept by a log on Kafka.

use std::sync::Arc;

use events::log::{EventLog, LogOptions};
use tempfile::TempDir;

use super::support::{brokers, options, prefix};
use crate::log::contract::{Engine, contract};

/// One log under a prefix of its own, with one copy.
struct Kafka {
    folder: TempDir,
    options: LogOptions,
}

impl Engine for Kafka {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&brokers(), &prefix(), folder.path());
        Self { folder, options }
    }

    fn open(&self) -> Arc<dyn EventLog> {
        assert_eq!(self.options.folder, self.folder.path());
        events::open(&self.options).unwrap()
    }

    fn open_with_queue(&self, queue_bytes_max: usize) -> Arc<dyn EventLog> {
        events::open(&LogOptions { queue_bytes_max, ..self.options.clone() }).unwrap()
    }
}

contract!(
    #[ignore = "needs the stack"]
    Kafka
);
